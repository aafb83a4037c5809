"""Figures of frequency bands over regions: source power, and functional connectivity in each band."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.matrices import PICTURE_PIXELS, colour_limit
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import Block, check_nodes, networks, order_nodes
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
from bids_ai.report.figures.traces import check_shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Names of single regions are drawn up to this many regions of one side.
_MAX_NAMES = 36
#: Numbers are written into the cells up to this many regions of one side.
_MAX_NUMBERS = 24
#: Matrices in a row of the figure.
_COLUMNS = 3

Bands = Mapping[str, tuple[float, float]]


@styled
def plot_source_power(
    power: ArrayLike, nodes: pd.DataFrame, bands: Bands, out: Path | str, *, unit: str = "(Am)²/Hz"
) -> Path:
    """Draw the power of regions in bands against the median over regions, a table for each hemisphere.

    Parameters
    ----------
    power : array (n_regions, n_bands)
        Linear power; NaN for regions without data.
    nodes : DataFrame
        Node table in the order of the regions.
    bands : mapping of str to (float, float)
        Name to lowest and highest frequency, Hz.
    out : path
    unit : str
        Of the power; the median over regions is written below each band.

    Raises
    ------
    InputError
        When the shape disagrees with the node table or the bands.
    """
    values = np.asarray(power, float)
    check_nodes(nodes, len(values), "Source power")
    check_shape("Source power", values, (len(nodes), len(bands)))
    if not (values > 0).any():
        raise InputError("Source power: no region has power above zero.")
    levels, medians = _levels(values)
    order, hemispheres, _ = order_nodes(nodes)
    longest = max(block.last - block.first for block in hemispheres)
    figure = new_figure(height=float(np.clip(0.19 * longest, 2.6, 7.0)) + 1.9)
    panels = figure.subplots(1, len(hemispheres), squeeze=False)[0]
    finite = np.abs(levels[np.isfinite(levels)])
    limit = float(np.percentile(finite, 98)) or 1.0
    for panel, block in zip(panels, hemispheres, strict=True):
        rows = order[block.first : block.last]
        picture = _draw_table(panel, levels[rows], limit)
        panel.set_title(f"{block.name} ({len(rows)})" if len(hemispheres) > 1 else "", fontsize=11)
        panel.set_ylim(longest, 0)  # rows of equal height on both sides
        _name_rows(panel, nodes, rows)
        _name_bands(panel, bands, medians)
    figure.supxlabel(f"Below each band: its limits, and the median over regions in {unit}", fontsize=10, color=MUTED)
    bar = figure.colorbar(picture, ax=list(panels), shrink=0.7, aspect=26, pad=0.02, extend="both")
    bar.set_label("Power against the median of regions (dB)")
    bar.outline.set_visible(False)
    return save_figure(figure, out, tight=True)


def _levels(power: Array) -> tuple[Array, Array]:
    """Return power in dB against the median over regions, and that median, for each band."""
    positive = np.where(power > 0, power, np.nan)
    known = np.isfinite(positive).any(axis=0)
    medians = np.full(power.shape[1], np.nan)
    medians[known] = np.nanmedian(positive[:, known], axis=0)
    return 10 * np.log10(positive / medians), medians


def _draw_table(panel: Axes, levels: Array, limit: float) -> AxesImage:
    from matplotlib import colormaps

    n, n_bands = levels.shape
    shades = colormaps[DIVERGING].with_extremes(bad=MISSING)
    cells = np.ma.masked_invalid(levels)
    picture = panel.imshow(
        np.ma.masked_invalid(np.kron(cells.filled(np.nan), np.ones((12, 60)))),
        cmap=shades,
        vmin=-limit,
        vmax=limit,
        aspect="auto",
        interpolation="none",
        extent=(0, n_bands, n, 0),
    )
    for edge in range(1, n_bands):
        panel.axvline(edge, color="white", lw=1.5)
    if n <= _MAX_NUMBERS:
        for row, column in np.argwhere(np.isfinite(levels)):
            value = levels[row, column]
            colour = "white" if abs(value) > 0.62 * limit else INK
            text = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
            panel.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, color=colour)
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.tick_params(length=0)
    return picture


def _name_rows(panel: Axes, nodes: pd.DataFrame, rows: Array) -> None:
    if len(rows) <= _MAX_NAMES:
        names = [str(nodes["name"].iloc[i]) for i in rows]
        panel.set_yticks(np.arange(len(rows)) + 0.5, [name if len(name) < 25 else f"{name[:24]}…" for name in names])
        panel.tick_params(axis="y", labelsize=9)
        return
    groups = [networks(nodes)[i] for i in rows]
    edges = [0, *(np.flatnonzero([a != b for a, b in itertools.pairwise(groups)]) + 1), len(rows)]
    for edge in edges[1:-1]:
        panel.axhline(edge, color=INK, lw=0.5)
    panel.set_yticks([(a + b) / 2 for a, b in itertools.pairwise(edges)], [groups[a] for a in edges[:-1]])


def _in_tens(value: float) -> str:
    """Write a number as 9.2·10⁻²⁰; plainly where it is neither large nor small."""
    if not np.isfinite(value):
        return "n/a"
    if 1e-2 <= abs(value) < 1e4:
        return f"{value:.3g}"
    digits, _, power = f"{value:.1e}".partition("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{digits}·10{raised}"


def _name_bands(panel: Axes, bands: Bands, medians: Array) -> None:
    labels = [
        f"{name}\n{low:g}–{high:g} Hz\n{_in_tens(median)}"
        for (name, (low, high)), median in zip(bands.items(), medians, strict=True)
    ]
    panel.set_xticks(np.arange(len(bands)) + 0.5, labels, fontsize=9)


@styled
def plot_fc_bands(
    matrices: ArrayLike,
    nodes: pd.DataFrame,
    bands: Bands,
    out: Path | str,
    *,
    label: str = "Envelope correlation (r)",
    diverging: bool = True,
) -> Path:
    """Draw functional connectivity in each band, small, in one order and on one scale.

    Parameters
    ----------
    matrices : array (n_bands, n_regions, n_regions)
        Symmetric; NaN = undefined, drawn grey; the diagonal is left out.
    nodes : DataFrame
        Node table in the order of the matrices.
    bands : mapping of str to (float, float)
        Name to lowest and highest frequency, Hz.
    out : path
    label : str
        Quantity and unit.
    diverging : bool
        Scale from -limit to limit, white at 0; else from 0.

    Raises
    ------
    InputError
        When the shape disagrees with the node table or the bands.
    """
    values = np.asarray(matrices, float)
    check_shape("Matrices of bands", values, (len(bands), len(nodes), len(nodes)))
    order, hemispheres, _ = order_nodes(nodes)
    limit = max(colour_limit(matrix) for matrix in values if _has_values(matrix)) if _any_values(values) else 1.0
    columns = min(_COLUMNS, len(bands))
    rows = -(-len(bands) // columns)
    figure = new_figure(height=3.1 * rows * _COLUMNS / columns + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(bands) :]:
        panel.set_axis_off()
    for panel, matrix, (name, (low, high)) in zip(panels, values, bands.items(), strict=False):
        picture = _draw_band(panel, matrix[np.ix_(order, order)], hemispheres, limit, diverging)
        panel.set_title(f"{name}, {low:g}–{high:g} Hz", fontsize=11)
        off = matrix[~np.eye(len(matrix), dtype=bool)]
        mean = f"mean {np.nanmean(off):.2f}".replace("-", "\N{MINUS SIGN}") if np.isfinite(off).any() else "no data"
        panel.set_xlabel(mean, fontsize=10, color=MUTED)
    bar = figure.colorbar(
        picture, ax=list(panels), shrink=0.6, aspect=26, pad=0.02, extend="both" if diverging else "max"
    )
    bar.set_label(label)
    bar.outline.set_visible(False)
    return save_figure(figure, out, tight=True)


def _has_values(matrix: Array) -> bool:
    return bool(np.isfinite(matrix[~np.eye(len(matrix), dtype=bool)]).any())


def _any_values(matrices: Array) -> bool:
    return any(_has_values(matrix) for matrix in matrices)


def _draw_band(panel: Axes, matrix: Array, hemispheres: list[Block], limit: float, diverging: bool) -> AxesImage:
    from matplotlib import colormaps

    n = len(matrix)
    cells = matrix.copy()
    np.fill_diagonal(cells, np.nan)
    times = max(1, PICTURE_PIXELS // (2 * n))
    picture = panel.imshow(
        np.ma.masked_invalid(np.kron(cells, np.ones((times, times)))),
        cmap=colormaps[DIVERGING if diverging else SEQUENTIAL].with_extremes(bad=MISSING),
        vmin=-limit if diverging else 0,
        vmax=limit,
        interpolation="none",
        extent=(0, n, n, 0),
    )
    for block in hemispheres[1:]:
        panel.axhline(block.first, color=INK, lw=0.8)
        panel.axvline(block.first, color=INK, lw=0.8)
    sides = [((block.first + block.last) / 2, block.name) for block in hemispheres if block.last - block.first > n / 8]
    panel.set_yticks([place for place, _ in sides], [name for _, name in sides], rotation=90, va="center", fontsize=9)
    panel.set_xticks([])
    panel.tick_params(length=0)
    for spine in panel.spines.values():
        spine.set_visible(False)
    return picture
