"""Susceptibility distortion from two b0 images with opposite phase encoding.

The field shifts signal along the phase-encoding axis, one way in the one image and the other way in the other, and
piles it up where the shift is not even. The shift is found that makes both the same image after it is undone (Andersson
et al. 2003, doi:10.1016/S1053-8119(03)00336-7), one value per voxel with a smoothness penalty, coarse to fine by
Gauss-Newton (as HySCO: Ruthotto et al. 2012, doi:10.1088/0031-9155/57/18/5715). The head may have moved between the
two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from bids_ai.preprocess.bold_geometry import apply_matrix
from bids_ai.preprocess.dwi_shift_solver import LEAST_JACOBIAN, ShiftSolver, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


STAGES = (Stage(4, 4.0, 12), Stage(2, 2.5, 12), Stage(1, 1.5, 8, motion=False))
SLOPPY_STAGES = (Stage(2, 3.0, 8), Stage(1, 2.0, 5, motion=False))
#: Correlation of the two images, distortion undone, below which they are not of one head or not of opposite encodings.
_LEAST_SIMILARITY = 0.8
#: The field is sought within this many voxels of the brain; beyond, it goes on evenly.
_MARGIN_VOXELS = 8


@dataclass
class Distortion:
    """Field of shifts.

    Attributes
    ----------
    shift : (nx, ny, nz) array
        Along the voxel axis `axis`, in voxels: signal of y appears at y + shift in the series.
    axis : int
    similarity : dict
        Correlation of the two images inside the brain, before and after.
    motion : (6,) array
        Of the head from the series to the reverse-encoded image, mm and rad; along the phase-encoding axis it cannot be
        told from an even field and is zero.
    warnings : list of str
    """

    shift: NDArray[np.float32]
    axis: int
    similarity: dict[str, float] = field(default_factory=dict)
    motion: FloatArray = field(default_factory=lambda: np.zeros(6))
    warnings: list[str] = field(default_factory=list)


def jacobian(shift: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """Factor that undoes piling up of signal, where the image is read at y + shift."""
    return np.asarray(1 + np.gradient(shift, axis=axis), np.float32)


def unwarp(image: NDArray[Any], shift: NDArray[Any], axis: int, *, order: int = 3) -> NDArray[np.float32]:
    """Undo a shift on the grid of the image, with the signal's density."""
    index = np.indices(image.shape, dtype=np.float32)
    index[axis] += shift
    values = ndimage.map_coordinates(np.asarray(image, np.float32), index, order=order, mode="nearest")
    return np.asarray(np.maximum(values * jacobian(shift, axis), 0), np.float32)


def estimate_shift(
    forward: NDArray[Any],
    reverse: NDArray[Any],
    affine: NDArray[Any],
    axis: int,
    mask: NDArray[np.bool_],
    *,
    ratio: float = 1.0,
    sloppy: bool = False,
) -> Distortion:
    """Find the shift between two images of opposite phase encoding.

    Parameters
    ----------
    forward, reverse : (nx, ny, nz) arrays
        b0 of the series and its reverse-encoded partner, on one grid.
    affine : (4, 4) array
    axis : int
        Phase-encoding axis.
    mask : (nx, ny, nz) bool array
        Rough brain mask, for the scale of the images and the similarity.
    ratio : float
        Readout time of `reverse` over that of `forward`.
    sloppy : bool
        Coarse, for tests.

    Returns
    -------
    Distortion
    """
    # Distortion moves signal and makes none: the gain of the receiver is told by the sums. Percentiles would differ
    # with the distortion itself, and a wrong gain comes out as a ramp of the shift.
    scale = float(np.percentile(forward[mask], 90)) or 1.0
    gain = float(forward.sum(dtype=float) / max(float(reverse.sum(dtype=float)), 1e-12))
    first, second = np.asarray(forward, np.float32) / scale, np.asarray(reverse, np.float32) * (gain / scale)
    box, pad = _around(mask)
    cut = np.array(affine, float)
    cut[:3, 3] = apply_matrix(cut, np.array([[float(part.start) for part in box]]))[0]
    first, second, inside = first[box], second[box], mask[box]
    shift, moved = np.zeros(first.shape, np.float32), np.zeros(6)
    for stage in SLOPPY_STAGES if sloppy else STAGES:
        solver = ShiftSolver(first, second, cut, axis, ratio, stage)
        shift, moved = solver.solve(shift, moved)
    final = ShiftSolver(first, second, cut, axis, ratio, Stage(1, 0.0, 0))
    pairs = {"before": final.images(np.zeros_like(shift), np.zeros(6)), "after": final.images(shift, moved)}
    similarity = {name: float(np.corrcoef(a[inside], b[inside])[0, 1]) for name, (a, b) in pairs.items()}
    found = Distortion(np.pad(shift, pad, mode="edge"), axis, similarity, moved)
    _judge(found, mask)
    return found


def _around(mask: NDArray[np.bool_]) -> tuple[tuple[slice, ...], list[tuple[int, int]]]:
    """Box around the brain with a margin, and by how much it falls short of the grid on either side."""
    box, pad = [], []
    for axis, n in zip(np.nonzero(mask), mask.shape, strict=True):
        low, high = max(0, int(axis.min()) - _MARGIN_VOXELS), min(n, int(axis.max()) + 1 + _MARGIN_VOXELS)
        box.append(slice(low, high))
        pad.append((low, n - high))
    return tuple(box), pad


def _judge(found: Distortion, mask: NDArray[np.bool_]) -> None:
    before, after = found.similarity["before"], found.similarity["after"]
    if not after > max(before, _LEAST_SIMILARITY):
        found.warnings.append(
            f"The two phase encodings do not become the same image by any shift (correlation {before:.2f} before, "
            f"{after:.2f} after): distortion was not corrected. Check that the reverse-encoded image belongs to this "
            "series and that its direction is right."
        )
        found.shift = np.zeros_like(found.shift)
    folded = float((jacobian(found.shift, found.axis)[mask] < LEAST_JACOBIAN).mean())
    if folded > 0.005:
        found.warnings.append(f"The distortion folds the image over in {folded:.1%} of the brain: look at it.")
