"""Gradient tables against the images: motion turns them, and axes that were flipped or swapped are found.

A wrong table passes every numeric check, gives a good FA map and useless tractography. Bundles tell: the principal
directions of neighbouring voxels line up along the line that joins them, and only with the right table.
Reading and checking the files is in `bids_ai.bids.gradients`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, product
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_ai.bids.gradients import FloatArray, GradientTable, read_gradients
from bids_ai.errors import InputError

__all__ = ["OrientationCheck", "Reorientation", "check_orientation", "read_gradients", "reorient", "rotate_by_motion"]

_AXES = "xyz"
#: Voxel edge of the blocks that count as independent observations of the coherence.
_BLOCK = 4
#: The best table must beat the next by this many standard errors over blocks; below, nothing is claimed.
_LEAST_Z = 3.0
#: Pairs of voxels up to so many apart on every axis. Farther pairs lie in one bundle only along it, but curve away.
_REACH = 2
#: A tensor has six unknowns.
_LEAST_DIRECTIONS = 6
#: How sharply a direction must point at the neighbour: power of the cosine. 4 halves the weight at 33 degrees.
_SHARPNESS = 4
#: Below this FA a principal direction is mostly noise.
_LEAST_FA = 0.2
#: The rim of a brain mask mixes brain with skull and air, which looks anisotropic; so many voxels are shaved off,
#: unless fewer than `_LEAST_VOXELS` would remain.
_RIM_VOXELS = 2
_LEAST_VOXELS = 500


@dataclass(frozen=True)
class Reorientation:
    """Swap of axes, then change of signs: new component a = signs[a] * old component axes[a]."""

    axes: tuple[int, int, int] = (0, 1, 2)
    signs: tuple[int, int, int] = (1, 1, 1)

    @property
    def matrix(self) -> FloatArray:
        """3 x 3 matrix for column vectors."""
        matrix = np.zeros((3, 3))
        matrix[np.arange(3), self.axes] = self.signs
        return matrix

    def __str__(self) -> str:
        swap = "" if self.axes == (0, 1, 2) else "axes as " + "".join(_AXES[axis] for axis in self.axes)
        flips = "".join(_AXES[axis] for axis in range(3) if self.signs[axis] < 0)
        return ", ".join(part for part in (swap, flips and f"sign of {flips} changed") if part) or "as given"


#: A b-vector and its opposite measure the same, so that of 48 reorientations 24 differ.
CANDIDATES = tuple(
    Reorientation(axes, signs)  # type: ignore[arg-type]
    for axes in permutations(range(3))
    for signs in ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1))
)


@dataclass(frozen=True)
class OrientationCheck:
    """What the images say of their gradient table.

    Attributes
    ----------
    verdict : {"as given", "reoriented", "undecided"}
    best : Reorientation
        To be applied to the table as given.
    z : float
        Lead of the best over the next, in standard errors.
    coherence : dict
        By reorientation; 1 would be straight parallel bundles only.
    reason : str
        In words, for the report.
    """

    verdict: Literal["as given", "reoriented", "undecided"]
    best: Reorientation
    z: float
    coherence: dict[str, float]
    reason: str


def reorient(table: GradientTable, change: Reorientation) -> GradientTable:
    """Apply a reorientation to a table."""
    return GradientTable(table.bvals, table.bvecs @ change.matrix.T, (*table.notes, f"Gradient table: {change}."))


def rotate_by_motion(table: GradientTable, affine: npt.NDArray[Any], motion: npt.NDArray[Any]) -> GradientTable:
    """Turn the gradients with the head (Leemans & Jones 2009, doi:10.1002/mrm.21890).

    Parameters
    ----------
    table : GradientTable
        As set on the scanner.
    affine : (4, 4) array
        Of the images.
    motion : (n_volumes, 4, 4) array
        Maps a world point of the reference to the same anatomical point in each volume.

    Returns
    -------
    GradientTable
        For the volumes resampled to the reference. Scaling and shear of an affine motion (eddy currents) turn nothing.

    Raises
    ------
    InputError
        If there is not one matrix per volume.
    """
    motion = np.asarray(motion, dtype=float)
    if motion.shape != (len(table), 4, 4):
        raise InputError(f"Expected {len(table)} matrices of motion (4 x 4), got shape {motion.shape}.")
    left, _, right = np.linalg.svd(motion[:, :3, :3])
    rotations = left @ right
    # In the frame of the head the gradient turns the other way: g_reference = R^-1 g_scanner.
    turned = np.einsum("vba,vb->va", rotations, table.world(affine))
    return table.with_world(turned, affine, "Gradients turned with the motion of the head.")


def check_orientation(
    data: npt.NDArray[Any],
    table: GradientTable,
    affine: npt.NDArray[Any],
    mask: npt.NDArray[Any],
) -> OrientationCheck:
    """Find out whether axes of the table are flipped or swapped, from the coherence of fibre directions.

    One tensor fit serves all 24 tables, since a reorientation of the gradients reorients the tensor. Coherence is the
    mean over neighbours, weighted by FA and by how parallel their directions are, of cos^4 of the angles between either
    direction and the line that joins them: the fibre coherence index of Schilling et al. (2019,
    doi:10.1016/j.mri.2019.01.018) without its thresholds. Pairs up to two voxels apart count. Its standard error comes
    from blocks of 4 x 4 x 4 voxels.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
    table : GradientTable
    affine : (4, 4) array
    mask : (nx, ny, nz) bool array
        Brain.

    Returns
    -------
    OrientationCheck
        "undecided" with fewer than 6 directions or where the lead is below 3 standard errors; nothing should be changed
        then.

    Raises
    ------
    InputError
        If the shapes disagree.
    """
    if data.shape != (*mask.shape, len(table)):
        raise InputError(f"Data {data.shape}, mask {mask.shape} and {len(table)} gradients do not belong together.")
    if table.n_directions < _LEAST_DIRECTIONS:
        few = f"{table.n_directions} directions do not determine a tensor; the gradient table cannot be checked."
        return OrientationCheck("undecided", Reorientation(), 0.0, {}, few)
    inner = ndimage.binary_erosion(mask, iterations=_RIM_VOXELS)
    mask = (inner if inner.sum() >= _LEAST_VOXELS else np.asarray(mask, bool)) & np.isfinite(data).all(axis=-1)
    directions, anisotropy = _principal_directions(data, table, mask)
    # Steps of the grid in FSL's axes, in which the directions are.
    steps = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)
    steps[0] *= -1 if np.linalg.det(np.asarray(affine)[:3, :3]) > 0 else 1
    scores, weights = _block_scores(directions, anisotropy, steps)
    total = scores.sum(axis=1) / max(weights.sum(), 1e-12)
    order = np.argsort(total)[::-1]
    lead = scores[order[0]] - scores[order[1]]
    spread = np.sqrt(len(lead)) * lead.std(ddof=1) if len(lead) > 1 else 0.0
    z = float(lead.sum() / spread) if spread > 0 else 0.0
    best = CANDIDATES[order[0]]
    coherence = {str(candidate): float(value) for candidate, value in zip(CANDIDATES, total, strict=True)}
    shown = f"coherence {total[order[0]]:.3f}, next best {total[order[1]]:.3f}, z = {z:.1f}"
    if z < _LEAST_Z:
        return OrientationCheck("undecided", best, z, coherence, f"The images do not tell the axes apart ({shown}).")
    if best == Reorientation():
        return OrientationCheck(
            "as given", best, z, coherence, f"Fibres line up best with the table as given ({shown})."
        )
    given = coherence[str(Reorientation())]
    reason = f"Fibres line up best with {best} ({shown}; as given {given:.3f}): the gradient table is wrong."
    return OrientationCheck("reoriented", best, z, coherence, reason)


def _principal_directions(
    data: npt.NDArray[Any], table: GradientTable, mask: npt.NDArray[Any]
) -> tuple[FloatArray, FloatArray]:
    """Principal directions in FSL's axes (nx, ny, nz, 3) and FA, from a log-linear fit to the lowest shells."""
    # Far beyond 1500 s/mm2 the signal is no longer that of a tensor; but a scan may have nothing lower.
    lowest = table.bvals[~table.unweighted].min()
    used = table.bvals <= max(1500.0, 1.05 * lowest)
    if GradientTable(table.bvals[used], table.bvecs[used]).n_directions < _LEAST_DIRECTIONS:
        used[:] = True
    b, (x, y, z) = table.bvals[used], table.bvecs[used].T
    design = np.column_stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z]) * -b[:, None]
    signal = np.asarray(data[mask][:, used], dtype=np.float64)
    floor = max(float(signal[signal > 0].min()) if (signal > 0).any() else 1.0, 1e-6)
    logs = np.log(np.maximum(signal, floor))
    unknowns = np.linalg.lstsq(np.column_stack([design, np.ones_like(b)]), logs.T, rcond=None)[0][:6]
    tensors = unknowns[[0, 3, 4, 3, 1, 5, 4, 5, 2]].T.reshape(-1, 3, 3)
    values, vectors = np.linalg.eigh(tensors)
    values = np.maximum(values, 0)
    mean = values.mean(axis=1, keepdims=True)
    power = np.maximum((values**2).sum(axis=1), 1e-30)
    directions, anisotropy = np.zeros((*mask.shape, 3)), np.zeros(mask.shape)
    directions[mask] = vectors[:, :, 2]
    anisotropy[mask] = np.sqrt(1.5 * ((values - mean) ** 2).sum(axis=1) / power)
    return directions, anisotropy


def _block_scores(directions: FloatArray, anisotropy: FloatArray, steps: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted coherence of every candidate in every block (24, n_blocks), and the weights (n_blocks,)."""
    shape = anisotropy.shape
    grid = np.indices(shape) // _BLOCK
    blocks = np.ravel_multi_index(tuple(grid), tuple(-(-n // _BLOCK) for n in shape))
    n_blocks = int(blocks.max()) + 1
    scores, weights = np.zeros((len(CANDIDATES), n_blocks)), np.zeros(n_blocks)
    changes = np.stack([candidate.matrix for candidate in CANDIDATES])
    for offset in (way for way in product(range(-_REACH, _REACH + 1), repeat=3) if way > (0, 0, 0)):
        here = tuple(slice(max(0, -step), n - max(0, step)) for step, n in zip(offset, shape, strict=True))
        there = tuple(slice(max(0, step), n - max(0, -step)) for step, n in zip(offset, shape, strict=True))
        chosen = (anisotropy[here] > _LEAST_FA) & (anisotropy[there] > _LEAST_FA)
        first, second = directions[here][chosen], directions[there][chosen]
        weight = anisotropy[here][chosen] * anisotropy[there][chosen] * (first * second).sum(axis=1) ** 2
        line = np.array(offset) * steps / np.linalg.norm(np.array(offset) * steps)
        lines = line @ changes  # (24, 3): the line seen from the axes of the fit
        aligned = ((first @ lines.T) * (second @ lines.T)) ** _SHARPNESS
        block = blocks[here][chosen]
        weights += np.bincount(block, weight, n_blocks)
        for candidate in range(len(CANDIDATES)):
            scores[candidate] += np.bincount(block, weight * aligned[:, candidate], n_blocks)
    return scores[:, weights > 0], weights[weights > 0]
