"""Figures of the parcellation: where the regions lie, and how much of each was in the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.anat import binary, shade
from bids_ai.report.figures.mosaic import Array, Cut, Image, Volume, load_volume, plan_cuts, sample, world_extent
from bids_ai.report.figures.nodes import network_colours, networks, node_colours, order_nodes
from bids_ai.report.figures.svg import MosaicSvg
from bids_ai.report.figures.theme import MUTED, VERMILLION, new_figure, save_figure, styled

if TYPE_CHECKING:
    import pandas as pd

#: Opacity of a region's fill, and of the line between two regions (0-255).
FILL_ALPHA, EDGE_ALPHA = 150, 230
#: With more networks than this colours can no longer be told apart, and a legend is of no use.
MAX_LEGEND = 20
#: Pixel of the overlay, mm: fine enough for the border between two regions to be a thin line.
OVERLAY_PIXEL_MM = 1.0


def plot_parcellation(labels: Image, background: Image, nodes: pd.DataFrame, out: Path | str) -> Path:
    """Draw the regions over an anatomical image, coloured by network (by region where there are none).

    Parameters
    ----------
    labels : nibabel image or path
        Integer labels as in ``nodes["index"]``, 0 outside.
    background : nibabel image or path
        Anatomy in the same space; the grid may differ.
    nodes : DataFrame
        Node table. Labels absent from it are drawn in grey.
    out : path
        SVG to write.
    """
    regions, anatomy = load_volume(labels, "parcellation"), load_volume(background, "background")
    inside = binary(regions)
    if not inside.data.any():
        raise InputError("The parcellation has no region: every voxel is 0.")
    cuts = plan_cuts(world_extent(inside), OVERLAY_PIXEL_MM)
    mosaic = MosaicSvg(cuts, "Regions of the parcellation over the anatomy")
    mosaic.add_layer("moving", _subtitle(nodes), shade(anatomy, (anatomy, None)))
    mosaic.add_colours(_fill(regions, nodes))
    colours = network_colours(nodes)
    if 1 < len(colours) <= MAX_LEGEND:
        for name, colour in colours.items():
            mosaic.add_legend(name, colour)
    return mosaic.write(out)


@styled
def plot_coverage(coverage: pd.DataFrame, nodes: pd.DataFrame, out: Path | str, *, minimum: float = 0.5) -> Path:
    """Draw how much of each region lay inside the data, in the order of the matrices.

    Parameters
    ----------
    coverage : DataFrame
        Columns ``index`` (or ``name``) and ``coverage``, the fraction (0-1) of the region's voxels with data.
    nodes : DataFrame
        Node table.
    out : path
    minimum : float
        Least coverage (fraction) of a region that is used.

    Raises
    ------
    InputError
        When the table has no column ``coverage`` or neither key.
    """
    values = _coverage_of(coverage, nodes)
    order, _, blocks = order_nodes(nodes)
    drawn, colours = values[order] * 100, node_colours(nodes)
    below = np.flatnonzero(~(drawn >= minimum * 100))
    figure = new_figure(height=3.6)
    axes = figure.subplots()
    axes.bar(np.arange(len(order)), np.nan_to_num(drawn), width=1.0, color=[colours[i] for i in order], lw=0)
    axes.axhline(minimum * 100, color=VERMILLION, lw=1.2, ls=(0, (4, 3)))
    for position in below:
        axes.plot(position, 4, marker="v", color=VERMILLION, ms=6, clip_on=False)
    axes.set_ylim(0, 100)
    axes.set_xlim(-0.5, len(order) - 0.5)
    axes.set_ylabel("Voxels with data (%)")
    wide = [block for block in blocks if block.last - block.first > len(order) / 60]
    if len(set(networks(nodes))) > 1:
        axes.set_xticks(
            [(b.first + b.last - 1) / 2 for b in wide],
            [b.name for b in wide],
            rotation=40,
            ha="right",
            rotation_mode="anchor",
        )
        axes.tick_params(axis="x", length=0)
    axes.set_xlabel(f"{len(order)} regions by hemisphere" + (" and network" if len(blocks) > 2 else ""))
    verdict = (
        f"{len(below)} of {len(order)} regions below the minimum of {minimum * 100:g} % (marked)"
        if len(below)
        else f"all {len(order)} regions reach the minimum of {minimum * 100:g} %"
    )
    axes.set_title(verdict, fontsize=11, fontweight="normal", color=MUTED)
    return save_figure(figure, out)


def _subtitle(nodes: pd.DataFrame) -> str:
    n_networks = len(set(networks(nodes)))
    return f"{len(nodes)} regions" + (f", {n_networks} networks" if n_networks > 1 else "")


def _fill(regions: Volume, nodes: pd.DataFrame) -> Callable[[Cut], Array]:
    """Return a function that cuts the regions as an RGBA picture with dark lines between them."""
    lookup = np.full((int(regions.data.max()) + 1, 4), (128, 128, 128, FILL_ALPHA), np.uint8)
    lookup[0] = 0
    for index, colour in zip(nodes["index"], node_colours(nodes, distinct=True), strict=True):
        if 0 < int(index) < len(lookup):
            lookup[int(index), :3] = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]

    def picture(cut: Cut) -> Array:
        found = np.rint(sample(regions, cut, order=0)).astype(int)
        pixels = lookup[np.clip(found, 0, len(lookup) - 1)]
        edge = _borders(found)
        pixels[edge, :3] = pixels[edge, :3] // 3
        pixels[edge, 3] = EDGE_ALPHA
        return pixels

    return picture


def _borders(found: Array) -> Array:
    """Return the pixels of a region whose right or lower neighbour belongs to another one."""
    edge = np.zeros(found.shape, bool)
    edge[:, :-1] |= (found[:, :-1] != found[:, 1:]) & (found[:, 1:] > 0)
    edge[:-1] |= (found[:-1] != found[1:]) & (found[1:] > 0)
    return edge & (found > 0)


def _coverage_of(coverage: pd.DataFrame, nodes: pd.DataFrame) -> Array:
    """Return the coverage of each node, NaN for nodes that the table does not name."""
    key = next((column for column in ("index", "name") if column in coverage and column in nodes), None)
    if key is None or "coverage" not in coverage:
        raise InputError(
            "A coverage table needs the columns 'index' (or 'name') and 'coverage'; "
            f"this one has: {', '.join(map(str, coverage.columns))}."
        )
    by_key = dict(zip(coverage[key], coverage["coverage"], strict=True))
    return np.array([by_key.get(value, np.nan) for value in nodes[key]], float)
