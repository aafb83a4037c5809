"""Ridge VAR whose penalty differs from edge to edge: weak where the structural connectivity (SC) has a connection.

The prior variance of a coefficient from region i to region j is proportional to (e + s_ij)^c, s_ij being the SC over
its mean. Penalty and contrast c are chosen by blocked cross-validation, so that an SC which does not help is not used
(c = 0).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bids_ai.errors import InputError
from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.families.ridge_var import LinearVAR, linear_var
from bids_ai.surrogate.penalty import strongest_within_one_se
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.ridge_path import gram_statistics
from bids_ai.surrogate.usable import FloatArray

PENALTIES = torch.logspace(4, 0, 9, dtype=torch.float64)
"""Penalties at the mean prior variance, SD units squared; strongest first."""
CONTRASTS = (0.0, 0.5, 1.0)
SC_FLOOR = 0.05
"""Of an absent connection, as a share of the mean: an SC misses some, and a VAR at the TR has indirect effects."""


def edge_penalties(structural: FloatArray, contrast: float) -> Tensor:
    """Relative penalty of every edge, (n, n), of harmonic mean 1 off the diagonal; 1 on it."""
    n = len(structural)
    off = ~np.eye(n, dtype=bool)
    variance = (SC_FLOOR + structural / structural[off].mean()) ** contrast
    variance /= variance[off].mean()
    np.fill_diagonal(variance, 1.0)
    return torch.as_tensor(1 / variance)


def solve_edges(xx: Tensor, xy: Tensor, penalties: Tensor) -> Tensor:
    """Coefficients with a penalty of their own each.

    Parameters
    ----------
    xx : (..., p n, p n) tensor
    xy : (..., p n, n) tensor
    penalties : (n, n) tensor
        Of the edge from row to column, at every lag.
    """
    n = penalties.shape[1]
    order = xx.shape[-1] // n
    diagonals = torch.diag_embed(penalties.T.repeat(1, order))  # (target, p n, p n)
    factor = torch.linalg.cholesky(xx[..., None, :, :] + diagonals)
    return torch.cholesky_solve(xy.mT[..., None], factor)[..., 0].mT


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    return [_fit_one(recording, base, settings) for recording, base in zip(recordings, linear, strict=True)]


def _fit_one(recording: PreparedRecording, linear: FamilyFit, settings: FitSettings) -> FamilyFit:
    structural = recording.kept_structural
    if structural is None:
        raise InputError(
            f"{recording.name}: sc-ridge needs a structural connectivity, and the recording has none; "
            "give one, or choose a model that goes without, such as ridge-var."
        )
    grams = gram_statistics([recording], settings.device)
    n, order = recording.n_regions, linear.order
    first = grams.trailing(order)
    train = grams.train_xx[0, :, first:, first:], grams.train_xy[0, :, first:]
    held = grams.test_xx[0, :, first:, first:], grams.test_xy[0, :, first:], grams.test_yy[0]
    edges = [edge_penalties(structural, contrast).to(settings.device) for contrast in CONTRASTS]
    paths = [[_fold_solutions(train, edge * penalty) for penalty in PENALTIES] for edge in edges]
    errors = torch.stack([torch.stack([_squared_error(w, *held) for w in path], dim=1) for path in paths]) / (
        grams.n_test[0][:, None] * n
    )
    contrast, penalty = _choose(errors)
    strength = edges[contrast] * PENALTIES[penalty]
    weights = solve_edges(grams.total_xx[0, first:, first:], grams.total_xy[0, first:], strength)
    histories, following = recording.histories(order).reshape(recording.n_samples, -1), recording.next_frames()
    prediction = np.empty_like(following)
    for k, fold in enumerate(recording.folds):
        others = np.delete(np.arange(len(recording.folds)), k)
        c, p = _choose(errors[:, others])
        prediction[fold.test] = histories[fold.test] @ paths[c][p][k].cpu().numpy()
    residual = following - histories @ weights.cpu().numpy()
    return FamilyFit(
        models=(linear_var(weights.cpu().unflatten(0, (order, n))),),
        order=order,
        penalty=float(PENALTIES[penalty]),
        selection=_table(errors, contrast, penalty, order),
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={"contrast": CONTRASTS[contrast]},
    )


def _fold_solutions(train: tuple[Tensor, Tensor], penalties: Tensor) -> Tensor:
    """Fold by fold: the Cholesky factors of all targets of all folds at once would fill the memory."""
    return torch.stack([solve_edges(xx, xy, penalties) for xx, xy in zip(*train, strict=True)])


def _squared_error(weights: Tensor, xx: Tensor, xy: Tensor, yy: Tensor) -> Tensor:
    explained = 2 * (weights * xy).sum((-2, -1)) - (weights * (xx @ weights)).sum((-2, -1))
    return yy - explained


def _choose(errors: Tensor) -> tuple[int, int]:
    """Contrast with the least error, and the strongest penalty within one standard error at that contrast."""
    contrast = int(errors.mean(1).amin(1).argmin())
    return contrast, strongest_within_one_se(errors[contrast])


def _table(errors: Tensor, contrast: int, penalty: int, order: int) -> list[dict[str, float]]:
    n_folds = errors.shape[1]
    return [
        {
            "order": order,
            "penalty": float(PENALTIES[k]),
            "contrast": CONTRASTS[c],
            "heldout_mse": float(errors[c, :, k].mean()),
            "heldout_mse_se": float(errors[c, :, k].std() / n_folds**0.5),
            "selected": float(c == contrast and k == penalty),
        }
        for c in range(len(CONTRASTS))
        for k in range(len(PENALTIES))
    ]


FAMILY = Family(name="sc-ridge", fit=_fit, build=LinearVAR, fallback_to_linear=False)
