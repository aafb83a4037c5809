"""Preprocessed images of a diffusion series, our own or those of another tool: what connectomes start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_ai.bids.gradients import GradientTable, read_gradients
from bids_ai.bids.index import Diffusion
from bids_ai.bids.metadata import split_name
from bids_ai.stages.context import Context

if TYPE_CHECKING:
    from numpy.typing import NDArray

TISSUES = ("gm", "wm", "csf")
_RESAMPLING = {"force_resample": True, "copy_header": True}


@dataclass(frozen=True)
class DiffusionImages:
    """A preprocessed series with all that tractography needs, on one grid.

    Attributes
    ----------
    image : nibabel image (nx, ny, nz, n_volumes)
    gradients : GradientTable
    mask : (nx, ny, nz) bool array
        Brain.
    tissue : dict of (nx, ny, nz) arrays
        Parts "gm", "wm", "csf" of every voxel.
    """

    image: Any
    gradients: GradientTable
    mask: NDArray[np.bool_]
    tissue: dict[str, NDArray[np.float32]]


def load_diffusion(context: Context, entry: Diffusion) -> DiffusionImages:
    """Read the images of a series; tissues of another tool's T1w are segmented here, with our own definitions."""
    own = entry.engine == "builtin"
    path = context.names.path
    image: Any = nib.load(image_of(context, entry))
    bval = path("dwi_bval", dwi=entry.images) if own else Path(entry.bval)
    bvec = path("dwi_bvec", dwi=entry.images) if own else Path(entry.bvec)
    mask = path("dwi_mask", dwi=entry.images) if own else Path(entry.mask or "")
    tissue = (
        {name: _volume(path(f"dwi_{name}", dwi=entry.images)) for name in TISSUES} if own else _segment(entry, image)
    )
    return DiffusionImages(image, read_gradients(bval, bvec, image.shape[3]), _volume(mask) > 0, tissue)


def image_of(context: Context, entry: Diffusion) -> Path:
    """Preprocessed series."""
    if entry.engine == "builtin":
        return context.names.path("dwi", dwi=entry.images)
    return Path(entry.source)


def from_template(context: Context, entry: Diffusion) -> tuple[Path, Path]:
    """Transform from the template to the space of the series, and an image there.

    The image is the T1w where there is one: its grid is fine, and streamlines end between voxels of the diffusion
    images.
    """
    path = context.names.path
    if entry.engine == "qsiprep":
        return Path(entry.from_template or ""), Path(entry.t1w or "")
    if entry.anat:
        return path("template_to_t1w", anat=entry.anat), path("t1w", anat=entry.anat)
    return path("template_to_dwi", dwi=entry.images), path("dwi_ref", dwi=entry.images)


def space_of_transform(entry: Diffusion) -> str:
    """Template space that the transform of another tool starts from."""
    return split_name(Path(entry.from_template or "").name)[0].get("from", "")


def _volume(path: Path) -> NDArray[np.float32]:
    image: Any = nib.load(path)
    values: NDArray[np.float32] = image.get_fdata(dtype=np.float32)
    return values


def _segment(entry: Diffusion, image: Any) -> dict[str, NDArray[np.float32]]:
    from nilearn.image import resample_to_img

    from bids_ai.preprocess.tissues import segment_tissues

    t1w: Any = nib.load(entry.t1w or "")
    mask: Any = resample_to_img(nib.load(entry.mask or ""), t1w, interpolation="nearest", **_RESAMPLING)
    found = segment_tissues(t1w.get_fdata(dtype=np.float32), t1w.affine, mask.get_fdata() > 0)
    first = image.slicer[..., 0]
    return {
        name: resample_to_img(nib.Nifti1Image(getattr(found, name), t1w.affine), first, **_RESAMPLING).get_fdata(
            dtype=np.float32
        )
        for name in TISSUES
    }
