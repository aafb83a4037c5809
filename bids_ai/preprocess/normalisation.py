"""Nonlinear registration to the template by ANTs' SyN (Avants et al. 2008, doi 10.1016/j.media.2007.06.004)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_ai.antspy import register
from bids_ai.preprocess import volumes
from bids_ai.preprocess.brain_affine import BrainPose
from bids_ai.preprocess.volumes import Array, Mask

#: ITK's world is L, P, S; NIfTI's R, A, S.
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SynSettings:
    """Grid and iterations of a registration: the last level has the full `grid_mm`, each one before twice that."""

    grid_mm: float
    iterations: tuple[int, ...]
    #: Radius of the neighbourhood of the cross-correlation, voxels.
    radius: int
    margin_mm: float


#: The displacement field is smooth at 2 mm; a level at 1 mm would take eight times as long for its last tenth.
BRAINS = SynSettings(2.0, (60, 40, 15), 2, 10.0)
BRAINS_SLOPPY = SynSettings(4.0, (20, 6), 2, 12.0)
HEADS = SynSettings(3.0, (40, 30, 15), 2, 20.0)
HEADS_SLOPPY = SynSettings(5.0, (15, 8), 2, 20.0)


@dataclass(frozen=True)
class Registration:
    """Files of a registration.

    Attributes
    ----------
    to_template, from_template : Path
        Composite ITK transforms (.h5).
    affine : Path
        The affine part of `to_template` (.mat).
    """

    to_template: Path
    from_template: Path
    affine: Path


def to_ants(data: NDArray[Any], affine: NDArray[np.float64]) -> Any:
    """Make an ANTs image of an array and its NIfTI affine."""
    import ants

    lps = _FLIP @ affine
    spacing = volumes.voxel_sizes(lps)
    return ants.from_numpy(
        np.ascontiguousarray(data, np.float32),
        origin=[float(x) for x in lps[:3, 3]],
        spacing=[float(x) for x in spacing],
        direction=lps[:3, :3] / spacing,
    )


def register_brain(
    brain: Array,
    affine: NDArray[np.float64],
    template: Array,
    template_mask: Mask,
    template_affine: NDArray[np.float64],
    pose: BrainPose,
    folder: Path,
    *,
    seed: int = 1,
    sloppy: bool = False,
) -> Registration:
    """Register a skull-stripped brain to a skull-stripped template: affine from `pose`, then SyN.

    Parameters
    ----------
    brain : (nx, ny, nz) array
        Zero outside the brain.
    affine : (4, 4) array
    template, template_mask, template_affine
        Of the template.
    pose : BrainPose
        First guess.
    folder : Path
        Receives `t1w_to_template.h5`, `template_to_t1w.h5` and `affine.mat`.
    seed : int
        Of the sampling of the affine metric.
    sloppy : bool
        Coarse, for tests.

    Notes
    -----
    Bit-reproducible with ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 only.
    """
    settings = BRAINS_SLOPPY if sloppy else BRAINS
    fixed, near = _fixed(np.where(template_mask, template, 0), template_mask, template_affine, settings)
    high = float(np.percentile(brain[brain > 0], 99.5))
    moving = to_ants(*volumes.isotropic(np.clip(brain, 0, high), affine, settings.grid_mm))
    return _register(fixed, moving, near, pose, folder, settings, metric="CC", seed=seed)


def warp_mask_of_head(
    head: Array,
    affine: NDArray[np.float64],
    template_head: Array,
    template_mask: Mask,
    template_affine: NDArray[np.float64],
    pose: BrainPose,
    *,
    seed: int = 1,
    sloppy: bool = False,
) -> Array:
    """Bring the brain mask of a whole-head template to a head by registration of the heads.

    Mutual information rather than cross-correlation, since the contrast of the head template may be another one.

    Returns
    -------
    (nx, ny, nz) array
        Mask, 0 to 1, on the grid of `head`.
    """
    import ants

    settings = HEADS_SLOPPY if sloppy else HEADS
    fixed, near = _fixed(template_head, template_mask, template_affine, settings)
    high = float(np.percentile(head[head > 0], 99))
    moving = to_ants(*volumes.isotropic(np.clip(head, 0, high), affine, settings.grid_mm))
    with tempfile.TemporaryDirectory() as folder:
        found = _register(fixed, moving, near, pose, Path(folder), settings, metric="mattes", seed=seed)
        warped = ants.apply_transforms(
            to_ants(head, affine),
            to_ants(template_mask.astype(np.float32), template_affine),
            [str(found.from_template)],
            interpolator="linear",
        )
    return np.asarray(warped.numpy(), np.float32)


def apply(
    data: NDArray[Any],
    affine: NDArray[np.float64],
    target_shape: tuple[int, ...],
    target_affine: NDArray[np.float64],
    transforms: Sequence[Path],
    interpolator: str = "linear",
) -> Array:
    """Resample an image through transforms, the last of the list first (as ANTs has it)."""
    import ants

    grid = to_ants(np.zeros(target_shape, np.float32), target_affine)
    warped = ants.apply_transforms(
        grid, to_ants(data, affine), [str(path) for path in transforms], interpolator=interpolator
    )
    return np.asarray(warped.numpy(), np.float32)


def _fixed(image: Array, mask: Mask, affine: NDArray[np.float64], settings: SynSettings) -> tuple[Any, Any]:
    """Template on the grid of the registration, cropped to the brain and a margin, and the mask of the metric."""
    # A margin of air around the template: its brain nearly touches the border of the volume.
    sizes = volumes.voxel_sizes(affine)
    margin = np.ceil(settings.margin_mm / sizes).astype(int)
    box = [(int(axis.min()) - m, int(axis.max()) + 1 + m) for axis, m in zip(np.nonzero(mask), margin, strict=True)]
    pad = [(max(0, -low), max(0, high - n)) for (low, high), n in zip(box, mask.shape, strict=True)]
    cut = tuple(slice(low + p[0], high + p[0]) for (low, high), p in zip(box, pad, strict=True))
    moved = affine.copy()
    moved[:3, 3] = affine[:3, :3] @ np.array([low for low, _ in box]) + affine[:3, 3]
    inside = np.pad(mask, pad)[cut]
    near = ndimage.distance_transform_edt(~inside, sampling=sizes) < settings.margin_mm
    fixed = volumes.isotropic(np.pad(image, pad)[cut], moved, settings.grid_mm)
    rim, rim_affine = volumes.isotropic(near.astype(np.float32), moved, settings.grid_mm)
    return to_ants(*fixed), to_ants(rim > 0.5, rim_affine)


def _register(
    fixed: Any,
    moving: Any,
    near: Any,
    pose: BrainPose,
    folder: Path,
    settings: SynSettings,
    *,
    metric: str,
    seed: int,
) -> Registration:
    import ants

    matrix = _FLIP @ pose.matrix @ _FLIP
    start = ants.create_ants_transform("AffineTransform", dimension=3, matrix=matrix[:3, :3], offset=matrix[:3, 3])
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / "pose.mat"
    ants.write_transform(start, str(first))
    linear = register(
        fixed,
        moving,
        type_of_transform="Affine",
        initial_transform=str(first),
        outprefix=str(folder / "affine_"),
        mask=near,
        mask_all_stages=True,
        aff_random_sampling_rate=0.5,
        aff_iterations=(200, 100, 50),
        aff_shrink_factors=(4, 2, 1),
        aff_smoothing_sigmas=(2, 1, 0),
        seed=seed,
    )
    affine = folder / "affine.mat"
    Path(linear["fwdtransforms"][0]).replace(affine)
    warp = register(
        fixed,
        moving,
        type_of_transform="SyNOnly",
        initial_transform=str(affine),
        outprefix=str(folder / "syn_"),
        mask=near,
        mask_all_stages=True,
        syn_metric=metric,
        syn_sampling=settings.radius if metric == "CC" else 32,
        reg_iterations=settings.iterations,
        seed=seed,
        write_composite_transform=True,
    )
    out = Registration(folder / "t1w_to_template.h5", folder / "template_to_t1w.h5", affine)
    Path(warp["fwdtransforms"]).replace(out.to_template)
    Path(warp["invtransforms"]).replace(out.from_template)
    first.unlink()
    return out
