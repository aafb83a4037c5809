"""The index: which recordings a run works on, and the file chosen for every input.

Written once before the first job; the workflow and every stage read it and never parse the dataset again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json, write_json

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class Anatomy:
    """The T1w of a subject that preprocessing works on."""

    item: str  # sub-01/anat/sub-01
    subject: str  # sub-01
    t1w: str
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """One run (sub x ses x task x run) of BOLD, EEG or iEEG: the unit of fitting.

    ``engine`` says where it starts: ``builtin`` (raw), ``fmriprep`` (preprocessed BOLD and confounds) or
    ``timeseries`` (region series of another tool).
    """

    item: str  # sub-01/func/sub-01_task-rest_run-1
    series: str  # item, with _space-... where there is one
    subject: str
    session: str | None
    task: str | None
    run: str | None
    engine: str
    tr: float | None  # s, between frames; EEG and iEEG: between samples of the region series
    source: str
    modality: str = "bold"  # or eeg, ieeg
    stimulated: bool = False  # single-pulse stimulation, by the rows of its events
    located: bool = True  # its coordinates say where it records from
    positioned: bool = True  # it has coordinates, in whatever frame: distances between its contacts are known
    named_in: tuple[str, ...] = ()  # atlases whose regions are taken from the next or the one after, not by coordinates
    segmentation: str | None = None  # of the subject's brain, in the coordinates of the contacts
    label_column: str | None = None  # of electrodes.tsv, with regions
    contacts_to_t1w: str | None = None  # transform of the contacts
    resting: bool = True  # it has stretches without stimulation; without, or without places, regions have no series
    space: str | None = None
    anat: str | None = None
    slice_timing: tuple[float, ...] | None = None  # s
    slice_encoding: str | None = None
    start_time: float = 0.0  # s
    sbref: str | None = None
    events: str | None = None
    mask: str | None = None
    confounds: str | None = None
    atlas: str | None = None  # only where the region series came from another tool
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diffusion:
    """A diffusion series, of which a structural connectome is made.

    ``engine`` says where it starts: ``builtin`` (raw) or ``qsiprep`` (preprocessed). Without a T1w the images stay in
    the space of the series, and ``space`` is None.
    """

    item: str  # sub-01/dwi/sub-01_dir-AP
    subject: str
    session: str | None
    engine: str
    source: str
    bval: str
    bvec: str
    space: str | None = None
    anat: str | None = None
    phase_encoding: str | None = None
    readout_time: float | None = None  # s
    reverse: str | None = None  # unweighted volumes encoded the other way
    reverse_readout_time: float | None = None  # s
    mask: str | None = None  # this and the next two only where another tool preprocessed
    t1w: str | None = None
    from_template: str | None = None
    unused: tuple[str, ...] = ()

    @property
    def images(self) -> str:
        """What its images are named after: the item, with ``_space-...`` where there is one."""
        return f"{self.item}_space-{self.space}" if self.space else self.item


@dataclass(frozen=True)
class Fit:
    """One surrogate to fit: one recording, or all runs of a task of a subject."""

    series: str
    recordings: tuple[str, ...]
    subject: str
    pooled: bool = False
    atlas: str | None = None  # only where the region series came from another tool

    @property
    def pool(self) -> str:
        """Name part of a pooled fit."""
        return "_desc-pooled" if self.pooled else ""

    @property
    def name(self) -> str:
        """Name that spreads the seed; does not depend on who else is fitted."""
        folder = Path(self.series).parent.name
        return f"{Path(self.series).name}{self.pool}" + (f"_{folder}" if folder in ("eeg", "ieeg") else "")


@dataclass(frozen=True)
class AtlasEntry:
    """An atlas of the run: a volume to apply, or only the names of series that another tool made."""

    label: str  # atlas-Schaefer2018_seg-7Networks_scale-100
    spec: str
    kind: str = "volume"  # or "series"


@dataclass(frozen=True)
class Skipped:
    """Something that was looked at and cannot be worked on."""

    subject: str
    what: str
    reason: str
    fault: bool = True  # a fault counts in the exit code; a choice (another atlas, no data) does not


@dataclass
class Index:
    """All that a run knows of its inputs."""

    bids_dir: str
    dataset_name: str
    space: str
    anatomies: list[Anatomy] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    diffusions: list[Diffusion] = field(default_factory=list)
    fits: list[Fit] = field(default_factory=list)
    atlases: list[AtlasEntry] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    derivatives: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._refresh()

    def _refresh(self) -> None:
        self._anatomy = {anatomy.item: anatomy for anatomy in self.anatomies}
        self._recording: dict[tuple[str, str | None], Recording] = {}
        for recording in self.recordings:
            for key in (recording.item, recording.series):
                self._recording.setdefault((key, None), recording)
                self._recording[key, recording.atlas] = recording
        self._diffusion = {entry.images: entry for entry in self.diffusions}
        self._fit: dict[tuple[str, str, str | None], Fit] = {}
        for fit in self.fits:
            self._fit.setdefault((fit.series, fit.pool, None), fit)
            self._fit[fit.series, fit.pool, fit.atlas] = fit

    @property
    def subjects(self) -> list[str]:
        """Subjects with anything to do or to tell, in order."""
        found = {entry.subject for entry in self.anatomies}
        for entries in (self.recordings, self.diffusions, self.skipped):
            found |= {entry.subject for entry in entries}
        return sorted(found - {""})

    def used_names(self, subject: str) -> set[str]:
        """Names of the files of a subject that something is made from: what one recording leaves, another may use."""
        entries: list[Any] = [*self.anatomies, *self.recordings, *self.diffusions]
        paths = ("t1w", "source", "sbref", "events", "mask", "confounds", "reverse")
        found = (getattr(entry, name, None) for entry in entries if entry.subject == subject for name in paths)
        return {Path(path).name for path in found if path}

    def anatomy(self, item: str) -> Anatomy:
        """T1w by its item."""
        return self._anatomy[item]

    def recording(self, item: str, atlas: str | None = None) -> Recording:
        """Recording by its item or by its series.

        Parameters
        ----------
        item : str
        atlas : str, optional
            Label of the atlas: another tool may have left the series of one recording in several.
        """
        return self._recording.get((item, atlas)) or self._recording[item, None]

    def diffusion(self, images: str) -> Diffusion:
        """Diffusion series by what its images are named after."""
        return self._diffusion[images]

    def structural_source(self, fit: Fit) -> Diffusion | None:
        """Diffusion series whose connectome a fit may use: of the session of its first run if there is one there."""
        own = [entry for entry in self.diffusions if entry.subject == fit.subject]
        session = self.recording(fit.recordings[0], fit.atlas).session
        return next((entry for entry in own if entry.session == session), own[0] if own else None)

    def volume_atlases(self) -> list[AtlasEntry]:
        """Atlases that are applied to images."""
        return [entry for entry in self.atlases if entry.kind == "volume"]

    def fit(self, series: str, pool: str, atlas: str | None = None) -> Fit:
        """Fit by its series, its pool part, and the atlas where the series came from another tool."""
        return self._fit.get((series, pool, atlas)) or self._fit[series, pool, None]

    def modality(self, fit: Fit) -> str:
        """Modality of the recordings of a fit."""
        return self.recording(fit.recordings[0], fit.atlas).modality

    def atlas(self, label: str) -> AtlasEntry:
        """Atlas by its label."""
        return next(entry for entry in self.atlases if entry.label == label)

    def pairs(self) -> Iterator[tuple[Recording, AtlasEntry]]:
        """Recordings with the atlases that apply to them."""
        for recording in self.recordings:
            for atlas in self.atlases:
                if self.applies(recording, atlas):
                    yield recording, atlas

    @staticmethod
    def placed(recording: Recording, atlas: AtlasEntry) -> bool:
        """Whether it is known which regions of this atlas this recording records from."""
        return recording.located or atlas.label in recording.named_in

    def is_placed(self, recording: Recording) -> bool:
        """Whether it is known of any atlas which of its regions a recording records from."""
        return any(self.placed(recording, atlas) for atlas in self.volume_atlases())

    def atlases_of_prediction(self, recording: Recording) -> list[AtlasEntry]:
        """Atlases in which responses of a recording are predicted.

        Those whose regions it is known to record from. Where there is none, distances and signals are left, which are
        the same for any atlas: then the first.
        """
        atlases = self.volume_atlases()
        placed = [atlas for atlas in atlases if self.placed(recording, atlas)]
        return placed or (atlases[:1] if recording.positioned else [])

    @classmethod
    def applies(cls, recording: Recording, atlas: AtlasEntry) -> bool:
        """Whether series of this recording in this atlas are made or found."""
        of_another_tool = recording.engine == "timeseries"
        placed = cls.placed(recording, atlas)
        fits = placed and recording.resting and (atlas.kind == "series") == of_another_tool
        return fits and recording.atlas in (None, atlas.label)

    def fits_of(self, atlas: AtlasEntry) -> list[Fit]:
        """Fits whose recordings have series in an atlas."""
        return [fit for fit in self.fits if self.applies(self.recording(fit.recordings[0], fit.atlas), atlas)]

    def batches(self, atlas: AtlasEntry, size: int) -> dict[str, list[Fit]]:
        """Fits of an atlas in groups of one modality and at most `size`, each under a name made of its content."""
        kinds: dict[str, list[Fit]] = {}
        for fit in self.fits_of(atlas):
            kinds.setdefault(self.modality(fit), []).append(fit)
        groups = (fits[start : start + size] for fits in kinds.values() for start in range(0, len(fits), size))
        return {_digest([fit.name for fit in group]): group for group in groups}

    def without(self, series: set[str], items: set[str]) -> Index:
        """The same index without some series, and some T1w and diffusion images; fits that lose a run shrink."""
        kept = [recording for recording in self.recordings if recording.series not in series]
        return Index(
            bids_dir=self.bids_dir,
            dataset_name=self.dataset_name,
            space=self.space,
            anatomies=[entry for entry in self.anatomies if entry.item not in items],
            recordings=kept,
            diffusions=[entry for entry in self.diffusions if entry.images not in items],
            fits=make_fits(kept, pool_runs=any(fit.pooled for fit in self.fits)),
            atlases=self.atlases,
            skipped=self.skipped,
            derivatives=self.derivatives,
        )

    def save(self, path: Path) -> None:
        """Write the index as JSON."""
        fields = ("bids_dir", "dataset_name", "space", "derivatives")
        content: dict[str, Any] = {"schema_version": SCHEMA_VERSION} | {name: getattr(self, name) for name in fields}
        for name in ("anatomies", "recordings", "diffusions", "fits", "atlases", "skipped"):
            content[name] = [asdict(entry) for entry in getattr(self, name)]
        write_json(path, content)

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read an index written by :meth:`save`."""
        content = read_json(path)
        return cls(
            bids_dir=content["bids_dir"],
            dataset_name=content["dataset_name"],
            space=content["space"],
            derivatives=content["derivatives"],
            anatomies=[Anatomy(**_tuples(entry)) for entry in content["anatomies"]],
            recordings=[Recording(**_tuples(entry)) for entry in content["recordings"]],
            diffusions=[Diffusion(**_tuples(entry)) for entry in content["diffusions"]],
            fits=[Fit(**_tuples(entry)) for entry in content["fits"]],
            atlases=[AtlasEntry(**entry) for entry in content["atlases"]],
            skipped=[Skipped(**entry) for entry in content["skipped"]],
        )


def make_fits(recordings: list[Recording], *, pool_runs: bool) -> list[Fit]:
    """List the fits: one per recording, and one per subject and task with more than one run of the same TR.

    Pooling crosses sessions. Runs that have no region series are left out of it. Runs of different modality, TR, space
    or atlas are not pooled: a lag would mean another time. Where a task was recorded at several TR, the larger group of
    runs is pooled.
    """
    fits = [Fit(entry.series, (entry.series,), entry.subject, atlas=entry.atlas) for entry in recordings]
    groups: dict[tuple[Any, ...], list[Recording]] = {}
    for entry in (one for one in recordings if one.resting):
        groups.setdefault((entry.subject, entry.modality, entry.task, entry.space, entry.atlas), []).append(entry)
    for (subject, _, task, space, atlas), entries in groups.items():
        runs = _most_of_one_tr(entries)
        if pool_runs and len(runs) > 1 and task:
            parts = [subject, f"task-{task}"] + ([f"space-{space}"] if space else [])
            folder = Path(runs[0].item).parent.name  # func, eeg or ieeg
            series = f"{subject}/{folder}/{'_'.join(parts)}"
            fits.append(Fit(series, tuple(run.series for run in runs), subject, pooled=True, atlas=atlas))
    return fits


def _most_of_one_tr(recordings: list[Recording]) -> list[Recording]:
    """Recordings of the most frequent TR, the first of several; a TR read from a frequency is not exact."""
    groups: dict[float, list[Recording]] = {}
    for entry in recordings:
        groups.setdefault(round(entry.tr or 0.0, 6), []).append(entry)
    return max(groups.values(), key=len)


def _digest(names: list[str]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]


def _tuples(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
