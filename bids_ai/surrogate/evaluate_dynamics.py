"""The whole set of scores of one fitted surrogate, the ten of the surrogate-brain review among them.

Dearer than `evaluate` (a second or two), so that it is asked for and not run over every recording of a batch. Given
another recording of the same subject, all of it is out of sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bids_ai.errors import InputError
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.forecast import forecast
from bids_ai.surrogate.free_run import DIVERGED_SD, chain_length, chain_starts, free_run
from bids_ai.surrogate.lags import IntArray, histories, join_runs, lag_targets
from bids_ai.surrogate.metrics.amplitudes import amplitude_hellinger, amplitude_kl
from bids_ai.surrogate.metrics.connectivity import fc_similarity
from bids_ai.surrogate.metrics.dimension import correlation_dimension, dimension_similarity
from bids_ai.surrogate.metrics.dynamic_fc import WINDOW_S
from bids_ai.surrogate.metrics.dynamics import SCORE_NAMES, Recorded, Scores, finite_or_none, mean_scores
from bids_ai.surrogate.metrics.phase import phase_randomised
from bids_ai.surrogate.metrics.power import log_spectral_distance, spectral_cosine
from bids_ai.surrogate.metrics.prediction import explained_variance, mae, mse, r2
from bids_ai.surrogate.metrics.series import Series
from bids_ai.surrogate.metrics.topology import homology_wasserstein
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.usable import FloatArray, standardise, usable_frames

FORECAST_STEPS = 20
MAX_FORECASTS = 500
CLOUD_NAMES = (
    "amplitude_kl",
    "amplitude_hellinger",
    "spectral_cosine",
    "log_spectral_distance",
    "fc_similarity",
    "homology_wasserstein_h0",
    "homology_wasserstein_h1",
    "correlation_dimension",
    "correlation_dimension_recorded",
    "correlation_dimension_similarity",
)
"""Scores of a free run that are not in `SCORE_NAMES`."""


def evaluate_dynamics(
    fitted: FittedSurrogate,
    *,
    linear: FittedSurrogate | None = None,
    recording: Recording | None = None,
    window_s: float = WINDOW_S,
    n_steps: int = FORECAST_STEPS,
    seed: int | None = None,
) -> dict[str, Any]:
    """All scores of a surrogate against the recording it was fitted to, or against another one.

    Parameters
    ----------
    fitted : FittedSurrogate
    linear : FittedSurrogate, optional
        The ridge VAR of the same recording, as a reference.
    recording : Recording, optional
        Another recording of the same regions, such as the next session; it is standardised by itself. Default: the
        series that the surrogate was fitted to.
    window_s : float, default=60
        Window of the dynamic FC, seconds.
    n_steps : int, default=20
        Forecasts that MSE, MAE, explained variance and R2 are over, frames: from an observed history, without
        noise, and without an observed frame in between.
    seed : int, optional
        Default: that of the fit.

    Returns
    -------
    dict
        `in_sample` (bool), and per series a dict of scores, JSON-able, None where there is none: `model`, `linear`,
        `other_half`, `phase_randomised`, `phase_randomised_apart` (all free-running or recorded) and, of the
        forecasts only, `persistence`. See docs/evaluation.md for the scores.

    Raises
    ------
    InputError
        For a recording of other regions or of another sampling interval, or one without enough usable frames.
    """
    observed = _Observed.of(fitted) if recording is None else _Observed.from_recording(fitted, recording)
    name = fitted.name if recording is None else recording.name
    base_seed = fitted.seed if seed is None else seed
    recorded = Recorded(observed.series, fitted.tr, member_seed(base_seed, name, 3000), window_s)
    out: dict[str, Any] = {
        "in_sample": recording is None,
        "n_frames": int(usable_frames(observed.series).sum()),
        "n_forecast_steps": n_steps,
        "model": _surrogate_scores(fitted, observed, recorded, n_steps, base_seed),
        "linear": None if linear is None else _surrogate_scores(linear, observed, recorded, n_steps, base_seed),
        "persistence": _forecast_scores(*observed.persistence(fitted.order, n_steps)),
    }
    first, second = recorded.halves
    cheap = recorded.references()
    others: dict[str, tuple[Series, Series]] = {
        "other_half": (first, second),
        "phase_randomised": (observed.series, phase_randomised(observed.series, recorded.seed, common=True)),
        "phase_randomised_apart": (observed.series, phase_randomised(observed.series, recorded.seed, common=False)),
    }
    return out | {key: {**cheap[key], **_cloud_scores(*pair)} for key, pair in others.items()}


@dataclass(frozen=True)
class _Observed:
    """Standardised series of the kept regions, and the frames with a complete history."""

    series: FloatArray
    targets: IntArray

    @classmethod
    def of(cls, fitted: FittedSurrogate) -> _Observed:
        return cls(fitted.series, fitted.targets)

    @classmethod
    def from_recording(cls, fitted: FittedSurrogate, recording: Recording) -> _Observed:
        fitted.require_regions(recording.regions, recording.name)
        if not np.isclose(recording.tr, fitted.tr, rtol=1e-3):
            raise InputError(
                f"{recording.name}: sampled every {recording.tr:g} s, but {fitted.name} steps by {fitted.tr:g} s; "
                "resample it first."
            )
        runs = [run[:, fitted.kept] for run in recording.runs]
        if any(usable_frames(run).sum() < 2 for run in runs):
            raise InputError(f"{recording.name}: a region that {fitted.name} has is missing, or a run has no frames.")
        series = join_runs([standardise(run)[0] for run in runs], gap=fitted.order)
        targets = lag_targets(usable_frames(series), fitted.order)
        if len(targets) < _n_least(fitted):
            raise InputError(
                f"{recording.name}: {len(targets)} frames with {fitted.order} usable frames before them, at least "
                f"{_n_least(fitted)} are needed."
            )
        return cls(series, targets)

    def starts(self, order: int, n_steps: int) -> IntArray:
        """Frames from which a forecast of n_steps crosses no gap, evenly spaced."""
        usable = usable_frames(self.series)
        starts = lag_targets(usable, order + n_steps - 1) - n_steps + 1
        if len(starts) > MAX_FORECASTS:
            starts = starts[np.linspace(0, len(starts) - 1, MAX_FORECASTS).round().astype(int)]
        return starts

    def followed(self, order: int, n_steps: int) -> FloatArray:
        """Frames that came after the starts, (n_starts, n_steps, n_regions)."""
        frames: FloatArray = self.series[self.starts(order, n_steps)[:, None] + np.arange(n_steps)]
        return frames

    def persistence(self, order: int, n_steps: int) -> tuple[FloatArray, FloatArray]:
        """Frames that came, and the last observed one repeated."""
        truth = self.followed(order, n_steps)
        last = self.series[self.starts(order, n_steps) - 1]
        return truth, np.repeat(last[:, None], n_steps, axis=1)


def _n_least(fitted: FittedSurrogate) -> int:
    """Frames with a complete history that a comparison needs."""
    return max(FORECAST_STEPS, 2 * fitted.order)


def _surrogate_scores(
    fitted: FittedSurrogate, observed: _Observed, recorded: Recorded, n_steps: int, seed: int
) -> dict[str, Any]:
    """Scores of the forecasts (mean forecast of the ensemble) and of the free run (mean over the members)."""
    device = torch.device("cpu")
    states = histories(observed.series, observed.starts(fitted.order, n_steps), fitted.order)
    ahead = np.mean([forecast(model, states, n_steps, device) for model in fitted.models], axis=0)
    ahead = np.where(np.abs(ahead) <= DIVERGED_SD, ahead, np.inf)
    scores = _forecast_scores(observed.followed(fitted.order, n_steps), ahead)
    initial = chain_starts(observed.series, observed.targets, fitted.order)
    steps = chain_length(len(observed.targets), recorded.window)
    members: list[Scores] = []
    for number, model in enumerate(fitted.models):
        chain_seed = member_seed(seed, fitted.name, 1000 + number)
        chains = free_run(model, initial, fitted.innovation_cov, steps, chain_seed, device)
        if chains is None:
            return {**scores, **dict.fromkeys((*SCORE_NAMES, *CLOUD_NAMES)), "diverged": True}
        members.append({**recorded.compare(list(chains)), **_cloud_scores(observed.series, list(chains))})
    return {**scores, **mean_scores(members), "diverged": False}


def _forecast_scores(truth: FloatArray, ahead: FloatArray) -> Scores:
    """MSE, MAE, explained variance and R2 over all forecast frames; None where a forecast left every bound."""
    names = ("mse", "mae", "explained_variance", "r2")
    if not len(truth) or not np.isfinite(ahead).all():
        return dict.fromkeys(names)
    frames, predicted = truth.reshape(-1, truth.shape[-1]), ahead.reshape(-1, truth.shape[-1])
    values = [score(frames, predicted) for score in (mse, mae, explained_variance, r2)]
    return finite_or_none(dict(zip(names, values, strict=True)))


def _cloud_scores(truth: Series, generated: Series) -> Scores:
    """Those of the ten that are neither forecasts nor in `Recorded.compare`."""
    dimensions = correlation_dimension(truth), correlation_dimension(generated)
    homology = homology_wasserstein(truth, generated)
    values = (
        amplitude_kl(truth, generated),
        amplitude_hellinger(truth, generated),
        spectral_cosine(truth, generated),
        log_spectral_distance(truth, generated),
        fc_similarity(truth, generated),
        homology["h0"],
        homology["h1"],
        dimensions[1],
        dimensions[0],
        dimension_similarity(*dimensions),
    )
    return finite_or_none(dict(zip(CLOUD_NAMES, values, strict=True)))
