"""The grey matter of the bundled MNI152 template, divided into cortex, subcortex and cerebellum."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from bids_ai.errors import InputError

TEMPLATE_SPACE = "MNI152NLin2009aSym"
"""Space of the template that nilearn bundles (Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033)."""

CORTEX, SUBCORTEX, CEREBELLUM, BRAINSTEM = 1, 2, 3, 4
COMPARTMENTS = {CORTEX: "cortex", SUBCORTEX: "subcortex", CEREBELLUM: "cerebellum"}
"""Parts of the grey matter; hippocampus and amygdala count as cortex, with which they are continuous."""

GREY_THRESHOLD = 0.5  # probability: grey matter is the most likely tissue
TISSUE_THRESHOLD = 0.3  # grey + white probability below which a voxel is outside the brain's tissue
SMALLEST_PIECE_MM3 = 1000.0  # smaller islands of grey matter are noise of the threshold
_MISNAMED_SEED = "basal ganglia 30"  # of Dosenbach's: lies in the cingulate gyrus (-6, 17, 34)
# Where the brainstem is, mm; neither set of coordinates below has a point there.
_BRAINSTEM_MM = np.array(
    [
        [0, -28, -35], [0, -30, -30], [0, -34, -45], [5, -22, -25], [0, -24, -20], [6, -22, -12],
        [0, -36, -52], [0, -42, -60], [5, -16, -9], [4, -26, -4], [4, -6, -12],
        [5, -33, -9], [3, -36, -10], [6, -29, -6],
    ],
    dtype=float,
)  # fmt: skip


@dataclass(frozen=True)
class GreyMatter:
    """Grey matter on a grid; symmetric in x, with a plane of voxels at x = 0.

    Attributes
    ----------
    probability : float32 array (i, j, k)
    compartment : int8 array (i, j, k)
        Key of `COMPARTMENTS` in grey matter, 0 elsewhere.
    affine : array (4, 4)
        Voxel to mm RAS, in `TEMPLATE_SPACE`.
    """

    probability: np.ndarray
    compartment: np.ndarray
    affine: np.ndarray

    @property
    def voxel_mm(self) -> float:
        """Edge of the isotropic voxels, mm."""
        return float(self.affine[0, 0])

    def mm(self, ijk: np.ndarray) -> np.ndarray:
        """Return the coordinates (n, 3) of voxels, mm RAS."""
        return np.asarray(ijk) @ self.affine[:3, :3].T + self.affine[:3, 3]


def template_grey_matter(resolution: int = 2) -> GreyMatter:
    """Load and divide the grey matter of nilearn's MNI152 template.

    A tissue voxel belongs to the compartment of the landmark that is nearest to it within the tissue, where
    distance is dear between tissues and in white matter: so the tentorium parts the cerebellum from the occipital
    lobe, and white matter the nuclei from insula and cingulum. Landmarks are the coordinates of Seitzman et al. 2020
    (doi:10.1016/j.neuroimage.2019.116290) and Dosenbach et al. 2010 (doi:10.1126/science.1194144), both of which
    state the structure, and points in the brainstem, which is left out.

    Parameters
    ----------
    resolution : {1, 2}
        Voxel size, mm.

    Returns
    -------
    GreyMatter
    """
    if resolution not in (1, 2):
        raise InputError(f"The bundled template comes at 1 or 2 mm, not {resolution}.")
    from nilearn import datasets

    fine = [load(resolution=1) for load in (datasets.load_mni152_gm_template, datasets.load_mni152_wm_template)]
    grey1, white1 = (np.asarray(image.dataobj, dtype=np.float32) for image in fine)
    grey2, white2 = _halve(grey1), _halve(white1)
    affine1 = np.asarray(fine[0].affine, dtype=float)
    affine2 = affine1 @ np.diag([2.0, 2.0, 2.0, 1.0])
    part2 = _compartments(grey2, np.clip(grey2 + white2, 0, 1), affine2)
    if resolution == 2:
        grey, part, affine = grey2, part2, affine2
    else:
        grey, affine = grey1, affine1
        part = _nearest_part(part2)[tuple(slice(0, n) for n in grey1.shape)]
    part = np.where((grey > GREY_THRESHOLD) & (part != BRAINSTEM), part, 0).astype(np.int8)
    part[part.shape[0] // 2 + 1 :] = part[: part.shape[0] // 2][::-1]  # ties in distance are not symmetric
    drop_islands(part, resolution**3)
    return GreyMatter(grey, part, affine)


def voxel_graph(mask: np.ndarray, voxel_mm: float, cost: np.ndarray | None = None) -> sparse.csr_matrix:
    """Join each voxel of a mask to those of its 26 neighbours that are in it.

    Parameters
    ----------
    mask : bool array (i, j, k)
    voxel_mm : float
        Edge of the voxels, mm.
    cost : array (i, j, k), optional
        Factor on distance; that of an edge is the mean of its ends.

    Returns
    -------
    scipy.sparse.csr_matrix (n, n)
        Distances in mm (times cost); voxels in the order of ``np.argwhere(mask)``.
    """
    number = np.full(mask.shape, -1, dtype=np.int32)
    voxels = np.argwhere(mask)
    number[mask] = np.arange(len(voxels), dtype=np.int32)
    padded = np.pad(number, 1, constant_values=-1)
    at = np.ones(len(voxels)) if cost is None else cost[mask].astype(float)
    rows, columns, weights = [], [], []
    for step in itertools.product((-1, 0, 1), repeat=3):
        if step <= (0, 0, 0):  # each edge once
            continue
        neighbour = padded[tuple((voxels + 1 + step).T)]
        here = np.flatnonzero(neighbour >= 0)
        there = neighbour[here]
        rows.append(here)
        columns.append(there)
        weights.append(voxel_mm * np.sqrt(np.dot(step, step)) * (at[here] + at[there]) / 2)
    edges = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    half = sparse.coo_matrix(edges, shape=(len(voxels), len(voxels))).tocsr()
    return half + half.T


def _halve(volume: np.ndarray) -> np.ndarray:
    """Smooth by one voxel and take every second one, which keeps x = 0 on the grid and the symmetry exact."""
    for axis in range(3):
        volume = ndimage.convolve1d(volume, np.array([0.25, 0.5, 0.25], np.float32), axis=axis)
    return volume[::2, ::2, ::2]


def _landmarks() -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates (n, 3) mm and their compartments (n,), with their mirror images."""
    from nilearn import datasets

    seitzman = datasets.fetch_coords_seitzman_2018(ordered_regions=False)
    dosenbach = datasets.fetch_coords_dosenbach_2010(ordered_regions=False)
    kind = {"cerebellum": CEREBELLUM, "basalGanglia": SUBCORTEX, "thalamus": SUBCORTEX}
    parts = [kind.get(str(region), CORTEX) for region in seitzman["regions"]]
    kept = [label != _MISNAMED_SEED for label in dosenbach["labels"]]
    deep = ("thalamus", "basal ganglia")
    parts += [
        CEREBELLUM if "cerebellum" in label else SUBCORTEX if label.startswith(deep) else CORTEX
        for label in dosenbach["labels"]
        if label != _MISNAMED_SEED
    ]
    parts += [BRAINSTEM] * len(_BRAINSTEM_MM)
    xyz = np.vstack([seitzman["rois"], dosenbach["rois"][kept], _BRAINSTEM_MM]).astype(float)
    return np.vstack([xyz, xyz * [-1, 1, 1]]), np.array(parts * 2)


def _compartments(grey: np.ndarray, tissue: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Give each tissue voxel the compartment of its nearest landmark; 0 outside tissue, and right of the midline."""
    xyz, parts = _landmarks()
    middle = tissue.shape[0] // 2
    mask = tissue > TISSUE_THRESHOLD
    mask[middle + 1 :] = False
    number = np.full(mask.shape, -1)
    number[mask] = np.arange(mask.sum())
    voxels = np.round((xyz - affine[:3, 3]) / np.diag(affine)[:3]).astype(int)
    start = number[tuple(voxels.T)]
    kind = dict(zip(start[start >= 0].tolist(), parts[start >= 0].tolist(), strict=True))
    graph = voxel_graph(mask, affine[0, 0], cost=np.clip(tissue, 0.05, 1) ** -4 * np.clip(grey, 0.1, 1) ** -2)
    *_, nearest = csgraph.dijkstra(graph, indices=sorted(kind), min_only=True, return_predecessors=True)
    part = np.zeros(mask.shape, np.int8)
    part[mask] = [kind.get(int(source), 0) for source in nearest]
    return part


def _nearest_part(part2: np.ndarray) -> np.ndarray:
    """Bring compartments from 2 to 1 mm; where 2 mm holds no tissue, the nearest compartment is taken."""
    nearest = ndimage.distance_transform_edt(part2 == 0, return_distances=False, return_indices=True)
    filled = part2[tuple(nearest)]
    # voxel m at 1 mm lies at m / 2 on the 2 mm grid
    return filled[np.ix_(*[np.arange(2 * n - 1) // 2 for n in filled.shape])]


def drop_islands(part: np.ndarray, voxel_mm3: float) -> None:
    """Remove, in place, pieces of a compartment that are smaller than `SMALLEST_PIECE_MM3`."""
    for kind in COMPARTMENTS:
        pieces, _ = ndimage.label(part == kind, structure=np.ones((3, 3, 3)))
        size = np.bincount(pieces.ravel()) * voxel_mm3
        small = size < SMALLEST_PIECE_MM3
        small[0] = False
        part[small[pieces]] = 0
