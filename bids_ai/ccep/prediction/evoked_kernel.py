"""One waveform for all responses: its size by a ridge over what is known of a pair, its latency by distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.channel_prevalence import ChannelPrevalence
from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.effective import effective
from bids_ai.ccep.prediction.effective_ieeg import EffectiveIeeg
from bids_ai.ccep.prediction.evoked import (
    COUNTS,
    GRID_S,
    Responses,
    at_times,
    canonical,
    channel_polarity,
    first_wave_latency,
    training_responses,
)
from bids_ai.ccep.prediction.functional import functional
from bids_ai.ccep.prediction.ridge import PairRidge
from bids_ai.ccep.prediction.structural import structural
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: Delays that are tried, s/mm: none, and speeds from 16 to 1 m/s. Lemarechal et al. 2022: axonal delays of 10 ms and
#: more, on paths of centimetres.
DELAYS_S_PER_MM = np.array([0.0, 1 / 16, 1 / 8, 1 / 5, 1 / 3, 1 / 2, 1.0]) / 1000.0
#: What may be missing, and is left out then, in the order of the columns behind distance.
OPTIONAL: tuple[Callable[[], Predictor], ...] = (structural, functional, effective, EffectiveIeeg)


class EvokedKernel(Predictor):
    """Response y(t) = p_c A w(t - m - d / v): polarity of the channel, amplitude, and a shape shared by all responses.

    - log A is a ridge on distance (without penalty), SC, FC, EC, EC of resting iEEG, as far as a patient has them, and
      the mean of the channel over the other training sites.
    - w is the first principal component of the training responses, shifted by the delay of their distance; the speed is
      that under which this component holds most of them.
    - p_c, -1 ... 1, is which way the channel responded to training sites.
    """

    name = "evoked-kernel"
    label = "one waveform of all responses, with amplitude by a ridge and latency by distance"
    source = "docs/ccep_scoring.md; canonical response: Miller et al. 2023, PMC10246848"
    learns_waveforms = True
    by_channel = True

    def fit(self, training: Sequence[Recorded]) -> EvokedKernel:
        """Fit amplitude, shape and speed."""
        seen = training_responses(training, self.name)
        self.parts_ = [Distance().fit(training), *_fitted(training), ChannelPrevalence().fit(training)]
        self.ridge_ = PairRidge(1, by_site=True).fit(training, self._columns)
        self.delay_s_per_mm_, self.shape_ = _shape(seen)
        self.polarity_ = {}
        top = bottom = 0.0
        offsets, known = [], []
        for one, own in zip(training, seen, strict=True):
            polarity = channel_polarity(
                Responses(own.layout, own.used, _shifted(own.waves, self._delays(own.layout))), self.shape_
            )
            self.polarity_[own.layout.patient] = polarity
            values = log_amplitude(one, EXCLUSION_MM)
            known.append(values[np.isfinite(values)])
            left = values - self.ridge_.predict(own.layout, self._columns)
            offsets.append(left[np.isfinite(left)])
        # The offset of a site that was not seen is that of the others, in the middle.
        self.offset_ = float(np.median(np.concatenate(offsets)))
        # A ridge on logarithms that goes beyond what it has seen makes waves of any size.
        every = np.concatenate(known)
        self.range_ = float(every.min()), float(every.max())
        for own in seen:
            unit = np.where(own.used[..., None], np.nan_to_num(self._waves(own.layout, 1.0)), 0.0)[..., COUNTS]
            weight = np.divide(
                1.0, (own.waves**2).sum(axis=(1, 2)), out=np.zeros(len(unit)), where=own.used.any(axis=1)
            )
            top += float(np.einsum("s,sct,sct->", weight, unit, own.waves[..., COUNTS]))
            bottom += float(np.einsum("s,sct,sct->", weight, unit, unit))
        self.scale_ = max(top, 0.0) / bottom if bottom > 0 else 0.0
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the amplitude."""
        return self.ridge_.predict(layout, self._columns)

    def predict_waveforms(self, layout: Layout, times_s: Array) -> Array:
        """Waves at given times; NaN for channels of patients without training responses, whose polarity is unknown."""
        return at_times(self._waves(layout, self.scale_), GRID_S, times_s)

    def predict_latency(self, layout: Layout) -> Array:
        """First peak of the shape, and the delay, s."""
        fine = np.arange(0.0, GRID_S[-1], 0.001)
        peak = first_wave_latency(np.interp(fine, GRID_S, self.shape_)[None, None], fine)[0, 0]
        delays = self._delays(layout)
        return np.asarray(peak + delays)

    def _columns(self, layout: Layout) -> list[Array]:
        return [part.predict(layout) for part in self.parts_]

    def _delays(self, layout: Layout) -> Array:
        return self.delay_s_per_mm_ * layout.distances

    def _waves(self, layout: Layout, scale: float) -> Array:
        polarity = self.polarity_.get(layout.patient)
        if polarity is None:
            return np.full((*layout.shape, len(GRID_S)), np.nan)
        size = scale * polarity * np.exp(np.clip(self.offset_ + self.predict(layout), *self.range_))
        times = GRID_S - np.nan_to_num(self._delays(layout))[..., None]
        return np.asarray(size[..., None] * np.interp(times, GRID_S, self.shape_))


def _fitted(training: Sequence[Recorded]) -> list[Predictor]:
    """Those of the optional parts that all patients have what they need for."""
    found: list[Predictor] = []
    for make in OPTIONAL:
        try:
            part = make().fit(training)
            if all(np.isfinite(part.predict(one.layout)).any() for one in training):
                found.append(part)
        except InputError:
            continue
    return found


def _shape(seen: Sequence[Responses]) -> tuple[float, Array]:
    """Delay per mm and shape: the pair under which the shape holds most of the responses."""
    best = -np.inf
    chosen: tuple[float, Array] = (0.0, np.zeros(len(GRID_S)))
    for delay in DELAYS_S_PER_MM:
        moved = [Responses(one.layout, one.used, _shifted(one.waves, delay * one.layout.distances)) for one in seen]
        shape = canonical(moved)
        rows = np.concatenate([one.waves[one.used] for one in moved])[:, COUNTS]
        size = (rows**2).sum(axis=1)
        share = np.divide((rows @ shape[COUNTS]) ** 2, size, out=np.zeros(len(rows)), where=size > 0)
        if share.mean() > best:
            best, chosen = float(share.mean()), (float(delay), shape)
    return chosen


def _shifted(waves: Array, delays_s: Array) -> Array:
    """Waves as they would be without the delay, (n_sites, n_channels, n_grid); held at their last value."""
    step = GRID_S[1] - GRID_S[0]
    place = np.arange(len(GRID_S)) + np.nan_to_num(delays_s)[..., None] / step
    place = np.minimum(place, len(GRID_S) - 1.0)
    before = np.minimum(place.astype(int), len(GRID_S) - 2)
    share = place - before
    first, second = (np.take_along_axis(waves, before + k, axis=-1) for k in (0, 1))
    return np.asarray(first * (1.0 - share) + second * share)
