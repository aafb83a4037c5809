"""The whole path of ridge VAR(p) over orders and penalties, by blocked cross-validation, batched.

Everything is done on Gram matrices. With G = X'X = V diag(s) V' and C = V'X'Y of the training samples, the
held-out squared error at penalty a is quadratic in d = 1 / (s + a):

    SSE(a) = |Y_t|^2 - 2 d.h + d' M d,   h = rowsum(C * V'X_t'Y_t),   M = (V'X_t'X_t V) * (C C')

so that one eigendecomposition per order and fold prices every penalty at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.prepare import PreparedRecording

PENALTIES = torch.logspace(-2, 6, 49, dtype=torch.float64)
"""Ridge penalties in SD units squared: the ratio of innovation variance to the variance of a coefficient.
From nothing (an innovation of SD 1 with coefficients of SD 10) to coefficients that are shrunk to zero."""


@dataclass(frozen=True)
class Grams:
    """Second moments of the lagged design at the largest order; leading dimensions are (batch, fold).

    Columns of the design run from the oldest lag to the newest, hence those of a smaller order are the last.
    """

    train_xx: Tensor
    train_xy: Tensor
    test_xx: Tensor
    test_xy: Tensor
    test_yy: Tensor
    total_xx: Tensor
    total_xy: Tensor
    n_test: Tensor
    n_regions: int

    def trailing(self, order: int) -> int:
        """Offset of the first column that belongs to a smaller order."""
        return self.total_xx.shape[-1] - order * self.n_regions


def gram_statistics(recordings: Sequence[PreparedRecording], device: torch.device) -> Grams:
    """Second moments of all recordings; ragged blocks are padded with zero rows, which add nothing."""
    designs = [_design(recording, device) for recording in recordings]
    tests = _padded(
        [[(x[f.test], y[f.test]) for f in rec.folds] for rec, (x, y) in zip(recordings, designs, strict=True)]
    )
    margins = _padded(
        [
            [_margin(x, y, f.test, f.excluded) for f in rec.folds]
            for rec, (x, y) in zip(recordings, designs, strict=True)
        ]
    )
    test_xx, test_xy = _moments(*tests)
    margin_xx, margin_xy = _moments(*margins)
    total_xx, total_xy = test_xx.sum(1), test_xy.sum(1)  # the test blocks partition the samples
    return Grams(
        train_xx=total_xx[:, None] - test_xx - margin_xx,
        train_xy=total_xy[:, None] - test_xy - margin_xy,
        test_xx=test_xx,
        test_xy=test_xy,
        test_yy=tests[1].square().sum((-2, -1)),
        total_xx=total_xx,
        total_xy=total_xy,
        n_test=torch.tensor(
            [[f.test.stop - f.test.start for f in rec.folds] for rec in recordings],
            dtype=torch.float64,
            device=device,
        ),
        n_regions=recordings[0].n_regions,
    )


def _design(recording: PreparedRecording, device: torch.device) -> tuple[Tensor, Tensor]:
    series = torch.as_tensor(recording.series, device=device)
    targets = torch.as_tensor(recording.targets, device=device)
    lags = torch.arange(-recording.order_max, 0, device=device)
    return series[targets[:, None] + lags].flatten(1), series[targets]


def _margin(x: Tensor, y: Tensor, test: slice, excluded: slice) -> tuple[Tensor, Tensor]:
    before, after = slice(excluded.start, test.start), slice(test.stop, excluded.stop)
    return torch.cat([x[before], x[after]]), torch.cat([y[before], y[after]])


def _padded(blocks: list[list[tuple[Tensor, Tensor]]]) -> tuple[Tensor, Tensor]:
    n_rows = max(len(y) for folds in blocks for _, y in folds)
    x0, y0 = blocks[0][0]
    shape = (len(blocks), len(blocks[0]), n_rows)
    xs, ys = x0.new_zeros(*shape, x0.shape[1]), y0.new_zeros(*shape, y0.shape[1])
    for b, folds in enumerate(blocks):
        for k, (x, y) in enumerate(folds):
            xs[b, k, : len(x)], ys[b, k, : len(y)] = x, y
    return xs, ys


def _moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return x.mT @ x, x.mT @ y


def heldout_errors(grams: Grams, order: int, penalties: Tensor) -> Tensor:
    """Held-out sum of squared errors, shape (batch, fold, penalty)."""
    first = grams.trailing(order)
    values, vectors = torch.linalg.eigh(grams.train_xx[..., first:, first:])
    rotated = vectors.mT @ grams.train_xy[..., first:, :]
    linear = (rotated * (vectors.mT @ grams.test_xy[..., first:, :])).sum(-1)
    quadratic = (vectors.mT @ grams.test_xx[..., first:, first:] @ vectors) * (rotated @ rotated.mT)
    shrink = 1 / (values.clamp(min=0)[..., None, :] + penalties[:, None])
    explained = 2 * (shrink @ linear[..., None]).squeeze(-1) - ((shrink @ quadratic) * shrink).sum(-1)
    return grams.test_yy[..., None] - explained


def solve(xx: Tensor, xy: Tensor, penalty: Tensor | float) -> Tensor:
    """Ridge coefficients (..., order * n_regions, n_regions) by Cholesky; the penalty broadcasts."""
    eye = torch.eye(xx.shape[-1], dtype=xx.dtype, device=xx.device)
    ridge = torch.as_tensor(penalty, dtype=xx.dtype, device=xx.device)[..., None, None]
    return torch.cholesky_solve(xy, torch.linalg.cholesky(xx + ridge * eye))


@dataclass(frozen=True)
class Choice:
    """An order and the position of a penalty."""

    order: int
    penalty: int


def one_standard_error(mse: Tensor, folds: IntArray | None = None) -> Choice:
    """Choose the simplest candidate within one standard error of the best.

    Parameters
    ----------
    mse : (n_folds, order_max, n_penalties) tensor
        Held-out mean squared errors.
    folds : array of int, optional
        The folds to look at; default all.

    Returns
    -------
    Choice
        Smallest order, then largest penalty, whose mean error exceeds the smallest by at most the standard
        error of that difference over the folds. The difference is paired, since the blocks of a recording
        differ in difficulty far more than the candidates do.
    """
    errors = mse if folds is None else mse[torch.as_tensor(folds)]
    mean = errors.mean(0)
    best = int(mean.argmin())
    excess = errors.flatten(1) - errors.flatten(1)[:, best : best + 1]
    tolerance = excess.std(0) / errors.shape[0] ** 0.5
    allowed = (excess.mean(0) <= tolerance).reshape(mean.shape)
    order = int(allowed.any(1).nonzero()[0])
    penalty = int(allowed[order].nonzero()[-1])
    return Choice(order + 1, penalty)
