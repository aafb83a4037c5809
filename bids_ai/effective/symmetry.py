"""Direction statistics: how directed a matrix is, and whether its direction agrees with a known one.

All numbers are over off-diagonal entries that are finite in both directions. Row = source.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import BoolArray, FloatArray


def antisymmetric(matrix: FloatArray) -> FloatArray:
    """Directed part (M - M') / 2, shape (n_regions, n_regions)."""
    half: FloatArray = (matrix - matrix.T) / 2
    return half


def symmetric(matrix: FloatArray) -> FloatArray:
    """Undirected part (M + M') / 2, shape (n_regions, n_regions)."""
    half: FloatArray = (matrix + matrix.T) / 2
    return half


def self_symmetry(matrix: FloatArray) -> float:
    """Correlation of a matrix with its transpose; 1 is symmetric, 0 unrelated, NaN without variation."""
    valid = _valid(matrix)
    return _correlation(matrix[valid], matrix.T[valid])


def asymmetry_index(matrix: FloatArray) -> float:
    """Share of the variation that is directed: |A|^2 / (|A|^2 + |S|^2), A and S the (anti)symmetric parts.

    0 for a symmetric matrix, 1 for an antisymmetric one, near one half for unrelated directions.
    """
    valid = _valid(matrix)
    directed = np.square(antisymmetric(matrix)[valid]).sum()
    total = directed + np.square(symmetric(matrix)[valid]).sum()
    return float(directed / total) if total > 0 else float("nan")


def describe(matrix: FloatArray) -> dict[str, float]:
    """Return the symmetry statistics that every effective connectivity carries.

    Returns
    -------
    dict
        `self_symmetry`, `asymmetry_index`, `fraction_negative`, `mean`, `sd`, `n_edges`.
    """
    valid = _valid(matrix)
    values = matrix[valid]
    return {
        "self_symmetry": self_symmetry(matrix),
        "asymmetry_index": asymmetry_index(matrix),
        "fraction_negative": float((values < 0).mean()) if values.size else float("nan"),
        "mean": float(values.mean()) if values.size else float("nan"),
        "sd": float(values.std()) if values.size else float("nan"),
        "n_edges": int(values.size),
    }


def compare_with_truth(matrix: FloatArray, truth: FloatArray) -> Mapping[str, float]:
    """Agreement with a known matrix, and whether the direction is right.

    Returns
    -------
    dict
        `r`, `spearman`; `r_transposed` (of the transposed matrix: it must be lower); `antisymmetric_r` over
        the pairs; `direction_accuracy`, the share of pairs whose stronger direction is the true one.

    Raises
    ------
    InputError
        For shapes that differ.
    """
    from scipy.stats import rankdata

    if matrix.shape != truth.shape:
        raise InputError(f"The matrices have shapes {matrix.shape} and {truth.shape}; compare like with like.")
    valid = _valid(matrix) & _valid(truth)
    pairs = np.triu(valid, k=1)
    ours, theirs = antisymmetric(matrix)[pairs], antisymmetric(truth)[pairs]
    directed = theirs != 0
    agree = np.sign(ours[directed]) == np.sign(theirs[directed])
    return {
        "r": _correlation(matrix[valid], truth[valid]),
        "spearman": _correlation(rankdata(matrix[valid]), rankdata(truth[valid])),
        "r_transposed": _correlation(matrix.T[valid], truth[valid]),
        "antisymmetric_r": _correlation(ours, theirs),
        "direction_accuracy": float(agree.mean()) if directed.any() else float("nan"),
    }


def _valid(matrix: FloatArray) -> BoolArray:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"Expected a square matrix of regions, got shape {matrix.shape}.")
    return np.isfinite(matrix) & np.isfinite(matrix.T) & ~np.eye(len(matrix), dtype=bool)


def _correlation(a: FloatArray, b: FloatArray) -> float:
    """Pearson correlation; NaN for fewer than 3 values or without variation beyond rounding."""
    if len(a) < 3:
        return float("nan")
    flat = any(v.std() <= 1e-12 * np.abs(v).max() for v in (a, b))
    if flat:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
