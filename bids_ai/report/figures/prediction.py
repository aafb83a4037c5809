"""Predicted against recorded responses to stimulation: scores, amplitudes by site, waveforms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.ccep import MAX_SITES, RESPONDER, SILENT
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    BLUE,
    CATEGORIES,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    RULE,
    VERMILLION,
    new_figure,
    save_figure,
    signed,
    styled,
)
from bids_ai.report.figures.traces import check_shape, plain_log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Colours of kinds of models, in the order in which kinds appear.
_COLOURS = (MUTED, GREEN, BLUE, ORANGE, PURPLE, INK, "#9aa4ae", *CATEGORIES)
_COLUMNS, _MAX_WAVES = 4, 12


@styled
def plot_scores(
    table: pd.DataFrame, kinds: Sequence[str], out: Path | str, *, metric: str = "Rank correlation"
) -> Path:
    """Draw the score of every model with its interval, and its gain over distance, and over distance, SC and FC.

    Parameters
    ----------
    table : DataFrame
        One row a model, in the order drawn: ``model value lower upper ceiling``, and ``gain_over_distance`` and
        ``gain_over_combination`` with ``_lower`` and ``_upper``. NaN where there is none; ``reason`` says why.
    kinds : sequence of str, one for each row
        In words; rows of one kind share a colour.
    out : path
    metric : str

    Raises
    ------
    InputError
        For a table without a row.
    """
    if table.empty:
        raise InputError("Scores: there is no model to draw.")
    rows = np.arange(len(table))[::-1]
    colour_of = dict(zip(dict.fromkeys(kinds), _COLOURS, strict=False))
    colours = [colour_of[kind] for kind in kinds]
    figure = new_figure(height=0.27 * len(table) + 2.2)
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(1.25, 1, 1))
    _whiskers(panels[0], table, "value", ("lower", "upper"), rows, colours)
    ceiling = table["ceiling"].to_numpy(float)
    if np.isfinite(ceiling).any():
        top = float(np.nanmax(ceiling))
        panels[0].axvline(top, color=INK, lw=0.9, ls=(0, (4, 3)))
        panels[0].annotate(
            "noise ceiling",
            (top, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=9,
            color=MUTED,
        )
    panels[0].set_xlabel(metric)
    for panel, suffix, words in zip(
        panels[1:], ("distance", "combination"), ("distance", "distance + SC + FC"), strict=True
    ):
        gain = f"gain_over_{suffix}"
        _whiskers(panel, table, gain, (f"{gain}_lower", f"{gain}_upper"), rows, colours)
        panel.set_xlabel(f"Gain over {words}")
    for row, missing in zip(rows, np.isnan(table["value"].to_numpy(float)), strict=True):
        if missing:
            panels[0].text(0.02, row, "n/a", va="center", fontsize=9, color=MUTED)
    for panel in panels:
        panel.axvline(0, color=RULE, lw=0.9, zorder=0)
        panel.tick_params(axis="y", length=0)
        panel.spines["left"].set_visible(False)
    panels[0].set_yticks(rows, [str(model) for model in table["model"]])
    panels[0].set_ylim(-0.7, len(table) - 0.3)
    handles = [_dot(colour, kind) for kind, colour in colour_of.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, handletextpad=0.2)
    return save_figure(figure, out)


def _dot(colour: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker="o", ls="none", label=label)


def _whiskers(
    panel: Axes, table: pd.DataFrame, column: str, ends: tuple[str, str], rows: Array, colours: list[str]
) -> None:
    values = table[column].to_numpy(float)
    lower, upper = (table[end].to_numpy(float) for end in ends)
    for row, value, low, high, colour in zip(rows, values, lower, upper, colours, strict=True):
        if np.isfinite([low, high]).all():
            panel.plot([low, high], [row, row], color=colour, lw=1.6, solid_capstyle="butt")
        panel.plot(value, row, "o", color=colour, ms=5)


@styled
def plot_sites(
    predicted: ArrayLike,
    recorded_uv: ArrayLike,
    responder: ArrayLike,
    sites: Sequence[str],
    out: Path | str,
    *,
    rho: ArrayLike,
    label: str = "Predicted probability of a response",
    max_sites: int = MAX_SITES,
) -> Path:
    """Draw recorded amplitude against prediction, one panel a site, a dot a channel.

    Parameters
    ----------
    predicted, recorded_uv : array (n_sites, n_channels)
        NaN where not scored.
    responder : array (n_sites, n_channels)
        1, 0 or NaN.
    sites : sequence of str
    out : path
    rho : array (n_sites,)
        Rank correlation of each site.
    label : str
        Of the prediction.
    max_sites : int
        Of more, those that are drawn are spread evenly over the order of rho.

    Raises
    ------
    InputError
        When shapes disagree, or nothing is scored.
    """
    x, y, hit = (np.asarray(one, float) for one in (predicted, recorded_uv, responder))
    quality = np.asarray(rho, float)
    for what, values in (("Recorded amplitudes", y), ("Responders", hit)):
        check_shape(what, values, x.shape)
    check_shape("Sites", quality, (len(sites),))
    shown = np.isfinite(x) & np.isfinite(y) & (np.nan_to_num(y) > 0)
    there = np.flatnonzero(shown.any(axis=1))
    if not len(there):
        raise InputError("Prediction by site: no pair of site and channel is both predicted and recorded.")
    order = there[np.argsort(-np.nan_to_num(quality[there], nan=-2.0), kind="stable")]
    spread = np.unique(np.linspace(0, len(order) - 1, min(len(order), max_sites)).round().astype(int))
    chosen = order[spread]
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = new_figure(height=1.75 * rows + 1.4)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for panel, site in zip(panels.ravel(), chosen, strict=False):
        for value, colour, size in ((0, SILENT, 9), (1, RESPONDER, 14)):
            used = shown[site] & (hit[site] == value)
            panel.scatter(x[site, used], y[site, used], s=size, color=colour, lw=0, alpha=0.9)
        words = (
            f"\N{GREEK SMALL LETTER RHO} = {signed(quality[site])}"
            if np.isfinite(quality[site])
            else "too few channels"
        )
        panel.set_title(f"{sites[site]}  {words}", fontsize=10, fontweight="normal")
    plain_log(panels[0, 0])
    for panel in panels.ravel()[len(chosen) :]:
        panel.set_visible(False)
    for column in range(columns):
        last = max(row for row in range(rows) if row * columns + column < len(chosen))
        panels[last, column].tick_params(labelbottom=True)
    figure.supxlabel(label, fontsize=11)
    figure.supylabel("Recorded amplitude (µV)", fontsize=11)
    words = "" if len(chosen) == len(sites) else f"{len(chosen)} of {len(sites)} sites, best to worst"
    figure.legend(
        handles=[_dot(RESPONDER, "responds"), _dot(SILENT, "does not")],
        loc="outside upper right",
        ncols=2,
        title=words or None,
        handletextpad=0.2,
    )
    return save_figure(figure, out)


@styled
def plot_waveforms(
    recorded_uv: ArrayLike,
    odd_uv: ArrayLike,
    even_uv: ArrayLike,
    predicted_uv: ArrayLike,
    times_s: ArrayLike,
    names: Sequence[str],
    out: Path | str,
    *,
    model: str,
    artefact_s: tuple[float, float] = (-0.002, 0.009),
    window_s: tuple[float, float] = (-0.02, 0.3),
) -> Path:
    """Draw predicted over recorded responses, with the band between the means of odd and of even pulses.

    Parameters
    ----------
    recorded_uv, odd_uv, even_uv, predicted_uv : array (n_pairs, n_times)
        Microvolts; at most twelve pairs are drawn, the first.
    times_s : array (n_times,)
    names : sequence of str
        Site and channel of each pair.
    out : path
    model : str
        What predicted, in words.
    artefact_s : (float, float)
        What is blanked and bridged around the pulse, s; shaded.
    window_s : (float, float)
        Shown.

    Raises
    ------
    InputError
        When shapes disagree, or there is no pair.
    """
    times = np.asarray(times_s, float)
    waves = [np.asarray(one, float) for one in (recorded_uv, odd_uv, even_uv, predicted_uv)]
    for what, values in zip(("Recorded", "Odd", "Even", "Predicted"), waves, strict=True):
        check_shape(f"{what} responses", values, (len(names), len(times)))
    if not names:
        raise InputError("Waveforms: there is no response to draw.")
    kept = (times >= window_s[0]) & (times <= window_s[1])
    ms = 1e3 * times[kept]
    recorded, odd, even, predicted = (one[:_MAX_WAVES, kept] for one in waves)
    columns = min(_COLUMNS, len(recorded))
    rows = -(-len(recorded) // columns)
    figure = new_figure(height=1.7 * rows + 1.3)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    for number, panel in enumerate(panels.ravel()):
        if number >= len(recorded):
            panel.set_visible(False)
            continue
        panel.axvspan(*(1e3 * edge for edge in artefact_s), color=ORANGE, alpha=0.25, lw=0)
        panel.axhline(0, color=RULE, lw=0.7, zorder=0)
        panel.fill_between(ms, odd[number], even[number], color="#9fb6c8", alpha=0.6, lw=0, label="odd to even pulses")
        panel.plot(ms, recorded[number], color=INK, lw=1.1, label="recorded")
        panel.plot(ms, predicted[number], color=VERMILLION, lw=1.5, label="predicted")
        panel.set_title(names[number], fontsize=10, fontweight="normal")
        panel.locator_params(axis="y", nbins=4)
        panel.locator_params(axis="x", nbins=5)
    for column in range(columns):
        last = max(row for row in range(rows) if row * columns + column < len(recorded))
        panels[last, column].tick_params(labelbottom=True)
    figure.supxlabel("Time after the pulse (ms)", fontsize=11)
    figure.supylabel("Mean response (µV)", fontsize=11)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, title=model)
    return save_figure(figure, out)
