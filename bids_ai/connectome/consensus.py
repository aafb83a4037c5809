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
    n = matrices.shape[-1]
    if matrices.ndim != 3 or matrices.shape[1] != n or np.shape(distances_mm) != (n, n) or len(hemispheres) != n:
        raise InputError(
            f"Expected (n_subjects, n, n) matrices, (n, n) distances and n hemispheres, got {matrices.shape}, "
            f"{np.shape(distances_mm)} and {len(hemispheres)}."
        )
    upper = np.triu_indices(n, 1)
    edges, mirrored = matrices[:, *upper], matrices.transpose(0, 2, 1)[:, *upper]
    if not np.allclose(edges, mirrored, equal_nan=True):
        raise InputError("Structural connectomes must be symmetric.")
    if (edges < 0).any():
        raise InputError("Structural connectomes must not be negative.")
    known = np.isfinite(edges)
    present = known & (np.nan_to_num(edges) > 0)
    n_known, n_present = known.sum(axis=0), present.sum(axis=0)
    frequency = n_present / np.maximum(n_known, 1)
    weight = np.where(present, edges, 0).sum(axis=0) / np.maximum(n_present, 1)
    distance = np.asarray(distances_mm, dtype=float)[upper]
    sides = np.asarray(hemispheres)
    crossing = sides[upper[0]] != sides[upper[1]]
    kept = np.zeros(len(distance), bool)
    for kind in (crossing, ~crossing):
        kept |= _kept_edges(kind & (n_known > 0), distance, present, n_known, frequency, weight, n_bins)
    values = np.where(n_known > 0, np.where(kept, weight, 0.0), np.nan)
    group = np.full((n, n), np.nan)
    group[upper] = values
    group.T[upper] = values
    return group


def _kept_edges(
    pairs: npt.NDArray[np.bool_],
    distance: FloatArray,
    present: npt.NDArray[np.bool_],
    n_known: npt.NDArray[np.int64],
    frequency: FloatArray,
    weight: FloatArray,
    n_bins: int | None,
) -> npt.NDArray[np.bool_]:
    kept = np.zeros(len(pairs), bool)
    mean_edges = float((present.sum(axis=0) / np.maximum(n_known, 1))[pairs].sum())
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
