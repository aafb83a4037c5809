"""What is checked before the images of other tools run, for hours (`nipreps`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_ai.cli import containers
from bids_ai.cli.ahead import Ahead
from bids_ai.cli.places import absolute, cannot_write
from bids_ai.errors import BidsAiError, UsageError

#: Tool -> what the name of a file holds that it works on.
TOOLS = {"fmriprep": "_bold.nii", "qsiprep": "_dwi.nii"}
#: Tool -> the stage that it stands in for, and those that build on it.
_STAGES = {
    "fmriprep": ("func", {"timeseries", "fc", "surrogate", "ec", "prediction"}),
    "qsiprep": ("dwi", {"sc", "surrogate", "ec", "prediction"}),
}


def is_wanted(tool: str, ahead: Ahead, skipped: Sequence[str]) -> bool:
    """Whether the run has a use for what a tool makes."""
    own, after = _STAGES[tool]
    left_out = " ".join(skipped).replace(",", " ").split()
    return own not in left_out and bool({own, *after} & set(ahead.stages))


def check(ahead: Ahead, folders: dict[str, Path]) -> Path:
    """Refuse what would be refused after the images have run; the BIDS folder.

    Parameters
    ----------
    ahead : Ahead
        What is known of the run.
    folders : dict
        Tool -> folder it would write to.

    Raises
    ------
    UsageError
        With every fault found.
    """
    faults = _atlas_faults(ahead) + _folder_faults(ahead.bids_dir, folders)
    if ahead.bids_dir is None or not ahead.bids_dir.is_dir():
        faults.append(f"The images want a BIDS folder, and {ahead.bids_dir or 'none'} is not there.")
    if faults:
        raise UsageError("refused before the first job:\n" + "\n".join(f"  - {fault}" for fault in faults))
    assert ahead.bids_dir is not None
    return ahead.bids_dir


def checked_images(values: Sequence[str]) -> dict[str, str]:
    """Tool -> image, from ``NAME=IMAGE`` pairs."""
    found = {}
    for value in values:
        name, equals, image = value.partition("=")
        if name.lower() not in TOOLS or not (equals and image):
            raise UsageError(f"--nipreps takes NAME=IMAGE with NAME one of {', '.join(TOOLS)}; got '{value}'.")
        found[name.lower()] = containers.checked_image(image)
    return found


def checked_licence(path: Path | None) -> Path:
    """FreeSurfer licence that is there."""
    if path is None or not absolute(path).is_file():
        what = f"{path} does not exist" if path else "none was given"
        raise UsageError(
            f"fMRIPrep and QSIPrep want a FreeSurfer licence, and {what}. It is free of charge from the FreeSurfer "
            "site; give the file with --fs-license-file."
        )
    return absolute(path)


def _atlas_faults(ahead: Ahead) -> list[str]:
    """Atlases that the run would refuse after hours of preprocessing."""
    from bids_ai.parcellation.atlas import load_atlas

    faults, own = [], ahead.config.parcellation
    for spec in own.atlases:
        try:
            load_atlas(
                spec, cache_dir=ahead.work_dir / "cache", table=own.table, space=own.space, atlas_dir=own.atlas_dir
            )
        except BidsAiError as error:
            faults.append(f"Atlas {spec}: {error}")
    return faults


def _folder_faults(bids_dir: Path | None, folders: dict[str, Path]) -> list[str]:
    faults = []
    for tool, folder in folders.items():
        fault = cannot_write(folder)
        if fault:
            faults.append(f"The folder of {tool}, {folder}, cannot be written: {fault}.")
        if bids_dir in (folder, folder.parent):
            faults.append(
                f"{tool} would write into the BIDS folder; give an output folder such as derivatives/bids_ai."
            )
    return faults
