"""Figures of the benchmark: all methods on all systems, what a structural connectivity adds, and length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.ec.page_methods import STRUCTURAL_KINDS, mean_of, systems_in
from benchmarks.ec.settings import FULL
from benchmarks.ec.tables import base_rows, setting_rows
from bids_ai.report.figures.theme import CATEGORIES, DIVERGING, INK, MUTED, new_figure, save_figure, signed, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROW_INCHES = 0.27
FOLLOWED = ("pearson", "var-coefficient", "mou-ec", "ridge-var", "ou", "npi-mlp", "auto")
DARK = 0.65
"""Absolute value from which a cell of the diverging map needs white letters."""


def write_figures(results: pd.DataFrame, folder: Path) -> list[Path]:
    """Draw what there are results for."""
    if results.empty:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = [plot_overview(results, folder / "benchmark_ec_overview.svg")]
    if (results["structural"] != "none").any():
        paths.append(plot_structural(results, folder / "benchmark_ec_structural.svg"))
    if any(len(_lengths(results, system)) > 1 for system in systems_in(results)):
        paths.append(plot_lengths(results, folder / "benchmark_ec_lengths.svg"))
    return paths


@styled
def plot_overview(results: pd.DataFrame, out: Path) -> Path:
    """Mean r of every method on every system, without structural connectivity; left whole, right antisymmetric."""
    systems = systems_in(results)
    tables = [_means(results, systems, score) for score in ("r", "antisymmetric_r")]
    order = tables[0].mean(axis=1).sort_values(ascending=False).index
    figure = new_figure(height=1.6 + ROW_INCHES * len(order))
    axes = figure.subplots(1, 2, sharey=True)
    titles = ("r with the truth", "r of the antisymmetric parts")
    for ax, table, title in zip(axes, tables, titles, strict=True):
        values = table.reindex(order).to_numpy(dtype=np.float64)
        image = ax.imshow(values, cmap=DIVERGING, vmin=-1, vmax=1, aspect="auto")
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                colour = "white" if abs(value) > DARK else INK
                ax.text(j, i, signed(value), ha="center", va="center", fontsize=7, color=colour)
        ax.set_xticks(range(len(systems)), systems, rotation=40, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(order)), order)
        ax.tick_params(length=0)
        ax.set_title(title)
    figure.colorbar(image, ax=axes, shrink=0.4, label="mean over seeds")
    return save_figure(figure, out)


def _means(results: pd.DataFrame, systems: list[str], score: str) -> pd.DataFrame:
    """Mean score, methods x systems."""
    columns = {}
    for system in systems:
        rows = base_rows(results, system)
        columns[system] = rows[rows["structural"] == "none"].groupby("method")[score].mean()
    return pd.DataFrame(columns).dropna(how="all")


@styled
def plot_structural(results: pd.DataFrame, out: Path) -> Path:
    """Methods with structural connectivity: r by kind of connectivity, one panel per system."""
    systems = [s for s in systems_in(results) if (base_rows(results, s)["structural"] != "none").any()]
    names = {s: _ranked(base_rows(results, s)) for s in systems}
    figure = new_figure(height=1.3 + ROW_INCHES * sum(len(methods) + 2 for methods in names.values()))
    ratios = [len(methods) + 1 for methods in names.values()]
    panels = figure.subplots(len(systems), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    for ax, system in zip(panels, systems, strict=True):
        rows = base_rows(results, system)
        for number, kind in enumerate(STRUCTURAL_KINDS):
            places = np.arange(len(names[system])) + 0.22 * (number - 1)
            means = [mean_of(rows, method, kind) for method in names[system]]
            _intervals(ax, means, places, CATEGORIES[number], kind)
        ax.set_yticks(range(len(names[system])), names[system])
        ax.invert_yaxis()
        ax.grid(axis="x", color="#e6e9ed", linewidth=0.6)
        ax.set_title(system)
    handles, labels = panels[0].get_legend_handles_labels()
    named = [f"{label} structural connectivity" for label in labels]
    figure.legend(handles, named, loc="outside upper center", ncols=len(labels))
    panels[-1].set_xlabel("r with the truth, mean and bootstrap interval (95 %) over seeds")
    return save_figure(figure, out)


def _ranked(rows: pd.DataFrame) -> list[str]:
    means = rows[rows["structural"] == "exact"].groupby("method")["r"].mean().dropna()
    return list(means.sort_values(ascending=False).index)


def _intervals(ax: Axes, means: list[Any], places: np.ndarray, colour: str, label: str) -> None:
    values = np.array([mean.value for mean in means])
    ax.hlines(places, [m.lower for m in means], [m.upper for m in means], color=colour, linewidth=1.2)
    ax.plot(values, places, "o", color=colour, markersize=4, label=label)


def _lengths(results: pd.DataFrame, system: str) -> list[int]:
    """Lengths of the settings that differ from the base in nothing else."""
    if system not in FULL:
        return []
    base = FULL[system].base
    rows = results[(results["system"] == system) & (results["noise"] == base.noise) & (results["gain"] == base.gain)]
    return sorted(int(frames) for frames in rows["frames"].unique())


@styled
def plot_lengths(results: pd.DataFrame, out: Path) -> Path:
    """Mean r against the length of the recording, without structural connectivity."""
    systems = [system for system in systems_in(results) if len(_lengths(results, system)) > 1]
    n_columns = min(4, len(systems))
    n_rows = -(-len(systems) // n_columns)
    figure = new_figure(height=0.8 + 2.5 * n_rows)
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True).ravel()
    for ax, system in zip(panels, systems, strict=False):
        base = FULL[system].base
        lengths = _lengths(results, system)
        rows = [setting_rows(results, type(base)(system, frames, base.noise, base.gain)) for frames in lengths]
        for number, method in enumerate(FOLLOWED):
            values = [mean_of(part, method).value for part in rows]
            bold = (
                {"linewidth": 2.2, "color": INK}
                if method == "auto"
                else {"linewidth": 1.2, "color": CATEGORIES[number]}
            )
            ax.plot(lengths, values, marker="o", markersize=3, label=method, **bold)
        ax.set_xscale("log")
        ax.set_xticks(lengths, [str(frames) for frames in lengths])
        ax.minorticks_off()
        ax.set_title(system)
        ax.axhline(0, color=MUTED, linewidth=0.5)
    for ax in panels[len(systems) :]:
        ax.set_visible(False)
    figure.supxlabel("frames")
    figure.supylabel("r with the truth, mean over seeds")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return save_figure(figure, out)
