"""Resting BOLD of a known network, painted into the grey matter of a phantom that moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, find_objects, gaussian_filter

from bids_ai.simulate.head import sample
from bids_ai.simulate.phantom import Phantom, rician, voxel_centres
from bids_ai.simulate.shapes import Ripple
from bids_ai.simulate.warp import apply_affine, rigid_matrix

Array = NDArray[np.floating]

#: Grey value of grey matter: noise spans a few integers, and the files stay small.
_GM_LEVEL = 200.0
#: Resolution of the maps of sources, mm: they are blurred by the point spread and need no more.
_SOURCE_GRID_MM = 3.0
#: Full width of the point spread of EPI, in voxels.
_POINT_SPREAD = 0.9
#: Excess signal of the first volumes, before the magnetisation is steady.
_NON_STEADY_GAIN = (1.45, 1.12)
_FWHM_TO_SIGMA = 1.0 / 2.3548


@dataclass(frozen=True)
class NoiseLevels:
    """What disturbs the signal; percent are standard deviations relative to the local mean.

    Attributes
    ----------
    thermal_snr : float
        Grey-matter signal over the noise of one channel; infinite for none.
    drift_percent, global_percent, pulsation_percent : float
        Scanner drift, brain-wide (respiratory) fluctuation, and cardiac pulsation of CSF.
    """

    thermal_snr: float = 85.0
    drift_percent: float = 0.7
    global_percent: float = 0.22
    pulsation_percent: float = 1.2


NOISELESS = NoiseLevels(np.inf, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class BoldScan:
    """The acquisition of one run.

    Attributes
    ----------
    affine : array, shape (4, 4)
        Voxel to scanner mm.
    shape : 3 ints
    n_frames : int
    repetition_time_s : float
    slice_times_s : array, shape (n_slices,), optional
        When each slice is read after the start of a frame; None reads the volume at once, at mid-frame.
    non_steady : int
        Number of first volumes brighter than the steady state (0 to 2).
    pose : array, shape (4, 4)
        Rigid move of the head from the T1w image to the first frame, scanner mm.
    """

    affine: Array
    shape: tuple[int, int, int]
    n_frames: int
    repetition_time_s: float
    slice_times_s: Array | None = None
    non_steady: int = 0
    pose: Array | None = None

    def readout_times(self) -> Array:
        """Seconds from the start of the run at which slices are read, shape (n_frames, n_slices)."""
        within = (
            np.full(self.shape[2], self.repetition_time_s / 2.0) if self.slice_times_s is None else self.slice_times_s
        )
        return np.arange(self.n_frames)[:, None] * self.repetition_time_s + within[None, :]

    def frame_times(self) -> Array:
        """Middle of every frame, s: the times of the true region series."""
        return (np.arange(self.n_frames) + 0.5) * self.repetition_time_s

    def centre_mm(self) -> Array:
        """Centre of the field of view in scanner mm: the point about which motion rotates."""
        return apply_affine(self.affine, (np.array(self.shape) - 1.0) / 2.0)

    def head_to_scanner(self, motion: Array) -> Array:
        """T1w mm to scanner mm for one row of motion parameters, shape (4, 4)."""
        pose = np.eye(4) if self.pose is None else self.pose
        return rigid_matrix(motion, self.centre_mm()) @ pose


@dataclass(frozen=True)
class SourceMaps:
    """What of each source a voxel sees, in the frame of the T1w image.

    Attributes
    ----------
    epi : array, shape (nx, ny, nz)
        Blurred EPI signal of the still head, grey matter = 1.
    epi_affine : array, shape (4, 4)
    weights : array, shape (mx, my, mz, n_regions + 2)
        Share of the voxel in each parcel's grey matter, then brain-wide, then CSF.
    weights_affine : array, shape (4, 4)
    """

    epi: Array
    epi_affine: Array
    weights: Array
    weights_affine: Array


def source_maps(phantom: Phantom, labels: NDArray[np.integer], n_regions: int, voxel_mm: float) -> SourceMaps:
    """Blur anatomy and parcels to what an EPI of the given voxel size sees.

    Parameters
    ----------
    phantom : Phantom
    labels : array of int, shape of the phantom
        Parcels 1..n_regions, 0 outside.
    n_regions : int
    voxel_mm : float
        Voxel size of the BOLD.

    Returns
    -------
    SourceMaps
    """
    width = max((_POINT_SPREAD * voxel_mm) ** 2 - phantom.voxel_mm**2, 0.0) ** 0.5
    sigma = width * _FWHM_TO_SIGMA / phantom.voxel_mm
    step = max(round(_SOURCE_GRID_MM / phantom.voxel_mm), 1)
    grey = phantom.fractions["GM"]
    coarse_shape = tuple(-(-n // step) for n in labels.shape)
    weights = np.zeros((*coarse_shape, n_regions + 2), np.float32)
    for region, box in enumerate(find_objects(labels, max_label=n_regions)):
        if box is not None:
            _add_blurred(weights[..., region], labels, grey, region + 1, box, sigma, step)
    everywhere = grey + np.float32(0.6) * phantom.fractions["WM"]
    for column, part in ((n_regions, everywhere), (n_regions + 1, phantom.fractions["CSF"])):
        weights[..., column] = gaussian_filter(part, sigma)[::step, ::step, ::step]
    coarse_affine = phantom.affine @ np.diag([step, step, step, 1.0])
    return SourceMaps(gaussian_filter(phantom.epi, sigma), phantom.affine, weights, coarse_affine)


def bold_frames(
    maps: SourceMaps,
    scan: BoldScan,
    percent: Array,
    motion: Array,
    rng: np.random.Generator,
    noise: NoiseLevels | None = None,
) -> Iterator[NDArray[np.int16]]:
    """Acquire a run frame by frame.

    Parameters
    ----------
    maps : SourceMaps
    scan : BoldScan
    percent : array, shape (n_frames, n_slices, n_regions)
        Region series in percent signal change at the readout times of the scan.
    motion : array, shape (n_frames, 6)
        Head pose relative to the first frame: mm and rad.
    rng : numpy Generator
    noise : NoiseLevels, optional

    Yields
    ------
    array of int16, shape (nx, ny, nz)
    """
    noise = noise or NoiseLevels()
    sources = np.concatenate([percent, _nuisance(scan, noise, rng)], axis=2).astype(np.float32)
    field = _GM_LEVEL * np.exp(0.1 * Ripple(rng, 300.0)(voxel_centres(scan.affine, scan.shape)))
    drift = _Drift(scan, noise.drift_percent, rng)
    painter = _Painter(maps, scan)
    for frame in range(scan.n_frames):
        to_head = np.linalg.inv(scan.head_to_scanner(motion[frame])) @ scan.affine
        volume = _resample(maps.epi, np.linalg.inv(maps.epi_affine) @ to_head, scan.shape) * field
        volume[painter.where] *= 1.0 + painter(to_head, sources[frame]) / 100.0
        volume *= drift(frame)
        if frame < scan.non_steady:
            volume *= _NON_STEADY_GAIN[frame]
        yield np.rint(_magnitude(volume, noise, rng)).astype(np.int16)


def in_scan(volume: Array, affine: Array, scan: BoldScan, *, order: int = 1) -> Array:
    """A volume of the T1w frame as the first frame of a scan sees it, shape `scan.shape`."""
    points = apply_affine(np.linalg.inv(scan.head_to_scanner(np.zeros(6))), voxel_centres(scan.affine, scan.shape))
    return sample(volume, affine, points, order=order)


class _Drift:
    """Slow multiplicative drift: cosines as long as the run or longer, their amplitude smooth over space."""

    def __init__(self, scan: BoldScan, percent: float, rng: np.random.Generator) -> None:
        centred = voxel_centres(scan.affine, scan.shape) - scan.centre_mm().astype(np.float32)
        amplitudes = rng.standard_normal((2, 4)) * np.array([1.0, 0.4, 0.4, 0.4]) * percent / 100.0
        time = (np.arange(scan.n_frames) + 0.5) / scan.n_frames
        self.maps = [(a[0] + centred @ (a[1:] / 100.0).astype(np.float32)).astype(np.float32) for a in amplitudes]
        self.courses = np.stack([np.cos(np.pi * (order + 1) * time) / (order + 1) for order in range(2)])

    def __call__(self, frame: int) -> Array:
        courses = self.courses[:, frame].astype(np.float32)
        return 1.0 + sum(course * part for course, part in zip(courses, self.maps, strict=True))


class _Painter:
    """Percent signal change of the voxels that see any source, for any pose of the head.

    Slices are read at different times, so every slice has source values of its own: these are first mixed on
    the grid of the maps for all slices at once, and the mixture is interpolated where each voxel finds itself.
    """

    def __init__(self, maps: SourceMaps, scan: BoldScan) -> None:
        total = maps.weights[..., -2:].sum(axis=-1)
        seen = in_scan(total, maps.weights_affine, scan)
        # Some more than the first pose sees, because the head moves.
        self.voxels = np.argwhere(gaussian_filter(seen, 1.0) > 0.005)
        self.where = tuple(self.voxels.T)
        self.to_map = np.linalg.inv(maps.weights_affine)
        self.map_shape = total.shape
        active = np.flatnonzero(total.ravel() > 1e-4)
        self.weights = maps.weights.reshape(-1, maps.weights.shape[-1])[active]
        self.row = np.full(total.size, len(active))
        self.row[active] = np.arange(len(active))
        self.column = np.zeros(len(self.voxels), np.intp) if scan.slice_times_s is None else self.voxels[:, 2]

    def __call__(self, to_head: Array, sources: Array) -> Array:
        """Percent change; `to_head` is voxel to T1w mm, `sources` (n_slices, n_sources)."""
        if not self.column.any():
            sources = sources[:1]
        mixed = np.vstack([self.weights @ sources.T, np.zeros((1, len(sources)), np.float32)])
        at = apply_affine(self.to_map @ to_head, self.voxels.astype(float))
        low = np.clip(np.floor(at).astype(np.intp), 0, np.array(self.map_shape) - 2)
        part = np.clip(at - low, 0.0, 1.0).astype(np.float32)
        first = np.ravel_multi_index(tuple(low.T), self.map_shape)
        strides = np.array([self.map_shape[1] * self.map_shape[2], self.map_shape[2], 1])
        change = np.zeros(len(self.voxels), np.float32)
        for corner in np.ndindex(2, 2, 2):
            weight = np.ones(len(first), np.float32)
            for axis, far in enumerate(corner):
                weight *= part[:, axis] if far else 1.0 - part[:, axis]
            change += weight * mixed[self.row[first + strides @ corner], self.column]
        return change


def _add_blurred(
    out: Array,
    labels: NDArray[np.integer],
    grey: Array,
    label: int,
    box: tuple[slice, ...],
    sigma: float,
    step: int,
) -> None:
    """Write the blurred grey matter of one parcel, worked out only around it."""
    margin = int(np.ceil(4.0 * sigma)) + 1
    wide = tuple(
        slice(max((side.start - margin) // step, 0) * step, min(side.stop + margin, n))
        for side, n in zip(box, labels.shape, strict=True)
    )
    part = gaussian_filter(np.where(labels[wide] == label, grey[wide], np.float32(0.0)), sigma)
    thin = part[::step, ::step, ::step]
    at = tuple(slice(side.start // step, side.start // step + n) for side, n in zip(wide, thin.shape, strict=True))
    out[at] = thin


def _nuisance(scan: BoldScan, noise: NoiseLevels, rng: np.random.Generator) -> Array:
    """Brain-wide and CSF series (percent) at the readout times, shape (n_frames, n_slices, 2)."""
    times = scan.readout_times()
    slow = sum(
        np.cos(2.0 * np.pi * frequency * times + rng.uniform(0.0, 2.0 * np.pi))
        for frequency in rng.uniform(0.008, 0.08, 8)
    )
    breathing = np.cos(2.0 * np.pi * 0.28 * times + 2.5 * np.sin(2.0 * np.pi * 0.011 * times))
    heart = np.cos(2.0 * np.pi * 1.07 * times + 4.0 * np.sin(2.0 * np.pi * 0.017 * times))
    brain_wide = noise.global_percent * (0.9 * slow / 2.0 + 0.4 * breathing * np.sqrt(2.0))
    return np.stack([brain_wide, noise.pulsation_percent * np.sqrt(2.0) * heart], axis=-1)


def _resample(volume: Array, matrix: Array, shape: tuple[int, int, int]) -> Array:
    return affine_transform(volume, matrix[:3, :3], matrix[:3, 3], shape, order=1, output=np.float32)


def _magnitude(volume: Array, noise: NoiseLevels, rng: np.random.Generator) -> Array:
    if np.isinf(noise.thermal_snr):
        return volume
    return rician(volume, _GM_LEVEL / noise.thermal_snr, rng)
