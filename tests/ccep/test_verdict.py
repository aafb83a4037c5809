"""What is said of effective connectivity follows from the interval of its gain, and from nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_ai.ccep.prediction.cross import predict_all
from bids_ai.ccep.prediction.kinds import COMBINED, KINDS, kind_of
from bids_ai.ccep.prediction.registry import PREDICTORS, get_predictor
from bids_ai.ccep.scoring.table import score_table
from bids_ai.ccep.scoring.verdict import surrogate_verdict, verdict
from tests.ccep.worlds import distance_world


def table(gain: float, lower: float, upper: float, reason: str = "") -> pd.DataFrame:
    row = {
        "model": "distance+sc+fc+ec",
        "split": "leave-site-out",
        "metric": "spearman",
        "value": 0.6,
        "gain_over_combination": gain,
        "gain_over_combination_lower": lower,
        "gain_over_combination_upper": upper,
        "n_sites": 12,
        "reason": reason,
    }
    return pd.DataFrame([row])


@pytest.mark.parametrize(
    ("interval", "adds", "words"),
    [
        ((0.05, 0.01, 0.09), True, "adds to distance"),
        ((0.05, -0.01, 0.09), False, "cannot be told from chance"),
        ((-0.05, -0.09, -0.01), False, "worse"),
    ],
)
def test_only_a_whole_interval_above_zero_is_a_claim(interval, adds, words):
    found = verdict(table(*interval))
    assert found.adds is adds
    assert words in found.text
    assert "12 sites" in found.text


@pytest.mark.parametrize(
    ("interval", "words"), [((0.05, 0.01, 0.09), "does so as well"), ((0.0, -0.1, 0.1), "no gain is left")]
)
def test_a_claim_says_what_is_left_of_it_where_loudness_is_known(interval, words):
    row = {"model": "distance+rest+sc+fc+ec", "split": "leave-site-out", "metric": "spearman", "value": 0.7}
    row |= {f"gain_over_combination_rest{end}": v for end, v in zip(("", "_lower", "_upper"), interval, strict=True)}
    found = verdict(pd.concat([table(0.05, 0.01, 0.09), pd.DataFrame([row])], ignore_index=True))
    assert found.adds
    assert words in found.text
    assert "loud" not in verdict(table(0.05, 0.01, 0.09)).text


def test_without_an_interval_the_reason_is_given():
    found = verdict(table(np.nan, np.nan, np.nan, reason="01: sc needs the matrix 'sc', which is not given."))
    assert found.adds is None
    assert "needs the matrix 'sc', which is not given." in found.text
    assert verdict(table(0.1, 0.0, 0.2).assign(model="ec")).adds is None


def test_a_world_of_distance_is_no_proof():
    recorded = distance_world(4).recorded
    names = ["distance", "ec", "distance+sc+fc", "distance+sc+fc+ec"]
    found = verdict(score_table(recorded, predict_all(recorded, names, ["leave-site-out"]), n_permutations=0))
    assert found.adds is False


def test_every_predictor_has_a_kind():
    for name in PREDICTORS:
        made, kind = get_predictor(name), kind_of(name)
        assert kind in KINDS
        assert (kind == COMBINED) == ("+" in name)
        assert made.within_patient == (kind == KINDS[-1])


def test_a_caution_and_what_is_missing_are_said():
    unreliable = "The effective connectivity is of a fit that its own checks call unreliable."
    assert verdict(table(0.05, 0.01, 0.09), caution=unreliable).text.endswith(unreliable)
    nothing = table(np.nan, np.nan, np.nan, reason="01: sc needs the matrix 'sc', which is not given.")
    assert "told here: there is no DWI." in verdict(nothing, missing="there is no DWI").text


def rest_model(**gains: tuple[float, float, float]) -> pd.DataFrame:
    row = {"model": "impulse-refined", "split": "leave-site-out", "metric": "spearman", "value": 0.7}
    for name in ("distance", "combination", "rest_amplitude"):
        ends = zip(("", "_lower", "_upper"), gains.get(name, [np.nan] * 3), strict=True)
        row |= {f"gain_over_{name}{end}": value for end, value in ends}
    return pd.DataFrame([row])


@pytest.mark.parametrize(
    ("gains", "adds", "words"),
    [
        ({"combination": (0.3, 0.1, 0.5), "rest_amplitude": (0.1, 0.02, 0.2)}, True, "not by loudness alone"),
        ({"combination": (0.3, 0.1, 0.5), "rest_amplitude": (0.1, -0.02, 0.2)}, False, "no more than loudness"),
        ({"combination": (0.3, -0.1, 0.5), "rest_amplitude": (0.1, 0.02, 0.2)}, False, "cannot be told from chance"),
        ({"combination": (-0.3, -0.5, -0.1), "rest_amplitude": (0.1, 0.02, 0.2)}, False, "worse than distance"),
        ({"combination": (0.3, 0.1, 0.5)}, None, "not compared"),
        ({"distance": (0.3, 0.1, 0.5), "rest_amplitude": (0.1, 0.02, 0.2)}, True, "against distance,"),
        ({}, None, "no baseline"),
    ],
)
def test_a_model_in_microvolts_has_to_beat_loudness_as_well(gains, adds, words):
    found = surrogate_verdict(rest_model(**gains))
    assert found is not None
    assert found.adds is adds
    assert words in found.text


def test_without_a_score_nothing_is_said_of_the_model_of_rest():
    assert surrogate_verdict(rest_model().assign(value=np.nan)) is None
    assert surrogate_verdict(table(0.1, 0.0, 0.2)) is None
