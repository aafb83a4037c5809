"""Matrices of responses to single pulses: sites by contacts, and regions by regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.matrices import SCALE_PERCENTILE
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import check_nodes, networks, order_nodes, runs, sides
from bids_ai.report.figures.theme import (
    CATEGORIES,
    DIVERGING,
    INK,
    MISSING,
    SEQUENTIAL,
    new_figure,
    save_figure,
    styled,
)
from bids_ai.report.figures.traces import check_shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

#: Names of single columns are drawn up to this many, those of rows up to so many; above, every second or third row.
_MAX_COLUMNS, _MAX_ROWS = 64, 60
#: Width of the drawn cells, and height of a row, in inches, about; a matrix is not higher than this.
_CELLS_IN, _ROW_IN, _HIGHEST_IN = 8.0, 0.19, 9.5
#: Pixels of the embedded picture, at least: viewers that smooth small pictures must not blur the cells.
_PIXELS = (800, 1200)
#: Scales that begin at the least value span this and 100 less this percentile.
_LATENCY_PERCENTILE = 95.0
#: Colour of cells without a response, where a quantity is of responses only.
_SILENT = "#ffffff"


class Kind(NamedTuple):
    """A quantity: title, label with unit, and how its scale runs.

    `signed`: white at zero where any value is negative. `from_least`: the scale begins near the least value.
    """

    title: str
    label: str
    signed: bool = False
    from_least: bool = False
    limit: float | None = None


class Matrix(NamedTuple):
    """Values in drawn order, NaN where a cell has none, and the cells that are hatched, white or dotted."""

    values: Array
    hatched: Array
    white: Array
    dots: Array


KINDS = {
    "amplitude": Kind("Amplitude of the response", "Amplitude (µV)", signed=True),
    "latency": Kind("Latency of the response", "Latency (ms)", from_least=True),
    "probability": Kind("Probability of a response", "Probability", limit=1.0),
}


@styled
def plot_ccep_matrix(
    values: ArrayLike,
    sites: Sequence[str],
    channels: Sequence[str],
    groups: Sequence[str],
    out: Path | str,
    *,
    kind: str,
    excluded: ArrayLike | None = None,
    silent: ArrayLike | None = None,
    responder: ArrayLike | None = None,
) -> Path:
    """Draw a quantity of the responses of contacts (columns) to stimulated sites (rows).

    Parameters
    ----------
    values : array (n_sites, n_channels)
        Amplitude in microvolts, latency in milliseconds, or probability; NaN without a value.
    sites, channels : sequences of str
    groups : sequence of str, length n_channels
        Region or lead of each contact; contacts are gathered by group in order of first appearance.
    out : path
    kind : {"amplitude", "latency", "probability"}
    excluded : bool array (n_sites, n_channels), optional
        Not judged (stimulated, near, bad): hatched, whatever their value.
    silent : bool array (n_sites, n_channels), optional
        Judged and without a response: white where they have no value. Other cells without one are grey, as missing.
    responder : bool array (n_sites, n_channels), optional
        Cells that get a dot.

    Raises
    ------
    InputError
        When shapes disagree or the kind is unknown.
    """
    if kind not in KINDS:
        raise InputError(f"Matrix of responses: one of {', '.join(KINDS)} is wanted, got {kind!r}.")
    shape = (len(sites), len(channels))
    cells = np.array(values, float)
    check_shape("Matrix of responses", cells, shape)
    if len(groups) != len(channels) or not sites or not channels:
        raise InputError(
            f"Matrix of responses: {shape[0]} sites, {shape[1]} contacts and {len(groups)} groups disagree."
        )
    given = {"Excluded cells": excluded, "Silent cells": silent, "Responders": responder}
    masks = [np.zeros(shape, bool) if mask is None else np.asarray(mask, bool) for mask in given.values()]
    for name, mask in zip(given, masks, strict=True):
        check_shape(name, mask, shape)
    first = {group: number for number, group in reversed(list(enumerate(groups)))}
    order = np.array(sorted(range(len(channels)), key=lambda i: (first[groups[i]], i)), int)
    cells, hatched, quiet, dots = (array[:, order] for array in (cells, *masks))
    cells[hatched] = np.nan
    matrix = Matrix(cells, hatched, quiet & ~hatched & np.isnan(cells), dots & ~hatched)
    height = height_in(len(sites))
    figure = new_figure(height=height + 2.7)
    axes = figure.subplots()
    draw_cells(axes, matrix, KINDS[kind])
    name_sides(axes, sites, [channels[i] for i in order], [groups[i] for i in order], height)
    axes.set_ylabel("Stimulated site")
    axes.set_xlabel("\n".join(["Recorded contact", cell_words(matrix, dotted=responder is not None)]))
    return save_figure(figure, out, tight=True)


@styled
def plot_ccep_regions(
    probability: ArrayLike, counts: ArrayLike, nodes: pd.DataFrame, out: Path | str, *, title: str = "Regions"
) -> Path:
    """Draw the probability of a response between regions, and how many pairs of site and contact were tested.

    Rows are the regions that were stimulated, columns those that were recorded from; others are left out.

    Parameters
    ----------
    probability : array (n_regions, n_regions)
        Row = stimulated, column = recorded; NaN without a value.
    counts : array (n_regions, n_regions)
        Tested pairs; 0 or NaN where there are none.
    nodes : DataFrame
        Node table in the order of the matrices.
    out : path
    title : str
        What the regions are, such as the atlas.

    Raises
    ------
    InputError
        When shapes disagree, or no pair of regions was tested.
    """
    share, tested = np.array(probability, float), np.nan_to_num(np.array(counts, float))
    check_shape("Counts of pairs", tested, share.shape)
    check_shape("Probability between regions", share, (len(share), len(share)))
    check_nodes(nodes, len(share), title)
    if not (tested > 0).any():
        raise InputError(f"{title}: no pair of regions was tested, so there is nothing to draw.")
    order = order_nodes(nodes)[0]
    rows, columns = (order[(tested > 0).any(axis=axis)[order]] for axis in (1, 0))
    names, groups = [str(name) for name in nodes["name"]], region_groups(nodes)
    known = tested[np.ix_(rows, columns)] > 0
    shown = np.where(known, share[np.ix_(rows, columns)], np.nan)
    nothing = np.zeros_like(known)
    height = height_in(len(rows))
    figure = new_figure(height=2 * (height + 1.1) + 2.2)
    panels = figure.subplots(2, 1)
    words = f"{title}: {len(rows)} stimulated, {len(columns)} recorded of {len(nodes)}"
    likely = Matrix(shown, known & np.isnan(shown), nothing, nothing)
    draw_cells(panels[0], likely, Kind(words, "Probability of a response", limit=1.0))
    pairs = Matrix(np.where(known, tested[np.ix_(rows, columns)], np.nan), nothing, nothing, nothing)
    draw_cells(panels[1], pairs, Kind("Tested pairs of site and contact", "Pairs"))
    for panel, matrix in zip(panels, (likely, pairs), strict=True):
        name_sides(panel, [names[i] for i in rows], [names[i] for i in columns], [groups[i] for i in columns], height)
        panel.set_ylabel("Stimulated region")
        words = cell_words(matrix, dotted=False).replace("excluded", "tested, but without a value")
        panel.set_xlabel("\n".join(["Recorded region", words]))
    return save_figure(figure, out, tight=True)


def region_groups(nodes: pd.DataFrame) -> list[str]:
    """Return hemisphere and network of each region, in few letters."""
    named = len(set(networks(nodes))) > 1
    return [
        f"{side[:1]} {network}" if named else side for side, network in zip(sides(nodes), networks(nodes), strict=True)
    ]


def height_in(n_rows: int) -> float:
    """Height of the cells of so many rows, inches."""
    return float(np.clip(_ROW_IN * n_rows, 1.4, _HIGHEST_IN))


def draw_cells(axes: Axes, matrix: Matrix, kind: Kind) -> None:
    """Draw cells, dots, title and scale."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    n_rows, n_columns = matrix.values.shape
    colours, beyond = _scale(matrix.values, kind)
    rgba = np.array(colours.to_rgba(np.nan_to_num(matrix.values)))
    rgba[np.isnan(matrix.values)] = to_rgba(MISSING)
    rgba[matrix.white] = to_rgba(_SILENT)
    rgba[matrix.hatched] = (0, 0, 0, 0)
    axes.add_patch(
        Rectangle((0, 0), n_columns, n_rows, facecolor="#eef1f4", edgecolor="#7d8793", hatch="//////", lw=0, zorder=0)
    )
    times = [max(1, -(-pixels // n)) for pixels, n in zip(_PIXELS, (n_rows, n_columns), strict=True)]
    large = np.repeat(np.repeat(rgba, times[0], axis=0), times[1], axis=1)
    picture = np.rint(255 * large).astype(np.uint8)
    axes.imshow(picture, extent=(0, n_columns, n_rows, 0), aspect="auto", interpolation="none", zorder=1)
    axes.set_xlim(0, n_columns)
    axes.set_ylim(n_rows, 0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    _draw_dots(axes, matrix.dots)
    axes.set_title(kind.title, pad=30)  # above the names of the groups
    bar = axes.figure.colorbar(colours, ax=axes, shrink=0.85, aspect=22, pad=0.02, extend=beyond)
    bar.set_label(kind.label)
    bar.outline.set_visible(False)


def _scale(values: Array, kind: Kind) -> tuple[ScalarMappable, str]:
    """Return the colours of values, and at which ends of the scale values go beyond."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    finite = values[np.isfinite(values)]
    if not finite.size:
        finite = np.array([0.0, 1.0])
    # Few late peaks must not make all others one colour.
    percentile = _LATENCY_PERCENTILE if kind.from_least else SCALE_PERCENTILE
    top = kind.limit or float(np.percentile(np.abs(finite), percentile)) or 1.0
    diverging = kind.signed and bool((finite < 0).any())
    bottom = -top if diverging else float(np.percentile(finite, 100 - percentile)) if kind.from_least else 0.0
    if bottom >= top:
        bottom = 0.0
    above, below = bool((finite > top).any()), bool((finite < bottom).any())
    beyond = "both" if above and below else "max" if above else "min" if below else "neither"
    return ScalarMappable(Normalize(bottom, top), colormaps[DIVERGING if diverging else SEQUENTIAL]), beyond


def _draw_dots(axes: Axes, dots: Array) -> None:
    """Draw dots, dark with a light rim, so that they are seen on every colour."""
    rows, columns = np.nonzero(dots)
    if not len(rows):
        return
    cell = 72 * min(_CELLS_IN / dots.shape[1], height_in(len(dots)) / len(dots))
    size = float(np.clip(0.5 * cell, 1.4, 5.0))
    style: dict[str, Any] = {
        "color": INK,
        "edgecolors": "white",
        "lw": 0.1 * size,
        "zorder": 3,
        "rasterized": len(rows) > 1500,
    }
    axes.scatter(columns + 0.5, rows + 0.5, s=size**2, **style)


def name_sides(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], groups: Sequence[str], height_in: float
) -> None:
    """Name rows and columns, with bars in the colours of the groups of the columns above them."""
    n_rows, n_columns = len(rows), len(columns)
    blocks = runs(list(groups))
    point = 1 / (72 * height_in)
    colours = {name: CATEGORIES[i % len(CATEGORIES)] for i, name in enumerate(dict.fromkeys(b.name for b in blocks))}
    letter = 0.0125 * n_columns  # a letter of a name is so wide
    reached = -np.inf
    for number, block in enumerate(blocks):
        span: dict[str, Any] = {"ymin": 1 + 3 * point, "ymax": 1 + 9 * point}
        axes.axvspan(block.first, block.last, color=colours[block.name], lw=0, clip_on=False, **span)
        if number:
            axes.axvline(block.first, color=INK, lw=0.6, alpha=0.6)
        centre, half = (block.first + block.last) / 2, letter * len(block.name) / 2
        if len(blocks) > 1 and centre - half > reached:
            axes.annotate(
                block.name,
                (centre, 1),
                xycoords=axes.get_xaxis_transform(),
                xytext=(0, 11),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=10,
            )
            reached = centre + half + letter
    step = -(-n_rows // _MAX_ROWS)
    size = float(np.clip(72 * height_in / (n_rows / step) / 1.25, 7.5, 10.0))
    axes.set_yticks(np.arange(0, n_rows, step) + 0.5, list(rows)[::step], fontsize=size)
    if n_columns <= _MAX_COLUMNS:
        size = float(np.clip(72 * _CELLS_IN / n_columns / 1.25, 7.0, 10.0))
        axes.set_xticks(np.arange(n_columns) + 0.5, columns, rotation=90, fontsize=size)
    else:
        axes.set_xticks([])
    axes.tick_params(length=0)


def cell_words(matrix: Matrix, *, dotted: bool) -> str:
    """Say what each look of a cell means, and of how many cells."""
    missing = np.isnan(matrix.values) & ~matrix.hatched & ~matrix.white
    looks = (("hatched: excluded", matrix.hatched), ("white: no response", matrix.white), ("grey: no data", missing))
    parts = [f"{words} ({int(cells.sum())})" for words, cells in looks if cells.any()]
    if dotted:
        parts.append(f"dots: responders ({int(matrix.dots.sum())})")
    return "; ".join(parts)
