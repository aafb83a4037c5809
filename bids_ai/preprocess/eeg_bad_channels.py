"""Bad channels of an EEG by the criteria of PREP: flat, deviating, noisy, alike to none, not predicted by neighbours.

Bigdely-Shamlo et al. 2015, doi:10.3389/fninf.2015.00016; thresholds are theirs unless said.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, oaconvolve
from scipy.special import eval_legendre

from bids_ai.errors import InputError

Array = NDArray[np.floating]

#: Amplitude and high-frequency noise of a channel stand out by this many robust standard deviations.
ROBUST_Z = 5.0
#: A channel whose amplitude is below this share of the median is flat, whatever the spread of the others is (own: the
#: robust z of a dead electrode cannot fall below -5 where amplitudes differ by a third).
FLAT_SHARE = 0.1
#: Below this an electrode records nothing, V (PREP: 1e-10 of its units; a converter's step is 0.1 uV or less).
FLAT_V = 1e-9
#: Signal and noise are parted here, Hz.
SPLIT_HZ = 50.0
#: In more than `MOST_WINDOWS` of the windows of this length (s) its highest correlation with another channel is below.
CORRELATION, MOST_WINDOWS, WINDOW_S = 0.4, 0.01, 1.0
#: RANSAC: windows, s; correlation with what other channels predict; share of windows; samples; channels in a sample.
#: PREP's correlation is 0.75, by which good channels of low amplitude at the vertex and the rim of a virtual EEG
#: (`benchmarks/eeg_preprocessing.py`) fail in up to 71 % of windows; below 0.6 they fail in 21 % at most, and channels
#: whose signal comes from elsewhere in all.
RANSAC_WINDOW_S, RANSAC_CORRELATION, RANSAC_WINDOWS = 5.0, 0.6, 0.4
RANSAC_SAMPLES, RANSAC_SHARE = 50, 0.25
#: A quarter of PREP's 64 channels is 16: of smaller caps so many predict, or half, since 8 electrodes say little of the
#: temples.
_RANSAC_SAMPLE = 16
#: Fewer channels have no spread to stand out from; fewer have no neighbours that predict (half of 16 for a
#: spherical spline).
LEAST_CHANNELS, LEAST_RANSAC = 5, 16
#: In two minutes 1 % is a single second, as a jaw that clenches takes: at least so many windows must be bad, and a
#: recording that has fewer is too short to tell.
_LEAST_WINDOWS = 5
#: Order and number of terms of the spherical spline. Perrin et al. 1989, doi:10.1016/0013-4694(89)90180-6.
_SPLINE_ORDER, _SPLINE_TERMS, _SPLINE_RIDGE = 4, 7, 1e-5


def bad_channels(
    data: Array,
    sampling_hz: float,
    positions: Array | None = None,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, list[str]]:
    """Channels that cannot be used, each with its reasons.

    Channels are judged against the median of all, then against the mean of those that were good.

    Parameters
    ----------
    data : array, shape (n_times, n_channels)
        Volts, above 1 Hz and without mains; NaN in a whole channel where there is none.
    sampling_hz : float
    positions : array, shape (n_channels, 3), optional
        Any unit; NaN where unknown. Without them the prediction by neighbours is left out.
    names : sequence of str, optional
        Default: the number of the channel.
    seed : int
        Of the samples of RANSAC.

    Returns
    -------
    dict of str to list of str
        Empty where all are good.

    Raises
    ------
    InputError
        When no channel holds a signal.
    """
    n_channels = data.shape[1]
    labels = [str(number) for number in range(n_channels)] if names is None else list(names)
    reasons: dict[int, list[str]] = {}
    alive = np.ones(n_channels, bool)
    for channel in range(n_channels):
        dead = _dead(data[:, channel])
        if dead:
            reasons[channel], alive[channel] = [dead], False
    # Against the recorded reference: in any other a dead electrode shows that reference.
    amplitude = robust_sd(np.nan_to_num(data))
    middle = float(np.median(amplitude[alive])) if alive.sum() >= LEAST_CHANNELS else 0.0
    for channel in np.flatnonzero(alive & (amplitude < FLAT_SHARE * middle)):
        reasons[int(channel)] = [f"flat: {amplitude[channel] / middle:.2f} of the median amplitude"]
        alive[channel] = False
    if not alive.any():
        raise InputError(f"A signal is wanted; all {n_channels} EEG channels are flat or empty.")
    if alive.sum() >= LEAST_CHANNELS:
        rest = np.flatnonzero(alive)
        centre = np.median(data[:, rest], axis=1, keepdims=True)
        for _ in range(2):
            judged = _judge(data[:, rest] - centre, sampling_hz, None if positions is None else positions[rest], seed)
            good = [channel for row, channel in enumerate(rest) if row not in judged]
            if len(good) < LEAST_CHANNELS:
                break
            centre = data[:, good].mean(axis=1, keepdims=True)
        reasons |= {int(rest[row]): why for row, why in judged.items()}
    return {labels[channel]: reasons[channel] for channel in sorted(reasons)}


def _dead(series: Array) -> str | None:
    if np.isnan(series).all():
        return "no data"
    if np.nanstd(series) < FLAT_V:
        return "flat: constant"
    return None


def _judge(data: Array, sampling_hz: float, positions: Array | None, seed: int) -> dict[int, list[str]]:
    """Rows of the living channels that are bad, with reasons."""
    found: dict[int, list[str]] = {}

    def say(rows: NDArray[np.intp], words: list[str]) -> None:
        for row, text in zip(rows, words, strict=True):
            found.setdefault(int(row), []).append(text)

    amplitude = robust_sd(data)
    z = robust_z(amplitude)
    high = np.flatnonzero(np.abs(z) > ROBUST_Z)
    say(high, [f"amplitude: {z[row]:.1f} robust SD from the others" for row in high])

    smooth = data
    if sampling_hz > 2.0 * SPLIT_HZ + 5.0:
        smooth = _below(data, sampling_hz)
        ratio = _mad(data - smooth) / np.maximum(_mad(smooth), 1e-20)
        z = robust_z(ratio)
        noisy = np.flatnonzero(z > ROBUST_Z)
        say(noisy, [f"noisy: {z[row]:.1f} robust SD more above {SPLIT_HZ:g} Hz" for row in noisy])

    share = _share_uncorrelated(smooth, sampling_hz)
    alone = np.flatnonzero(share > 0.0)
    say(alone, [f"uncorrelated: with no other channel in {share[row]:.0%} of seconds" for row in alone])

    if positions is not None:
        # What is known to be bad predicts nobody.
        sound = np.array([row not in found for row in range(data.shape[1])])
        missed = unpredicted(smooth, sampling_hz, positions, sound, seed)
        lost = np.flatnonzero(missed > RANSAC_WINDOWS)
        say(lost, [f"unpredicted: by other channels in {missed[row]:.0%} of windows" for row in lost])
    return found


def robust_sd(data: Array) -> Array:
    """Standard deviation of Gaussian series from their interquartile range, shape (n_channels,)."""
    low, high = np.percentile(data, [25.0, 75.0], axis=0)
    sd: Array = 0.7413 * (high - low)
    return sd


def robust_z(values: Array) -> Array:
    """Distance from the median in robust standard deviations (of the interquartile range)."""
    spread = robust_sd(values)
    z: Array = (values - np.median(values)) / max(float(spread), 1e-12 * float(np.abs(values).max(initial=1e-300)))
    return z


def _mad(data: Array) -> Array:
    middle: Array = np.median(np.abs(data - np.median(data, axis=0)), axis=0)
    return middle


def _below(data: Array, sampling_hz: float) -> Array:
    """Low-pass at the split, without phase."""
    taps = firwin(2 * round(0.2 * sampling_hz) + 1, SPLIT_HZ, fs=sampling_hz)
    smooth: Array = oaconvolve(data, taps[:, None], mode="same", axes=0)
    return smooth


def _share_uncorrelated(data: Array, sampling_hz: float) -> Array:
    """Share of windows in which a channel is like no other, zero unless it is more than allowed."""
    length = round(WINDOW_S * sampling_hz)
    n_windows = max(1, len(data) // length)
    length = min(length, len(data))
    bad = np.zeros(data.shape[1])
    for number in range(n_windows):
        piece = data[number * length : (number + 1) * length]
        with np.errstate(invalid="ignore", divide="ignore"):
            alike = np.abs(np.corrcoef(piece.T))
        np.fill_diagonal(alike, np.nan)
        # Not the highest: one channel bridged to a bad one does not acquit it.
        bad += np.nan_to_num(np.nanquantile(alike, 0.98, axis=1)) < CORRELATION
    share = bad / n_windows
    return np.where((share > MOST_WINDOWS) & (bad >= _LEAST_WINDOWS), share, 0.0)


def unpredicted(data: Array, sampling_hz: float, positions: Array, sound: NDArray[np.bool_], seed: int = 0) -> Array:
    """Share of windows in which a channel is unlike what random samples of others predict (RANSAC).

    Parameters
    ----------
    data : array, shape (n_times, n_channels)
    sampling_hz : float
    positions : array, shape (n_channels, 3)
        NaN where unknown: such channels neither predict nor are judged.
    sound : array of bool, shape (n_channels,)
        Channels that may predict.
    seed : int

    Returns
    -------
    array, shape (n_channels,)
        Zero where it could not be judged, as with fewer than 16 channels that predict.
    """
    placed = np.isfinite(positions).all(axis=1)
    pool = np.flatnonzero(placed & sound)
    share = np.zeros(data.shape[1])
    length = round(RANSAC_WINDOW_S * sampling_hz)
    if len(pool) < LEAST_RANSAC or len(data) < length:
        return share
    judged = np.flatnonzero(placed)
    sphere = positions[judged] - _sphere_centre(positions[judged])
    sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
    row_of = {int(channel): row for row, channel in enumerate(judged)}
    rng = np.random.default_rng(seed)
    size = max(round(RANSAC_SHARE * len(pool)), min(_RANSAC_SAMPLE, len(pool) // 2))
    operators = np.zeros((RANSAC_SAMPLES, len(judged), data.shape[1]))
    own = np.zeros((RANSAC_SAMPLES, len(judged)), bool)
    for number in range(RANSAC_SAMPLES):
        chosen = np.sort(rng.choice(pool, size, replace=False))
        rows = [row_of[int(channel)] for channel in chosen]
        operators[number][:, chosen] = spline_operator(sphere[rows], sphere)
        own[number, rows] = True
    # A channel does not testify for itself.
    operators[own] = np.nan
    n_windows = len(data) // length
    for number in range(n_windows):
        piece = data[number * length : (number + 1) * length]
        piece = piece - piece.mean(axis=0)
        # Correlation of the median over samples, as PREP has it; one channel at a time keeps memory small.
        for row, channel in enumerate(judged):
            guesses = piece @ operators[~own[:, row], row].T
            guess = np.median(guesses, axis=1)
            scale = np.linalg.norm(guess) * np.linalg.norm(piece[:, channel])
            alike = float(guess @ piece[:, channel]) / scale if scale > 0.0 else 0.0
            share[channel] += alike < RANSAC_CORRELATION
    return share / n_windows


def spline_operator(known: Array, wanted: Array) -> Array:
    """Spherical splines: what channels at known places predict at others.

    Parameters
    ----------
    known : array, shape (n_known, 3)
        Of unit length.
    wanted : array, shape (n_wanted, 3)

    Returns
    -------
    array, shape (n_wanted, n_known)

    References
    ----------
    Perrin et al. 1989, doi:10.1016/0013-4694(89)90180-6
    """
    n = len(known)
    system = np.zeros((n + 1, n + 1))
    system[:n, :n] = _spline(known @ known.T) + _SPLINE_RIDGE * np.eye(n)
    system[:n, n] = system[n, :n] = 1.0
    solved = np.linalg.pinv(system)[:, :n]
    operator: Array = np.c_[_spline(wanted @ known.T), np.ones(len(wanted))] @ solved
    return operator


def _spline(cosine: Array) -> Array:
    value = np.zeros_like(cosine)
    for degree in range(1, _SPLINE_TERMS + 1):
        scale = (2 * degree + 1) / (degree * (degree + 1)) ** _SPLINE_ORDER / (4.0 * np.pi)
        value += scale * eval_legendre(degree, np.clip(cosine, -1.0, 1.0))
    return value


def _sphere_centre(points: Array) -> Array:
    """Centre of the sphere nearest to the points (least squares), shape (3,)."""
    system = np.c_[2.0 * points, np.ones(len(points))]
    return np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3]
