"""The contrast of a group: known answers, and error rates under the null."""

import numpy as np
import pytest
from scipy import stats

from bids_ai.errors import InputError
from bids_ai.group import contrast as contrast_module
from bids_ai.group import edges as edges_module
from bids_ai.group.contrast import freedman_lane
from bids_ai.group.design import Design
from bids_ai.group.edges import EdgeStore


def stored(tmp_path, values):
    store = EdgeStore(tmp_path / "edges", values.shape[1])
    for row in values:
        store.append(row)
    return store


def groups(n, covariates=None):
    effect = np.repeat([0.0, 1.0], [n // 2, n - n // 2])
    return Design(effect, np.empty((n, 0)) if covariates is None else covariates)


def test_t_and_p_are_those_of_a_t_test(tmp_path):
    values = np.random.default_rng(0).standard_normal((30, 40)).astype(np.float32)
    values[15:, 0] += 3
    found = freedman_lane(stored(tmp_path, values), np.arange(30), groups(30), n_permutations=4000)
    expected = stats.ttest_ind(values[15:], values[:15])
    np.testing.assert_allclose(found.t, expected.statistic, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.effect, values[15:].mean(0) - values[:15].mean(0), atol=1e-5)
    # A share of 4000 draws has a standard error of at most 0.008.
    np.testing.assert_allclose(found.p, expected.pvalue, atol=0.035)
    assert found.p[0] == pytest.approx(1 / 4001)
    assert found.q[0] < 0.02
    assert found.p_familywise[0] == pytest.approx(1 / 4001)
    assert (found.n == 30).all()


def test_covariates_are_adjusted_for_as_in_a_linear_model(tmp_path):
    rng = np.random.default_rng(1)
    age = rng.uniform(20, 80, 40)
    effect = (age + 10 * rng.standard_normal(40) > 50).astype(float)
    sex = (rng.random(40) > 0.5).astype(float)
    values = 0.1 * age[:, None] + rng.standard_normal((40, 5))
    design = Design(effect, np.column_stack([age, sex, 2 * sex]))  # one covariate twice does no harm
    found = freedman_lane(stored(tmp_path, values), np.arange(40), design, n_permutations=2000)
    X = np.column_stack([np.ones(40), age, sex, effect])
    coefficients, rest, _, _ = np.linalg.lstsq(X, values, rcond=None)
    error = np.sqrt(rest / 36 * np.linalg.inv(X.T @ X)[3, 3])
    np.testing.assert_allclose(found.effect, coefficients[3], atol=1e-4)
    np.testing.assert_allclose(found.t, coefficients[3] / error, atol=1e-4)
    np.testing.assert_allclose(found.p, 2 * stats.t.sf(np.abs(found.t), 36), atol=0.05)
    unadjusted = freedman_lane(stored(tmp_path, values), np.arange(40), Design(effect, np.empty((40, 0))))
    assert (unadjusted.q < 0.05).all()  # age alone


def test_a_slope_per_unit_of_a_number(tmp_path):
    score = np.arange(20.0)
    values = np.column_stack([2 * score, -score]) + 0.01 * np.random.default_rng(2).standard_normal((20, 2))
    found = freedman_lane(stored(tmp_path, values), np.arange(20), Design(score, np.empty((20, 0))))
    np.testing.assert_allclose(found.effect, [2, -1], atol=0.01)


def test_error_rates_under_the_null(tmp_path):
    rng = np.random.default_rng(3)
    rejected, familywise = [], []
    age = rng.standard_normal((16, 1))
    for seed in range(60):
        values = rng.exponential(size=(16, 50)) + age
        found = freedman_lane(stored(tmp_path, values), np.arange(16), groups(16, age), n_permutations=199, seed=seed)
        rejected.append((found.p <= 0.05).mean())
        familywise.append((found.p_familywise <= 0.05).any())
    # 3000 tests of 5 %: standard error 0.4 % if independent; 60 families: 2.8 %.
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.016)
    assert np.mean(familywise) < 0.05 + 3 * 0.028


def test_few_subjects_are_put_in_every_order_that_differs(tmp_path):
    values = np.random.default_rng(6).standard_normal((6, 3))
    values[:, 0] = [0, 0, 0, 1, 1, 1]  # nothing can be further apart
    found = freedman_lane(stored(tmp_path, values), np.arange(6), groups(6), n_permutations=5000)
    assert (found.n_orders, found.exhaustive) == (20, True)
    # The groups exchanged give the same |t|.
    assert found.smallest_p == pytest.approx(2 / 20)
    assert found.p[0] == pytest.approx(2 / 20)
    assert found.p_familywise[0] == pytest.approx(2 / 20)
    expected = stats.permutation_test(
        (values[3:, 1:], values[:3, 1:]),
        lambda a, b, axis: np.abs(stats.ttest_ind(a, b, axis=axis).statistic),
        permutation_type="independent",
        alternative="greater",
        n_resamples=np.inf,
        vectorized=True,
    )
    np.testing.assert_allclose(found.p[1:], expected.pvalue, rtol=1e-6)
    assert found.edges_for(0.05) is None
    assert found.edges_for(0.3) == 2  # of three at .1: one has q = .3, two .15


@pytest.mark.parametrize(
    ("design", "n_orders", "smallest"),
    [
        (groups(5), 10, 1 / 10),  # 2 and 3 cannot be exchanged
        (groups(6, np.array([[20], [20], [40], [30], [30], [50]])), 720 // 4, 1 / 180),
        (groups(6, np.arange(6.0)[:, None] ** 2), 720, 1 / 720),
        (Design(np.array([1.0, 2, 3, 4, 5]), np.empty((5, 0))), 120, 2 / 120),  # turned round
        (groups(16), 5000, 1 / 5001),  # 12870 differ
    ],
)
def test_the_smallest_p_is_that_of_the_orders_that_differ(tmp_path, design, n_orders, smallest):
    n = len(design.effect)
    values = np.random.default_rng(7).standard_normal((n, 2))
    found = freedman_lane(stored(tmp_path, values), np.arange(n), design, n_permutations=5000)
    assert found.n_orders == n_orders
    assert found.exhaustive == (n < 16)
    assert found.smallest_p == pytest.approx(smallest)
    assert (found.p >= found.smallest_p).all()


def test_every_order_is_right_for_edges_that_some_subjects_lack(tmp_path):
    values = np.random.default_rng(8).standard_normal((6, 2))
    values[0, 1] = np.nan
    whole = freedman_lane(stored(tmp_path, values), np.arange(6), groups(6), n_permutations=5000)
    assert (whole.n_orders, whole.exhaustive) == (720, True)
    kept = Design(groups(6).effect[1:], np.empty((5, 0)))
    alone = freedman_lane(stored(tmp_path, values[1:, 1:]), np.arange(5), kept, n_permutations=5000)
    assert alone.n_orders == 10
    assert whole.p[1] == pytest.approx(alone.p[0])


def test_blocks_and_batches_change_nothing(tmp_path, monkeypatch):
    values = np.random.default_rng(4).standard_normal((12, 30))
    values[3, 5:9] = np.nan
    values[8, 7:] = np.nan
    design = groups(12, np.arange(12.0)[:, None] % 5)
    whole = freedman_lane(stored(tmp_path, values), np.arange(12), design, n_permutations=50)
    monkeypatch.setattr(edges_module, "BLOCK_VALUES", 40)
    monkeypatch.setattr(contrast_module, "BATCH_VALUES", 17)
    pieces = freedman_lane(stored(tmp_path, values), np.arange(12), design, n_permutations=50)
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_an_edge_is_tested_in_those_who_have_it(tmp_path):
    values = np.random.default_rng(5).standard_normal((12, 4))
    values[:2, 1] = np.nan
    values[:5, 2] = np.nan  # leaves one of the first group
    values[:, 3] = 0.5
    found = freedman_lane(stored(tmp_path, values), np.arange(12), groups(12), n_permutations=20)
    np.testing.assert_array_equal(found.n, [12, 10, 7, 12])
    assert found.t[1] == pytest.approx(stats.ttest_ind(values[6:, 1], values[2:6, 1]).statistic, abs=1e-5)
    for part in (found.effect, found.t, found.p, found.q, found.p_familywise):
        assert np.isnan(part[2:]).all()
        assert np.isfinite(part[:2]).all()


@pytest.mark.parametrize(
    ("effect", "covariates", "words"),
    [
        ([0, 1, 1, 1, 1], [[]] * 5, "a group of 1"),
        ([1, 1, 1, 1], [[]] * 4, "same value"),
        ([0, 1], [[]] * 2, "2 subjects"),
        ([0, 0, 1, 1], [[5], [5], [7], [7]], "covariates explain it in full"),
        ([0, 0, 1, 1], [[1, 5], [2, 3], [3, 7], [5, 8]], "leave nothing to estimate"),
    ],
)
def test_contrasts_that_cannot_be_estimated(tmp_path, effect, covariates, words):
    design = Design(np.array(effect, float), np.array(covariates, float).reshape(len(effect), -1))
    store = stored(tmp_path, np.random.default_rng(0).standard_normal((len(effect), 3)))
    with pytest.raises(InputError, match=words):
        freedman_lane(store, np.arange(len(effect)), design, n_permutations=10)


def test_a_design_without_a_value_is_refused():
    with pytest.raises(InputError, match="value for each subject"):
        Design(np.array([0, 1, np.nan]), np.empty((3, 0)))
