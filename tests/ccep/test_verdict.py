"""What is said of effective connectivity follows from the interval of its gain, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bids_ai.ccep.prediction.cross import predict_all
from bids_ai.ccep.prediction.kinds import COMBINED, KINDS, kind_of
from bids_ai.ccep.prediction.registry import PREDICTORS, get_predictor
from bids_ai.ccep.scoring.recorded import Recorded
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
        ((0.0, 0.0, 0.0), False, "was given no weight"),
    ],
)
def test_only_a_whole_interval_above_zero_is_a_claim(interval, adds, words):
    found = verdict(table(*interval))
    assert found.adds is adds
    assert words in found.text
    assert "12 sites" in found.text


@pytest.mark.parametrize(
    ("interval", "beyond", "words"),
    [
        ((0.05, 0.01, 0.09), True, "does so as well"),
        ((0.0, -0.1, 0.1), False, "no gain is left"),
        ((-0.05, -0.1, -0.01), False, "worse"),
    ],
)
def test_a_claim_says_what_is_left_of_it_where_loudness_is_known(interval, beyond, words):
    row = {
        "model": "distance+rest+sc+fc+ec",
        "split": "leave-site-out",
        "metric": "spearman",
        "value": 0.7,
        "n_sites": 12,
    }
    row |= {f"gain_over_combination_rest{end}": v for end, v in zip(("", "_lower", "_upper"), interval, strict=True)}
    found = verdict(pd.concat([table(0.05, 0.01, 0.09), pd.DataFrame([row])], ignore_index=True))
    assert found.adds
    assert found.beyond_loudness is beyond
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


def loud_world(seed: int) -> Recorded:
    recorded = distance_world(seed, n_sites=18).recorded
    rng = np.random.default_rng(seed)
    loud = rng.normal(0, 1, recorded.layout.shape[1])
    return replace(
        recorded,
        layout=replace(recorded.layout, channel_rest_sd=np.exp(loud)),
        amplitude=recorded.amplitude * np.exp(loud),
        odd=None if recorded.odd is None else recorded.odd * np.exp(loud),
        even=None if recorded.even is None else recorded.even * np.exp(loud),
    )


def rest_model(**gains: tuple[float, float, float]) -> pd.DataFrame:
    row = {"model": "impulse-refined", "split": "leave-site-out", "metric": "spearman", "value": 0.7}
    row |= {"n_sites": 12, "reason": ""}
    for name in ("distance", "combination", "distance_rest", "combination_rest"):
        ends = zip(("", "_lower", "_upper"), gains.get(name, [np.nan] * 3), strict=True)
        row |= {f"gain_over_{name}{end}": value for end, value in ends}
    return pd.DataFrame([row])


ABOVE, AROUND, BELOW = (0.3, 0.1, 0.5), (0.1, -0.1, 0.3), (-0.3, -0.5, -0.1)


@pytest.mark.parametrize(
    ("gains", "adds", "words"),
    [
        ({"combination": ABOVE, "distance_rest": ABOVE, "combination_rest": ABOVE}, True, ", beyond how loud"),
        ({"combination": ABOVE, "distance_rest": AROUND, "combination_rest": ABOVE}, False, "whether beyond how loud"),
        ({"combination": ABOVE, "distance_rest": ABOVE, "combination_rest": AROUND}, False, "whether beyond how loud"),
        ({"combination": AROUND, "distance_rest": ABOVE}, False, "cannot be told from chance"),
        ({"combination": BELOW, "distance_rest": ABOVE}, False, "worse than distance"),
        ({"combination": ABOVE}, None, "not compared"),
        ({"distance": ABOVE, "distance_rest": ABOVE}, True, "It adds to distance, beyond"),
        ({}, None, "no interval: one site"),
    ],
)
def test_a_model_in_microvolts_has_to_beat_distance_and_loudness_together(gains, adds, words):
    found = surrogate_verdict(rest_model(**gains))
    assert found is not None
    assert found.adds is adds
    assert words in found.text


def test_distance_times_loudness_is_no_proof():
    """A world without connections: how a field falls off, and how well each channel lies, are all there is."""
    claims = []
    for seed in range(6):
        recorded = loud_world(seed)
        found = predict_all([recorded], ["distance", "rest-amplitude", "distance+rest"], ["leave-site-out"])
        # The best that a model can do which knows nothing but this.
        found["impulse-refined"] = {"leave-site-out": found["distance+rest"]["leave-site-out"]}
        said = surrogate_verdict(score_table([recorded], found, n_permutations=0))
        assert said is not None
        claims.append(said.adds)
    assert claims == [False] * 6


def test_without_a_score_nothing_is_said_of_the_model_of_rest():
    assert surrogate_verdict(rest_model().assign(value=np.nan)) is None
    assert surrogate_verdict(table(0.1, 0.0, 0.2)) is None
