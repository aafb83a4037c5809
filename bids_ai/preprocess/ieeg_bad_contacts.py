"""Contacts that record no brain: flat, saturated, of extreme variance, or full of line noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.preprocess.ieeg_line_noise import line_power_ratio
from bids_ai.preprocess.ieeg_segments import segments, stimulation_free_mask

if TYPE_CHECKING:
    import mne

Array = NDArray[np.floating]

_MAD_TO_SD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Criteria:
    """From where on a contact is bad.

    Attributes
    ----------
    flat_v : float
        SD within a window below which it is flat, V. The noise of amplifiers is some tenths of a microvolt.
    flat_share : float
        Share of windows that are flat.
    saturated_share : float
        Share of samples in plateaus (`plateau` samples and longer) at the largest or smallest value.
    plateau : int
    robust_z : float
        Distance of a contact's log SD, and of its log line noise, from the median over contacts, in SDs from the MAD.
    sd_ratio : float
        And its SD is at least so many times the median, or one so manieth: where contacts are all alike, a large z
        means nothing. White matter has a third of the amplitude of grey.
    line_ratio : float
        And its line noise is at least so many times the power beside the line.
    least_contacts : int
        Fewer contacts have no median to be far from.
    """

    flat_v: float = 1e-7
    flat_share: float = 0.2
    saturated_share: float = 0.005
    plateau: int = 5
    robust_z: float = 4.0
    sd_ratio: float = 5.0
    line_ratio: float = 20.0
    least_contacts: int = 6


@dataclass(frozen=True)
class BadContacts:
    """What was measured of every contact, and which are bad.

    Attributes
    ----------
    table : DataFrame
        ``name``, ``sd`` (V), ``sd_z``, ``flat`` and ``saturated`` (shares), ``line`` (ratio of powers), ``line_z``,
        ``reasons``.
    reasons : dict of str to tuple of str
        Of the bad ones.
    findings : tuple of Finding
    n_windows : int
        Windows that were read.
    """

    table: pd.DataFrame
    reasons: dict[str, tuple[str, ...]]
    findings: tuple[Finding, ...] = ()
    n_windows: int = 0
    names: list[str] = field(default_factory=list)

    @property
    def bads(self) -> list[str]:
        """Bad contacts, in the order that was given."""
        return [name for name in self.names if name in self.reasons]


def find_bad_contacts(
    raw: mne.io.BaseRaw,
    names: Sequence[str],
    *,
    line_hz: float | None,
    onsets_s: Sequence[float] | Array = (),
    spoiled_s: Sequence[tuple[float, float]] = (),
    criteria: Criteria | None = None,
    n_windows: int = 40,
    window_s: float = 2.0,
) -> BadContacts:
    """Find bad contacts in windows spread over a recording.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Raw signal, not preloaded: a filter hides what is flat or saturated. Some 40 windows of it are read, one by one.
    names : sequence of str
        Contacts of one kind, without those that are known to be bad.
    line_hz : float or None
    onsets_s : sequence of float
        Pulses: stimulated contacts are off the scale for a while, which is no fault of theirs.
    spoiled_s : sequence of (float, float)
        Start and end of artefacts and seizures.
    criteria : Criteria, optional
    n_windows : int
    window_s : float

    Returns
    -------
    BadContacts
    """
    limits = criteria or Criteria()
    rate = float(raw.info["sfreq"])
    windows = _windows(raw.n_times, rate, onsets_s, spoiled_s, n_windows, window_s)
    measures = [_measure(_read(raw, names, window), rate, line_hz, limits) for window in windows]
    if not measures:
        text = "No stretch free of pulses and artefacts is long enough to judge contacts by; none was looked at."
        return BadContacts(pd.DataFrame(columns=["name"]), {}, (Finding("contacts-not-judged", text, len(names)),))
    sds, lines, tops, bottoms = (
        np.stack([measure[key] for measure in measures]) for key in ("sd", "line", "top", "bottom")
    )
    extremes = _extremes(measures)
    n_samples = sum(end - start for start, end in windows)
    # Plateaus count where they lie at the extreme of the whole recording, not of one window.
    at_top, at_bottom = extremes[1] == _of(measures, "max"), extremes[0] == _of(measures, "min")
    saturated = (tops * at_top + bottoms * at_bottom).sum(axis=0)
    table = pd.DataFrame({"name": list(names), "sd": np.median(sds, axis=0)})
    table["flat"] = (sds < limits.flat_v).mean(axis=0)
    table["saturated"] = np.where(table["flat"] > limits.flat_share, 0.0, saturated / n_samples)
    table["line"] = pd.DataFrame(lines).median().to_numpy()  # without what is NaN
    live = (table["flat"] <= limits.flat_share).to_numpy()
    table["sd_z"] = _robust_z(table["sd"].to_numpy(), live, limits)
    table["line_z"] = _robust_z(table["line"].to_numpy(dtype=float), live, limits)
    return _judge(table, live, limits, len(windows))


def _judge(table: pd.DataFrame, live: NDArray[np.bool_], limits: Criteria, n_windows: int) -> BadContacts:
    middle = float(np.median(table["sd"][live])) if live.any() else float("nan")
    ratio = table["sd"] / middle
    line = f"line noise at least {limits.line_ratio:g} times the power beside it, and far from the others"
    tests = {
        "flat": table["flat"] > limits.flat_share,
        "saturated": table["saturated"] > limits.saturated_share,
        "variance far above the others": (table["sd_z"] > limits.robust_z) & (ratio > limits.sd_ratio),
        "variance far below the others": (table["sd_z"] < -limits.robust_z) & (ratio < 1 / limits.sd_ratio),
        line: (table["line_z"] > limits.robust_z) & (table["line"] > limits.line_ratio),
    }
    reasons: dict[str, tuple[str, ...]] = {}
    for position, name in enumerate(table["name"]):
        own = tuple(reason for reason, bad in tests.items() if bool(bad.iloc[position]))
        if own:
            reasons[name] = own
    table["reasons"] = ["; ".join(reasons.get(name, ())) for name in table["name"]]
    findings = []
    for reason, bad in tests.items():
        if bad.any():
            which = table["name"][bad].tolist()
            text = f"{len(which)} of {len(table)} contacts are bad: {reason} ({shown(which)})."
            findings.append(Finding("bad-contacts", text, len(which), tuple(which)))
    if live.sum() < limits.least_contacts:
        text = f"{live.sum()} live contacts are too few to compare: only flat and saturated ones are found."
        findings.append(Finding("few-contacts", text, int(live.sum()), severity="note"))
    return BadContacts(table, reasons, tuple(findings), n_windows, list(table["name"]))


def _windows(
    n_times: int,
    rate: float,
    onsets_s: Sequence[float] | Array,
    spoiled_s: Sequence[tuple[float, float]],
    n_windows: int,
    window_s: float,
) -> list[tuple[int, int]]:
    """Windows spread evenly over what is free of pulses; at least half a second long, to see the line in it."""
    # Stimulated contacts are back on the scale 0.3 s after the pulse; the response itself does no harm here.
    free = stimulation_free_mask(
        n_times, rate, onsets_s, before_s=0.02, after_s=0.4, spoiled_s=spoiled_s, shortest_s=0.5
    )
    length = round(window_s * rate)
    pieces = [
        (start, min(start + length, end))
        for first, end in segments(free)
        for start in range(first, end, length)
        if min(start + length, end) - start >= 0.5 * rate - 1
    ]
    if not pieces:
        return []
    chosen = np.linspace(0, len(pieces) - 1, min(n_windows, len(pieces))).round().astype(int)
    return [pieces[position] for position in np.unique(chosen)]


def _read(raw: mne.io.BaseRaw, names: Sequence[str], window: tuple[int, int]) -> Array:
    data: Array = raw.get_data(picks=list(names), start=window[0], stop=window[1]).T
    return data


def _measure(data: Array, rate: float, line_hz: float | None, limits: Criteria) -> dict[str, Array]:
    from scipy.signal import detrend

    top, bottom = data.max(axis=0), data.min(axis=0)
    return {
        "sd": detrend(data, axis=0).std(axis=0),
        "line": line_power_ratio(data, rate, line_hz) if line_hz else np.full(data.shape[1], np.nan),
        "max": top,
        "min": bottom,
        "top": _plateau_samples(data == top, limits.plateau),
        "bottom": _plateau_samples(data == bottom, limits.plateau),
    }


def _plateau_samples(at: NDArray[np.bool_], plateau: int) -> Array:
    """Samples in runs of at least `plateau`, for each column."""
    counts = np.zeros(at.shape[1])
    for column in np.flatnonzero(at.sum(axis=0) >= plateau):
        runs = [end - start for start, end in segments(at[:, column])]
        counts[column] = sum(run for run in runs if run >= plateau)
    return counts


def _of(measures: list[dict[str, Array]], key: str) -> Array:
    return np.stack([measure[key] for measure in measures])


def _extremes(measures: list[dict[str, Array]]) -> tuple[Array, Array]:
    return _of(measures, "min").min(axis=0), _of(measures, "max").max(axis=0)


def _robust_z(values: Array, live: NDArray[np.bool_], limits: Criteria) -> Array:
    """Distance of the logarithm from the median over live contacts, in SDs; NaN for the others."""
    out = np.full(len(values), np.nan)
    usable = live & np.isfinite(values) & (values > 0)
    if usable.sum() < limits.least_contacts:
        return out
    logs = np.log10(values[usable])
    spread = _MAD_TO_SD * np.median(np.abs(logs - np.median(logs)))
    # A spread of a few per cent would make outliers of equals.
    out[usable] = (logs - np.median(logs)) / max(float(spread), 0.02)
    return out
