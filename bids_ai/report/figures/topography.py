"""Values at electrodes as a map of the scalp: nose up, left is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import DIVERGING, INK, quiet_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Pixels of a map along its edge.
_PIXELS = 160
#: Steps of colour: their edges read as contours, and make for small files.
_STEPS = 25
#: Maps go so far beyond the outermost electrode, in radii of the head.
_RIM = 0.06
#: Fewer electrodes make no map.
LEAST_ELECTRODES = 4


class Scalp(NamedTuple):
    """Electrodes on the disc, in radii of the head: its rim is the level of the ears; which ones have a place."""

    flat: Array
    placed: Array

    @property
    def edge(self) -> float:
        """Radius of the map."""
        return max(1.0, float(np.hypot(*self.flat[self.placed].T).max()) + _RIM)


def flatten_scalp(positions: Array) -> Scalp:
    """Project electrodes to a disc, equidistant along the meridians from the top of the head.

    Parameters
    ----------
    positions : array (n_electrodes, 3)
        Any unit; x right, y front, z up; NaN where unknown.

    Raises
    ------
    InputError
        When fewer than four have a place.
    """
    placed = np.asarray(np.isfinite(positions).all(axis=1))
    if placed.sum() < LEAST_ELECTRODES:
        raise InputError(
            f"A map of the scalp needs {LEAST_ELECTRODES} electrodes with coordinates, {int(placed.sum())} have them."
        )
    from_centre = positions - _sphere_centre(positions[placed])
    x, y, z = from_centre.T
    tilt = np.arctan2(np.hypot(x, y), z) / (np.pi / 2)
    around = np.arctan2(y, x)
    return Scalp(np.stack([tilt * np.cos(around), tilt * np.sin(around)], axis=1), placed)


def _sphere_centre(points: Array) -> Array:
    """Return the centre of the sphere that fits points best; their mean where they lie in one plane."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    if np.linalg.matrix_rank(system) < 4:
        return np.asarray(points.mean(axis=0))
    return np.asarray(np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0][:3])


def interpolate(scalp: Scalp, values: Array) -> Array:
    """Return a map (n_pixels, n_pixels), first row at the back, by thin-plate splines; NaN outside the map."""
    from scipy.interpolate import RBFInterpolator

    known = scalp.placed & np.isfinite(values)
    line = np.linspace(-scalp.edge, scalp.edge, _PIXELS)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    inside = np.hypot(*grid.T) <= scalp.edge
    picture = np.full(len(grid), np.nan)
    picture[inside] = RBFInterpolator(scalp.flat[known], values[known], smoothing=1e-3)(grid[inside])
    return picture.reshape(_PIXELS, _PIXELS)


def draw_topography(axes: Axes, scalp: Scalp, values: Array, limit: float | None = None) -> None:
    """Draw a map with the outline of a head and its electrodes.

    Parameters
    ----------
    axes : Axes
    scalp : Scalp
    values : array (n_electrodes,)
    limit : float, optional
        End of the colour scale; by default the largest absolute value.
    """
    from matplotlib import colormaps
    from matplotlib.patches import Circle

    edge = scalp.edge
    known = scalp.placed & np.isfinite(values)
    if known.sum() >= LEAST_ELECTRODES:
        end = limit or float(np.abs(values[known]).max()) or 1.0
        axes.imshow(
            np.ma.masked_invalid(interpolate(scalp, values)),
            origin="lower",
            extent=(-edge, edge, -edge, edge),
            cmap=colormaps[DIVERGING].resampled(_STEPS),
            vmin=-end,
            vmax=end,
            interpolation="none",
        )
    axes.add_patch(Circle((0, 0), edge, fill=False, ec=INK, lw=1.2))
    nose = np.array([[-0.12, 0.985], [0, 1.13], [0.12, 0.985]]) * edge
    axes.plot(*nose.T, color=INK, lw=1.2, solid_joinstyle="round")
    for side in (-1, 1):
        ear = np.array([[0.995, 0.14], [1.06, 0.12], [1.06, -0.12], [0.995, -0.14]]) * (side * edge, edge)
        axes.plot(*ear.T, color=INK, lw=1.2)
    axes.plot(*scalp.flat[scalp.placed].T, ".", color=INK, ms=2, mew=0)
    axes.set_xlim(-1.12 * edge, 1.12 * edge)
    axes.set_ylim(-1.08 * edge, 1.18 * edge)
    axes.set_aspect("equal")
    quiet_axes(axes)
