"""Structural connectivity: streamlines and a parcellation to matrices in the order of the node table.

Matrices are symmetric (diffusion knows no direction), the diagonal is NaN, and an edge without streamlines is 0 in
counts and weights, NaN in lengths and FA. A region that no voxel of the parcellation has is NaN throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from bids_ai.connectome.streamlines import FloatArray, Streamlines, to_voxels
from bids_ai.errors import InputError

#: An end belongs to the nearest region within this radius (MRtrix3's default; Yeh et al. 2019 find little to choose
#: beyond 2 to 4 mm), mm.
SEARCH_RADIUS_MM = 4.0
_STREAMLINES_AT_ONCE = 50_000


@dataclass(frozen=True)
class StructuralConnectome:
    """Matrices between regions, (n_regions, n_regions), in the order of the labels.

    Attributes
    ----------
    count : array
        Streamlines.
    weight : array
        Sum of streamline weights.
    mean_length_mm : array
        Weighted mean length of the curves, mm.
    mean_fa : array or None
        Weighted mean over streamlines of the mean FA along each; None without an FA map.
    density : float
        Edges with at least one streamline, of all.
    assigned : float
        Streamlines with two different regions at their ends, of all.
    within : float
        Streamlines that begin and end in the same region, of all; they are in no matrix.
    n_streamlines : int
    missing : tuple of int
        Labels that the parcellation has no voxel of.
    unreached : tuple of int
        Labels at which no streamline ends.
    """

    count: FloatArray
    weight: FloatArray
    mean_length_mm: FloatArray
    mean_fa: FloatArray | None
    density: float
    assigned: float
    within: float
    n_streamlines: int
    missing: tuple[int, ...]
    unreached: tuple[int, ...]


class EndAssignment:
    """Regions at the ends of streamlines: a table of the nearest region of every voxel, made once.

    Parameters
    ----------
    parcellation : (nx, ny, nz) int array
        0 is background.
    affine : (4, 4) array
    labels : sequence of int
        In the order of the nodes.
    radius_mm : float
        Farther ends belong to no region.

    Raises
    ------
    InputError
        If no label is in the parcellation, or labels repeat.
    """

    def __init__(
        self,
        parcellation: npt.NDArray[Any],
        affine: npt.NDArray[Any],
        labels: Sequence[int],
        radius_mm: float = SEARCH_RADIUS_MM,
    ) -> None:
        names = np.asarray(labels, dtype=np.int64)
        if len(np.unique(names)) != len(names) or (names <= 0).any():
            raise InputError("Labels of the nodes must be positive and distinct.")
        image = np.asarray(parcellation).astype(np.int64)
        order = np.argsort(names)
        place = np.minimum(np.searchsorted(names[order], image), len(names) - 1)
        node = np.where(names[order][place] == image, order[place], -1)
        present = np.unique(node[node >= 0])
        if not len(present):
            raise InputError(f"None of the {len(names)} labels of the nodes is in the parcellation.")
        self.affine = np.asarray(affine, dtype=float)
        self.n_regions = len(names)
        self.missing = tuple(int(label) for label in np.delete(names, present))
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        distance, nearest = ndimage.distance_transform_edt(node < 0, sampling=edges, return_indices=True)
        self._node = np.where(distance <= radius_mm, node[tuple(nearest)], -1).astype(np.int32)

    def __call__(self, points: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Row of the region at each world point (n, 3); -1 for none."""
        voxels = np.round(to_voxels(points, self.affine)).astype(np.int64)
        inside = ((voxels >= 0) & (voxels < self._node.shape)).all(axis=1)
        found = np.full(len(voxels), -1, np.int64)
        found[inside] = self._node[tuple(voxels[inside].T)]
        return found


def structural_connectome(
    lines: Streamlines | Iterable[Streamlines],
    parcellation: npt.NDArray[Any],
    affine: npt.NDArray[Any],
    labels: Sequence[int],
    *,
    weights: npt.NDArray[Any] | None = None,
    fa: npt.NDArray[Any] | None = None,
    fa_affine: npt.NDArray[Any] | None = None,
    radius_mm: float = SEARCH_RADIUS_MM,
) -> StructuralConnectome:
    """Count, weigh and measure the streamlines between regions.

    Parameters
    ----------
    lines : Streamlines or iterable of them
        World millimetres. Sets are taken one at a time, so that a tractogram larger than memory can be streamed.
    parcellation : (nx, ny, nz) int array
    affine : (4, 4) array
        Of the parcellation.
    labels : sequence of int
        Labels in the order of the node table.
    weights : (n_streamlines,) array, optional
        From `streamline_weights.fit_weights`; 1 by default.
    fa : (nx, ny, nz) array, optional
        NaN where there is none; such points do not count.
    fa_affine : (4, 4) array, optional
        Of the FA map, if it is not that of the parcellation.
    radius_mm : float
        Search radius at the ends.

    Returns
    -------
    StructuralConnectome

    Raises
    ------
    InputError
        If there is no streamline, weights are of the wrong number or negative, or no label is found.
    """
    regions = EndAssignment(parcellation, affine, labels, radius_mm)
    fa_affine = affine if fa_affine is None else fa_affine
    n = regions.n_regions
    sums = {name: np.zeros(n * n) for name in ("count", "weight", "length", "fa", "fa_weight")}
    total = within = 0
    for part in _in_chunks(lines):
        chosen = np.ones(len(part)) if weights is None else np.asarray(weights, float)[total : total + len(part)]
        if len(chosen) != len(part) or not (chosen >= 0).all():
            raise InputError(
                f"Expected {len(part)} weights of at least 0 from streamline {total} on, got {len(chosen)}."
            )
        total += len(part)
        first, last = regions(part.first), regions(part.last)
        within += int(((first == last) & (first >= 0)).sum())
        joined = (first >= 0) & (last >= 0) & (first != last)
        cell = np.minimum(first, last)[joined] * n + np.maximum(first, last)[joined]
        weight = chosen[joined]
        values = {"count": np.ones(len(cell)), "weight": weight, "length": weight * part.lengths_mm[joined]}
        if fa is not None:
            mean_fa = _mean_along(part, fa, fa_affine)[joined]
            values["fa_weight"] = np.where(np.isfinite(mean_fa), weight, 0.0)
            values["fa"] = values["fa_weight"] * np.nan_to_num(mean_fa)
        for name, value in values.items():
            sums[name] += np.bincount(cell, value, n * n)
    if total == 0:
        raise InputError("The tractogram holds no streamline.")
    if weights is not None and len(weights) != total:
        raise InputError(f"{len(weights)} weights for {total} streamlines.")
    return _matrices(sums, regions, labels, total, within, with_fa=fa is not None)


def _matrices(
    sums: dict[str, FloatArray],
    regions: EndAssignment,
    labels: Sequence[int],
    total: int,
    within: int,
    *,
    with_fa: bool,
) -> StructuralConnectome:
    n = regions.n_regions
    full = {name: (square := values.reshape(n, n)) + square.T for name, values in sums.items()}
    absent = np.isin(np.asarray(labels), regions.missing)
    reached = full["count"].sum(axis=1) > 0

    def finished(matrix: FloatArray) -> FloatArray:
        matrix = matrix.copy()
        np.fill_diagonal(matrix, np.nan)
        matrix[absent], matrix[:, absent] = np.nan, np.nan
        return matrix

    def mean(of: str, weight: str) -> FloatArray:
        known = full[weight] > 0
        return finished(np.where(known, full[of] / np.where(known, full[weight], 1), np.nan))

    n_pairs = n * (n - 1) / 2
    return StructuralConnectome(
        count=finished(full["count"]),
        weight=finished(full["weight"]),
        mean_length_mm=mean("length", "weight"),
        mean_fa=mean("fa", "fa_weight") if with_fa else None,
        density=float((sums["count"] > 0).sum() / n_pairs) if n_pairs else np.nan,
        assigned=float(sums["count"].sum() / total),
        within=within / total,
        n_streamlines=total,
        missing=regions.missing,
        unreached=tuple(int(label) for label in np.asarray(labels)[~reached & ~absent]),
    )


def _in_chunks(lines: Streamlines | Iterable[Streamlines]) -> Iterable[Streamlines]:
    for part in [lines] if isinstance(lines, Streamlines) else lines:
        yield from part.chunks(_STREAMLINES_AT_ONCE)


def _mean_along(lines: Streamlines, image: npt.NDArray[Any], affine: npt.NDArray[Any]) -> FloatArray:
    """Mean of an image (nearest voxel) over the points of each streamline; points without a value do not count."""
    voxels = np.round(to_voxels(lines.points, affine)).astype(np.int32)
    inside = ((voxels >= 0) & (voxels < image.shape)).all(axis=1)
    values = np.full(len(voxels), np.nan)
    values[inside] = image[tuple(voxels[inside].T)]
    known = np.isfinite(values)
    starts = lines.offsets[:-1]
    count = np.add.reduceat(known, starts, dtype=float)
    total = np.add.reduceat(np.where(known, values, 0.0), starts)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class SplitReliability:
    """Agreement of matrices from two random halves of the streamlines.

    Attributes
    ----------
    r : float
        Pearson correlation of log(1 + weight) over edges present in either half.
    r_full : float
        What the whole tractogram would reach, 2 r / (1 + r) (Spearman 1910; Brown 1910).
    overlap : float
        Dice coefficient of the edges present.
    """

    r: float
    r_full: float
    overlap: float


def split_reliability(
    lines: Streamlines,
    parcellation: npt.NDArray[Any],
    affine: npt.NDArray[Any],
    labels: Sequence[int],
    *,
    seed: int,
    weights: npt.NDArray[Any] | None = None,
    radius_mm: float = SEARCH_RADIUS_MM,
) -> SplitReliability:
    """Tell whether there are enough streamlines: compare the matrices of two random halves.

    It says nothing of the scan or of the model; both halves share their errors.

    Returns
    -------
    SplitReliability
        NaN with fewer than three edges.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5217]))
    half = rng.permutation(len(lines)) < len(lines) // 2
    matrices = []
    for side in (half, ~half):
        own = None if weights is None else np.asarray(weights)[side]
        made = structural_connectome(lines.select(side), parcellation, affine, labels, weights=own, radius_mm=radius_mm)
        matrices.append(made.weight[np.triu_indices(len(labels), 1)])
    first, second = matrices
    present = (first > 0) | (second > 0)
    both = float(((first > 0) & (second > 0)).sum())
    overlap = 2 * both / max(float((first > 0).sum() + (second > 0).sum()), 1.0)
    logs = np.log1p(first[present]), np.log1p(second[present])
    if present.sum() < 3 or np.ptp(logs[0]) == 0 or np.ptp(logs[1]) == 0:
        return SplitReliability(np.nan, np.nan, overlap)
    r = float(stats.pearsonr(*logs)[0])
    return SplitReliability(r, 2 * r / (1 + r), overlap)
