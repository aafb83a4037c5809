"""Structural connectome of a group that keeps its long connections."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.connectome.streamlines import FloatArray
from bids_ai.errors import InputError


def group_consensus(
    matrices: npt.NDArray[Any],
    distances_mm: npt.NDArray[Any],
    hemispheres: npt.NDArray[Any],
    *,
    n_bins: int | None = None,
) -> FloatArray:
    """Distance-dependent consensus of Betzel et al. (2019, doi:10.1162/netn_a_00075).

    Edges found in most subjects are mostly short, so that one threshold on consistency loses the long ones. Here each
    bin of distance, within and between hemispheres apart, gets as many edges as an average subject has in it: those
    found in most subjects, and of equally frequent ones the heaviest.

    Parameters
    ----------
    matrices : (n_subjects, n_regions, n_regions) array
        Symmetric, at least 0; NaN is no data.
    distances_mm : (n_regions, n_regions) array
        Between centroids, mm.
    hemispheres : (n_regions,) array
        Any labels; equal ones are one hemisphere.
    n_bins : int, optional
        Of equal numbers of pairs; default as many as the square root of the number of edges of an average subject.

    Returns
    -------
    (n_regions, n_regions) array
        Mean weight over the subjects that have the edge; 0 where the group has none; NaN on the diagonal and where no
        subject has data.

    Raises
    ------
    InputError
        For shapes that disagree, matrices that are not symmetric, or negative weights.
    """
    matrices = np.asarray(matrices, dtype=float)
    if matrices.ndim != 3:
        raise InputError(f"Expected (n_subjects, n, n) matrices, got {matrices.shape}.")
    sums = EdgeSums(matrices.shape[-1])
    for matrix in matrices:
        sums.add(matrix)
    return consensus_of_sums(sums, distances_mm, hemispheres, n_bins=n_bins)


class EdgeSums:
    """What the consensus asks of the subjects, summed one by one: their number does not count in memory.

    Parameters
    ----------
    n_regions : int

    Attributes
    ----------
    known, present, weight : (n_pairs,) arrays
        Of the upper triangle: subjects with data, subjects with the edge, sum of its weights.
    """

    def __init__(self, n_regions: int) -> None:
        self.upper = np.triu_indices(n_regions, 1)
        n_pairs = len(self.upper[0])
        self.n_regions = n_regions
        self.known = np.zeros(n_pairs, dtype=np.int64)
        self.present = np.zeros(n_pairs, dtype=np.int64)
        self.weight: FloatArray = np.zeros(n_pairs)

    def add(self, matrix: npt.NDArray[Any]) -> None:
        """Take the matrix of a subject in.

        Raises
        ------
        InputError
            For another size, a matrix that is not symmetric, or negative weights.
        """
        if matrix.shape != (self.n_regions, self.n_regions):
            raise InputError(f"Expected a matrix of {self.n_regions} regions, got shape {matrix.shape}.")
        edges, mirrored = matrix[self.upper], matrix.T[self.upper]
        if not np.allclose(edges, mirrored, equal_nan=True):
            raise InputError("Structural connectomes must be symmetric.")
        if (edges < 0).any():
            raise InputError("Structural connectomes must not be negative.")
        known = np.isfinite(edges)
        present = known & (np.nan_to_num(edges) > 0)
        self.known += known
        self.present += present
        self.weight += np.where(present, edges, 0.0)


def consensus_of_sums(
    sums: EdgeSums,
    distances_mm: npt.NDArray[Any],
    hemispheres: npt.NDArray[Any],
    *,
    n_bins: int | None = None,
) -> FloatArray:
    """Consensus of subjects that were summed one by one; see `group_consensus`."""
    n, upper = sums.n_regions, sums.upper
    if np.shape(distances_mm) != (n, n) or len(hemispheres) != n:
        raise InputError(
            f"Expected ({n}, {n}) distances and {n} hemispheres, got {np.shape(distances_mm)} and {len(hemispheres)}."
        )
    frequency = sums.present / np.maximum(sums.known, 1)
    weight = sums.weight / np.maximum(sums.present, 1)
    distance = np.asarray(distances_mm, dtype=float)[upper]
    sides = np.asarray(hemispheres)
    crossing = sides[upper[0]] != sides[upper[1]]
    kept = np.zeros(len(distance), bool)
    for kind in (crossing, ~crossing):
        kept |= _kept_edges(kind & (sums.known > 0), distance, frequency, weight, n_bins)
    values = np.where(sums.known > 0, np.where(kept, weight, 0.0), np.nan)
    group = np.full((n, n), np.nan)
    group[upper] = values
    group.T[upper] = values
    return group


def _kept_edges(
    pairs: npt.NDArray[np.bool_],
    distance: FloatArray,
    frequency: FloatArray,
    weight: FloatArray,
    n_bins: int | None,
) -> npt.NDArray[np.bool_]:
    kept = np.zeros(len(pairs), bool)
    mean_edges = float(frequency[pairs].sum())
    if mean_edges == 0:
        return kept
    bins = n_bins or max(1, round(np.sqrt(mean_edges)))
    limits = np.quantile(distance[pairs], np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(limits, distance, side="right")
    for number in range(bins):
        inside = np.flatnonzero(pairs & (place == number))
        target = round(float(frequency[inside].sum()))
        order = np.lexsort((-weight[inside], -frequency[inside]))[:target]
        kept[inside[order]] = True
    return kept
