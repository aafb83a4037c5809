"""Pictures of the diffusion stage: where the b0 lies, before and after distortion, its noise, and the directions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.anat import add_anatomy_outlines, binary, shade
from bids_ai.report.figures.mosaic import (
    Array,
    Cut,
    Image,
    Volume,
    grey,
    load_volume,
    plan_cuts,
    sample,
    world_extent,
)
from bids_ai.report.figures.svg import MosaicSvg

#: Colours of the axes, as every viewer has them: red across, green forwards, blue upwards.
AXIS_COLOURS = {"left-right": "#ff4d4d", "front-back": "#3ddc5a", "up-down": "#5b8cff"}
#: FA that is drawn at full brightness.
_BRIGHT_FA = 0.7
#: Pixels of a map are at most this part of a voxel.
_PIXELS_PER_VOXEL = 2.0


def plot_dwi_coregistration(dwiref: Image, t1w: Image, labels: Image, out: Path | str) -> Path:
    """Draw the b0 in T1w space and the T1w, alternating, under brain and white-matter outlines.

    Parameters
    ----------
    dwiref, t1w : nibabel image or path
        In one space; the grids may differ. Without a T1w, the template in the aligned frame.
    labels : nibabel image or path
        Tissues of the T1w (1 grey matter, 2 white matter, 3 CSF), or a brain mask.
    out : path
        SVG to write, with the layers ``#moving`` (b0) and ``#fixed`` (T1w).
    """
    moving, fixed = load_volume(dwiref, "b0"), load_volume(t1w, "T1w")
    return _alternate(
        [("moving", "b0", moving), ("fixed", "T1w", fixed)], labels, fixed.pixel_mm, out, "b0 on the T1w image"
    )


def plot_dwi_distortion(dwiref: Image, dwiref_distorted: Image, labels: Image, out: Path | str) -> Path:
    """Draw the b0 with and without correction of susceptibility distortion, alternating, under outlines of the T1w.

    Parameters
    ----------
    dwiref, dwiref_distorted : nibabel image or path
        On one grid.
    labels : nibabel image or path
        Tissues of the T1w (1, 2, 3), or a brain mask.
    out : path
        SVG to write, with the layers ``#moving`` (corrected) and ``#fixed`` (as scanned).
    """
    after, before = load_volume(dwiref, "b0"), load_volume(dwiref_distorted, "distorted b0")
    pixel = after.pixel_mm / _PIXELS_PER_VOXEL
    layers = [("moving", "Corrected", after), ("fixed", "As scanned", before)]
    return _alternate(layers, labels, pixel, out, "b0 before and after the correction of distortion")


def _alternate(
    layers: list[tuple[str, str, Volume]], labels: Image, pixel: float, out: Path | str, description: str
) -> Path:
    anatomy = load_volume(labels, "tissue labels")
    cuts = plan_cuts(world_extent(binary(anatomy)), pixel, n_cuts=6)
    mosaic = MosaicSvg(cuts, description)
    for identifier, name, volume in layers:
        mosaic.add_layer(identifier, name, shade(volume, (volume, None)))
    add_anatomy_outlines(mosaic, anatomy)
    return mosaic.write(out)


def plot_denoising(residual: Image, out: Path | str, mask: Image | None = None) -> Path:
    """Draw the standard deviation of what denoising took out.

    Noise is smooth over the head; anatomy in this picture is signal that was lost.

    Parameters
    ----------
    residual : nibabel image or path
        Image units.
    out : path
        SVG to write.
    mask : nibabel image or path, optional
        Brain, on the same grid: where the slices lie, and what the grey levels are scaled to.
    """
    noise = load_volume(residual, "denoising residual")
    inside = load_volume(mask, "brain mask") if mask is not None else binary(noise)
    if inside.data.shape != noise.data.shape:
        raise InputError(f"Residual {noise.data.shape} and mask {inside.data.shape} must lie on one grid.")
    values = noise.data[inside.data > 0]
    top = 2 * float(np.median(values)) if values.size else 1.0
    cuts = plan_cuts(world_extent(inside), noise.pixel_mm / _PIXELS_PER_VOXEL, n_cuts=6)
    mosaic = MosaicSvg(cuts, "Standard deviation of what denoising took out")
    mosaic.add_layer("moving", "Noise taken out", lambda cut: grey(sample(noise, cut), (0.0, top or 1.0)))
    mosaic.add_legend(f"white: a standard deviation of {top:.3g}, twice the median in the brain; black: 0", "#ffffff")
    return mosaic.write(out)


def plot_fa(fa: Image, direction: Image, out: Path | str) -> Path:
    """Draw FA in the colours of the principal direction (Pajevic & Pierpaoli 1999).

    Parameters
    ----------
    fa : nibabel image or path
        NaN or 0 outside the brain.
    direction : nibabel image or path
        Unit vectors along the world axes, (nx, ny, nz, 3).
    out : path
        SVG to write.

    References
    ----------
    Pajevic & Pierpaoli 1999, doi:10.1002/(SICI)1522-2594(199909)42:3<526::AID-MRM15>3.0.CO;2-J.
    """
    anisotropy = load_volume(fa, "FA")
    vectors = _load_vectors(direction, anisotropy)
    # Colours are mixed, not directions: opposite vectors are the same direction and would cancel.
    weighted = [Volume(np.abs(vectors[..., k]) * anisotropy.data, anisotropy.affine) for k in range(3)]
    cuts = plan_cuts(world_extent(binary(anisotropy)), anisotropy.pixel_mm / _PIXELS_PER_VOXEL, n_cuts=6)
    mosaic = MosaicSvg(cuts, "Fractional anisotropy in the colours of the principal direction")
    mosaic.add_layer("moving", f"FA, full colour at {_BRIGHT_FA:g}", _coloured(weighted))
    for name, colour in AXIS_COLOURS.items():
        mosaic.add_legend(name, colour)
    return mosaic.write(out)


def _coloured(channels: list[Volume]) -> Callable[[Cut], Array]:
    def picture(cut: Cut) -> Array:
        values = np.stack([sample(channel, cut) for channel in channels], axis=-1) / _BRIGHT_FA
        # The root lifts the dark end, where grey matter is.
        return (255 * np.sqrt(np.clip(values, 0, 1))).astype(np.uint8)

    return picture


def _load_vectors(direction: Image, anisotropy: Volume) -> Array:
    import nibabel as nib

    image = nib.load(direction) if isinstance(direction, str | Path) else direction
    vectors = np.nan_to_num(np.asanyarray(image.dataobj, dtype=np.float32))  # type: ignore[attr-defined]
    if vectors.shape != (*anisotropy.data.shape, 3):
        raise InputError(f"Directions of shape {vectors.shape} do not belong to FA of {anisotropy.data.shape}.")
    return vectors
