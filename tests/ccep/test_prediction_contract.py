"""What every registered predictor keeps: a new one is picked up by its line in the registry."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.prediction.base import log_weights, region_pairs
from bids_ai.ccep.prediction.cross import cross_predict, predict_all
from bids_ai.ccep.prediction.diffusion import spread
from bids_ai.ccep.prediction.distance import Distance
from bids_ai.ccep.prediction.impulse_response import ImpulseResponse, contact_impulses
from bids_ai.ccep.prediction.registry import PREDICTORS, get_predictor
from bids_ai.ccep.prediction.reverse_edge import ReverseEdge
from bids_ai.ccep.prediction.ridge import RidgePredictor
from bids_ai.ccep.prediction.shortest_path import path_lengths
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.splits import PLAIN
from bids_ai.ccep.scoring.table import score_table
from bids_ai.errors import InputError
from tests.ccep.worlds import GAINS, distance_world, network_world

predictors = pytest.mark.parametrize("name", list(PREDICTORS))
MATRICES = ("sc", "communicability", "shortest-path", "diffusion", "fc", "group-prior")
EFFECTIVE = ("ec", "ec-multistep", "ec-transposed", "ec-symmetrised")


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return network_world(1).recorded


@predictors
def test_names_itself_and_its_source(name: str) -> None:
    made = get_predictor(name)
    assert made.name == name
    assert made.label
    assert made.source


@predictors
def test_gives_a_score_of_every_site(name: str, recorded: Recorded) -> None:
    made = get_predictor(name)
    assert made.fit([recorded]) is made
    score = made.predict(recorded.layout)
    assert score.shape == recorded.layout.shape
    assert not np.isinf(score).any()
    assert np.isfinite(score).any()


@predictors
def test_is_the_same_again(name: str, recorded: Recorded) -> None:
    first, second = (get_predictor(name).fit([recorded]).predict(recorded.layout) for _ in range(2))
    assert_array_equal(first, second)


@predictors
def test_does_not_depend_on_responses_that_are_hidden(name: str, recorded: Recorded) -> None:
    """Whatever the test site and its reversed pairs responded, its prediction is the same."""
    split = "leave-site-out"
    before = cross_predict(get_predictor(name), recorded, split)
    other = np.array(recorded.amplitude)
    other[4] = 100 * np.random.default_rng(1).random(other.shape[1])
    other[:, recorded.layout.touches[4]] *= 7.0
    answers = np.array(recorded.responder)
    answers[4] = 1.0
    waves = np.array(recorded.waveforms)
    waves[4] *= 5.0
    changed = replace(recorded, amplitude=other, responder=answers, waveforms=waves)
    after = cross_predict(get_predictor(name), changed, split)
    assert_array_equal(before.score[0][4], after.score[0][4])
    if before.probability is not None:
        assert after.probability is not None
        assert_array_equal(before.probability[0][4], after.probability[0][4])


@predictors
def test_missing_responses_do_not_harm(name: str, recorded: Recorded) -> None:
    holes = np.where(np.random.default_rng(2).random(recorded.layout.shape) < 0.3, np.nan, recorded.amplitude)
    score = get_predictor(name).fit([replace(recorded, amplitude=holes)]).predict(recorded.layout)
    assert not np.isinf(score).any()


@predictors
def test_nothing_to_learn_from_is_refused_or_not_needed(name: str, recorded: Recorded) -> None:
    empty = replace(
        recorded, amplitude=np.full(recorded.layout.shape, np.nan), responder=np.full(recorded.layout.shape, np.nan)
    )
    if name in (*MATRICES, *EFFECTIVE, "ec-ieeg", "rest-amplitude"):
        get_predictor(name).fit([empty])
    else:
        with pytest.raises(InputError):
            get_predictor(name).fit([empty])


@pytest.mark.parametrize("name", [*MATRICES, *EFFECTIVE, "distance+sc+fc", "jansen-rit"])
def test_matrix_that_is_not_there_is_named(name: str, recorded: Recorded) -> None:
    layout = replace(recorded.layout, matrices={})
    with pytest.raises(InputError, match="which is not given"):
        get_predictor(name).fit([replace(recorded, layout=layout)])


@pytest.mark.parametrize("name", ["ec-ieeg", "impulse-response", "impulse-refined"])
def test_model_of_rest_that_is_not_there_is_named(name: str, recorded: Recorded) -> None:
    layout = replace(recorded.layout, impulses=None, impulse_times_s=None)
    with pytest.raises(InputError, match=f"{name} needs `impulses`"):
        get_predictor(name).fit([replace(recorded, layout=layout)])


@pytest.mark.parametrize("name", [*MATRICES, *EFFECTIVE, "ec-ieeg", "rest-amplitude", "distance+sc+fc+ec"])
def test_matrices_give_no_latency(name: str, recorded: Recorded) -> None:
    with pytest.raises(InputError, match="gives no latency"):
        get_predictor(name).fit([recorded]).predict_latency(recorded.layout)


def test_distance_finds_its_length_and_the_speed() -> None:
    recorded = distance_world(3, noise=0.05, n_sites=24).recorded
    made = Distance().fit([recorded])
    # Offsets of channels are noise to it.
    assert 15 < made.length_mm_ < 45
    latency = made.predict_latency(recorded.layout)
    assert_allclose(latency, 0.012 + recorded.layout.distances / 4000, atol=0.002)


def test_rows_are_sources() -> None:
    """A site in region 0 with a connection 0 -> 1 predicts the channel in region 1, and not the other way round."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [50, 0, 0], [51.0, 0, 0]])
    ec = np.array([[np.nan, -0.7], [0.1, np.nan]])
    layout = Layout(
        "01", positions, np.array(["A", "A", "B", "B"]), np.array([[0, 1], [2, 3]]), np.array([[0, 0], [2, 2]]),
        site_shares=np.eye(2), channel_shares=np.eye(2), matrices={"ec": ec},
    )  # fmt: skip
    recorded = Recorded(layout, np.ones((2, 2)))
    assert get_predictor("ec").fit([recorded]).predict(layout)[0, 1] == pytest.approx(np.log(0.7))
    assert get_predictor("ec-transposed").fit([recorded]).predict(layout)[0, 1] == pytest.approx(np.log(0.1))
    assert get_predictor("ec-symmetrised").fit([recorded]).predict(layout)[1, 0] == pytest.approx(np.log(0.4))
    assert np.isnan(get_predictor("ec").predict(layout)[0, 0])


def test_soft_shares_are_a_mean_over_what_is_known(recorded: Recorded) -> None:
    layout = replace(
        recorded.layout,
        site_shares=np.tile([0.25, 0.25, 0.5], (18, 1)),
        channel_shares=np.tile([0.0, 0.0, 1.0], (48, 1)),
        matrices={},
    )
    matrix = np.array([[np.nan, 0, 4.0], [0, np.nan, 8.0], [0, 0, np.nan]])
    # Half of the shares meet a value: (.25 * 4 + .25 * 8) / .5.
    assert_allclose(region_pairs(layout, matrix), 6.0)
    matrix[0, 2] = np.nan
    assert np.isnan(region_pairs(layout, matrix)).all()


def test_logarithm_of_no_weight_is_low_and_not_infinite() -> None:
    assert_allclose(log_weights(np.array([1.0, 0.0, np.nan, 4.0])), np.log([1.0, 0.5, np.nan, 4.0]))
    assert np.isnan(log_weights(np.zeros(3))).all()


def test_paths_and_spread_by_hand() -> None:
    weights = np.array([[0, 2.0, 0, 0], [2.0, 0, 1.0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]])
    assert_allclose(path_lengths(weights)[0], [0, 0.5, 1.5, np.nan])
    # The response is the sum of all powers of the normalised weights.
    scale = np.sqrt(np.outer(weights.sum(1), weights.sum(0)))
    s = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
    assert_allclose(spread(weights, 0.5), sum(np.linalg.matrix_power(0.5 * s, k) for k in range(80)), atol=1e-12)


def test_reverse_edge_is_seen_only_where_it_is_not_hidden(recorded: Recorded) -> None:
    assert np.isfinite(cross_predict(ReverseEdge(), recorded, PLAIN).score[0]).any()
    strict = cross_predict(ReverseEdge(), recorded, "leave-site-out")
    assert not np.isfinite(strict.score[0]).any()
    assert strict.reason


def test_distance_bears_no_penalty_and_useless_columns_are_shut_off() -> None:
    recorded = distance_world(4, n_sites=24).recorded
    made = get_predictor("distance+sc+fc").fit([recorded])
    assert isinstance(made, RidgePredictor)
    b = made.ridge_.coefficients_ * made.ridge_.scale_
    assert b[0] > 4 * np.abs(b[1:]).max()


def test_effective_connectivity_earns_its_place_or_has_no_weight() -> None:
    names = ["distance+sc+fc", "distance+sc+fc+ec"]
    recorded = network_world(4, n_leads=8, n_sites=24).recorded
    made = get_predictor(names[1]).fit([recorded])
    assert isinstance(made, RidgePredictor)
    assert made.ridge_.earned_
    ec, rng = recorded.layout.matrices["ec"], np.random.default_rng(4)
    base = get_predictor(names[0]).fit([recorded]).predict(recorded.layout)
    earned = 0
    for _ in range(20):
        matrices = recorded.layout.matrices | {"ec": ec[rng.permutation(len(ec))]}
        wrong = replace(recorded, layout=replace(recorded.layout, matrices=matrices))
        whole = get_predictor(names[1]).fit([wrong])
        assert isinstance(whole, RidgePredictor)
        earned += whole.ridge_.earned_
        if not whole.ridge_.earned_:
            # Without weight it is the smaller model, to the bit, and still says nothing where EC has no value.
            scores = whole.predict(wrong.layout)
            both = np.isfinite(scores)
            assert (
                both == (np.isfinite(get_predictor("ec").fit([wrong]).predict(wrong.layout)) & np.isfinite(base))
            ).all()
            assert (scores[both] == base[both]).all()
    # One standard error on one side lets one in six pass.
    assert earned <= 7


def test_one_patient_has_no_other_to_learn_from(recorded: Recorded) -> None:
    found = predict_all(recorded, ["distance"], ["leave-patient-out"])["distance"]["leave-patient-out"]
    assert not np.isfinite(found.score[0]).any()
    assert "one patient" in found.reason


def test_gains_of_contacts_are_found_and_waveforms_of_unseen_sites_with_them(recorded: Recorded) -> None:
    made = ImpulseResponse().fit([recorded])
    # Some 200 responses of 73 samples with noise of .07 against waves of about .3.
    assert_allclose(made.gains_, GAINS, atol=0.05)
    predicted = cross_predict(ImpulseResponse(), recorded, "leave-site-out")
    table = score_table(recorded, {"model": {"leave-site-out": predicted}}, n_permutations=0, n_bootstrap=50)
    rows = table.set_index("metric")
    assert 0.95 <= rows.of_ceiling["waveform_explained_variance"] <= 1.05
    # Responses differ much in size here, for which this ceiling is somewhat high.
    assert 0.85 <= rows.of_ceiling["waveform_correlation"] <= 1.05
    assert np.isfinite(rows.value["latency_error_s"])


def test_model_with_long_steps_gives_no_latency(recorded: Recorded) -> None:
    layout = recorded.layout
    assert layout.impulses is not None
    assert layout.impulse_times_s is not None
    slow = replace(layout, impulses=layout.impulses[..., ::3], impulse_times_s=layout.impulse_times_s[::3])
    made = ImpulseResponse().fit([replace(recorded, layout=slow)])
    with pytest.raises(InputError, match="steps of 12 ms"):
        made.predict_latency(slow)


def test_model_that_ends_early_is_refused(recorded: Recorded) -> None:
    layout = recorded.layout
    assert layout.impulses is not None
    assert layout.impulse_times_s is not None
    short = replace(layout, impulses=layout.impulses[..., :40], impulse_times_s=layout.impulse_times_s[:40])
    with pytest.raises(InputError, match=r"ends at 0\.16 s"):
        ImpulseResponse().fit([replace(recorded, layout=short)])


def test_push_of_a_contact_moves_the_channels_it_is_part_of() -> None:
    response = np.arange(1.0, 9.0).reshape(2, 2, 2)
    # Channels 0-1 and 1-2: contact 1 is the second of the first and the first of the second.
    found = contact_impulses(response, np.array([[0, 1], [1, 2]]), 4)
    assert_allclose(found[0], response[:, 0].T)
    assert_allclose(found[1], (response[:, 1] - response[:, 0]).T)
    assert_allclose(found[2], -response[:, 1].T)
    assert np.isnan(found[3]).all()
    response[:, 1] = np.nan
    assert np.isnan(contact_impulses(response, np.array([[0, 1], [1, 2]]), 4)[1:]).all()


def test_unknown_predictor_is_refused() -> None:
    with pytest.raises(InputError, match="communicability"):
        get_predictor("npi")
