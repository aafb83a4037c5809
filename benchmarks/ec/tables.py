"""The table of all results, one row per system, setting, seed, method and structural connectivity."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.ec.compare import PART
from benchmarks.ec.results import Results
from benchmarks.ec.settings import FULL, NPI_DATA, Setting
from bids_ai.simulate.systems.registry import SYSTEMS

KEYS = ["system", "frames", "noise", "gain", "seed", "method", "structural"]


def read_table(results: Results) -> pd.DataFrame:
    """All results of the comparison; empty without any.

    Scores that a method does not have are NaN; `failed` says why a method has none at all.
    """
    table = pd.DataFrame(results.all(PART))
    if table.empty:
        return table
    order = {name: number for number, name in enumerate([*SYSTEMS, NPI_DATA])}
    ranked = table.assign(rank=table["system"].map(order)).sort_values(["rank", *KEYS], kind="stable")
    rest = [column for column in ranked.columns if column not in (*KEYS, "rank")]
    return ranked[[*KEYS, *rest]].reset_index(drop=True)


def long_table(table: pd.DataFrame) -> pd.DataFrame:
    """Tidy table: one row per score."""
    numbers = [name for name in table.columns if name not in KEYS and pd.api.types.is_float_dtype(table[name])]
    return table.melt(KEYS, numbers, "score", "value").dropna(subset="value").reset_index(drop=True)


def write_tables(results: Results, out: Path) -> pd.DataFrame:
    """Write results.tsv (a row per fit) and scores.tsv (a row per score), and return the first."""
    table = read_table(results)
    if not table.empty:
        table.to_csv(out / "results.tsv", sep="\t", index=False, na_rep="n/a", float_format="%.6g")
        long_table(table).to_csv(out / "scores.tsv", sep="\t", index=False, na_rep="n/a", float_format="%.6g")
    return table


def setting_rows(table: pd.DataFrame, setting: Setting) -> pd.DataFrame:
    """Rows of a setting, of the seeds that the baselines were run on (the automatic choice has more in places)."""
    same = (table["system"] == setting.system) & (table["frames"] == setting.frames)
    rows = table[same & (table["noise"] == setting.noise) & (table["gain"] == setting.gain)]
    seeds = rows.loc[rows["kind"] == "baseline", "seed"].unique()
    return rows[rows["seed"].isin(seeds)] if len(seeds) else rows


def base_rows(table: pd.DataFrame, system: str) -> pd.DataFrame:
    """Rows of the base setting of a system, or of its longest one where a run had other settings."""
    if system in FULL and len(rows := setting_rows(table, FULL[system].base)):
        return rows
    rows = table[(table["system"] == system) & (table["gain"] == 1.0)]
    if rows.empty:
        return rows
    longest = rows.sort_values("frames", kind="stable").iloc[-1]
    return setting_rows(table, Setting(system, int(longest["frames"]), float(longest["noise"])))
