"""Onsets of pulses against the artefacts that they leave in the signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding

if TYPE_CHECKING:
    import mne

Array = NDArray[np.floating]

#: How far an onset is moved at most (s): tables are off by up to 13 samples at 2048 Hz (ds003708).
REACH_S = 0.015
#: Step from sample to sample, against its median before the pulse, that is an artefact.
LEAST_STEP = 8.0
_BASELINE_S = 0.15


@dataclass(frozen=True)
class SnappedOnsets:
    """Onsets after the comparison with the signal.

    Attributes
    ----------
    onsets_s : array (n_pulses,)
        Moved to the artefact where one was found, else as they were.
    shifts_s : array (n_pulses,)
        By how much; NaN where no artefact was found.
    findings : tuple of Finding
    """

    onsets_s: Array
    shifts_s: Array
    findings: tuple[Finding, ...] = ()


def snap_onsets(
    raw: mne.io.BaseRaw,
    names: Sequence[str],
    onsets_s: Sequence[float] | Array,
    *,
    reach_s: float = REACH_S,
    least_step: float = LEAST_STEP,
) -> SnappedOnsets:
    """Move the onsets of pulses to where their artefact begins.

    The first sample within reach counts at which the signal steps, in the upper quarter of the channels, much more than
    it does before the pulse.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Unfiltered; read pulse by pulse.
    names : sequence of str
        Good contacts.
    onsets_s : sequence of float, (n_pulses,)
        NaN is left as it is.
    reach_s : float
    least_step : float
        Times the median step before the pulse.

    Returns
    -------
    SnappedOnsets
    """
    rate = float(raw.info["sfreq"])
    onsets = np.array(onsets_s, dtype=float)
    shifts = np.full(len(onsets), np.nan)
    reach, baseline = int(np.ceil(reach_s * rate)), round(_BASELINE_S * rate)
    for pulse in np.flatnonzero(np.isfinite(onsets)):
        sample = round(float(onsets[pulse]) * rate)
        first, last = max(sample - baseline, 0), min(sample + reach + 2, raw.n_times)
        if sample - reach - first < 10 or last - sample < 2:
            continue  # too near an end of the recording
        data = raw.get_data(picks=list(names), start=first, stop=last)
        step = np.quantile(np.abs(np.diff(data, axis=1)), 0.75, axis=0)  # step k leads to sample first + k + 1
        usual = np.median(step[: sample - reach - first])
        found = np.flatnonzero(step[sample - reach - first - 1 :] > least_step * usual)
        if usual > 0 and len(found):
            shifts[pulse] = (sample - reach + int(found[0])) / rate - onsets[pulse]
    moved = np.where(np.isfinite(shifts), onsets + np.nan_to_num(shifts), onsets)
    return SnappedOnsets(moved, shifts, _findings(shifts, np.isfinite(onsets), rate))


def _findings(shifts: Array, known: NDArray[np.bool_], rate: float) -> tuple[Finding, ...]:
    findings = []
    off = np.abs(np.nan_to_num(shifts)) > 1.5 / rate
    if off.any():
        text = (
            f"{off.sum()} of {known.sum()} onsets were moved to the artefact in the signal, by "
            f"{1e3 * shifts[off].min():.1f} to {1e3 * shifts[off].max():.1f} ms."
        )
        findings.append(Finding("onsets-moved", text, int(off.sum())))
    silent = known & ~np.isfinite(shifts)
    if silent.any():
        text = f"{silent.sum()} of {known.sum()} pulses have no artefact near their onset, which was left as it is."
        findings.append(Finding("no-artefact", text, int(silent.sum())))
    return tuple(findings)
