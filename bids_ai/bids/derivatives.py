"""Finding BOLD that another tool has preprocessed: fMRIPrep (images and confounds), XCP-D (region series)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bids_ai.bids.dataset import Selection, unpadded
from bids_ai.bids.index import Recording, Skipped
from bids_ai.bids.metadata import read_metadata, split_name
from bids_ai.bids.names import name_fault, printable
from bids_ai.errors import InputError, UsageError

#: Spaces that can be used, the better first: those the common atlases come in.
_PREFERRED_SPACES = ("MNI152NLin2009cAsym", "MNI152NLin6Asym", "MNI152NLin2009aSym")
_RUN_ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run")
KINDS = ("fmriprep", "xcpd", "qsiprep")


def parse_option(values: Sequence[str]) -> dict[str, Path]:
    """Read ``NAME=PATH`` pairs.

    Raises
    ------
    UsageError
        For an unknown name or a folder that is not there.
    """
    found: dict[str, Path] = {}
    for value in values:
        name, equals, path = value.partition("=")
        if not (equals and path) or name.lower().replace("_", "").replace("-", "") not in KINDS:
            raise UsageError(f"--derivatives takes NAME=PATH with NAME one of {', '.join(KINDS)}; got '{value}'.")
        folder = Path(path).expanduser().absolute()
        if not folder.is_dir():
            raise UsageError(f"--derivatives {name}: the folder {folder} does not exist.")
        found[name.lower().replace("_", "").replace("-", "")] = folder
    return found


def scan_fmriprep(
    root: Path, labels: Sequence[str], selection: Selection, raw: Path | None
) -> tuple[list[Recording], list[Skipped]]:
    """Preprocessed BOLD runs in a volumetric MNI152 space, with their confounds.

    Parameters
    ----------
    root : Path
        Output of fMRIPrep.
    labels : sequence of str
        Subjects, without ``sub-``.
    selection : Selection
        Sessions, tasks and runs asked for.
    raw : Path, optional
        The raw dataset, for events.

    Returns
    -------
    recordings, skipped : lists
        Runs, and those whose sidecar cannot be read.
    """
    runs: dict[str, list[tuple[Path, dict[str, str]]]] = {}
    odd = []
    for path, entities in _files(root, labels, selection, "bold", (".nii.gz", ".nii")):
        if name_fault(path.name):
            odd.append(_odd(root, path))
        elif entities.get("desc") == "preproc" and entities.get("space", "").startswith("MNI152"):
            runs.setdefault(_run_stem(entities), []).append((path, entities))
    recordings, skipped = [], odd
    for stem, files in sorted(runs.items()):
        try:
            recordings.append(_fmriprep_recording(root, stem, files, raw))
        except InputError as error:
            skipped.append(Skipped(f"sub-{files[0][1]['sub']}", files[0][0].name, str(error)))
    return recordings, skipped


def _fmriprep_recording(root: Path, stem: str, files: list[tuple[Path, dict[str, str]]], raw: Path | None) -> Recording:
    def rank(entry: tuple[Path, dict[str, str]]) -> tuple[int, str]:
        space = entry[1]["space"]
        return (_PREFERRED_SPACES.index(space) if space in _PREFERRED_SPACES else 99, entry[0].name)

    path, entities = min(files, key=rank)
    base = path.name.partition("_desc-preproc_bold")[0]
    mask = _first(path.parent, [f"{base}_desc-brain_mask.nii.gz", f"{base}_desc-brain_mask.nii"])
    confounds = _first(path.parent, [f"{stem}_desc-confounds_timeseries.tsv", f"{stem}_desc-confounds_regressors.tsv"])
    item = f"{path.parent.relative_to(root)}/{stem}"
    events = raw / f"{item}_events.tsv" if raw else None
    meta = read_metadata(path, root)
    start = meta.get("StartTime")
    return Recording(
        **_identity(entities, item),
        series=f"{item}_space-{entities['space']}",
        engine="fmriprep",
        tr=_interval(meta.get("RepetitionTime")),
        source=str(path),
        space=entities["space"],
        start_time=float(start) if isinstance(start, int | float) else 0.0,
        mask=mask,
        confounds=confounds,
        events=str(events) if events and events.is_file() else None,
        unused=tuple(file.name for file, _ in files if file != path),
    )


def scan_series(root: Path, labels: Sequence[str], selection: Selection) -> tuple[list[Recording], list[Skipped]]:
    """Region series (``*_timeseries.tsv`` with an ``atlas-`` or ``seg-`` entity), as XCP-D writes them.

    Returns
    -------
    recordings, skipped : lists
        One recording per run and atlas, and those whose sidecar cannot be read.
    """
    recordings, skipped = [], []
    for path, entities in _files(root, labels, selection, "timeseries", (".tsv",)):
        if entities.get("stat", "mean") != "mean" or not {"atlas", "seg"} & entities.keys():
            continue
        if name_fault(path.name):
            skipped.append(_odd(root, path))
            continue
        try:
            recordings.append(_series_recording(root, path, entities))
        except InputError as error:
            skipped.append(Skipped(f"sub-{entities['sub']}", path.name, str(error)))
    return recordings, skipped


def _series_recording(root: Path, path: Path, entities: dict[str, str]) -> Recording:
    item = f"{path.parent.relative_to(root)}/{_run_stem(entities)}"
    space = entities.get("space")
    return Recording(
        **_identity(entities, item),
        series=f"{item}_space-{space}" if space else item,
        engine="timeseries",
        tr=_series_tr(read_metadata(path, root)),
        source=str(path),
        space=space,
        atlas=_atlas_label(entities),
    )


def series_names(path: Path) -> list[str]:
    """Names of the regions in the header of a table of series."""
    with path.open(encoding="utf-8-sig") as stream:
        return stream.readline().rstrip("\r\n").split("\t")


def _series_tr(meta: dict[str, Any]) -> float | None:
    """Sampling interval from RepetitionTime or SamplingFrequency, s."""
    frequency = _interval(meta.get("SamplingFrequency"))
    return _interval(meta.get("RepetitionTime")) or (1 / frequency if frequency else None)


def _interval(value: Any) -> float | None:
    """A positive number, or None."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value < np.inf else None


def _atlas_label(entities: dict[str, str]) -> str:
    """Our atlas label; XCP-D names the whole atlas in ``seg-``."""
    if "atlas" not in entities:
        return f"atlas-{entities['seg']}"
    return "_".join(f"{key}-{entities[key]}" for key in ("atlas", "seg", "scale") if key in entities)


def _files(
    root: Path, labels: Sequence[str], selection: Selection, suffix: str, extensions: tuple[str, ...]
) -> Iterator[tuple[Path, dict[str, str]]]:
    for label in labels:
        for path in sorted((root / f"sub-{label}").glob("**/func/*")):
            entities, found_suffix, extension = split_name(path.name)
            if found_suffix == suffix and extension in extensions and _asked(entities, selection):
                yield path, entities


def _odd(root: Path, path: Path) -> Skipped:
    return Skipped(path.relative_to(root).parts[0], printable(path.name), str(name_fault(path.name)))


def _asked(entities: dict[str, str], selection: Selection) -> bool:
    return (
        (not selection.sessions or entities.get("ses") in selection.sessions)
        and (not selection.tasks or entities.get("task") in selection.tasks)
        and (not selection.runs or unpadded(entities.get("run", "")) in {unpadded(run) for run in selection.runs})
    )


def _run_stem(entities: dict[str, str]) -> str:
    return "_".join(f"{key}-{entities[key]}" for key in _RUN_ENTITIES if key in entities)


def _identity(entities: dict[str, str], item: str) -> dict[str, Any]:
    return {
        "item": item,
        "subject": f"sub-{entities['sub']}",
        "session": entities.get("ses"),
        "task": entities.get("task"),
        "run": entities.get("run"),
    }


def _first(folder: Path, names: list[str]) -> str | None:
    return next((str(folder / name) for name in names if (folder / name).is_file()), None)
