"""Brain extraction of a whole-head T1w image, offline, by a named method.

`deformable` : a skull-stripped template is located in the head (`brain_affine`), then a surface deforms from it to
the edge of the brain (`brain_surface`). `head-template` : a whole-head template is registered nonlinearly, its mask is
warped and the same surface refines it. `none` : the image shows nothing but brain already.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_ai.errors import InputError
from bids_ai.preprocess import brain_surface, volumes
from bids_ai.preprocess.brain_affine import BrainPose, locate_brain
from bids_ai.preprocess.templates import Template
from bids_ai.preprocess.volumes import Array, Mask

METHODS = ("auto", "deformable", "head-template", "none")
#: Volume of a human brain with its sulcal CSF, litres, beyond which a result is doubted (children of 2 years: 1 l).
PLAUSIBLE_LITRES = (0.8, 2.0)
#: A head has more than this, a brain alone less, litres.
_STRIPPED_BELOW_LITRES = 2.1
#: Cubic voxels on which the brain is extracted, mm.
_GRID_MM, _SLOPPY_GRID_MM = 2.0, 3.0
#: The surface runs at the pia. Masks hold the sulci and the subarachnoid rim as well: fold and rim, mm.
_SULCI_MM = 6.0
RIM_MM = 1.5
#: Coarse voxels at the pia are mixed with CSF and bone, so the surface settles deeper: mm per mm of voxel beyond 1 mm,
#: from images of 1 mm reduced to 2, 3 and 4 mm (docs/anatomical.md).
_RIM_PER_MM = 0.4
#: Below this correlation inside the brain a head template does not have the contrast of the T1w template.
_SAME_CONTRAST = 0.5
#: Part of the surface at the limit of its reach that casts doubt on where it started.
_MUCH_STUCK = 0.2
_LITRE = 1e6  # mm3


@dataclass(frozen=True)
class BrainExtraction:
    """Result of `extract_brain`.

    Attributes
    ----------
    mask : (nx, ny, nz) array of bool
        On the grid of the head.
    method : str
        Name for the report.
    details : str
        One sentence on what was done.
    pose : BrainPose
        Affine transform from the template's brain to this one.
    volume_l : float
        Of the mask, litres.
    warnings : list of str
    """

    mask: Mask
    method: str
    details: str
    pose: BrainPose
    volume_l: float
    warnings: list[str] = field(default_factory=list)


def is_skull_stripped(head: Array, affine: NDArray[np.float64]) -> bool:
    """Tell whether an image shows a brain on an exactly constant background.

    The filled foreground of a brain is below 2.1 l; that of a head, even without face and neck, above.
    """
    background = float(head[0, 0, 0]) if head[0, 0, 0] == head[-1, -1, -1] else float(head.min())
    foreground = volumes.largest_component(np.not_equal(head, background))
    if foreground.mean() > 0.6:
        return False
    litres = ndimage.binary_fill_holes(foreground).sum() * volumes.voxel_sizes(affine).prod() / _LITRE
    return bool(0.3 < litres < _STRIPPED_BELOW_LITRES)


def extract_brain(
    head: Array,
    affine: NDArray[np.float64],
    template: Template,
    *,
    method: str = "auto",
    seed: int = 1,
    sloppy: bool = False,
) -> BrainExtraction:
    """Find the brain in a T1w image.

    Parameters
    ----------
    head : (nx, ny, nz) array
        Bias-corrected T1w, axes along R, A, S.
    affine : (4, 4) array
    template : Template
    method : {"auto", "deformable", "head-template", "none"}
        "auto" takes "none" for an image that is skull-stripped, "head-template" where the template has a whole head
        of T1w contrast, "deformable" otherwise.
    seed : int
        Of the registration of heads.
    sloppy : bool
        Coarse, for tests.

    Returns
    -------
    BrainExtraction
        The mask holds brain, ventricles, sulci and a rim of 1.5 mm of subarachnoid CSF.

    Raises
    ------
    InputError
        For an unknown method, "head-template" without a head, or if no brain was found.
    """
    if method not in METHODS:
        raise InputError(f"Unknown method of brain extraction '{method}'; known: {', '.join(METHODS)}.")
    if method == "head-template" and template.head is None:
        raise InputError("Brain extraction by 'head-template' needs a template with a whole-head image.")
    stripped = is_skull_stripped(head, affine)
    model = _load(template)
    warnings: list[str] = []
    chosen = _choose(method, stripped, model, warnings)
    mm = _SLOPPY_GRID_MM if sloppy else _GRID_MM
    coarse, coarse_affine = volumes.isotropic(head, affine, mm)
    pose = locate_brain(coarse, coarse_affine, model.brain, model.mask, model.affine, sloppy=sloppy)
    if chosen == "none":
        mask = _foreground(head)
        details = "The image shows the brain alone; its foreground is the mask."
    else:
        guess = model.warp(model.mask, pose, coarse.shape, coarse_affine) > 0.5
        rounds: tuple[brain_surface.Reach, ...] = brain_surface.FROM_AFFINE
        if chosen == "head-template":
            guess = _warp_head_mask(coarse, coarse_affine, model, pose, seed, sloppy)
            rounds = brain_surface.FROM_WARP
        distance, stuck = _refine(coarse, coarse_affine, model, pose, guess, rounds)
        if stuck > _MUCH_STUCK:
            warnings.append(f"Brain extraction: {stuck:.0%} of the surface lies far from its first guess.")
        rim = RIM_MM + _RIM_PER_MM * max(0.0, float(np.cbrt(volumes.voxel_sizes(affine).prod())) - 1)
        mask = volumes.resample(distance, coarse_affine, head.shape, affine, cval=1e3) < rim
        mask = ndimage.binary_fill_holes(volumes.largest_component(mask))
        details = _DETAILS[chosen].format(space=template.space)
    litres = float(mask.sum() * volumes.voxel_sizes(affine).prod() / _LITRE)
    _check(litres, pose, warnings)
    return BrainExtraction(mask, chosen, details, pose, litres, warnings)


_DETAILS = {
    "deformable": (
        "The skull-stripped brain of {space} was located in the head by an affine registration restricted to the "
        "brain and a rim of 10 mm; from there a deformable surface moved to the edge of grey matter, and sulci and "
        "1.5 mm of subarachnoid CSF were added."
    ),
    "head-template": (
        "The whole-head image of {space} was registered to the head (affine, SyN), its brain mask was warped and "
        "refined by a deformable surface."
    ),
}


@dataclass(frozen=True)
class _Model:
    brain: Array
    mask: Mask
    affine: NDArray[np.float64]
    gm: Array
    wm: Array
    head: Array | None

    def warp(self, data: NDArray[Any], pose: BrainPose, shape: tuple[int, ...], affine: NDArray[np.float64]) -> Array:
        return volumes.resample(np.asarray(data, np.float32), self.affine, shape, affine, moved=pose.matrix)


def _load(template: Template) -> _Model:
    def read(path: Path | None) -> Array | None:
        if path is None:
            return None
        image: Any = nib.as_closest_canonical(nib.load(path))
        return np.nan_to_num(np.asarray(image.dataobj, np.float32))

    image: Any = nib.as_closest_canonical(nib.load(template.t1w))
    mask, brain = read(template.mask), read(template.t1w)
    assert mask is not None
    assert brain is not None
    inside = ndimage.binary_fill_holes(mask > 0.5)
    gm, wm = read(template.gm), read(template.wm)
    if gm is None or wm is None:
        gm, wm = _tissues_by_brightness(brain, inside)
    return _Model(
        np.where(inside, brain, 0).astype(np.float32), inside, np.asarray(image.affine), gm, wm, read(template.head)
    )


def _tissues_by_brightness(brain: Array, mask: Mask) -> tuple[Array, Array]:
    """Grey and white matter of a template that comes without maps: three clusters of its intensities."""
    values = brain[mask]
    centres = np.percentile(values, [3, 40, 85])
    for _ in range(50):
        limits = (centres[1:] + centres[:-1]) / 2
        label = np.digitize(values, limits)
        centres = np.array([values[label == k].mean() if (label == k).any() else centres[k] for k in range(3)])
    grey = mask & (brain >= limits[0]) & (brain < limits[1])
    white = mask & (brain >= limits[1])
    return grey.astype(np.float32), white.astype(np.float32)


def _choose(method: str, stripped: bool, model: _Model, warnings: list[str]) -> str:
    if method == "none":
        if not stripped:
            warnings.append(
                "Brain extraction is switched off, but the image seems to show more than the brain: its foreground "
                "is used as the brain mask."
            )
        return "none"
    if stripped:
        if method != "auto":
            warnings.append(f"The image is skull-stripped already; '{method}' was not applied.")
        return "none"
    if model.head is None or method == "deformable":
        return "deformable"
    same = np.corrcoef(model.head[model.mask], model.brain[model.mask])[0, 1] > _SAME_CONTRAST
    if not same:
        warnings.append("The whole-head template does not have the contrast of the T1w template.")
    return "head-template" if same or method == "head-template" else "deformable"


def _foreground(head: Array) -> Mask:
    background = float(head[0, 0, 0]) if head[0, 0, 0] == head[-1, -1, -1] else float(head.min())
    return np.asarray(ndimage.binary_fill_holes(volumes.largest_component(np.not_equal(head, background))))


def _refine(
    head: Array,
    affine: NDArray[np.float64],
    model: _Model,
    pose: BrainPose,
    guess: Mask,
    rounds: tuple[brain_surface.Reach, ...],
) -> tuple[Array, float]:
    """Signed distance (mm) to the edge of the brain with its sulci closed, and the stuck part of the surface."""
    mm = float(volumes.voxel_sizes(affine)[0])
    inner = volumes.signed_distance(guess, mm) < -3
    if inner.sum() < 1000:
        raise InputError(
            "No brain was found in the T1w image. Check that it shows a whole head or brain in millimetres, or give a "
            "whole-head template."
        )
    values = head[inner]
    grey = model.warp(model.gm, pose, head.shape, affine)[inner]
    white = model.warp(model.wm, pose, head.shape, affine)[inner]
    priors = np.clip(np.stack([1 - grey - white, grey, white], axis=-1), 0.02, 1)
    tissue = brain_surface.estimate_tissues(values, priors)
    evidence = brain_surface.brain_evidence(head, tissue)
    mask, stuck = brain_surface.fit_surface(evidence, guess, mm, rounds)
    return volumes.signed_distance(volumes.closing(mask, _SULCI_MM, mm), mm), stuck


def _warp_head_mask(
    head: Array, affine: NDArray[np.float64], model: _Model, pose: BrainPose, seed: int, sloppy: bool
) -> Mask:
    """Brain mask of the head template after affine and SyN registration of the heads."""
    from bids_ai.preprocess import normalisation

    assert model.head is not None
    warped = normalisation.warp_mask_of_head(
        head, affine, model.head, model.mask, model.affine, pose, seed=seed, sloppy=sloppy
    )
    return warped > 0.5


def _check(litres: float, pose: BrainPose, warnings: list[str]) -> None:
    low, high = PLAUSIBLE_LITRES
    if not low <= litres <= high:
        warnings.append(f"The brain mask has {litres:.2f} l; {low:g} to {high:g} l are expected.")
    if not 0.7 <= pose.scale <= 1.3:
        warnings.append(f"The brain is {pose.scale:.2f} times the template in each direction; 0.7 to 1.3 are expected.")
