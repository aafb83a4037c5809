"""Predictions of sites that were not seen: every predictor is fitted on the training sites of every split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.special import expit

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.registry import PREDICTORS, get_predictor
from bids_ai.ccep.scoring.detection import logistic
from bids_ai.ccep.scoring.predicted import Predicted
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.splits import PLAIN, SPLITS, get_split, training_view
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError, as_clause

#: One observation's worth of pull of the calibration towards no slope: separable training classes stay finite.
_RIDGE = 1.0


def predict_all(
    recorded: Recorded | Sequence[Recorded],
    names: Iterable[str] = PREDICTORS,
    splits: Iterable[str] = (*SPLITS, PLAIN),
) -> dict[str, dict[str, Predicted]]:
    """Predict with named predictors under named splits.

    Parameters
    ----------
    recorded : Recorded or sequence of Recorded
    names : iterable of str
        Of `registry.PREDICTORS`.
    splits : iterable of str
        Of `splits.SPLITS`, or `splits.PLAIN`, which leaks: there, only the within-patient ceilings and distance are
        predicted.

    Returns
    -------
    dict
        Predictor -> split -> Predicted, for `scoring.table.score_table`.
    """
    splits = list(splits)
    out: dict[str, dict[str, Predicted]] = {}
    for name in names:
        made = get_predictor(name)
        asked = [split for split in splits if split != PLAIN or made.within_patient or name == "distance"]
        out[name] = {split: cross_predict(made, recorded, split) for split in asked}
    return out


def cross_predict(predictor: Predictor, recorded: Recorded | Sequence[Recorded], split: str) -> Predicted:
    """Predict each test site of a split by a fit to its training sites.

    Parameters
    ----------
    predictor : Predictor
    recorded : Recorded or sequence of Recorded
    split : str

    Returns
    -------
    Predicted
        NaN for sites whose training sites do not make a fit, with the reason.

    Notes
    -----
    The predictor is given responses of training sites only (`splits.training_view`) and layouts, which hold none.
    Probabilities are a logistic regression of training responses on the training score, beyond the exclusion radius.
    """
    everyone = [recorded] if isinstance(recorded, Recorded) else list(recorded)
    layouts = [one.layout for one in everyone]
    score, probability, latency = ([np.full(one.shape, np.nan) for one in layouts] for _ in range(3))
    waves: list[Array] = []
    if predictor.learns_waveforms and all(one.waveforms is not None for one in everyone):
        waves = [np.full_like(one.waveforms, np.nan) for one in everyone if one.waveforms is not None]
    reasons: dict[str, None] = {}
    no_latency = ""
    owner = np.repeat(np.arange(len(layouts)), [one.shape[0] for one in layouts])
    place = np.concatenate([np.arange(one.shape[0]) for one in layouts])
    for fold in get_split(split)(layouts):
        of_patient = int(owner[fold.test[0]])
        # The test sites of a fold are of one patient in every split.
        test, layout = place[fold.test], layouts[of_patient]
        seen = training_view(everyone, fold, reversed_pairs=split == PLAIN, waveforms=predictor.learns_waveforms)
        try:
            if not seen:
                raise InputError("no training site is left: all share contacts, leads or tissue with the test sites")
            fitted = predictor.fit(seen)
            predicted = fitted.predict(layout)
        except InputError as error:
            reasons[as_clause(error)] = None
            continue
        score[of_patient][test] = predicted[test]
        line = _calibrated(fitted, seen)
        if line is not None:
            probability[of_patient][test] = expit(line[0] + line[1] * predicted[test])
        times_s = everyone[of_patient].times_s
        if waves and times_s is not None:
            waves[of_patient][test] = fitted.predict_waveforms(layout, times_s)[test]
        try:
            latency[of_patient][test] = fitted.predict_latency(layout)[test]
        except InputError as error:
            no_latency = as_clause(error)
    if not reasons and not any(np.isfinite(one).any() for one in score):
        reasons[_silent(predictor, split, layouts)] = None
    given = any(np.isfinite(one).any() for one in probability)
    timed = any(np.isfinite(one).any() for one in latency)
    return Predicted(
        score,
        probability if given else None,
        latency if timed else None,
        waves or None,
        reason="; ".join(reasons),
        no_latency=no_latency,
        by_channel=predictor.within_patient or predictor.by_channel,
    )


def _calibrated(fitted: Predictor, seen: Sequence[Recorded]) -> tuple[float, float] | None:
    """Intercept and slope of the logit of a response over the score; None where one class is missing."""
    scores, answers = [], []
    for one in seen:
        if one.responder is None:
            continue
        x = fitted.predict(one.layout)
        used = one.beyond(EXCLUSION_MM) & np.isfinite(one.responder) & np.isfinite(x)
        scores.append(x[used])
        answers.append(one.responder[used])
    x, y = (np.concatenate(part) if part else np.empty(0) for part in (scores, answers))
    if len(y) < 2 or np.ptp(y) == 0:
        return None
    line = logistic(x, y, ridge=_RIDGE)
    # A score that is the same everywhere leaves the share of responses.
    share = float(y.mean())
    return line if line is not None else (float(np.log(share / (1.0 - share))), 0.0)


def _silent(predictor: Predictor, split: str, layouts: Sequence[Layout]) -> str:
    if split == "leave-patient-out" and len(layouts) < 2:
        return "one patient: none is left to train on"
    if predictor.within_patient:
        return f"{predictor.name} has nothing to go by in {split}: it needs what the split hides"
    return f"{predictor.name} says nothing of these pairs in {split}"
