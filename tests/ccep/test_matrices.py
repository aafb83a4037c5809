import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.group import group_matrices, within_patient_correlation
from bids_ai.ccep.matrices import (
    agresti_coull,
    contact_shares,
    excluded,
    pair_matrices,
    sensitivity,
    site_distances,
)
from bids_ai.ccep.reliability import noise_ceiling, spearman_brown
from bids_ai.errors import InputError

NAN = np.nan


def test_agresti_coull_as_published() -> None:
    # 0 of 10: centre (0 + 1.92) / 13.84, half-width 1.96 root(.1388 * .8612 / 13.84).
    lower, upper = agresti_coull(np.array([0.0, 5.0, 0.0]), np.array([10.0, 10.0, 0.0]))
    assert_allclose(lower[:2], [0.0, 0.2366], atol=1e-4)
    assert_allclose(upper[:2], [0.3209, 0.7634], atol=1e-4)
    assert np.isnan([lower[2], upper[2]]).all()


def test_rows_are_stimulated_and_columns_recorded() -> None:
    responder = np.array([[NAN, NAN, 1.0], [0.0, NAN, NAN]])
    amplitude = np.array([[5.0, 5.0, 80.0], [7.0, 7.0, 7.0]])
    found = pair_matrices(responder, {"rms_uv": amplitude}, np.eye(2, 3), np.eye(3))
    assert_array_equal(found.probability, [[NAN, NAN, 1], [0, NAN, NAN], [NAN, NAN, NAN]])
    assert_array_equal(found.tested, [[0, 0, 1], [1, 0, 0], [0, 0, 0]])
    assert_array_equal(found.features["rms_uv"], [[NAN, NAN, 80], [NAN, NAN, NAN], [NAN, NAN, NAN]])


def test_contacts_share_their_site() -> None:
    shares = contact_shares(np.array([[0, 1], [1, 2]]), 4)
    found = pair_matrices(np.array([[NAN, NAN, NAN, 1.0], [NAN, NAN, NAN, 0.0]]), {}, shares, np.eye(4))
    assert_allclose(found.probability[:, 3], [1, 0.5, 0, NAN])
    assert_allclose(found.tested[:, 3], [0.5, 1, 0.5, 0])
    assert found.tested.sum() == 2


def test_soft_shares_weigh_and_do_not_multiply_evidence() -> None:
    responder = np.ones((1, 2))
    values = np.array([[10.0, 40.0]])
    shares = np.array([[0.75, 0.25], [0.25, 0.75]])
    found = pair_matrices(responder, {"a": values}, np.array([[0.5, 0.5]]), shares)
    assert_allclose(found.tested, [[0.5, 0.5], [0.5, 0.5]])
    assert_allclose(found.features["a"][0], [17.5, 32.5])
    assert found.tested.sum() == 2


def test_measure_that_a_response_lacks_is_left_out() -> None:
    found = pair_matrices(np.ones((2, 1)), {"latency": np.array([[20.0], [NAN]])}, np.ones((2, 1)), np.ones((1, 1)))
    assert_allclose([found.features["latency"][0, 0], found.feature_counts["latency"][0, 0]], [20, 1])
    assert_allclose(found.responses, 2)


def test_distance_is_that_of_the_nearer_contact() -> None:
    positions = np.array([[0.0, 0, 0], [4.0, 0, 0], [20.0, 0, 0], [NAN] * 3])
    distance = site_distances(positions, np.array([[0, 1]]))
    assert_allclose(distance, [[0, 0, 16, NAN]])
    kept = excluded(np.ones((1, 4)), np.array([[0.0, 13.0, 13.1, NAN]]))
    assert_array_equal(kept, [[NAN, NAN, 1, NAN]])
    assert_array_equal(excluded(np.ones((1, 2)), np.array([[5.0, NAN]]), 0.0), [[1, 1]])


def test_sensitivity_repeats_with_each_radius() -> None:
    p, z = np.full((1, 3), 1e-5), np.full((1, 3), 9.0)
    runs = sensitivity(p, z, {}, np.array([[5.0, 15.0, 40.0]]), np.ones((1, 1)), np.eye(3))
    assert {radius: int(run.tested.sum()) for radius, run in runs.items()} == {0.0: 3, 13.0: 2, 20.0: 1, 30.0: 1}


def test_wrong_shares_are_refused() -> None:
    with pytest.raises(InputError, match="1 NaN"):
        pair_matrices(np.ones((1, 1)), {}, np.array([[NAN]]), np.ones((1, 1)))
    with pytest.raises(InputError, match=r"rms.*\(2, 1\)"):
        pair_matrices(np.ones((1, 1)), {"rms": np.ones((2, 1))}, np.ones((1, 1)), np.ones((1, 1)))


def patient(responses: float, tested: float, value: float = 1.0):
    """One cell with so many responses."""
    answers = np.r_[np.ones(int(responses)), np.zeros(int(tested - responses))][:, None]
    n = max(len(answers), 1)
    answers = answers if len(answers) else np.full((1, 1), NAN)
    return pair_matrices(answers, {"rms": np.full((n, 1), value)}, np.ones((n, 1)), np.ones((1, 1)))


def test_group_counts_patients_and_marks_what_is_reliable() -> None:
    group = group_matrices([patient(8, 20, 10.0), patient(8, 20, 20.0), patient(8, 20, 30.0)])
    assert group.n_patients == 3
    assert_allclose([group.tested[0, 0], group.probability[0, 0], group.features["rms"][0, 0]], [60, 0.4, 20])
    assert group.reliable.all()
    assert group.feature_reliable["rms"].all()
    two = group_matrices([patient(8, 20), patient(8, 20), patient(0, 0)])
    assert two.n_patients == 2
    assert not two.reliable.any()
    few = group_matrices([patient(1, 3), patient(1, 3), patient(1, 3)])
    assert not few.reliable.any()
    empty = group_matrices([patient(0, 0)] * 3)
    assert np.isnan(empty.probability).all()
    assert empty.n_patients == 0


def test_patients_that_differ_widen_the_interval() -> None:
    same = group_matrices([patient(10, 20), patient(10, 20), patient(10, 20)])
    apart = group_matrices([patient(20, 20), patient(0, 20), patient(10, 20)])
    assert same.correlation == 0
    assert apart.correlation > 0.5
    assert_allclose([same.probability, apart.probability], 0.5)
    assert (apart.upper - apart.lower) > 2 * (same.upper - same.lower)


def test_correlation_within_patients_is_recovered() -> None:
    rng = np.random.default_rng(0)
    # Beta with a + b = 4: correlation 1 / (1 + 4).
    chance = rng.beta(1.2, 2.8, (6, 30, 30))
    tested = rng.integers(1, 20, chance.shape).astype(float)
    responses = rng.binomial(tested.astype(int), chance).astype(float)
    assert_allclose(within_patient_correlation(responses, tested), 0.2, atol=0.02)
    assert np.isnan(within_patient_correlation(responses[:1], tested[:1]))


def test_group_of_other_nodes_is_refused() -> None:
    other = pair_matrices(np.ones((1, 2)), {"rms": np.ones((1, 2))}, np.ones((1, 1)), np.eye(2))
    with pytest.raises(InputError, match="same nodes"):
        group_matrices([patient(1, 2), other])
    with pytest.raises(InputError, match="got none"):
        group_matrices([])


def test_noise_ceiling_is_stepped_up() -> None:
    truth = np.arange(8.0)
    swapped = truth[[1, 0, 3, 2, 5, 4, 7, 6]]
    found = noise_ceiling(np.stack([truth, truth, truth]), np.stack([truth, swapped, np.where(truth < 5, NAN, truth)]))
    r = 1 - 6 * 8 / (8 * 63)
    assert_allclose(found.per_site, [1, 2 * r / (1 + r), NAN])
    assert spearman_brown(-0.5) == -0.5
    assert np.isnan(noise_ceiling(np.ones((1, 8)), np.ones((1, 8))).mean)


def test_noise_ceiling_of_known_reliability() -> None:
    # Both halves hold the truth and as much noise: r is .5, and all pulses have 2/3.
    rng = np.random.default_rng(1)
    truth = rng.standard_normal((40, 60))
    odd, even = (truth + rng.standard_normal(truth.shape) for _ in range(2))
    assert_allclose(noise_ceiling(odd, even).mean, 0.65, atol=0.05)  # Spearman is a little below Pearson
