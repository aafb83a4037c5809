"""Closed-form ridge VAR(p): the default surrogate, and the linear part every other family is measured against.

At clinical scan lengths it recovers known connectivity better than the trained networks do, in
milliseconds (see docs/surrogate.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.response import linear_response
from bids_ai.surrogate.ridge_path import (
    PENALTIES,
    Choice,
    Grams,
    gram_statistics,
    heldout_errors,
    one_standard_error,
    solve,
)
from bids_ai.surrogate.usable import FloatArray


class LinearVAR(SurrogateModel):
    """x(t+1) = sum_l x(t - p + 1 + l) A[l], without intercept.

    | name | shape | meaning |
    |---|---|---|
    | coefficients | (order, n_regions, n_regions) | A[l, source, target]; A[-1] belongs to the newest lag |
    """

    def __init__(self, n_regions: int, order: int, n_inputs: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.register_buffer("coefficients", torch.zeros(order, n_regions, n_regions, dtype=dtype))
        self.coefficients: Tensor
        self.input_weights = self.input_weights.to(dtype)

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        return history.flatten(-2) @ self.coefficients.flatten(0, 1)

    def analytic_response(self, horizon: int) -> Tensor:
        """Impulse response from the coefficients, (horizon, n_regions, n_regions)."""
        return linear_response(self.coefficients, horizon)

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"n_regions": self.n_regions, "order": self.order, "n_inputs": self.n_inputs}

    def spectral_radius(self) -> float:
        """Largest modulus of the eigenvalues of the companion matrix; below 1 the model is stable."""
        n, p = self.n_regions, self.order
        companion = torch.zeros(p * n, p * n, dtype=torch.float64)
        companion[:, (p - 1) * n :] = self.coefficients.detach().double().cpu().flatten(0, 1)
        companion[n:, : (p - 1) * n] = torch.eye((p - 1) * n, dtype=torch.float64)
        return float(torch.linalg.eigvals(companion).abs().max())


def linear_var(coefficients: Tensor) -> LinearVAR:
    """Model with the given coefficients (order, n_regions, n_regions)."""
    order, n_regions, _ = coefficients.shape
    model = LinearVAR(n_regions, order, dtype=coefficients.dtype)
    # Contiguous, as it is after reading from a file: products of another layout round differently.
    model.coefficients = coefficients.detach().clone(memory_format=torch.contiguous_format)
    return model


def fit_ridge(recordings: Sequence[PreparedRecording], settings: FitSettings) -> list[FamilyFit]:
    """Ridge VAR of a batch of recordings with the same number of kept regions.

    Parameters
    ----------
    recordings : sequence of PreparedRecording
        Same `order_max` and number of folds.
    settings : FitSettings
        Only the device matters here.

    Returns
    -------
    list of FamilyFit
        One per recording. The reported held-out predictions come from folds whose order and penalty were
        chosen by the other folds' scores.
    """
    grams = gram_statistics(recordings, settings.device)
    penalties = PENALTIES.to(settings.device)
    orders = range(1, recordings[0].order_max + 1)
    sse = torch.stack([heldout_errors(grams, order, penalties) for order in orders], dim=2)
    mse = (sse / (grams.n_test * grams.n_regions)[..., None, None]).cpu()
    return [_fit_one(recording, grams, b, mse[b]) for b, recording in enumerate(recordings)]


def _fit_one(recording: PreparedRecording, grams: Grams, b: int, mse: Tensor) -> FamilyFit:
    choice = one_standard_error(mse)
    penalty = float(PENALTIES[choice.penalty])
    first = grams.trailing(choice.order)
    weights = solve(grams.total_xx[b, first:, first:], grams.total_xy[b, first:], penalty)
    shape = (choice.order, grams.n_regions, grams.n_regions)
    design = recording.histories(choice.order).reshape(recording.n_samples, -1)
    residual = recording.next_frames() - design @ weights.cpu().numpy()
    return FamilyFit(
        models=(linear_var(weights.reshape(shape).cpu()),),
        order=choice.order,
        penalty=penalty,
        selection=_selection_table(mse, choice),
        heldout=_heldout(recording, grams, b, mse),
        train_mse=float(np.mean(residual**2)),
        details={"penalty_at_edge": choice.penalty in (0, len(PENALTIES) - 1)},
        split_half_r=_split_half(grams, b, choice),
    )


def _selection_table(mse: Tensor, choice: Choice) -> list[dict[str, float]]:
    n_folds = mse.shape[0]
    mean, error = mse.mean(0).tolist(), (mse.std(0) / n_folds**0.5).tolist()
    penalties = PENALTIES.tolist()
    return [
        {
            "order": order + 1,
            "penalty": penalties[k],
            "heldout_mse": mean[order][k],
            "heldout_mse_se": error[order][k],
            "selected": float(order + 1 == choice.order and k == choice.penalty),
        }
        for order in range(mse.shape[1])
        for k in range(mse.shape[2])
    ]


def _heldout(recording: PreparedRecording, grams: Grams, b: int, mse: Tensor) -> HeldOut:
    """Held-out predictions, each fold with the order and penalty that the other folds chose."""
    n_folds = len(recording.folds)
    prediction = np.empty((recording.n_samples, recording.n_regions))
    for k, fold in enumerate(recording.folds):
        choice = one_standard_error(mse, np.delete(np.arange(n_folds), k))
        weights = fold_weights(grams, b, k, choice.order, float(PENALTIES[choice.penalty]))
        design = recording.histories(choice.order)[fold.test]
        prediction[fold.test] = design.reshape(len(design), -1) @ weights
    return HeldOut(np.arange(recording.n_samples), prediction)


def ridge_weights(recording: PreparedRecording, positions: IntArray, order: int, penalty: float) -> FloatArray:
    """Coefficients (order * n_regions, n_regions) trained on some of the samples."""
    x = torch.as_tensor(recording.histories(order)[positions]).flatten(1)
    y = torch.as_tensor(recording.next_frames()[positions])
    weights: FloatArray = solve(x.mT @ x, x.mT @ y, penalty).numpy()
    return weights


def fold_weights(grams: Grams, b: int, fold: int, order: int, penalty: float) -> FloatArray:
    """Coefficients (order * n_regions, n_regions) trained without one fold."""
    first = grams.trailing(order)
    xx, xy = grams.train_xx[b, fold, first:, first:], grams.train_xy[b, fold, first:]
    weights: FloatArray = solve(xx, xy, penalty).cpu().numpy()
    return weights


def _split_half(grams: Grams, b: int, choice: Choice) -> float:
    """Correlation of the newest-lag off-diagonal coefficients between two halves, a fold apart if odd."""
    n_folds = grams.test_xx.shape[1]
    half, first, n = n_folds // 2, grams.trailing(choice.order), grams.n_regions
    penalty = float(PENALTIES[choice.penalty]) * half / n_folds  # the same shrinkage per sample
    newest = []
    for folds in (slice(0, half), slice(n_folds - half, n_folds)):
        xx, xy = grams.test_xx[b, folds].sum(0), grams.test_xy[b, folds].sum(0)
        newest.append(solve(xx[first:, first:], xy[first:], penalty)[-n:].cpu().numpy())
    off = ~np.eye(n, dtype=bool)
    a, c = newest[0][off], newest[1][off]
    return float(np.corrcoef(a, c)[0, 1]) if a.std() > 0 and c.std() > 0 else float("nan")


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    """Return the linear fits as they are: every recording has one already."""
    return list(linear)


FAMILY = Family(name="ridge-var", fit=_fit, build=LinearVAR, fallback_to_linear=False)
