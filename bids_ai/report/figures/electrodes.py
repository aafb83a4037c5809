"""Contacts in the brain: sagittal, coronal and axial views, coloured by lead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.connectome import VIEWS, View
from bids_ai.report.figures.mosaic import Array, Image, Volume, load_volume, outline
from bids_ai.report.figures.theme import CATEGORIES, INK, MUTED, new_figure, quiet_axes, save_figure, styled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Contacts of a lead are joined where they lie in a line: at least this share of their variance is along it.
_STRAIGHT = 0.97
#: Pixel of a silhouette, mm, and the margin around it.
_SILHOUETTE_MM, _MARGIN_MM = 2.0, 6.0
_FINER = 4
#: Middle of the MNI brain, mm.
_MNI_MIDDLE = (0.0, -18.0, 10.0)
#: Colour of outlines.
_OUTLINE = "#b9c1c9"
_DOT = 5.0
#: Distance of the name of a lead from its last contact, points, and the directions that are tried, degrees.
_AWAY, _TURNS = 11.0, (0, 35, -35, 70, -70, 110, -110, 150, -150)


def leads(contacts: pd.DataFrame) -> list[str]:
    """Return the lead of each contact: column ``lead``, else the name without its last number.

    Parameters
    ----------
    contacts : DataFrame
        ``name``, and ``lead`` if known.
    """
    names = [str(name) for name in contacts["name"]]
    given = list(contacts["lead"]) if "lead" in contacts else [None] * len(names)
    return [
        re.sub(r"[-_ ]?\d+$", "", name) or name if lead is None or lead != lead or lead in ("", "n/a") else str(lead)
        for name, lead in zip(names, given, strict=True)
    ]


@styled
def plot_electrodes(
    contacts: pd.DataFrame, out: Path | str, *, brain: Image | None = None, space: str = "MNI", title: str = "Contacts"
) -> Path:
    """Draw contacts in the outline of the brain; bad ones hollow, stimulated ones ringed.

    Parameters
    ----------
    contacts : DataFrame
        ``name``, ``x``, ``y``, ``z`` (mm RAS; NaN where unknown: left out, and counted); optional ``lead``,
        ``bad`` and ``stimulated`` (bool).
    out : path
    brain : nibabel image or path, optional
        Brain mask in the space of the contacts, whose silhouette is drawn; by default nilearn's outlines of the MNI
        brain.
    space : str
        Of the coordinates, in words; said in the figure.
    title : str

    Raises
    ------
    InputError
        When columns are absent or no contact has coordinates.
    """
    absent = [column for column in ("name", "x", "y", "z") if column not in contacts]
    if absent:
        raise InputError(f"{title}: columns {', '.join(absent)} are wanted, too.")
    places = contacts[["x", "y", "z"]].to_numpy(float)
    placed = np.isfinite(places).all(axis=1)
    if not placed.any():
        raise InputError(f"{title}: no contact has coordinates, so there is nothing to draw in a brain.")
    shown = contacts[placed].reset_index(drop=True)
    places, lead = places[placed], leads(shown)
    bad, stimulated = (_flags(shown, column) for column in ("bad", "stimulated"))
    colours = {name: CATEGORIES[number % len(CATEGORIES)] for number, name in enumerate(dict.fromkeys(lead))}
    silhouette = None if brain is None else load_volume(brain, "brain mask")
    centre = np.array(_MNI_MIDDLE) if silhouette is None else _middle(silhouette)
    side = np.where(places[:, 0] < 0, "L", "R")
    views = [view for view in VIEWS if not view.side or (side == view.side).any()]
    figure = new_figure(width=10.0, height=8.4)
    figure.suptitle(f"{title} in {space} space", x=0.01, ha="left", fontsize=12, fontweight="bold")
    panels = figure.subplots(2, 2).ravel()
    for axes, view in zip(panels, views, strict=False):
        _draw_outline(axes, view, silhouette)
        own = np.flatnonzero((side == view.side) if view.side else np.ones(len(shown), bool))
        _draw_contacts(axes, view, places, own, lead, colours, bad, stimulated)
        _name_leads(axes, view, places, own, lead, colours, centre)
    for axes in panels[len(views) :]:
        axes.set_axis_off()
    _key(figure, panels[3] if len(views) < 4 else None, lead, colours, bad, stimulated, int((~placed).sum()))
    return save_figure(figure, out, tight=True)


def _flags(contacts: pd.DataFrame, column: str) -> Array:
    if column not in contacts:
        return np.zeros(len(contacts), bool)
    return contacts[column].fillna(False).astype(bool).to_numpy()


def _middle(brain: Volume) -> Array:
    return np.asarray(_voxels(brain).mean(axis=0))


def _voxels(brain: Volume) -> Array:
    """Return the world coordinates of the voxels of a mask, mm."""
    inside = np.argwhere(brain.data > 0)
    if not len(inside):
        raise InputError("Brain mask: it is empty, so there is no outline to draw.")
    return np.asarray(inside @ brain.affine[:3, :3].T + brain.affine[:3, 3])


def _draw_outline(axes: Axes, view: View, brain: Volume | None) -> None:
    """Draw nilearn's outline, or the silhouette of a mask, and the names of the ends of the view."""
    quiet_axes(axes)
    if brain is None:
        from nilearn.plotting.glass_brain import plot_brain_schematics

        left, right, bottom, top = plot_brain_schematics(axes, view.direction, edgecolor=_OUTLINE, linewidth=1.0)
    else:
        left, right, bottom, top = _draw_silhouette(axes, _voxels(brain)[:, [view.right, view.up]], brain.pixel_mm)
    axes.set_aspect("equal")
    axes.set_xlim((right, left) if view.direction == "l" else (left, right))
    axes.set_ylim(bottom, top)
    axes.set_title(view.title, fontsize=11, fontweight="normal", color=MUTED, loc="center", pad=2)
    for place, name in zip((0.01, 0.99), view.ends, strict=True):
        axes.text(place, 0.03, name, transform=axes.transAxes, ha="center", va="center", fontsize=12, weight="bold")


def _draw_silhouette(axes: Axes, points: Array, voxel_mm: float) -> tuple[float, float, float, float]:
    """Draw the shadow of a mask; return its box."""
    from scipy.ndimage import binary_closing, gaussian_filter

    pixel = max(_SILHOUETTE_MM, 1.2 * voxel_mm)
    low, high = points.min(axis=0) - _MARGIN_MM, points.max(axis=0) + _MARGIN_MM
    edges = [np.arange(low[k], high[k] + pixel, pixel) for k in (0, 1)]
    shadow = np.histogramdd(points, bins=edges)[0] > 0
    # Finer than the bins, so that the smoothed outline has no corners.
    fine = np.kron(binary_closing(shadow, iterations=1), np.ones((_FINER, _FINER)))
    for line in outline(gaussian_filter(fine, 1.2 * _FINER).T):
        axes.plot(*((line + 0.5) * pixel / _FINER + low).T, color=_OUTLINE, lw=1.2, zorder=1)
    return float(low[0]), float(high[0]), float(low[1]), float(high[1])


def _draw_contacts(
    axes: Axes,
    view: View,
    places: Array,
    own: Array,
    lead: list[str],
    colours: dict[str, str],
    bad: Array,
    stimulated: Array,
) -> None:
    flat = places[:, [view.right, view.up]]
    for name, colour in colours.items():
        members = np.array([i for i in own if lead[i] == name], int)
        if not len(members):
            continue
        if _straight(places[members]):
            axes.plot(*flat[members].T, color=colour, lw=1.0, alpha=0.6, zorder=2)
        # Hollow ones have a light face, so that the outline does not run through them.
        for kind, face in ((members[~bad[members]], colour), (members[bad[members]], "white")):
            axes.plot(
                *flat[kind].T,
                "o",
                ls="",
                ms=_DOT,
                color=face,
                mec=colour,
                mew=1.3 if face == "white" else 0.4,
                zorder=4,
            )
    ringed = own[stimulated[own]]
    axes.plot(*flat[ringed].T, "o", ls="", ms=_DOT + 2.6, mfc="none", mec=INK, mew=0.8, zorder=5)


def _straight(points: Array) -> bool:
    """Return whether contacts lie in a line, in their order: of a grid it would zigzag."""
    if len(points) < 2:
        return False
    centred = points - points.mean(axis=0)
    spread = np.linalg.svd(centred, compute_uv=False) ** 2
    if spread[0] < _STRAIGHT * spread.sum():
        return False
    along = centred @ (points[-1] - points[0])
    return bool((np.diff(along) > 0).all())


def _name_leads(
    axes: Axes, view: View, places: Array, own: Array, lead: list[str], colours: dict[str, str], centre: Array
) -> None:
    """Write the name of each lead outside of its outermost contact, where there is room."""
    right, up = view.right, view.up
    mirror = -1.0 if view.direction == "l" else 1.0
    points = places[:, [right, up]] * (mirror, 1.0)
    middle = centre[[right, up]] * (mirror, 1.0)
    # Millimetres per point, about: panels are 4.6 inches wide for 180 mm.
    per_point = 180.0 / (4.6 * 72)
    taken = [tuple(point) for point in points[own]]
    for name, colour in colours.items():
        members = [i for i in own if lead[i] == name]
        if not members:
            continue
        last = members[int(np.argmax(np.hypot(*(points[members] - middle).T)))]
        start = points[members].mean(axis=0) if len(members) > 1 else middle
        heading = points[last] - (start if np.hypot(*(points[last] - start)) > 3 else middle)
        angle = float(np.arctan2(heading[1], heading[0]))
        spots = [_spot(points[last], angle + np.deg2rad(turn), len(name), per_point) for turn in _TURNS]
        crowd = [_crowd(spot, len(name), taken, per_point) + 0.15 * number for number, spot in enumerate(spots)]
        spot = spots[int(np.argmin(crowd))]
        half = (0.34 * len(name) - 0.3) * 10 * per_point
        taken += [(spot[0] + shift, spot[1]) for shift in (-half, 0.0, half)]
        axes.text(
            spot[0] * mirror,
            spot[1],
            name,
            color=colour,
            fontsize=10,
            fontweight="bold",
            ha="center",
            va="center",
            zorder=6,
        )


def _spot(point: Array, angle: float, n_letters: int, per_point: float) -> Array:
    """Return the middle of a name so far from a point that its letters do not cover it."""
    reach = _AWAY + abs(np.cos(angle)) * 3.2 * (n_letters - 1)
    return np.asarray(point + reach * per_point * np.array([np.cos(angle), np.sin(angle)]))


def _crowd(spot: Array, n_letters: int, taken: list[tuple[float, ...]], per_point: float) -> float:
    """Return how many drawn things a name at a spot would cover."""
    if not taken:
        return 0.0
    away = np.abs(np.array(taken) - spot) / per_point
    return float(((away[:, 0] < 3.6 * n_letters + 3) & (away[:, 1] < 8)).sum())


def _key(
    figure: Figure,
    corner: Axes | None,
    lead: list[str],
    colours: dict[str, str],
    bad: Array,
    stimulated: Array,
    n_lost: int,
) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", ls="", color=colour, ms=7, label=f"{name} ({lead.count(name)})")
        for name, colour in colours.items()
    ]
    if bad.any():
        handles.append(
            Line2D([], [], marker="o", ls="", mfc="white", mec=MUTED, mew=1.5, ms=7, label=f"bad ({int(bad.sum())})")
        )
    if stimulated.any():
        label = f"stimulated ({int(stimulated.sum())})"
        handles.append(Line2D([], [], marker="o", ls="", mfc="none", mec=INK, mew=1.2, ms=10, label=label))
    text = f"{len(lead)} contacts on {len(colours)} lead{'s' if len(colours) > 1 else ''}"
    if n_lost:
        text += f"; {n_lost} without coordinates left out"
    style: dict[str, Any] = {"handles": handles, "title": text, "title_fontsize": 10, "handletextpad": 0.3}
    if corner is not None:
        corner.legend(loc="center", ncols=2 if len(handles) < 15 else 3, **style)
    else:
        figure.legend(loc="outside lower center", ncols=min(8, len(handles)), columnspacing=1.2, **style)
