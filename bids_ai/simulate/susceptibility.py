"""The field that air in the head makes, and what it does to an echo-planar image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from bids_ai.simulate.shapes import Ripple

Array = NDArray[np.floating]

#: Lobes of the field: centre (template mm), width (standard deviation, mm) and peak (Hz at 3 T). Above the sinuses the
#: field is raised, above the ear canals lowered and raised in turn.
_LOBES = (
    ((0.0, 48.0, -24.0), 17.0, 85.0),
    ((-46.0, -18.0, -34.0), 15.0, 50.0),
    ((46.0, -18.0, -34.0), 15.0, 50.0),
    ((0.0, -30.0, -60.0), 22.0, -30.0),
)
#: What the shim leaves: standard deviation (Hz) and wavelength (mm).
_RESIDUE_HZ, _RESIDUE_MM = 6.0, 160.0
_INVERSIONS = 12


def field_map(template_points: Array, rng: np.random.Generator) -> Array:
    """Off-resonance at template points, Hz.

    Parameters
    ----------
    template_points : array, shape (..., 3)
        Template mm.
    rng : numpy Generator
        Strength of the lobes and the residue of the shim differ between subjects.

    Returns
    -------
    array, shape (...)
    """
    field = _RESIDUE_HZ * Ripple(rng, _RESIDUE_MM)(template_points)
    for centre, width, peak in _LOBES:
        squared = np.sum((template_points - np.asarray(centre, template_points.dtype)) ** 2, axis=-1)
        field = field + peak * rng.uniform(0.8, 1.2) * np.exp(-squared / (2.0 * width**2))
    return field


@dataclass(frozen=True)
class Distortion:
    """Where the signal of a distorted voxel comes from.

    Attributes
    ----------
    source : array, shape (nx, ny, nz)
        Index along the phase-encoding axis of the undistorted grid.
    gain : array, shape (nx, ny, nz)
        Piling up of signal (above 1) and thinning (below 1).
    axis : int
        Phase-encoding axis.
    """

    source: Array
    gain: Array
    axis: int


def distortion(field_hz: Array, total_readout_s: float, axis: int, polarity: int) -> Distortion:
    """Shift along the phase-encoding axis: signal of y appears at y + polarity * field * readout (voxels).

    Parameters
    ----------
    field_hz : array, shape (nx, ny, nz)
        On the undistorted grid.
    total_readout_s : float
        Time from the centre of the first echo to that of the last.
    axis : int
    polarity : int
        +1 for BIDS ``i j k``, -1 for ``i- j- k-``.

    Returns
    -------
    Distortion

    References
    ----------
    Andersson et al. 2003, doi:10.1016/S1053-8119(03)00336-7.
    """
    shift = polarity * total_readout_s * field_hz
    slope = np.gradient(shift, axis=axis)
    grid = np.stack(np.meshgrid(*[np.arange(n, dtype=float) for n in shift.shape], indexing="ij"))
    seen, at = grid[axis].copy(), grid
    # The shift is smooth and its slope below one: the fixed point is found in a few rounds.
    for _ in range(_INVERSIONS):
        at[axis] = seen - map_coordinates(shift, at, order=1, mode="nearest")
    gain = 1.0 / np.maximum(1.0 + map_coordinates(slope, at, order=1, mode="nearest"), 0.1)
    return Distortion(at[axis], gain.astype(np.float32), axis)
