"""Figures of the functional stage: where the BOLD lies, and what it did over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.anat import add_anatomy_outlines, binary, shade
from bids_ai.report.figures.mosaic import Array, Image, load_volume, plan_cuts, world_extent
from bids_ai.report.figures.svg import MosaicSvg
from bids_ai.report.figures.theme import (
    BLUE,
    CATEGORIES,
    INK,
    MUTED,
    VERMILLION,
    new_figure,
    save_figure,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Rows of a carpet that are drawn at most: more than a screen has pixels.
MAX_CARPET_ROWS = 600
#: Grey levels of the carpet span this many standard deviations either side of the row's mean.
CARPET_SD = 2.0


def plot_coregistration(boldref_in_t1w: Image, t1w: Image, dseg: Image, out: Path | str) -> Path:
    """Draw the BOLD reference moved to the T1w and the T1w, alternating, under brain and white-matter outlines.

    Parameters
    ----------
    boldref_in_t1w, t1w : nibabel image or path
        In the space of the T1w; the grids may differ.
    dseg : nibabel image or path
        Tissue labels of the T1w: 1 grey matter, 2 white matter, 3 CSF.
    out : path
        SVG to write, with the layers ``#moving`` (BOLD) and ``#fixed`` (T1w).
    """
    return _against(boldref_in_t1w, t1w, dseg, out, "T1w", "BOLD reference on the T1w image")


def plot_bold_in_template(boldref_in_template: Image, template: Image, dseg_or_mask: Image, out: Path | str) -> Path:
    """Draw the BOLD reference in template space and the template, alternating, under the template's outlines.

    Parameters
    ----------
    boldref_in_template, template : nibabel image or path
    dseg_or_mask : nibabel image or path
        Tissue labels (1, 2, 3) or a brain mask in template space.
    out : path
        SVG to write, with the layers ``#moving`` (BOLD) and ``#fixed`` (template).
    """
    description = "BOLD reference in template space against the template"
    return _against(boldref_in_template, template, dseg_or_mask, out, "Template", description)


def _against(moving: Image, fixed: Image, labels: Image, out: Path | str, name: str, description: str) -> Path:
    bold, target = load_volume(moving, "BOLD reference"), load_volume(fixed, name)
    anatomy = load_volume(labels, "tissue labels")
    brain = binary(anatomy)
    cuts = plan_cuts(world_extent(brain), target.pixel_mm)
    mosaic = MosaicSvg(cuts, description)
    mosaic.add_layer("moving", "BOLD reference", shade(bold, (bold, None)))
    within = brain if brain.data.shape == target.data.shape else None
    mosaic.add_layer("fixed", name, shade(target, (target, within)))
    add_anatomy_outlines(mosaic, anatomy)
    return mosaic.write(out)


@styled
def plot_carpet(
    series: ArrayLike,
    groups: Sequence[str],
    confounds: pd.DataFrame,
    tr: float,
    out: Path | str,
    *,
    fd_threshold: float | None = None,
    censored: ArrayLike | None = None,
) -> Path:
    """Draw every row of a recording over time under its head motion, DVARS and global signal (Power 2017).

    Parameters
    ----------
    series : array (n_times, n_rows)
        Voxels or regions; any unit, each row is standardised. NaN frames are left grey.
    groups : list of str, length n_rows
        Group of each row (tissue, or network); rows are gathered by group in order of first appearance.
    confounds : DataFrame, n_times rows
        Columns ``framewise_displacement`` (mm), ``std_dvars`` or ``dvars``, ``global_signal``; those absent are left
        out of the figure. The first value may be NaN.
    tr : float
        Repetition time, s.
    out : path
        SVG or PNG to write.
    fd_threshold : float, optional
        Threshold of censoring, mm; drawn as a line.
    censored : array of bool (n_times,), optional
        Frames taken out of the analysis; marked over all panels.

    Raises
    ------
    InputError
        When lengths disagree.

    References
    ----------
    Power 2017, NeuroImage, doi:10.1016/j.neuroimage.2016.08.009.
    """
    data = np.asarray(series, float)
    lost = np.zeros(len(data), bool) if censored is None else np.asarray(censored, bool)
    _check_carpet(data, groups, confounds, lost)
    traces = _traces(confounds)
    figure = new_figure(height=1.15 * len(traces) + 4.2)
    axes = figure.subplots(len(traces) + 1, 1, sharex=True, gridspec_kw={"height_ratios": [1.0] * len(traces) + [3.6]})
    axes = np.atleast_1d(axes)
    seconds = np.arange(len(data)) * tr
    for panel, (label, values, colour) in zip(axes, traces, strict=False):
        _draw_trace(panel, seconds, values, label, colour)
        if label.startswith("FD") and fd_threshold is not None:
            panel.axhline(fd_threshold, color=VERMILLION, lw=1, ls=(0, (4, 3)))
            panel.annotate(
                f"threshold {fd_threshold:g} mm",
                (1, fd_threshold),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                va="bottom",
                fontsize=10,
                color=VERMILLION,
            )
    _draw_carpet(axes[-1], data, groups, tr)
    _mark_censored(list(axes), lost, tr)
    axes[-1].set_xlabel("Time (s)")
    axes[-1].set_xlim(-tr / 2, (len(data) - 0.5) * tr)
    axes[0].set_title(_carpet_title(lost, tr), fontsize=11, fontweight="normal", color=MUTED)
    figure.align_ylabels(list(axes))
    return save_figure(figure, out)


@styled
def plot_motion(confounds: pd.DataFrame, tr: float, out: Path | str) -> Path:
    """Draw the six parameters of head motion over time.

    Parameters
    ----------
    confounds : DataFrame
        Columns ``trans_x``, ``trans_y``, ``trans_z`` (mm) and ``rot_x``, ``rot_y``, ``rot_z`` (rad).
    tr : float
        Repetition time, s.
    out : path
    """
    figure = new_figure(height=4.2)
    top, bottom = figure.subplots(2, 1, sharex=True)
    seconds = np.arange(len(confounds)) * tr
    for axis, colour in zip("xyz", (BLUE, VERMILLION, CATEGORIES[2]), strict=True):
        top.plot(seconds, confounds[f"trans_{axis}"], color=colour, lw=1.2, label=axis)
        bottom.plot(seconds, np.rad2deg(confounds[f"rot_{axis}"]), color=colour, lw=1.2, label=axis)
    top.set_ylabel("Translation (mm)")
    bottom.set_ylabel("Rotation (degrees)")
    bottom.set_xlabel("Time (s)")
    top.legend(ncols=3, loc="upper right")
    figure.align_ylabels([top, bottom])
    return save_figure(figure, out)


def _check_carpet(data: Array, groups: Sequence[str], confounds: pd.DataFrame, lost: Array) -> None:
    if data.ndim != 2:
        raise InputError(f"A carpet needs series of shape (n_times, n_rows); these have shape {data.shape}.")
    n_times, n_rows = data.shape
    for name, length, wanted in (
        ("groups", len(groups), n_rows),
        ("confounds", len(confounds), n_times),
        ("censored", len(lost), n_times),
    ):
        if length != wanted:
            raise InputError(f"Carpet of {n_times} frames and {n_rows} rows: {name} has length {length}, not {wanted}.")


def _traces(confounds: pd.DataFrame) -> list[tuple[str, Array, str]]:
    """Choose what is drawn above the carpet: label with unit, values, colour."""
    found = []
    if "framewise_displacement" in confounds:
        found.append(("FD\n(mm)", confounds["framewise_displacement"], VERMILLION))
    if "std_dvars" in confounds:
        found.append(("DVARS\n(standardised)", confounds["std_dvars"], BLUE))
    elif "dvars" in confounds:
        found.append(("DVARS\n(BOLD units)", confounds["dvars"], BLUE))
    if "global_signal" in confounds:
        signal = np.asarray(confounds["global_signal"], float)
        spread = np.nanstd(signal) or 1.0
        found.append(("Global signal\n(SD)", (signal - np.nanmean(signal)) / spread, INK))
    return [(label, np.asarray(values, float), colour) for label, values, colour in found]


def _draw_trace(panel: Axes, seconds: Array, values: Array, label: str, colour: str) -> None:
    panel.plot(seconds, values, color=colour, lw=1.1)
    panel.set_ylabel(label, rotation=0, ha="right", va="center")
    panel.locator_params(axis="y", nbins=3)
    if label.startswith("FD"):
        panel.set_ylim(bottom=0)
    if np.isfinite(values).any():
        summary = f"mean {np.nanmean(values):.2f}, max {np.nanmax(values):.2f}"
        if not label.startswith("Global"):
            panel.text(1, 1.0, summary, transform=panel.transAxes, ha="right", va="bottom", fontsize=10, color=MUTED)


def _draw_carpet(panel: Axes, data: Array, groups: Sequence[str], tr: float) -> None:
    ordered, blocks = _gather(data, groups)
    standard = _standardise(ordered)
    n_times = len(data)
    from matplotlib import colormaps

    shades = colormaps["gray"].with_extremes(bad="#c9d6e2")
    panel.imshow(
        np.ma.masked_invalid(standard.T),
        aspect="auto",
        cmap=shades,
        vmin=-CARPET_SD,
        vmax=CARPET_SD,
        interpolation="none",
        extent=(-tr / 2, (n_times - 0.5) * tr, standard.shape[1], 0),
    )
    for number, (_, first, last) in enumerate(blocks):
        panel.axhspan(
            first, last, xmin=-0.012, xmax=-0.003, color=CATEGORIES[number % len(CATEGORIES)], clip_on=False, lw=0
        )
    panel.set_yticks([(first + last) / 2 for _, first, last in blocks], [name for name, _, _ in blocks])
    panel.tick_params(axis="y", length=0, pad=10)
    panel.set_title(
        f"{len(groups)} rows, white +{CARPET_SD:g} SD, black \N{MINUS SIGN}{CARPET_SD:g} SD",
        fontsize=10,
        fontweight="normal",
        color=MUTED,
        loc="right",
        pad=4,
    )


def _gather(data: Array, groups: Sequence[str]) -> tuple[Array, list[tuple[str, int, int]]]:
    """Put rows of one group together, thin them out evenly; return rows and (group, first, last) blocks."""
    names = list(dict.fromkeys(groups))
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    step = max(1, int(np.ceil(len(groups) / MAX_CARPET_ROWS)))
    columns: list[int] = []
    blocks = []
    for name in names:
        chosen = members[name][::step]
        blocks.append((name, len(columns), len(columns) + len(chosen)))
        columns += chosen
    return data[:, columns], blocks


def _standardise(data: Array) -> Array:
    """Centre each row and divide by its SD over the frames that are there; a constant row becomes 0."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # rows without data stay NaN
        centred = data - np.nanmean(data, axis=0)
        spread = np.nanstd(data, axis=0)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _mark_censored(axes: list[Axes], lost: Array, tr: float) -> None:
    """Shade the censored stretches over all panels."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        for panel in axes:
            alpha = 0.28 if panel is axes[-1] else 0.18
            panel.axvspan((start - 0.5) * tr, (stop - 0.5) * tr, color=VERMILLION, alpha=alpha, lw=0)


def _carpet_title(lost: Array, tr: float) -> str:
    kept = len(lost) - int(lost.sum())
    text = f"{len(lost)} frames of {tr:g} s"
    if lost.any():
        text += f"; {int(lost.sum())} censored (shaded), {kept} kept = {kept * tr / 60:.1f} min"
    return text
