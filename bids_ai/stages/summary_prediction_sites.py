"""What the report says of each stimulated site, told from the table of pairs and the scores."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.report.model import Scalar, Table
from bids_ai.stages.ccep_recorded import AMPLITUDE
from bids_ai.surrogate.usable import FloatArray

#: Models beside the best one, with the words of their columns.
_MODELS = {
    "distance": "distance",
    "distance+sc+fc": "distance, SC, FC",
    "distance+sc+fc+ec": "distance, SC, FC, EC",
}
_NOTE = (
    "Rank correlation of recorded and predicted amplitude over the channels of one site that the models had not seen. "
    "Ceiling: of a prediction without noise, by odd against even pulses; n/a where they do not agree. {chosen}"
    "One site has few channels: differences between rows are mostly chance."
)


def site_table_of(pairs: pd.DataFrame, scores: pd.DataFrame, title: str) -> Table:
    """Table with a row for each stimulated site, to be unfolded.

    Parameters
    ----------
    pairs : DataFrame
        ``*_desc-comparison_ccep.tsv``: all channels of the first site, then all of the next.
    scores : DataFrame
        Rows of ``*_desc-cceppred_scores.tsv`` of the split and the radius of `pairs`.
    title : str

    Raises
    ------
    InputError
        If `pairs` has not a row for each site and channel.
    """
    from bids_ai.ccep.scoring.sites import site_scores

    n_channels = pairs["channel"].nunique()
    if not n_channels or len(pairs) % n_channels:
        raise InputError(f"A row for each site and channel is wanted, got {len(pairs)} for {n_channels} channels.")
    best = best_model(scores)
    shown = [(best, f"best model: {best}")] if best else []
    shown += _MODELS.items()

    def grid(column: str) -> FloatArray:
        return np.asarray(pairs[column].to_numpy(float).reshape(-1, n_channels))

    found = site_scores(
        grid(AMPLITUDE),
        grid("rms_odd_uv"),
        grid("rms_even_uv"),
        grid("counted") == 1,
        {model: grid(f"score_{model}") for model, _ in shown if f"score_{model}" in pairs},
    )
    sites = pairs.iloc[::n_channels]
    rows: list[list[Scalar]] = [
        [
            str(site),
            None if pd.isna(region) else str(region),
            int(found.n_channels[row]),
            *(_number(found.rho[model][row]) if model in found.rho else None for model, _ in shown),
            _number(found.ceiling[row]),
        ]
        for row, (site, region) in enumerate(zip(sites["site"], sites["site_region"], strict=True))
    ]
    chosen = "The best model is chosen by these very sites and therefore looks a little better than it is. "
    return Table(
        title,
        ["site", "region", "channels scored", *(words for _, words in shown), "ceiling"],
        rows,
        section="prediction",
        note=_NOTE.format(chosen=chosen if best else ""),
        folded=True,
    )


def best_model(scores: pd.DataFrame) -> str | None:
    """Model with the highest mean rank correlation that was told nothing that no model is told; None without any."""
    from bids_ai.ccep.prediction.kinds import CEILING, kind_of

    rows = scores[(scores["metric"] == "spearman") & scores["value"].notna()]
    rows = rows[[kind_of(str(model)) != CEILING for model in rows["model"]]]
    return str(rows["model"].iloc[int(rows["value"].argmax())]) if len(rows) else None


def _number(value: float) -> float | None:
    return round(float(value), 2) if math.isfinite(value) else None
