"""Figures of groups: output and input of a region on the brain, similarity of subjects, reliability, comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.report.figures.brain_maps import plot_region_maps
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import check_nodes
from bids_ai.report.figures.theme import (
    BLUE,
    INK,
    MISSING,
    MUTED,
    ORANGE,
    SEQUENTIAL,
    VERMILLION,
    new_figure,
    save_figure,
    signed,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Area of the disc of a region on a map, points squared.
DISC = 46.0
#: Names of subjects are written up to this many.
MAX_SUBJECTS = 30
#: Points are drawn singly up to this many; more are counted in hexagons.
MAX_POINTS = 1500


class Scatter(NamedTuple):
    """A panel of :func:`plot_comparison`.

    Attributes
    ----------
    x, y : array
        Of the same edges; NaN in either is left out.
    x_label, y_label, title : str
    """

    x: ArrayLike
    y: ArrayLike
    x_label: str
    y_label: str
    title: str


class Retest(NamedTuple):
    """A kind of matrix in :func:`plot_reliability`.

    Attributes
    ----------
    name : str
        Such as "EC, sessions".
    icc : array
        Of the edges; NaN is left out.
    rate, chance : float
        Share of repetitions whose best match is the same subject, and that of guessing.
    """

    name: str
    icc: ArrayLike
    rate: float
    chance: float


def plot_seed_maps(
    matrix: ArrayLike, nodes: pd.DataFrame, region: int, out: Path | str, *, title: str, label: str
) -> Path:
    """Draw the row and the column of a region as maps on a glass brain, with one scale.

    Parameters
    ----------
    matrix : array (n_regions, n_regions)
        Row = source; NaN = undefined, drawn as a small grey dot.
    nodes : DataFrame
        In the order of the matrix; coordinates in mm RAS, MNI.
    region : int
        Row of the seed, which is ringed.
    out : path
    title : str
    label : str
        Quantity and unit.

    Raises
    ------
    InputError
        When the table is of another size, or no region has coordinates.
    """
    values = np.array(matrix, float)
    check_nodes(nodes, len(values), title)
    np.fill_diagonal(values, np.nan)
    maps = {"Output: the region is pushed": values[region], "Input: others are pushed": values[:, region]}
    return plot_region_maps(maps, nodes, region, out, title=title, label=label)


@styled
def plot_subject_similarity(
    similarities: Mapping[str, ArrayLike],
    networks: Mapping[str, Mapping[str, tuple[float, float]]],
    subjects: Mapping[str, Sequence[str]],
    out: Path | str,
) -> Path:
    """Draw the similarity of all pairs of subjects, and its mean and SD whole and within networks.

    Parameters
    ----------
    similarities : mapping of str to array (n_subjects, n_subjects)
        By kind of matrix, such as EC.
    networks : mapping of str to mapping of str to (float, float)
        Mean and SD over pairs, by kind and by network, the whole first.
    subjects : mapping of str to sequence of str
        Labels, by kind.
    out : path
    """
    kinds = list(similarities)
    figure = new_figure(width=13.0, height=6.6 + 0.24 * max(len(one) for one in networks.values()))
    rows = max(len(one) for one in networks.values())
    parts: Any = figure.subfigures(2, 1, height_ratios=[5.4, 1.2 + 0.24 * rows])
    top, bottom = parts
    grid = top.subplots(1, max(2, len(kinds)), squeeze=False)[0]
    for axes in grid[len(kinds) :]:
        axes.set_axis_off()
    for axes, kind in zip(grid, kinds, strict=False):
        _draw_similarity(axes, np.array(similarities[kind], float), subjects[kind], kind)
    axes = bottom.subplots()
    names = list(dict.fromkeys(name for kind in kinds for name in networks[kind]))
    colours = (BLUE, VERMILLION, ORANGE)
    for number, kind in enumerate(kinds):
        there = [name for name in names if name in networks[kind] and np.isfinite(networks[kind][name][0])]
        means = np.array([networks[kind][name][0] for name in there])
        spread = np.nan_to_num([networks[kind][name][1] for name in there])
        places = np.array([names.index(name) for name in there]) + 0.2 * (number - (len(kinds) - 1) / 2)
        axes.errorbar(means, places, xerr=spread, fmt="o", color=colours[number % 3], capsize=3, label=kind, ms=6)
    axes.set_yticks(range(len(names)), ["all edges" if name == "whole" else name for name in names])
    axes.invert_yaxis()
    axes.set_xlabel("Correlation of two subjects, mean and SD over pairs")
    axes.set_title("Within networks")
    axes.grid(axis="x", color="#e3e7eb", lw=0.8)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return save_figure(figure, out, tight=True)


def _draw_similarity(axes: Axes, matrix: Array, subjects: Sequence[str], kind: str) -> None:
    np.fill_diagonal(matrix, np.nan)
    known = matrix[np.isfinite(matrix)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    from matplotlib import colormaps

    picture = axes.imshow(
        np.ma.masked_invalid(matrix),
        cmap=colormaps[SEQUENTIAL].with_extremes(bad=MISSING),
        vmin=low,
        vmax=high if high > low else low + 1e-6,
        interpolation="none",
    )
    if len(subjects) <= MAX_SUBJECTS:
        names = [subject.removeprefix("sub-") for subject in subjects]
        size = min(10.0, 220 / max(len(names), 1))
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
        axes.set_yticks(range(len(names)), names, fontsize=size)
    else:
        axes.set_xlabel("Subject")
        axes.set_ylabel("Subject")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(f"{kind}: {len(subjects)} subjects")
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.7, aspect=24, pad=0.03)
    bar.set_label("Correlation over edges")
    bar.outline.set_visible(False)


@styled
def plot_reliability(kinds: Sequence[Retest], out: Path | str) -> Path:
    """Draw the ICC of the edges, and how often a repetition finds its own subject.

    Parameters
    ----------
    kinds : sequence of Retest
    out : path
    """
    figure = new_figure(width=12.0, height=4.2)
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1.0])
    bins = np.linspace(-1, 1, 51)
    for number, kind in enumerate(kinds):
        icc = np.asarray(kind.icc, float)
        icc = icc[np.isfinite(icc)]
        colour = (BLUE, VERMILLION, ORANGE, MUTED)[number % 4]
        words = f"{kind.name}: median {signed(float(np.median(icc)))}" if icc.size else f"{kind.name}: none"
        style = "-" if number < 4 else "--"
        shares = np.histogram(np.clip(icc, -1, 1), bins)[0] / max(icc.size, 1)
        left.stairs(100 * shares, bins, color=colour, lw=1.8, ls=style, label=words)
        if np.isfinite(kind.rate):
            right.barh(number, 100 * kind.rate, height=0.55, color=colour)
            right.text(100 * kind.rate + 1.5, number, f"{100 * kind.rate:.0f} %", va="center")
        else:
            right.text(1.5, number, "n/a", va="center")
        right.plot([100 * kind.chance] * 2, [number - 0.36, number + 0.36], color=INK, lw=1.6, ls=(0, (3, 2)))
    left.axvline(0, color=INK, lw=0.8)
    left.set_xlim(-1, 1)
    left.set_xlabel("ICC(2,1) of an edge")
    left.set_ylabel("Edges (%)")
    left.set_title("Reliability of edges")
    left.legend(loc="upper left")
    right.set_yticks(range(len(kinds)), [kind.name for kind in kinds])
    right.tick_params(axis="y", length=0)
    right.invert_yaxis()
    right.set_xlim(0, 112)
    right.set_xticks([0, 25, 50, 75, 100])
    right.set_xlabel("Best match is the same subject (%)\ndashed: guessing")
    right.set_title("Identification")
    return save_figure(figure, out, tight=True)


@styled
def plot_comparison(panels: Sequence[Scatter], out: Path | str) -> Path:
    """Draw the edges of kinds of connectivity against each other.

    Parameters
    ----------
    panels : sequence of Scatter
    out : path
    """
    figure = new_figure(width=4.6 * len(panels) + 0.6, height=4.6)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        x, y = np.asarray(panel.x, float).ravel(), np.asarray(panel.y, float).ravel()
        known = np.isfinite(x) & np.isfinite(y)
        x, y = x[known], y[known]
        if len(x) <= MAX_POINTS:
            axes.plot(x, y, "o", color=BLUE, ms=3, alpha=0.45, mew=0)
        else:
            axes.hexbin(x, y, gridsize=48, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
        axes.axhline(0, color=MUTED, lw=0.7)
        axes.axvline(0, color=MUTED, lw=0.7)
        axes.set_xlabel(panel.x_label)
        axes.set_ylabel(panel.y_label)
        axes.set_title(panel.title, fontsize=11)
    return save_figure(figure, out, tight=True)
