"""Impulse response of a model of resting iEEG, refined on training sites: polarity, reach, a short kernel in time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.evoked import (
    COUNTS,
    GRID_S,
    SiteRidge,
    at_times,
    first_wave_latency,
    first_wave_score,
    training_responses,
)
from bids_ai.ccep.prediction.impulse_response import LONGEST_STEP_S, model_times
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.splits import WITHIN_MM
from bids_ai.ccep.trials import Array, BoolArray
from bids_ai.errors import InputError

#: The kernel is a straight line between these, s, and zero from the last one on: a pulse makes axons fire within
#: milliseconds, whereas a push of a potential is sent on as slowly as the potential relaxes.
KNOTS_S = np.array([0.0, 0.004, 0.008, 0.016, 0.028, 0.048, 0.08])
#: Lengths that are tried over which the current reaches neighbouring contacts, mm; 0: only the stimulated ones.
#: Stoney et al. 1968, doi:10.1152/jn.1968.31.5.659: some millimetres at the currents in use.
REACHES_MM = (0.0, 4.0, 8.0)


class ImpulseRefined(Predictor):
    """Response to a site: sum over contacts b near it of w_b s_b (k * H_b), H_b the impulse response.

    - A push has a sign, stimulation has none: it excites whatever it reaches. Whether that is a push up or down of a
      contact's potential (s_b) depends on where the contact lies in the cortex. The sign is that under which the
      response of the model is more like the responses to training sites, those near the site left out.
    - w_b falls with the distance to the stimulated contacts (`REACHES_MM`).
    - k is a kernel of `KNOTS_S`, by ridge.

    Kernel, reach and penalty are shared by all sites, and chosen by leaving training leads out.
    """

    name = "impulse-refined"
    label = "the impulse response of a model of resting iEEG, refined on training sites"
    source = "docs/ccep_scoring.md"
    learns_waveforms = True

    def fit(self, training: Sequence[Recorded]) -> ImpulseRefined:
        """Find the polarity of channels, then reach and kernel."""
        for one in training:
            model_times(one.layout, self.name)
        seen = training_responses(training, self.name)
        self.seen_ = {one.layout.patient: one for one in seen}
        fits: dict[float, SiteRidge] = {}
        for reach in REACHES_MM:
            fits[reach] = SiteRidge().fit([self._columns(one.layout, reach) for one in seen], seen)
        self.reach_mm_ = min(fits, key=lambda reach: fits[reach].error_)
        self.kernel_, self.error_ = fits[self.reach_mm_].weights_, fits[self.reach_mm_].error_
        return self

    def predict(self, layout: Layout) -> Array:
        """Logarithm of the RMS of the first wave."""
        return first_wave_score(self._waves(layout), GRID_S)

    def predict_waveforms(self, layout: Layout, times_s: Array) -> Array:
        """Responses at given times, (n_sites, n_channels, n_times); NaN beyond the end of the impulse response."""
        return at_times(self._waves(layout), GRID_S, times_s)

    def predict_latency(self, layout: Layout) -> Array:
        """First peak of the first wave, s."""
        step = float(np.diff(model_times(layout, self.name)).max())
        if step > LONGEST_STEP_S:
            raise InputError(f"{self.name} gives no latency: the model makes steps of {1e3 * step:g} ms.")
        return first_wave_latency(self._waves(layout), GRID_S)

    def _waves(self, layout: Layout) -> Array:
        model_times(layout, self.name)
        return np.asarray(np.einsum("k,kscl->scl", self.kernel_, self._columns(layout, self.reach_mm_)))

    def _columns(self, layout: Layout, reach_mm: float) -> Array:
        """Response to each knot of the kernel, shape (n_knots, n_sites, n_channels, n_grid)."""
        pushes = _on_grid(layout)
        known: BoolArray = np.asarray(np.isfinite(pushes).any(axis=(1, 2)))
        weights = _reached(layout, reach_mm) * known
        total = weights.sum(axis=1, keepdims=True)
        weights = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0) * self._signs(layout)
        waves = np.tensordot(weights, np.where(known[:, None, None], pushes, 0.0), axes=1)
        # A site none of whose contacts is in the model.
        waves[~(_reached(layout, 0.0) * known).any(axis=1)] = np.nan
        step = GRID_S[1] - GRID_S[0]
        return np.stack([_through(waves, _hat(k, step)) for k in range(len(KNOTS_S))])

    def _signs(self, layout: Layout) -> Array:
        """Whether exciting the tissue at a contact pushes its potential up or down, shape (n_sites, n_contacts)."""
        pushes = np.nan_to_num(_on_grid(layout)[..., COUNTS])
        seen = self.seen_.get(layout.patient)
        if seen is None:
            return np.ones((layout.shape[0], len(pushes)))
        waves = seen.waves[..., COUNTS]
        # (contact, training site), over channels that responded
        shared = np.tensordot(pushes, waves, axes=((1, 2), (1, 2)))
        size = np.sqrt(((pushes**2).sum(axis=2) @ seen.used.T) * (waves**2).sum(axis=(1, 2)))
        alike = np.divide(shared, size, out=np.zeros_like(shared), where=size > 0)
        votes = (~layout.near_sites(WITHIN_MM)).astype(float) @ (alike * np.abs(alike)).T
        return np.where(votes < 0, -1.0, 1.0)


def _on_grid(layout: Layout) -> Array:
    """Impulses on the grid, (n_contacts, n_channels, n_grid); NaN beyond the end of what the model was run for."""

    def compute(own: Layout) -> Array:
        assert own.impulses is not None
        assert own.impulse_times_s is not None
        return at_times(own.impulses, own.impulse_times_s, GRID_S)

    return layout.remembered("impulses on the grid", compute)


def _reached(layout: Layout, reach_mm: float) -> Array:
    """Share of every contact in what a site excites, not normalised, shape (n_sites, n_contacts)."""
    own = np.zeros((layout.shape[0], len(layout.contact_positions_mm)))
    np.put_along_axis(own, layout.site_contacts, 1.0, axis=1)
    if reach_mm == 0:
        return own
    apart = np.linalg.norm(layout.contact_positions_mm[:, None] - layout.contact_positions_mm[None], axis=-1)
    fall = np.where(np.isfinite(apart), np.exp(-0.5 * (np.nan_to_num(apart) / reach_mm) ** 2), 0.0)
    np.fill_diagonal(fall, 1.0)
    return own @ fall


def _hat(knot: int, step: float) -> Array:
    """Kernel that is one at a knot, zero at all others and straight between them, on the grid."""
    times = np.arange(0.0, KNOTS_S[-1] + step, step)
    ends = np.append(KNOTS_S, KNOTS_S[-1] + 0.5 * (KNOTS_S[-1] - KNOTS_S[-2]))
    return np.interp(times, ends, np.eye(len(ends))[knot])


def _through(waves: Array, kernel: Array) -> Array:
    out = np.zeros_like(waves)
    for lag, weight in enumerate(kernel):
        if weight:
            out[..., lag:] += weight * waves[..., : waves.shape[-1] - lag]
    return out
