"""Calling Snakemake through its command line, and telling what it does while it does it."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from bids_ai.cli.machine import usable_memory

_STEPS = re.compile(r"^(\d+) of (\d+) steps")
_RULE = re.compile(r"^(?:local)?rule (\w+):")
_ITEM = re.compile(r"^\s+wildcards: (.*)")
_GRACE_S = 5.0  # for Snakemake to end by itself after an interrupt
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

#: Of the memory that this process may use, for all jobs together.
_SHARE_OF_MEMORY = 0.9


def workflow_dir() -> Path:
    """Folder of the Snakefile: inside the installed package, or the root of a checkout.

    Raises
    ------
    FileNotFoundError
        If the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_workflow", package.parent):
        if (folder / "Snakefile").is_file():
            return folder
    raise FileNotFoundError("The workflow is missing from this installation of bids_ai; install it again.")


def command(
    config_file: Path,
    work_dir: Path,
    *,
    cores: int,
    snakefile: str = "Snakefile",
    memory_mb: int | None = None,
    keep_going: bool = True,
    profile: str | None = None,
    dry_run: bool = False,
    extra: Sequence[str] = (),
) -> list[str]:
    """Command that runs the workflow.

    Parameters
    ----------
    config_file : Path
        Resolved configuration.
    work_dir : Path
        Working directory of Snakemake, with its own records of what was made.
    cores : int
        Cores for all jobs together.
    snakefile : str
        Workflow, from the folder of all.
    memory_mb : int, optional
        Memory for all jobs together, MB; without a profile nearly all that this machine has, since many cores with
        little memory would start more jobs than it can hold.
    keep_going : bool
        Go on with other jobs when one fails.
    profile : str, optional
        Snakemake profile, such as one for a cluster.
    dry_run : bool
        Only list the jobs.
    extra : sequence of str
        Arguments handed on as they are.
    """
    parts = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow_dir() / snakefile)]
    parts += ["--configfile", str(config_file), "--directory", str(work_dir)]
    parts += ["--rerun-incomplete", "--nocolor"]
    # Subjects are locked by us, so that two runs over different subjects can share a folder.
    parts += ["--nolock"]
    # "none": whatever SNAKEMAKE_PROFILE names is for other workflows.
    parts += ["--profile", profile_folder(profile)] if profile else ["--cores", str(cores), "--profile", "none"]
    # That beside the Snakefile is for those who call snakemake themselves.
    parts += ["--workflow-profile", "none"]
    if memory_mb is None and not profile:
        memory_mb = int(_SHARE_OF_MEMORY * usable_memory() / 1e6)
    if memory_mb:
        parts += ["--resources", f"mem_mb={memory_mb}"]
    if keep_going:
        parts.append("--keep-going")
    if dry_run:
        parts += ["--dry-run", "--quiet", "rules"]
    return parts + list(extra)


def profile_folder(profile: str) -> str:
    """Folder of a profile: the one given, or one of ours by its name; other names are left to Snakemake to find."""
    ours = workflow_dir() / "profiles" / profile
    return str(ours) if ours.is_dir() and not Path(profile).is_dir() else profile


def run(parts: Sequence[str], log_file: Path, *, verbose: int = 0, stream: TextIO | None = None) -> int:
    """Run the workflow and show its progress.

    Parameters
    ----------
    parts : sequence of str
        From :func:`command`.
    log_file : Path
        Everything that Snakemake prints.
    verbose : int
        Above 0, print all of that as well.
    stream : file, optional
        Where progress goes; standard error by default.

    Returns
    -------
    int
        Exit status of Snakemake.
    """
    out = stream or sys.stderr
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            parts,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
            preexec_fn=_die_with_parent,
            start_new_session=True,  # an interrupt of the terminal reaches us alone, and we end the jobs
        )
        assert process.stdout is not None
        progress = _Progress(out)
        try:
            with _terminated_as_interrupted():
                for line in process.stdout:
                    log.write(line)
                    if verbose:
                        out.write(line)
                    else:
                        progress.feed(line)
                return process.wait()
        except KeyboardInterrupt:
            _stop(process)
            raise


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let what `docker stop`, a cluster at its limit of time, and a closed terminal send end a run as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(process: subprocess.Popen[str]) -> None:
    """End Snakemake and its jobs; Snakemake alone would wait for every running job to finish."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=_GRACE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


class _Progress:
    """Turns the lines of Snakemake into one line per event."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.done = "0/?"
        self.rule = ""

    def feed(self, line: str) -> None:
        if match := _RULE.match(line):
            self.rule = match[1]
        elif (match := _ITEM.match(line)) and self.rule:
            self._say(f"{self.rule:<24} {_short(match[1])}")
            self.rule = ""
        elif match := _STEPS.match(line):
            self.done = f"{match[1]}/{match[2]}"
            self._say("done")
        elif line.startswith(("Error in rule", "WorkflowError", "MissingInputException")):
            self._say(line.strip())

    def _say(self, text: str) -> None:
        self.stream.write(f"[{self.done:>7} jobs] {text}\n")
        self.stream.flush()


def _short(wildcards: str) -> str:
    """Values of the wildcards without folders."""
    values = (pair.partition("=")[2].rpartition("/")[2] for pair in wildcards.split(", "))
    return " ".join(value for value in values if value)


def environment() -> dict[str, str]:
    """Environment of the jobs: our own programs first, and word of which run they belong to."""
    env = dict(os.environ)
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
    env["BIDS_AI_RUN_PID"] = str(os.getpid())
    env["BIDS_AI_RUN_HOST"] = os.uname().nodename
    env["PYTHONUNBUFFERED"] = "1"
    return env


def _die_with_parent() -> None:
    """Let the kernel end Snakemake when this process is killed (Linux; elsewhere the jobs end by themselves)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
