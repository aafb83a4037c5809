"""Figures of iEEG preprocessing: quality of contacts, and the blanking of the stimulation artefact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.electrodes import leads
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    CATEGORIES,
    INK,
    MUTED,
    ORANGE,
    RULE,
    VERMILLION,
    new_figure,
    quiet_axes,
    save_figure,
    styled,
)
from bids_ai.report.figures.traces import check_shape, plain_log

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Contacts in a row; longer leads, such as grids, go on in the next.
_IN_A_ROW = 18
_GOOD = "#dfe8e4"
#: Colours of reasons: none of them like a good contact, the strongest first.
_REASONS = (VERMILLION, *(colour for colour in CATEGORIES if colour != VERMILLION))
#: Contacts drawn around a pulse at most.
MAX_BLANKED = 8


@styled
def plot_contacts_quality(table: pd.DataFrame, out: Path | str) -> Path:
    """Draw the leads as rows of contacts coloured by what is wrong with them, and the amplitude of every contact.

    Parameters
    ----------
    table : DataFrame
        ``name``, ``reasons`` (separated by semicolons; empty for good contacts), ``lead`` (optional, else by the name),
        ``sd`` (optional, V: standard deviation of the signal; NaN where not measured).
    out : path

    Raises
    ------
    InputError
        When columns are absent or there is no contact.
    """
    absent = [column for column in ("name", "reasons") if column not in table]
    if absent or not len(table):
        raise InputError(f"Quality of contacts: rows with {', '.join(absent) or 'name'} are wanted.")
    lead = leads(table)
    # The first of several reasons gives the colour.
    first = [
        str(text).split(";")[0].strip() if text == text and text not in (None, "n/a") else ""
        for text in table["reasons"]
    ]
    kinds = list(dict.fromkeys(reason for reason in first if reason))
    colours = {kind: _REASONS[number % len(_REASONS)] for number, kind in enumerate(kinds)}
    rows = _rows(lead)
    measured = "sd" in table and np.isfinite(table["sd"].to_numpy(float)).any()
    heights = [0.36 * max(len(rows), 2), *([2.6] if measured else [])]
    figure = new_figure(height=sum(heights) + 1.2 + 0.26 * (1 + len(kinds)))
    panels = figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    names = [str(name) for name in table["name"]]
    _draw_leads(panels[0], rows, names, first, colours)
    if measured:
        _draw_amplitudes(panels[1], table["sd"].to_numpy(float) * 1e6, lead, first, colours, names)
    _name_reasons(figure, first, colours)
    return save_figure(figure, out)


def _rows(lead: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Return (lead, positions of its contacts) for each drawn row."""
    rows = []
    for name in dict.fromkeys(lead):
        own = [position for position, other in enumerate(lead) if other == name]
        rows += [
            (name if start == 0 else "", own[start : start + _IN_A_ROW]) for start in range(0, len(own), _IN_A_ROW)
        ]
    return rows


def _draw_leads(
    panel: Axes, rows: list[tuple[str, list[int]]], names: list[str], first: list[str], colours: dict[str, str]
) -> None:
    from matplotlib.patches import Rectangle

    for row, (_, contacts) in enumerate(rows):
        for column, contact in enumerate(contacts):
            reason = first[contact]
            face = colours[reason] if reason else _GOOD
            panel.add_patch(Rectangle((column + 0.05, row + 0.08), 0.9, 0.84, facecolor=face, edgecolor="none"))
            number = re.search(r"\d+$", names[contact])
            text = number.group() if number else names[contact]
            style: dict[str, Any] = {"color": "white", "fontweight": "bold"} if reason else {"color": MUTED}
            panel.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=10, **style)
    panel.set_xlim(0, max(len(contacts) for _, contacts in rows))
    panel.set_ylim(len(rows), 0)
    quiet_axes(panel)
    panel.set_yticks(np.arange(len(rows)) + 0.5, [name for name, _ in rows])
    panel.tick_params(length=0)
    panel.set_ylabel("Lead")
    bad = sum(bool(reason) for reason in first)
    panel.set_title(
        f"{bad} of {len(first)} contacts bad; numbers as in the names of the contacts",
        fontsize=11,
        fontweight="normal",
        color=MUTED,
    )


def _draw_amplitudes(
    panel: Axes, sd_uv: Array, lead: list[str], first: list[str], colours: dict[str, str], names: list[str]
) -> None:
    place = np.argsort([list(dict.fromkeys(lead)).index(name) for name in lead], kind="stable")
    at = np.empty(len(place), int)
    at[place] = np.arange(len(place))
    positive = sd_uv > 0
    good = np.array([not reason for reason in first]) & positive
    floor = float(sd_uv[positive].min()) / 2 if positive.any() else 1.0
    panel.plot(at[good], sd_uv[good], "o", ms=5, color="#7c8a93")
    if good.any():
        middle = float(np.median(sd_uv[good]))
        panel.axhline(middle, color=INK, lw=1, ls=(0, (4, 3)), zorder=0)
        panel.text(
            1, middle, f" median {middle:.3g} µV", transform=panel.get_yaxis_transform(), va="center", fontsize=10
        )
    for reason, colour in colours.items():
        own = np.array([other == reason for other in first]) & np.isfinite(sd_uv)
        # A dead contact has no place on a logarithmic axis: it stands at its lower end.
        panel.plot(at[own], np.where(positive, sd_uv, floor)[own], "o", ms=7, color=colour, mec="white", mew=0.6)
        for contact in np.flatnonzero(own):
            height = sd_uv[contact] if positive[contact] else floor
            panel.annotate(
                names[contact] if positive[contact] else f"{names[contact]} (0)",
                (at[contact], height),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=9.5,
                color=colour,
            )
    plain_log(panel)
    starts = [int(at[[other == name for other in lead]].min()) for name in dict.fromkeys(lead)]
    stops = [int(at[[other == name for other in lead]].max()) for name in dict.fromkeys(lead)]
    for start in starts[1:]:
        panel.axvline(start - 0.5, color=RULE, lw=0.8, zorder=0)
    panel.set_xticks([(a + b) / 2 for a, b in zip(starts, stops, strict=True)], list(dict.fromkeys(lead)))
    panel.tick_params(axis="x", length=0)
    panel.set_xlim(-0.7, len(lead) - 0.3)
    panel.set_xlabel("Contacts, lead by lead")
    panel.set_ylabel("SD of the signal (µV)")


def _name_reasons(figure: Figure, first: list[str], colours: dict[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=_GOOD, label=f"good: {sum(not reason for reason in first)}")]
    handles += [Patch(facecolor=colour, label=f"{kind}: {first.count(kind)}") for kind, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower left", ncols=1 if len(handles) > 2 else 2)


@styled
def plot_blanking(
    times_s: ArrayLike,
    before: ArrayLike,
    after: ArrayLike,
    names: Sequence[str],
    out: Path | str,
    *,
    blank_s: tuple[float, float] = (-0.002, 0.009),
    stimulated: Sequence[str] = (),
    title: str = "",
) -> Path:
    """Draw one pulse as it was recorded and after the artefact was taken out.

    Parameters
    ----------
    times_s : array (n_times,)
        Seconds after the pulse.
    before, after : array (n_channels, n_times)
        Volts. Of more than eight contacts, those with the largest artefact are drawn.
    names : sequence of str, length n_channels
    out : path
    blank_s : (float, float)
        What is blanked, s.
    stimulated : sequence of str
        Contacts that are left out: they come back from the stimulator off the scale of all others.
    title : str
        Such as the site and the number of the pulse.

    Raises
    ------
    InputError
        When shapes disagree or there is no contact.
    """
    times = np.asarray(times_s, float) * 1e3
    signals = [np.atleast_2d(np.asarray(values, float)) * 1e6 for values in (before, after)]
    for what, values in zip(("Signal before blanking", "Signal after blanking"), signals, strict=True):
        check_shape(what, values, (len(names), len(times)))
    kept = [number for number, name in enumerate(names) if name not in stimulated]
    if not kept:
        raise InputError("Blanking: there is no contact to draw.")
    names, signals = [names[number] for number in kept], [values[kept] for values in signals]
    inside = (times >= 1e3 * blank_s[0]) & (times <= 1e3 * blank_s[1])
    height = np.nan_to_num(np.abs(signals[0][:, inside])).max(axis=1) if inside.any() else np.zeros(len(names))
    chosen = np.argsort(-height, kind="stable")[:MAX_BLANKED]
    figure = new_figure(height=5.8)
    panels = figure.subplots(2, 1, sharex=True)
    headings = ("As recorded", "Artefact blanked and interpolated")
    for panel, values, heading in zip(panels, signals, headings, strict=True):
        panel.axvspan(1e3 * blank_s[0], 1e3 * blank_s[1], color=ORANGE, alpha=0.3, lw=0)
        panel.axhline(0, color=RULE, lw=0.7, zorder=0)
        for number, contact in enumerate(chosen):
            panel.plot(times, values[contact], color=CATEGORIES[number], lw=1.2, label=names[contact])
        panel.set_ylabel("Potential (µV)")
        panel.set_title(heading, fontsize=11)
    panels[1].set_xlim(times[0], times[-1])
    panels[1].set_xlabel(
        f"Time after the pulse (ms); shaded: blanked, {1e3 * blank_s[0]:g} to {1e3 * blank_s[1]:g} ms".replace(
            "-", "\N{MINUS SIGN}"
        )
    )
    shown = (
        f"{len(chosen)} of {len(names)} contacts, those with the largest artefact"
        if len(chosen) < len(names)
        else "All contacts"
    )
    if stimulated:
        shown += " (not the stimulated ones)"
    words = f"{title}; {shown[:1].lower()}{shown[1:]}" if title else shown
    figure.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=min(8, len(chosen)),
        title=words,
        title_fontsize=10,
        alignment="left",
        handlelength=1.2,
        columnspacing=1.2,
    )
    figure.align_ylabels(list(panels))
    return save_figure(figure, out)
