"""What the report says of predicted against recorded responses in numbers, told from the table of scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table
from bids_ai.report.model import Scalar, Statement, Table
from bids_ai.stages.context import Context
from bids_ai.stages.steps import read_sidecar
from bids_ai.stages.summary_prediction_sites import site_table_of

_PRIMARY = "leave-site-out"
_SECTION = "prediction"


def statements(context: Context, entry: Recording) -> list[Statement]:
    """Say for each atlas whether effective connectivity, and the model of resting iEEG, add anything."""
    found = []
    for atlas in context.index.volume_atlases():
        meta = read_sidecar(context.names.path("ccep_scores", ieeg=entry.item, atlas=atlas.label))
        if meta:
            where = f"{Path(entry.item).name}, {atlas.label}"
            told = [meta["Verdict"], meta.get("SurrogateVerdict")]
            found += [Statement(str(text), _SECTION, where) for text in told if text]
    return found


def score_tables(context: Context, entry: Recording) -> list[Table]:
    """Scores of every model on one recording, simplest first, and of each of its sites."""
    tables = []
    for atlas in context.index.volume_atlases():
        path = context.names.path("ccep_scores", ieeg=entry.item, atlas=atlas.label)
        if path.is_file():
            where, radius_mm = f"{Path(entry.item).name}, {atlas.label}", context.config.ccep.exclusion_mm
            scores = read_table(path)
            tables += score_tables_of(scores, _PRIMARY, radius_mm, f"Scores: {where}")
            pairs = context.names.path("ccep_comparison", ieeg=entry.item, atlas=atlas.label)
            if pairs.is_file():
                own = scores[(scores["split"] == _PRIMARY) & (scores["radius"] == radius_mm)]
                tables.append(site_table_of(read_table(pairs), own, f"Site by site: {where}"))
    return tables


def score_tables_of(scores: pd.DataFrame, split: str, radius_mm: float, title: str) -> list[Table]:
    """Table of the models under one split, simplest first, and another of those without a score, with the reason.

    Parameters
    ----------
    scores : DataFrame
        ``*_desc-cceppred_scores.tsv``.
    split : str
    radius_mm : float
        Channels up to here are left out.
    title : str
    """
    from bids_ai.ccep.prediction.kinds import KINDS, kind_of

    rows = scores[(scores["split"] == split) & (scores["radius"] == radius_mm)]
    if rows.empty:
        return []
    by = {metric: part.set_index("model") for metric, part in rows.groupby("metric")}
    rho = by["spearman"]
    order = sorted((str(model) for model in rho.index), key=lambda model: KINDS.index(kind_of(model)))
    cells: list[list[Scalar]] = []
    missing: list[list[Scalar]] = []
    for model in order:
        row: dict[Any, Any] = rho.loc[model].to_dict()
        if not np.isfinite(row["value"]):
            missing.append([model, str(row["reason"])])
            continue
        cells.append(
            [
                model,
                kind_of(model),
                _interval(row["value"], row["lower"], row["upper"]),
                _number(row["of_ceiling"]),
                _of(by, "partial_spearman", model),
                _of(by, "specific_spearman", model),
                _of(by, "auroc", model),
                _of(by, "waveform_explained_variance", model),
                _milliseconds(by, model),
                *(
                    _interval(*(row[f"gain_over_{suffix}{end}"] for end in ("", "_lower", "_upper")))
                    for suffix in ("distance", "combination")
                ),
            ]
        )
    columns = [
        "model",
        "kind",
        "rank correlation (95 % interval)",
        "of ceiling",
        "given distance",
        "specific to the site",
        "AUROC",
        "variance of waveforms",
        "latency error (ms)",
        "gain over distance",
        "gain over distance, SC, FC",
    ]
    sites = int(rho["n_sites"].max()) if len(rho) else 0
    note = (
        f"Means over {sites} stimulated sites that the models had not seen, channels beyond {radius_mm:g} mm; "
        "intervals by bootstrap of patients, leads and sites."
    )
    tables = [Table(title, columns, cells, section=_SECTION, note=note)] if cells else []
    if missing:
        tables.append(
            Table(f"Without a score: {title.partition(': ')[2] or title}", ["model", "why"], missing, _SECTION)
        )
    return tables


def _of(by: dict[Any, pd.DataFrame], metric: str, model: str) -> float | None:
    return _number(by[metric]["value"].get(model)) if metric in by else None


def _milliseconds(by: dict[Any, pd.DataFrame], model: str) -> float | None:
    value = _of(by, "latency_error_s", model)
    return None if value is None else round(1e3 * float(by["latency_error_s"]["value"][model]), 1)


def _number(value: Any) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 2)


def _interval(value: float, lower: float, upper: float) -> str | None:
    if not np.isfinite(value):
        return None
    text = f"{value:.2f}" + (f" ({lower:.2f} to {upper:.2f})" if np.isfinite([lower, upper]).all() else "")
    return text.replace("-", "\N{MINUS SIGN}")
