"""A folded brain given by a formula: a T1w scan, an EPI run with known motion, a template with a known transform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter

from bids_ai.preprocess.bold_geometry import apply_matrix, fwhm_to_sigma, grid_points, sample, save, write_itk_affine
from bids_ai.preprocess.func_inputs import BoldInputs
from bids_ai.preprocess.motion import rigid_matrix

AXES = np.array([62.0, 78.0, 56.0])  # mm
T1W_VALUES = np.array([0.0, 70.0, 100.0, 25.0])  # outside, GM, WM, CSF
EPI_VALUES = np.array([0.0, 1000.0, 850.0, 1350.0])
TR = 2.0
Image = tuple[np.ndarray, np.ndarray]  # data, affine


def labels_at(points: np.ndarray) -> np.ndarray:
    """0 outside, 1 GM, 2 WM, 3 CSF at T1w points (n, 3): folded cortex, two unequal ventricles, a rim of CSF."""
    unit = points / AXES
    radius = np.linalg.norm(unit, axis=1)
    x, y, z = (unit / np.maximum(radius, 1e-6)[:, None]).T
    folds = 0.07 * (np.sin(9 * x + 1) * np.cos(8 * y) + np.sin(7 * z + 2 * x)) + 0.04 * x * y
    label = np.zeros(len(points), np.int16)
    label[radius < 1] = 3
    label[radius < 0.95] = 1
    label[radius < 0.74 + folds] = 2
    for centre, size in (((-14, 5, 8), (8, 26, 9)), ((15, 2, 8), (9, 28, 10))):
        label[(((points - centre) / size) ** 2).sum(axis=1) < 1] = 3
    return label


def left_grey(points: np.ndarray) -> np.ndarray:
    return (labels_at(points) == 1) & (points[:, 0] < -5)


def grid(shape: tuple[int, int, int], size: tuple[float, float, float], turn_deg: float = 0.0) -> np.ndarray:
    """Affine of a grid centred on the brain, turned about x."""
    affine = np.diag([*size, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * np.array(size)
    return rigid_matrix(np.array([0, 0, 0, np.deg2rad(turn_deg), 0, 0]), np.zeros(3)) @ affine


def fine_image(values: np.ndarray, width: float, where: Callable[[np.ndarray], np.ndarray] | None = None) -> Image:
    """Intensities on a 1.5 mm grid, blurred to voxels of `width` mm.

    A voxel is an average: points read off the sharp formula would alias, and spoil the known motion by 0.1 degrees.
    """
    shape = (96, 118, 88)
    affine = grid(shape, (1.5, 1.5, 1.5))
    points = grid_points(shape, affine)
    sharp = values[labels_at(points)] * (1.0 if where is None else where(points))
    smooth = gaussian_filter(sharp.reshape(shape).astype(np.float32), fwhm_to_sigma(width, affine))
    return smooth, affine


@dataclass(frozen=True)
class Phantom:
    inputs: BoldInputs
    motion: np.ndarray  # (n_times, 4, 4): point of frame 0 -> point of frame t
    bold_to_t1w: np.ndarray  # as it would be from the position of frame 0
    template_to_t1w: np.ndarray
    signal: np.ndarray  # (n_times,), of the left grey matter, relative
    bold_affine: np.ndarray


def known_motion(n_times: int, centre: np.ndarray) -> np.ndarray:
    """Slow drift, and a nod of 1.5 mm and 1.5 degrees from the middle on."""
    moments = np.linspace(0, 1, n_times)
    parameters = np.zeros((n_times, 6))
    parameters[:, 0] = 0.6 * np.sin(3 * moments)
    parameters[:, 5] = np.deg2rad(0.7) * moments
    parameters[n_times // 2 :, 2] += 1.5
    parameters[n_times // 2 :, 3] += np.deg2rad(1.5)
    return np.array([rigid_matrix(p, centre) for p in parameters])


def make_phantom(folder: Path, *, n_times: int = 24, n_dummy: int = 2, seed: int = 0) -> Phantom:
    rng = np.random.default_rng(seed)
    t1w_shape, t1w_size = (56, 68, 52), 2.5
    t1w_affine = grid(t1w_shape, (t1w_size,) * 3)
    points = grid_points(t1w_shape, t1w_affine)
    dseg = labels_at(points).reshape(t1w_shape)
    t1w = fine_image(T1W_VALUES, t1w_size)
    brain = sample(*t1w, points).reshape(t1w_shape) * (dseg > 0)
    brain[dseg > 0] += rng.normal(0, 2, int((dseg > 0).sum()))
    save(folder / "brain.nii.gz", brain.astype(np.float32), t1w_affine)
    save(folder / "mask.nii.gz", (dseg > 0).astype(np.uint8), t1w_affine)
    save(folder / "dseg.nii.gz", dseg, t1w_affine)

    template_to_t1w = np.diag([0.95, 0.95, 0.95, 1.0])
    template_to_t1w[:3, 3] = (2.0, -4.0, 3.0)
    in_t1w = apply_matrix(template_to_t1w, points)
    save(folder / "tpl.nii.gz", sample(*t1w, in_t1w).reshape(t1w_shape), t1w_affine)
    save(folder / "tplmask.nii.gz", (labels_at(in_t1w) > 0).astype(np.uint8).reshape(t1w_shape), t1w_affine)
    write_itk_affine(folder / "t1w_to_template.txt", template_to_t1w)

    # The x axis of the run is flipped and its slices are oblique, as scanners write them.
    shape, size = (40, 48, 34), (-4.0, 4.0, 4.0)
    bold_affine = grid(shape, size, turn_deg=8.0)
    bold_to_t1w = rigid_matrix(np.array([2.0, -3.0, 2.5, 0.03, -0.02, 0.04]), np.zeros(3))
    centre = apply_matrix(bold_affine, (np.array(shape)[None] - 1) / 2)[0]
    motion = known_motion(n_times, centre)
    signal = 0.03 * np.sin(2 * np.pi * np.arange(n_times) * TR / 16)
    saturation = np.ones(n_times)
    saturation[:n_dummy] = np.linspace(1.25, 1.1, n_dummy) if n_dummy else 1
    voxels = grid_points(shape, bold_affine)
    epi, active = fine_image(EPI_VALUES, size[1]), fine_image(EPI_VALUES, size[1], left_grey)
    run = np.zeros((*shape, n_times), np.float32)
    for time in range(n_times):
        seen = apply_matrix(bold_to_t1w @ np.linalg.inv(motion[time]), voxels)
        image = sample(*epi, seen) + signal[time] * sample(*active, seen)
        noise = rng.normal(0, 8, len(voxels))
        run[..., time] = (image * saturation[time] + noise + 20).reshape(shape)
    nib.save(nib.Nifti1Image(run, bold_affine), folder / "bold.nii.gz")
    inputs = BoldInputs(
        bold=folder / "bold.nii.gz",
        tr=TR,
        slice_timing=None,
        slice_encoding=None,
        t1w_brain=folder / "brain.nii.gz",
        t1w_mask=folder / "mask.nii.gz",
        t1w_dseg=folder / "dseg.nii.gz",
        t1w_to_template=folder / "t1w_to_template.txt",
        template_t1w=folder / "tpl.nii.gz",
        template_mask=folder / "tplmask.nii.gz",
        template_space="Phantom",
    )
    return Phantom(inputs, motion, bold_to_t1w, template_to_t1w, signal, bold_affine)
