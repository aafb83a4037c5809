"""The inputs that a run works on: those that its stages need, as they are printed before the first job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from bids_ai.bids.index import Diffusion, Fit, Index, Recording
from bids_ai.config import Config

_PREPROCESSING = {"bold": "func", "eeg": "eeg", "ieeg": "ieeg"}
_SERIES = {"timeseries", "fc", "surrogate", "ec"}
#: What a model of regions may be given beside their series.
_MODELLED = {"surrogate", "ec"}


def needed(index: Index, stages: Sequence[str], config: Config) -> Index:
    """Keep the inputs that jobs of these stages are made for, as the rules of the workflow do.

    Parameters
    ----------
    index : Index
        All that was found.
    stages : sequence of str
        Asked for.
    config : Config
    """
    asked = set(stages)
    predicted = [entry for entry in index.recordings if "prediction" in asked and _is_predicted(index, entry)]
    recordings = [
        entry
        for entry in index.recordings
        if _is_needed(index, entry, asked) or any(_helps(index, entry, target) for target in predicted)
    ]
    diffusions = _diffusions(index, asked, predicted, structural=config.surrogate.structural != "none")
    items = {entry.anat for entry in diffusions} | {entry.anat for entry in recordings if _by_place(index, entry)}
    anatomies = [entry for entry in index.anatomies if "anat" in asked or entry.item in items]
    series = {entry.series for entry in recordings}
    fits = [fit for fit in index.fits if set(fit.recordings) <= series]
    return replace(index, anatomies=anatomies, recordings=recordings, diffusions=diffusions, fits=fits)


def _is_needed(index: Index, entry: Recording, asked: set[str]) -> bool:
    raw = entry.engine == "builtin"
    if raw and _PREPROCESSING[entry.modality] in asked:
        return True
    if raw and entry.stimulated and "ccep" in asked:
        return True
    return bool(_SERIES & asked) and any(index.applies(entry, atlas) for atlas in index.atlases)


def _is_predicted(index: Index, entry: Recording) -> bool:
    return entry.engine == "builtin" and entry.stimulated and bool(index.atlases_of_prediction(entry))


def _helps(index: Index, entry: Recording, target: Recording) -> bool:
    """Whether the responses of `target` are predicted from a recording: it itself, rest beside it, BOLD."""
    if entry.subject != target.subject:
        return False
    if entry.modality == "ieeg":
        beside = entry.engine == "builtin" and entry.resting and entry.session == target.session
        return entry == target or beside
    of_regions = entry.modality == "bold" and index.is_placed(target)
    return of_regions and any(index.applies(entry, atlas) for atlas in index.volume_atlases())


def _diffusions(index: Index, asked: set[str], predicted: Sequence[Recording], *, structural: bool) -> list[Diffusion]:
    wanted: set[str] = set()
    if structural and index.volume_atlases():
        placed = [entry for entry in predicted if index.is_placed(entry)]
        subjects = {entry.subject for entry in placed}
        fits = [Fit(entry.series, (entry.series,), entry.subject) for entry in placed]
        fits += [
            fit
            for atlas in index.volume_atlases()
            for fit in index.fits_of(atlas)
            if _MODELLED & asked or (fit.subject in subjects and index.modality(fit) == "bold")
        ]
        wanted = {source.item for fit in fits if (source := index.structural_source(fit)) is not None}
    return [
        entry
        for entry in index.diffusions
        if "sc" in asked or ("dwi" in asked and entry.engine == "builtin") or entry.item in wanted
    ]


def _by_place(index: Index, entry: Recording) -> bool:
    """Whether the T1w says where a recording records from."""
    if entry.modality == "bold":
        return entry.engine == "builtin"
    atlases = [atlas.label for atlas in index.volume_atlases()]
    return entry.located and (not entry.named_in or any(atlas not in entry.named_in for atlas in atlases))


def show_inputs(index: Index, out: TextIO) -> None:
    """Print the file chosen for every input, and what was left out and why."""
    for anatomy in index.anatomies:
        print(f"{anatomy.subject}  T1w  {anatomy.t1w}", file=out)
        for name in anatomy.unused:
            print(f"{anatomy.subject}  T1w  not used: {name}", file=out)
    for recording in index.recordings:
        for line in _recording_lines(recording, index.used_names(recording.subject)):
            print(f"{recording.subject}  {line}", file=out)
    for diffusion in index.diffusions:
        for line in _diffusion_lines(diffusion, index.used_names(diffusion.subject)):
            print(f"{diffusion.subject}  {line}", file=out)
    for skipped in index.skipped:
        print(f"{skipped.subject}  LEFT OUT  {skipped.what}: {skipped.reason}", file=out)


def _diffusion_lines(entry: Diffusion, used: set[str]) -> list[str]:
    kinds = {"builtin": "DWI", "qsiprep": "DWI (QSIPrep)"}
    lines = [f"{kinds[entry.engine]}  {entry.source}"]
    lines += [f"reverse-encoded  {entry.reverse}"] if entry.reverse else []
    return lines + _unused_lines(entry.unused, used)


def _recording_lines(entry: Recording, used: set[str]) -> list[str]:
    raw = {"bold": "BOLD", "eeg": "EEG", "ieeg": "iEEG with stimulation" if entry.stimulated else "iEEG"}
    kinds = {"builtin": raw[entry.modality], "fmriprep": "BOLD (fMRIPrep)", "timeseries": f"series ({entry.atlas})"}
    assert entry.tr is not None
    rate = f"TR {entry.tr:g} s" if entry.modality == "bold" else f"region series at {1 / entry.tr:g} Hz"
    lines = [f"{kinds[entry.engine]}  {entry.source}  {rate}"]
    companions = ("sbref", "events", "mask", "confounds")
    lines += [f"{what}  {getattr(entry, what)}" for what in companions if getattr(entry, what)]
    return lines + _unused_lines(entry.unused, used)


def _unused_lines(names: Iterable[str], used: set[str]) -> list[str]:
    # A field map that serves no BOLD may serve the DWI.
    return [f"not used: {name}" for name in names if Path(name).name not in used]
