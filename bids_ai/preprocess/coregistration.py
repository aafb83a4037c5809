"""Rigid registration of the BOLD reference to the T1w image: mutual information, then the white-matter boundary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage, optimize

from bids_ai.antspy import register
from bids_ai.errors import InputError
from bids_ai.preprocess.bold_geometry import (
    ants_image,
    apply_matrix,
    fwhm_to_sigma,
    grid_points,
    inside_grid,
    read_itk_affine,
    sample,
    voxel_sizes,
)
from bids_ai.preprocess.motion import rigid_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY, WHITE = 1, 2  # labels of the tissue segmentation (BIDS: 1 GM, 2 WM, 3 CSF)
NORMAL_DISTANCE = 2.0  # mm on either side of the boundary; about half the cortical thickness
SLOPE = 0.5  # per percent of contrast; Greve & Fischl 2009
MAX_BOUNDARY_POINTS = 15_000
MIN_BOUNDARY_POINTS = 200
# The boundary is a refinement: an answer further than this (mm, mean over the points) from mutual information
# is not believed.
MAX_REFINEMENT = 8.0
MIN_OVERLAP = 0.2


def overlap_fraction(
    bold_shape: tuple[int, ...],
    bold_affine: NDArray[Any],
    t1w_mask: NDArray[Any],
    t1w_affine: NDArray[Any],
) -> float:
    """Part of the T1w brain that lies within the field of view of the BOLD run, by the headers alone."""
    points = grid_points(t1w_mask.shape, t1w_affine, t1w_mask)[::50]
    if len(points) == 0:
        raise InputError("The T1w brain mask is empty; look at the brain extraction.")
    voxels = apply_matrix(np.linalg.inv(bold_affine), points).T
    return float(inside_grid(voxels, bold_shape).mean())


def check_overlap(fraction: float) -> None:
    """Refuse a BOLD run that does not see the T1w brain.

    Raises
    ------
    InputError
        If less than a fifth of the brain lies in the field of view.
    """
    if fraction < MIN_OVERLAP:
        raise InputError(
            f"BOLD and T1w must overlap in scanner space: {fraction:.0%} of the T1w brain lies in the BOLD "
            "field of view, at least "
            f"{MIN_OVERLAP:.0%} is needed. The headers (sform/qform) of one of the two were altered, or "
            "they are of two people."
        )


def normalised_mutual_information(first: NDArray[Any], second: NDArray[Any], bins: int = 32) -> float:
    """Studholme's (H(a) + H(b)) / H(a, b), between 1 (independent) and 2 (equal); doi:10.1016/S0031-3203(98)00091-0.

    Parameters
    ----------
    first, second : arrays of shape (n,)
        Values at the same points. Each is cut at its 1st and 99th percentile before binning.
    bins : int
    """

    def clip(values: NDArray[Any]) -> NDArray[Any]:
        low, high = np.percentile(values, [1, 99])
        return np.clip(values, low, high)

    joint, _, _ = np.histogram2d(clip(first), clip(second), bins=bins)
    joint /= joint.sum()

    def entropy(p: NDArray[Any]) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    together = entropy(joint)
    return (entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1))) / together if together > 0 else 2.0


def register_mutual_information(
    boldref: NDArray[Any],
    bold_affine: NDArray[Any],
    bold_mask: NDArray[Any],
    t1w_brain: NDArray[Any],
    t1w_affine: NDArray[Any],
    *,
    seed: int = 1,
    sloppy: bool = False,
) -> NDArray[np.float64]:
    """Rigid transform by Mattes mutual information (ANTs).

    Started from the position in the headers, and again from coinciding centres of the two brains, for a subject who
    was scanned in two sessions; the answer with more mutual information is taken.

    Parameters
    ----------
    boldref, t1w_brain : arrays
        Reference volume and skull-stripped T1w.
    bold_affine, t1w_affine : arrays of shape (4, 4)
    bold_mask : bool array
        Brain of the reference volume, with some margin.
    seed : int
    sloppy : bool
        Fewer iterations, first start only.

    Returns
    -------
    array of shape (4, 4)
        Point of BOLD -> point of T1w, mm RAS.
    """
    # The T1w image is smoothed to the detail that the EPI has, or thin structures make local optima.
    smooth = ndimage.gaussian_filter(t1w_brain, fwhm_to_sigma(2.0, t1w_affine))
    points = grid_points(boldref.shape, bold_affine, bold_mask)

    def from_start(start: NDArray[Any]) -> NDArray[np.float64]:
        # The T1w image is moved to the start instead of the transform: ANTs then has nothing to compose.
        moved = np.linalg.inv(start) @ t1w_affine
        return start @ _register_rigid(boldref, bold_affine, bold_mask, smooth, moved, seed=seed, sloppy=sloppy)

    def information(matrix: NDArray[Any]) -> float:
        values = sample(smooth, t1w_affine, apply_matrix(matrix, points))
        return normalised_mutual_information(boldref[np.asarray(bold_mask, bool)], values)

    centres = np.eye(4)
    centres[:3, 3] = grid_points(t1w_brain.shape, t1w_affine, t1w_brain > 0).mean(axis=0) - points.mean(axis=0)
    starts = [np.eye(4)] if sloppy else [np.eye(4), centres]
    return max((from_start(start) for start in starts), key=information)


def _register_rigid(
    boldref: NDArray[Any],
    bold_affine: NDArray[Any],
    bold_mask: NDArray[Any],
    t1w: NDArray[Any],
    t1w_affine: NDArray[Any],
    *,
    seed: int,
    sloppy: bool,
) -> NDArray[np.float64]:
    """One rigid registration; the grid of the BOLD is the fixed one, being the coarser and thus the quicker."""
    result = register(
        ants_image(boldref * bold_mask, bold_affine),
        ants_image(t1w, t1w_affine),
        type_of_transform="Rigid",
        initial_transform="Identity",
        mask=ants_image(bold_mask, bold_affine),
        aff_metric="mattes",
        aff_sampling=32,
        aff_random_sampling_rate=0.25 if sloppy else 0.5,
        aff_iterations=(200, 100) if sloppy else (500, 500, 200),
        aff_shrink_factors=(2, 1) if sloppy else (3, 2, 1),
        aff_smoothing_sigmas=(1, 0) if sloppy else (2, 1, 0),
        seed=seed,
    )
    matrix = read_itk_affine(result["fwdtransforms"][0])
    for path in result["fwdtransforms"]:
        Path(path).unlink(missing_ok=True)  # ANTs leaves it in the system's temporary folder
    return matrix


@dataclass(frozen=True)
class WhiteMatterBoundary:
    """Points on the grey-white boundary of a T1w image, with the points on either side (mm RAS, each (n, 3))."""

    white: NDArray[np.float32]
    grey: NDArray[np.float32]

    @classmethod
    def from_segmentation(
        cls, dseg: NDArray[Any], affine: NDArray[Any], *, seed: int = 1, max_points: int = MAX_BOUNDARY_POINTS
    ) -> WhiteMatterBoundary:
        """Take the voxels of white matter that touch grey; normals are the slope of the smoothed white matter."""
        labels = np.rint(dseg).astype(np.int16)
        white, grey = labels == WHITE, labels == GREY
        smooth = ndimage.gaussian_filter(white.astype(np.float32), fwhm_to_sigma(3.0, affine))
        edge = np.argwhere(white & ndimage.binary_dilation(grey))
        if len(edge) > 4 * max_points:
            edge = edge[np.random.default_rng(seed).choice(len(edge), 4 * max_points, replace=False)]
        at_edge = tuple(edge.T)
        slope = np.stack([axis[at_edge] for axis in np.gradient(smooth)], axis=1)
        normal = slope @ np.linalg.inv(affine)[:3, :3]
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        normal = normal / np.maximum(length, 1e-9)
        # The boundary lies half a voxel outside the centres of the outermost white-matter voxels.
        points = apply_matrix(affine, edge.astype(float)) - normal * voxel_sizes(affine).mean() / 2
        inner, outer = points + NORMAL_DISTANCE * normal, points - NORMAL_DISTANCE * normal
        # Thin gyri and noise of the segmentation: both sides must be the tissue they stand for.
        good = (length[:, 0] > 1e-6) & (_label_at(labels, affine, inner) == WHITE)
        good &= _label_at(labels, affine, outer) == GREY
        kept = np.flatnonzero(good)[:max_points]
        return cls(inner[kept].astype(np.float32), outer[kept].astype(np.float32))

    def __len__(self) -> int:
        return len(self.white)


def _label_at(labels: NDArray[Any], affine: NDArray[Any], points: NDArray[Any]) -> NDArray[Any]:
    voxels = np.rint(apply_matrix(np.linalg.inv(affine), points)).astype(int)
    inside = ((voxels >= 0) & (voxels < labels.shape)).all(axis=1)
    found = np.zeros(len(points), labels.dtype)
    found[inside] = labels[tuple(voxels[inside].T)]
    return found


def boundary_contrast(
    boldref: NDArray[Any],
    bold_affine: NDArray[Any],
    boundary: WhiteMatterBoundary,
    t1w_to_bold: NDArray[Any],
) -> NDArray[np.float64]:
    """Contrast 100 (white - grey) / mean in percent at each point of the boundary; NaN outside the field of view.

    In T2*-weighted images grey matter is the brighter: well placed boundaries give negative values.
    """
    white = sample(boldref, bold_affine, apply_matrix(t1w_to_bold, boundary.white))
    grey = sample(boldref, bold_affine, apply_matrix(t1w_to_bold, boundary.grey))
    mean = (white + grey) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        contrast = 100 * (white - grey) / mean
    return np.where((white > 0) & (grey > 0), contrast, np.nan)


def refine_by_boundary(
    boldref: NDArray[Any],
    bold_affine: NDArray[Any],
    boundary: WhiteMatterBoundary,
    bold_to_t1w: NDArray[Any],
    *,
    sloppy: bool = False,
) -> tuple[NDArray[np.float64], dict[str, float]]:
    """Boundary-based registration (Greve & Fischl 2009, doi:10.1016/j.neuroimage.2009.06.060) from a good start.

    Returns
    -------
    bold_to_t1w : array of shape (4, 4)
    cost : dict
        `before`, `after` (0 best, 1 no contrast, 2 inverted), `displacement_mm` (mean over the boundary).
    """
    start = np.linalg.inv(bold_to_t1w)
    centre = boundary.white.mean(axis=0).astype(float)
    n_points = len(boundary)

    def t1w_to_bold(parameters: NDArray[Any]) -> NDArray[np.float64]:
        # Degrees and millimetres are about the same displacement at the cortex, which suits the line
        # searches.
        scaled = np.concatenate([parameters[:3], np.deg2rad(parameters[3:])])
        return start @ rigid_matrix(scaled, centre)

    def cost(parameters: NDArray[Any]) -> float:
        contrast = boundary_contrast(boldref, bold_affine, boundary, t1w_to_bold(parameters))
        seen = np.isfinite(contrast)
        # What leaves the field of view counts as no contrast, so that leaving is never a way to a lower cost.
        return float((np.where(seen, 1 + np.tanh(SLOPE * np.where(seen, contrast, 0)), 1).sum()) / n_points)

    options = {"xtol": 0.02, "ftol": 1e-5, "maxiter": 3 if sloppy else 20}
    found = optimize.minimize(
        cost, np.zeros(6), method="Powell", options=options, bounds=[(-12, 12)] * 3 + [(-12, 12)] * 3
    )
    matrix = t1w_to_bold(np.asarray(found.x))
    moved = apply_matrix(matrix, boundary.white) - apply_matrix(start, boundary.white)
    report = {
        "before": cost(np.zeros(6)),
        "after": float(found.fun),
        "displacement_mm": float(np.linalg.norm(moved, axis=1).mean()),
    }
    return np.asarray(np.linalg.inv(matrix), float), report


def refinement_is_credible(report: dict[str, float]) -> bool:
    """Tell whether the boundary-based answer is taken over the one of mutual information."""
    return report["after"] < min(report["before"], 1.0) and report["displacement_mm"] <= MAX_REFINEMENT
