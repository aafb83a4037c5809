"""The template that a T1w image is registered to: the one nilearn bundles, or the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy import ndimage

from bids_ai.bids.files import atomic
from bids_ai.errors import InputError
from bids_ai.preprocess.volumes import closing, isotropic

#: Space of the template nilearn bundles (ICBM 152 nonlinear 2009a symmetric, doi 10.1016/j.neuroimage.2010.07.033).
BUNDLED_SPACE = "MNI152NLin2009aSym"
#: Closing that fills the sulci and ventricles left empty in the stripped template, mm.
_CLOSING_MM = 4.0


@dataclass(frozen=True)
class Template:
    """A template on disk, all images on one grid.

    Attributes
    ----------
    space : str
        Name of the space, as in the `space-` entity.
    t1w, mask : Path
        Brain image and brain mask.
    gm, wm : Path or None
        Probability maps (0 to 1) of grey and white matter.
    head : Path or None
        Whole-head image of the same subject or average.
    origin : str
        One sentence for the report: which template, from where.
    """

    space: str
    t1w: Path
    mask: Path
    gm: Path | None
    wm: Path | None
    head: Path | None
    origin: str


def bundled_template(cache_dir: Path, resolution_mm: float = 1.0) -> Template:
    """Write nilearn's bundled MNI152 template (T1w, GM, WM, brain mask) to a folder, once.

    Parameters
    ----------
    cache_dir : Path
        Made if absent; files already there are used.
    resolution_mm : float
        Edge of the voxels, mm; the bundled files have 1 mm.

    Returns
    -------
    Template
        Of the space `MNI152NLin2009aSym`. It has no whole head: the bundled image is skull-stripped.
    """
    cache_dir = Path(cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    stem = f"tpl-{BUNDLED_SPACE}_res-{resolution_mm:g}mm"
    names = {
        "t1w": f"{stem}_desc-brain_T1w.nii.gz",
        "mask": f"{stem}_desc-brain_mask.nii.gz",
        "gm": f"{stem}_label-GM_probseg.nii.gz",
        "wm": f"{stem}_label-WM_probseg.nii.gz",
    }
    paths = {key: cache_dir / name for key, name in names.items()}
    if not all(path.exists() for path in paths.values()):
        for key, image in _bundled_images(resolution_mm).items():
            _write(image, paths[key])
    return Template(
        space=BUNDLED_SPACE,
        head=None,
        origin=(
            f"{BUNDLED_SPACE}: the skull-stripped ICBM 152 2009a symmetric T1w average with its grey- and "
            f"white-matter maps as bundled with nilearn, {resolution_mm:g} mm; nothing was downloaded."
        ),
        **paths,
    )


def user_template(
    t1w: Path,
    mask: Path,
    space: str,
    head: Path | None = None,
    gm: Path | None = None,
    wm: Path | None = None,
) -> Template:
    """Check a template given by the user.

    Parameters
    ----------
    t1w : Path
        T1w image; only what lies inside the mask is used, so it may show the whole head.
    mask : Path
        Brain mask.
    space : str
        Name of the space, as in the `space-` entity.
    head : Path, optional
        Whole-head image, for brain extraction by registration of heads.
    gm, wm : Path, optional
        Probability maps, 0 to 1; both or none.

    Raises
    ------
    InputError
        If a file is absent, the grids differ, the mask is empty or a probability exceeds 1.
    """
    given = {"t1w": t1w, "mask": mask, "head": head, "gm": gm, "wm": wm}
    paths = {key: None if value is None else Path(value).absolute() for key, value in given.items()}
    if (paths["gm"] is None) != (paths["wm"] is None):
        raise InputError("A template needs both tissue maps (gm and wm) or none; only one was given.")
    reference: Any = None
    for key, path in paths.items():
        if path is None:
            continue
        image = _open(key, path)
        reference = reference or image
        same = image.shape == reference.shape and np.allclose(image.affine, reference.affine, atol=1e-3)
        if not same:
            raise InputError(
                f"Template image {key} ({path}) is on another grid than {paths['t1w']}: {image.shape} against "
                f"{reference.shape}. Resample it to the grid of the T1w template."
            )
    _check_values(paths)
    extra = " with its whole-head image" if head is not None else ""
    assert paths["t1w"] is not None
    assert paths["mask"] is not None
    return Template(
        space=space,
        t1w=paths["t1w"],
        mask=paths["mask"],
        gm=paths["gm"],
        wm=paths["wm"],
        head=paths["head"],
        origin=f"{space}: the template given by the user ({paths['t1w'].name}){extra}.",
    )


def _open(key: str, path: Path) -> Any:
    if not path.is_file():
        raise InputError(f"Template image {key} is not a file: {path}.")
    try:
        image: Any = nib.load(path)
    except Exception as error:
        raise InputError(f"Template image {key} cannot be read as NIfTI: {path} ({error}).") from error
    if len(image.shape) != 3:
        raise InputError(f"Template image {key} must be 3-D; {path} has shape {image.shape}.")
    return image


def _check_values(paths: dict[str, Path | None]) -> None:
    for key in ("mask", "gm", "wm"):
        path = paths[key]
        if path is None:
            continue
        values = np.asanyarray(nib.load(path).dataobj)  # type: ignore[attr-defined]
        if not (values > 0).any():
            raise InputError(f"Template image {key} has no positive voxel: {path}.")
        if key != "mask" and values.max() > 1.01:
            raise InputError(
                f"Template image {key} must hold probabilities from 0 to 1; {path} goes up to {values.max():g}."
            )


def _bundled_images(resolution_mm: float) -> dict[str, Any]:
    from nilearn import datasets

    full = datasets.load_mni152_template(resolution=1)
    affine = np.asarray(full.affine)
    t1w = np.asarray(full.dataobj, np.float32)
    maps = {
        "t1w": t1w,
        "gm": np.asarray(datasets.load_mni152_gm_template(resolution=1).dataobj, np.float32),
        "wm": np.asarray(datasets.load_mni152_wm_template(resolution=1).dataobj, np.float32),
        "mask": ndimage.binary_fill_holes(closing(t1w > 0, _CLOSING_MM, 1.0)).astype(np.float32),
    }
    if resolution_mm != 1:
        resampled = {key: isotropic(data, affine, resolution_mm) for key, data in maps.items()}
        maps = {key: data for key, (data, _) in resampled.items()}
        affine = resampled["t1w"][1]
    brain = maps["mask"] > 0.5
    made = {key: nib.Nifti1Image(np.clip(maps[key], 0, None) * brain, affine) for key in ("t1w", "gm", "wm")}
    made["mask"] = nib.Nifti1Image(brain.astype(np.uint8), affine)
    return made


def _write(image: Any, path: Path) -> None:
    # Several subjects may start at once: each writes its own file, the last rename wins.
    with atomic(path) as temporary:
        nib.save(image, temporary)
