"""Forecasts several frames ahead: each prediction becomes part of the next history, no observed frame is given back.

What was held out and what was not is in the names. The models of the folds are not kept by the families, so that a
trained network is forecast from its final weights, which have seen the frames: `in_sample`. Ridge VAR and the
autoregressions are closed forms; they are fitted again without each block, and forecast within it: `heldout`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from bids_ai.surrogate.base import FamilyFit, SurrogateModel
from bids_ai.surrogate.families.ridge_var import LinearVAR, linear_var
from bids_ai.surrogate.fitted import model_dtype
from bids_ai.surrogate.lags import Fold, IntArray
from bids_ai.surrogate.metrics.series import thinned
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.response import rollout
from bids_ai.surrogate.ridge_path import solve
from bids_ai.surrogate.usable import FloatArray

HORIZONS = (1, 2, 5, 10, 20)
"""Frames ahead."""
MAX_STARTS = 1000
MIN_STARTS = 10
"""Fewer forecasts than this give no R2."""


def forecast(model: SurrogateModel, states: FloatArray, n_steps: int, device: torch.device) -> FloatArray:
    """Noise-free forecasts 1 ... n_steps frames ahead, shape (n_states, n_steps, n_regions), SD units."""
    on_device = model.to(device)
    with torch.no_grad():
        block = torch.as_tensor(states, dtype=model_dtype(model), device=device)
        ahead: FloatArray = rollout(on_device, block, n_steps).double().cpu().numpy()
    model.to("cpu")
    return ahead


def forecast_scores(
    recording: PreparedRecording, fit: FamilyFit, linear: FamilyFit | None, heldout_r2: float, device: torch.device
) -> dict[str, Any]:
    """R2 at 1, 2, 5, 10 and 20 frames ahead, pooled over regions, about the mean of the recording.

    All rivals forecast the same frames from the same states: at most 1000, evenly spaced. A forecast stays within the
    held-out block of its start, and crosses no gap.

    Parameters
    ----------
    recording : PreparedRecording
    fit : FamilyFit
    linear : FamilyFit, optional
        The ridge VAR of the recording. Not needed where `fit` is one.
    heldout_r2 : float
        The one-step held-out R2 of `fit`, the one that a network has.
    device : torch.device

    Returns
    -------
    dict
        `horizons` and `n_forecasts`; lists over the horizons `r2_persistence` (nothing is fitted),
        `r2_ar_heldout` (each region's own past, order of the model), `r2_linear_heldout`, `r2_heldout` (the model:
        one step for a network, all for ridge VAR), `r2_in_sample` and `r2_linear_in_sample`. None where there
        are fewer than 10 forecasts, or where they leave every bound.
    """
    base = fit if isinstance(fit.models[0], LinearVAR) else linear
    sums = _Sums()
    folds = list(_fold_starts(recording))
    ridge = _ridge_folds(recording, base, [fold for fold, _ in folds], device) if base is not None else None
    n_steps = HORIZONS[-1]
    for number, (fold, starts) in enumerate(folds):
        truth = _followed(recording, starts, fold.test.stop, n_steps)
        histories = recording.histories(recording.order_max)[starts]
        rivals: dict[str, list[FloatArray]] = {
            "persistence": [np.repeat(histories[:, -1:], n_steps, axis=1)],
            "ar_heldout": [_autoregression(recording, fold, histories, fit.order, n_steps)],
            "in_sample": [forecast(model, histories[:, -fit.order :], n_steps, device) for model in fit.models],
        }
        if ridge is not None and base is not None:
            states = histories[:, -base.order :]
            rivals["linear_heldout"] = [forecast(ridge[number], states, n_steps, device)]
            if base is not fit:
                rivals["linear_in_sample"] = [forecast(base.models[0], states, n_steps, device)]
        sums.add(truth, rivals)
    scores = sums.scores()
    nothing: list[float | None] = [None] * len(HORIZONS)
    out: dict[str, Any] = {"horizons": list(HORIZONS), "n_forecasts": sums.counts.tolist()}
    for name in ("persistence", "ar_heldout", "linear_heldout", "in_sample", "linear_in_sample"):
        out[f"r2_{name}"] = scores.get(name, nothing)
    if base is fit:
        out["r2_linear_in_sample"] = out["r2_in_sample"]
        out["r2_heldout"] = out["r2_linear_heldout"]
    else:
        out["r2_heldout"] = [heldout_r2 if math.isfinite(heldout_r2) else None, *nothing[1:]]
    return out


class _Sums:
    """Sums of squares per horizon, over folds and members."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(HORIZONS), dtype=int)
        self.total = np.zeros(len(HORIZONS))
        self.errors: dict[str, FloatArray] = {}

    def add(self, truth: FloatArray, rivals: dict[str, list[FloatArray]]) -> None:
        at = np.array(HORIZONS) - 1
        true = truth[:, at]
        known = np.isfinite(true[..., 0])
        self.counts += known.sum(axis=0)
        self.total += np.nansum(true**2, axis=(0, 2))
        for name, members in rivals.items():
            with np.errstate(over="ignore", invalid="ignore"):
                squares = [np.where(known[..., None], (true - m[:, at]) ** 2, 0).sum(axis=(0, 2)) for m in members]
            self.errors[name] = self.errors.get(name, np.zeros(len(HORIZONS))) + np.mean(squares, axis=0)

    def scores(self) -> dict[str, list[float | None]]:
        enough = (self.counts >= MIN_STARTS) & (self.total > 0)
        ratios = {name: 1 - error / np.where(enough, self.total, 1.0) for name, error in self.errors.items()}
        return {
            name: [float(r) if e and np.isfinite(r) else None for r, e in zip(ratio, enough, strict=True)]
            for name, ratio in ratios.items()
        }


def _fold_starts(recording: PreparedRecording) -> Iterator[tuple[Fold, IntArray]]:
    """Folds, and the positions (of the first forecast frame) in their test blocks."""
    chosen = thinned(recording.n_samples, MAX_STARTS)
    for fold in recording.folds:
        inside = chosen[(chosen >= fold.test.start) & (chosen < fold.test.stop)]
        if len(inside):
            yield fold, inside


def _followed(recording: PreparedRecording, starts: IntArray, stop: int, n_steps: int) -> FloatArray:
    """Frames that came, (n_starts, n_steps, n_regions); NaN past the block or where a frame between is unusable."""
    positions = starts[:, None] + np.arange(n_steps)
    inside = np.minimum(positions, recording.n_samples - 1)
    unbroken = recording.targets[inside] == recording.targets[starts][:, None] + np.arange(n_steps)
    valid = (positions < stop) & unbroken
    truth = recording.series[recording.targets[inside]].copy()
    truth[~valid] = np.nan
    return truth


def _ridge_folds(
    recording: PreparedRecording, base: FamilyFit, folds: list[Fold], device: torch.device
) -> list[LinearVAR]:
    """Ridge VARs of the chosen order and penalty, each fitted without one block."""
    n = recording.n_regions
    x = torch.as_tensor(recording.histories(base.order), device=device).flatten(1)
    y = torch.as_tensor(recording.next_frames(), device=device)
    xx, xy = x.mT @ x, x.mT @ y
    models = []
    for fold in folds:
        out_x, out_y = x[fold.excluded], y[fold.excluded]
        weights = solve(xx - out_x.mT @ out_x, xy - out_x.mT @ out_y, float(base.penalty or 0.0))
        models.append(linear_var(weights.reshape(base.order, n, n).cpu()))
    return models


def _autoregression(
    recording: PreparedRecording, fold: Fold, histories: FloatArray, order: int, n_steps: int
) -> FloatArray:
    """Forecasts of each region from its own past, fitted without the block."""
    train = fold.train(recording.n_samples)
    past = recording.histories(order)[train].transpose(2, 0, 1)
    target = recording.next_frames()[train].T[..., None]
    gram = past.transpose(0, 2, 1) @ past
    gram += 1e-8 * np.trace(gram, axis1=1, axis2=2).max() * np.eye(order)  # a region that repeats itself
    weights = np.linalg.solve(gram, past.transpose(0, 2, 1) @ target)[..., 0].T
    window = histories[:, -order:]
    frames = []
    for _ in range(n_steps):
        following = (window * weights).sum(axis=1)
        window = np.concatenate([window[:, 1:], following[:, None]], axis=1)
        frames.append(following)
    return np.stack(frames, axis=1)
