"""Where the brain is in a whole head: affine registration of a skull-stripped template, without a head template.

A plain registration of a brain to a head fits the brain to the skull. Two things prevent it here: the similarity is
counted at the points of the template's brain and of a thin rim around it only (the rim is empty in the template, and
dark in a T1w head, where there are CSF and skull), and the search starts from many poses around the top of the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize

from bids_ai.preprocess.volumes import Array, Mask, largest_component, otsu_threshold, voxel_sizes

Matrix = NDArray[np.float64]

#: Width of the empty rim around the template's brain that takes part, mm: CSF and skull together are wider.
RIM_MM = 10.0
#: Distance from the vertex of the scalp to the middle of the brain in adults, mm.
VERTEX_TO_CENTRE_MM = 78.0
#: Spacing of the points in the global search and in the refinement, mm.
_COARSE_MM, _FINE_MM = 8.0, 5.0
_N_BINS = 24
_N_REFINED = 6
#: Typical step of each parameter: translation mm, rotation rad, log scale, shear.
_STEPS_COARSE = np.r_[np.full(3, 5.0), np.full(3, 0.1), np.full(3, 0.05), np.full(3, 0.03)]
_STEPS_FINE = np.r_[np.full(3, 3.0), np.full(3, 0.05), np.full(3, 0.03), np.full(3, 0.03)]


@dataclass(frozen=True)
class BrainPose:
    """Result of `locate_brain`.

    Attributes
    ----------
    matrix : (4, 4) array
        World coordinates of the template (mm, RAS) to world coordinates of the head.
    mutual_information : float
        At the optimum, nats.
    scale : float
        Cube root of the change of volume from template to head.
    """

    matrix: Matrix
    mutual_information: float
    scale: float


def locate_brain(
    head: Array, affine: Matrix, brain: Array, mask: Mask, template_affine: Matrix, *, sloppy: bool = False
) -> BrainPose:
    """Find the affine transform that puts a skull-stripped template into a head.

    Parameters
    ----------
    head : (nx, ny, nz) array
        T1w image with axes along R, A, S; 2 to 4 mm are enough.
    affine : (4, 4) array
        Of the head.
    brain, mask, template_affine
        Skull-stripped template, its brain mask and affine.
    sloppy : bool
        Coarse points and fewer steps, for tests.

    Returns
    -------
    BrainPose

    Notes
    -----
    Mutual information (Wells 1996, doi 10.1016/S1361-8415(01)80004-9; Collignon 1995) optimised by Powell's method
    from the best of 180 poses, first 9 parameters (translation, rotation, scales), then 12. Deterministic.
    """
    centre = _brain_centre(head, affine)
    coarse = _Similarity(head, affine, brain, mask, template_affine, _COARSE_MM, centre)
    poses = sorted(_starts(), key=coarse)
    found = []
    for pose in poses[: 2 if sloppy else _N_REFINED]:
        result = optimize.minimize(
            lambda x: coarse(np.r_[x * _STEPS_COARSE[:9], np.zeros(3)]),
            pose[:9] / _STEPS_COARSE[:9],
            method="Powell",
            options={"maxiter": 3, "xtol": 0.05, "ftol": 1e-3},
        )
        found.append((float(result.fun), np.r_[result.x * _STEPS_COARSE[:9], np.zeros(3)]))
    best = min(found, key=lambda item: item[0])[1]
    fine = _Similarity(head, affine, brain, mask, template_affine, _COARSE_MM if sloppy else _FINE_MM, centre)
    result = optimize.minimize(
        lambda x: fine(x * _STEPS_FINE),
        best / _STEPS_FINE,
        method="Powell",
        options={"maxiter": 2 if sloppy else 4, "xtol": 0.03, "ftol": 1e-4},
    )
    matrix = fine.matrix(result.x * _STEPS_FINE)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    return BrainPose(matrix, -float(result.fun), scale)


def _starts() -> list[Matrix]:
    """Poses around the top of the head: pitch is what differs most between scans, then height and size."""
    poses = []
    pitches = np.deg2rad([-30, -15, 0, 15, 30])
    for pitch, up, forward, size in product(pitches, (-25, -10, 5, 20), (-15, 0, 15), (-0.2, -0.1, 0.0)):
        pose = np.zeros(12)
        pose[1], pose[2], pose[3], pose[6:9] = forward, up, pitch, size
        poses.append(pose)
    return poses


def _brain_centre(head: Array, affine: Matrix) -> NDArray[np.float64]:
    """World coordinates of the expected centre of the brain: under the vertex, amid the upper 15 cm of the head."""
    sizes = voxel_sizes(affine)
    inside = head > otsu_threshold(head)
    opened = ndimage.binary_opening(inside, iterations=max(1, round(4 / float(sizes.max()))))
    inside = largest_component(opened if opened.any() else inside)
    top = int(np.flatnonzero(inside.any(axis=(0, 1)))[-1])
    bottom = max(0, int(top - 150 / sizes[2]))
    middle = np.array([axis.mean() for axis in np.nonzero(inside[:, :, bottom : top + 1])])
    middle[2] = top - VERTEX_TO_CENTRE_MM / sizes[2]
    return np.asarray(affine[:3, :3] @ middle + affine[:3, 3])


class _Similarity:
    """Negative mutual information of the template's points and the head under a pose."""

    def __init__(
        self,
        head: Array,
        affine: Matrix,
        brain: Array,
        mask: Mask,
        template_affine: Matrix,
        step_mm: float,
        centre: NDArray[np.float64],
    ) -> None:
        points, values = _template_points(brain, mask, template_affine, step_mm)
        self.middle = points.mean(axis=0)
        self.points = points - self.middle
        self.centre = centre
        self.codes = _N_BINS * np.clip(values / values.max() * (_N_BINS - 1), 0, _N_BINS - 1).astype(int)
        sizes = voxel_sizes(affine)
        smooth = ndimage.gaussian_filter(head, step_mm / 2.355 / sizes)
        # Fat is brighter than white matter: the scale comes from the middle of the brain, not from the head.
        grid = np.indices(head.shape, dtype=np.float32)
        voxel = np.linalg.inv(affine) @ np.r_[centre, 1]
        squared = sum(((grid[k] - voxel[k]) * sizes[k]) ** 2 for k in range(3))
        inner = smooth[squared < 55.0**2]
        high = 1.25 * np.percentile(inner if inner.size else smooth, 95)
        self.image = np.clip(smooth / max(float(high), 1e-12) * (_N_BINS - 1), 0, _N_BINS - 1)
        self.to_voxel = np.linalg.inv(affine)

    def matrix(self, pose: Matrix) -> Matrix:
        linear, shift = _pose_matrix(pose), pose[:3] + self.centre
        out = np.eye(4)
        out[:3, :3] = linear
        out[:3, 3] = shift - linear @ self.middle
        return out

    def __call__(self, pose: Matrix) -> float:
        world = self.points @ _pose_matrix(pose).T + pose[:3] + self.centre
        voxels = world @ self.to_voxel[:3, :3].T + self.to_voxel[:3, 3]
        sampled = ndimage.map_coordinates(self.image, voxels.T, order=1, mode="constant", cval=0.0)
        joint = np.bincount(self.codes + np.rint(sampled).astype(int), minlength=_N_BINS**2)
        joint = ndimage.gaussian_filter(joint.reshape(_N_BINS, _N_BINS).astype(float), 0.7)
        joint /= joint.sum()
        return -(_entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint))


def _entropy(p: Matrix) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _template_points(brain: Array, mask: Mask, affine: Matrix, step_mm: float) -> tuple[NDArray[np.float64], Array]:
    """Points of the brain and its rim on a grid of `step_mm`: world coordinates and smoothed intensities."""
    sizes = voxel_sizes(affine)
    margin = np.ceil((RIM_MM + 2) / sizes).astype(int)
    width = [(m, m) for m in margin]
    padded = ndimage.gaussian_filter(np.pad(np.where(mask, brain, 0), width), step_mm / 2.355 / sizes)
    distance = ndimage.distance_transform_edt(~np.pad(mask, width), sampling=sizes)
    axes = [np.arange(0, n, step_mm / size) for n, size in zip(padded.shape, sizes, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)
    near = ndimage.map_coordinates(distance, voxels.T, order=1) <= RIM_MM
    voxels = voxels[near]
    values = ndimage.map_coordinates(padded, voxels.T, order=1)
    return (voxels - margin) @ affine[:3, :3].T + affine[:3, 3], np.asarray(values, np.float32)


def _pose_matrix(pose: Matrix) -> Matrix:
    x, y, z = pose[3:6]
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    shear = np.eye(3)
    shear[0, 1], shear[0, 2], shear[1, 2] = pose[9:12]
    return np.asarray(about_x @ about_y @ about_z @ np.diag(np.exp(pose[6:9])) @ shear)
