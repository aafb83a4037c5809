"""Where the DWI lies: in the T1w of the same head, or, without one, in the frame of the template."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_ai.antspy import register
from bids_ai.preprocess import coregistration, normalisation, volumes
from bids_ai.preprocess.bold_geometry import (
    ants_image,
    apply_matrix,
    fwhm_to_sigma,
    grid_points,
    read_itk_affine,
    sample,
    voxel_sizes,
)
from bids_ai.preprocess.brain_affine import BrainPose, locate_brain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bids_ai.preprocess.templates import Template

    FloatArray = NDArray[np.float64]

#: The T1w brain is matched to the b0 within this distance of the rough mask, mm.
_RIM_MM = 4.0
#: Grey and white matter differ so much at b = 0 that the cost of the boundary is flat where nearly all points are in
#: order: what lies within its reach is then moved by noise.
_BOUNDARY_SILENT = 0.05
#: The boundary is not believed where it gives up more than a tenth of the mutual information (less independence).
_LEAST_KEPT = 0.9
#: Scanners agree on lengths within a percent, and heads of two people do not.
_MOST_STRETCH_PERCENT = 2.0
_LEAST_IN_ORDER = 0.65


@dataclass
class T1wFit:
    """Registration of the b0 to a T1w.

    Attributes
    ----------
    matrix : (4, 4) array
        Point of DWI -> point of T1w, mm RAS.
    quality : dict
        Figures for the report.
    """

    matrix: FloatArray
    quality: dict[str, Any] = field(default_factory=dict)


def register_to_t1w(
    b0: NDArray[Any],
    affine: NDArray[Any],
    mask: NDArray[np.bool_],
    brain: NDArray[Any],
    dseg: NDArray[Any],
    t1w_affine: NDArray[Any],
    *,
    seed: int = 1,
    sloppy: bool = False,
) -> T1wFit:
    """Rigid registration by mutual information, refined on the white-matter boundary where that is credible.

    Parameters
    ----------
    b0, affine, mask
        Bias-corrected b0 and its rough brain mask.
    brain, dseg, t1w_affine
        Skull-stripped T1w and its tissues (1 GM, 2 WM, 3 CSF).
    seed : int
    sloppy : bool
        Coarse, for tests.
    """
    start = place(b0, affine, mask, brain, t1w_affine, seed=seed, sloppy=sloppy)

    def keeps(matrix: FloatArray) -> bool:
        after, before = (_information(b0, affine, mask, brain, t1w_affine, m) - 1 for m in (matrix, start))
        return after > _LEAST_KEPT * before

    boundary = coregistration.WhiteMatterBoundary.from_segmentation(dseg, t1w_affine, seed=seed)
    quality: dict[str, Any] = {"method": "mutual information (rigid)", "boundary_points": len(boundary)}
    matrix = start
    if len(boundary) < coregistration.MIN_BOUNDARY_POINTS:
        quality["note"] = f"only {len(boundary)} points on the grey-white boundary: not refined"
    else:
        refined, report = coregistration.refine_by_boundary(b0, affine, boundary, start, sloppy=sloppy)
        quality |= {f"boundary_{name}": value for name, value in report.items()}
        if report["before"] < _BOUNDARY_SILENT:
            quality["boundary_note"] = "in order after mutual information already, which was kept"
        elif coregistration.refinement_is_credible(report) and keeps(refined):
            matrix = refined
            quality["method"] = "mutual information, then boundary-based (rigid)"
        else:
            quality["note"] = "the boundary-based refinement was not credible: mutual information kept"
        contrast = coregistration.boundary_contrast(b0, affine, boundary, np.linalg.inv(matrix))
        if np.isfinite(contrast).any():
            quality["grey_white_contrast_percent"] = -float(np.nanmedian(contrast))
            quality["boundary_in_order"] = float((contrast[np.isfinite(contrast)] < 0).mean())
    for name, candidate in (("before", np.eye(4)), ("mutual_information", start), ("after", matrix)):
        quality[f"nmi_{name}"] = _information(b0, affine, mask, brain, t1w_affine, candidate)
    if np.array_equal(start, np.eye(4)):
        quality["note"] = "no position shares more with the T1w than that of the headers, which was kept"
    quality["t1w_brain_in_field_of_view"] = coregistration.overlap_fraction(
        b0.shape, matrix @ affine, brain > 0, t1w_affine
    )
    stretch = _stretch(b0, affine, mask, brain, np.linalg.inv(matrix) @ t1w_affine, seed=seed)
    quality["stretch_percent"] = [float(100 * value) for value in stretch]
    return T1wFit(matrix, quality)


def place(
    b0: NDArray[Any],
    affine: NDArray[Any],
    mask: NDArray[np.bool_],
    brain: NDArray[Any],
    t1w_affine: NDArray[Any],
    *,
    seed: int = 1,
    sloppy: bool = False,
) -> FloatArray:
    """Rigid registration by mutual information; the position of the headers where nothing better is found.

    Returns
    -------
    (4, 4) array
        Point of DWI -> point of T1w, mm RAS.
    """
    found = coregistration.register_mutual_information(
        b0, affine, _wide(mask, affine), brain, t1w_affine, seed=seed, sloppy=sloppy
    )
    information = [_information(b0, affine, mask, brain, t1w_affine, matrix) for matrix in (found, np.eye(4))]
    return found if information[0] > information[1] else np.eye(4)


def _wide(mask: NDArray[np.bool_], affine: NDArray[Any]) -> NDArray[np.bool_]:
    distance = ndimage.distance_transform_edt(~mask, sampling=tuple(voxel_sizes(affine)))
    return np.asarray(distance <= _RIM_MM)


def _information(
    b0: NDArray[Any],
    affine: NDArray[Any],
    mask: NDArray[np.bool_],
    brain: NDArray[Any],
    t1w_affine: NDArray[Any],
    matrix: NDArray[Any],
) -> float:
    values = sample(brain, t1w_affine, apply_matrix(matrix, grid_points(b0.shape, affine, mask)))
    return coregistration.normalised_mutual_information(b0[mask], values)


def cannot_be_the_same_head(quality: dict[str, Any]) -> str:
    """Tell why b0 and T1w cannot be of one person; empty if they can.

    A head keeps its size. After a rigid registration nothing is left to scale, except along the phase encoding, which
    distortion stretches: two axes are asked, the third may be that one.
    """
    second = sorted(abs(value) for value in quality["stretch_percent"])[1]  # not known: never larger
    if second > _MOST_STRETCH_PERCENT:
        return (
            f"the T1w brain would have to be stretched by {second:.1f} % along a second axis to fit "
            f"(the same head: below {_MOST_STRETCH_PERCENT:g} %)"
        )
    in_order = quality.get("boundary_in_order", 1.0)
    if in_order < _LEAST_IN_ORDER:
        return (
            f"grey matter is brighter than white matter at {in_order:.0%} of the boundary only (chance: 50 %; the same "
            "head: above 80 %)"
        )
    return ""


def _stretch(
    b0: NDArray[Any],
    affine: NDArray[Any],
    mask: NDArray[np.bool_],
    brain: NDArray[Any],
    moved: NDArray[Any],
    *,
    seed: int,
) -> FloatArray:
    """Part by which an affine registration stretches the T1w brain, placed already, along x, y, z of the world.

    NaN where it does not raise the mutual information.
    """
    wide, smooth = _wide(mask, affine), ndimage.gaussian_filter(brain, fwhm_to_sigma(2.0, moved))
    found = register(
        ants_image(b0 * wide, affine),
        ants_image(smooth, moved),
        type_of_transform="Affine",
        initial_transform="Identity",
        mask=ants_image(wide, affine),
        aff_metric="mattes",
        aff_sampling=32,
        aff_random_sampling_rate=0.5,
        aff_iterations=(200, 100),
        aff_shrink_factors=(2, 1),
        aff_smoothing_sigmas=(1, 0),
        seed=seed,
    )
    matrix = read_itk_affine(found["fwdtransforms"][0])
    for path in found["fwdtransforms"]:
        Path(path).unlink(missing_ok=True)  # ANTs leaves it in the system's temporary folder
    after, before = (_information(b0, affine, mask, smooth, moved, m) for m in (matrix, np.eye(4)))
    if not after > before:
        return np.full(3, np.nan)
    _, sizes, axes = np.linalg.svd(matrix[:3, :3])
    return np.asarray(np.diag(axes.T @ np.diag(sizes) @ axes) - 1)


def as_t1w(b0: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Turn the contrast of a b0 image around: white matter bright, fluid dark, nothing outside the brain.

    After Bhushan et al. (2015, doi:10.1016/j.neuroimage.2015.03.050); only the order of the tissues matters here.
    """
    low, high = np.percentile(b0[mask], [2, 95])
    turned = np.clip((high - b0) / max(float(high - low), 1e-12), 0.02, 1.2)
    return np.where(mask, 100 * turned, 0).astype(np.float32)


@dataclass
class TemplateFit:
    """Registration of a DWI without a T1w.

    Attributes
    ----------
    matrix : (4, 4) array
        Point of DWI -> point of the aligned frame; rigid.
    to_template, from_template : Path
        Between the aligned frame and the template; composite ITK transforms.
    quality : dict
    """

    matrix: FloatArray
    to_template: Path
    from_template: Path
    quality: dict[str, Any]


def align_with_template(
    b0: NDArray[Any],
    affine: NDArray[Any],
    mask: NDArray[np.bool_],
    template: Template,
    folder: Path,
    *,
    align: bool = True,
    seed: int = 1,
    sloppy: bool = False,
) -> TemplateFit:
    """Turn the head as the template has it, rigidly, and register both nonlinearly from there.

    Parameters
    ----------
    b0, affine, mask
        Bias-corrected b0 and its rough brain mask.
    template : Template
    folder : Path
        Receives the transforms.
    align : bool
        False keeps the frame of the series; the transforms start from there.
    seed : int
    sloppy : bool
        Coarse, for tests.
    """
    pseudo, straight = _canonical(as_t1w(b0, mask), affine)
    brain, inside, grid = _template_brain(template)
    coarse, coarse_affine = volumes.isotropic(pseudo, straight, 4.0)
    pose = locate_brain(coarse, coarse_affine, brain, inside, grid, sloppy=sloppy)
    matrix = _rigid_part(pose, grid, inside) if align else np.eye(4)
    moved = BrainPose(matrix @ pose.matrix, pose.mutual_information, pose.scale)
    found = normalisation.register_brain(
        pseudo, matrix @ straight, brain, inside, grid, moved, folder, seed=seed, sloppy=sloppy
    )
    warped = normalisation.apply(pseudo, matrix @ straight, brain.shape, grid, [found.to_template])
    linear = normalisation.apply(pseudo, matrix @ straight, brain.shape, grid, [found.affine])
    nmi = volumes.normalised_mutual_information
    covered = normalisation.apply(
        (pseudo > 0).astype(np.float32), matrix @ straight, brain.shape, grid, [found.to_template]
    )
    scale = np.linalg.svd(read_itk_affine(found.affine)[:3, :3])[1]
    quality = {
        "method": "b0 with its contrast turned around to the T1w template (affine, SyN)",
        "nmi_before": float(nmi(linear[inside], brain[inside])),
        "nmi_after": float(nmi(warped[inside], brain[inside])),
        "mask_overlap_with_template": volumes.dice(covered > 0.5, inside),
        "scale": [float(value) for value in scale],
    }
    return TemplateFit(matrix, found.to_template, found.from_template, quality)


def _canonical(data: NDArray[Any], affine: NDArray[Any]) -> tuple[NDArray[np.float32], FloatArray]:
    image: Any = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(data, np.float32), affine))
    return np.asarray(image.dataobj, np.float32), np.asarray(image.affine, float)


def _template_brain(template: Template) -> tuple[NDArray[np.float32], NDArray[np.bool_], FloatArray]:
    image: Any = nib.as_closest_canonical(nib.load(template.t1w))
    mask: Any = nib.as_closest_canonical(nib.load(template.mask))
    inside = ndimage.binary_fill_holes(np.asarray(mask.dataobj) > 0.5)
    brain = np.where(inside, np.nan_to_num(np.asarray(image.dataobj, np.float32)), 0)
    return np.asarray(brain, np.float32), np.asarray(inside), np.asarray(image.affine, float)


def _rigid_part(pose: BrainPose, grid: FloatArray, inside: NDArray[np.bool_]) -> FloatArray:
    """Rigid matrix, DWI to template, that turns the head upright and puts the middle of the brain in its place."""
    left, _, right = np.linalg.svd(pose.matrix[:3, :3])
    middle = apply_matrix(grid, np.argwhere(inside).mean(axis=0)[None])[0]
    there = apply_matrix(pose.matrix, middle[None])[0]
    matrix = np.eye(4)
    matrix[:3, :3] = (left @ right).T
    matrix[:3, 3] = middle - matrix[:3, :3] @ there
    return matrix
