"""Preprocessing by the official images of fMRIPrep and QSIPrep before the run (``--nipreps NAME=IMAGE``).

Each subject is a job of a workflow of its own, `workflow/nipreps.smk`. What it leaves is handed on as
``--derivatives NAME=FOLDER``, so that nothing after it knows who preprocessed.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bids_ai.bids import dataset
from bids_ai.bids.dataset import Selection
from bids_ai.bids.files import write_json, write_text
from bids_ai.cli import containers, engine, options
from bids_ai.cli.ahead import look_ahead
from bids_ai.cli.locks import lock_subjects
from bids_ai.cli.nipreps_checks import TOOLS, check, checked_images, checked_licence, is_wanted
from bids_ai.config import NiprepsConfig
from bids_ai.errors import BidsAiError, UsageError

#: Threads of one subject: beyond, both tools gain little.
_MOST_THREADS = 8


@dataclass
class Preprocessed:
    """What the images left: tool -> folder, and the subjects that failed."""

    derivatives: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    planned: int = 0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    group = parser.add_argument_group("preprocessing by the official images, with Apptainer")
    group.add_argument(
        "--nipreps",
        nargs="+",
        default=[],
        metavar="NAME=IMAGE",
        help=f"preprocess with {' or '.join(TOOLS)} first, beside OUTPUT_DIR: a SIF, a folder, or docker://...",
    )
    group.add_argument("--fs-license-file", type=Path, metavar="FILE", help="FreeSurfer licence, which both ask for")


def preprocess(args: argparse.Namespace) -> Preprocessed:
    """Run the images over the subjects asked for; a subject whose page is there is done.

    Raises
    ------
    UsageError
        If an image, the licence, the data, the program that runs images, or anything that the run wants afterwards
        and that can be known now is missing.
    """
    images, licence = checked_images(args.nipreps), checked_licence(args.fs_license_file)
    ahead = look_ahead(args)
    folders = {tool: ahead.output_dir.parent / tool for tool in images}
    bids_dir = check(ahead, folders)
    selection = options.selection(args)
    labels = dataset.participants(bids_dir, selection)
    subjects = {tool: _with_work(tool, bids_dir, labels) for tool in images if is_wanted(tool, ahead, args.skip)}
    settings = {
        "data": str(bids_dir),
        "subjects": subjects,
        "output": {tool: str(folder) for tool, folder in folders.items()},
        "images": images,
        "options": _tool_options(ahead.config.nipreps, images),
        "filters": _filters(selection),
        "fs_license": str(licence),
        "work": str(ahead.work_dir / "nipreps"),
        "logs": str(ahead.work_dir / "logs"),
        "threads": min(args.omp_nthreads or _MOST_THREADS, _MOST_THREADS, max(1, args.nprocs)),
    }
    readable = [bids_dir, *_linked(bids_dir, labels)]
    made = Preprocessed([f"{tool}={folders[tool]}" for tool in subjects if subjects[tool]])
    if args.dry_run:
        made.planned = _dry_run(settings, ahead.work_dir, readable, args)
        return made
    with lock_subjects(ahead.output_dir, [f"sub-{label}" for label in labels]):
        status = _run(settings, ahead.work_dir, readable, args)
    lost = {Path(page).stem.removeprefix("sub-") for page in _pages(settings) if not Path(page).is_file()}
    made.failed = sorted(lost)
    for label in made.failed:
        print(f"FAILED  {_story(ahead.work_dir, label)}", file=sys.stderr)
    if made.failed and (args.stop_on_first_crash or not set(labels) - lost):
        raise BidsAiError(f"Preprocessing failed for {len(lost)} of {len(labels)} subjects (Snakemake: {status}).")
    return made


def _with_work(tool: str, bids_dir: Path, labels: Sequence[str]) -> list[str]:
    """Subjects that have what a tool works on."""
    return [label for label in labels if any(TOOLS[tool] in path.name for path in _files(bids_dir, label))]


def _story(work_dir: Path, label: str) -> str:
    """Where it is told why a subject failed: in the log of its tool, or in that of the workflow."""
    logs = sorted((work_dir / "logs").glob(f"*/sub-{label}.log"))
    logs = [log for log in logs if log.parent.name in TOOLS]
    if logs:
        return "; ".join(f"{log.parent.name} sub-{label}: see {log}" for log in logs)
    newest = max((work_dir / "nipreps" / "runs").glob("*/snakemake.log"), key=lambda log: log.stat().st_mtime)
    lines = [line for line in newest.read_text(errors="replace").splitlines() if line.strip()]
    return f"sub-{label} was not begun: {' '.join(lines[-2:])} (see {newest})"


def _filters(selection: Selection) -> dict[str, dict[str, Any]]:
    """Filters of pybids, as both tools take them, for the sessions, tasks and runs asked for."""
    found: dict[str, dict[str, Any]] = {
        kind: dict(selection.filters.get(kind) or {}) for kind in ("t1w", "bold", "dwi")
    }
    asked = {
        "session": selection.sessions,
        "task": selection.tasks,
        "run": [int(run) if run.isdigit() else run for run in selection.runs],
    }
    for kind, names in (("t1w", ["session"]), ("dwi", ["session"]), ("bold", ["session", "task", "run"])):
        found[kind] |= {name: list(asked[name]) for name in names if asked[name]}
    return {kind: entry for kind, entry in found.items() if entry}


def _files(bids_dir: Path, label: str) -> Iterator[Path]:
    subject = bids_dir / f"sub-{label}"
    for pattern in ("*/*", "ses-*/*/*"):
        yield from subject.glob(pattern)


def _linked(bids_dir: Path, labels: Sequence[str]) -> Iterator[Path]:
    """Where links lead to, as in datasets under git-annex: it is not there in a container unless it is bound."""
    for path in [*bids_dir.iterdir(), *(path for label in labels for path in _files(bids_dir, label))]:
        target = path.resolve()
        if bids_dir not in target.parents and target.exists():
            yield target


def _tool_options(config: NiprepsConfig, images: dict[str, str]) -> dict[str, str]:
    """Options of each tool, quoted anew: what stands in the settings is words, and no program for a shell."""
    try:
        return {tool: shlex.join(shlex.split(getattr(config, f"{tool}_options"))) for tool in images}
    except ValueError as error:
        raise UsageError(f"nipreps options cannot be split into words: {error}.") from None


def _command(
    config_file: Path, work_dir: Path, readable: Sequence[Path], writable: Sequence[Path], args: argparse.Namespace
) -> list[str]:
    return engine.command(
        config_file,
        work_dir,
        snakefile="workflow/nipreps.smk",
        cores=max(1, args.nprocs),
        memory_mb=args.mem_mb,
        keep_going=not args.stop_on_first_crash,
        profile=args.profile,
        extra=[
            # Modules that the shell outside has loaded (FreeSurfer, FSL, Python) are not for the image.
            *containers.snakemake_arguments(readable=readable, writable=writable, options=["--cleanenv"]),
            *args.snakemake_args,
        ],
    )


def _run(settings: dict[str, Any], work_dir: Path, readable: Sequence[Path], args: argparse.Namespace) -> int:
    folder = work_dir / "nipreps" / "runs" / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"
    _write_settings(folder, settings)
    writable = [work_dir, *(Path(path) for path in settings["output"].values())]
    for path in writable:
        path.mkdir(parents=True, exist_ok=True)
    command = _command(folder / "config.yaml", work_dir, readable, writable, args)
    return engine.run(command, folder / "snakemake.log", verbose=args.verbose)


def _write_settings(folder: Path, settings: dict[str, Any]) -> Path:
    """Write the configuration, the filters, and a copy of the licence, which is often in a folder of the system."""
    write_text(folder / "license.txt", Path(settings["fs_license"]).read_text(encoding="utf-8", errors="replace"))
    write_json(folder / "filters.json", settings["filters"])
    places = {"fs_license": str(folder / "license.txt"), "filters": str(folder / "filters.json")}
    write_text(folder / "config.yaml", yaml.safe_dump(settings | places, sort_keys=False))
    return folder / "config.yaml"


def _dry_run(settings: dict[str, Any], work_dir: Path, readable: Sequence[Path], args: argparse.Namespace) -> int:
    """Print the jobs with their commands, writing to no folder of the user's; how many there are."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bids_ai-") as folder:
        config_file = _write_settings(Path(folder), settings)
        command = _command(config_file, Path(folder), readable, [Path(folder)], args)
        command += ["--dry-run", "--printshellcmds"]
        done = subprocess.run(command, env=engine.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"Snakemake could not plan the preprocessing: {done.stderr.strip() or done.stdout.strip()}")
    print("\n".join(re.findall(r"^Shell command: (?!None$)(.*)$", done.stdout, re.MULTILINE)))
    return sum(not Path(page).is_file() for page in _pages(settings))


def _pages(settings: dict[str, Any]) -> list[str]:
    subjects = settings["subjects"]
    return [f"{settings['output'][tool]}/sub-{label}.html" for tool in subjects for label in subjects[tool]]
