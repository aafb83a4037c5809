"""Figures of EEG preprocessing: independent components; bad channels and stretches over time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.figures.theme import (
    CATEGORIES,
    MUTED,
    VERMILLION,
    new_figure,
    quiet_axes,
    save_figure,
    styled,
)
from bids_ai.report.figures.topography import draw_topography, flatten_scalp
from bids_ai.report.figures.traces import check_shape

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Components drawn at most.
MAX_COMPONENTS = 20
_COMPONENT_COLUMNS = ("component", "label", "probability", "explained_variance", "removed")
#: Groups of electrodes by the letters of the 10-20 system, from front to back.
_SCALP_GROUPS = {
    "Frontal": ("Fp", "AF", "F", "N"),
    "Central": ("FC", "C", "CP"),
    "Temporal": ("FT", "T", "TP", "A", "M"),
    "Parietal": ("P",),
    "Occipital": ("PO", "O", "I"),
}
OTHER_GROUP = "Other"


@styled
def plot_components(
    topographies: ArrayLike, positions: ArrayLike, table: pd.DataFrame, out: Path | str, *, total: int | None = None
) -> Path:
    """Draw the maps of independent components with label, probability and explained variance.

    Of more than twenty, the removed ones come first, then those that explain most; they are drawn by number.

    Parameters
    ----------
    topographies : array (n_components, n_channels)
        Column of the mixing matrix of each; any unit, each map has its own scale.
    positions : array (n_channels, 3)
        Any unit; x right, y front, z up; NaN where unknown.
    table : DataFrame, n_components rows
        ``component`` (number), ``label``, ``probability`` of it (0 to 1), ``explained_variance`` (share, 0 to 1),
        ``removed`` (bool); NaN where a component was not labelled.
    out : path
    total : int, optional
        Components of the decomposition, where only some are given.

    Raises
    ------
    InputError
        When shapes disagree, columns are absent, or fewer than four electrodes have a place.
    """
    maps, places = np.atleast_2d(np.asarray(topographies, float)), np.asarray(positions, float)
    absent = [column for column in _COMPONENT_COLUMNS if column not in table]
    if absent:
        raise InputError(f"Table of components: columns {', '.join(absent)} are wanted, too.")
    check_shape("Topographies of components", maps, (len(table), len(places)))
    scalp = flatten_scalp(places)
    chosen = _chosen(table)
    columns = min(5, max(3, len(chosen)))
    rows = max(1, -(-len(chosen) // columns))
    figure = new_figure(height=2.45 * rows + 0.7)
    panels = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for panel in panels:
        quiet_axes(panel)
    for panel, row in zip(panels, chosen, strict=False):
        draw_topography(panel, scalp, maps[row])
        _name_component(panel, table.iloc[row])
    removed = table["removed"].fillna(False).astype(bool)
    shown = (
        f"{len(chosen)} of {total or len(table)} components"
        if len(chosen) < (total or len(table))
        else "All components"
    )
    variance = float(table.loc[removed, "explained_variance"].sum())
    text = f"{shown}; {int(removed.sum())} removed (framed), with {_percent(variance)} of the variance"
    figure.suptitle(text, x=0.01, ha="left", fontsize=11, color=MUTED)
    return save_figure(figure, out)


def _chosen(table: pd.DataFrame) -> Array:
    """Return the rows that are drawn, in the order of the table."""
    removed = table["removed"].fillna(False).astype(bool).to_numpy()
    variance = np.nan_to_num(table["explained_variance"].to_numpy(float))
    order = np.lexsort((-variance, ~removed))
    return np.sort(order[:MAX_COMPONENTS])


def _name_component(panel: Axes, row: pd.Series) -> None:
    from matplotlib.patches import Rectangle

    removed = row["removed"] == True  # noqa: E712  (NaN is no removal)
    label = str(row["label"]).replace("_", " ") if row["label"] == row["label"] and row["label"] else "not labelled"
    probability = f" {100 * row['probability']:.0f} %" if np.isfinite(row["probability"]) else ""
    variance = f"{_percent(row['explained_variance'])} of variance" if np.isfinite(row["explained_variance"]) else ""
    colour = VERMILLION if removed else MUTED
    panel.set_title(
        f"{row['component']}: {label}{probability}",
        fontsize=11,
        loc="center",
        pad=3,
        color=VERMILLION if removed else "black",
        fontweight="bold" if removed else "normal",
    )
    panel.set_xlabel(f"{variance}{', removed' if removed else ''}", fontsize=9.5, color=colour, labelpad=5)
    if removed:
        frame: dict[str, Any] = {
            "transform": panel.transAxes,
            "fill": False,
            "ec": VERMILLION,
            "lw": 2.0,
            "clip_on": False,
        }
        panel.add_patch(Rectangle((0, 0), 1, 1, **frame))


def _percent(share: float) -> str:
    return "<0.1 %" if 0 < share < 1e-3 else f"{100 * share:.1f} %"


def scalp_groups(names: Sequence[str]) -> list[str]:
    """Return the part of the scalp of each electrode by its name in the 10-20 system; "Other" for other names."""
    known = {letters.lower(): group for group, members in _SCALP_GROUPS.items() for letters in members}
    groups = []
    for name in names:
        found = re.fullmatch(r"([A-Za-z]+?)(?:\d+h?|z)", name)
        groups.append(known.get(found.group(1).lower(), OTHER_GROUP) if found else OTHER_GROUP)
    return groups


@styled
def plot_bads(
    names: Sequence[str],
    groups: Sequence[str],
    bad: Mapping[str, str],
    segments: pd.DataFrame,
    duration_s: float,
    out: Path | str,
    *,
    interpolated: bool = False,
) -> Path:
    """Draw bad channels and bad stretches over time, a strip per group of channels.

    Parameters
    ----------
    names, groups : sequences of str, length n_channels
        Channels, and the group of each, such as :func:`scalp_groups` gives; groups stand in order of first appearance.
    bad : mapping of str to str
        Bad channels and why.
    segments : DataFrame
        ``onset``, ``duration`` (s) and ``description`` of bad stretches, such as ``BAD_muscle``; ``channels``
        (optional) names the only ones concerned, separated by commas.
    duration_s : float
        Of the recording.
    out : path
    interpolated : bool
        Whether bad channels were interpolated; said in the title.

    Raises
    ------
    InputError
        When lengths disagree, or a bad channel is not among the channels.
    """
    _check_bads(names, groups, bad, segments)
    order = sorted(range(len(names)), key=lambda i: list(dict.fromkeys(groups)).index(groups[i]))
    kinds = list(dict.fromkeys(str(kind) for kind in segments["description"]))
    colours = {kind: CATEGORIES[number % len(CATEGORIES)] for number, kind in enumerate(kinds)}
    blocks = list(dict.fromkeys(groups[i] for i in order))
    members = {block: [names[i] for i in order if groups[i] == block] for block in blocks}
    heights = [0.22 * len(kinds) + 0.1, *(max(0.5, 0.085 * len(members[block])) for block in blocks)]
    # A strip is high enough for the names of its bad channels.
    for number, block in enumerate(blocks, 1):
        heights[number] = max(heights[number], 0.2 * sum(name in bad for name in members[block]))
    drawn = heights if kinds else heights[1:]
    figure = new_figure(height=sum(drawn) + 0.05 * len(drawn) + 1.5)
    panels = figure.subplots(len(drawn), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": drawn})[:, 0]
    if kinds:
        _draw_kinds(panels[0], segments, colours)
    for panel, block in zip(panels[len(drawn) - len(blocks) :], blocks, strict=True):
        _draw_strip(panel, block, members[block], bad, segments, duration_s, colours)
    panels[-1].set_xlim(0, duration_s)
    panels[-1].spines["bottom"].set_visible(True)
    panels[-1].tick_params(axis="x", bottom=True, labelbottom=True)
    panels[-1].set_xlabel("Time (s)")
    panels[0].set_title(
        _bads_title(len(names), bad, segments, duration_s, interpolated), fontsize=11, fontweight="normal", color=MUTED
    )
    return save_figure(figure, out)


def _check_bads(names: Sequence[str], groups: Sequence[str], bad: Mapping[str, str], segments: pd.DataFrame) -> None:
    if not names or len(names) != len(groups):
        raise InputError(f"Bad channels: one group for each channel is wanted, got {len(groups)} for {len(names)}.")
    unknown = [name for name in bad if name not in names]
    if unknown:
        raise InputError(f"Bad channels: {', '.join(unknown)} are not among the {len(names)} channels.")
    absent = [column for column in ("onset", "duration", "description") if column not in segments]
    if absent:
        raise InputError(f"Bad segments: columns {', '.join(absent)} are wanted, too.")


def _quiet_strip(panel: Axes) -> None:
    for spine in panel.spines.values():
        spine.set_visible(False)
    panel.tick_params(length=0)
    panel.tick_params(axis="x", bottom=False, labelbottom=False)


def _draw_kinds(panel: Axes, segments: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Draw each kind of bad stretch in a row of its own: kinds may overlap."""
    for row, (kind, colour) in enumerate(colours.items()):
        own = segments[segments["description"].astype(str) == kind]
        spans = list(zip(own["onset"].astype(float), own["duration"].astype(float), strict=True))
        panel.broken_barh(spans, (row - 0.4, 0.8), facecolors=colour, edgecolors=colour, lw=0.6)
        seconds = float(own["duration"].sum())
        panel.text(
            1.01, row, f"{len(own)}, {seconds:.1f} s", transform=panel.get_yaxis_transform(), va="center", fontsize=10
        )
    panel.set_yticks(range(len(colours)), [kind.removeprefix("BAD_").replace("_", " ") for kind in colours])
    panel.set_ylim(len(colours) - 0.4, -0.6)
    _quiet_strip(panel)


def _draw_strip(
    panel: Axes,
    block: str,
    members: Sequence[str],
    bad: Mapping[str, str],
    segments: pd.DataFrame,
    duration_s: float,
    colours: Mapping[str, str],
) -> None:
    n = len(members)
    panel.axhspan(0, n, color="#eef2f5", lw=0)
    for edge in range(1, n):
        panel.axhline(edge, color="white", lw=0.5)
    for segment in segments.itertuples():
        start, stop = float(segment.onset), float(segment.onset) + float(segment.duration)  # type: ignore[arg-type]
        colour = colours[str(segment.description)]
        concerned = str(getattr(segment, "channels", "") or "").replace(" ", "")
        rows = [members.index(name) for name in concerned.split(",") if name in members]
        whole = concerned in ("", "n/a", "nan")
        for first, last in [(0, n)] if whole else [(row, row + 1) for row in rows]:
            panel.fill_between([start, stop], first, last, color=colour, alpha=0.4 if whole else 0.9, lw=0)
    labels: list[tuple[float, str]] = []
    for row, name in enumerate(members):
        if name in bad:
            panel.fill_between([0, duration_s], row, row + 1, color=VERMILLION, lw=0)
            labels.append((row + 0.5, f"{name}: {bad[name]}"))
    for place, text in zip(_spread([place for place, _ in labels], n), (text for _, text in labels), strict=True):
        panel.text(1.01, place, text, transform=panel.get_yaxis_transform(), va="center", fontsize=10, color=VERMILLION)
    panel.set_yticks([n / 2], [f"{block} ({n})"])
    panel.set_ylim(n, 0)
    _quiet_strip(panel)


def _spread(places: Sequence[float], n: int) -> list[float]:
    """Push labels apart, so that as many as there are fit a strip of n channels."""
    if not places:
        return []
    apart = n / max(len(places), 1) if len(places) * 2 > n else 2.0
    apart = min(apart, n / len(places))
    moved = [max(places[0], apart / 2)]
    for place in places[1:]:
        moved.append(max(place, moved[-1] + apart))
    beyond = max(0.0, moved[-1] - (n - apart / 2))
    return [place - beyond for place in moved]


def _bads_title(
    n_channels: int, bad: Mapping[str, str], segments: pd.DataFrame, duration_s: float, interpolated: bool
) -> str:
    general = segments
    if "channels" in segments:
        general = segments[segments["channels"].isna() | segments["channels"].astype(str).isin(["", "n/a"])]
    lost = _covered(general["onset"].to_numpy(float), general["duration"].to_numpy(float), duration_s)
    channels = f"{len(bad)} of {n_channels} channels bad"
    if bad and interpolated:
        channels += " (interpolated)"
    return f"{channels}; {lost:.1f} of {duration_s:.1f} s bad = {100 * lost / duration_s:.0f} % of the recording"


def _covered(onsets: Array, durations: Array, duration_s: float) -> float:
    """Return seconds within the recording that are in one span or more."""
    total, reached = 0.0, 0.0
    for position in np.argsort(onsets):
        start, stop = max(onsets[position], reached), min(onsets[position] + durations[position], duration_s)
        total += max(0.0, float(stop - start))
        reached = max(reached, float(stop))
    return total
