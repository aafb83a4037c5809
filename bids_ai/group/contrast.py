"""Edge-wise contrast of a group: permutation test with covariates, in blocks of edges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bids_ai.effective.false_discovery import benjamini_hochberg
from bids_ai.errors import InputError
from bids_ai.group.design import Design
from bids_ai.group.edges import EdgeStore, IntArray
from bids_ai.group.relabellings import Relabellings, relabellings
from bids_ai.surrogate.usable import BoolArray, FloatArray

BATCH_VALUES = 4_000_000
"""Statistics (permutations x edges) held at a time."""


class Contrast(NamedTuple):
    """Result per edge, arrays (n_edges,), NaN where the contrast cannot be estimated.

    Attributes
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
    n_orders : int
        Orders of the subjects that were tried.
    exhaustive : bool
        Whether these are all that differ, the order as it stands among them.
    smallest_p : float
        The smallest p that an edge can have, whatever its values.
    """

    effect: FloatArray
    t: FloatArray
    p: FloatArray
    q: FloatArray
    p_familywise: FloatArray
    n: FloatArray
    n_orders: int
    exhaustive: bool
    smallest_p: float

    def edges_for(self, q: float) -> int | None:
        """How many edges must have the smallest p at once for any `q` below a level; None if no number of them does.

        Of `m` edges tested, `k` at the smallest p have a q of m / k times it (Benjamini & Hochberg 1995).
        """
        m = int(np.isfinite(self.p).sum())
        needed = int(np.floor(m * self.smallest_p / q * (1 + _TIE))) + 1
        return needed if needed <= m else None


def freedman_lane(
    store: EdgeStore, rows: IntArray, design: Design, *, n_permutations: int = 5000, seed: int = 1
) -> Contrast:
    """Test every edge for an effect, adjusted for covariates, by permutation of residuals.

    The residuals of the model without the effect are permuted among subjects, and the whole model is fitted again
    (Freedman & Lane 1983; algorithm of Winkler et al. 2014, doi:10.1016/j.neuroimage.2014.01.060). It assumes that the
    residuals could have come in any order: groups of unequal spread and unequal size break that. All edges share the
    permutations. An edge that some subjects lack is tested in the others. Where no more than `n_permutations` orders of
    the subjects differ, all are tried instead of draws; subjects of one group with the same covariates are
    interchangeable, unless an edge lacks some of them.

    Parameters
    ----------
    store : EdgeStore
    rows : (n_subjects,) array of int
        Row of each subject.
    design : Design
    n_permutations : int
        At most.
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
    complete = all(
        kept.all() or bool(design.fault(kept)) for _, values in store.blocks(rows) for kept, _ in _patterns(values)
    )
    tried = relabellings(design.rows, interchangeable=complete, n_permutations=n_permutations, seed=seed)
    effect, t, p, n = (np.full(store.n_edges, np.nan) for _ in range(4))
    largest = np.zeros(len(tried.orders))
    for where, values in store.blocks(rows):
        for kept, edges in _patterns(values):
            inside = np.arange(where.start, where.stop)[edges]
            n[inside] = kept.sum()
            if design.fault(kept):
                continue
            effect[inside], t[inside], p[inside], maxima = _test(values[np.ix_(kept, edges)], design, kept, tried)
            largest = np.maximum(largest, maxima)
    largest.sort()
    beyond = len(largest) - np.searchsorted(largest, np.abs(t) * (1 - _TIE))
    familywise = np.where(np.isfinite(t), tried.share(beyond), np.nan)
    smallest = _smallest_p(design, n_permutations)
    # Of edges without error in the groups, rounding may tell orders apart that are the same.
    p, familywise = np.maximum(p, smallest), np.maximum(familywise, smallest)
    found = (effect, t, p, benjamini_hochberg(p), familywise, n)
    return Contrast(*found, len(largest), tried.exhaustive, smallest)


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
    values: FloatArray, design: Design, kept: BoolArray, tried: Relabellings
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Effect, t and p of edges that all `kept` subjects have, and the largest |t| of each permutation."""
    model = _Model(values, design, kept)
    orders, t = _restricted(tried.orders, kept), model.t
    width = max(1, BATCH_VALUES // max(1, values.shape[1]))
    as_large, largest = np.zeros(values.shape[1]), np.zeros(len(orders))
    for start in range(0, len(orders), width):
        permuted = model.permuted(orders[start : start + width])
        as_large += (permuted >= np.abs(t) * (1 - _TIE)).sum(axis=0)
        largest[start : start + width] = np.nan_to_num(permuted).max(axis=1)
    p = np.where(np.isfinite(t), tried.share(as_large), np.nan)
    return np.where(np.isfinite(t), model.effect, np.nan), t, p, largest


def _smallest_p(design: Design, n_permutations: int) -> float:
    """Smallest p of any edge: of the orders that differ, some say the same of every edge, such as groups exchanged."""
    every = relabellings(design.rows, interchangeable=True, n_permutations=n_permutations, seed=0)
    if not every.exhaustive:
        return 1 / (n_permutations + 1)
    values = np.random.default_rng(0).standard_normal((len(design.effect), 1))  # any edge without symmetry of its own
    model = _Model(values, design, np.ones(len(values), dtype=bool))
    same = np.abs(model.permuted(every.orders) - np.abs(model.t)) <= _TIE * np.abs(model.t)
    return max(int(same.sum()), 1) / len(every.orders)


class _Model:
    """Linear model of edges that the same subjects have.

    Attributes
    ----------
    effect, t : (n_edges,) array
        `t` is NaN of an edge without variation.
    """

    def __init__(self, values: FloatArray, design: Design, kept: BoolArray) -> None:
        self._basis, self._residual = design.without_covariates(kept)
        self._scale = float(self._residual @ self._residual)
        self._dof = len(values) - self._basis.shape[1] - 1
        self._data = values - self._basis @ (self._basis.T @ values)
        self._total = np.square(self._data).sum(axis=0)
        self._total[self._total <= 1e-12 * np.square(values).sum(axis=0)] = np.nan
        slope = self._residual @ self._data
        self.effect = slope / self._scale
        self.t = _statistic(slope, self._total, self._scale, self._dof)

    def permuted(self, orders: IntArray) -> FloatArray:
        """Give |t|, (n_orders, n_edges), with the subjects of the design in other orders."""
        left = self._total - sum(np.square(column[orders] @ self._data) for column in self._basis.T[1:])
        return np.abs(_statistic(self._residual[orders] @ self._data, left, self._scale, self._dof))


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
