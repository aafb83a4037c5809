"""Which channels respond: averages after pulses against averages after pseudo-onsets in stimulation-free stretches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.epochs import REJECT_UV, Read
from bids_ai.ccep.scan import Scan, make_scan
from bids_ai.ccep.tail import tail_p
from bids_ai.ccep.trials import Array, IntArray, Trials
from bids_ai.errors import InputError

#: Averages of pseudo-onsets that are drawn for a number of pulses.
N_DRAWS = 2000
#: Fewest draws that are accepted.
LEAST_DRAWS = 1000
#: A stretch is free of stimulation from so long after a pulse on, s.
QUIET_S = 2.0
#: Pseudo-onsets are apart by this and more, s, and there are at most so many.
APART_S, MOST_ONSETS = 0.1, 800
#: Fewer pseudo-onsets do not tell what the channel does.
LEAST_ONSETS = 40
#: False discovery rate within a patient, and least deflection of the average in its own SDs (ccep protocol).
Q_LEVEL, Z_LEAST = 0.05, 3.0
#: Pseudo-onsets within so much are read together, s: their epochs overlap.
STRETCH_S = 2.0
#: Numbers in memory at once while averages are drawn.
_AT_ONCE = 20_000_000


@dataclass(frozen=True)
class Tested:
    """Answer of the pseudo-onset test for the channels of one site, each of shape (n_channels,); NaN without data.

    Attributes
    ----------
    p : array
        Of no response within 11 to 500 ms.
    z : array
        Largest deflection of the average, taken 8 ms at a time, in SDs of averages of as many pseudo-onsets; with its
        sign.
    statistic : array
        Largest window mean of the scan in such SDs.
    latency_ms, length_ms : array
        Middle and length of that window.
    """

    p: Array
    z: Array
    statistic: Array
    latency_ms: Array
    length_ms: Array


def pseudo_onsets(
    pulse_samples: IntArray | Sequence[int],
    sampling_hz: float,
    n_samples: int,
    *,
    quiet_s: float = QUIET_S,
    most: int = MOST_ONSETS,
) -> NDArray[np.intp]:
    """Onsets whose epoch meets no pulse and nothing that a pulse has left.

    Parameters
    ----------
    pulse_samples : array of int, shape (n_pulses,)
        All pulses, also those that are not used.
    sampling_hz : float
    n_samples : int
        Length of the recording.
    quiet_s : float
        The epoch begins so long after a pulse or later.
    most : int
        Of more, as many are taken evenly over the recording.

    Returns
    -------
    array of int

    Raises
    ------
    InputError
        For fewer than 40.
    """
    scan = make_scan(sampling_hz)
    guard = round(0.01 * sampling_hz)
    pulses = np.sort(np.asarray(pulse_samples, int))
    step = max(1, round(APART_S * sampling_hz))
    starts = np.r_[0, pulses + round(quiet_s * sampling_hz)] - scan.first
    stops = np.r_[pulses, n_samples] - scan.last - guard
    out = np.concatenate([np.arange(start, stop + 1, step) for start, stop in zip(starts, stops, strict=True)])
    if len(out) < LEAST_ONSETS:
        raise InputError(
            f"{LEAST_ONSETS} pseudo-onsets and more are wanted in stretches that begin {quiet_s:g} s after a pulse, "
            f"got {len(out)}: give a recording at rest as well, or a shorter quiet_s."
        )
    if len(out) > most:
        out = out[np.linspace(0, len(out) - 1, most).round().astype(int)]
    return out.astype(np.intp)


class PseudoOnsetNull:
    """What the scan gives where nothing was stimulated, for every channel.

    Parameters
    ----------
    pool : array, shape (n_onsets, n_channels, n_windows)
        The scan of single pseudo-onsets, volts; NaN where a channel has no data.
    scan : Scan
    n_draws : int
        Averages that are drawn for every number of pulses that comes up.
    seed : int or sequence of int
        The draws do not depend on the order of the sites.
    """

    def __init__(self, pool: Array, scan: Scan, *, n_draws: int = N_DRAWS, seed: int | Sequence[int] = 0) -> None:
        if n_draws < LEAST_DRAWS:
            raise InputError(f"n_draws: {LEAST_DRAWS} and more are wanted, got {n_draws}.")
        if pool.ndim != 3 or pool.shape[2] != len(scan) or len(pool) < LEAST_ONSETS:
            raise InputError(
                f"A pool of shape (n_onsets, n_channels, {len(scan)}) with {LEAST_ONSETS} onsets and more is wanted, "
                f"got {pool.shape}."
            )
        self.scan, self.n_draws = scan, n_draws
        self._seed = [seed] if isinstance(seed, int) else list(seed)
        self._pool = _filled(pool, np.random.default_rng([*self._seed, 0]))
        # About zero: what a channel has on average without a pulse is no response either.
        spread = np.sqrt(np.einsum("ocw,ocw->cw", self._pool, self._pool, dtype=float) / len(self._pool))
        self._spread = np.where(spread > 0, spread, np.nan)
        self._pool /= self._spread.astype(np.float32)
        self._draws: dict[int, Array] = {}

    @classmethod
    def from_recording(
        cls,
        read: Read,
        onsets: IntArray,
        sampling_hz: float,
        *,
        reject_uv: float | None = REJECT_UV,
        n_draws: int = N_DRAWS,
        seed: int | Sequence[int] = 0,
    ) -> PseudoOnsetNull:
        """Read the stretches of pseudo-onsets one by one.

        Parameters
        ----------
        read : callable
            ``read(start, stop)`` gives volts, shape (n_channels, stop - start): the same channels, filtered in the same
            way as the trials.
        onsets : array of int
            Of `pseudo_onsets`.
        sampling_hz : float
        reject_uv : float, optional
            As for trials.
        n_draws : int
        seed : int or sequence of int
        """
        scan = make_scan(sampling_hz)
        pool: list[Array] = []
        for group in _stretches(np.sort(onsets), round(STRETCH_S * sampling_hz)):
            start = int(group[0]) + scan.first
            stretch = np.asarray(read(start, int(group[-1]) + scan.last), float)
            for onset in group - start:
                found = scan.apply(stretch, int(onset)).astype(np.float32)
                if reject_uv is not None:
                    epoch = stretch[:, onset + scan.first : onset + scan.last]
                    middle = np.median(epoch[:, : -scan.first], axis=1, keepdims=True)
                    found[(np.abs(epoch - middle) > 1e-6 * reject_uv).any(axis=1)] = np.nan
                pool.append(found)
        return cls(np.stack(pool), scan, n_draws=n_draws, seed=seed)

    def draws(self, n_pulses: int) -> Array:
        """Largest window mean in SDs of averages of so many pseudo-onsets, shape (n_draws, n_channels)."""
        if n_pulses not in self._draws:
            self._draws[n_pulses] = self._drawn(n_pulses)
        return self._draws[n_pulses]

    def test(self, trials: Trials) -> Tested:
        """Test the average of every channel.

        Raises
        ------
        InputError
            When trials and null do not fit: other channels, another sampling rate, epochs that are too short.
        """
        self._check(trials)
        onset = int(np.abs(trials.times_s).argmin())
        scaled = self.scan.apply(trials.average, onset) / self._spread
        number = np.floor(trials.n_effective + 1e-9).astype(int)
        number[np.isnan(scaled).any(axis=1)] = 0
        scaled *= np.sqrt(number)[:, None]
        size = np.where(number[:, None] > 0, np.abs(scaled), -1.0)
        rows, best = np.arange(len(size)), size.argmax(axis=1)
        fine = np.where(self.scan.fine, size, -1.0).argmax(axis=1)
        tested = number > 0
        statistic = np.where(tested, size[rows, best], np.nan)
        p = np.full(len(size), np.nan)
        for count in np.unique(number[tested]):
            # Averages over many pulses are alike: beyond half of the pool there is nothing to draw.
            same = number == count
            p[same] = tail_p(statistic[same], self.draws(int(count))[:, same])
        middle = 0.5 * (self.scan.start + self.scan.stop - 1)[best] / self.scan.sampling_hz
        length = (self.scan.stop - self.scan.start)[best] / self.scan.sampling_hz
        return Tested(
            p,
            np.where(tested, scaled[rows, fine], np.nan),
            statistic,
            np.where(tested, 1e3 * middle, np.nan),
            np.where(tested, 1e3 * length, np.nan),
        )

    def _check(self, trials: Trials) -> None:
        if trials.n_channels != self._pool.shape[1]:
            raise InputError(
                f"Trials of {self._pool.shape[1]} channels are wanted, as in the null, got {trials.n_channels}."
            )
        if abs(trials.sampling_hz - self.scan.sampling_hz) > 1e-3 * self.scan.sampling_hz:
            raise InputError(f"Trials at {self.scan.sampling_hz:g} Hz are wanted, got {trials.sampling_hz:g} Hz.")
        trials.between(self.scan.first / self.scan.sampling_hz, (self.scan.last - 1) / self.scan.sampling_hz)
        onset = int(np.abs(trials.times_s).argmin())
        if onset + self.scan.first < 0 or onset + self.scan.last > len(trials.times_s):
            raise InputError(
                f"Epochs from {self.scan.first} to {self.scan.last} samples around the pulse are wanted, got "
                f"{-onset} to {len(trials.times_s) - onset}: cut longer epochs."
            )

    def _drawn(self, n_pulses: int) -> Array:
        n_onsets, n_channels, n_windows = self._pool.shape
        if n_pulses > n_onsets // 2:
            raise InputError(
                f"{n_pulses} pulses want {2 * n_pulses} pseudo-onsets and more, got {n_onsets}: give a longer "
                "recording at rest."
            )
        rng = np.random.default_rng([*self._seed, n_pulses])
        # Without replacement: one pulse is not recorded twice.
        chosen = rng.random((self.n_draws, n_onsets)).argpartition(n_pulses, axis=1)[:, :n_pulses]
        weights = np.zeros((self.n_draws, n_onsets), np.float32)
        np.put_along_axis(weights, chosen, np.float32(1.0 / np.sqrt(n_pulses)), axis=1)
        out = np.empty((self.n_draws, n_channels))
        each = max(1, _AT_ONCE // (self.n_draws * n_windows))
        for first in range(0, n_channels, each):
            some = slice(first, first + each)
            means = weights @ self._pool[:, some].reshape(n_onsets, -1)
            means = np.abs(means, out=means).reshape(self.n_draws, -1, n_windows)
            out[:, some] = means.max(axis=2)
        return out


def benjamini_hochberg(p: Array) -> Array:
    """P values adjusted for the false discovery rate over all that are not NaN, of any shape.

    References
    ----------
    Benjamini & Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import false_discovery_control

    out, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        out[known] = false_discovery_control(p[known])
    return out


def responders(p: Array, z: Array, *, q_level: float = Q_LEVEL, z_least: float = Z_LEAST) -> tuple[Array, Array]:
    """Decide for all sites and channels of one patient.

    Parameters
    ----------
    p, z : array, shape (n_sites, n_channels)
        Of `PseudoOnsetNull.test`; NaN where nothing was tested or where the channel is excluded, so that it counts for
        nothing.
    q_level, z_least : float

    Returns
    -------
    responder : array, shape (n_sites, n_channels)
        1 where q is below the level and the deflection reaches the least z, else 0; NaN where p is.
    q : array, shape (n_sites, n_channels)
    """
    q = benjamini_hochberg(p)
    with np.errstate(invalid="ignore"):
        passed = (q < q_level) & (np.abs(z) >= z_least)
    return np.where(np.isnan(q), np.nan, passed.astype(float)), q


def _stretches(onsets: IntArray, longest: int) -> Iterator[IntArray]:
    """Onsets in order, in groups that span up to so many samples."""
    first = 0
    while first < len(onsets):
        stop = int(np.searchsorted(onsets, onsets[first] + longest, side="right"))
        yield onsets[first:stop]
        first = stop


def _filled(pool: Array, rng: np.random.Generator) -> NDArray[np.float32]:
    """A pool without gaps: in each channel other pseudo-onsets stand in for missing ones; NaN for less than half."""
    out = np.array(pool, np.float32)
    valid = np.asarray(np.isfinite(out).all(axis=2))
    for channel in np.flatnonzero(~valid.all(axis=0)):
        there, gone = np.flatnonzero(valid[:, channel]), np.flatnonzero(~valid[:, channel])
        if len(there) < max(LEAST_ONSETS, len(valid) / 2):
            out[:, channel] = np.nan
        else:
            out[gone, channel] = out[rng.choice(there, len(gone)), channel]
    return out
