"""Where a run reads and writes, checked before anything is written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from bids_ai import __version__
from bids_ai.bids.files import read_json

#: Below this much free space a run is refused, MB: one preprocessed subject with its intermediate files.
MIN_FREE_MB = 500
TOOL = "bids_ai"


def absolute(path: Path) -> Path:
    """Absolute path with links resolved, so that "the same folder" can be told."""
    return path.expanduser().resolve()


def default_work_dir(bids_dir: Path | None, output_dir: Path) -> Path:
    """Folder for intermediate files, where none was given.

    The one that the environment names (``BIDS_AI_WORK_DIR``, set in the image), if it can be written; otherwise beside
    the output, or beside the dataset where that holds the output (``derivatives/bids_ai``), in a folder for this output
    alone. In a container the folder around the output is often not ours to write: then a temporary folder.

    Parameters
    ----------
    bids_dir : Path or None
        Raw dataset, if there is one; absolute.
    output_dir : Path
        Absolute.
    """
    named = os.environ.get("BIDS_AI_WORK_DIR")
    if named and not cannot_write(Path(named)):
        return Path(named)
    inside = bids_dir is not None and _inside(output_dir.parent, bids_dir)
    key = f"{output_dir.name}-{hashlib.sha256(str(output_dir).encode()).hexdigest()[:8]}"
    beside = (bids_dir if bids_dir and inside else output_dir).parent / "bids_ai_work" / key
    if os.environ.get("BIDS_AI_IMAGE") and cannot_write(beside):
        return Path(tempfile.gettempdir()) / f"bids_ai_work-{os.getuid()}" / key
    return beside


def check_places(bids_dir: Path | None, output_dir: Path, work_dir: Path) -> list[str]:
    """Check the folders of a run.

    Parameters
    ----------
    bids_dir : Path or None
        Raw dataset, if there is one.
    output_dir, work_dir : Path
        Folders to write to; they need not exist.

    Returns
    -------
    list of str
        What is wrong; empty if nothing.
    """
    faults = []
    if bids_dir is not None:
        if output_dir == bids_dir:
            faults.append(
                "The output folder is the BIDS folder itself; give another, such as BIDS_DIR/derivatives/bids_ai."
            )
        elif _inside(output_dir, bids_dir) and not _inside(output_dir, bids_dir / "derivatives"):
            faults.append(
                f"The output folder {output_dir} is inside the BIDS folder; only its derivatives/ may hold outputs."
            )
        if _inside(work_dir, bids_dir):
            faults.append(f"The work folder {work_dir} is inside the BIDS folder; give another one with --work-dir.")
    for role, folder in (("output", output_dir), ("work", work_dir)):
        if set("{}") & set(str(folder)):
            faults.append(f"The {role} folder {folder} has {{ or }} in its path, which would be wildcards.")
        fault = cannot_write(folder)
        if fault:
            faults.append(f"The {role} folder {folder} cannot be written: {fault}.")
    return faults + _foreign(output_dir)


def _inside(inner: Path, outer: Path) -> bool:
    return inner == outer or outer in inner.parents


def cannot_write(folder: Path) -> str | None:
    """Tell why a folder, which need not exist, cannot be written to or has no room; None if it can and has."""
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        return f"{nearest} is a file"
    if not os.access(nearest, os.W_OK | os.X_OK) or _read_only(nearest):
        return f"no permission in {nearest}; in a container, mount it with -v and run with -u $(id -u)"
    free = shutil.disk_usage(nearest).free / 1e6
    if free < MIN_FREE_MB:
        return f"only {free:.0f} MB are free, and a run needs {MIN_FREE_MB} MB at least"
    return None


def _read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY) or not folder.stat().st_mode & 0o222


def _foreign(output_dir: Path) -> list[str]:
    """Refuse to mix with the outputs of another tool; our own are resumed."""
    if not output_dir.is_dir() or not any(entry.name not in {".bids_ai"} for entry in output_dir.iterdir()):
        return []
    advice = "Give an empty or new output folder."
    description = output_dir / "dataset_description.json"
    if not description.is_file():
        return [f"The output folder {output_dir} is not empty and was not made by bids_ai. {advice}"]
    version = made_by(output_dir)
    if version is None:
        return [f"The output folder {output_dir} holds the outputs of another tool. {advice}"]
    return []


def made_by(output_dir: Path) -> str | None:
    """Version of bids_ai that made an output folder, or None (also for raw data that bids_ai simulated)."""
    try:
        description = read_json(output_dir / "dataset_description.json")
        if description.get("DatasetType") != "derivative":
            return None
        tools = description.get("GeneratedBy", [])
        return next((str(tool.get("Version", "")) for tool in tools if tool.get("Name") == TOOL), None)
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def older_outputs(output_dir: Path) -> str | None:
    """Word on outputs of another version, which are kept; or None."""
    version = made_by(output_dir)
    if version in (None, __version__):
        return None
    return (
        f"{output_dir} holds outputs of bids_ai {version}; this is {__version__}. They are kept, and made again only "
        "where settings or inputs have changed. Give a new output folder to make everything with this version."
    )
