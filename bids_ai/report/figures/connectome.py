"""Connectivity in the brain: a glass brain, edges tapered where they have a direction; strongest senders, receivers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.nodes import check_nodes, network_colours, networks, node_colours
from bids_ai.report.figures.theme import INK, MUTED, new_figure, quiet_axes, save_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

#: Colours of positive and negative edges (ends of the diverging map of the matrices).
POSITIVE, NEGATIVE = "#b2182b", "#2166ac"
#: Colour of edges without sign or direction.
LINE = "#3b5b7a"
#: Width of the strongest edge at its source, mm of brain; it ends in a point at the target.
EDGE_WIDTH_MM = 5.0
#: How far an edge bulges from the straight line, as a fraction of its length. Both directions of a pair bulge apart.
BULGE = 0.16
#: Radius of the node with the largest strength, mm of brain.
NODE_RADIUS_MM = 4.0


class View(NamedTuple):
    """A projection: title, nilearn's name of it, world axes to the right and up, hemisphere shown, mirror."""

    title: str
    direction: str
    right: int
    up: int
    side: str
    ends: tuple[str, str]


VIEWS = (
    View("Left hemisphere", "l", 1, 2, "L", ("A", "P")),
    View("Right hemisphere", "r", 1, 2, "R", ("P", "A")),
    View("Coronal", "y", 0, 2, "", ("L", "R")),
    View("Axial", "z", 0, 1, "", ("L", "R")),
)


@styled
def plot_glass_brain(
    matrix: ArrayLike, nodes: pd.DataFrame, out: Path | str, *, n_edges: int = 100, title: str, directed: bool = True
) -> Path:
    """Draw the strongest edges on a glass brain in four projections.

    A directed edge is broad at its source and ends in a point at its target (Holten & van Wijk 2009 found tapered edges
    the best-read sign of direction). The side views show the edges within their hemisphere, the others all edges.
    The disc of a node grows with its out-strength, the ring with its in-strength (sums of absolute values over all
    effects, drawn or not); nodes without a drawn edge are dots.

    Parameters
    ----------
    matrix : array (n_regions, n_regions)
        Row = source, column = target; NaN = undefined.
    nodes : DataFrame
        Node table in the order of the matrix; nodes without coordinates (mm RAS, MNI) are left out, and counted.
    out : path
    n_edges : int
        Strongest edges, by absolute value, that are drawn.
    title : str
    directed : bool
        False for a symmetric matrix: every pair is drawn once, as a line, and nodes have no ring.

    Raises
    ------
    InputError
        When the table is of another size, or no node has coordinates.

    References
    ----------
    Holten & van Wijk 2009, CHI, doi:10.1145/1518701.1519054.
    """
    weights = np.array(matrix, float)
    check_nodes(nodes, len(weights), title)
    np.fill_diagonal(weights, np.nan)
    places = nodes[["x", "y", "z"]].to_numpy(float)
    placed = np.isfinite(places).all(1)
    if not placed.any():
        raise InputError(f"{title}: no node of the table has coordinates, so there is nothing to draw in a brain.")
    candidates = placed[:, None] & placed[None, :] & (directed | np.triu(np.ones_like(weights, dtype=bool), 1))
    edges = strongest_edges(np.where(candidates, weights, np.nan), n_edges)
    figure = new_figure(width=10.0, height=8.6)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    colours, hemispheres = node_colours(nodes), _hemispheres(nodes, places)
    radii = _radii(weights)
    for axes, view in zip(figure.subplots(2, 2).flat, VIEWS, strict=True):
        shown = placed & (np.array([h == view.side for h in hemispheres]) if view.side else True)
        draw_view(axes, view)
        drawn = [edge for edge in edges if shown[edge[0]] and shown[edge[1]]]
        (_draw_edges if directed else _draw_lines)(axes, view, weights, places, drawn)
        linked = np.isin(np.arange(len(weights)), np.array(drawn, int))
        axes.plot(*places[shown & ~linked][:, [view.right, view.up]].T, "o", color="#aab2bb", ms=2.5, zorder=2)
        _draw_nodes(axes, view, places, radii, colours, np.flatnonzero(shown & linked), rings=directed)
    _draw_key(figure, nodes, len(edges), int((~placed).sum()), directed=directed)
    return save_figure(figure, out, tight=True)


@styled
def plot_strengths(
    matrix: ArrayLike,
    nodes: pd.DataFrame,
    out: Path | str,
    *,
    n_regions: int = 12,
    label: str = "Sum of absolute effects (SD per SD)",
) -> Path:
    """Draw the strongest senders (out-strength) and receivers (in-strength).

    Parameters
    ----------
    matrix : array (n_regions, n_regions)
        Row = source, column = target; NaN and the diagonal are skipped.
    nodes : DataFrame
        Node table in the order of the matrix.
    out : path
    n_regions : int
        Bars per panel.
    label : str
        Quantity and unit of a strength.
    """
    weights = np.array(matrix, float)
    check_nodes(nodes, len(weights), "Strengths")
    sent, received = strengths(weights)
    figure = new_figure(height=0.3 * min(n_regions, len(weights)) + 1.7)
    panels = figure.subplots(1, 2, sharex=True)
    colours, names = node_colours(nodes), [str(name) for name in nodes["name"]]
    for axes, values, heading in zip(
        panels, (sent, received), ("Strongest senders", "Strongest receivers"), strict=True
    ):
        found = np.flatnonzero(np.isfinite(values))
        top = found[np.argsort(-values[found], kind="stable")][:n_regions]
        places = np.arange(len(top))
        axes.barh(places, values[top], height=0.72, color=[colours[i] for i in top])
        axes.set_yticks(places, [_short(names[i]) for i in top])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.set_title(heading)
        axes.set_xlabel(f"{label}\ndashed: median of all regions")
        if np.isfinite(values).any():
            axes.axvline(float(np.nanmedian(values)), color=INK, lw=1, ls=(0, (4, 3)))
    return save_figure(figure, out)


def strongest_edges(weights: Array, n_edges: int) -> list[tuple[int, int]]:
    """Return (source, target) of the largest absolute off-diagonal weights, weakest first; NaN and 0 never."""
    size = np.abs(weights)
    np.fill_diagonal(size, np.nan)
    size = np.nan_to_num(size)
    order = np.argsort(-size, axis=None, kind="stable")[:n_edges]
    pairs = [(int(i), int(j)) for i, j in zip(*np.unravel_index(order, size.shape), strict=True) if size[i, j] > 0]
    return pairs[::-1]


def strengths(weights: Array) -> tuple[Array, Array]:
    """Return out-strength (rows) and in-strength (columns): sums of absolute values; NaN for regions without any."""
    size = np.abs(weights)
    np.fill_diagonal(size, np.nan)
    known = np.isfinite(size)
    filled = np.where(known, size, 0.0)
    sent = np.where(known.any(1), filled.sum(1), np.nan)
    received = np.where(known.any(0), filled.sum(0), np.nan)
    return sent, received


def tapered_edge(start: Array, end: Array, width: float, bulge: float = BULGE, n_points: int = 16) -> Array:
    """Return the outline of a curved edge, broad at its start and pointed at its end, shape (2 * n_points, 2).

    Seen from the start, the edge bulges to the left, so that an edge and its reverse do not cover each other.
    """
    chord = end - start
    normal = np.array([-chord[1], chord[0]])
    control = (start + end) / 2 + bulge * normal
    t = np.linspace(0, 1, n_points)[:, None]
    line = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
    tangent = 2 * (1 - t) * (control - start) + 2 * t * (end - control)
    length = np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), 1e-9)[:, None]
    across = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) / length
    half = width / 2 * (1 - t)
    return np.concatenate([line + half * across, (line - half * across)[::-1]])


def _hemispheres(nodes: pd.DataFrame, places: Array) -> list[str]:
    """Return L or R of each node; by the sign of x where the table does not say."""
    given = nodes["hemisphere"].tolist() if "hemisphere" in nodes else [None] * len(nodes)
    return [h if h in ("L", "R") else ("L" if x < 0 else "R") for h, x in zip(given, places[:, 0], strict=True)]


def _radii(weights: Array) -> tuple[Array, Array]:
    """Return disc (out-strength) and ring (in-strength) radii in mm; areas are proportional to strengths."""
    sent, received = (np.nan_to_num(values) for values in strengths(weights))
    largest = max(sent.max(), received.max(), 1e-12)
    return np.sqrt(sent / largest) * NODE_RADIUS_MM, np.sqrt(received / largest) * NODE_RADIUS_MM


def draw_view(axes: Axes, view: View) -> None:
    """Draw nilearn's outline of the brain and the names of its ends."""
    from nilearn.plotting.glass_brain import plot_brain_schematics

    quiet_axes(axes)
    left, right, bottom, top = plot_brain_schematics(axes, view.direction, edgecolor="#c4cbd3", linewidth=1.0)
    axes.set_aspect("equal")
    axes.set_xlim((right, left) if view.direction == "l" else (left, right))
    axes.set_ylim(bottom, top)
    axes.set_title(view.title, fontsize=11, fontweight="normal", color=MUTED, loc="center", pad=2)
    for place, name in zip((0.01, 0.99), view.ends, strict=True):
        axes.text(place, 0.5, name, transform=axes.transAxes, ha="center", va="center", fontsize=12, weight="bold")


def _draw_edges(axes: Axes, view: View, weights: Array, places: Array, edges: list[tuple[int, int]]) -> None:
    from matplotlib.collections import PolyCollection

    if not edges:
        return
    flat = places[:, [view.right, view.up]]
    largest = max(abs(weights[edge]) for edge in edges)
    # On a mirrored axis the bulge is mirrored too: turn it back, so that "left of the direction" holds on the page.
    bulge = -BULGE if view.direction == "l" else BULGE
    shapes = [
        tapered_edge(flat[i], flat[j], EDGE_WIDTH_MM * float(np.sqrt(abs(weights[i, j]) / largest)), bulge)
        for i, j in edges
    ]
    colours = [POSITIVE if weights[edge] > 0 else NEGATIVE for edge in edges]
    axes.add_collection(PolyCollection(shapes, facecolors=colours, edgecolors="none", alpha=0.55, zorder=3))


def _draw_lines(axes: Axes, view: View, weights: Array, places: Array, edges: list[tuple[int, int]]) -> None:
    """Draw undirected edges: their width and shade grow with the weight."""
    from matplotlib.collections import LineCollection

    if not edges:
        return
    flat = places[:, [view.right, view.up]]
    share = np.array([abs(weights[edge]) for edge in edges])
    share = share / share.max()
    lines = [(flat[i], flat[j]) for i, j in edges]
    axes.add_collection(LineCollection(lines, linewidths=0.5 + 3.5 * share**2, colors=LINE, alpha=0.55, zorder=3))


def _draw_nodes(
    axes: Axes,
    view: View,
    places: Array,
    radii: tuple[Array, Array],
    colours: list[str],
    shown: Array,
    *,
    rings: bool,
) -> None:
    from matplotlib.patches import Circle

    sent, received = radii
    for i in shown:
        place = (places[i, view.right], places[i, view.up])
        axes.add_patch(Circle(place, sent[i], facecolor=colours[i], edgecolor="white", lw=0.4, zorder=4))
        if rings:
            axes.add_patch(Circle(place, received[i], facecolor="none", edgecolor=INK, lw=0.7, alpha=0.8, zorder=5))


def _draw_key(figure: Figure, nodes: pd.DataFrame, n_edges: int, n_lost: int, *, directed: bool) -> None:
    """Say how edges and nodes are to be read."""
    from matplotlib.lines import Line2D

    handles = _directed_handles() if directed else []
    colours = network_colours(nodes)
    if 1 < len(set(networks(nodes))) <= 10:
        handles += [Line2D([], [], marker="s", ls="", color=c, ms=8, label=name) for name, c in colours.items()]
    text = f"{n_edges} strongest effects; each is broad at its source and pointed at its target"
    if not directed:
        text = f"{n_edges} strongest connections; the disc of a region grows with the sum of its connections"
    if n_lost:
        text += f"; {n_lost} of {len(nodes)} regions have no coordinates and are left out"
    if not handles:
        figure.supxlabel(text, fontsize=10)
        return
    figure.legend(
        handles=handles, loc="outside lower center", ncols=6, title=text, title_fontsize=10, columnspacing=1.4
    )


def _directed_handles() -> list[Line2D]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], color=POSITIVE, lw=3, label="positive effect"),
        Line2D([], [], color=NEGATIVE, lw=3, label="negative effect"),
        Line2D([], [], marker="o", ls="", color="#8b949e", ms=9, label="disc: out-strength"),
        Line2D([], [], marker="o", ls="", mfc="none", color=INK, ms=9, label="ring: in-strength"),
    ]


def _short(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
