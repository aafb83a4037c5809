"""What the scores say in plain sentences: of effective connectivity, and of the model of resting iEEG."""

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
#: The same question with how loud each channel is at rest known to both, `gain_over_combination_rest`.
CONTROLLED = "distance+rest+sc+fc+ec"
#: The model of resting iEEG that is asked, and the control of all that predict in microvolts; declared before as well.
SURROGATE, LOUDNESS = "impulse-refined", "rest-amplitude"


@dataclass(frozen=True)
class Verdict:
    """Answer in words.

    Attributes
    ----------
    text : str
    adds : bool or None
        Whether the model that was asked adds anything; None where that cannot be told.
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
    rows = _rows(scores, split)
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
        text += _controlled(rows.get(CONTROLLED))
        return Verdict(_with(text, caution), True)
    if upper < 0:
        start = "Effective connectivity makes the prediction by distance, structure and function worse in"
        return Verdict(_with(f"{start} {where}; {numbers}.", caution), False)
    text = (
        f"In {where} it cannot be told from chance whether effective connectivity adds to distance, structure and "
        f"function; {numbers}."
    )
    return Verdict(_with(text, caution), False)


def surrogate_verdict(scores: pd.DataFrame, *, split: str = SPLIT, where: str = "this recording") -> Verdict | None:
    """Say whether the model of resting iEEG, pushed at the stimulated contacts, predicts more than the baselines.

    A channel that lies well picks up more of everything, so that a model in microvolts gains over distance, structure
    and function by knowing how loud each channel is. What is claimed is what goes beyond that as well.

    Parameters
    ----------
    scores : DataFrame
        Of `table.score_table`.
    split : str
    where : str
        What the scores are of, in words.

    Returns
    -------
    Verdict or None
        "adds" only where the whole intervals of both gains lie above 0. None where the model has no score.
    """
    row = _rows(scores, split).get(SURROGATE)
    if row is None or not np.isfinite(row["value"]):
        return None
    told = f"A model of resting iEEG, pushed at the stimulated contacts ({SURROGATE}), has a rank correlation with the "
    told += f"recorded amplitudes of {_plain(row['value'])} in {where}"
    over, loud = _gain(row, "combination"), _gain(row, "rest_amplitude")
    words = "distance, structure and function"
    if over is None:
        over, words = _gain(row, "distance"), "distance"
    if over is None:
        return Verdict(f"{told}; there is no baseline to compare it with.", None)
    told += f": {over.text} against {words}"
    if loud is None:
        return Verdict(f"{told}. It was not compared with how loud each channel is at rest ({LOUDNESS}).", None)
    told += f", {loud.text} against how loud each channel is at rest ({LOUDNESS}). "
    if over.upper < 0:
        return Verdict(f"{told}It predicts worse than {words}.", False)
    if not over.lower > 0:
        return Verdict(f"{told}It cannot be told from chance whether it adds to {words}.", False)
    if not loud.lower > 0:
        return Verdict(f"{told}It adds to {words}, but no more than loudness does.", False)
    return Verdict(f"{told}It adds to {words}, and not by loudness alone.", True)


def _controlled(row: dict[str, Any] | None) -> str:
    """What is left of a gain where loudness is known: a channel that lies well picks up more of everything."""
    gain = _gain(row, "combination_rest") if row is not None else None
    if gain is None:
        return ""
    if gain.lower > 0:
        return f" It does so as well where how loud each channel is at rest is known: {gain.text}."
    return (
        f" Where how loud each channel is at rest is known, no gain is left that can be told from chance: {gain.text}."
    )


@dataclass(frozen=True)
class _Gain:
    lower: float
    upper: float
    text: str


def _gain(row: dict[str, Any], over: str) -> _Gain | None:
    gain, lower, upper = (float(row.get(f"gain_over_{over}{end}", np.nan)) for end in ("", "_lower", "_upper"))
    if not np.isfinite([gain, lower, upper]).all():
        return None
    return _Gain(lower, upper, f"{_signed(gain)} ({_signed(lower)} to {_signed(upper)})")


def _rows(scores: pd.DataFrame, split: str) -> dict[str, Any]:
    chosen = scores[(scores["split"] == split) & (scores["metric"] == METRIC)]
    return {str(row["model"]): row for row in chosen.to_dict("records")}


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
