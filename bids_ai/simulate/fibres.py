"""What a diffusion image sees of a head: tissues and fibres of known direction, voxel by voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from bids_ai.simulate.bundles import FILL, SHORT_FILL, Bundles
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.head import sample
from bids_ai.simulate.packing import widened
from bids_ai.simulate.phantom import EPI_SIGNAL, Phantom, voxel_centres
from bids_ai.simulate.warp import SubjectWarp, apply_affine

Array = NDArray[np.floating]

#: Points are laid this densely along a strand, mm, with so many copies scattered across it.
_STEP_MM = 1.0
_COPIES = 8
#: Fibres of a strand lie about it with this standard deviation, relative to the root of its cross-section, and at
#: least, mm: strands are a sample of a bundle whose fibres have no gaps between them.
_SCATTER = 0.8
_LEAST_SCATTER_MM = 1.0
#: EPI signal (grey matter = 1) beyond which what lies outside the brain is fluid, and where it surely is.
_FLUID = (0.7, 1.2)


@dataclass(frozen=True)
class FibreMap:
    """Tissues and fibres on a grid in the frame of the T1w image.

    A fixel is the part of one bundle in one voxel.

    Attributes
    ----------
    affine : array, shape (4, 4)
    tissues : dict of str to array, shape (nx, ny, nz)
        Volume fractions ``GM``, ``CSF`` (fluid around the brain included), ``soft`` (what else lies in the head,
        relative to muscle) and ``WM``, of which the fixels take their share.
    voxel : array of int, shape (n_fixels,)
        Flat index into the grid.
    bundle : array of int, shape (n_fixels,)
    direction : array, shape (n_fixels, 3)
        Unit vectors in the frame of the T1w (RAS), from the first region of the bundle to the second.
    fraction : array, shape (n_fixels,)
        Share of the voxel's volume.
    crowding : float
        Share of the fibres that found no room: where bundles cross, white matter is full.
    """

    affine: Array
    tissues: dict[str, Array]
    voxel: NDArray[np.integer]
    bundle: NDArray[np.integer]
    direction: Array
    fraction: Array
    crowding: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the grid."""
        return self.tissues["WM"].shape

    def fibre_fraction(self) -> Array:
        """Share of every voxel that fibres fill, shape (nx, ny, nz)."""
        total: Array = np.bincount(self.voxel, self.fraction, self.tissues["WM"].size).astype(float)
        return total.reshape(self.shape)


def fibre_map(
    phantom: Phantom,
    warp: SubjectWarp,
    bundles: Bundles,
    connectome: Connectome,
    affine: Array,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> FibreMap:
    """Lay a subject's bundles into its tissues.

    The cross-section of a bundle is its weight (both directions together) times one factor for the whole brain; fibres
    have room in white matter only, and where bundles ask for more than there is they become wider. Short fibres within
    regions fill what is beside them.

    Parameters
    ----------
    phantom : Phantom
    warp : SubjectWarp
    bundles : Bundles
        Of the group.
    connectome : Connectome
        Of the subject; its bundles are among those of the group.
    affine : array, shape (4, 4)
        Voxel to T1w mm of the map; isotropic.
    shape : 3 ints
    rng : numpy Generator

    Returns
    -------
    FibreMap
    """
    tissues = _tissues(phantom, affine, shape)
    voxel_mm3 = float(abs(np.linalg.det(affine[:3, :3])))
    white_mm3 = float(tissues["WM"].sum()) * voxel_mm3
    strands, short = bundles.in_subject(warp), warp.to_subject(bundles.short)
    area = strand_areas(strands, bundles, connectome, white_mm3)
    short_mm = float(np.linalg.norm(np.diff(short, axis=1), axis=-1).sum())
    area = np.append(area, np.full(len(short), SHORT_FILL * white_mm3 / max(short_mm, 1e-9)))
    owner = np.append(bundles.owner, len(bundles.pairs) + bundles.short_region)
    voxel, bundle, volume, flow = _fixels(np.concatenate([strands, short]), area, owner, affine, shape, rng)
    wanted = float(volume.sum())
    voxel, bundle, share, flow = _packed(voxel, bundle, volume / voxel_mm3, flow / voxel_mm3, tissues["WM"])
    direction = flow / np.maximum(np.linalg.norm(flow, axis=1, keepdims=True), 1e-9)
    white = tissues["WM"].ravel()
    room = np.minimum(1.0, white / np.maximum(np.bincount(voxel, share, white.size), 1e-9))
    fraction = (share * room[voxel]).astype(np.float32)
    lost = 1.0 - float(fraction.sum() * voxel_mm3 / max(wanted, 1e-9))
    kept = fraction > 1e-4
    return FibreMap(
        affine, tissues, voxel[kept], bundle[kept], direction[kept].astype(np.float32), fraction[kept], lost
    )


def strand_areas(strands: Array, bundles: Bundles, connectome: Connectome, white_mm3: float) -> Array:
    """Cross-section of every strand, mm2, shape (n_strands,): the weight of its bundle, shared by its strands."""
    weight = connectome.bundle_weights[tuple(bundles.pairs.T)]
    lengths = bundles.lengths_mm(strands, connectome.n_regions)[tuple(bundles.pairs.T)]
    per_weight = FILL * white_mm3 / float(weight @ lengths)
    n_strands = np.bincount(bundles.owner, minlength=len(weight))
    return (per_weight * weight / n_strands)[bundles.owner]


def _fixels(
    strands: Array,
    area: Array,
    owner_of: NDArray[np.integer],
    affine: Array,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
) -> tuple[NDArray[np.integer], NDArray[np.integer], Array, Array]:
    """Voxel, bundle, volume (mm3) and summed direction of every fixel, from points scattered along the strands."""
    present = np.flatnonzero(area > 0.0)
    points, tangents, owner = [], [], []
    lengths = np.linalg.norm(np.diff(strands, axis=1), axis=-1).sum(axis=1)
    for strand in present:
        n = max(int(np.ceil(lengths[strand] / _STEP_MM)), 1)
        at = (np.arange(n) + 0.5) / n * (strands.shape[1] - 1)
        low = np.minimum(at.astype(int), strands.shape[1] - 2)
        part = (at - low)[:, None]
        step = strands[strand, low + 1] - strands[strand, low]
        points.append(strands[strand, low] + part * step)
        tangents.append(step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-9))
        owner.append(np.full(n, strand))
    strand = np.repeat(np.concatenate(owner), _COPIES)
    tangent = np.repeat(np.concatenate(tangents), _COPIES, axis=0)
    n_points = np.array([len(part) for part in owner])
    volume = np.zeros(len(strands))
    volume[present] = area[present] * lengths[present] / (n_points * _COPIES)
    scatter = rng.standard_normal(tangent.shape) * np.maximum(_SCATTER * np.sqrt(area), _LEAST_SCATTER_MM)[strand, None]
    at = apply_affine(np.linalg.inv(affine), np.repeat(np.concatenate(points), _COPIES, axis=0) + scatter)
    index = np.rint(at).astype(int)
    within = np.all((index >= 0) & (index < np.array(shape)), axis=1)
    flat = np.ravel_multi_index(tuple(index[within].T), shape)
    n_owners = int(owner_of.max()) + 1
    key = flat * n_owners + owner_of[strand[within]]
    keys, inverse = np.unique(key, return_inverse=True)
    each = volume[strand[within]]
    total: Array = np.bincount(inverse, each).astype(float)
    flow: Array = np.stack([np.bincount(inverse, each * tangent[within, axis]) for axis in range(3)], axis=1)
    return keys // n_owners, keys % n_owners, total, flow


def _packed(
    voxel: NDArray[np.integer], bundle: NDArray[np.integer], share: Array, flow: Array, white: Array
) -> tuple[NDArray[np.integer], NDArray[np.integer], Array, Array]:
    """Fixels after crowded voxels have passed fibres on."""
    n = int(bundle.max()) + 1 if len(bundle) else 1
    # One column per bundle for its volume, and one for each part of its direction.
    values = np.concatenate([share, *flow.T])
    rows, columns = np.tile(voxel, 4), np.concatenate([bundle + part * n for part in range(4)])
    packed = widened(csr_array((values, (rows, columns)), shape=(white.size, 4 * n)), white, slice(0, n))
    volume = packed[:, :n].tocoo()
    at = volume.coords
    moved = np.stack([np.asarray(packed[at[0], at[1] + part * n]).ravel() for part in (1, 2, 3)], axis=1)
    return at[0], at[1], volume.data, moved


def _tissues(phantom: Phantom, affine: Array, shape: tuple[int, int, int]) -> dict[str, Array]:
    """Fractions on the grid; outside the brain the EPI contrast of the phantom says what is fluid."""
    points = voxel_centres(affine, shape)
    parts = {name: sample(phantom.fractions[name], phantom.affine, points) for name in ("GM", "WM", "CSF")}
    epi = sample(phantom.epi, phantom.affine, points)
    outside = epi - sum(np.float32(EPI_SIGNAL[name]) * part for name, part in parts.items())
    room = np.clip(1.0 - parts["GM"] - parts["WM"] - parts["CSF"], 0.0, 1.0)
    level = outside / np.maximum(room, 0.05)
    fluid = np.clip((level - _FLUID[0]) / (_FLUID[1] - _FLUID[0]), 0.0, 1.0) * room
    parts["CSF"] = parts["CSF"] + fluid
    parts["soft"] = np.clip(level / EPI_SIGNAL["muscle"], 0.0, 1.5) * (room - fluid)
    return parts
