"""Tractography: probabilistic streamlines from the grey-white interface, held to anatomy, by one of several engines.

An engine turns fibre orientations and tissue maps into streamlines. What a valid streamline is does not depend on the
engine: both ends at grey matter, length within limits, no way through CSF (Smith et al. 2012,
doi:10.1016/j.neuroimage.2012.06.005).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis, n_coefficients
from bids_ai.connectome.streamlines import Streamlines, to_voxels
from bids_ai.errors import InputError

#: A seed lies where grey and white matter differ by less than that, and fill at least half.
_INTERFACE_BALANCE = 0.4
#: An end counts as grey matter if so much of it is within a voxel.
_END_GREY = 0.5
#: CSF above which a streamline has left the brain's tissue.
_THROUGH_CSF = 0.5


@dataclass(frozen=True)
class TrackingSettings:
    """How to track; the same for every engine.

    Attributes
    ----------
    n_streamlines : int
        Valid ones wanted.
    seeds_per_streamline : float
        Give up after so many seeds per streamline wanted.
    algorithm : {"deterministic", "probabilistic"}
        At each step follow the nearest peak of the FOD, or draw from it. A connectome asks for few false bundles, and
        drawing makes more of them: where bundles run side by side a drawn way changes from one to the other (Sarwar et
        al. 2019, doi:10.1002/mrm.27471). First directions at a seed are always drawn.
    step_mm : float or None
        None is half a voxel (Tournier et al. 2012).
    max_angle_deg : float
        Between successive steps, at half a voxel per step; wider steps may turn more, in proportion, at most 60.
    min_length_mm, max_length_mm : float
        Short association fibres are 15 to 30 mm long (Schuez & Braitenberg 2002); the longest human fibres between
        cortical regions are about 250 mm.
    cutoff : float
        Part of the typical FOD peak of white matter below which there is no fibre.
    n_threads : int
    """

    n_streamlines: int = 100_000
    seeds_per_streamline: float = 20.0
    algorithm: Literal["deterministic", "probabilistic"] = "deterministic"
    step_mm: float | None = None
    max_angle_deg: float = 20.0
    min_length_mm: float = 20.0
    max_length_mm: float = 250.0
    cutoff: float = 0.1
    n_threads: int = 1


@dataclass(frozen=True)
class FibreField:
    """What an engine tracks through, all on one grid.

    Attributes
    ----------
    fod : (nx, ny, nz, n_coefficients) array
        Harmonics in world axes, see `diffusion_models.Orientations`.
    order : int
    wm, gm, csf : (nx, ny, nz) array
        Parts of the voxel, 0 to 1.
    affine : (4, 4) array
        Voxel to world, mm.
    """

    fod: FloatArray
    order: int
    wm: FloatArray
    gm: FloatArray
    csf: FloatArray
    affine: FloatArray

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together, or maps without an interface.

        Raises
        ------
        InputError
        """
        shape = self.fod.shape[:3]
        if self.fod.shape != (*shape, n_coefficients(self.order)) or any(
            image.shape != shape for image in (self.wm, self.gm, self.csf)
        ):
            raise InputError(
                f"FOD {self.fod.shape} of order {self.order} and tissue maps {self.wm.shape}, {self.gm.shape}, "
                f"{self.csf.shape} do not share a grid."
            )
        if not np.isfinite(self.fod).all():
            raise InputError("The FODs hold values that are not finite; they should be zero where nothing was fitted.")

    @property
    def voxel_mm(self) -> FloatArray:
        """Edges of a voxel."""
        return np.linalg.norm(self.affine[:3, :3], axis=0)


@dataclass(frozen=True)
class Tracking:
    """Streamlines and how they came about.

    Attributes
    ----------
    streamlines : Streamlines
    n_seeds : int
        Tried.
    rejected : dict of int
        Streamlines left out, by reason.
    engine, settings
    notes : tuple of str
    """

    streamlines: Streamlines
    n_seeds: int
    rejected: dict[str, int]
    engine: str
    settings: TrackingSettings
    notes: tuple[str, ...] = ()


class Engine(Protocol):
    """A tractography program."""

    name: str

    def missing(self) -> str | None:
        """Say what must be installed for it, or None if it can run."""

    def track(self, field: FibreField, settings: TrackingSettings, seed: int) -> Tracking:
        """Track; the same seed gives the same streamlines."""


def interface_weights(field: FibreField) -> FloatArray:
    """Probability of a seed in each voxel, unnormalised: where grey and white matter mix or meet, and fibres are."""
    # A voxel of a hard segmentation is never mixed; a blur of half a voxel makes the border visible to both kinds.
    grey, white = (ndimage.gaussian_filter(np.asarray(image, float), 0.5) for image in (field.gm, field.wm))
    weights = np.minimum(grey, white)
    weights[(weights < 0.1) | (field.fod[..., 0] <= 0)] = 0
    return np.asarray(weights)


def interface_seeds(field: FibreField, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw world points at the grey-white interface, (n, 3), or none where tissues do not meet.

    Points are drawn in mixed voxels and kept where the interpolated maps are balanced.
    """
    weights = interface_weights(field)
    voxels = np.argwhere(weights > 0)
    if not len(voxels):
        return np.zeros((0, 3))
    share = weights[weights > 0] / weights.sum()
    found: list[FloatArray] = []
    for _ in range(50):
        points = voxels[rng.choice(len(voxels), 2 * n, p=share)] + rng.uniform(-0.5, 0.5, (2 * n, 3))
        grey, white = (ndimage.map_coordinates(image, points.T, order=1) for image in (field.gm, field.wm))
        found.append(points[(np.abs(grey - white) < _INTERFACE_BALANCE) & (grey + white > 0.5)])
        if sum(map(len, found)) >= n:
            break
    seeds = np.concatenate(found)[:n]
    return np.asarray(seeds @ field.affine[:3, :3].T + field.affine[:3, 3])


def peak_amplitudes(fod: FloatArray, order: int) -> FloatArray:
    """Largest amplitude of each FOD, (nx, ny, nz)."""
    values = basis(axes_on_sphere(), order)
    # Plane by plane: the amplitudes of a whole image would take gigabytes.
    return np.stack([(plane @ values.T).max(axis=-1) for plane in fod])


def typical_peak(peaks: FloatArray, wm: FloatArray) -> float:
    """Median peak of nearly pure white matter, or the largest peak where there is none."""
    white = (wm > 0.9) & (peaks > 0)
    return float(np.median(peaks[white])) if white.any() else float(peaks.max())


def judge(
    lines: Streamlines, field: FibreField, settings: TrackingSettings
) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    """Tell which streamlines are valid, and count the others by the first reason that applies.

    Returns
    -------
    valid : (n_streamlines,) bool array
    rejected : dict of int
        "too short", "too long", "end not at grey matter", "through CSF".
    """
    lengths = lines.lengths_mm
    # Grey matter anywhere within a voxel of the end: maps are as coarse as the diffusion images.
    grey = ndimage.maximum_filter(np.asarray(field.gm, float), size=3)
    ends = [ndimage.map_coordinates(grey, to_voxels(p, field.affine).T, order=0) for p in (lines.first, lines.last)]
    csf = ndimage.map_coordinates(np.asarray(field.csf, np.float32), to_voxels(lines.points, field.affine).T, order=1)
    wettest = np.maximum.reduceat(csf, lines.offsets[:-1]) if len(lines) else np.zeros(0)
    faults = {
        "too short": lengths < settings.min_length_mm,
        "too long": lengths > settings.max_length_mm,
        "end not at grey matter": np.minimum(*ends) < _END_GREY,
        "through CSF": wettest > _THROUGH_CSF,
    }
    return _first_fault(faults, len(lines))


def _first_fault(faults: Mapping[str, npt.NDArray[Any]], n: int) -> tuple[npt.NDArray[np.bool_], dict[str, int]]:
    valid, rejected = np.ones(n, bool), {}
    for reason, faulty in faults.items():
        rejected[reason] = int((valid & faulty).sum())
        valid &= ~faulty
    return valid, rejected
