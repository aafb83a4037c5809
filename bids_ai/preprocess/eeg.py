"""Preprocessing of a scalp EEG: from a recording to a clean one and a record of what was done.

The order is that of PREP and of the usual ICA pipelines: positions, mains, bad channels, bad segments, independent
components, band, interpolation, average reference. What cannot be done with a recording (one channel, a hundred hertz,
two seconds) is left out, and the record says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_ica, eeg_segments
from bids_ai.preprocess.eeg_bad_channels import bad_channels
from bids_ai.preprocess.eeg_line_noise import LineMethod, LineRecord, remove_line
from bids_ai.preprocess.eeg_positions import PositionRecord, give_positions, has_position
from bids_ai.preprocess.eeg_segments import SegmentRecord, good_frames

#: Length of MNE's default high-pass in units of its period: a shorter recording is not filtered, only detrended.
_FILTER_PERIODS = 3.3
#: An average over fewer electrodes is no neutral reference (Junghoefer et al. 1999, doi:10.1016/S1388-2457(99)00044-9):
#: the recording keeps its own. Nor do fewer good ones predict a bad one.
LEAST_REFERENCE, LEAST_INTERPOLATION = 8, 8
#: The criteria compare channels with each other. When they condemn more than this share, they say something of the
#: recording, not of channels: then only flat and empty ones are marked.
MOST_BAD = 0.5
#: A low-pass needs this much room below half of the sampling rate, as a share of it.
_ROOM = 0.9


@dataclass(frozen=True)
class EpochSettings:
    """Epochs of task data.

    Attributes
    ----------
    tmin_s, tmax_s : float
        About the event.
    events : tuple of str
        Descriptions of annotations; empty: every one that does not begin with "bad".
    baseline_s : tuple of two floats, optional
        Subtracted mean.
    """

    tmin_s: float = -0.2
    tmax_s: float = 0.8
    events: tuple[str, ...] = ()
    baseline_s: tuple[float, float] | None = (-0.2, 0.0)


@dataclass(frozen=True)
class EegSettings:
    """What is done with a recording; every default has its reason in ``docs/eeg.md``.

    Attributes
    ----------
    high_pass_hz, low_pass_hz : float
        Of the output.
    ica_low_pass_hz : float
        Of the data to which components are fitted, above 1 Hz.
    line_hz : float, optional
        Mains; found from the spectrum by default.
    line_method : {"notch", "spectrum_fit"}
    find_bad_channels, ica, interpolate, average_reference : bool
    remove : tuple of str
        Classes of components that are taken out: "muscle", "eye", "heart", "line_noise", "channel_noise".
    probability : float
        From which a component is removed, 0 to 1.
    muscle_z : float
        Threshold of muscle bursts, standard deviations.
    gross_uv, amplitude_uv : float
        Peak to peak within a second above which a segment is left out of the ICA, and of the output, microvolts.
    epochs : EpochSettings, optional
        None gives none.
    seed : int
        Of ICA and RANSAC.
    """

    high_pass_hz: float = 0.5
    low_pass_hz: float = 45.0
    ica_low_pass_hz: float = eeg_ica.FIT_LOW_PASS_HZ
    line_hz: float | None = None
    line_method: LineMethod = "notch"
    find_bad_channels: bool = True
    ica: bool = True
    interpolate: bool = True
    average_reference: bool = True
    remove: tuple[str, ...] = ("muscle", "eye", "heart", "line_noise")
    probability: float = 0.7
    muscle_z: float = 4.0
    gross_uv: float = 800.0
    amplitude_uv: float = 200.0
    epochs: EpochSettings | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if not 0.0 <= self.high_pass_hz < self.low_pass_hz:
            raise InputError(
                f"Band of the output: 0 <= high-pass < low-pass is wanted, got {self.high_pass_hz!r} and "
                f"{self.low_pass_hz!r} Hz."
            )
        unknown = [name for name in self.remove if name not in eeg_ica.CLASSES]
        if unknown or "brain" in self.remove:
            raise InputError(
                f"Components to remove: some of {', '.join(eeg_ica.CLASSES[1:])} are wanted, got {list(self.remove)}."
            )
        if not 0.0 <= self.probability <= 1.0:
            raise InputError(f"Probability of components: 0 to 1 is wanted, got {self.probability!r}.")


class BadChannelRecord(TypedDict):
    """Bad channels with reasons, those marked bad before, and what became of them."""

    given: list[str]
    found: dict[str, list[str]]
    share: float
    rule: str
    interpolated: list[str]
    left_bad: list[str]
    interpolation: str


class IcaRecord(TypedDict):
    """What ICA found and removed; `left_out` is the reason where it was not done."""

    done: bool
    left_out: str | None
    n_components: int
    n_removed: dict[str, int]
    explained_variance_removed: float
    converged: bool | None
    note: str


class EegQuality(TypedDict):
    """Everything that was done with a recording or left out, with counts and reasons; goes into a sidecar as it is."""

    sampling_hz: float
    duration_s: float
    n_channels: int
    other_channels: list[str]
    positions: PositionRecord
    line_noise: LineRecord
    bad_channels: BadChannelRecord
    segments: list[SegmentRecord]
    good_seconds: float
    ica: IcaRecord
    high_pass: str
    low_pass: str
    reference: str
    epochs: dict[str, Any] | None
    missing_samples: int
    left_out: list[str]


@dataclass(frozen=True)
class EegOutputs:
    """A preprocessed recording.

    Attributes
    ----------
    raw : mne.io.BaseRaw
        EEG channels, volts; annotations that begin with ``BAD`` mark what is not used.
    quality : EegQuality
    components : pandas.DataFrame
        `eeg_ica.Decomposition.table`; without rows where ICA was left out.
    maps : array, shape (n_components, n_channels)
        What a component looks like on the scalp, any unit; NaN for channels that ICA did not see.
    epochs : mne.Epochs, optional
    """

    raw: Any
    quality: EegQuality
    components: pd.DataFrame
    maps: np.ndarray
    epochs: Any = field(default=None)

    @property
    def good(self) -> np.ndarray:
        """Samples that are used, shape (n_times,) of bool."""
        return good_frames(self.raw)


def preprocess_eeg(raw: Any, settings: EegSettings | None = None) -> EegOutputs:
    """Clean a scalp EEG.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        With EEG channels; channels in ``info["bads"]`` stay bad. It is not changed.
    settings : EegSettings, optional

    Returns
    -------
    EegOutputs

    Raises
    ------
    InputError
        When there is no EEG channel, or none with a signal.

    References
    ----------
    Bigdely-Shamlo et al. 2015, doi:10.3389/fninf.2015.00016; Pernet et al. 2020, doi:10.1038/s41593-020-00709-0.
    """
    settings = settings or EegSettings()
    eeg, other = _eeg_only(raw)
    missing = _fill_missing(eeg)
    left_out: list[str] = []
    positions = give_positions(eeg)
    line = remove_line(eeg, settings.line_hz, settings.line_method)

    fitted = eeg.copy()
    _high_pass(fitted, eeg_ica.FIT_HIGH_PASS_HZ)
    bad = _find_bad(fitted, eeg, settings, missing.empty_channels)
    segments = [
        eeg_segments.mark_amplitude(fitted, settings.gross_uv, "BAD_gross"),
        eeg_segments.mark_muscle(fitted, settings.muscle_z),
    ]
    eeg.set_annotations(fitted.annotations, verbose="error")

    high_pass = _high_pass(eeg, settings.high_pass_hz)
    components, maps, ica = _remove_components(fitted, eeg, settings)
    del fitted
    low_pass = _low_pass(eeg, settings.low_pass_hz)
    _interpolate(eeg, bad, settings)
    reference = _reference(eeg, settings)
    segments.append(eeg_segments.mark_amplitude(eeg, settings.amplitude_uv))
    epochs, epoch_record = _epochs(eeg, settings.epochs)

    if line["method"] == "none" and line["frequency_hz"] is not None:
        left_out.append(f"mains: {line['how_known']}")
    left_out += [f"comparison of channels: {bad['rule']}"] if bad["rule"].startswith("left out") else []
    left_out += [f"{one['description']}: {one['rule']}" for one in segments if one["rule"].startswith("left out")]
    left_out += [f"ICA: {ica['left_out']}"] if ica["left_out"] else []
    left_out += [
        f"{what}: {said}" for what, said in (("high-pass", high_pass), ("low-pass", low_pass)) if "left out" in said
    ]
    left_out += [f"bad channels stay bad: {bad['interpolation']}"] if bad["left_bad"] else []
    left_out += [f"average reference: {reference}"] if reference != "average" else []
    quality: EegQuality = {
        "sampling_hz": float(eeg.info["sfreq"]),
        "duration_s": round(float(eeg.n_times / eeg.info["sfreq"]), 3),
        "n_channels": len(eeg.ch_names),
        "other_channels": other,
        "positions": positions,
        "line_noise": line,
        "bad_channels": bad,
        "segments": segments,
        "good_seconds": round(float(good_frames(eeg).sum()) / float(eeg.info["sfreq"]), 3),
        "ica": ica,
        "high_pass": high_pass,
        "low_pass": low_pass,
        "reference": reference,
        "epochs": epoch_record,
        "missing_samples": missing.n_samples,
        "left_out": left_out,
    }
    return EegOutputs(eeg, quality, components, maps, epochs)


@dataclass(frozen=True)
class _Missing:
    """Samples without a value in some channel, and channels without any."""

    n_samples: int
    empty_channels: tuple[str, ...]


def _eeg_only(raw: Any) -> tuple[Any, list[str]]:
    import mne

    picks = mne.pick_types(raw.info, eeg=True, exclude=())
    if not len(picks):
        kinds = sorted(set(raw.get_channel_types()))
        raise InputError(
            f"EEG channels are wanted; the recording has {', '.join(kinds) or 'no channel'}. "
            "Set the types of the channels (channels.tsv) first."
        )
    names = [raw.ch_names[pick] for pick in picks]
    eeg = raw.copy().load_data(verbose="error").pick(names, verbose="error")
    # A reference that was only planned would be applied with ours.
    planned = [number for number, one in enumerate(eeg.info["projs"]) if not one["active"]]
    if planned:
        eeg.del_proj(planned)
    return eeg, [name for name in raw.ch_names if name not in names]


def _fill_missing(eeg: Any) -> _Missing:
    """Put lines through missing samples, which no filter bears, and mark them; in place."""
    import mne

    lost = np.isnan(eeg._data)
    if not lost.any():
        return _Missing(0, ())
    empty = lost.all(axis=1)
    gap = lost[~empty].any(axis=0)
    times = np.arange(eeg.n_times)
    for row in np.flatnonzero(lost.any(axis=1)):
        there = ~lost[row]
        eeg._data[row] = np.interp(times, times[there], eeg._data[row, there]) if there.any() else 0.0
    edges = np.flatnonzero(np.diff(np.r_[False, gap, False].astype(int))).reshape(-1, 2)
    rate = float(eeg.info["sfreq"])
    start = edges[:, 0] / rate + (eeg.first_samp / rate if eeg.annotations.orig_time is not None else 0.0)
    found = mne.Annotations(start, np.diff(edges, axis=1)[:, 0] / rate, "BAD_missing", eeg.annotations.orig_time)
    eeg.set_annotations(eeg.annotations + found, verbose="error")
    return _Missing(int(gap.sum()), tuple(np.array(eeg.ch_names)[empty]))


def _high_pass(eeg: Any, cut_hz: float) -> str:
    """High-pass in place, and what was done."""
    if cut_hz == 0.0:
        return "none asked for"
    if eeg.n_times / float(eeg.info["sfreq"]) > _FILTER_PERIODS / min(cut_hz, 1.0):
        eeg.filter(cut_hz, None, verbose="error")
        return f"{cut_hz:g} Hz"
    from scipy.signal import detrend

    eeg._data[:] = detrend(eeg._data, axis=1)
    return f"left out: {eeg.n_times / float(eeg.info['sfreq']):.3g} s are too short for {cut_hz:g} Hz; line subtracted"


def _low_pass(eeg: Any, cut_hz: float) -> str:
    if cut_hz >= _ROOM * float(eeg.info["sfreq"]) / 2.0:
        return f"left out: {cut_hz:g} Hz is near or above half of the sampling rate"
    eeg.filter(None, cut_hz, verbose="error")
    return f"{cut_hz:g} Hz"


def _find_bad(fitted: Any, eeg: Any, settings: EegSettings, empty: tuple[str, ...]) -> BadChannelRecord:
    """Mark bad channels in both recordings."""
    given = list(eeg.info["bads"])
    found: dict[str, list[str]] = {name: ["no data"] for name in empty}
    rule = "not asked for"
    if settings.find_bad_channels:
        rest = [name for name in eeg.ch_names if name not in given and name not in empty]
        if not rest:
            raise InputError(f"A good EEG channel is wanted; all {len(eeg.ch_names)} are marked bad or empty.")
        places = np.array([eeg.info["chs"][eeg.ch_names.index(name)]["loc"][:3] for name in rest])
        places[~has_position(eeg.info)[[eeg.ch_names.index(name) for name in rest]]] = np.nan
        good = good_frames(fitted)
        data = fitted.get_data(picks=rest).T[good if good.any() else slice(None)]
        judged = bad_channels(data, float(eeg.info["sfreq"]), places, names=rest, seed=settings.seed)
        rule = "PREP: amplitude, high frequencies, correlation, prediction by neighbours"
        if len(judged) > MOST_BAD * len(rest):
            rule = f"left out: {len(judged)} of {len(rest)} channels are unlike the others; only flat ones are marked"
            judged = {name: why for name, why in judged.items() if why[0].startswith(("flat", "no data"))}
        found |= judged
    for one in (eeg, fitted):
        one.info["bads"] = [name for name in one.ch_names if name in given or name in found]
    bads = list(eeg.info["bads"])
    return {
        "given": given,
        "found": found,
        "share": round(len(bads) / len(eeg.ch_names), 3),
        "rule": rule,
        "interpolated": [],
        "left_bad": bads,
        "interpolation": "no bad channel" if not bads else "not asked for",
    }


def _remove_components(fitted: Any, eeg: Any, settings: EegSettings) -> tuple[pd.DataFrame, np.ndarray, IcaRecord]:
    """Take the components of artefacts out of `eeg`, in place; gives all components with their maps."""
    why = eeg_ica.why_no_ica(fitted) if settings.ica else "not asked for"
    if why:
        empty = pd.DataFrame(columns=["component", "label", "probability", "explained_variance", "removed"])
        return (
            empty,
            np.empty((0, len(eeg.ch_names))),
            {
                "done": False,
                "left_out": why,
                "n_components": 0,
                "n_removed": {},
                "explained_variance_removed": 0.0,
                "converged": None,
                "note": "",
            },
        )
    found = eeg_ica.decompose(
        fitted,
        remove=settings.remove,
        probability=settings.probability,
        seed=settings.seed,
        low_pass_hz=settings.ica_low_pass_hz,
    )
    removed = found.table[found.table["removed"]]
    if len(removed):
        # Components were found in an average reference of the good channels: they are taken out of the same.
        good = [name for name in eeg.ch_names if name not in eeg.info["bads"]]
        rows = [eeg.ch_names.index(name) for name in good]
        eeg._data -= eeg._data[rows].mean(axis=0)
        found.ica.apply(eeg, verbose="error")
    maps = np.full((len(found.table), len(eeg.ch_names)), np.nan)
    maps[:, [eeg.ch_names.index(name) for name in found.ica.ch_names]] = found.ica.get_components().T
    return (
        found.table,
        maps,
        {
            "done": True,
            "left_out": None,
            "n_components": len(found.table),
            "n_removed": {str(name): int(count) for name, count in removed["label"].value_counts().items()},
            "explained_variance_removed": round(float(removed["explained_variance"].sum()), 4),
            "converged": found.converged,
            "note": found.note,
        },
    )


def _interpolate(eeg: Any, record: BadChannelRecord, settings: EegSettings) -> None:
    """Put what neighbours say in place of bad channels, in place; the record says which."""
    bads = list(eeg.info["bads"])
    if not bads or not settings.interpolate:
        return
    placed = has_position(eeg.info)
    good = [name for name, there in zip(eeg.ch_names, placed, strict=True) if there and name not in bads]
    wanted = [name for name, there in zip(eeg.ch_names, placed, strict=True) if there and name in bads]
    if len(good) < LEAST_INTERPOLATION:
        record["interpolation"] = f"{len(good)} good channels with a position; {LEAST_INTERPOLATION} are needed"
        return
    unplaced = [name for name in bads if name not in wanted]
    if wanted:
        both = eeg.copy().pick([name for name in eeg.ch_names if name in good or name in wanted], verbose="error")
        try:
            both.interpolate_bads(verbose="error")
        except (RuntimeError, ValueError):  # no sphere can be fitted to the electrodes: that of an adult
            both.interpolate_bads(origin=(0.0, 0.0, 0.04), verbose="error")
        for name in wanted:
            eeg._data[eeg.ch_names.index(name)] = both.get_data(picks=[name])[0]
    eeg.info["bads"] = unplaced
    record["interpolated"], record["left_bad"] = wanted, unplaced
    record["interpolation"] = "; ".join(
        (["spherical splines"] if wanted else []) + (["not those without position"] if unplaced else [])
    )


def _reference(eeg: Any, settings: EegSettings) -> str:
    """Average reference in place, and the name of what the recording has."""
    n_good = len(eeg.ch_names) - len(eeg.info["bads"])
    if not settings.average_reference:
        return "as recorded: not asked for"
    if n_good < LEAST_REFERENCE:
        return f"as recorded: {n_good} good channels; {LEAST_REFERENCE} are needed"
    eeg.set_eeg_reference("average", verbose="error")
    return "average"


def _epochs(eeg: Any, settings: EpochSettings | None) -> tuple[Any, dict[str, Any] | None]:
    """Epochs about annotations, and how many of each were kept."""
    if settings is None:
        return None, None
    import mne

    names = sorted({str(one) for one in eeg.annotations.description if not str(one).lower().startswith("bad")})
    wanted = list(settings.events) or names
    there = {name: number for number, name in enumerate((name for name in wanted if name in names), start=1)}
    if not there:
        return None, {"left_out": f"no event of {wanted or 'any name'}; the recording has {names or 'none'}"}
    events, _ = mne.events_from_annotations(eeg, event_id=there, verbose="error")
    epochs = mne.Epochs(
        eeg,
        events,
        there,
        settings.tmin_s,
        settings.tmax_s,
        baseline=settings.baseline_s,
        reject_by_annotation=True,
        preload=True,
        event_repeated="drop",
        on_missing="ignore",
        verbose="error",
    )
    kept: Mapping[str, int] = {name: len(epochs[name]) if name in epochs.event_id else 0 for name in there}
    planned = {name: int((events[:, 2] == number).sum()) for name, number in there.items()}
    return epochs, {"planned": planned, "kept": dict(kept)}
