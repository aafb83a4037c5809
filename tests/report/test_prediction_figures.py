"""Figures of predicted against recorded responses: what they show, and what they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.report.figures.brain_maps import plot_region_maps
from bids_ai.report.figures.prediction import plot_scores, plot_sites, plot_waveforms
from bids_ai.report.figures.prediction_regions import Panel, plot_prediction_matrices

RNG = np.random.default_rng(3)


def words(path: Path) -> str:
    return re.sub(r"<[^>]+>", " ", path.read_text())


def scores(models: list[str]) -> pd.DataFrame:
    columns = ("value", "gain_over_distance", "gain_over_combination")
    table = pd.DataFrame({"model": models, "ceiling": 0.9} | dict.fromkeys(columns, 0.3))
    ends = {"lower": ("lower", -0.1), "upper": ("upper", 0.1)}
    for end, (_, shift) in ends.items():
        table[end] = table["value"] + shift
        for name in columns[1:]:
            table[f"{name}_{end}"] = table[name] + shift
    return table


def test_scores_of_all_models_with_what_is_missing(tmp_path: Path):
    table = scores(["distance", "sc", "ec"])
    table.loc[1, ["value", "lower", "upper"]] = np.nan
    text = words(plot_scores(table, ["simple", "structure", "effective"], tmp_path / "a.svg"))
    for name in ("distance", "sc", "ec", "noise ceiling", "n/a", "structure", "Gain over distance + SC + FC"):
        assert name in text
    with pytest.raises(InputError, match="no model"):
        plot_scores(table[:0], [], tmp_path / "b.svg")


def test_sites_are_spread_from_best_to_worst(tmp_path: Path):
    rho = np.linspace(-0.2, 0.9, 30)
    values = RNG.uniform(size=(30, 8))
    sites = [f"S{k}" for k in range(30)]
    text = words(plot_sites(values, 1 + values, values > 0.5, sites, tmp_path / "a.svg", rho=rho, max_sites=5))
    assert "5 of 30 sites" in text
    for site in ("S29", "S0"):  # the best and the worst are both there
        assert f"{site} " in text
    with pytest.raises(InputError, match="both predicted and recorded"):
        plot_sites(values * np.nan, values, values, sites, tmp_path / "b.svg", rho=rho)


def test_waveforms_want_the_same_times(tmp_path: Path):
    times = np.arange(-20, 80) / 250
    waves = RNG.normal(size=(3, len(times)))
    path = plot_waveforms(waves, waves + 1, waves - 1, waves, times, ["a", "b", "c"], tmp_path / "a.svg", model="x")
    assert "predicted" in words(path)
    with pytest.raises(InputError, match="Predicted"):
        plot_waveforms(waves, waves, waves, waves[:, 1:], times, ["a", "b", "c"], tmp_path / "b.svg", model="x")


def nodes(n: int) -> pd.DataFrame:
    places = RNG.uniform(-50, 50, size=(n, 3))
    table = pd.DataFrame(places, columns=["x", "y", "z"])
    return table.assign(name=[f"R{k}" for k in range(n)], hemisphere=["L", "R"] * (n // 2), network="n/a")


def test_matrices_leave_out_what_was_not_tested(tmp_path: Path):
    table, tested = nodes(6), np.zeros((6, 6))
    tested[0, 2:4] = 3
    panels = [Panel(name, "Probability", RNG.uniform(size=(6, 6))) for name in ("Recorded", "Predicted")]
    text = words(plot_prediction_matrices(panels, tested, table, tmp_path / "a.svg"))
    assert {"R0", "R2", "R3"} <= set(text.split())
    assert not {"R1", "R4", "R5"} & set(text.split())
    with pytest.raises(InputError, match="no pair of regions was tested"):
        plot_prediction_matrices(panels, 0 * tested, table, tmp_path / "b.svg")


def test_a_map_needs_coordinates(tmp_path: Path):
    table, values = nodes(6), RNG.uniform(size=6)
    values[2] = np.nan
    maps, options = {"Recorded": values, "Predicted": values}, {"title": "Responses to R1", "label": "x"}
    text = words(plot_region_maps(maps, table, 1, tmp_path / "a.svg", limits=(0.0, 1.0), **options))
    assert {"Recorded", "Predicted"} <= set(text.split())
    with pytest.raises(InputError, match="coordinates"):
        plot_region_maps(maps, table.assign(x=np.nan), 1, tmp_path / "b.svg", **options)
    with pytest.raises(InputError, match="node table"):
        plot_region_maps({"Recorded": values[1:]}, table, 1, tmp_path / "b.svg", **options)
