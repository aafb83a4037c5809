"""A diffusion series of a head with known fibres: motion, susceptibility, point spread, noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from bids_ai.simulate.diffusion import SignalModel
from bids_ai.simulate.gradients import ScannerGradients
from bids_ai.simulate.phantom import rician, voxel_centres
from bids_ai.simulate.shapes import Ripple
from bids_ai.simulate.susceptibility import Distortion, distortion
from bids_ai.simulate.warp import apply_affine, rigid_matrix

Array = NDArray[np.floating]

#: Grey value of white matter at b = 0.
WM_LEVEL = 250.0
#: Full width of the point spread of EPI, in voxels.
_POINT_SPREAD = 0.9
_FWHM_TO_SIGMA = 1.0 / 2.3548
#: Standard deviation of the logarithm of the receive field.
_BIAS_LOG_SD = 0.1


@dataclass(frozen=True)
class DwiScan:
    """The acquisition of one series.

    Attributes
    ----------
    affine : array, shape (4, 4)
        Voxel to scanner mm.
    shape : 3 ints
    echo_spacing_s : float
        Effective echo spacing.
    pose : array, shape (4, 4)
        Rigid move of the head from the T1w to the first volume, scanner mm.
    phase_axis : int
        Voxel axis of phase encoding.
    polarity : int
        +1 where phase encoding goes up the axis, -1 where down.
    """

    affine: Array
    shape: tuple[int, int, int]
    echo_spacing_s: float
    pose: Array
    phase_axis: int = 1
    polarity: int = -1

    @property
    def total_readout_s(self) -> float:
        """Time from the centre of the first echo to that of the last, s."""
        return self.echo_spacing_s * (self.shape[self.phase_axis] - 1)

    @property
    def phase_direction(self) -> str:
        """Phase encoding as BIDS writes it."""
        return "ijk"[self.phase_axis] + ("-" if self.polarity < 0 else "")

    def centre_mm(self) -> Array:
        """Centre of the field of view in scanner mm: the point about which motion rotates."""
        return apply_affine(self.affine, (np.array(self.shape) - 1.0) / 2.0)

    def head_to_scanner(self, motion: Array) -> Array:
        """T1w mm to scanner mm for one row of motion parameters, shape (4, 4)."""
        return rigid_matrix(motion, self.centre_mm()) @ self.pose

    def points_in_head(self, points: Array) -> Array:
        """Scanner mm to T1w mm, head as in the first volume."""
        return apply_affine(np.linalg.inv(self.head_to_scanner(np.zeros(6))), points)


def dwi_volumes(
    model: SignalModel,
    scan: DwiScan,
    gradients: ScannerGradients,
    motion: Array,
    field_hz: Array,
    snr: float,
    rng: np.random.Generator,
) -> Iterator[NDArray[np.int16]]:
    """Acquire a series volume by volume.

    The head turns under gradients that stay as the scanner sets them. The field stays with the scanner: it is that of
    the first volume.

    Parameters
    ----------
    model : SignalModel
    scan : DwiScan
    gradients : ScannerGradients
    motion : array, shape (n_volumes, 6)
        Pose of the head relative to the first volume: mm and rad.
    field_hz : array, shape of the scan
        Off-resonance on the undistorted grid.
    snr : float
        White matter at b = 0 over the noise of one channel; infinite for none.
    rng : numpy Generator

    Yields
    ------
    array of int16, shape (nx, ny, nz)
    """
    warped = distortion(field_hz, scan.total_readout_s, scan.phase_axis, scan.polarity)
    points = _sources_mm(scan, warped)
    receive = np.exp(_BIAS_LOG_SD * Ripple(rng, 300.0)(voxel_centres(scan.affine, scan.shape)))
    gain = WM_LEVEL * warped.gain * receive
    voxel = float(np.linalg.norm(scan.affine[:3, 0]))
    fine = float(np.linalg.norm(model.fibres.affine[:3, 0]))
    sigma = max((_POINT_SPREAD * voxel) ** 2 - fine**2, 0.0) ** 0.5 * _FWHM_TO_SIGMA / fine
    to_grid = np.linalg.inv(model.fibres.affine)
    for b_value, direction, row in zip(gradients.b_values, gradients.directions, motion, strict=True):
        pose = scan.head_to_scanner(row)
        signal = gaussian_filter(model(float(b_value), pose[:3, :3].T @ direction).astype(np.float32), sigma)
        at = apply_affine((to_grid @ np.linalg.inv(pose)).astype(np.float32), points)
        volume = gain * map_coordinates(signal, np.moveaxis(at, -1, 0), order=1, output=np.float32)
        if np.isfinite(snr):
            volume = rician(volume, WM_LEVEL / snr, rng)
        yield np.rint(volume).astype(np.int16)


def _sources_mm(scan: DwiScan, warped: Distortion) -> Array:
    """Where in the scanner (mm) the signal of every voxel comes from."""
    index = voxel_centres(np.eye(4), scan.shape)
    index[..., warped.axis] = warped.source
    return apply_affine(scan.affine, index)
