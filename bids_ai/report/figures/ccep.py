"""Figures of the responses to single pulses: waveforms per site, size against distance, share against pulses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    RULE,
    VERMILLION,
    new_figure,
    save_figure,
    styled,
)
from bids_ai.report.figures.traces import check_shape, draw_bundle, plain_log, share_interval, with_small_pictures

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Sites drawn at most, and in a row.
MAX_SITES, _COLUMNS = 24, 4
#: Colours of contacts that respond, do not, and are not judged.
RESPONDER, SILENT, EXCLUDED = VERMILLION, "#7fa8c9", "#b3b9bf"
#: Edges of the bins of distance that are at least so wide, mm, and how many points a bin needs.
_BIN_MM, _LEAST_IN_BIN = 10.0, 5
#: More points than this are embedded as a picture.
_VECTOR_POINTS = 1500


@styled
def plot_responses(
    responses: ArrayLike,
    times_s: ArrayLike,
    sites: Sequence[str],
    channels: Sequence[str],
    out: Path | str,
    *,
    responder: ArrayLike,
    excluded: ArrayLike | None = None,
    n_pulses: ArrayLike | None = None,
    artefact_s: tuple[float, float] = (-0.002, 0.009),
    radius_mm: float | None = None,
    window_s: tuple[float, float] = (-0.05, 0.4),
    max_sites: int = MAX_SITES,
) -> Path:
    """Draw the mean responses of all contacts to each stimulated site, one panel a site, all on one scale.

    Of more sites than fit, those with most responders are drawn, in the order given.

    Parameters
    ----------
    responses : array (n_sites, n_channels, n_times)
        Means over pulses, volts; NaN without data.
    times_s : array (n_times,)
        Seconds after the pulse.
    sites, channels : sequences of str
    out : path
    responder : bool array (n_sites, n_channels)
    excluded : bool array (n_sites, n_channels), optional
        Not judged, such as contacts near the stimulated ones; drawn grey.
    n_pulses : array of int (n_sites,), optional
    artefact_s : (float, float)
        What is blanked around the pulse, s.
    radius_mm : float, optional
        Contacts nearer than this to the site were excluded; said in the key.
    window_s : (float, float)
        Shown of the times, s, as far as there are any.
    max_sites : int

    Raises
    ------
    InputError
        When shapes disagree, or there is no site.
    """
    waves, times = np.asarray(responses, float) * 1e6, np.asarray(times_s, float) * 1e3
    shape = (len(sites), len(channels))
    check_shape("Responses", waves, (*shape, len(times)))
    shown = (times >= 1e3 * window_s[0]) & (times <= 1e3 * window_s[1])
    if not shown.any():
        raise InputError(f"Responses: no sample lies between {window_s[0]:g} and {window_s[1]:g} s after the pulse.")
    waves, times = waves[:, :, shown], times[shown]
    responds = np.asarray(responder, bool)
    left_out = np.zeros(shape, bool) if excluded is None else np.asarray(excluded, bool)
    check_shape("Responders", responds, shape)
    check_shape("Excluded contacts", left_out, shape)
    pulses = None if n_pulses is None else np.asarray(n_pulses, int)
    if pulses is not None:
        check_shape("Numbers of pulses", pulses, (len(sites),))
    if not len(sites):
        raise InputError("Responses: there is no stimulated site.")
    responds = responds & ~left_out
    chosen = np.sort(np.argsort(-responds.sum(axis=1), kind="stable")[:max_sites])
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(height=1.62 * rows + (1.5 if rows > 1 else 2.2))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    limit = _limit(waves[chosen], times, responds[chosen], left_out[chosen], artefact_s[1] * 1e3)
    for panel, site in zip(panels.ravel(), chosen, strict=False):
        panel.axvspan(*(1e3 * edge for edge in artefact_s), color=ORANGE, alpha=0.35, lw=0)
        panel.axhline(0, color=RULE, lw=0.7, zorder=0)
        for kind, colour, width in ((left_out[site], EXCLUDED, 0.5), (~left_out[site] & ~responds[site], SILENT, 0.5)):
            draw_bundle(panel, times, waves[site][kind], colors=colour, linewidths=width, alpha=0.8)
        draw_bundle(panel, times, waves[site][responds[site]], colors=RESPONDER, linewidths=0.9, alpha=0.9)
        _name_site(
            panel,
            sites[site],
            responds[site],
            left_out[site],
            waves[site],
            pulses[site] if pulses is not None else None,
        )
    panels[0, 0].set_xlim(times[0], times[-1])
    panels[0, 0].set_ylim(-limit, limit)
    panels[0, 0].locator_params(axis="y", nbins=5)
    panels[0, 0].locator_params(axis="x", nbins=5)
    for panel in panels.ravel()[len(chosen) :]:
        panel.set_visible(False)
    for column in range(columns):  # the last panel of a column that is there bears the axis
        last = max(row for row in range(rows) if row * columns + column < len(chosen))
        panels[last, column].tick_params(labelbottom=True)
    figure.supxlabel("Time after the pulse (ms)", fontsize=11)
    figure.supylabel("Mean response (µV)", fontsize=11)
    _key(figure, len(chosen), len(sites), radius_mm)
    return with_small_pictures(save_figure(figure, out))


def _limit(waves: Array, times: Array, responds: Array, left_out: Array, start_ms: float) -> float:
    """Return the end of the axis: of responders and of judged contacts, 98 of a hundred peaks fit."""
    import warnings

    after = np.abs(waves[:, :, times > start_ms])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # contacts without data have no peak
        peaks = np.nanmax(after, axis=2)
    kinds = (responds, ~left_out) if (~left_out & np.isfinite(peaks)).any() else (left_out,)
    found = [peaks[kind & np.isfinite(peaks)] for kind in kinds]
    return 1.15 * max((float(np.percentile(own, 98)) for own in found if own.size), default=0.0) or 1.0


def _name_site(panel: Axes, name: str, responds: Array, left_out: Array, waves: Array, n_pulses: int | None) -> None:
    judged = ~left_out & np.isfinite(waves).any(axis=1)
    pulses = "" if n_pulses is None else f", {n_pulses} pulses"
    panel.set_title(name, fontsize=11, pad=14)
    text = f"{int(responds.sum())} of {int(judged.sum())}{pulses}"
    panel.text(0, 1.02, text, transform=panel.transAxes, fontsize=9.5, color=MUTED, va="bottom")


def _key(figure: Figure, n_shown: int, n_sites: int, radius_mm: float | None) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    near = f"excluded: within {radius_mm:g} mm, or bad" if radius_mm is not None else "excluded"
    handles = [
        Line2D([], [], color=RESPONDER, lw=2, label="responds"),
        Line2D([], [], color=SILENT, lw=2, label="no response"),
        Line2D([], [], color=EXCLUDED, lw=2, label=near),
        Patch(facecolor=ORANGE, alpha=0.35, label="artefact"),
    ]
    shown = (
        f"All {n_sites} sites" if n_shown == n_sites else f"{n_shown} of {n_sites} sites, those with most responders"
    )
    title = f"{shown}; below each name: contacts that respond, of those judged"
    figure.legend(handles=handles, loc="outside upper left", ncols=4, title=title, title_fontsize=10, alignment="left")


@styled
def plot_distance(
    distance_mm: ArrayLike,
    size: ArrayLike,
    responder: ArrayLike,
    out: Path | str,
    *,
    radius_mm: float,
    label: str = "RMS of the response (µV)",
    log: bool = True,
) -> Path:
    """Draw the size of responses against the distance from the stimulated site, and the share of responders.

    Parameters
    ----------
    distance_mm, size : array (n_sites, n_channels)
        NaN without data; of stimulated contacts, too.
    responder : bool array (n_sites, n_channels)
    out : path
    radius_mm : float
        Contacts nearer than this are not judged: they see the current itself.
    label : str
        Quantity and unit of the size.
    log : bool
        Logarithmic axis of the size; sizes of zero and below are left out then.

    Raises
    ------
    InputError
        When shapes disagree or no pair has a distance and a size.
    """
    away, height, responds = np.asarray(distance_mm, float), np.asarray(size, float), np.asarray(responder, bool)
    check_shape("Sizes of responses", height, away.shape)
    check_shape("Responders", responds, away.shape)
    known = np.isfinite(away) & np.isfinite(height) & ((height > 0) | (not log))
    if not known.any():
        raise InputError("Size against distance: no pair of site and contact has both.")
    away, height, responds = away[known], height[known], responds[known]
    near = away < radius_mm
    figure = new_figure(height=6.4)
    cloud, shares = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2.3, 1]})
    style = {"rasterized": len(away) > _VECTOR_POINTS, "ls": "", "mew": 0}
    cloud.plot(away[near], height[near], "o", ms=3.5, color="#9aa2aa", label=f"not judged: {int(near.sum())}", **style)
    silent = ~near & ~responds
    cloud.plot(
        away[silent], height[silent], "o", ms=3.5, color=SILENT, label=f"no response: {int(silent.sum())}", **style
    )
    found = ~near & responds
    cloud.plot(away[found], height[found], "o", ms=4.5, color=RESPONDER, label=f"responds: {int(found.sum())}", **style)
    edges = _bins(away[~near], radius_mm)
    _draw_medians(cloud, away[~near], height[~near], edges)
    _draw_shares(shares, away[~near], responds[~near], edges)
    if log:
        plain_log(cloud)
    for panel in (cloud, shares):
        panel.axvspan(0, radius_mm, color=ORANGE, alpha=0.22, lw=0, zorder=0)
    note = f"within\n{radius_mm:g} mm:\nnot judged"
    shares.text(
        radius_mm / 2, 0.5, note, transform=shares.get_xaxis_transform(), ha="center", va="center", fontsize=9.5
    )
    cloud.set_xlim(0, float(away.max()) * 1.03)
    cloud.set_ylabel(label)
    cloud.legend(loc="upper right", handletextpad=0.6, markerscale=1.5)
    shares.set_xlabel("Distance from the stimulated site (mm)")
    figure.align_ylabels([cloud, shares])
    return save_figure(figure, out)


def _bins(away: Array, radius_mm: float) -> Array:
    """Return edges of bins of distance from the exclusion radius on."""
    if not away.size:
        return np.array([radius_mm, radius_mm + _BIN_MM])
    return np.arange(radius_mm, max(float(away.max()), radius_mm) + _BIN_MM, _BIN_MM)


def _draw_medians(panel: Axes, away: Array, height: Array, edges: Array) -> None:
    bins = [(a, b, (away >= a) & (away < b)) for a, b in itertools.pairwise(edges)]
    bins = [entry for entry in bins if entry[2].sum() >= _LEAST_IN_BIN]
    middles = [(a + b) / 2 for a, b, _ in bins]
    panel.plot(
        middles, [float(np.median(height[own])) for _, _, own in bins], color=INK, lw=2, label="median, 10 mm bins"
    )


def _draw_shares(panel: Axes, away: Array, responds: Array, edges: Array) -> None:
    total = np.histogram(away, edges)[0]
    hits = np.histogram(away[responds], edges)[0]
    shown = total >= _LEAST_IN_BIN
    low, high = share_interval(hits[shown], total[shown])
    share = hits[shown] / total[shown]
    middles = ((edges[:-1] + edges[1:]) / 2)[shown]
    panel.bar(middles, 100 * share, width=0.86 * _BIN_MM, color=RESPONDER, alpha=0.75, lw=0)
    panel.vlines(middles, 100 * low, 100 * high, color=INK, lw=1.2)
    panel.set_ylim(0, min(100.0, 115 * float(high.max())) if shown.any() else 100)
    panel.set_ylabel("Responders (%)")


@styled
def plot_pulses(table: pd.DataFrame, out: Path | str, *, chance: float | None = None) -> Path:
    """Draw the share of responders against the number of pulses that were averaged.

    Parameters
    ----------
    table : DataFrame
        ``n_pulses``, ``n_tested`` and ``n_responders`` (pairs of site and contact), one row per number of pulses;
        ``low`` and ``high`` (shares, optional) are an interval from resampling sites, else Wilson's is drawn.
    out : path
    chance : float, optional
        Share of responders to be expected without any response; drawn as a line.

    Raises
    ------
    InputError
        When columns are absent, the table is empty, or more respond than were tested.
    """
    absent = [column for column in ("n_pulses", "n_tested", "n_responders") if column not in table]
    if absent or not len(table):
        raise InputError(f"Share against pulses: rows with {', '.join(absent) or 'n_pulses'} are wanted.")
    rows = table.sort_values("n_pulses", kind="stable")
    pulses, tested, hits = (rows[column].to_numpy(float) for column in ("n_pulses", "n_tested", "n_responders"))
    if (hits > tested).any():
        raise InputError("Share against pulses: more pairs respond than were tested.")
    given = {"low", "high"} <= set(rows)
    low, high = (rows["low"].to_numpy(float), rows["high"].to_numpy(float)) if given else share_interval(hits, tested)
    share = hits / np.where(tested > 0, tested, np.nan)
    figure = new_figure(width=8.0, height=4.4)
    axes = figure.subplots()
    words = "95 % interval over sites" if given else "95 % interval (Wilson)"
    axes.fill_between(pulses, 100 * low, 100 * high, color=BLUE, alpha=0.18, lw=0)
    axes.vlines(pulses, 100 * low, 100 * high, color=BLUE, lw=1.4, label=words)
    axes.plot(pulses, 100 * share, "o-", color=BLUE, lw=2, ms=6, label="share of responders")
    for x, y, n in zip(pulses, high, tested, strict=True):
        if np.isfinite(y):
            axes.annotate(
                f"{n:.0f}",
                (x, 100 * y),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=10,
                color=MUTED,
            )
    if chance is not None:
        axes.axhline(
            100 * chance, color=VERMILLION, lw=1, ls=(0, (4, 3)), label=f"without responses: {100 * chance:g} %"
        )
    axes.set_xticks(pulses, [f"{n:.0f}" for n in pulses])
    axes.set_ylim(0, min(105.0, max(10.0, 130 * float(np.nanmax(high)))))
    axes.set_xlim(pulses.min() - 0.6, pulses.max() + 0.6)
    axes.set_xlabel("Pulses averaged (numbers above: pairs of site and contact)")
    axes.set_ylabel("Responders (%)")
    axes.legend(loc="lower right")
    return save_figure(figure, out)
