"""EEG and iEEG recordings of a raw dataset: which are worked on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.electrodes import ElectrodeTable, choose_electrodes
from bids_ai.bids.electrophysiology.events import STIMULATION, read_events
from bids_ai.bids.electrophysiology.formats import header_length, header_rate
from bids_ai.bids.electrophysiology.sidecars import find_tables
from bids_ai.bids.index import Anatomy, Recording, Skipped
from bids_ai.bids.metadata import read_metadata, split_name
from bids_ai.bids.names import ENTITIES, stem
from bids_ai.errors import InputError

#: Signal files by datatype. Of the three files of BrainVision one is the recording.
EXTENSIONS = {
    "eeg": [".vhdr", ".edf", ".bdf", ".set"],
    "ieeg": [".vhdr", ".edf", ".set", ".nwb"],
}
#: Region series are sampled at this rate or, where it is lower, at that of the recording, Hz: rhythms up to gamma, at
#: 100 Hz, are modelled.
SERIES_HZ = 250.0

#: Less time (of iEEG without stimulation) makes no region series, s: a model of rhythms wants thousands of samples.
LEAST_REST_S = 10.0
#: Kept clear before and after a pulse, and the shortest piece that counts, s (as `preprocess.ieeg_segments`).
_CLEAR_S, _SHORTEST_S = (0.1, 2.0), 1.0
#: Signals that are a folder.
_FOLDER = ".mefd"
_ENTITIES = ("subject", "session", "task", "acquisition", "run")


class Signal(Protocol):
    """A file, or folder, with its BIDS entities by their long names, as pybids gives them."""

    @property
    def path(self) -> str:
        """Absolute."""

    @property
    def entities(self) -> dict[str, Any]:
        """Of its name and its folder."""


@dataclass(frozen=True)
class Folder:
    """A recording that is a folder, which pybids does not know."""

    path: str
    entities: dict[str, Any]


def signal_folders(root: Path, labels: set[str]) -> list[Signal]:
    """Find the recordings of a dataset that are folders (MEF3).

    Parameters
    ----------
    root : Path
    labels : set of str
        Subjects, without ``sub-``.
    """
    long = {short: name for name, short in ENTITIES.items()}
    found: list[Signal] = []
    for pattern in (f"sub-*/ieeg/*_ieeg{_FOLDER}", f"sub-*/ses-*/ieeg/*_ieeg{_FOLDER}"):
        for path in sorted(root.glob(pattern)):
            parts, _, _ = split_name(path.name)
            if parts.get("sub") in labels:
                entities = {long[short]: value for short, value in parts.items() if short in long}
                found.append(Folder(str(path), entities | {"datatype": "ieeg", "suffix": "ieeg"}))
    return found


def find_recordings(
    root: Path, files: Sequence[Signal], anatomy: Anatomy | None
) -> tuple[list[Recording], list[Skipped]]:
    """Read what the tables say of the EEG and iEEG recordings of one subject.

    Parameters
    ----------
    root : Path
        The dataset.
    files : sequence of Signal
        Signal files.
    anatomy : Anatomy or None
        Of the subject.

    Returns
    -------
    recordings, skipped : lists
        One entry per recording; those whose tables cannot be read are skipped, with the reason. Of an EEG that is too
        short the region series are.
    """
    recordings, skipped = [], []
    for file in files:
        subject, name = f"sub-{file.entities['subject']}", Path(file.path).name
        try:
            found = _recording(root, Path(file.path), file.entities, anatomy)
        except InputError as error:
            skipped.append(Skipped(subject, name, str(error)))
            continue
        recordings.append(found)
        if found.modality == "eeg" and not found.resting:
            # It is what it is, and preprocessed: no fault.
            skipped.append(Skipped(subject, f"{name}, region series", _too_short(Path(file.path)), fault=False))
    return recordings, skipped


def _recording(root: Path, path: Path, entities: dict[str, Any], anatomy: Anatomy | None) -> Recording:
    modality = str(entities["datatype"])
    meta = read_metadata(path, root)
    events = next(iter(find_tables(path, "events")), None)
    onsets = np.empty(0)
    if events is not None and modality == "ieeg":
        table = read_events(events)
        onsets = table.onsets_s[table.of_type(STIMULATION)]
    session = entities.get("session")
    folder = (f"sub-{entities['subject']}", *((f"ses-{session}",) if session else ()), modality)
    electrodes = choose_electrodes(path)
    item = "/".join((*folder, stem({key: entities.get(key) for key in _ENTITIES})))
    return Recording(
        item=item,
        series=item,
        subject=folder[0],
        session=session,
        task=entities.get("task"),
        run=None if entities.get("run") is None else str(entities["run"]),
        engine="builtin",
        tr=1 / min(_sampling_hz(meta, path), SERIES_HZ),
        source=str(path),
        modality=modality,
        located=modality == "eeg" or _located(electrodes, anatomy),
        positioned=electrodes is not None and bool(np.isfinite(electrodes.positions_mm).any()),
        stimulated=len(onsets) > 0,
        resting=_long_enough(path, meta) if modality == "eeg" else _rests(onsets, meta),
        anat=anatomy.item if anatomy else None,
        events=str(events) if events else None,
    )


def _located(electrodes: ElectrodeTable | None, anatomy: Anatomy | None) -> bool:
    """Whether contacts have places in a template, or in the subject's own T1w where there is one."""
    if electrodes is None or not electrodes.usable:
        return False
    return electrodes.frame.kind == "template" or (electrodes.frame.scanner and anatomy is not None)


def _long_enough(path: Path, meta: dict[str, Any]) -> bool:
    """Whether an EEG has time enough for region series; a length that is not known speaks for it."""
    stated = meta.get("RecordingDuration")
    length = header_length(path) or (float(stated) if isinstance(stated, int | float) else np.inf)
    return length >= LEAST_REST_S


def _too_short(path: Path) -> str:
    length = header_length(path)
    lasts = f"it lasts {length:.3g} s" if length else "its sidecar gives a shorter RecordingDuration"
    return f"{lasts}; {LEAST_REST_S:g} s or more are wanted. It is preprocessed, and there is no connectivity of it"


def _rests(onsets_s: NDArray[np.float64], meta: dict[str, Any]) -> bool:
    return not len(onsets_s) or _rest_s(onsets_s, meta) >= LEAST_REST_S


def _rest_s(onsets_s: NDArray[np.float64], meta: dict[str, Any]) -> float:
    """Time without stimulation in pieces that are long enough, s: what lies between the pulses, and after the last."""
    known = np.sort(onsets_s[np.isfinite(onsets_s)])
    length = meta.get("RecordingDuration")
    end = float(length) if isinstance(length, int | float) else float(known[-1] if len(known) else 0.0)
    pieces = np.append(known - _CLEAR_S[0], end) - np.insert(known + _CLEAR_S[1], 0, 0.0)
    return float(pieces[pieces >= _SHORTEST_S].sum())


def _sampling_hz(meta: dict[str, Any], path: Path) -> float:
    """Sampling rate, Hz: of the file where its header says one, else of the sidecar.

    Raises
    ------
    InputError
        If there is none.
    """
    of_file = header_rate(path)
    if of_file is not None:
        return of_file
    value = meta.get("SamplingFrequency")
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise InputError(
            f"{path.name}: SamplingFrequency is {value!r} in its JSON sidecar; BIDS requires it, in hertz. Add it."
        )
    return float(value)
