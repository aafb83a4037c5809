"""Values of all regions as dots on glass brains, one row of views a map, with one region ringed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.connectome import VIEWS, View, draw_view
from bids_ai.report.figures.matrices import SCALE_PERCENTILE
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import check_nodes
from bids_ai.report.figures.theme import DIVERGING, INK, MUTED, SEQUENTIAL, new_figure, save_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

#: Area of the largest dot, points squared, and the share of it that the smallest has.
DISC, _LEAST = 60.0, 0.15


@styled
def plot_region_maps(
    maps: Mapping[str, ArrayLike],
    nodes: pd.DataFrame,
    region: int,
    out: Path | str,
    *,
    title: str,
    label: str,
    limits: tuple[float, float] | None = None,
) -> Path:
    """Draw maps of all regions under each other, all on one scale.

    Parameters
    ----------
    maps : mapping of str to array (n_regions,)
        Words -> values; NaN where there is none: such regions are small grey dots.
    nodes : DataFrame
        With coordinates (mm RAS, MNI); regions without are left out.
    region : int
        The one that is ringed.
    out : path
    title, label : str
        Of the figure, and of the scale.
    limits : (float, float), optional
        Of the scale, for values without a sign. By default values have one: the scale is symmetric, and dots are the
        larger the farther from zero.

    Raises
    ------
    InputError
        When sizes disagree, or no region has coordinates.
    """
    values = {words: np.asarray(one, float) for words, one in maps.items()}
    for one in values.values():
        check_nodes(nodes, len(one), title)
    places = nodes[["x", "y", "z"]].to_numpy(float)
    placed = np.isfinite(places).all(axis=1)
    if not placed.any():
        raise InputError(f"{title}: no node of the table has coordinates, so there is nothing to draw in a brain.")
    scale = (
        _signed(list(values.values())) if limits is None else {"cmap": SEQUENTIAL, "vmin": limits[0], "vmax": limits[1]}
    )
    figure = new_figure(width=13.0, height=3.2 * len(values))
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    drawn: Any = None
    grid = figure.subplots(len(values), len(VIEWS), squeeze=False)
    for row, (words, one) in zip(grid, values.items(), strict=True):
        for axes, view in zip(row, VIEWS, strict=True):
            draw_view(axes, view)
            drawn = _draw(axes, view, places, one, placed & _of_side(nodes, places, view), region, scale)
        name = words.replace(": ", ":\n")
        style: dict[str, Any] = {"rotation": 90, "ha": "center", "va": "center", "weight": "bold"}
        row[0].text(-0.14, 0.5, name, transform=row[0].transAxes, **style)
    extend = "both" if limits is None else "neither"
    bar = figure.colorbar(drawn, ax=grid, shrink=0.62, aspect=26, pad=0.01, extend=extend)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return save_figure(figure, out, tight=True)


def _signed(values: list[Array]) -> dict[str, Any]:
    known = np.abs(np.concatenate(values))
    known = known[np.isfinite(known)]
    limit = float(np.percentile(known, SCALE_PERCENTILE)) if known.size else 1.0
    return {"cmap": DIVERGING, "vmin": -(limit or 1.0), "vmax": limit or 1.0}


def _of_side(nodes: pd.DataFrame, places: Array, view: View) -> Array:
    """Regions that a view shows; those without a side are shown in both hemispheres."""
    if not view.side:
        return np.ones(len(places), bool)
    other = {"L": "R", "R": "L"}[view.side]
    if "hemisphere" in nodes and nodes["hemisphere"].isin(["L", "R"]).any():
        return np.asarray(nodes["hemisphere"] != other, dtype=bool)
    return np.asarray(places[:, 0] <= 0 if view.side == "L" else places[:, 0] >= 0)


def _draw(
    axes: Axes, view: View, places: Array, values: Array, shown: Array, region: int, scale: dict[str, Any]
) -> PathCollection:
    flat = places[:, [view.right, view.up]]
    known = shown & np.isfinite(values)
    axes.plot(*flat[shown & ~known].T, "o", color="#aab2bb", ms=2.5, zorder=2)
    order = np.flatnonzero(known)[np.argsort(np.abs(values[known]), kind="stable")]  # the strongest on top
    signed = scale["vmin"] < 0
    size = np.clip(np.abs(values[order]) / scale["vmax"], _LEAST, 1.0) if signed else np.full(len(order), 0.7)
    found = axes.scatter(
        flat[order, 0],
        flat[order, 1],
        c=values[order],
        s=DISC * size,
        edgecolors=MUTED,
        linewidths=0.4,
        zorder=3,
        **scale,
    )
    if shown[region]:
        ring: dict[str, Any] = {"facecolors": "none", "edgecolors": INK, "linewidths": 1.8, "zorder": 4}
        axes.scatter(flat[region, 0], flat[region, 1], s=2.6 * DISC, **ring)
    return found
