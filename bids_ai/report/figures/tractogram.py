"""A tractogram in three views: streamlines coloured by direction over the brain's white matter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import MUTED, new_figure, quiet_axes, save_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Streamlines drawn; more only darken the picture and swell the file.
N_DRAWN = 2000
#: Points kept per streamline: a curve of 200 mm is still smooth to the eye.
_POINTS = 24
_BACKGROUND = "#0d1014"
#: Millimetres around the streamlines.
_MARGIN_MM = 6.0
_LINE_WIDTH, _OPACITY = 0.5, 0.55
#: Brightness of the silhouette of the brain behind.
_SILHOUETTE = 0.16


class View(NamedTuple):
    """A projection: title, world axes to the right, up and along the line of sight, its sign, letters of the ends."""

    title: str
    right: int
    up: int
    sight: int
    sign: float
    ends: tuple[str, str]


VIEWS = (
    View("From the left", 1, 2, 0, -1.0, ("A", "P")),
    View("From behind", 0, 2, 1, -1.0, ("L", "R")),
    View("From above", 0, 1, 2, 1.0, ("L", "R")),
)


@styled
def plot_tractogram(
    points: ArrayLike,
    offsets: ArrayLike,
    out: Path | str,
    *,
    title: str = "Tractogram",
    brain: ArrayLike | None = None,
    affine: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    n_drawn: int = N_DRAWN,
    seed: int = 0,
) -> Path:
    """Draw streamlines from the left, from behind and from above, each in the colour of its direction.

    Red is left-right, green front-back, blue up-down, step by step along the curve (Pajevic & Pierpaoli 1999). Lines
    are drawn from far to near. A random part of the tractogram is drawn; write a PNG, since thousands of lines make a
    heavy SVG.

    Parameters
    ----------
    points : array (n_points, 3)
        World mm (RAS+), one streamline after the other.
    offsets : array of int (n_streamlines + 1,)
        Streamline k is ``points[offsets[k]:offsets[k + 1]]``.
    out : path
    title : str
    brain : array (nx, ny, nz), optional
        Mask or white-matter map, drawn as a silhouette behind.
    affine : array (4, 4), optional
        Of `brain`.
    weights : array (n_streamlines,), optional
        Chance to be drawn, relative to each other; alike by default.
    n_drawn : int
    seed : int
        Of the choice.

    Raises
    ------
    InputError
        When there is no streamline, or the arrays do not belong together.

    References
    ----------
    Pajevic & Pierpaoli 1999, doi:10.1002/(SICI)1522-2594(199909)42:3<526::AID-MRM15>3.0.CO;2-J.
    """
    places, starts = np.asarray(points, float), np.asarray(offsets, int)
    _check(places, starts, weights, brain, affine)
    chosen = _chosen(len(starts) - 1, weights, n_drawn, seed)
    curves = np.stack([_resampled(places[starts[k] : starts[k + 1]]) for k in chosen])
    steps, colours = _segments(curves)
    figure = new_figure(width=10.0, height=4.1)
    figure.set_facecolor(_BACKGROUND)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold", color="white")
    silhouette = None if brain is None else (np.asarray(brain, float), np.asarray(affine, float))
    panels = figure.subplots(1, 3, width_ratios=[_width(curves, view) for view in VIEWS])
    for axes, view in zip(panels, VIEWS, strict=True):
        _draw_view(axes, view, steps, colours, silhouette)
    _draw_key(figure, len(chosen), len(starts) - 1)
    return save_figure(figure, out, tight=True)


def _check(
    places: Array, starts: Array, weights: ArrayLike | None, brain: ArrayLike | None, affine: ArrayLike | None
) -> None:
    if places.ndim != 2 or places.shape[1] != 3 or len(starts) < 2 or starts[-1] != len(places):
        raise InputError(
            f"A tractogram is points (n, 3) and offsets that end at n with one streamline or more; got points of shape "
            f"{places.shape} and {len(starts)} offsets."
        )
    if np.diff(starts).min() < 2:
        raise InputError("A streamline needs two points or more.")
    if weights is not None and len(np.asarray(weights)) != len(starts) - 1:
        raise InputError(f"{len(np.asarray(weights))} weights for {len(starts) - 1} streamlines.")
    if (brain is None) != (affine is None):
        raise InputError("The brain behind a tractogram needs its affine, and the affine a brain.")


def _chosen(n: int, weights: ArrayLike | None, n_drawn: int, seed: int) -> Array:
    """Rows of the streamlines drawn, in random order."""
    rng = np.random.default_rng(seed)
    chance = np.ones(n) if weights is None else np.maximum(np.nan_to_num(np.asarray(weights, float)), 0.0)
    able = int(np.count_nonzero(chance))
    if able == 0:
        raise InputError("All weights are zero: no streamline can be drawn.")
    return rng.choice(n, min(n_drawn, able), replace=False, p=chance / chance.sum())


def _resampled(curve: Array) -> Array:
    along = np.linspace(0, len(curve) - 1, _POINTS)
    return np.stack([np.interp(along, np.arange(len(curve)), curve[:, axis]) for axis in range(3)], axis=1)


def _segments(curves: Array) -> tuple[Array, Array]:
    """Steps (n, 2, 3) in mm and their colours (n, 3)."""
    steps = np.stack([curves[:, :-1], curves[:, 1:]], axis=2).reshape(-1, 2, 3)
    way = np.abs(steps[:, 1] - steps[:, 0])
    length = np.linalg.norm(way, axis=1, keepdims=True)
    steps, way, length = steps[length[:, 0] > 0], way[length[:, 0] > 0], length[length[:, 0] > 0]
    return steps, way / length


def _width(curves: Array, view: View) -> float:
    return float(np.ptp(curves[..., view.right])) + 2.0 * _MARGIN_MM


def _draw_view(axes: Axes, view: View, steps: Array, colours: Array, silhouette: tuple[Array, Array] | None) -> None:
    from matplotlib.collections import LineCollection

    axes.set_facecolor(_BACKGROUND)
    if silhouette is not None:
        _draw_silhouette(axes, view, *silhouette)
    # Far steps first, so that near ones lie above them; in one collection, as one picture inside the file.
    order = np.argsort(view.sign * steps[:, :, view.sight].mean(axis=1), kind="stable")
    lines = steps[order][:, :, [view.right, view.up]]
    axes.add_collection(
        LineCollection(list(lines), colors=colours[order], linewidths=_LINE_WIDTH, alpha=_OPACITY, rasterized=True)
    )
    flat = steps.reshape(-1, 3)
    low, high = flat.min(axis=0) - _MARGIN_MM, flat.max(axis=0) + _MARGIN_MM
    # The left is seen with the front at the left.
    mirrored = view.ends[0] == "A"
    axes.set_xlim(*((high[view.right], low[view.right]) if mirrored else (low[view.right], high[view.right])))
    axes.set_ylim(low[view.up], high[view.up])
    axes.set_aspect("equal")
    quiet_axes(axes)
    axes.set_title(view.title, color="white", fontsize=11)
    for x, side, letter in ((0.01, "left", view.ends[0]), (0.99, "right", view.ends[1])):
        axes.text(x, 0.5, letter, transform=axes.transAxes, ha=side, va="center", color="white", fontweight="bold")


def _draw_silhouette(axes: Axes, view: View, brain: Array, affine: Array) -> None:
    """Draw the outline of the brain as a pale area: all its voxels, projected, whatever way the grid is tilted."""
    voxels = np.argwhere(brain > 0.5)
    if len(voxels) == 0:
        return
    places = voxels @ affine[:3, :3].T + affine[:3, 3]
    edge = float(np.linalg.norm(affine[:3, :3], axis=0).max())
    flat = places[:, [view.right, view.up]]
    low = flat.min(axis=0) - edge
    index = np.rint((flat - low) / edge).astype(int)
    picture = np.zeros(index.max(axis=0) + 2)
    picture[tuple(index.T)] = 1.0
    # Voxels of a tilted grid leave gaps in the projection.
    from scipy.ndimage import binary_closing, gaussian_filter

    picture = gaussian_filter(binary_closing(picture > 0, iterations=2).astype(float), 0.7)
    left, bottom = low - edge / 2.0
    extent = (left, left + picture.shape[0] * edge, bottom, bottom + picture.shape[1] * edge)
    axes.imshow(
        np.ones_like(picture.T),
        cmap="gray",
        vmin=0,
        vmax=1,
        alpha=picture.T * _SILHOUETTE,
        origin="lower",
        extent=extent,
    )


def _draw_key(figure: Figure, drawn: int, total: int) -> None:
    from matplotlib.lines import Line2D

    key = [
        Line2D([], [], color=colour, lw=3, label=label)
        for colour, label in (((1, 0, 0), "left-right"), ((0, 1, 0), "front-back"), ((0.25, 0.4, 1), "up-down"))
    ]
    figure.legend(handles=key, loc="outside lower left", ncols=3, labelcolor="white")
    figure.text(
        0.99, 0.015, f"{drawn:,} of {total:,} streamlines".replace(",", " "), ha="right", color=MUTED, fontsize=10
    )
