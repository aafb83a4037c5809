"""Decay with distance, the baseline that every other prediction has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array, IntArray
from bids_ai.errors import InputError

#: Lengths that are tried, mm: from one gyrus to beyond the head.
LENGTHS_MM = np.geomspace(4.0, 250.0, 40)
#: Fewer training pairs do not make a fit.
LEAST_PAIRS = 10


class Distance(Predictor):
    """exp(-d / lambda), lambda by least squares of the log amplitude of training sites.

    The log amplitude falls towards a floor, as recorded amplitudes do towards noise. Sites have offsets of their own.
    Where amplitudes do not fall with distance at all, the score still does: the direction is no matter of fitting.
    """

    name = "distance"
    label = "distance"
    source = "exponential decay, docs/ccep_scoring.md"

    def fit(self, training: Sequence[Recorded]) -> Distance:
        """Choose lambda; fit the latency of responses as a line over distance."""
        values, distances, sites = training_pairs(training)
        y = _within(values[None], sites)[0]
        x = _within(np.exp(-distances / LENGTHS_MM[:, None]), sites)
        # A decay, no growth. The sum of squares of y is the same for all lengths.
        shared, size = np.maximum(x @ y, 0.0), (x**2).sum(axis=1)
        explained = np.divide(shared**2, size, out=np.zeros(len(x)), where=size > 1e-12)
        self.length_mm_ = float(LENGTHS_MM[int(np.argmax(explained))])
        self.latency_line_ = _latency_line(training)
        return self

    def predict(self, layout: Layout) -> Array:
        """exp(-d / lambda), between 0 and 1."""
        return np.asarray(np.exp(-layout.distances / self.length_mm_))

    def predict_latency(self, layout: Layout) -> Array:
        """Line over distance, s; NaN throughout where training responses do not make one."""
        start, slope = self.latency_line_
        return np.asarray(start + slope * layout.distances)


def training_pairs(training: Sequence[Recorded]) -> tuple[Array, Array, IntArray]:
    """Log amplitude, distance and number of the site of training pairs beyond the exclusion radius, each (n_pairs,).

    Raises
    ------
    InputError
        For fewer than `LEAST_PAIRS`.
    """
    values: list[Array] = []
    distances: list[Array] = []
    sites: list[IntArray] = []
    first = 0
    for one in training:
        amplitude = log_amplitude(one, EXCLUSION_MM)
        row, column = np.nonzero(np.isfinite(amplitude))
        values.append(amplitude[row, column])
        distances.append(one.layout.distances[row, column])
        sites.append(first + row)
        first += one.layout.shape[0]
    n_pairs = sum(map(len, values))
    if n_pairs < LEAST_PAIRS:
        raise InputError(f"Training sites with {LEAST_PAIRS} pairs or more are wanted, got {n_pairs}.")
    return np.concatenate(values), np.concatenate(distances), np.concatenate(sites)


def _within(values: Array, sites: IntArray) -> Array:
    """Rows (n_rows, n_pairs) less the means of each site; pairs of a site stand together."""
    starts = np.flatnonzero(np.concatenate([[True], sites[1:] != sites[:-1]]))
    counts = np.diff(np.append(starts, len(sites)))
    return np.asarray(values - np.repeat(np.add.reduceat(values, starts, axis=1) / counts, counts, axis=1))


def _latency_line(training: Sequence[Recorded]) -> tuple[float, float]:
    d, t = [], []
    for one in training:
        if one.latency_s is None or one.responder is None:
            continue
        used = one.beyond(EXCLUSION_MM) & (one.responder == 1) & np.isfinite(one.latency_s)
        d.append(one.layout.distances[used])
        t.append(one.latency_s[used])
    distance, latency = (np.concatenate(part) if part else np.empty(0) for part in (d, t))
    if len(latency) < LEAST_PAIRS or np.ptp(distance) < 1.0:
        return float("nan"), float("nan")
    slope, start = np.polyfit(distance, latency, 1)
    return float(start), float(slope)
