"""Penalised least squares with linear lags of all regions and, for each target, nonlinear features of its own past.

    y_j = X w + O_j v + noise,   penalties: coupling |w|^2, features |v|^2

X holds the lags of all regions and is common to the targets; O_j holds the features of region j, its own lags once more
(hardly penalised, so that they escape the penalty of the coupling), and a constant. The lags are eliminated first: one
factorisation of X'X + coupling I serves all targets, and what is left is a small system for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.own_past import OwnBasis, own_basis, own_features
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.ridge_path import Grams, gram_statistics
from bids_ai.surrogate.usable import FloatArray

COUPLING_PENALTIES = (1e5, 1e4, 1e3, 1e2, 1e1, 1e0, 1e-1)
FEATURE_PENALTIES = (1e3, 1e0, 1e-2, 1e-4)
CANDIDATES = tuple((coupling, feature) for feature, coupling in product(FEATURE_PENALTIES, COUPLING_PENALTIES))
"""Penalties (of the coupling, of the features) in SD units squared, strong before weak."""
OWN_PENALTY = 1e-2
"""Of a region's own lags and of the constant: enough to keep the system regular."""
MAX_PRICED = 8
"""Targets on which the candidates are compared, evenly spaced: two numbers are chosen, and more targets add little."""


@dataclass(frozen=True)
class Problem:
    """What all targets of a recording have in common.

    Parameters
    ----------
    recording : PreparedRecording
    histories : (n_samples, order, n_regions) tensor
        Newest lag last.
    following : (n_samples, n_regions) tensor
    grams : Grams
        Second moments of the lags, of a batch of one.
    basis : OwnBasis
    """

    recording: PreparedRecording
    histories: Tensor
    following: Tensor
    grams: Grams
    basis: OwnBasis


@dataclass(frozen=True)
class Weights:
    """Weights of one target.

    Parameters
    ----------
    coupling : (order, n_regions) tensor
        Of the lags of the other regions; 0 for its own.
    own_lags : (order,) tensor
    features : (n_features,) tensor
    constant : () tensor
    """

    coupling: Tensor
    own_lags: Tensor
    features: Tensor
    constant: Tensor


@dataclass(frozen=True)
class Solution:
    """Final weights of one target, its held-out predictions, and the residual of the final fit, (n_samples,)."""

    weights: Weights
    heldout: FloatArray
    residual: FloatArray


@dataclass(frozen=True)
class _Moments:
    """Second moments of a target's own columns: X'O, O'O, O'y; leading dimensions, if any, are folds."""

    cross: Tensor
    square: Tensor
    inner: Tensor

    def __getitem__(self, fold: int) -> _Moments:
        return _Moments(self.cross[fold], self.square[fold], self.inner[fold])


def prepare_problem(recording: PreparedRecording, device: torch.device) -> Problem:
    """Histories, second moments and basis of a recording."""
    histories = torch.as_tensor(recording.histories(recording.order_max), device=device)
    following = torch.as_tensor(recording.next_frames(), device=device)
    return Problem(recording, histories, following, gram_statistics([recording], device), own_basis(histories))


def heldout_mse(problem: Problem) -> Tensor:
    """Held-out mean squared error of every candidate, shape (n_folds, n_candidates)."""
    n, folds, grams = problem.recording.n_regions, problem.recording.folds, problem.grams
    targets = np.unique(np.linspace(0, n - 1, min(n, MAX_PRICED)).round().astype(int)).tolist()
    moments = {target: _moments(problem, target, _own(problem, target)) for target in targets}
    mse = torch.zeros(len(folds), len(CANDIDATES), dtype=torch.float64)
    for k, fold in enumerate(folds):
        following = problem.following[fold.test]
        for coupling in COUPLING_PENALTIES:
            factor = _factor(grams.train_xx[0, k], coupling)
            for target in targets:
                train, test, _ = moments[target]
                for feature in FEATURE_PENALTIES:
                    penalties = _own_penalties(problem, feature)
                    w, v = _solve(factor, grams.train_xy[0, k, :, target], train[k], penalties)
                    held = test[k]
                    explained = 2 * (w @ grams.test_xy[0, k, :, target] + v @ held.inner)
                    explained -= w @ grams.test_xx[0, k] @ w + 2 * w @ held.cross @ v + v @ held.square @ v
                    sse = following[:, target].square().sum() - explained
                    mse[k, CANDIDATES.index((coupling, feature))] += float(sse) / (len(following) * len(targets))
    return mse


def solve_all(problem: Problem, chosen: int, per_fold: Sequence[int]) -> list[Solution]:
    """Solve every target on all samples with one candidate, and on each fold with the fold's own."""
    grams, n = problem.grams, problem.recording.n_regions
    coupling, feature = CANDIDATES[chosen]
    final = _factor(grams.total_xx[0], coupling)
    factors = [_factor(grams.train_xx[0, k], CANDIDATES[c][0]) for k, c in enumerate(per_fold)]
    lags = problem.histories.flatten(1)
    solutions = []
    for target in range(n):
        own = _own(problem, target)
        train, _, total = _moments(problem, target, own)
        w, v = _solve(final, grams.total_xy[0, :, target], total, _own_penalties(problem, feature))
        residual = problem.following[:, target] - lags @ w - own @ v
        heldout = np.empty(problem.recording.n_samples)
        for k, fold in enumerate(problem.recording.folds):
            penalties = _own_penalties(problem, CANDIDATES[per_fold[k]][1])
            w_k, v_k = _solve(factors[k], grams.train_xy[0, k, :, target], train[k], penalties)
            heldout[fold.test] = (lags[fold.test] @ w_k + own[fold.test] @ v_k).cpu().numpy()
        solutions.append(Solution(_unpack(problem, target, w, v), heldout, residual.cpu().numpy()))
    return solutions


def _unpack(problem: Problem, target: int, w: Tensor, v: Tensor) -> Weights:
    order, n = problem.histories.shape[1:]
    coupling = w.unflatten(0, (order, n)).clone()
    own_lags = coupling[:, target] + v[-order - 1 : -1]
    coupling[:, target] = 0
    return Weights(coupling, own_lags, v[: -order - 1], v[-1])


def _own(problem: Problem, target: int) -> Tensor:
    """Features, lags and constant of a region, (n_samples, n_features + order + 1)."""
    past = problem.histories[:, :, target]
    features = own_features(past, problem.basis.directions, problem.basis.offsets)
    return torch.cat([features, past, past.new_ones(len(past), 1)], dim=1)


def _own_penalties(problem: Problem, feature: float) -> Tensor:
    n_features, order = problem.basis.directions.shape[1], problem.histories.shape[1]
    return torch.cat(
        [problem.following.new_full((n_features,), feature), problem.following.new_full((order + 1,), OWN_PENALTY)]
    )


def _moments(problem: Problem, target: int, own: Tensor) -> tuple[_Moments, _Moments, _Moments]:
    """Of the training samples of each fold, of its test samples, and of all."""
    lags, y = problem.histories.flatten(1), problem.following[:, target]

    def of(part: slice) -> tuple[Tensor, Tensor, Tensor]:
        block = own[part]
        return lags[part].mT @ block, block.mT @ block, block.mT @ y[part]

    tests, left_out = [], []
    for fold in problem.recording.folds:
        test = of(fold.test)
        before = of(slice(fold.excluded.start, fold.test.start))
        after = of(slice(fold.test.stop, fold.excluded.stop))
        tests.append(test)
        left_out.append([a + b + c for a, b, c in zip(test, before, after, strict=True)])
    test_parts = [torch.stack(parts) for parts in zip(*tests, strict=True)]
    totals = [part.sum(0) for part in test_parts]  # the test blocks partition the samples
    train_parts = [total - torch.stack(parts) for total, parts in zip(totals, zip(*left_out, strict=True), strict=True)]
    return _Moments(*train_parts), _Moments(*test_parts), _Moments(*totals)


def _factor(xx: Tensor, coupling: float) -> Tensor:
    eye = torch.eye(len(xx), dtype=xx.dtype, device=xx.device)
    factor: Tensor = torch.linalg.cholesky(xx + coupling * eye)
    return factor


def _solve(factor: Tensor, xy: Tensor, own: _Moments, penalties: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the lags and of the own columns, by elimination of the lags."""
    joined = torch.cat([own.cross, xy[:, None]], dim=1)
    reduced = torch.linalg.solve_triangular(factor, joined, upper=False)
    cross, lag_part = reduced[:, :-1], reduced[:, -1]
    small = own.square - cross.mT @ cross + torch.diag(penalties)
    v = torch.linalg.solve(small, own.inner - cross.mT @ lag_part)
    w = torch.linalg.solve_triangular(factor.mT, (lag_part - cross @ v)[:, None], upper=True)[:, 0]
    return w, v
