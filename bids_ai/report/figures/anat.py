"""Figures of the anatomical stage: brain mask, tissue classes, registration to the template."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from bids_ai.report.figures.mosaic import (
    Array,
    Cut,
    Image,
    Volume,
    grey,
    load_volume,
    outline,
    plan_cuts,
    sample,
    window,
    world_extent,
)
from bids_ai.report.figures.svg import MosaicSvg
from bids_ai.report.figures.theme import ORANGE, PURPLE, SKY, VERMILLION

#: Tissue labels of a `dseg` image, with the colour of their outline.
TISSUES = {1: ("grey matter", ORANGE), 2: ("white matter", SKY), 3: ("CSF", PURPLE)}


def plot_brain_mask(t1w: Image, mask: Image, out: Path | str) -> Path:
    """Draw the outline of the brain mask on the T1w, 7 slices in each of 3 planes.

    Parameters
    ----------
    t1w, mask : nibabel image or path
        3-D; the grids may differ. Non-zero mask voxels are brain.
    out : path
        SVG to write.

    Returns
    -------
    Path
        `out`.
    """
    head, brain = load_volume(t1w, "T1w"), binary(load_volume(mask, "brain mask"))
    # A wide margin, so that brain that was cut off would be seen outside the outline.
    cuts = plan_cuts(world_extent(brain), head.pixel_mm, margin=18.0)
    mosaic = MosaicSvg(cuts, "Brain mask on the T1w image")
    mosaic.add_layer("moving", "T1w", shade(head, (head, brain)))
    mosaic.add_outlines("brain mask", ORANGE, trace(brain))
    return mosaic.write(out)


def plot_tissues(t1w: Image, dseg: Image, out: Path | str) -> Path:
    """Draw the outlines of grey matter, white matter and CSF on the T1w.

    Parameters
    ----------
    t1w : nibabel image or path
    dseg : nibabel image or path
        Labels 1 grey matter, 2 white matter, 3 CSF.
    out : path
        SVG to write.
    """
    head, labels = load_volume(t1w, "T1w"), load_volume(dseg, "tissue labels")
    # Three outlines side by side need room: fewer slices, larger.
    cuts = plan_cuts(world_extent(binary(labels)), head.pixel_mm, n_cuts=5, margin=6.0)
    mosaic = MosaicSvg(cuts, "Tissue classes on the T1w image")
    mosaic.add_layer("moving", "T1w", shade(head, (head, binary(labels))))
    for label in (3, 1, 2):  # the inner outline last: it shares its course with the outer one of its neighbour
        name, colour = TISSUES[label]
        mosaic.add_outlines(name, colour, trace(of_label(labels, label)))
    return mosaic.write(out)


def plot_template_registration(
    t1w_in_template: Image, template: Image, template_dseg_or_mask: Image, out: Path | str
) -> Path:
    """Draw the normalised T1w and the template on the same cuts, alternating, under the template's outlines.

    Parameters
    ----------
    t1w_in_template, template : nibabel image or path
        Both in the space of the template; the grids may differ.
    template_dseg_or_mask : nibabel image or path
        A tissue segmentation (labels 1, 2, 3) or a brain mask of the template; its outlines stay in place while the
        pictures alternate.
    out : path
        SVG to write, with the layers ``#moving`` (subject) and ``#fixed`` (template).
    """
    subject, target = load_volume(t1w_in_template, "T1w in template"), load_volume(template, "template")
    labels = load_volume(template_dseg_or_mask, "template labels")
    cuts = plan_cuts(world_extent(binary(labels)), target.pixel_mm)
    mosaic = MosaicSvg(cuts, "T1w in template space against the template")
    mosaic.add_layer("moving", "Subject T1w", shade(subject, (subject, None)))
    mosaic.add_layer("fixed", "Template", shade(target, (target, None)))
    add_anatomy_outlines(mosaic, labels, "template ")
    return mosaic.write(out)


def binary(volume: Volume) -> Volume:
    """Return the non-zero voxels as 1."""
    return Volume((volume.data != 0).astype(np.float32), volume.affine)


def of_label(volume: Volume, label: int) -> Volume:
    """Return the voxels of one label as 1."""
    return Volume((np.rint(volume.data) == label).astype(np.float32), volume.affine)


def shade(volume: Volume, window_of: tuple[Volume, Volume | None]) -> Callable[[Cut], Array]:
    """Return a function that cuts a volume in grey, with the window taken within a mask on the same grid."""
    source, mask = window_of
    within = mask.data > 0 if mask is not None and mask.data.shape == source.data.shape else None
    limits = window(source, within)
    return lambda cut: grey(sample(volume, cut), limits)


def trace(volume: Volume) -> Callable[[Cut], list[Array]]:
    """Return a function that outlines a 0/1 volume on a cut."""
    return lambda cut: outline(sample(volume, cut))


def add_anatomy_outlines(mosaic: MosaicSvg, labels: Volume, prefix: str = "") -> None:
    """Outline the brain, and the white matter where the labels tell it (2) from grey matter (1)."""
    mosaic.add_outlines(f"{prefix}brain", VERMILLION, trace(binary(labels)))
    white = of_label(labels, 2)
    if white.data.any() and (np.rint(labels.data) == 1).any():
        mosaic.add_outlines(f"{prefix}white matter", SKY, trace(white))
