"""Recorded and predicted responses between regions: matrices side by side, and maps of one region on the brain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.ccep_matrices import (
    Kind,
    Matrix,
    cell_words,
    draw_cells,
    height_in,
    name_sides,
    region_groups,
)
from bids_ai.report.figures.connectome import VIEWS, draw_view
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import check_nodes, order_nodes
from bids_ai.report.figures.theme import INK, MUTED, SEQUENTIAL, new_figure, save_figure, styled
from bids_ai.report.figures.traces import check_shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

#: Area of a dot on the maps, points squared.
_DOT = 42.0


class Panel(NamedTuple):
    """A matrix to draw.

    Attributes
    ----------
    title, label : str
    values : array (n_regions, n_regions)
        Row = stimulated.
    limit : float or None
        End of the colour scale; None: that of the values.
    """

    title: str
    label: str
    values: ArrayLike
    limit: float | None = 1.0


@styled
def plot_prediction_matrices(
    panels: list[Panel], tested: ArrayLike, nodes: pd.DataFrame, out: Path | str, *, title: str = "Regions"
) -> Path:
    """Draw matrices between the same regions in the same order, under each other.

    Rows are the regions that were stimulated, columns those that were recorded from; cells that were not tested are
    grey in all of them.

    Parameters
    ----------
    panels : list of Panel
    tested : array (n_regions, n_regions)
        Tested pairs; 0 or NaN where there are none.
    nodes : DataFrame
    out : path
    title : str

    Raises
    ------
    InputError
        When shapes disagree, or no pair of regions was tested.
    """
    counts = np.nan_to_num(np.array(tested, float))
    check_nodes(nodes, len(counts), title)
    if not (counts > 0).any():
        raise InputError(f"{title}: no pair of regions was tested, so there is nothing to draw.")
    order = order_nodes(nodes)[0]
    rows, columns = (order[(counts > 0).any(axis=axis)[order]] for axis in (1, 0))
    known = counts[np.ix_(rows, columns)] > 0
    nothing = np.zeros_like(known)
    names, groups = [str(name) for name in nodes["name"]], region_groups(nodes)
    height = height_in(len(rows))
    figure = new_figure(height=len(panels) * (height + 0.9) + 2.4)
    for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False).ravel(), panels, strict=True):
        values = np.array(panel.values, float)
        check_shape(panel.title, values, counts.shape)
        cells = Matrix(np.where(known, values[np.ix_(rows, columns)], np.nan), nothing, nothing, nothing)
        draw_cells(axes, cells, Kind(panel.title, panel.label, limit=panel.limit))
        name_sides(axes, [names[i] for i in rows], [names[i] for i in columns], [groups[i] for i in columns], height)
        axes.set_ylabel("Stimulated region")
        if panel is panels[-1]:
            axes.set_xlabel("\n".join(["Recorded region", cell_words(cells, dotted=False)]))
        else:  # one order in all: the columns are named once, below the last
            axes.set_xticks([])
    return save_figure(figure, out, tight=True)


@styled
def plot_region_map(
    recorded: ArrayLike,
    predicted: ArrayLike,
    nodes: pd.DataFrame,
    region: int,
    out: Path | str,
    *,
    title: str,
    label: str = "Probability of a response",
) -> Path:
    """Draw recorded and predicted values of all regions for one region, on two glass brains with one scale.

    Parameters
    ----------
    recorded, predicted : array (n_regions,)
        NaN where there is none; such regions are small grey dots.
    nodes : DataFrame
        With coordinates (mm RAS, MNI).
    region : int
        The one that is stimulated, or recorded: ringed.
    out : path
    title, label : str

    Raises
    ------
    InputError
        When sizes disagree, or no region has coordinates.
    """
    rows = {"Recorded": np.asarray(recorded, float), "Predicted": np.asarray(predicted, float)}
    for what, values in rows.items():
        check_shape(what, values, (len(nodes),))
    places = nodes[["x", "y", "z"]].to_numpy(float)
    placed = np.isfinite(places).all(axis=1)
    if not placed.any():
        raise InputError(f"{title}: no node of the table has coordinates, so there is nothing to draw in a brain.")
    figure = new_figure(height=6.2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    grid = figure.subplots(2, len(VIEWS), squeeze=False)
    mappable: Any = None
    for panels, (what, values) in zip(grid, rows.items(), strict=True):
        for axes, view in zip(panels, VIEWS, strict=True):
            draw_view(axes, view)
            mappable = _draw_values(
                axes, places, values, placed & _of_side(places, view.side), (view.right, view.up), region
            )
        panels[0].text(
            -0.12, 0.5, what, transform=panels[0].transAxes, rotation=90, ha="center", va="center", fontweight="bold"
        )
    bar = figure.colorbar(mappable, ax=grid, shrink=0.6, aspect=24, pad=0.01)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return save_figure(figure, out, tight=True)


def _of_side(places: Array, side: str) -> Array:
    """Regions of a hemisphere; those in the middle belong to both."""
    if not side:
        return np.ones(len(places), bool)
    return np.asarray(places[:, 0] <= 0 if side == "L" else places[:, 0] >= 0)


def _draw_values(
    axes: Axes, places: Array, values: Array, shown: Array, sides: tuple[int, int], region: int
) -> PathCollection:
    """Draw values as coloured dots, and a ring around one region."""
    flat = places[:, list(sides)]
    known = shown & np.isfinite(values)
    axes.plot(*flat[shown & ~known].T, "o", color="#aab2bb", ms=2.5, zorder=2)
    order = np.flatnonzero(known)[np.argsort(values[known], kind="stable")]  # the largest on top
    found = axes.scatter(
        flat[order, 0],
        flat[order, 1],
        c=values[order],
        s=_DOT,
        cmap=SEQUENTIAL,
        vmin=0.0,
        vmax=1.0,
        edgecolors=MUTED,
        linewidths=0.4,
        zorder=3,
    )
    if shown[region]:
        axes.scatter(
            flat[region, 0], flat[region, 1], s=3.2 * _DOT, facecolors="none", edgecolors=INK, linewidths=1.6, zorder=4
        )
    return found
