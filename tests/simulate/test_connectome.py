import numpy as np
import pytest

from bids_ai.simulate.connectome import group_connectome, individual_connectome


@pytest.fixture(scope="module")
def places():
    rng = np.random.default_rng(0)
    left = rng.uniform([-60, -90, -20], [-10, 60, 70], (15, 3))
    return np.concatenate([left, left * [-1, 1, 1]]), np.r_[np.arange(15, 30), np.arange(15)]


@pytest.fixture(scope="module")
def group(places):
    return group_connectome(*places, np.random.default_rng(1))


def test_group_is_a_directed_network_of_the_wanted_density(group, places):
    centroids, homotopic = places
    assert group.density == pytest.approx(0.28, abs=0.005)
    assert (group.weights >= 0).all()
    assert not np.diag(group.weights).any()
    assert group.weights.sum(axis=0).mean() == pytest.approx(1.0)
    joined = group.bundle_weights > 0
    assert joined.any(axis=0).all()
    assert (group.weights[np.arange(30), homotopic] > 0).all()
    one_way = (group.weights > 0) != (group.weights.T > 0)
    assert 0.1 < one_way[joined].mean() < 0.4
    distance = np.linalg.norm(centroids[:, None] - centroids[None], axis=-1)
    pairs = np.triu(np.ones((30, 30), bool), 1)
    assert distance[pairs & joined].mean() < 0.85 * distance[pairs & ~joined].mean()
    # Log-normal: the logarithm is about symmetric where the weights are not.
    weights = group.bundle_weights[pairs & joined]
    assert np.median(weights) < 0.8 * weights.mean()


def test_lengths_and_delays_exist_where_bundles_do(group):
    joined = group.bundle_weights > 0
    assert np.array_equal(np.isfinite(group.lengths_mm), joined)
    np.testing.assert_allclose(group.lengths_mm, group.lengths_mm.T)
    np.testing.assert_allclose(group.delays_s[joined] * 6.0 * 1000.0, group.lengths_mm[joined])
    measured = group.with_lengths(np.full((30, 30), 60.0))
    np.testing.assert_allclose(measured.delays_s[joined], 0.01)
    assert np.isnan(measured.lengths_mm[~joined]).all()


def test_subjects_vary_about_the_group(group):
    first, second = (individual_connectome(group, np.random.default_rng(seed)) for seed in (2, 3))
    for subject in (first, second):
        assert not (subject.weights[group.weights == 0]).any()
        lacking = 1.0 - len(subject.bundles) / len(group.bundles)
        assert 0.0 < lacking <= 0.06
        assert np.array_equal(np.isfinite(subject.lengths_mm), subject.bundle_weights > 0)
        assert (subject.bundle_weights > 0).any(axis=0).all()
    both = (first.weights > 0) & (second.weights > 0)
    spread = np.log(first.weights[both] / second.weights[both]).std()
    assert spread == pytest.approx(np.sqrt(2) * np.hypot(0.3, 0.1), rel=0.15)


def test_kept_bundles_are_in_every_subject(group, places):
    kept = np.zeros((30, 30), bool)
    kept[np.arange(30), places[1]] = True
    for seed in range(5):
        subject = individual_connectome(group, np.random.default_rng(seed), missing=0.5, kept=kept)
        assert (subject.weights[kept] > 0).all()


def test_same_seed_same_connectome(places):
    draws = [group_connectome(*places, np.random.default_rng(4)).weights for _ in range(2)]
    assert np.array_equal(*draws)
