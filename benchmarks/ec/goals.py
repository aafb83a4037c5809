"""The goals that the surrogates are held to, each with what was measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from benchmarks.ec import calibration, timing
from benchmarks.ec.markdown import interval, number, seconds, table
from benchmarks.ec.page_checks import false_discoveries, linear_choice, nonlinear_choice
from benchmarks.ec.page_methods import STRUCTURAL_KINDS, baseline_rows, best_baseline, mean_of
from benchmarks.ec.results import Results
from benchmarks.ec.settings import NPI_DATA, Setting
from benchmarks.ec.statistics import bootstrap_mean, paired_difference
from benchmarks.ec.tables import base_rows, setting_rows
from bids_ai.surrogate.selection import AUTO

Goal = tuple[str, str, bool]
"""What is asked, what was measured, whether it is reached."""

RELEASED_GOALS = ((200, 0.71), (400, 0.81), (1200, 0.92))
JANSEN_RIT = {"r": 0.90, "antisymmetric_r": 0.94}
WONG_WANG = {"r": 0.55, "antisymmetric_r": 0.25}
LINEAR_SHARE = 0.95
ERROR_RATIO = 0.9
COVERAGE = (0.90, 0.98)
"""What `edge_inference` states."""
AUTO_S, RIDGE_S, BATCH_RATIO = 60.0, 0.5, 5.0


def goals(results: pd.DataFrame, store: Results) -> str:
    """Table of goals; those whose runs are missing are left out."""
    found: list[Goal] = []
    parts: list[Callable[[pd.DataFrame], list[Goal]]] = []
    if not results.empty:
        parts = [_released, _jansen_rit, _whole_brain, _linear, _nonlinear]
    for part in parts:
        found += part(results)
    found += [*_calibrated(store), *_times(store)]
    return table(["goal", "measured", "reached"], [[goal, got, "yes" if ok else "**no**"] for goal, got, ok in found])


def _released(results: pd.DataFrame) -> list[Goal]:
    out: list[Goal] = []
    for frames, least in RELEASED_GOALS:
        mean = mean_of(setting_rows(results, Setting(NPI_DATA, frames)), AUTO)
        if mean.n:
            out.append(
                (
                    f"released rate networks, {frames} frames: `auto` r >= {number(least)}",
                    interval(mean),
                    mean.value >= least,
                )
            )
    rows = setting_rows(results, Setting(NPI_DATA, 8000))
    if (rows["method"] == AUTO).any():
        ours, least_squares = (
            rows[rows["method"] == name].set_index("seed")["r"] for name in (AUTO, "var-coefficient")
        )
        gain = (ours - least_squares).dropna()
        text = f"{number(float(gain.min()), 4)} at least, {number(float(gain.mean()), 4)} on average"
        out.append(("the same, 8000 frames: `auto` above least squares in every seed", text, bool((gain > 0).all())))
    return out


def _at_least(rows: pd.DataFrame, system: str, least: dict[str, float]) -> list[Goal]:
    """Scores of the automatic choice without SC, beside those of least squares of one lag."""
    out: list[Goal] = []
    for score, bound in least.items():
        mean = mean_of(rows, AUTO, score=score)
        if mean.n:
            reference = number(mean_of(rows, "var-coefficient", score=score).value)
            text = f"{interval(mean)}, {mean.n} seeds; least squares of one lag {reference}"
            name = score.replace("_", " ")
            out.append((f"{system}: `auto` {name} >= {number(bound)}", text, mean.value >= bound))
    return out


def _jansen_rit(results: pd.DataFrame) -> list[Goal]:
    return _at_least(base_rows(results, "jansen-rit"), "`jansen-rit`, 2 min", JANSEN_RIT)


def _whole_brain(results: pd.DataFrame) -> list[Goal]:
    rows = base_rows(results, "wong-wang")
    out = _at_least(rows, "`wong-wang` without SC", WONG_WANG) if not rows.empty else []
    for structural in ("none", *STRUCTURAL_KINDS):
        best = best_baseline(rows, structural) if not rows.empty else None
        ours = (rows["method"] == AUTO) & (rows["structural"] == structural)
        if best is None or not ours.any():
            continue
        gain = paired_difference(rows, ours, baseline_rows(rows, best, structural), "r")
        given = "without SC" if structural == "none" else f"with the {structural} SC"
        text = f"{interval(mean_of(rows, AUTO, structural))}; less `{best}`: {interval(gain, 3)}, {gain.n} seeds"
        out.append((f"`wong-wang` {given}: `auto` above every baseline, interval above 0", text, gain.lower > 0))
    return out


def _linear(results: pd.DataFrame) -> list[Goal]:
    choice = linear_choice(results)
    if choice.empty:
        return []
    n, linear = int(choice["n"].sum()), int(choice["n_linear"].sum())
    return [
        (
            "linear systems: `auto` is linear in >= 95 % of the recordings",
            f"{linear} of {n}",
            linear >= LINEAR_SHARE * n,
        )
    ]


def _nonlinear(results: pd.DataFrame) -> list[Goal]:
    choice = nonlinear_choice(results)
    out: list[Goal] = []
    for system, group in choice.groupby("system", sort=False) if not choice.empty else []:
        ratio = float(group["error_ratio"].mean())
        text = f"{100 * (ratio - 1):+.0f} %; {', '.join(sorted(set(group['family'])))}"
        goal = f"`{system}`: held-out error of `auto` at least 10 % below ridge VAR's"
        out.append((goal, text, bool((group["error_ratio"] <= ERROR_RATIO).all())))
        for key, name in (("d_stsp", "D_stsp"), ("d_hellinger", "D_H")):
            ours, theirs = (float(np.nanmean(group[column])) for column in (key, f"{key}_linear"))
            if np.isfinite(ours) and np.isfinite(theirs):
                out.append(
                    (f"`{system}`: {name} below ridge VAR's", f"{number(ours)} against {number(theirs)}", ours < theirs)
                )
    return out


def _calibrated(store: Results) -> list[Goal]:
    rows = pd.DataFrame(store.all(calibration.PART))
    if rows.empty:
        return []
    names = [f"{kind}_{horizon}" for horizon in calibration.HORIZONS for kind in ("coverage", "coverage_edges")]
    means = [float(group[name].mean()) for _, group in rows.groupby(["system", "frames"]) for name in names]
    text = f"{number(min(means), 3)} to {number(max(means), 3)}"
    inside = COVERAGE[0] <= min(means) and max(means) <= COVERAGE[1]
    out: list[Goal] = [("95 % intervals contain 90 to 98 % of the true responses, in every setting", text, inside)]
    tested = rows[rows["system"] == "linear-var"]
    for frames, group in tested.groupby("frames"):
        rate = bootstrap_mean(false_discoveries(group))
        # The level lies within the interval of the rate, or above it.
        out.append(
            (f"q < .05, {frames} frames: false discoveries at .05", interval(rate, 3), not rate.lower > calibration.FDR)
        )
    return out


def _times(store: Results) -> list[Goal]:
    out: list[Goal] = []
    for row in store.all(timing.PART):
        took = float(row["process_s"])
        if "kind" in row and row["method"] in (AUTO, "ridge-var"):
            most = AUTO_S if row["method"] == AUTO else RIDGE_S
            goal = f"`{row['method']}`, {row['regions']} regions x {row['frames']}: under {most:g} s"
            out.append((goal, f"{seconds(took)} s of the process", took < most))
        elif "reference_process_s" in row:
            ratio = float(row["reference_process_s"]) / took
            if "count" in row:
                small = row["regions_most"] < 200
                work = f"`mlp`, {row['count']} recordings, {row['regions_least']} to {row['regions_most']} regions"
                goal = f"{work}: a batch {'5 times faster' if small else 'no slower'} than one by one"
                out.append((goal, f"{ratio:.1f} x", ratio >= (BATCH_RATIO if small else 1.0)))
            else:
                goal = f"`mlp`, ensemble of 5, {row['regions']} x {row['frames']}: faster than one network of NPI"
                out.append((goal, f"{ratio:.1f} x", ratio > 1))
    return out
