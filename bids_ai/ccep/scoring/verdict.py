"""One plain sentence: whether effective connectivity adds anything to distance, structure and function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

#: The question is put to this model, against that reference, declared before anything is scored.
MODEL, REFERENCE = "distance+sc+fc+ec", "distance+sc+fc"
#: By this measure, under this split.
METRIC, SPLIT = "spearman", "leave-site-out"
#: What is asked instead where the combination cannot be made.
_ALONE, _BASELINE = "ec", "distance"


@dataclass(frozen=True)
class Verdict:
    """Answer in words.

    Attributes
    ----------
    text : str
    adds : bool or None
        Whether effective connectivity adds to distance, structure and function; None where that cannot be told.
    """

    text: str
    adds: bool | None


def verdict(
    scores: pd.DataFrame,
    *,
    model: str = MODEL,
    split: str = SPLIT,
    where: str = "this recording",
    missing: str = "",
    caution: str = "",
) -> Verdict:
    """Say whether a model adds to distance, structure and function in the sites that it had not seen.

    Parameters
    ----------
    scores : DataFrame
        Of `table.score_table`.
    model : str
        With `REFERENCE` inside it.
    split : str
    where : str
        What the scores are of, in words.
    missing : str
        What the model lacks, in words; by default the reason in the table.
    caution : str
        A sentence that belongs to the answer, such as that the fit behind it is unreliable.

    Returns
    -------
    Verdict
        "adds" only where the whole interval of the gain lies above 0.
    """
    chosen = scores[(scores["split"] == split) & (scores["metric"] == METRIC)]
    rows: dict[str, Any] = {str(row["model"]): row for row in chosen.to_dict("records")}
    if model not in rows:
        return Verdict(
            f"Whether effective connectivity adds anything was not asked: {model} is no predictor here.", None
        )
    row = rows[model]
    gain, lower, upper = (float(row[f"gain_over_combination{end}"]) for end in ("", "_lower", "_upper"))
    if not np.isfinite([gain, lower, upper]).all():
        return Verdict(_with(_cannot(rows, row, missing), caution), None)
    numbers = (
        f"its rank correlation with the recorded amplitudes is {_plain(row['value'])}, against "
        f"{_plain(row['value'] - gain)} without: {_signed(gain)}, 95 % interval {_signed(lower)} to {_signed(upper)}, "
        f"{int(row['n_sites'])} sites that the model had not seen"
    )
    if lower > 0:
        text = f"Effective connectivity adds to distance, structure and function in {where}; {numbers}."
        return Verdict(_with(text, caution), True)
    if upper < 0:
        start = "Effective connectivity makes the prediction by distance, structure and function worse in"
        return Verdict(_with(f"{start} {where}; {numbers}.", caution), False)
    text = (
        f"In {where} it cannot be told from chance whether effective connectivity adds to distance, structure and "
        f"function; {numbers}."
    )
    return Verdict(_with(text, caution), False)


def _with(text: str, caution: str) -> str:
    return f"{text} {caution}" if caution else text


def _cannot(rows: dict[str, Any], row: dict[str, Any], missing: str) -> str:
    reason = missing or (str(row["reason"]).rstrip(".") if row["reason"] else "the gain has no interval")
    text = f"Whether effective connectivity adds to distance, structure and function cannot be told here: {reason}."
    alone = rows.get(_ALONE)
    if alone is None or not np.isfinite(alone["gain_over_distance_lower"]):
        return text
    gain, lower, upper = (float(alone[f"gain_over_{_BASELINE}{end}"]) for end in ("", "_lower", "_upper"))
    return (
        f"{text} Alone, it predicts amplitudes with a rank correlation of {_plain(alone['value'])}, {_signed(gain)} "
        f"against distance ({_signed(lower)} to {_signed(upper)})."
    )


def _plain(value: float) -> str:
    return f"{value:.3f}".replace("-", "\u2212")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\u2212")
