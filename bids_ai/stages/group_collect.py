"""One kind of matrix of all subjects, read one at a time: moments of the group, and edges on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bids_ai.group.edges import EdgeList, EdgeStore
from bids_ai.group.moments import RunningMoments
from bids_ai.stages.group_inputs import GroupAtlas, MatrixFile, read_matrix, read_meta
from bids_ai.stages.group_measures import MEASURES, Measure, measure_label


@dataclass
class SubjectRow:
    """What became of a subject.

    Attributes
    ----------
    subject : str
    used : bool
    reason : str
        Why it is not used, or what was left out of it.
    fault : bool
        Whether something should be put right.
    recordings : int
        Matrices that went into its own.
    source : str
        ``pooled fit``, or ``mean over recordings``.
    unreliable : int or None
        Fits that their own checks call unreliable; None where they say nothing.
    """

    subject: str
    used: bool = False
    reason: str = ""
    fault: bool = False
    recordings: int = 0
    source: str = ""
    unreliable: int | None = None


@dataclass
class Collected:
    """One kind of matrix of a group.

    Attributes
    ----------
    measure : Measure
    label : str
        Entities of file names.
    band : str
    edges : EdgeList
    moments : RunningMoments
        Over subjects, of the edges.
    subjects : list of SubjectRow
        All of the group, used or not.
    store : EdgeStore or None
        Rows of edges; None for kinds that are averaged only.
    rows : dict of str to int
        Row of each subject.
    sessions, runs : dict of str to dict of str to int
        Row of each session, and of each run of one session, by subject.
    halves : dict of str to (int, int)
        Rows of the means over odd and over even recordings.
    used : dict of str to list of Path
        Files that made the matrix of each subject.
    repeated : dict of str to list of Path
        Files of its single recordings.
    units : str
        Of the matrices of the subjects.
    """

    measure: Measure
    label: str
    band: str
    edges: EdgeList
    moments: RunningMoments
    subjects: list[SubjectRow] = field(default_factory=list)
    store: EdgeStore | None = None
    rows: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, dict[str, int]] = field(default_factory=dict)
    runs: dict[str, dict[str, int]] = field(default_factory=dict)
    halves: dict[str, tuple[int, int]] = field(default_factory=dict)
    used: dict[str, list[Path]] = field(default_factory=dict)
    repeated: dict[str, list[Path]] = field(default_factory=dict)
    units: str = ""

    @property
    def name(self) -> str:
        """Kind in tables: the entities of file names, with the band."""
        return self.label + (f" {self.band}" if self.band else "")

    def mean(self) -> np.ndarray:
        """Mean matrix, on the scale of the subjects' own."""
        return self.edges.matrix(self.measure.back(self.moments.mean))


def collect(files: Sequence[MatrixFile], atlas: GroupAtlas, subjects: Sequence[str], scratch: Path | None) -> Collected:
    """Read one kind of matrix of all subjects.

    A subject counts once: by the fit over all its runs where there is one, or by the mean over its recordings.

    Parameters
    ----------
    files : sequence of MatrixFile
        Of one kind, cohort and atlas.
    atlas : GroupAtlas
    subjects : sequence of str
        All of the group; those without a file are listed with that reason.
    scratch : Path, optional
        Folder for the edges; None where only moments are wanted.
    """
    measure = MEASURES[files[0].key]
    edges = EdgeList(len(atlas.nodes), directed=measure.directed)
    found = Collected(measure, measure_label(files[0]), files[0].band, edges, RunningMoments((len(edges),)))
    found.units = _commonest_units(files) or measure.units
    if scratch is not None:
        found.store = EdgeStore(scratch / f"{found.label}.edges", len(edges))
    own: dict[str, list[MatrixFile]] = {}
    for file in files:
        own.setdefault(file.subject, []).append(file)
    for subject in subjects:
        found.subjects.append(_add_subject(found, atlas, subject, own.get(subject, [])))
    return found


def _commonest_units(files: Sequence[MatrixFile]) -> str:
    """Units of effective connectivity that most fits have.

    A model with neural states is pushed in other units than one of signals, and a mean over both has none.
    """
    if files[0].key != "ec":
        return ""
    told = [str(meta["MeasureUnits"]) for file in files if (meta := read_meta(file.path)).get("MeasureUnits")]
    return max(dict.fromkeys(told), key=told.count) if told else ""


def _add_subject(found: Collected, atlas: GroupAtlas, subject: str, files: Sequence[MatrixFile]) -> SubjectRow:
    row = SubjectRow(subject)
    if not files:
        row.reason = "no such matrix"
        return row
    readings = _Readings(found, atlas, row)
    single = [file for file in files if not file.pooled]
    pooled = [edges for file in files if file.pooled and (edges := readings.read(file)) is not None]
    # The recordings tell how reliable the matrices are; they make the subject's own where there is no fit over all.
    recordings = single if found.store is not None or not pooled else []
    mean = _Mean()
    sessions: dict[str, _Mean] = {}
    runs: dict[str, dict[str, int]] = {}
    halves = (_Mean(), _Mean())
    for file in recordings:
        edges = readings.read(file, counted=not pooled)
        if edges is None:
            continue
        halves[mean.n % 2].add(edges)
        mean.add(edges)
        sessions.setdefault(file.session, _Mean()).add(edges)
        if found.store is not None:
            runs.setdefault(file.session, {})[file.run] = found.store.append(edges)
    values = pooled[0] if pooled else mean.value
    row.reason = "; ".join(dict.fromkeys(readings.reasons))
    if values is None:
        return row
    row.used, row.source = True, "pooled fit" if pooled else "mean over recordings" if mean.n > 1 else "one recording"
    row.recordings = max(mean.n, 1)
    found.moments.add(values)
    if found.store is not None:
        found.rows[subject] = found.store.append(values)
        _repetitions(found, subject, sessions, runs, halves)
    found.used[subject], found.repeated[subject] = readings.counted, readings.repeated
    return row


def _repetitions(
    found: Collected,
    subject: str,
    sessions: dict[str, _Mean],
    runs: dict[str, dict[str, int]],
    halves: tuple[_Mean, _Mean],
) -> None:
    """Keep rows of sessions, of the runs of one session, and of halves."""
    store = found.store
    assert store is not None
    for session, mean in sessions.items():
        row = next(iter(runs[session].values())) if mean.n == 1 else store.append(_known(mean))
        found.sessions.setdefault(subject, {})[session] = row
    several = [rows for rows in runs.values() if len(rows) > 1]
    if several:
        found.runs[subject] = max(several, key=len)
    if halves[1].n:
        found.halves[subject] = (store.append(_known(halves[0])), store.append(_known(halves[1])))


class _Mean:
    """Mean of a few rows, NaN where none has a value."""

    def __init__(self) -> None:
        self.n, self._moments = 0, RunningMoments((0,))

    def add(self, values: np.ndarray) -> None:
        if not self.n:
            self._moments = RunningMoments(values.shape)
        self._moments.add(values)
        self.n += 1

    @property
    def value(self) -> np.ndarray | None:
        return self._moments.mean if self.n else None


def _known(mean: _Mean) -> np.ndarray:
    assert mean.value is not None
    return mean.value


class _Readings:
    """Read the matrices of a subject, and keep what is to be said of them."""

    def __init__(self, found: Collected, atlas: GroupAtlas, row: SubjectRow) -> None:
        self._found, self._atlas, self._row = found, atlas, row
        self.reasons: list[str] = []
        self.counted: list[Path] = []
        self.repeated: list[Path] = []

    def read(self, file: MatrixFile, *, counted: bool = True) -> np.ndarray | None:
        """Edges of a matrix on the scale of comparison; None where there is none."""
        reading = read_matrix(file.path, self._atlas)
        matrix, reason = reading.matrix, reading.reason
        units = str(reading.meta.get("MeasureUnits") or self._found.units)
        if matrix is not None and file.key == "ec" and units != self._found.units:
            reason = f"in {units}, and most of the group in {self._found.units}"
        if matrix is None or reason:
            self.reasons.append(f"{_short(file)}{reason}")
            self._row.fault |= reading.fault
            return None
        if counted:
            self.counted.append(file.path)
            self._judge(reading.meta)
        if not file.pooled:
            self.repeated.append(file.path)
        return self._found.edges.vector(self._found.measure.forward(matrix))

    def _judge(self, meta: dict[str, Any]) -> None:
        verdict = (meta.get("Gate") or {}).get("Verdict")
        if verdict is not None:
            self._row.unreliable = (self._row.unreliable or 0) + (verdict != "reliable")


def _short(file: MatrixFile) -> str:
    """Which of several matrices of a subject a reason is about."""
    parts = ["fit over all runs"] if file.pooled else [part for part in (file.session, file.run) if part]
    return f"{' '.join(parts)}: " if parts else ""
