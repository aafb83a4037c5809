"""Prediction of the responses of patients from what the other patients taught."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.cross import cross_predict
from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.given import Given
from bids_ai.ccep.prediction.patient_prior import PatientPrior
from bids_ai.ccep.prediction.registry import get_predictor
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.scoring.predicted import Predicted
from bids_ai.ccep.scoring.recorded import Recorded

SPLIT = "leave-patient-out"
#: Models that learn nothing from responses: their scores within patients are used as they are.
UNLEARNED = (
    "rest-amplitude",
    "sc",
    "communicability",
    "shortest-path",
    "diffusion",
    "fc",
    "ec",
    "ec-multistep",
    "ec-transposed",
    "ec-symmetrised",
    "ec-ieeg",
)
#: Combinations and their parts; distance bears no penalty.
COMBINATIONS = {
    "distance+sc+fc": ("sc", "fc"),
    "distance+sc+fc+ec": ("sc", "fc", "ec"),
    "distance+rest": ("rest-amplitude",),
    "distance+rest+sc+fc": ("rest-amplitude", "sc", "fc"),
    "distance+rest+sc+fc+ec": ("rest-amplitude", "sc", "fc", "ec"),
}


def predict_patients(recorded: Sequence[Recorded]) -> dict[str, dict[str, Predicted]]:
    """Predict each patient by fits to the others.

    Parameters
    ----------
    recorded : sequence of Recorded
        One per patient, with `Layout.pairs` of `UNLEARNED` as far as there are any, and one-hot or soft shares.

    Returns
    -------
    dict
        Predictor -> {`SPLIT`: Predicted}, for `scoring.table.score_table`.

    Notes
    -----
    A model is asked only of patients who have what it needs; a combination is fitted on such patients alone.
    """
    makers: dict[str, Callable[[], Predictor]] = {"distance": Distance, "patient-prior": PatientPrior}
    makers |= {name: _given(name) for name in UNLEARNED}
    makers |= {name: _combined(name, parts) for name, parts in COMBINATIONS.items()}
    needs = {name: (name,) for name in UNLEARNED} | COMBINATIONS
    return {name: {SPLIT: _predict(make, recorded, needs.get(name, ()))} for name, make in makers.items()}


def _predict(make: Callable[[], Predictor], recorded: Sequence[Recorded], needs: tuple[str, ...]) -> Predicted:
    have = [one for one in recorded if all(_said(one, name) for name in needs)]
    if len(have) < 2:
        wanted = " and ".join(needs) or "responses"
        reason = f"{len(have)} of {len(recorded)} patients with {wanted}: two are wanted"
        return Predicted([np.full(one.layout.shape, np.nan) for one in recorded], reason=reason)
    found = cross_predict(make(), have, SPLIT)
    place = {id(one): number for number, one in enumerate(have)}

    def spread(values: Sequence[np.ndarray] | None) -> list[np.ndarray] | None:
        if values is None:
            return None
        return [values[place[id(one)]] if id(one) in place else np.full(one.layout.shape, np.nan) for one in recorded]

    score = spread(found.score)
    assert score is not None
    return Predicted(
        score,
        spread(found.probability),
        spread(found.latency_s),
        reason=found.reason,
        no_latency=found.no_latency,
    )


def _said(one: Recorded, name: str) -> bool:
    values = one.layout.pairs.get(name)
    return values is not None and bool(np.isfinite(values).any())


def _given(name: str) -> Callable[[], Predictor]:
    def make() -> Predictor:
        like = get_predictor(name)
        return Given(name, like.label, like.source)

    return make


def _combined(name: str, parts: tuple[str, ...]) -> Callable[[], Predictor]:
    def make() -> Predictor:
        like = get_predictor(name)
        assert isinstance(like, RidgePredictor)
        makers: list[Callable[[], Predictor]] = [Distance, *(_given(part) for part in parts)]
        return RidgePredictor(name, like.label, like.source, makers, earned=like.earned)

    return make
