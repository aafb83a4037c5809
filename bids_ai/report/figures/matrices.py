"""Figures of relationship matrices, ordered by hemisphere and network. Rows are sources, columns are targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import (
    Block,
    check_nodes,
    networks,
    node_colours,
    order_nodes,
    runs,
)
from bids_ai.report.figures.theme import (
    DIVERGING,
    INK,
    MISSING,
    MUTED,
    SEQUENTIAL,
    new_figure,
    save_figure,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Names of single regions are drawn up to this many regions.
MAX_NAMES = 40
#: The colour scale ends at this percentile of the absolute off-diagonal values: one outlier must not bleach the rest.
SCALE_PERCENTILE = 99.0
#: Edge of a drawn matrix in points, about: names and dots of cells have to fit it. Alone, and beside another.
MATRIX_POINTS, MATRIX_POINTS_OF_TWO = 400.0, 270.0
#: Edge of the embedded picture in pixels, at least: viewers that smooth small pictures must not blur the cells.
PICTURE_PIXELS = 800


class RelmatPanel(NamedTuple):
    """One matrix of :func:`plot_relmat_pair`."""

    matrix: ArrayLike
    title: str
    label: str
    directed: bool
    diverging: bool = True
    vmax: float | None = None
    marks: ArrayLike | None = None
    marked: str = "marked"


@styled
def plot_relmat(
    matrix: ArrayLike,
    nodes: pd.DataFrame,
    out: Path | str,
    *,
    title: str,
    label: str,
    directed: bool,
    vmax: float | None = None,
    diverging: bool = True,
    marks: ArrayLike | None = None,
    marked: str = "marked",
) -> Path:
    """Draw one region x region matrix.

    Parameters
    ----------
    matrix : array (n_regions, n_regions)
        Row = source, column = target; NaN = undefined, drawn hatched.
    nodes : DataFrame
        Node table in the order of the matrix.
    out : path
        SVG or PNG to write.
    title : str
    label : str
        Quantity and unit, at the colour scale.
    directed : bool
        Names the axes "source" and "target" where true.
    vmax : float, optional
        End of the colour scale; by default the 99th percentile of the absolute off-diagonal values.
    diverging : bool
        Scale from -vmax to vmax, white at 0; else from 0 to vmax.
    marks : bool array (n_regions, n_regions), optional
        Cells that get a dot, such as edges beyond chance.
    marked : str
        What a dot means.

    Raises
    ------
    InputError
        When the matrix is not square, or the node table is of another size.
    """
    figure = new_figure(width=8.4, height=8.0)
    panel = RelmatPanel(matrix, title, label, directed, diverging, vmax, marks, marked)
    _draw_panel(figure.subplots(), panel, nodes)
    return save_figure(figure, out, tight=True)


@styled
def plot_relmat_pair(
    left: RelmatPanel | Sequence[object], right: RelmatPanel | Sequence[object], nodes: pd.DataFrame, out: Path | str
) -> Path:
    """Draw two matrices of one atlas side by side in the same order, such as FC and EC.

    Parameters
    ----------
    left, right : RelmatPanel
        Matrix with title, label of its scale, and whether it is directed.
    nodes : DataFrame
        Node table in the order of both matrices.
    out : path
    """
    return plot_relmats([left, right], nodes, out)


@styled
def plot_relmats(panels: Sequence[RelmatPanel | Sequence[object]], nodes: pd.DataFrame, out: Path | str) -> Path:
    """Draw matrices of one atlas in the same order, two in a row.

    Parameters
    ----------
    panels : sequence of RelmatPanel
    nodes : DataFrame
        Node table in the order of all of them.
    out : path
    """
    n_rows = (len(panels) + 1) // 2
    figure = new_figure(width=13.4 if len(panels) > 1 else 8.4, height=6.8 * n_rows if len(panels) > 1 else 8.0)
    grid = figure.subplots(n_rows, min(len(panels), 2), squeeze=False).ravel()
    points = MATRIX_POINTS if len(panels) < 2 else MATRIX_POINTS_OF_TWO
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, RelmatPanel(*panel), nodes, points)  # type: ignore[arg-type]
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return save_figure(figure, out, tight=True)


def colour_limit(matrix: Array) -> float:
    """Return the end of the colour scale of a matrix: a percentile of the absolute off-diagonal values."""
    off = np.abs(matrix[~np.eye(len(matrix), dtype=bool)])
    off = off[np.isfinite(off)]
    limit = float(np.percentile(off, SCALE_PERCENTILE)) if off.size else 0.0
    return limit or 1.0


def _draw_panel(axes: Axes, panel: RelmatPanel, nodes: pd.DataFrame, points: float = MATRIX_POINTS) -> None:
    matrix = np.asarray(panel.matrix, float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"{panel.title}: a square matrix is needed, this one has shape {matrix.shape}.")
    check_nodes(nodes, len(matrix), panel.title)
    order, hemispheres, blocks = order_nodes(nodes)
    limit = panel.vmax or colour_limit(matrix)
    picture = _draw_cells(axes, matrix[np.ix_(order, order)], limit, panel.diverging)
    _draw_blocks(axes, nodes, order, hemispheres, blocks, points)
    marks = None if panel.marks is None else np.asarray(panel.marks, bool)[np.ix_(order, order)]
    if marks is not None:
        _draw_marks(axes, marks, points)
    if panel.directed:
        axes.set_ylabel("Source region")
    across = ["Target region"] if panel.directed else []
    dots = [] if marks is None else [f"dots: {panel.marked} ({int(marks.sum())})"]
    axes.set_xlabel("\n".join([*across, *_missing_words(matrix), *dots]))
    axes.set_title(panel.title, pad=32)  # above the names of the hemispheres
    beyond = bool((np.abs(_off_diagonal(matrix)) > limit).any())
    extend = "neither" if not beyond else "both" if panel.diverging else "max"
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.62, aspect=26, pad=0.03, extend=extend)
    bar.set_label(panel.label)
    bar.outline.set_visible(False)


def _off_diagonal(matrix: Array) -> Array:
    values = matrix[~np.eye(len(matrix), dtype=bool)]
    return np.asarray(values[np.isfinite(values)])


def _draw_cells(axes: Axes, matrix: Array, limit: float, diverging: bool) -> AxesImage:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    n = len(matrix)
    axes.add_patch(Rectangle((0, 0), n, n, facecolor=MISSING, edgecolor="#7d8793", hatch="////", lw=0, zorder=0))
    colours = colormaps[DIVERGING if diverging else SEQUENTIAL].with_extremes(bad=(0, 0, 0, 0))
    times = max(1, int(np.ceil(PICTURE_PIXELS / n)))
    cells = np.ma.masked_invalid(np.kron(matrix, np.ones((times, times))))
    picture = axes.imshow(
        cells,
        cmap=colours,
        vmin=-limit if diverging else 0,
        vmax=limit,
        interpolation="none",
        extent=(0, n, n, 0),
        zorder=1,
    )
    axes.set_xlim(0, n)
    axes.set_ylim(n, 0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return picture


def _draw_marks(axes: Axes, marks: Array, points: float = MATRIX_POINTS) -> None:
    """Draw a dot, dark with a light rim, so that it is seen on every colour."""
    rows, columns = np.nonzero(marks)
    cell = points / len(marks)
    axes.scatter(
        columns + 0.5,
        rows + 0.5,
        s=float(np.clip(0.42 * cell, 0.8, 6)) ** 2,
        color=INK,
        edgecolors="white",
        lw=float(np.clip(0.06 * cell, 0.1, 0.7)),
        zorder=3,
        rasterized=len(rows) > 1500,
    )


def _draw_blocks(
    axes: Axes, nodes: pd.DataFrame, order: Array, hemispheres: list[Block], blocks: list[Block], points: float
) -> None:
    """Draw the network bars along both sides, lines between the groups, and their names."""
    n, colours = len(order), node_colours(nodes)
    grouped = len(set(networks(nodes))) > 1
    for colour, first, last in runs([colours[node] for node in order]) if grouped else []:
        style: dict[str, Any] = {"color": colour, "lw": 0, "clip_on": False}
        axes.axhspan(first, last, xmin=-0.028, xmax=-0.008, **style)
        axes.axvspan(first, last, ymin=1.008, ymax=1.028, **style)
    for block in blocks[1:]:
        axes.axhline(block.first, color=INK, lw=0.25, alpha=0.5)
        axes.axvline(block.first, color=INK, lw=0.25, alpha=0.5)
    for block in hemispheres[1:]:
        axes.axhline(block.first, color=INK, lw=1.0)
        axes.axvline(block.first, color=INK, lw=1.0)
    if n <= MAX_NAMES:
        names = [str(nodes["name"].iloc[i]) for i in order]
        size = min(10.0, 0.72 * points / n)  # the height of a line is 1.2 of its size: names must not touch
        axes.set_yticks(np.arange(n) + 0.5, names, fontsize=size)
        axes.set_xticks(np.arange(n) + 0.5, names, rotation=90, fontsize=size)
        _name_sides(axes, n, hemispheres)
    else:
        _name_blocks(axes, n, blocks if grouped else hemispheres, hemispheres)
    axes.tick_params(length=0, pad=14, axis="y")
    axes.tick_params(length=0, pad=5, axis="x")


def _name_sides(axes: Axes, n: int, hemispheres: list[Block]) -> None:
    """Name the hemispheres above the matrix and to its right."""
    if len(hemispheres) < 2:
        return
    for block in hemispheres:
        centre = (block.first + block.last) / 2
        style: dict[str, Any] = {"fontsize": 10, "color": MUTED}
        axes.text(centre, -0.035 * n, block.name, ha="center", va="bottom", **style)
        axes.text(1.01 * n, centre, block.name, ha="left", va="center", rotation=-90, **style)


def _name_blocks(axes: Axes, n: int, blocks: list[Block], hemispheres: list[Block]) -> None:
    """Name networks at the rows and hemispheres at the columns; of names that overlap the larger group has its own."""
    if len(hemispheres) > 1 or hemispheres[0].name in ("Left", "Right"):
        axes.set_xticks([(b.first + b.last) / 2 for b in hemispheres], [b.name for b in hemispheres])
    else:
        axes.set_xticks([])
    shown: dict[float, str] = {}
    for block in sorted(blocks, key=lambda block: block.first - block.last):
        centre = (block.first + block.last) / 2
        if all(abs(centre - other) >= n / 34 for other in shown):  # a line of text takes that much of the height
            shown[centre] = block.name
    axes.set_yticks(list(shown), list(shown.values()))


def _missing_words(matrix: Array) -> list[str]:
    """Say what hatching means, and how many regions have no values at all; nothing when all is defined."""
    if not np.isnan(matrix).any():
        return []
    text = "hatched: undefined"
    if np.isnan(np.diag(matrix)).all():
        text += " (the diagonal by definition)"
    off = matrix.copy()
    np.fill_diagonal(off, np.nan)
    empty = int((np.isnan(off).all(0) & np.isnan(off).all(1)).sum())
    if empty:
        text += f"; {empty} of {len(matrix)} regions without data"
    return [text]
