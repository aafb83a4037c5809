"""Rank correlations of many sites at once: rows are sites, each over its own channels."""

from __future__ import annotations

import numpy as np

from bids_ai.ccep.reliability import LEAST_CHANNELS
from bids_ai.ccep.trials import Array, BoolArray, IntArray

#: Variance that is rounding, as a share of the variance before distance was taken out.
_ROUNDING = 1e-9
#: Values that differ by less, relatively, are equal: of distances that only rounding parts a function may make one.
_SAME = 1e-9


def row_ranks(values: Array, mask: BoolArray) -> Array:
    """Ranks within each row from 1 on, ties shared; NaN outside of the mask.

    Parameters
    ----------
    values : array, shape (n_rows, n_columns)
        Finite within the mask.
    mask : array of bool, shape (n_rows, n_columns)
    """
    n_rows, n_columns = values.shape
    if values.size == 0:
        return np.full(values.shape, np.nan)
    order, groups, first, sizes = tied(values, mask)
    ranks = np.empty((n_rows, n_columns))
    np.put_along_axis(ranks, order, (first + 0.5 * (sizes + 1))[groups], axis=1)
    return np.where(mask, ranks, np.nan)


def tied(values: Array, mask: BoolArray) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Ascending order of each row and its groups of equal values; what is outside of the mask comes last.

    Returns
    -------
    order : array of int, shape (n_rows, n_columns)
    groups : array of int, shape (n_rows, n_columns)
        Number of the group of each sorted value, counted through all rows.
    first, sizes : array of int, shape (n_groups,)
        Place in its row where a group begins, from 0 on, and its size.
    """
    filled = np.where(mask, values, np.inf)
    order = np.argsort(filled, axis=1, kind="stable")
    ascending = np.take_along_axis(filled, order, axis=1)
    new = np.ones(values.shape, bool)
    lower, upper = ascending[:, :-1], ascending[:, 1:]
    # inf, outside of the mask, is near nothing but itself.
    step = np.where(np.isfinite(upper), _SAME * np.maximum(np.abs(lower), np.abs(upper)), 0.0)
    new[:, 1:] = np.subtract(upper, lower, out=np.zeros_like(lower), where=upper != lower) > step
    groups = np.asarray(np.cumsum(new.ravel()) - 1)
    first = np.flatnonzero(new.ravel()) % values.shape[1]
    return order, groups.reshape(values.shape), first, np.bincount(groups)


def row_correlation(a: Array, b: Array, mask: BoolArray, least: int = LEAST_CHANNELS) -> Array:
    """Pearson correlation of each row within the mask, shape (n_rows,); NaN for few values or without variance."""
    x, y = centred(a, mask), centred(b, mask)
    return _ratio((x * y).sum(axis=1), np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)), mask.sum(axis=1) >= least)


def row_spearman(a: Array, b: Array, mask: BoolArray, least: int = LEAST_CHANNELS) -> Array:
    """Spearman correlation of each row within the mask, shape (n_rows,)."""
    return row_correlation(row_ranks(a, mask), row_ranks(b, mask), mask, least)


def row_partial_spearman(a: Array, b: Array, given: Array, mask: BoolArray, least: int = LEAST_CHANNELS) -> Array:
    """Spearman correlation of each row with what `given` explains taken out of both, shape (n_rows,).

    Ranks of distances are ranks of their logarithms. NaN where a side is a function of `given`.
    """
    x, y = without(a, given, mask), without(b, given, mask)
    return row_correlation(x, y, mask, least)


def without(values: Array, given: Array, mask: BoolArray, degree: int = 1) -> Array:
    """Ranks of each row less their regression on the ranks of `given`; 0 throughout where nothing is left.

    Parameters
    ----------
    values, given : array, shape (n_rows, n_columns)
    mask : array of bool, shape (n_rows, n_columns)
    degree : int
        Of the polynomial in the ranks of `given`.
    """
    x = centred(row_ranks(values, mask), mask)
    left = x
    for one in powers_of_ranks(given, mask, degree):
        left = left - (left * one).sum(axis=1, keepdims=True) * one
    nothing = (left**2).sum(axis=1) <= _ROUNDING * (x**2).sum(axis=1)
    return np.where(nothing[:, None], 0.0, left)


def powers_of_ranks(given: Array, mask: BoolArray, degree: int) -> list[Array]:
    """Powers 1 ... degree of the ranks of each row, orthonormal and centred; 0 for a row that has no such power.

    Returns
    -------
    list of array, each of shape (n_rows, n_columns)
        0 outside of the mask.
    """
    ranks = centred(row_ranks(given, mask), mask) / max(1, mask.shape[1])
    found: list[Array] = []
    for power in range(1, degree + 1):
        new = centred(ranks**power, mask)
        for old in found:
            new = new - (new * old).sum(axis=1, keepdims=True) * old
        size = np.sqrt((new**2).sum(axis=1, keepdims=True))
        found.append(np.divide(new, size, out=np.zeros_like(new), where=size > 1e-6))
    return found


def specific(values: Array, mask: BoolArray, groups: IntArray, n_rounds: int = 10) -> Array:
    """Values less what their row and their column contribute, 0 outside of the mask.

    Parameters
    ----------
    values : array, shape (n_rows, n_columns)
    mask : array of bool, shape (n_rows, n_columns)
    groups : array of int, shape (n_rows,)
        Patients, from 0 on: a column means the same channel within one only.
    n_rounds : int
        Row and column means are taken off in turn; with gaps they do not come to rest at once.
    """
    left = np.where(mask, values, 0.0)
    count = np.zeros((int(groups.max(initial=0)) + 1, values.shape[1]))
    np.add.at(count, groups, mask.astype(float))
    for _ in range(n_rounds):
        left = centred(left, mask)
        total = np.zeros_like(count)
        np.add.at(total, groups, left)
        left = np.where(mask, left - (total / np.maximum(count, 1.0))[groups], 0.0)
    return left


def fisher_z(rho: Array, n: Array) -> Array:
    """Fisher's z of rank correlations over n channels.

    A perfect order has no z: it counts as the order with one exchange of neighbours, the next lower value of rho,
    1 - 12 / (n (n^2 - 1)).
    """
    n = np.maximum(n, 3).astype(float)
    most = 1.0 - 12.0 / (n * (n**2 - 1.0))
    return np.asarray(np.arctanh(np.clip(rho, -most, most)))


def centred(values: Array, mask: BoolArray) -> Array:
    """Rows less their mean within the mask, 0 outside."""
    filled = np.where(mask, values, 0.0)
    mean = filled.sum(axis=1) / np.maximum(mask.sum(axis=1), 1)
    return np.where(mask, filled - mean[:, None], 0.0)


def _ratio(top: Array, bottom: Array, usable: BoolArray) -> Array:
    return np.divide(top, bottom, out=np.full(len(top), np.nan), where=usable & (bottom > 1e-12))
