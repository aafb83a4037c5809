"""z score against the time before the pulse, and the first component above a threshold, as F-TRACT describes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import butter, sosfiltfilt

from bids_ai.ccep.epochs import BASELINE_S
from bids_ai.ccep.features.base import UV, Family
from bids_ai.ccep.trials import RESPONSE_START_S, Array, BoolArray, IntArray, Trials, weighted_average

#: Threshold of the first component, and what a dip shorter than `DIP_S` must keep (CCEP Manager).
Z_THRESHOLD, Z_DIP, DIP_S = 5.0, 4.0, 0.005
#: Upper edge of the band, Hz; the lower one (1 Hz) is left to the recording: an epoch is too short for it.
LOW_PASS_HZ = 45.0
#: Pulses with more than this times the median energy are not averaged.
ENERGY_LIMIT = 3.0
#: The component begins in this window, s: from behind the artefact as far as F-TRACT's indirect responses.
WINDOW_S = (RESPONSE_START_S, 0.4)


class Component(NamedTuple):
    """First component of each channel: samples (fractionless), NaN-free; `found` says where there is one."""

    found: BoolArray
    onset: IntArray
    stop: IntArray


def robust_average(trials: Trials) -> Array:
    """Average without pulses of more than `ENERGY_LIMIT` times the median energy, low-passed, volts."""
    energy = np.where(trials.valid, np.einsum("kct,kct->kc", trials.data, trials.data, dtype=float), np.nan)
    with np.errstate(invalid="ignore"):
        middle = np.nanmedian(np.where(trials.valid.any(axis=0), energy, 0.0), axis=0)
        kept = trials.valid & (energy <= ENERGY_LIMIT * middle)
    weights = trials.weights * kept
    total = weights.sum(axis=0)
    weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    average = weighted_average(trials.data, weights, trials.valid)
    if trials.sampling_hz > 2.2 * LOW_PASS_HZ:
        low_pass = butter(2, LOW_PASS_HZ, fs=trials.sampling_hz, output="sos")
        average = sosfiltfilt(low_pass, average, axis=1)
    return average


def z_wave(average: Array, trials: Trials) -> Array:
    """Average in SDs of its own baseline."""
    base = average[:, trials.between(*BASELINE_S)]
    mean, spread = base.mean(axis=1, keepdims=True), base.std(axis=1, keepdims=True)
    return np.divide(average - mean, spread, out=np.full_like(average, np.nan), where=spread > 0)


def first_component(z: Array, inside: slice, sampling_hz: float, threshold: float = Z_THRESHOLD) -> Component:
    """First stretch of one sign above a threshold that begins in a window; short shallow dips are bridged.

    Parameters
    ----------
    z : array, shape (n_channels, n_times)
    inside : slice
        Where it begins. One that is above the threshold before is not first in it but artefact or noise: it is
        taken from the start of the window on.
    sampling_hz : float
    threshold : float
    """
    best = Component(np.zeros(len(z), bool), np.full(len(z), z.shape[1]), np.full(len(z), z.shape[1]))
    for sign in (1.0, -1.0):
        found, onset, stop = _first_run(_bridged(sign * z, sampling_hz, threshold), inside)
        sooner = found & (~best.found | (onset < best.onset))
        best = Component(best.found | found, np.where(sooner, onset, best.onset), np.where(sooner, stop, best.stop))
    return best


def measure(trials: Trials) -> dict[str, Array]:
    """Compute z and the first component of every channel."""
    average = robust_average(trials)
    z = z_wave(average, trials)
    inside = trials.between(*WINDOW_S)
    found, onset, stop = first_component(z, inside, trials.sampling_hz)
    sample = np.arange(z.shape[1])
    member = (sample >= onset[:, None]) & (sample < stop[:, None])
    with np.errstate(invalid="ignore"):
        peak = np.where(member, np.abs(z), -1.0).argmax(axis=1)
        largest = np.where(np.isfinite(z[:, inside]), np.abs(z[:, inside]), -1.0).argmax(axis=1) + inside.start
    rows, per_ms = np.arange(len(z)), 1e3 / trials.sampling_hz
    to_peak = (peak - onset) * per_ms
    rise = UV * np.abs(average[rows, peak] - average[rows, np.minimum(onset, z.shape[1] - 1)])
    out = {
        "z_onset_ms": 1e3 * trials.times_s[0] + onset * per_ms,
        "z_peak_ms": 1e3 * trials.times_s[0] + peak * per_ms,
        "z_peak": z[rows, peak],
        "z_duration_ms": (stop - onset) * per_ms,
        "z_integral_uv_ms": UV * np.where(member, average, 0.0).sum(axis=1) * per_ms,
        "z_slope_uv_per_ms": np.divide(rise, to_peak, out=np.full_like(rise, np.nan), where=found & (to_peak > 0)),
    }
    out = {name: np.where(found, value, np.nan) for name, value in out.items()}
    return {"z_max": z[rows, largest]} | out


def _bridged(z: Array, sampling_hz: float, threshold: float) -> BoolArray:
    """Samples above the threshold, and those of dips between them that are short and stay above `Z_DIP`."""
    with np.errstate(invalid="ignore"):
        above, low = z >= threshold, ~(z >= min(Z_DIP, threshold))
    n_times = z.shape[1]
    sample = np.arange(n_times)
    last = np.maximum.accumulate(np.where(above, sample, -1), axis=1)
    following = np.minimum.accumulate(np.where(above, sample, n_times)[:, ::-1], axis=1)[:, ::-1]
    n_low = np.cumsum(low, axis=1)
    rows = np.arange(len(z))[:, None]
    shallow = n_low[rows, np.minimum(following, n_times - 1)] == n_low[rows, np.maximum(last, 0)]
    short = (following - last - 1) < DIP_S * sampling_hz
    return above | (shallow & short & (last >= 0) & (following < n_times))


def _first_run(state: BoolArray, inside: slice) -> Component:
    """First stretch of True within a window: its first sample, and the one behind its last."""
    sample = np.arange(state.shape[1])
    window = (sample >= inside.start) & (sample < inside.stop)
    onset = (state & window).argmax(axis=1)
    over = ~state & (sample > onset[:, None])
    stop = np.where(over.any(axis=1), over.argmax(axis=1), state.shape[1])
    return Component((state & window).any(axis=1), onset, stop)


FAMILY = Family(
    "z",
    {
        "z_max": "largest deflection within 11 to 400 ms, in SDs of the baseline of the average, with its sign",
        "z_onset_ms": "first component with |z| of 5 and more: onset, ms",
        "z_peak_ms": "its peak, ms",
        "z_peak": "its peak, z with sign",
        "z_duration_ms": "its duration, ms; dips of less than 5 ms that keep a z of 4 are bridged",
        "z_integral_uv_ms": "its integral, microvolt ms",
        "z_slope_uv_per_ms": "mean slope from its onset to its peak, microvolts per ms",
    },
    measure,
    "Trebaul et al. 2018 (PMC6150949); low-pass 45 Hz, robust mean; baseline -0.5 to -0.02 s as elsewhere here",
)
