"""Charts of the diffusion stage: gradient scheme, motion with lost slices, glyphs of tensors and fibre orientations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    BLUE,
    CATEGORIES,
    INK,
    MUTED,
    RULE,
    VERMILLION,
    new_figure,
    quiet_axes,
    save_figure,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Colour scale of signal loss ends here.
_WHOLE_LOSS = 0.3
#: Voxels that a picture of glyphs shows across; more could not be told apart.
_WINDOW = (22, 16)
_CORNERS = 40
#: Below, a glyph says nothing of direction.
_LEAST_FA = 0.1


@styled
def plot_gradients(bvals: ArrayLike, directions: ArrayLike, shells: Sequence[ArrayLike], out: Path | str) -> Path:
    """Draw the directions of each shell on the half sphere, and the b-values in the order of the scan.

    Parameters
    ----------
    bvals : array (n_volumes,)
        s/mm2.
    directions : array (n_volumes, 3)
        Unit vectors along the world axes.
    shells : sequence of arrays of int
        Volumes of each shell, by rising b-value; those in none are unweighted.
    out : path

    Notes
    -----
    Equal-area projection from above: a direction and its opposite measure the same and are drawn once, so that an even
    scheme covers the disc evenly.
    """
    bvals, directions = np.asarray(bvals, float), np.asarray(directions, float)
    if directions.shape != (len(bvals), 3):
        raise InputError(f"{len(bvals)} b-values need as many directions of three numbers, got {directions.shape}.")
    weighted = [np.asarray(shell, int) for shell in shells]
    figure = new_figure(height=4.4)
    disc, order = figure.subplots(1, 2, gridspec_kw={"width_ratios": [1, 1.5]})
    _draw_disc(disc, directions, weighted)
    order.vlines(np.arange(len(bvals)), 0, bvals, color=RULE, lw=1)
    rest = np.setdiff1d(np.arange(len(bvals)), np.concatenate([*weighted, np.array([], int)]))
    order.plot(rest, bvals[rest], "o", ms=5, color=INK, label=f"b0: {len(rest)}")
    for number, shell in enumerate(weighted):
        colour = CATEGORIES[number % len(CATEGORIES)]
        label = f"b {bvals[shell].mean():.0f}: {len(shell)}"
        order.plot(shell, bvals[shell], "o", ms=4.5, color=colour, label=label if number < 8 else None)
    order.set_xlabel("Volume")
    _count_whole(order)
    order.set_ylabel("b-value (s/mm²)")
    order.set_ylim(bottom=-0.03 * max(bvals.max(), 1), top=1.22 * max(bvals.max(), 1))
    order.legend(ncols=4, loc="upper left", handletextpad=0.2, columnspacing=1.2)
    return save_figure(figure, out)


def _draw_disc(axes: Axes, directions: Array, shells: Sequence[Array]) -> None:
    from matplotlib.patches import Circle

    for tilt in (30, 60, 90):
        radius = np.sqrt(2) * np.sin(np.deg2rad(tilt) / 2)
        axes.add_patch(Circle((0, 0), float(radius), fill=False, ec=RULE if tilt < 90 else MUTED, lw=0.8))
    for number, shell in enumerate(shells):
        up = directions[shell] * np.where(directions[shell][:, 2:] < 0, -1, 1)
        # Lambert's projection: the distance from the middle is the chord.
        plane = up[:, :2] / np.sqrt(np.maximum(1 + up[:, 2:], 1e-9))
        axes.plot(*plane.T, "o", ms=5.5, mec="white", mew=0.6, color=CATEGORIES[number % len(CATEGORIES)])
    for text, x, y in (("R", 1.1, 0), ("L", -1.1, 0), ("A", 0, 1.1), ("P", 0, -1.1)):
        axes.text(x, y, text, ha="center", va="center", color=MUTED, fontsize=10)
    axes.set_aspect("equal")
    axes.set_xlim(-1.2, 1.2)
    axes.set_ylim(-1.2, 1.2)
    quiet_axes(axes)
    axes.set_title("Directions, seen from above")


@styled
def plot_dwi_motion(
    confounds: pd.DataFrame, loss: ArrayLike, outlier: ArrayLike, out: Path | str, unweighted: ArrayLike | None = None
) -> Path:
    """Draw head motion, framewise displacement, and the slices that lost signal.

    Parameters
    ----------
    confounds : DataFrame
        Columns ``trans_x`` ... ``rot_z`` (mm, rad) and ``framewise_displacement`` (mm), one row per volume.
    loss : array (n_volumes, n_slices)
        Part of the predicted signal that is missing; NaN where not known.
    outlier : bool array (n_volumes, n_slices)
    out : path
    unweighted : bool array (n_volumes,), optional
        Such volumes are marked.
    """
    loss, outlier = np.asarray(loss, float), np.asarray(outlier, bool)
    if loss.shape != outlier.shape or len(loss) != len(confounds):
        raise InputError(f"Table of {len(confounds)} volumes, loss {loss.shape} and outliers {outlier.shape} disagree.")
    figure = new_figure(height=7.4)
    panels = figure.subplots(4, 1, sharex=True, gridspec_kw={"height_ratios": [1, 1, 0.9, 2.2]})
    volumes = np.arange(len(confounds))
    for axis, colour in zip("xyz", (BLUE, VERMILLION, CATEGORIES[2]), strict=True):
        panels[0].plot(volumes, confounds[f"trans_{axis}"], color=colour, lw=1.2, label=axis)
        panels[1].plot(volumes, np.rad2deg(confounds[f"rot_{axis}"]), color=colour, lw=1.2)
    panels[0].legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)  # beside no line
    panels[0].set_ylabel("Translation\n(mm)")
    panels[1].set_ylabel("Rotation\n(degrees)")
    displacement = confounds["framewise_displacement"].to_numpy(float)
    panels[2].plot(volumes, displacement, color=VERMILLION, lw=1.2)
    panels[2].set_ylabel("FD (mm)")
    panels[2].set_ylim(bottom=0)
    _draw_slices(panels[3], loss, outlier)
    if unweighted is not None:
        at = np.flatnonzero(np.asarray(unweighted, bool))
        panels[3].plot(at, np.full(len(at), -1.5), "^", ms=5, color=INK, clip_on=False)
        panels[3].set_xlabel("Volume (triangles: b0)")
    else:
        panels[3].set_xlabel("Volume")
    _count_whole(panels[3])
    figure.align_ylabels(list(panels))
    return save_figure(figure, out)


def _count_whole(axes: Axes) -> None:
    """Mark whole volumes only."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_slices(panel: Axes, loss: Array, outlier: Array) -> None:
    from matplotlib import colormaps

    shades = colormaps["RdBu_r"].with_extremes(bad="#e8ebee")
    picture = panel.imshow(
        np.ma.masked_invalid(100 * loss.T),
        aspect="auto",
        origin="lower",
        cmap=shades,
        vmin=-100 * _WHOLE_LOSS,
        vmax=100 * _WHOLE_LOSS,
        interpolation="none",
    )
    volumes, slices = np.nonzero(outlier)
    panel.plot(volumes, slices, "s", ms=6, mfc="none", mec=INK, mew=1.1)
    panel.set_ylabel("Slice")
    panel.set_title(f"{int(outlier.sum())} slices with drop-out (boxes)", fontsize=11, fontweight="normal", color=MUTED)
    bar = panel.figure.colorbar(picture, ax=panel, shrink=0.9, pad=0.01)
    bar.set_label("Signal lost (%)")


@styled
def plot_tensors(fa: ArrayLike, direction: ArrayLike, ad: ArrayLike, rd: ArrayLike, out: Path | str) -> Path:
    """Draw tensors as ellipses where a coronal slice has most bundles, over FA.

    Parameters
    ----------
    fa, ad, rd : arrays (nx, ny, nz)
        Axes along R, A, S; diffusivities in mm2/s; NaN outside the brain.
    direction : array (nx, ny, nz, 3)
        Principal direction along the axes of the arrays.
    out : path

    Notes
    -----
    The two smaller eigenvalues are drawn as one, their mean: the projection of an ellipsoid of revolution.
    """
    anisotropy = np.nan_to_num(np.asarray(fa, float))
    where, (xs, zs) = _busiest(anisotropy)
    cut = np.ix_(xs, np.array([where]), zs)
    vectors = np.nan_to_num(np.asarray(direction, float))[cut][:, 0][..., [0, 2]]
    long, short = (np.nan_to_num(np.asarray(values, float))[cut][:, 0] for values in (ad, rd))
    # Semi-axes are diffusivities; the projection of an ellipsoid with matrix M has the matrix of its sub-block.
    shape = (long**2 - short**2)[..., None, None] * vectors[..., :, None] * vectors[..., None, :]
    shape += (short**2)[..., None, None] * np.eye(2)
    values, axes = np.linalg.eigh(shape)
    root = np.einsum("...ij,...j,...kj->...ik", axes, np.sqrt(np.maximum(values, 0)), axes)
    angle = np.linspace(0, 2 * np.pi, _CORNERS, endpoint=False)
    outlines = np.einsum("...ij,jk->...ki", root, np.stack([np.cos(angle), np.sin(angle)]))
    outlines *= 0.48 / max(float(np.percentile(long[long > 0], 95)) if (long > 0).any() else 1.0, 1e-12)
    # Fluid diffuses freely and would cover its neighbours.
    outlines *= np.minimum(1, 0.48 / np.maximum(np.abs(outlines).max(axis=(-1, -2), keepdims=True), 1e-12))
    full = np.nan_to_num(np.asarray(direction, float))[cut][:, 0]
    return _draw_glyphs(anisotropy[cut][:, 0], outlines, full, out, f"Tensors, coronal slice {where}")


@styled
def plot_orientations(
    fa: ArrayLike, fod: ArrayLike, direction: ArrayLike, density: Callable[[Array, Array], Array], out: Path | str
) -> Path:
    """Draw fibre orientation densities where a coronal slice has most bundles, over FA.

    Parameters
    ----------
    fa : array (nx, ny, nz)
        Axes along R, A, S.
    fod : array (nx, ny, nz, n_coefficients)
        Coefficients, along the axes of the arrays.
    direction : array (nx, ny, nz, 3)
        Principal direction, for the colour.
    density : callable
        (coefficients, unit vectors (n, 3)) -> values (..., n).
    out : path

    Notes
    -----
    The outline of a glyph is the density along the directions within the slice.
    """
    coefficients = np.nan_to_num(np.asarray(fod, float))
    anisotropy = np.nan_to_num(np.asarray(fa, float))
    where, (xs, zs) = _busiest(anisotropy)
    cut = np.ix_(xs, np.array([where]), zs)
    angle = np.linspace(0, 2 * np.pi, 2 * _CORNERS, endpoint=False)
    around = np.stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)], axis=1)
    radius = np.maximum(density(coefficients[cut][:, 0], around), 0)
    radius *= 0.6 / max(float(np.percentile(radius.max(axis=-1), 95)), 1e-12)
    outlines = np.minimum(radius, 0.7)[..., None] * around[:, [0, 2]]
    full = np.nan_to_num(np.asarray(direction, float))[cut][:, 0]
    return _draw_glyphs(anisotropy[cut][:, 0], outlines, full, out, f"Fibre orientations, coronal slice {where}")


def _busiest(anisotropy: Array) -> tuple[int, tuple[Array, Array]]:
    """Coronal slice and window in it with the largest sum of FA."""
    from scipy.ndimage import uniform_filter

    width = min(_WINDOW[0], anisotropy.shape[0]), min(_WINDOW[1], anisotropy.shape[2])
    near = uniform_filter(anisotropy, (width[0], 1, width[1]), mode="constant")
    x, y, z = np.unravel_index(int(near.argmax()), near.shape)
    first = [
        int(np.clip(at - w // 2, 0, n - w))
        for at, w, n in zip((x, z), width, (anisotropy.shape[0], anisotropy.shape[2]), strict=True)
    ]
    return int(y), (np.arange(first[0], first[0] + width[0]), np.arange(first[1], first[1] + width[1]))


def _draw_glyphs(anisotropy: Array, outlines: Array, direction: Array, out: Path | str, title: str) -> Path:
    from matplotlib.collections import PolyCollection

    n_x, n_z = anisotropy.shape
    figure = new_figure(width=8.0, height=8.0 * n_z / n_x + 0.6)
    axes = figure.subplots()
    axes.imshow(anisotropy.T, origin="lower", cmap="gray", vmin=0, vmax=1.0, interpolation="none")
    centres = np.stack(np.meshgrid(np.arange(n_x), np.arange(n_z), indexing="ij"), axis=-1)
    shown = (np.abs(outlines).max(axis=(-1, -2)) > 0) & (anisotropy > _LEAST_FA)
    polygons = (outlines + centres[:, :, None])[shown]
    colours = np.clip(np.abs(direction[shown]) ** 0.7, 0.15, 1)
    axes.add_collection(PolyCollection(list(polygons), facecolors=colours, edgecolors="none"))
    axes.set_xlim(-0.5, n_x - 0.5)
    axes.set_ylim(-0.5, n_z - 0.5)
    for text, x, side in (("L", 0.01, "left"), ("R", 0.99, "right")):
        axes.text(x, 0.98, text, transform=axes.transAxes, ha=side, va="top", color="white", fontweight="bold")
    quiet_axes(axes)
    axes.set_title(f"{title} (red left-right, green front-back, blue up-down)", fontsize=11)
    return save_figure(figure, out)
