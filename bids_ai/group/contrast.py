"""Edge-wise contrast of a group: permutation test with covariates, in blocks of edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bids_ai.effective.false_discovery import benjamini_hochberg
from bids_ai.errors import InputError
from bids_ai.group.edges import EdgeStore, IntArray
from bids_ai.surrogate.usable import BoolArray, FloatArray

LEAST_OF_A_GROUP = 2
"""Subjects of each of two groups; one alone has no spread to compare with."""

BATCH_VALUES = 4_000_000
"""Statistics (permutations x edges) held at a time."""


@dataclass(frozen=True)
class Design:
    """A contrast and what it is adjusted for.

    Parameters
    ----------
    effect : (n_subjects,) array
        0 and 1 for two groups, or a number per subject.
    covariates : (n_subjects, n_covariates) array
        Without the intercept, which is always there.
    """

    effect: FloatArray
    covariates: FloatArray

    def __post_init__(self) -> None:
        n = len(self.effect)
        if self.effect.ndim != 1 or self.covariates.shape[:1] != (n,) or self.covariates.ndim != 2:
            raise InputError(f"An effect of shape {self.effect.shape} and covariates {self.covariates.shape} differ.")
        if not (np.isfinite(self.effect).all() and np.isfinite(self.covariates).all()):
            raise InputError("A design has a value for each subject; leave out those without.")

    @property
    def two_groups(self) -> bool:
        """Whether the effect has two values only."""
        return len(np.unique(self.effect)) == 2

    def fault(self, kept: BoolArray | None = None) -> str:
        """Say why the contrast cannot be estimated in some of the subjects; empty if it can."""
        kept = np.ones(len(self.effect), dtype=bool) if kept is None else kept
        effect, n = self.effect[kept], int(kept.sum())
        values, counts = np.unique(effect, return_counts=True)
        if n < 3:
            return f"{n} subject{'s' * (n != 1)}, and 3 are needed at least"
        if len(values) < 2:
            return "all subjects have the same value"
        if self.two_groups and counts.min() < LEAST_OF_A_GROUP:
            return f"a group of {counts.min()}, and {LEAST_OF_A_GROUP} are needed at least"
        basis, residual = self.without_covariates(kept)
        if float(residual @ residual) <= 1e-10 * float(((effect - effect.mean()) ** 2).sum()):
            return "the covariates explain it in full"
        if n - basis.shape[1] - 1 < 1:
            return f"{n} subjects for {basis.shape[1] + 1} coefficients leave nothing to estimate an error from"
        return ""

    def without_covariates(self, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return an orthonormal basis of intercept and covariates, the intercept first; and the effect without them."""
        covariates = self.covariates[kept] - self.covariates[kept].mean(axis=0)
        sizes = np.linalg.norm(covariates, axis=0)
        covariates = covariates / np.where(sizes > 0, sizes, 1.0)  # years beside cubic millimetres
        n = int(kept.sum())
        columns, sizes, _ = np.linalg.svd(covariates, full_matrices=False)
        independent = sizes > 1e-10 * max(float(sizes.max(initial=0.0)), 1e-300)
        basis = np.column_stack([np.full(n, n**-0.5), columns[:, independent]])
        effect = self.effect[kept]
        return basis, effect - basis @ (basis.T @ effect)


class Contrast(NamedTuple):
    """Result per edge, arrays (n_edges,), NaN where the contrast cannot be estimated.

    Parameters
    ----------
    effect : array
        Adjusted difference of the groups (1 minus 0), or slope per unit.
    t : array
    p : array
        Two-sided, of the edge alone.
    q : array
        p adjusted for the false discovery rate over all edges (Benjamini & Hochberg 1995).
    p_familywise : array
        Adjusted for the chance of any false edge, by the largest |t| of each permutation.
    n : array
        Subjects with the edge.
    """

    effect: FloatArray
    t: FloatArray
    p: FloatArray
    q: FloatArray
    p_familywise: FloatArray
    n: FloatArray


def freedman_lane(
    store: EdgeStore, rows: IntArray, design: Design, *, n_permutations: int = 5000, seed: int = 1
) -> Contrast:
    """Test every edge for an effect, adjusted for covariates, by permutation of residuals.

    The residuals of the model without the effect are permuted among subjects, and the whole model is fitted again
    (Freedman & Lane 1983; algorithm of Winkler et al. 2014, doi:10.1016/j.neuroimage.2014.01.060). It assumes that the
    residuals could have come in any order: groups of unequal spread and unequal size break that. All edges share the
    permutations. An edge that some subjects lack is tested in the others.

    Parameters
    ----------
    store : EdgeStore
    rows : (n_subjects,) array of int
        Row of each subject.
    design : Design
    n_permutations : int
        The smallest p is 1 / (n_permutations + 1).
    seed : int

    Returns
    -------
    Contrast

    Raises
    ------
    InputError
        If the contrast cannot be estimated at all, with the reason.
    """
    fault = design.fault()
    if fault:
        raise InputError(f"The contrast cannot be estimated: {fault}.")
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(np.arange(len(rows), dtype=np.int32), (n_permutations, 1)), axis=1)
    effect, t, p, n = (np.full(store.n_edges, np.nan) for _ in range(4))
    largest = np.zeros(n_permutations)
    for where, values in store.blocks(rows):
        for kept, edges in _patterns(values):
            inside = np.arange(where.start, where.stop)[edges]
            n[inside] = kept.sum()
            if design.fault(kept):
                continue
            effect[inside], t[inside], p[inside], maxima = _test(values[np.ix_(kept, edges)], design, kept, orders)
            largest = np.maximum(largest, maxima)
    largest.sort()
    beyond = n_permutations - np.searchsorted(largest, np.abs(t) * (1 - _TIE))
    familywise = np.where(np.isfinite(t), (1 + beyond) / (n_permutations + 1), np.nan)
    return Contrast(effect, t, p, benjamini_hochberg(p), familywise, n)


#: Relative difference below which two statistics are one: permutations that change nothing must count as ties.
_TIE = 1e-9


def _patterns(values: FloatArray) -> Iterator[tuple[BoolArray, IntArray]]:
    """Subjects that have an edge, and the edges of which it is these subjects."""
    known = np.isfinite(values)
    if known.all():
        yield np.ones(len(values), dtype=bool), np.arange(values.shape[1])
        return
    packed = np.packbits(known, axis=0)
    _, first, belongs = np.unique(packed, axis=1, return_index=True, return_inverse=True)
    belongs = np.asarray(belongs).ravel()
    for number, column in enumerate(first):
        yield known[:, column], np.flatnonzero(belongs == number)


def _test(
    values: FloatArray, design: Design, kept: BoolArray, orders: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Effect, t and p of edges that all `kept` subjects have, and the largest |t| of each permutation."""
    basis, residual = design.without_covariates(kept)
    scale = float(residual @ residual)
    dof = len(values) - basis.shape[1] - 1
    data = values - basis @ (basis.T @ values)
    total = np.square(data).sum(axis=0)
    total[total <= 1e-12 * np.square(values).sum(axis=0)] = np.nan  # an edge without variation has no test
    slope = residual @ data
    t = _statistic(slope, total, scale, dof)
    orders = _restricted(orders, kept)
    width = max(1, BATCH_VALUES // max(1, values.shape[1]))
    as_large, largest = np.zeros(values.shape[1]), np.zeros(len(orders))
    for start in range(0, len(orders), width):
        batch = orders[start : start + width]
        left = total - sum(np.square(column[batch] @ data) for column in basis.T[1:])
        permuted = np.abs(_statistic(residual[batch] @ data, left, scale, dof))
        as_large += (permuted >= np.abs(t) * (1 - _TIE)).sum(axis=0)
        largest[start : start + width] = np.nan_to_num(permuted).max(axis=1)
    p = np.where(np.isfinite(t), (1 + as_large) / (len(orders) + 1), np.nan)
    return np.where(np.isfinite(t), slope / scale, np.nan), t, p, largest


def _statistic(slope: FloatArray, total: FloatArray, scale: float, dof: int) -> FloatArray:
    """T of the effect: `slope` is its product with the residuals, `total` their sum of squares in the full model."""
    explained = np.square(slope) / scale
    left = np.maximum(total - explained, 1e-15 * total)
    return np.asarray(slope / np.sqrt(scale * left / dof))


def _restricted(orders: IntArray, kept: BoolArray) -> IntArray:
    """Orders of some of the subjects, as they stand to each other in the orders of all."""
    if kept.all():
        return orders
    position = np.cumsum(kept) - 1
    return np.asarray(position[orders[kept[orders]]].reshape(len(orders), -1))
