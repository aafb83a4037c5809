"""Equal-volume parcellation of the grey matter at any number of regions."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from bids_ai.errors import InputError
from bids_ai.parcellation.greymatter import (
    CEREBELLUM,
    COMPARTMENTS,
    CORTEX,
    SUBCORTEX,
    GreyMatter,
    drop_islands,
    voxel_graph,
)

SIZE_TOLERANCE = 0.10
"""Largest relative deviation of a region's volume from the mean for which compartments are kept apart."""

FEWEST_VOXELS = 8
"""Smallest mean size of a region, voxels; a smaller one could not be told from its neighbours."""

_GROUPINGS = (((CORTEX,), (SUBCORTEX,), (CEREBELLUM,)), ((CORTEX, SUBCORTEX), (CEREBELLUM,)), ((1, 2, 3),))
_CROSSING_COST = 5.0  # factor on distance across a border of compartments, where they share regions
_BRIDGE_COST = 4.0  # factor on the length of a link between separate pieces of grey matter


def equal_volume(grey: GreyMatter, n_regions: int) -> tuple[np.ndarray, list[str]]:
    """Divide the grey matter into regions of equal volume.

    Each hemisphere is cut in two again and again, each time across its longest extent within the grey matter
    (at a difference of geodesic distances from its two far ends, which leaves both sides in one piece) and in
    proportion to the regions that each side is to hold. Cortex, subcortex and cerebellum do not share regions as
    long as volumes then stay within `SIZE_TOLERANCE` of the mean. The right hemisphere mirrors the left; voxels at
    x = 0 belong to neither.

    Parameters
    ----------
    grey : GreyMatter
    n_regions : int
        From 2 up. If odd, the left hemisphere holds one region more.

    Returns
    -------
    labels : int16 or int32 array (i, j, k)
        1..n_left in the left hemisphere, then the right; the same number counted from the first of a hemisphere
        is the mirror image, if n_regions is even.
    names : list of str, (n_regions,)
        Such as ``LH_CtxAntSupMed_012``: hemisphere, compartment, direction from the hemisphere's centre, number.

    Raises
    ------
    InputError
        If there are fewer than 2 regions or too many for the voxels.
    """
    half = grey.compartment.copy()
    middle = half.shape[0] // 2
    half[middle:] = 0
    drop_islands(half, grey.voxel_mm**3)  # held together by the midline alone
    n_left, n_right = n_regions - n_regions // 2, n_regions // 2
    most = int((half > 0).sum()) * 2 // FEWEST_VOXELS
    if not 2 <= n_regions <= most:
        raise InputError(f"EqualVolume takes 2 to {most} regions on this grid ({grey.voxel_mm:g} mm), not {n_regions}.")
    left = _hemisphere(grey, half, n_left)
    right = left if n_right == n_left else _hemisphere(grey, half, n_right)
    labels = left + np.where(right, right + n_left, 0)[::-1]
    names = _names(grey, left, "LH") + _names(grey, right, "RH")
    return labels.astype(np.int16 if n_regions <= np.iinfo(np.int16).max else np.int32), names


def apportion(volumes: dict[int, int], n_regions: int) -> list[tuple[tuple[int, ...], int]]:
    """Share regions out over compartments by volume.

    Parameters
    ----------
    volumes : dict of int
        Voxels of each compartment.
    n_regions : int

    Returns
    -------
    list of (compartments, number of regions)
        The finest grouping for which each group's mean volume is within `SIZE_TOLERANCE` of the overall mean.
    """
    mean = sum(volumes.values()) / n_regions
    for grouping in _GROUPINGS[:-1]:
        exact = np.array([sum(volumes[c] for c in group) / mean for group in grouping])
        options = itertools.product(*[(int(np.floor(e)), int(np.ceil(e))) for e in exact[1:]])
        fits = []
        for rest in options:
            counts = np.array([n_regions - sum(rest), *rest])
            if (counts >= 1).all():
                fits.append((float(np.abs(exact / counts - 1).max()), counts))
        if fits:
            worst, counts = min(fits, key=lambda fit: fit[0])
            if worst <= SIZE_TOLERANCE:
                return [(group, int(n)) for group, n in zip(grouping, counts, strict=True)]
    return [(_GROUPINGS[-1][0], n_regions)]


def _hemisphere(grey: GreyMatter, half: np.ndarray, n_regions: int) -> np.ndarray:
    volumes = {kind: int((half == kind).sum()) for kind in COMPARTMENTS}
    labels = np.zeros(half.shape, np.int32)
    first = 1
    for group, n in apportion(volumes, n_regions):
        mask = np.isin(half, group)
        part = half[mask]
        graph = _connected_graph(mask, part, grey)
        labels[mask] = first + _bisect(graph, n)
        first += n
    return labels


def _connected_graph(mask: np.ndarray, part: np.ndarray, grey: GreyMatter) -> sparse.csr_matrix:
    """Graph of grey matter: dearer where grey matter is less certain (sulci) and across compartments, in one piece."""
    graph = voxel_graph(mask, grey.voxel_mm, cost=np.clip(grey.probability, 0.2, 1) ** -2).tocoo()
    graph.data[part[graph.row] != part[graph.col]] *= _CROSSING_COST
    graph = graph.tocsr()
    xyz = np.argwhere(mask) * grey.voxel_mm
    n_pieces, piece = csgraph.connected_components(graph, directed=False)
    while n_pieces > 1:
        main = int(np.bincount(piece).argmax())
        inside, outside = np.flatnonzero(piece == main), np.flatnonzero(piece != main)
        gap, nearest = cKDTree(xyz[inside]).query(xyz[outside])
        k = int(gap.argmin())
        bridge = sparse.coo_matrix(([gap[k] * _BRIDGE_COST], ([inside[nearest[k]]], [outside[k]])), shape=graph.shape)
        graph = (graph + bridge + bridge.T).tocsr()
        n_pieces, piece = csgraph.connected_components(graph, directed=False)
    return graph


def _bisect(graph: sparse.csr_matrix, n_regions: int) -> np.ndarray:
    """Divide a connected graph into n regions of equal size; return the region (0..n-1) of each voxel."""
    region = np.zeros(graph.shape[0], np.int32)
    stack = [(np.arange(graph.shape[0]), graph, 0, n_regions)]
    while stack:
        voxels, part, first, n = stack.pop()
        region[voxels] = first
        if n == 1:
            continue
        n_a = n // 2
        side = _cut(part, round(len(voxels) * n_a / n))
        for chosen, start, count in ((side, first, n_a), (~side, first + n_a, n - n_a)):
            where = np.flatnonzero(chosen)
            stack.append((voxels[where], part[where][:, where], start, count))
    return region


def _cut(graph: sparse.csr_matrix, size: int) -> np.ndarray:
    """Choose `size` voxels at one end of a graph's longest extent, in one piece as is the rest."""
    far = _distances(graph, 0)
    end_a = int(far.argmax())
    from_a = _distances(graph, end_a)
    end_b = int(from_a.argmax())
    order = np.lexsort((from_a, from_a - _distances(graph, end_b)))
    side = np.zeros(graph.shape[0], bool)
    side[order[:size]] = True
    return _in_one_piece(graph, side)


def _distances(graph: sparse.csr_matrix, start: int) -> np.ndarray:
    """Geodesic distances; pieces that cannot be reached count as farthest."""
    distance = csgraph.dijkstra(graph, indices=start)
    reached = np.isfinite(distance)
    distance[~reached] = distance[reached].max() + 1.0
    return distance


def _in_one_piece(graph: sparse.csr_matrix, side: np.ndarray) -> np.ndarray:
    """Give fragments cut off from their own side to the other one."""
    side = side.copy()
    for own in (True, False):
        where = np.flatnonzero(side == own)
        if not len(where):
            continue
        n_pieces, piece = csgraph.connected_components(graph[where][:, where], directed=False)
        if n_pieces > 1:
            side[where[piece != np.bincount(piece).argmax()]] = not own
    return side


def _names(grey: GreyMatter, labels: np.ndarray, prefix: str) -> list[str]:
    """Name regions by compartment and by direction from the middle of their compartment."""
    index = np.arange(1, labels.max() + 1)
    centre = grey.mm(np.array(ndimage.center_of_mass(labels > 0, labels, index)))
    kind = [int(np.bincount(grey.compartment[labels == k], minlength=4)[1:].argmax()) + 1 for k in index]
    names = []
    for k, (x, y, z) in enumerate(centre):
        same = np.array(kind) == kind[k]
        mid = np.median(np.abs(centre[same]) * [1, 0, 0] + centre[same] * [0, 1, 1], axis=0)
        word = {CORTEX: "Ctx", SUBCORTEX: "Sub", CEREBELLUM: "Cer"}[kind[k]]
        if same.sum() > 1:
            word += "Ant" if y > mid[1] else "Post"
            word += "Sup" if z > mid[2] else "Inf"
            word += "Lat" if abs(x) > mid[0] else "Med"
        names.append(f"{prefix}_{word}_{k + 1:03d}")
    return names
