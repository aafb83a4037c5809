"""One table of scores: model x split x measure, with interval, chance, ceiling, and gain over simpler predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.ccep.matrices import CONFIDENCE, EXCLUSION_MM
from bids_ai.ccep.reliability import spearman_brown
from bids_ai.ccep.responders import benjamini_hochberg
from bids_ai.ccep.scoring.detection import calibration
from bids_ai.ccep.scoring.direction import antisymmetric_agreement
from bids_ai.ccep.scoring.metrics import METRICS, Metric, Stack, View, distance_metrics, probable
from bids_ai.ccep.scoring.predicted import Prediction
from bids_ai.ccep.scoring.recorded import Recorded
from bids_ai.ccep.scoring.resampling import DISTANCE_EDGES_MM, Bootstrap, stratified_p
from bids_ai.ccep.trials import Array, BoolArray
from bids_ai.errors import InputError

#: Column name -> name of the prediction that a gain is over.
REFERENCES = {
    "distance": "distance",
    "combination": "distance+sc+fc",
    "distance_rest": "distance+rest",
    "combination_rest": "distance+rest+sc+fc",
}
#: Of these, whose absence is told.
_EXPECTED = ("distance", "combination")
#: The measure that the stratified permutation judges.
PERMUTED = "partial_spearman"
_NAN = float("nan")


@dataclass(frozen=True)
class _Settings:
    radius_mm: float
    edges_mm: Sequence[float]
    references: Mapping[str, str]
    n_permutations: int
    confidence: float
    seed: int


def score_table(
    recorded: Recorded | Sequence[Recorded],
    predictions: Mapping[str, Prediction],
    *,
    references: Mapping[str, str] = REFERENCES,
    radius_mm: float = EXCLUSION_MM,
    edges_mm: Sequence[float] = DISTANCE_EDGES_MM,
    n_bootstrap: int = 1000,
    n_permutations: int = 1000,
    confidence: float = CONFIDENCE,
    seed: int = 1,
) -> pd.DataFrame:
    """Score predictions against recorded responses.

    Parameters
    ----------
    recorded : Recorded or sequence of Recorded
        One per patient.
    predictions : mapping of str to mapping of str to Predicted
        Model -> split -> what it says of sites that it has not seen (`bids_ai.ccep.prediction.cross`).
    references : mapping of str to str
        Suffix of the columns -> model that gains are over, in the same split.
    radius_mm : float
        Pairs up to this distance do not count.
    edges_mm : sequence of float
        Distance bins; the last one is open.
    n_bootstrap, n_permutations : int
    confidence : float
        Of the intervals.
    seed : int

    Returns
    -------
    DataFrame
        A row for each model, split and measure. Columns: `model split metric value lower upper`; `chance`; `ceiling`
        (of a prediction without noise) and `of_ceiling`; `gain_over_X gain_over_X_lower gain_over_X_upper`, positive
        where the model is better, on the pairs that both predict; `p` and `q` (BH over models of a split); `n_patients
        n_sites n_pairs`; `reason`, why a number is missing. Missing is NaN.

    Raises
    ------
    InputError
        For no recording, patients of the same name, or predictions of other shapes.
    """
    everyone = [recorded] if isinstance(recorded, Recorded) else list(recorded)
    names = [one.layout.patient for one in everyone]
    if not everyone or len(set(names)) < len(names):
        raise InputError(f"Recordings of one patient or more, each with a name of its own, are wanted, got {names}.")
    for model, by_split in predictions.items():
        for split, predicted in by_split.items():
            predicted.check(everyone, f"{model}, {split}")
    settings = _Settings(radius_mm, edges_mm, references, n_permutations, confidence, seed)
    stack = Stack(everyone, radius_mm)
    bootstrap = Bootstrap(stack.patients, stack.leads, n_bootstrap, seed)
    rows: list[dict[str, Any]] = []
    for split in dict.fromkeys(split for by_split in predictions.values() for split in by_split):
        views = {m: View.of(stack, by_split[split]) for m, by_split in predictions.items() if split in by_split}
        p = _permutation(stack, views, bootstrap, settings)
        q = dict(zip(p, benjamini_hochberg(np.array(list(p.values()), float)), strict=True))
        for model, view in views.items():
            found = [_measured(metric, view, views, model, bootstrap, settings) for metric in _all(settings)]
            found += [_slope(view, bootstrap, settings), *_directions(view, settings)]
            for row in found:
                if row["metric"] == PERMUTED:
                    row |= {"p": p[model], "q": q[model]}
                rows.append({"model": model, "split": split} | row)
    return pd.DataFrame(rows, columns=_columns(references))


def _columns(references: Mapping[str, str]) -> list[str]:
    gains = [f"gain_over_{suffix}{end}" for suffix in references for end in ("", "_lower", "_upper")]
    start = ["model", "split", "metric", "value", "lower", "upper", "chance", "ceiling", "of_ceiling"]
    return [*start, *gains, "p", "q", "n_patients", "n_sites", "n_pairs", "reason"]


def _all(settings: _Settings) -> list[Metric]:
    return [*METRICS, *distance_metrics(settings.edges_mm)]


def _measured(
    metric: Metric, view: View, views: Mapping[str, View], model: str, bootstrap: Bootstrap, settings: _Settings
) -> dict[str, Any]:
    pairs = metric.pairs(view)
    values = metric.values(view, pairs) if pairs.any() else np.full(len(pairs), np.nan)
    usable = np.isfinite(values)
    row: dict[str, Any] = {"metric": metric.name, "reason": ""} | _counts(view.stack, usable, pairs)
    if not usable.any():
        return row | {"reason": _why(metric, view)}
    value, draws = _mean(values, usable, bootstrap, metric.fisher)
    lower, upper = _interval(draws, usable, settings.confidence)
    row |= {"value": value, "lower": lower, "upper": upper}
    if metric.chance is not None:
        row["chance"] = _mean(metric.chance(view, pairs), usable, bootstrap, fisher=False)[0]
    reasons = [] if np.isfinite(lower) else ["one site: no interval"]
    if metric.ceiling is not None:
        row["ceiling"] = _ceiling(metric, view, pairs, bootstrap)
        row["of_ceiling"] = value / row["ceiling"] if np.isfinite(row["ceiling"]) else _NAN
        reasons += [] if np.isfinite(row["ceiling"]) else ["no ceiling: no halves, or they do not agree"]
    if metric.better:
        for suffix, reference in settings.references.items():
            gains, reason = _gain(metric, view, views.get(reference), bootstrap, settings)
            names = (f"gain_over_{suffix}", f"gain_over_{suffix}_lower", f"gain_over_{suffix}_upper")
            row |= dict(zip(names, gains, strict=True))
            # Of controls that were not asked for nothing is to be said.
            told = reason and model != reference and (reference in views or suffix in _EXPECTED)
            reasons += [f"no gain over {suffix}: {reason}"] if told else []
    return row | {"reason": "; ".join(reasons)}


def _gain(
    metric: Metric, view: View, reference: View | None, bootstrap: Bootstrap, settings: _Settings
) -> tuple[tuple[float, float, float], str]:
    nothing = (_NAN, _NAN, _NAN)
    if reference is None:
        return nothing, "it was not predicted"
    if reference is view:
        return nothing, "it is the reference"
    pairs = metric.pairs(view) & metric.pairs(reference)
    if not pairs.any():
        return nothing, "no pair that both predict"
    ours, theirs = metric.values(view, pairs), metric.values(reference, pairs)
    usable = np.isfinite(ours) & np.isfinite(theirs)
    if not usable.any():
        return nothing, "no site where both have a value"
    (a, a_draws), (b, b_draws) = (_mean(one, usable, bootstrap, metric.fisher) for one in (ours, theirs))
    lower, upper = _interval(metric.better * (a_draws - b_draws), usable, settings.confidence)
    return (metric.better * (a - b), lower, upper), ""


def _mean(values: Array, usable: BoolArray, bootstrap: Bootstrap, fisher: bool) -> tuple[float, Array]:
    filled = np.where(usable, values, 0.0)
    value, draws = bootstrap.base(usable) @ filled, bootstrap.draws(usable) @ filled
    return (float(np.tanh(value)), np.tanh(draws)) if fisher else (float(value), draws)


def _interval(draws: Array, usable: BoolArray, confidence: float) -> tuple[float, float]:
    if usable.sum() < 2:
        return _NAN, _NAN
    low, high = np.quantile(draws, [0.5 - 0.5 * confidence, 0.5 + 0.5 * confidence]).tolist()
    return low, high


def _ceiling(metric: Metric, view: View, pairs: BoolArray, bootstrap: Bootstrap) -> float:
    assert metric.ceiling is not None  # the caller asks where there is one
    values = metric.ceiling(view, pairs)
    usable = np.isfinite(values)
    if not usable.any():
        return _NAN
    mean, _ = _mean(values, usable, bootstrap, metric.fisher)
    if not metric.fisher:
        return mean if mean > 0 else _NAN
    # Reliability of all pulses, of which a prediction without noise reaches the root.
    return float(np.sqrt(spearman_brown(mean))) if mean > 0 else _NAN


def _counts(stack: Stack, usable: BoolArray, pairs: BoolArray) -> dict[str, int]:
    patients = {patient for patient, used in zip(stack.patients, usable.tolist(), strict=True) if used}
    return {"n_patients": len(patients), "n_sites": int(usable.sum()), "n_pairs": int(pairs[usable].sum())}


def _why(metric: Metric, view: View) -> str:
    if not np.isfinite(view.score).any() and view.predicted.reason:
        return view.predicted.reason
    if metric.name.startswith("latency") and view.predicted.no_latency:
        return view.predicted.no_latency
    return metric.empty


def _slope(view: View, bootstrap: Bootstrap, settings: _Settings) -> dict[str, Any]:
    pairs = probable(view)
    row: dict[str, Any] = {"metric": "calibration_slope", "reason": ""}
    found = calibration(view.probability, view.stack.responder, pairs) if pairs.any() else None
    usable: BoolArray = np.asarray(pairs.any(axis=1))
    if found is None:
        none = "no probabilities, one class only, equal probabilities, or separable classes"
        return row | _counts(view.stack, np.zeros_like(usable), pairs) | {"reason": view.predicted.reason or none}
    # The slope is one of all pairs; to first order a draw adds the influence of the sites it holds more than once.
    base = bootstrap.base(usable)
    more = np.divide(bootstrap.draws(usable), base, out=np.zeros((bootstrap.n_draws, len(base))), where=base > 0)
    lower, upper = _interval(found.slope + more @ found.influence, usable, settings.confidence)
    values = {"value": found.slope, "lower": lower, "upper": upper}
    return row | _counts(view.stack, usable, pairs) | values


def _directions(view: View, settings: _Settings) -> list[dict[str, Any]]:
    found = antisymmetric_agreement(
        view.stack.recorded,
        view.predicted.score,
        radius_mm=settings.radius_mm,
        n_flips=settings.n_permutations,
        seed=settings.seed,
    )
    shared = {"n_pairs": found.n_pairs, "chance": 0.0}
    whole = found.reason if np.isnan(found.r) else ""
    return [
        {"metric": "antisymmetric", "value": found.r, "reason": whole} | shared,
        {"metric": "antisymmetric_pairs", "value": found.r_pairs, "p": found.p_pairs, "reason": found.reason} | shared,
    ]


def _permutation(
    stack: Stack, views: Mapping[str, View], bootstrap: Bootstrap, settings: _Settings
) -> dict[str, float]:
    """P of every model; those over the same pairs share their permutations."""
    metric = next(one for one in METRICS if one.name == PERMUTED)
    groups: dict[bytes, list[str]] = {}
    masks: dict[str, BoolArray] = {}
    out: dict[str, float] = {}
    for model, view in views.items():
        pairs = metric.pairs(view) & np.isfinite(stack.distance)
        # Sites that the measure leaves out, the permutation leaves out.
        usable = np.isfinite(metric.values(view, pairs)) if pairs.any() else np.zeros(len(pairs), bool)
        masks[model] = pairs & usable[:, None]
        out[model] = _NAN
        if usable.any() and settings.n_permutations > 0:
            groups.setdefault(masks[model].tobytes(), []).append(model)
    for models in groups.values():
        mask = masks[models[0]]
        found = stratified_p(
            stack.amplitude,
            [views[model].score for model in models],
            stack.distance,
            mask,
            bootstrap.base(np.asarray(mask.any(axis=1))),
            n_permutations=settings.n_permutations,
            seed=settings.seed,
        )
        out |= dict(zip(models, found, strict=True))
    return out
