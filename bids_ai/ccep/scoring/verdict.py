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
#: The model of resting iEEG that is asked; declared before as well.
SURROGATE = "impulse-refined"


@dataclass(frozen=True)
class Verdict:
    """Answer in words.

    Attributes
    ----------
    text : str
    adds : bool or None
        Whether the model that was asked adds anything; None where that cannot be told.
    beyond_loudness : bool or None
        Whether it does where how loud each channel is at rest is known; None where that was not asked.
    """

    text: str
    adds: bool | None
    beyond_loudness: bool | None = None


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
    if gain == lower == upper == 0:
        text = f"In {where} effective connectivity was given no weight: beside distance, structure and function it did "
        text += "not predict leads that were left out better. The prediction with it is that without it, with a rank "
        text += f"correlation with the recorded amplitudes of {_plain(row['value'])}, {int(row['n_sites'])} sites that "
        return Verdict(_with(f"{text}the model had not seen.", caution), False)
    if lower > 0:
        text = f"Effective connectivity adds to distance, structure and function in {where}; {numbers}."
        beyond, control = _controlled(rows.get(CONTROLLED))
        return Verdict(_with(f"{text}{control}", caution), True, beyond)
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

    A channel that lies well picks up more of everything, and fields fall off with distance: a model in microvolts that
    knows both gains over distance, structure and function without knowing of a connection. What is claimed is what goes
    beyond distance and loudness together, and beyond all four.

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
        "adds" only where the whole intervals of all gains lie above 0. None where the model has no score.
    """
    row = _rows(scores, split).get(SURROGATE)
    if row is None or not np.isfinite(row["value"]):
        return None
    told = (
        f"A model of resting iEEG, pushed at the stimulated contacts ({SURROGATE}), has a rank correlation with the "
        f"recorded amplitudes of {_plain(row['value'])} in {where}, {int(row['n_sites'])} sites that it had not seen"
    )
    words = "distance, structure and function"
    over = _gain(row, "combination")
    if over is None:
        over, words = _gain(row, "distance"), "distance"
    if over is None:
        return Verdict(f"{told}. Its gain over {words} has no interval: {row['reason'] or 'one site'}.", None)
    told += f". 95 % intervals of its gain: {over.text} over {words}"
    loud = _gain(row, "distance_rest")
    if loud is None:
        return Verdict(f"{told}. It was not compared with how loud each channel is at rest.", None)
    told += f", {loud.text} over distance and how loud each channel is at rest"
    every = _gain(row, "combination_rest")
    told += f", {every.text} over all four. " if every else ". "
    if over.upper < 0:
        return Verdict(f"{told}It predicts worse than {words}.", False, False)
    if not over.lower > 0:
        return Verdict(f"{told}It cannot be told from chance whether it adds to {words}.", False, False)
    if not (loud.lower > 0 and (every is None or every.lower > 0)):
        text = f"{told}It adds to {words}, but it cannot be told from chance whether beyond how loud each channel is."
        return Verdict(text, False, False)
    return Verdict(f"{told}It adds to {words}, beyond how loud each channel is.", True, True)


def _controlled(row: dict[str, Any] | None) -> tuple[bool | None, str]:
    """What is left of a gain where loudness is known: a channel that lies well picks up more of everything."""
    gain = _gain(row, "combination_rest") if row is not None else None
    if row is None or gain is None:
        return None, ""
    of = f"{gain.text}, {int(row['n_sites'])} sites"
    known = "Where how loud each channel is at rest is known"
    if gain.lower > 0:
        return True, f" {known}, it does so as well: {of}."
    if gain.upper < 0:
        return False, f" {known}, it makes the prediction worse: {of}."
    return False, f" {known}, no gain is left that can be told from chance: {of}."


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
