"""Bringing an atlas from one MNI152 variant to another, and label volumes through transforms."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import nibabel as nib
import numpy as np

from bids_ai.antspy import register
from bids_ai.errors import InputError
from bids_ai.parcellation.mni import canonical_space
from bids_ai.parcellation.volumes import label_image, load_volume

if TYPE_CHECKING:
    from bids_ai.parcellation.atlas import Atlas

BUNDLED_SPACE = "MNI152NLin2009aSym"
"""Space of the template in nilearn, which is always at hand."""

REGISTRATION_MM = 2.0  # templates finer than this are registered at it
STRIPPED_LITRES = 2.4  # a template with more tissue than this shows the head, not the brain alone
SEED = 20111  # of the sampling of the affine metric


def bring_to_template(
    atlas: Atlas,
    template_t1w: Path | None,
    template_space: str,
    *,
    grid: Path | nib.Nifti1Image,
    moving_template: Path | None = None,
    cache_dir: Path,
    template_mask: Path | None = None,
) -> tuple[nib.Nifti1Image, str]:
    """Bring an atlas to the working template and grid.

    Parameters
    ----------
    atlas : Atlas
    template_t1w : pathlib.Path or None
        T1w of the working template; None where none is at hand (the one bundled with nilearn is used in its space).
    template_space : str
        Its MNI152 variant.
    grid : path or nibabel image
        Grid in the working template's space on which labels are wanted (the first three dimensions count).
    moving_template : pathlib.Path, optional
        T1w of the atlas's space. The template bundled with nilearn is used for atlases in its space.
    cache_dir : pathlib.Path
        Where registrations of templates are kept.
    template_mask : pathlib.Path, optional
        Brain mask on the grid of `template_t1w`, applied to it if it shows the head and `moving_template` does not.

    Returns
    -------
    labels : nibabel.Nifti1Image
        int16 or int32, on `grid`.
    how : str
        One sentence for the report, with the regions that were lost.

    Raises
    ------
    InputError
        If no label lies on the grid.
    """
    target = _grid_image(grid)
    space = canonical_space(template_space, where="the working template")
    if atlas.space == space:
        moved = resample_labels(atlas.image, target)
        same = target.shape == atlas.image.shape and np.allclose(target.affine, atlas.image.affine, atol=1e-4)
        how = f"{atlas.label} is in the space of the template ({space})" + (
            "." if same else " and was resampled to the working grid (nearest neighbour)."
        )
        return moved, how + _lost_sentence(atlas, moved)
    with tempfile.TemporaryDirectory() as folder:
        moving = moving_template or _bundled_template(atlas.space, Path(folder))
        given = Path(template_t1w) if template_t1w else _bundled_template(space, Path(folder))
        fixed, obstacle = _comparable(given, moving, template_mask, Path(folder))
        if fixed is not None and moving is not None:
            transforms = register_templates(fixed, moving, cache_dir=cache_dir)
            moved = warp_labels(atlas.image, target, transforms)
            how = (
                f"{atlas.label} was brought from {atlas.space} to {space} by a registration of the two templates (SyN)."
            )
        else:
            moved = resample_labels(atlas.image, target)
            how = (
                f"{atlas.label} was taken from {atlas.space} to {space} by its coordinates alone, since {obstacle}: "
                "regions may be off by a few millimetres."
            )
    return moved, how + _lost_sentence(atlas, moved)


def register_templates(
    fixed_t1w: Path, moving_t1w: Path, *, cache_dir: Path, iterations: tuple[int, ...] = (40, 20, 10)
) -> list[Path]:
    """Register two templates (affine, then SyN on mutual information; Avants et al. 2008).

    Both must show the same: brain alone, or head. doi:10.1016/j.media.2007.06.004

    Parameters
    ----------
    fixed_t1w, moving_t1w : pathlib.Path
    cache_dir : pathlib.Path
        Transforms are kept here, under the hash of both images and the settings.
    iterations : tuple of int
        SyN iterations per level, coarse to fine.

    Returns
    -------
    list of pathlib.Path
        Warp and affine that bring the moving to the fixed template, in the order of `ants.apply_transforms`.
    """
    key = hashlib.sha256()
    for image in (fixed_t1w, moving_t1w):
        loaded = load_volume(image)
        key.update(np.ascontiguousarray(loaded.get_fdata(dtype=np.float32)).tobytes() + loaded.affine.tobytes())
    key.update(f"{version('antspyx')}|{iterations}|{REGISTRATION_MM}|{SEED}".encode())
    folder = Path(cache_dir) / f"templates_{key.hexdigest()[:16]}"
    transforms = [folder / "warp.nii.gz", folder / "affine.mat"]
    if all(file.is_file() for file in transforms):
        return transforms
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")  # more threads give other bits
    import ants

    fixed, moving = (_coarse(ants.image_read(str(image))) for image in (fixed_t1w, moving_t1w))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".templates_") as scratch:
        result = register(
            fixed,
            moving,
            type_of_transform="SyN",
            reg_iterations=iterations,
            outprefix=f"{scratch}/t_",
            seed=SEED,
        )
        done = Path(scratch) / "done"
        done.mkdir()
        for source, target in zip(result["fwdtransforms"], transforms, strict=True):
            shutil.move(source, done / target.name)
        try:
            done.rename(folder)
        except OSError:  # another job was faster
            if not all(file.is_file() for file in transforms):
                raise
    return transforms


def warp_labels(
    labels: nib.Nifti1Image,
    target: nib.Nifti1Image,
    transforms: Sequence[Path],
    *,
    invert: Sequence[bool] | None = None,
    interpolation: str = "genericLabel",
) -> nib.Nifti1Image:
    """Bring labels through ANTs transforms.

    Parameters
    ----------
    labels : nibabel.Nifti1Image
        3-D integer labels.
    target : nibabel.Nifti1Image
        3-D grid.
    transforms : sequence of pathlib.Path
        In the order of `ants.apply_transforms` (the last is applied first); composite ``.h5`` files as well.
    invert : sequence of bool, optional
        Which transforms to invert (matrices only).
    interpolation : {"genericLabel", "nearestNeighbor"}

    Returns
    -------
    nibabel.Nifti1Image
        Same integer type, on the grid of `target`.
    """
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    import ants

    data = np.asanyarray(labels.dataobj)
    with tempfile.TemporaryDirectory() as scratch:
        source, grid = Path(scratch) / "labels.nii.gz", Path(scratch) / "grid.nii.gz"
        nib.save(nib.Nifti1Image(data.astype(np.float32), labels.affine), source)
        nib.save(nib.Nifti1Image(np.zeros(target.shape, np.uint8), target.affine), grid)
        moved = ants.apply_transforms(
            fixed=ants.image_read(str(grid)),
            moving=ants.image_read(str(source)),
            transformlist=[str(file) for file in transforms],
            interpolator=interpolation,
            **({} if invert is None else {"whichtoinvert": list(invert)}),
        )
        values = np.round(moved.numpy()).astype(data.dtype)
    return label_image(values, target.affine)


def resample_labels(labels: nib.Nifti1Image, target: nib.Nifti1Image) -> nib.Nifti1Image:
    """Resample labels by world coordinates, each voxel from its nearest neighbour.

    Parameters
    ----------
    labels, target : nibabel.Nifti1Image
        3-D.

    Returns
    -------
    nibabel.Nifti1Image
        Same integer type, on the grid of `target`; 0 outside the field of view of `labels`.
    """
    data = np.asanyarray(labels.dataobj)
    if labels.shape == target.shape and np.allclose(labels.affine, target.affine, atol=1e-4):
        return label_image(data.copy(), target.affine)
    step = np.linalg.inv(labels.affine) @ target.affine
    out = np.zeros(target.shape, data.dtype)
    plane = np.stack(np.meshgrid(*(np.arange(n) for n in target.shape[:2]), indexing="ij"), axis=-1)
    for k in range(target.shape[2]):
        at = plane @ step[:3, :2].T + step[:3, 2] * k + step[:3, 3]
        # halves go up everywhere (numpy's rounding to even would take some voxels twice)
        at = np.floor(at + 0.5 + 1e-6).astype(int)
        inside = ((at >= 0) & (at < data.shape)).all(axis=-1)
        out[inside, k] = data[tuple(at[inside].T)]
    return label_image(out, target.affine)


def _grid_image(grid: Path | nib.Nifti1Image) -> nib.Nifti1Image:
    image = load_volume(grid) if isinstance(grid, (str, os.PathLike)) else grid
    return nib.Nifti1Image(np.zeros(image.shape[:3], np.uint8), image.affine)


def _bundled_template(space: str, folder: Path) -> Path | None:
    if space != BUNDLED_SPACE:
        return None
    from nilearn.datasets import load_mni152_template

    path = folder / "bundled.nii.gz"
    nib.save(load_mni152_template(resolution=1), path)
    return path


def _comparable(fixed: Path | None, moving: Path | None, mask: Path | None, folder: Path) -> tuple[Path | None, str]:
    """Return a fixed image that shows what the moving one does, or None and the reason."""
    if fixed is None:
        return None, "no image of the working template is at hand"
    if moving is None:
        return None, "no template of its space is at hand"
    fixed_head, moving_head = _shows_head(fixed), _shows_head(moving)
    if fixed_head == moving_head:
        return fixed, ""
    if fixed_head and mask is not None:
        image = load_volume(fixed)
        inside = np.asanyarray(load_volume(mask).dataobj) > 0
        stripped = folder / "stripped.nii.gz"
        nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32) * inside, image.affine), stripped)
        return stripped, ""
    return None, "one template shows the head and the other the brain alone"


def _shows_head(path: Path) -> bool:
    image = load_volume(path)
    data = image.get_fdata(dtype=np.float32)
    litres = (data > 0.02 * np.percentile(data, 99)).sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1e6
    return bool(litres > STRIPPED_LITRES)


def _coarse(image):  # type: ignore[no-untyped-def]
    import ants

    if min(image.spacing) >= REGISTRATION_MM - 0.1:
        return image
    smooth = ants.smooth_image(image, REGISTRATION_MM / 2, sigma_in_physical_coordinates=True)
    return ants.resample_image(smooth, (REGISTRATION_MM,) * 3, use_voxels=False, interp_type=0)


def lost_regions(atlas: Atlas, moved: nib.Nifti1Image) -> list[str]:
    """Name the regions that the atlas's own volume holds and `moved` does not."""
    before, after = (np.unique(np.asanyarray(image.dataobj)) for image in (atlas.image, moved))
    lost = np.setdiff1d(before, after)
    return list(atlas.nodes.loc[atlas.nodes["index"].isin(lost), "name"])


def _lost_sentence(atlas: Atlas, moved: nib.Nifti1Image) -> str:
    lost = lost_regions(atlas, moved)
    if len(lost) == (np.unique(np.asanyarray(atlas.image.dataobj)) > 0).sum():
        raise InputError(
            f"No region of {atlas.label} lies on the working grid: is the atlas in the space it states ({atlas.space})?"
        )
    return f" Regions lost on this grid: {', '.join(lost)}." if lost else ""
