"""Errors of predicted frames: MSE, MAE, explained variance, R2.

All take `truth` and `prediction` of shape (n_times, n_regions), SD units, frame by frame; rows with a NaN in
either are left out.
"""

from __future__ import annotations

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import FloatArray


def mse(truth: FloatArray, prediction: FloatArray) -> float:
    """Mean squared error over frames and regions, SD units squared; 0 is perfect, the mean scores 1."""
    both = _paired(truth, prediction)
    return float(np.mean((both[0] - both[1]) ** 2)) if len(both[0]) else float("nan")


def mae(truth: FloatArray, prediction: FloatArray) -> float:
    """Mean absolute error over frames and regions, SD units; 0 is perfect, the mean scores 0.80 on Gaussian series."""
    both = _paired(truth, prediction)
    return float(np.mean(np.abs(both[0] - both[1]))) if len(both[0]) else float("nan")


def explained_variance(truth: FloatArray, prediction: FloatArray) -> float:
    """1 - var(error) / var(truth), mean over regions; 1 is perfect, 0 no better than a constant, no lower bound.

    A constant offset is forgiven, which is the difference to `r2`. Regions that do not vary are left out.
    """
    true, predicted = _paired(truth, prediction)
    return _mean_ratio((true - predicted).var(axis=0), true.var(axis=0)) if len(true) else float("nan")


def r2(truth: FloatArray, prediction: FloatArray) -> float:
    """1 - SSE / SST about the mean of each region, mean over regions; 1 is perfect, no lower bound."""
    true, predicted = _paired(truth, prediction)
    return _mean_ratio(((true - predicted) ** 2).mean(axis=0), true.var(axis=0)) if len(true) else float("nan")


def pooled_r2(truth: FloatArray, prediction: FloatArray) -> float:
    """1 - SSE / SST about zero, pooled over regions: the R2 of `heldout_scores`.

    Standardised series have mean zero over the recording, so that the same denominator serves every horizon.
    """
    true, predicted = _paired(truth, prediction)
    total = np.square(true).sum()
    return float(1 - np.square(true - predicted).sum() / total) if total > 0 else float("nan")


def _paired(truth: FloatArray, prediction: FloatArray) -> tuple[FloatArray, FloatArray]:
    if truth.shape != prediction.shape or truth.ndim != 2:
        raise InputError(
            f"Predictions of shape {prediction.shape} do not fit frames of shape {truth.shape}; both are "
            "(n_times, n_regions)."
        )
    usable = np.isfinite(truth).all(axis=1) & np.isfinite(prediction).all(axis=1)
    return truth[usable], prediction[usable]


def _mean_ratio(error: FloatArray, variance: FloatArray) -> float:
    varies = variance > 0
    return float(np.mean(1 - error[varies] / variance[varies])) if varies.any() else float("nan")
