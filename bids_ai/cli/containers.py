"""Running every job of the workflow in one image, through Snakemake and Apptainer (``--container IMAGE``)."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bids_ai import __version__
from bids_ai.errors import UsageError

#: Images with such a beginning are fetched by Apptainer; others are files, or folders with an unpacked image.
_REMOTE = ("docker://", "oras://", "library://", "shub://")
_OF_SYSTEM = ("opt", "usr", "etc", "bin", "lib", "lib64", "sbin", "dev", "proc", "run", "sys")
_CHUNK = 1 << 20


def add_arguments(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Declare the option."""
    parser.add_argument(
        "--container",
        metavar="IMAGE",
        help="run every job in this image of bids_ai with Apptainer: a SIF, a folder, or docker://...; without it jobs "
        "run where bids-ai does",
    )
    parser.add_argument(
        "--container-args",
        default="",
        metavar="WORDS",
        help="further options of apptainer exec, as --container-args=--nv",
    )


def runner() -> str:
    """Program that runs images.

    Raises
    ------
    UsageError
        Where there is neither Apptainer nor Singularity: Snakemake would find out only after the first jobs.
    """
    for name in ("apptainer", "singularity"):
        if shutil.which(name):
            return name
    raise UsageError(
        "Jobs are to run in a container, and neither apptainer nor singularity is on PATH. Install Apptainer, or load "
        "its module."
    )


def checked_image(image: str) -> str:
    """Image by an absolute path, after a look at whether it can be used; what is remote is left as it is.

    Raises
    ------
    UsageError
        If it is not there, or if nothing runs images.
    """
    runner()
    if image.startswith(_REMOTE):
        return image
    path = Path(image).expanduser().absolute()
    if set(str(path)) & set(" \t'\"\\$;&|<>()`"):
        raise UsageError(f"The image {path} has spaces or quotes in its path, which Snakemake does not take; link it.")
    if not path.exists():
        raise UsageError(
            f"The image {path} does not exist. Give a SIF, a folder with an unpacked image, or docker://NAME:VERSION."
        )
    return str(path)


def check_version(image: str) -> None:
    """Refuse an image of another version of bids_ai: its jobs would not know what this one asks of them.

    Raises
    ------
    UsageError
        If the image does not answer, or with another version.
    """
    if image.startswith(_REMOTE):
        return
    command = [runner(), "exec", image, "bids-ai", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    answer = done.stdout.strip()
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UsageError(f"The image {image} does not run 'bids-ai --version': {last}")
    if answer != f"bids-ai {__version__}":
        raise UsageError(
            f"The image {image} holds {answer}, and this is {__version__}. Use an image of this version (python "
            "containers/build.py --sif FILE)."
        )


def snakemake_arguments(
    *, readable: Iterable[Path], writable: Iterable[Path], options: Sequence[str] = ()
) -> list[str]:
    """Arguments that make Snakemake run its jobs in containers which see the folders of the run.

    Parameters
    ----------
    readable, writable : iterables of Path
        Folders and files of the inputs, and folders that are written to. A file brings its folder, for what lies beside
        it, unless that is a folder of the system, which would hide the one of the image.
    options : sequence of str
        Further options of ``apptainer exec``.

    Raises
    ------
    UsageError
        For a folder whose name Apptainer cannot take.
    """
    written = _outermost(writable)
    binds = [f"{folder}:{folder}:ro" for folder in _outermost(readable) if not _within(folder, written)]
    binds += [f"{folder}:{folder}" for folder in written]
    odd = [bind for bind in binds if "," in bind or bind.count(":") > 2]
    if odd:
        raise UsageError(
            f"Apptainer takes no folder with a comma or a colon in its path: {odd[0].partition(':')[0]}. Rename it, or "
            "run without containers."
        )
    words = [*(part for bind in binds for part in ("--bind", bind)), *options]
    return ["--sdm", "apptainer", f"--apptainer-args={shlex.join(words)}"]


def image_record(image: str | None) -> dict[str, str] | None:
    """What ``GeneratedBy`` says of the image: a file has a digest, a remote one its address."""
    if image is None:
        return None
    record = {"Type": "apptainer", "Tag": Path(image).name if not image.startswith(_REMOTE) else image}
    if Path(image).is_file():
        digest = hashlib.sha256()
        with Path(image).open("rb") as stream:
            while block := stream.read(_CHUNK):
                digest.update(block)
        record["Digest"] = f"sha256:{digest.hexdigest()}"
    return record


def paths_in(value: Any) -> Iterator[Path]:
    """Every path that exists among the texts of nested settings or of an index, and what it leads to."""
    if isinstance(value, dict):
        for item in value.values():
            yield from paths_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from paths_in(item)
    elif isinstance(value, str) and value.startswith("/") and Path(value).exists():
        yield Path(value)
        yield Path(value).resolve()


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Folders of the paths, without those that lie in another of them."""
    folders = {path if path.is_dir() or _of_system(path.parent) else path.parent for path in paths}
    kept: list[Path] = []
    for folder in sorted(folders, key=lambda folder: (len(folder.parts), str(folder))):
        if not _within(folder, kept):
            kept.append(folder)
    return kept


def _of_system(folder: Path) -> bool:
    """Whether images have a folder of that name, or one below it, with programs or settings of their own."""
    return len(folder.parts) <= 2 or folder.parts[1] in (
        "opt",
        "usr",
        "etc",
        "bin",
        "lib",
        "lib64",
        "sbin",
        "dev",
        "proc",
    )


def _within(folder: Path, others: Iterable[Path]) -> bool:
    return any(folder == other or other in folder.parents for other in others)
