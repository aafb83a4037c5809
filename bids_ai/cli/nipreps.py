"""Preprocessing by the official images of fMRIPrep and QSIPrep before the run (``--nipreps NAME=IMAGE``).

Each subject is a job of a workflow of its own, `workflow/nipreps.smk`. What it leaves is handed on as
``--derivatives NAME=FOLDER``, so that nothing after it knows who preprocessed.
"""

from __future__ import annotations

import argparse
import re
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
from bids_ai.bids.files import write_text
from bids_ai.cli import containers, engine, options
from bids_ai.cli.locks import lock_subjects
from bids_ai.cli.places import absolute, check_places, default_work_dir
from bids_ai.config import NiprepsConfig
from bids_ai.errors import UsageError

#: Tool -> what a subject must have for it to have work.
_INPUTS = {"fmriprep": "_bold.nii", "qsiprep": "_dwi.nii"}
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
        help=f"preprocess with {' or '.join(_INPUTS)} first, beside OUTPUT_DIR: a SIF, a folder, or docker://...",
    )
    group.add_argument("--fs-license-file", type=Path, metavar="FILE", help="FreeSurfer licence, which both ask for")


def preprocess(args: argparse.Namespace) -> Preprocessed:
    """Run the images over the subjects asked for; a subject whose page is there is done.

    Raises
    ------
    UsageError
        If an image, the licence, the data, or the program that runs images is missing.
    """
    images = _images(args.nipreps)
    bids_dir, output_dir = absolute(args.bids_dir), absolute(args.output_dir)
    work_dir = absolute(args.work_dir or default_work_dir(bids_dir, output_dir))
    licence = _licence(args.fs_license_file)
    faults = [] if bids_dir.is_dir() else [f"The BIDS folder {bids_dir} does not exist."]
    faults += check_places(bids_dir, output_dir, work_dir)
    if faults:
        raise UsageError("\n".join(f"  - {fault}" for fault in faults))
    labels = dataset.participants(bids_dir, options.selection(args))
    subjects = {tool: [label for label in labels if _has(bids_dir, label, _INPUTS[tool])] for tool in images}
    folders = {tool: output_dir.parent / tool for tool in images}
    made = Preprocessed([f"{tool}={folders[tool]}" for tool in images if subjects[tool]])
    settings = {
        "data": str(bids_dir),
        "subjects": subjects,
        "output": {tool: str(folder) for tool, folder in folders.items()},
        "images": images,
        "options": _tool_options(options.configuration(args).nipreps, images),
        "fs_license": str(licence),
        "work": str(work_dir / "nipreps"),
        "logs": str(work_dir / "logs"),
        "threads": min(_MOST_THREADS, max(1, args.nprocs)),
    }
    readable = [bids_dir, licence, *_linked(bids_dir, labels)]
    if args.dry_run:
        made.planned = _dry_run(settings, work_dir, readable, args)
        return made
    with lock_subjects(output_dir, [f"sub-{label}" for label in labels]):
        _run(settings, work_dir, readable, args)
    lost = {label for tool in images for label in subjects[tool] if not (folders[tool] / f"sub-{label}.html").is_file()}
    made.failed = sorted(lost)
    for label in made.failed:
        print(f"FAILED  {' or '.join(images)} sub-{label}: see {work_dir / 'logs'}/*/sub-{label}.log", file=sys.stderr)
    if labels and not set(labels) - lost:
        raise UsageError("No subject could be preprocessed; the logs named above say why.")
    return made


def _images(values: Sequence[str]) -> dict[str, str]:
    found = {}
    for value in values:
        name, equals, image = value.partition("=")
        if name.lower() not in _INPUTS or not (equals and image):
            raise UsageError(f"--nipreps takes NAME=IMAGE with NAME one of {', '.join(_INPUTS)}; got '{value}'.")
        found[name.lower()] = containers.checked_image(image)
    return found


def _licence(path: Path | None) -> Path:
    if path is None or not absolute(path).is_file():
        what = f"{path} does not exist" if path else "none was given"
        raise UsageError(
            f"fMRIPrep and QSIPrep want a FreeSurfer licence, and {what}. It is free of charge from the FreeSurfer "
            "site; give the file with --fs-license-file."
        )
    return absolute(path)


def _has(bids_dir: Path, label: str, ending: str) -> bool:
    return any(ending in path.name for path in _files(bids_dir, label))


def _files(bids_dir: Path, label: str) -> Iterator[Path]:
    subject = bids_dir / f"sub-{label}"
    for pattern in ("*/*", "ses-*/*/*"):
        yield from subject.glob(pattern)


def _linked(bids_dir: Path, labels: Sequence[str]) -> Iterator[Path]:
    """Where links lead to, as in datasets under git-annex: it is not there in a container unless it is bound."""
    for label in labels:
        yield from (path.resolve() for path in _files(bids_dir, label) if path.is_symlink())


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
            *containers.snakemake_arguments("", readable=readable, writable=writable, gpu=False),
            *args.snakemake_args,
        ],
    )


def _run(settings: dict[str, Any], work_dir: Path, readable: Sequence[Path], args: argparse.Namespace) -> int:
    folder = work_dir / "nipreps" / "runs" / time.strftime("%Y%m%dT%H%M%S")
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    writable = [work_dir, *(Path(path) for path in settings["output"].values())]
    for path in writable:
        path.mkdir(parents=True, exist_ok=True)
    command = _command(folder / "config.yaml", work_dir, readable, writable, args)
    return engine.run(command, folder / "snakemake.log", verbose=args.verbose)


def _dry_run(settings: dict[str, Any], work_dir: Path, readable: Sequence[Path], args: argparse.Namespace) -> int:
    """Print the jobs with their commands, writing to no folder of the user's; how many there are."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bids_ai-") as folder:
        config_file = Path(folder) / "config.yaml"
        write_text(config_file, yaml.safe_dump(settings, sort_keys=False))
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
