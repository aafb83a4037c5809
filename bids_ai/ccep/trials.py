"""The trials of one stimulated pair, their average, and their halves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]
IntArray = NDArray[np.integer]
BoolArray = NDArray[np.bool_]

#: Responses are looked for from here on, s: behind the switching of amplifiers at 9.3 ms, which passes as an N1.
RESPONSE_START_S = 0.011
#: A polarity with fewer pulses than this is not weighted up to half of the average.
_LEAST_OF_POLARITY = 2


@dataclass(frozen=True)
class Trials:
    """Baseline-corrected trials of one stimulated pair.

    Attributes
    ----------
    data : array, shape (n_pulses, n_channels, n_times)
        Volts. A trial that was rejected in a channel is NaN there as a whole; so is every trial of a stimulated or bad
        channel.
    times_s : array, shape (n_times,)
        Seconds after the pulse, evenly spaced.
    polarity : array of int, shape (n_pulses,)
        1 or -1: which contact of the pair was positive.
    """

    data: Array
    times_s: Array
    polarity: IntArray

    def __post_init__(self) -> None:
        expected = (len(self.polarity), len(self.times_s))
        if self.data.ndim != 3 or (self.data.shape[0], self.data.shape[2]) != expected:
            raise InputError(
                f"Trials: data of shape (n_pulses, n_channels, n_times) with n_pulses, n_times = {expected} are "
                f"wanted, got {self.data.shape}; transpose it, or give a polarity per pulse and a time per sample."
            )
        if len(self.times_s) < 2 or not self.times_s[0] < self.times_s[-1]:
            raise InputError("Trials: times in seconds, two or more and increasing, are wanted.")

    @property
    def sampling_hz(self) -> float:
        """Samples per second."""
        return float((len(self.times_s) - 1) / (self.times_s[-1] - self.times_s[0]))

    @property
    def n_channels(self) -> int:
        """Channels, without data included."""
        return int(self.data.shape[1])

    @cached_property
    def valid(self) -> BoolArray:
        """Which trials have data, shape (n_pulses, n_channels)."""
        # A sum is not finite where any term is not, and needs no mask of the size of the data.
        out: BoolArray = np.isfinite(self.data.sum(axis=2))
        return out

    @cached_property
    def weights(self) -> Array:
        """Weight of each trial in the average, shape (n_pulses, n_channels); columns sum to one, or are zero.

        Where both polarities have two pulses or more, each counts half: the artefact of the current turns over with
        polarity and cancels, the response does not.
        """
        parts = [self.valid & (self.polarity == sign)[:, None] for sign in (1, -1)]
        counts = np.array([part.sum(axis=0) for part in parts])
        balanced = (counts >= _LEAST_OF_POLARITY).all(axis=0)
        share = np.where(balanced, 0.5, counts / np.maximum(counts.sum(axis=0), 1))
        each = share / np.maximum(counts, 1)
        return parts[0] * each[0] + parts[1] * each[1]

    @cached_property
    def n_effective(self) -> Array:
        """Trials of an evenly weighted average with the same noise, shape (n_channels,); 0 without data."""
        squared = (self.weights**2).sum(axis=0)
        return np.divide(1.0, squared, out=np.zeros_like(squared), where=squared > 0)

    @cached_property
    def average(self) -> Array:
        """Average over trials with `weights`, volts, shape (n_channels, n_times); NaN without data."""
        return weighted_average(self.data, self.weights, self.valid)

    def between(self, start_s: float, stop_s: float) -> slice:
        """Samples from start to stop, both included.

        Raises
        ------
        InputError
            When the epochs hold fewer than two samples of it.
        """
        margin = 1e-3 / self.sampling_hz
        inside = np.flatnonzero((self.times_s >= start_s - margin) & (self.times_s <= stop_s + margin))
        if len(inside) < 2:
            raise InputError(
                f"Epochs from {self.times_s[0]:g} to {self.times_s[-1]:g} s do not hold the window {start_s:g} to "
                f"{stop_s:g} s: cut longer epochs."
            )
        return slice(int(inside[0]), int(inside[-1]) + 1)

    def pulses(self, chosen: IntArray | BoolArray) -> Trials:
        """Only some of the pulses."""
        return replace(self, data=self.data[chosen], polarity=self.polarity[chosen])


def weighted_average(data: Array, weights: Array, valid: BoolArray) -> Array:
    """Average over the first axis, (n_channels, n_times) of (n_pulses, n_channels, n_times); NaN without weight."""
    if not valid.all():
        data = np.where(valid[:, :, None], data, 0.0)
    out = np.einsum("kct,kc->ct", data, weights, dtype=float, optimize=False)
    out[weights.sum(axis=0) == 0] = np.nan
    return out


def halves(trials: Trials) -> tuple[Trials, Trials]:
    """Odd and even pulses, each polarity shared out in turn.

    The first half begins with the first pulse of one polarity, and the second with that of the other, so that five and
    five pulses give two halves of five.
    """
    rank = np.zeros(len(trials.polarity), int)
    for sign in (1, -1):
        of_sign = trials.polarity == sign
        rank[of_sign] = np.arange(of_sign.sum())
    even = (rank + (trials.polarity < 0)) % 2 == 0
    return trials.pulses(even), trials.pulses(~even)
