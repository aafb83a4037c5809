"""Tables of the automatic choice, of the calibration of edges, and of time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.ec import calibration, timing
from benchmarks.ec.markdown import interval, number, seconds, table
from benchmarks.ec.results import Results
from benchmarks.ec.statistics import bootstrap_mean, share_interval
from benchmarks.ec.tables import base_rows
from bids_ai.surrogate.selection import AUTO, NONLINEAR

LINEAR_SYSTEMS = ("linear-var", "linear-ou")
NONLINEAR_SYSTEMS = ("lorenz-96", "bistable-rate")


def linear_choice(results: pd.DataFrame) -> pd.DataFrame:
    """Share of fits of linear systems in which the automatic choice is linear: system, frames, n, n_linear."""
    if results.empty:
        return pd.DataFrame(columns=["system", "frames", "n", "n_linear", "families"])
    rows = results[(results["method"] == AUTO) & results["system"].isin(LINEAR_SYSTEMS)]
    rows = rows[(rows["noise"] == 0) & (rows["gain"] == 1)]
    out = []
    for (system, frames), group in rows.groupby(["system", "frames"], sort=False):
        linear = ~group["family"].isin(NONLINEAR)
        counts = ", ".join(f"{name} {count}" for name, count in group["family"].value_counts().items())
        out.append({"system": system, "frames": frames, "n": len(group), "n_linear": linear.sum(), "families": counts})
    return pd.DataFrame(out)


def linear_choice_table(results: pd.DataFrame) -> str:
    """Automatic choice on linear systems."""
    lines = []
    for _, row in linear_choice(results).iterrows():
        low, high = share_interval(int(row["n_linear"]), int(row["n"]))
        share = f"{100 * row['n_linear'] / row['n']:.0f} % ({100 * low:.0f} to {100 * high:.0f})"
        lines.append([f"`{row['system']}`", str(row["frames"]), str(row["n"]), share, row["families"]])
    return table(["system", "frames", "seeds", "linear family chosen", "families"], lines)


def nonlinear_choice(results: pd.DataFrame) -> pd.DataFrame:
    """Automatic choice on nonlinear systems, seed by seed, beside ridge VAR.

    `error_ratio` is the held-out error of the chosen model over that of ridge VAR on the same frames.
    """
    out = []
    for system in NONLINEAR_SYSTEMS:
        rows = base_rows(results, system) if not results.empty else results
        if rows.empty:
            continue
        linear = rows[rows["method"] == "ridge-var"].set_index("seed")
        for _, row in rows[rows["method"] == AUTO].iterrows():
            ratio = (1 - row["heldout_r2"]) / (1 - row["heldout_r2_linear"])
            one = {"system": system, "seed": row["seed"], "family": row["family"], "error_ratio": ratio}
            for key in ("d_stsp", "d_hellinger"):
                one[key] = row.get(key, np.nan)
                one[f"{key}_linear"] = linear[key].get(row["seed"], np.nan) if key in linear else np.nan
            out.append({**one, "r": row["r"], "r_linear": linear["r"].get(row["seed"], np.nan)})
    return pd.DataFrame(out)


def nonlinear_choice_table(results: pd.DataFrame) -> str:
    """Automatic choice on nonlinear systems."""
    lines = []
    for _, row in nonlinear_choice(results).iterrows():
        cells = [
            f"`{row['system']}`",
            str(row["seed"]),
            f"`{row['family']}`",
            f"{100 * (row['error_ratio'] - 1):+.0f} %",
        ]
        for key in ("d_stsp", "d_hellinger", "r"):
            cells.append(f"{number(row[key])} / {number(row[f'{key}_linear'])}")
        lines.append(cells)
    header = ["system", "seed", "chosen", "held-out error against ridge VAR's"]
    return table([*header, "D_stsp: it / ridge VAR", "D_H: it / ridge VAR", "r with the truth: it / ridge VAR"], lines)


def calibration_table(results: Results) -> str:
    """Coverage and false discoveries."""
    rows = pd.DataFrame(results.all(calibration.PART))
    lines = []
    if not rows.empty:
        for (system, frames), group in rows.groupby(["system", "frames"]):
            cells = [f"`{system}`", str(frames), str(len(group))]
            for horizon in calibration.HORIZONS:
                parts = [bootstrap_mean(group[f"{name}_{horizon}"]) for name in ("coverage", "coverage_edges")]
                cells.append(" / ".join(interval(part, 3) for part in parts))
            cells.append(interval(bootstrap_mean(false_discoveries(group)), 3) if system == "linear-var" else "")
            lines.append([*cells, number(float(group["power"].mean()))])
    steps = [f"{horizon} step{'s' * (horizon > 1)}: all / edges of the network" for horizon in calibration.HORIZONS]
    return table(["system", "frames", "seeds", *steps, "false discoveries", "edges found"], lines)


def false_discoveries(group: pd.DataFrame) -> pd.Series:
    """Share of false edges among those found, recording by recording; 0 where none was found."""
    share: pd.Series = group["n_false"] / group["n_found"].clip(lower=1)
    return share


def timing_table(results: Results) -> str:
    """Time of every method on one recording."""
    rows = pd.DataFrame([row for row in results.all(timing.PART) if "kind" in row])
    if rows.empty:
        return table([], [])
    lines = [
        [
            f"`{row['method']}`",
            f"{row['regions']} x {row['frames']}",
            seconds(row["process_s"]),
            seconds(row["wall_s"]),
            f"{row['load']:.1f}",
        ]
        for _, row in rows.sort_values("process_s").iterrows()
    ]
    return table(["method", "regions x frames", "process s", "wall s", "load"], lines)


def reference_table(results: Results) -> str:
    """Time of work beside its reference in the same run."""
    lines = []
    for row in results.all(timing.PART):
        if "reference_process_s" not in row:
            continue
        if "count" in row:
            regions = f"{row['regions_least']} to {row['regions_most']}"
            if row["regions_least"] == row["regions_most"]:
                regions = str(row["regions_most"])
            work = f"`mlp`, {row['count']} recordings, {regions} regions x {row['frames']}, one call"
            reference = "one by one"
        else:
            work = f"`mlp`, ensemble of {row['ensemble']}, {row['regions']} regions x {row['frames']}"
            reference = "one network as NPI trains it"
        ratio = row["reference_process_s"] / row["process_s"]
        times = [seconds(row[key]) for key in ("process_s", "wall_s", "reference_process_s", "reference_wall_s")]
        lines.append([work, *times, f"{ratio:.1f} x", reference, f"{row['load']:.1f}"])
    header = ["work", "process s", "wall s", "reference: process s", "wall s", "ratio", "reference", "load"]
    return table(header, lines)
