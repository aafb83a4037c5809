"""A whole head around the bundled template's brain, for tests: CSF, bone, scalp and a piece of muscle."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_ai.preprocess import volumes
from bids_ai.preprocess.templates import Template, bundled_template


@dataclass(frozen=True)
class Head:
    """Arrays on one grid, and the affine from template world to head world."""

    t1w: NDArray[np.float32]
    affine: NDArray[np.float64]
    mask: NDArray[np.bool_]
    gm: NDArray[np.float32]
    wm: NDArray[np.float32]
    pose: NDArray[np.float64]

    def save(self, path: Path) -> Path:
        nib.save(nib.Nifti1Image(self.t1w, self.affine), path)
        return path


def pose_matrix(pitch_deg: float, scale: float, shift_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Rotation about x, uniform scaling, then translation."""
    angle = np.deg2rad(pitch_deg)
    pose = np.eye(4)
    pose[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    pose[:3, :3] *= scale
    pose[:3, 3] = shift_mm
    return pose


def read_template(template: Template) -> dict[str, NDArray[np.float32]]:
    return {
        key: np.asarray(nib.load(getattr(template, key)).dataobj, np.float32) for key in ("t1w", "mask", "gm", "wm")
    }


@cache
def make_head(
    folder: Path,
    mm: float = 4.0,
    pitch_deg: float = 8.0,
    scale: float = 0.94,
    shift_mm: tuple[float, float, float] = (3.0, -5.0, 12.0),
    noise: float = 0.02,
) -> Head:
    """Build a head; the layers are 3 mm of CSF, 5 mm of bone, 7 mm of scalp, and a neck of muscle."""
    template = bundled_template(folder, 2.0)
    grid = nib.load(template.t1w).affine
    parts = read_template(template)
    margin = 20
    padded = {key: np.pad(value, margin) for key, value in parts.items()}
    corner = grid.copy()
    corner[:3, 3] -= grid[:3, :3] @ np.full(3, margin)
    brain = padded["mask"] > 0.5
    outside = ndimage.distance_transform_edt(~volumes.closing(brain, 12.0, 2.0), sampling=2.0)
    head = np.zeros(brain.shape, np.float32)
    z = np.indices(brain.shape)[2]
    neck = (outside < 60) & (z < np.flatnonzero(brain.any((0, 1)))[0] + 12) & (z > 4)
    head[ndimage.binary_opening(neck, iterations=2)] = 0.55
    head[outside < 15] = 1.1
    head[outside < 8] = 0.08
    head[outside < 3] = 0.22
    head = np.where(brain, 0.22 + 0.5 * padded["gm"] + 0.78 * padded["wm"], head).astype(np.float32)
    pose = pose_matrix(pitch_deg, scale, shift_mm)
    shape = tuple(int(n) for n in np.ceil(np.array([190, 230, 230]) / mm))
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = [-95, -120, -95]

    def image(data: NDArray[np.float32]) -> NDArray[np.float32]:
        smooth = ndimage.gaussian_filter(data, mm / 2.355 / 2)
        return volumes.resample(smooth, corner, shape, affine, moved=pose)

    rng = np.random.default_rng(7)
    t1w = np.abs(image(head) + noise * rng.standard_normal(shape)) * 500
    return Head(
        t1w.astype(np.float32),
        affine,
        image(brain.astype(np.float32)) > 0.5,
        image(padded["gm"]),
        image(padded["wm"]),
        pose,
    )
