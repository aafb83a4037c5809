"""Held-out one-step prediction against persistence, autoregression of each region alone, and ridge VAR."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_ai.surrogate.base import FamilyFit
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

N_BLOCKS = 10
"""Contiguous blocks of held-out frames over which standard errors are taken; frames within a block are
autocorrelated and are not independent evidence."""


def autoregression_heldout(recording: PreparedRecording, order: int) -> FloatArray:
    """Held-out predictions of each region from its own past only, shape (n_samples, n_regions)."""
    history, following = recording.histories(order), recording.next_frames()
    prediction = np.empty_like(following)
    for fold in recording.folds:
        train = fold.train(recording.n_samples)
        past, target = history[train].transpose(2, 0, 1), following[train].T[..., None]
        gram = past.transpose(0, 2, 1) @ past
        gram += 1e-8 * np.trace(gram, axis1=1, axis2=2).max() * np.eye(order)  # a region that repeats itself
        weights = np.linalg.solve(gram, past.transpose(0, 2, 1) @ target)
        test = history[fold.test].transpose(2, 0, 1)
        prediction[fold.test] = (test @ weights)[..., 0].T
    return prediction


def heldout_scores(recording: PreparedRecording, fit: FamilyFit, linear: FamilyFit) -> dict[str, Any]:
    """Held-out R2 of a fit and of its rivals on the same frames.

    R2 is 1 - SSE / SST, pooled over regions, with SST about the mean of the recording. A gain is the
    difference of two R2; its standard error is taken over contiguous blocks.

    Returns
    -------
    dict
        `r2`, `r2_se`, `r2_persistence`, `r2_ar1`, `r2_ar` (same order as the model), `r2_linear`,
        `gain_over_*` and `gain_over_*_se`, `mse`, `n_frames`, and `r2_region` (per kept region).
    """
    positions = fit.heldout.positions
    truth = recording.next_frames()[positions]
    predictions = {
        "model": fit.heldout.prediction,
        "persistence": recording.series[recording.targets[positions] - 1],
        "ar1": autoregression_heldout(recording, 1)[positions],
        "ar": autoregression_heldout(recording, fit.order)[positions],
        "linear": linear.heldout.prediction[np.searchsorted(linear.heldout.positions, positions)],
        "mean": np.zeros_like(truth),
    }
    errors = {name: (truth - prediction) ** 2 for name, prediction in predictions.items()}
    scale = errors["mean"].mean()
    scores: dict[str, Any] = {"n_frames": len(positions), "mse": float(errors["model"].mean())}
    for name in ("model", "persistence", "ar1", "ar", "linear"):
        scores["r2" if name == "model" else f"r2_{name}"] = float(1 - errors[name].mean() / scale)
    scores["r2_se"] = _gain(errors["mean"], errors["model"], scale)[1]
    for rival in ("persistence", "ar1", "ar", "linear"):
        gain, error = _gain(errors[rival], errors["model"], scale)
        scores[f"gain_over_{rival}"], scores[f"gain_over_{rival}_se"] = gain, error
    scores["r2_region"] = (1 - errors["model"].sum(0) / errors["mean"].sum(0)).tolist()
    return scores


def paired_gain(recording: PreparedRecording, rival: FamilyFit, model: FamilyFit) -> tuple[float, float]:
    """Gain in held-out R2 of a model over a rival on the frames that both predict, and its standard error."""
    shared, ours, theirs = np.intersect1d(model.heldout.positions, rival.heldout.positions, return_indices=True)
    truth = recording.next_frames()[shared]
    scale = float((truth**2).mean())
    return _gain((truth - rival.heldout.prediction[theirs]) ** 2, (truth - model.heldout.prediction[ours]) ** 2, scale)


def _gain(rival: FloatArray, model: FloatArray, scale: float) -> tuple[float, float]:
    """Mean gain in R2 and its standard error over contiguous blocks."""
    difference = (rival - model).mean(axis=1) / scale
    blocks = np.array([block.mean() for block in np.array_split(difference, min(N_BLOCKS, len(difference)))])
    return float(difference.mean()), float(blocks.std(ddof=1) / np.sqrt(len(blocks)))


def keeps_nonlinear(scores: dict[str, Any]) -> bool:
    """Whether a nonlinear model predicts better than the linear one by more than one standard error."""
    return bool(scores["gain_over_linear"] > scores["gain_over_linear_se"])
