"""Recorded and predicted responses between regions: matrices under each other, in one order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
from bids_ai.report.figures.nodes import check_nodes, order_nodes
from bids_ai.report.figures.theme import new_figure, save_figure, styled
from bids_ai.report.figures.traces import check_shape

if TYPE_CHECKING:
    import pandas as pd

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
