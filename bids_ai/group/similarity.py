"""Similarity of subjects: correlations between all pairs of rows of edges, each over the edges that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.effective.repeatability import MIN_EDGES
from bids_ai.group.edges import EdgeStore, IntArray
from bids_ai.surrogate.usable import BoolArray, FloatArray

WHOLE = "whole"


@dataclass
class _Sums:
    """Sums over shared edges of every pair of rows, each (n_rows, n_rows); entry (i, j) of `own` is of row i."""

    n: FloatArray
    own: FloatArray
    squares: FloatArray
    products: FloatArray

    @classmethod
    def empty(cls, n_rows: int) -> _Sums:
        return cls(*(np.zeros((n_rows, n_rows)) for _ in range(4)))

    def add(self, values: FloatArray) -> None:
        known = np.isfinite(values)
        if known.all():  # one product of matrices instead of four
            self.n += values.shape[1]
            self.own += values.sum(axis=1, keepdims=True)
            self.squares += np.square(values).sum(axis=1, keepdims=True)
            self.products += values @ values.T
            return
        filled, weights = np.where(known, values, 0.0), known.astype(np.float64)
        self.n += weights @ weights.T
        self.own += filled @ weights.T
        self.squares += np.square(filled) @ weights.T
        self.products += filled @ filled.T

    def correlation(self) -> FloatArray:
        enough = self.n >= MIN_EDGES
        n = np.where(enough, self.n, 1.0)
        spread = self.squares - self.own**2 / n
        # What is left of a constant row after rounding is no variation.
        flat = spread <= 1e-10 * self.squares
        scale = np.sqrt(np.where(flat, np.nan, spread))
        found = (self.products - self.own * self.own.T / n) / (scale * scale.T)
        return np.where(enough, np.clip(found, -1, 1), np.nan)


def row_similarity(store: EdgeStore, rows: Sequence[int] | IntArray, edges: BoolArray | None = None) -> FloatArray:
    """Pearson correlation between all pairs of rows.

    Parameters
    ----------
    store : EdgeStore
    rows : sequence of int
        Rows to compare, such as one a subject.
    edges : (n_edges,) array of bool, optional
        Edges to compare them by, such as those within a network (`EdgeList.within`); by default all.

    Returns
    -------
    (n_rows, n_rows) array
        Each pair over the edges that both have; NaN for fewer than 3 of them, or without variation.
    """
    sums = _Sums.empty(len(rows))
    for where, values in store.blocks(rows):
        inside = slice(None) if edges is None else edges[where]
        sums.add(values[:, inside])
    return sums.correlation()


def pairwise(similarity: FloatArray) -> FloatArray:
    """Similarities of all pairs once, the finite ones."""
    values = similarity[np.triu_indices(len(similarity), 1)]
    return values[np.isfinite(values)]


def mean_with_others(similarity: FloatArray) -> FloatArray:
    """Mean similarity of each row with all others, shape (n_rows,); NaN where none is known."""
    off = np.where(np.eye(len(similarity), dtype=bool), np.nan, similarity)
    known = np.isfinite(off)
    total = np.where(known, off, 0.0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=np.full(len(off), np.nan), where=known.any(axis=1))
