"""The measures against other implementations and against values by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import rankdata, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score

from bids_ai.ccep.scoring.detection import calibration, logistic, row_auprc, row_auroc, row_brier
from bids_ai.ccep.scoring.direction import antisymmetric_agreement
from bids_ai.ccep.scoring.ranks import fisher_z, row_partial_spearman, row_ranks, row_spearman, specific
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.resampling import Bootstrap, distance_bins, stratified_p
from bids_ai.ccep.scoring.waves import (
    WINDOW_S,
    explained_variance,
    explained_variance_ceiling,
    latency_error,
    waveform_ceiling,
    waveform_correlation,
)
from bids_ai.errors import InputError
from tests.ccep.worlds import layout_of, network_world

RNG = np.random.default_rng(11)
MASK = RNG.random((6, 30)) < 0.8
#: Rounded, so that there are ties.
A = np.round(RNG.standard_normal((6, 30)), 1)
B = np.round(0.6 * A + RNG.standard_normal((6, 30)), 1)
HIT = (RNG.random((6, 30)) < 0.3).astype(float)


def test_ranks_and_correlations_are_those_of_scipy() -> None:
    ranks = row_ranks(A, MASK)
    assert np.isnan(ranks[~MASK]).all()
    for row in range(6):
        m = MASK[row]
        assert_allclose(ranks[row, m], rankdata(A[row, m]))
        assert_allclose(row_spearman(A, B, MASK)[row], spearmanr(A[row, m], B[row, m])[0])


def test_partial_correlation_is_that_of_the_formula() -> None:
    d = np.round(20 * RNG.random((6, 30)), 0)
    both = np.round(B + d / 5, 6)  # scipy takes for different what only rounding parts
    found = row_partial_spearman(A, both, d, MASK)
    for row in range(6):
        m = MASK[row]
        r = spearmanr(np.column_stack([A[row, m], both[row, m], d[row, m]]))[0]
        wanted = (r[0, 1] - r[0, 2] * r[1, 2]) / np.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
        assert_allclose(found[row], wanted)


def test_partial_correlation_of_distance_itself_is_missing() -> None:
    d = 20 * RNG.random((6, 30))
    assert np.isnan(row_partial_spearman(A, np.exp(-d / 30), d, MASK)).all()


def test_partial_correlation_of_distance_itself_is_missing_where_distances_are_equal_but_for_rounding() -> None:
    """Two contacts as far from a site, one on either side of it: the exponential ties what rounding has parted."""
    d = np.abs(np.random.default_rng(4).normal(40, 20, A.shape))
    d[:, 1::2] = np.nextafter(d[:, ::2], np.inf)
    assert np.isnan(row_partial_spearman(A, np.exp(-d / 200), d, MASK)).all()
    np.testing.assert_allclose(row_spearman(A, np.exp(-d / 200), MASK), -row_spearman(A, d, MASK), atol=1e-12)


def test_perfect_order_has_the_z_of_one_exchange() -> None:
    swapped = spearmanr([1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 5, 4, 6, 7])[0]
    assert_allclose(fisher_z(np.array([1.0, -1.0]), np.array([7, 7])), np.arctanh([swapped, -swapped]))


def test_few_channels_or_equal_values_have_no_correlation() -> None:
    few = np.arange(30) < 4
    assert np.isnan(row_spearman(A, B, np.tile(few, (6, 1)))).all()
    assert np.isnan(row_spearman(A, np.ones_like(A), MASK)).all()


def test_detection_is_that_of_sklearn() -> None:
    auroc, auprc = row_auroc(B, HIT, MASK), row_auprc(B, HIT, MASK)
    for row in range(6):
        m = MASK[row]
        assert_allclose(auroc[row], roc_auc_score(HIT[row, m], B[row, m]))
        assert_allclose(auprc[row], average_precision_score(HIT[row, m], B[row, m]))


def test_one_class_has_no_detection() -> None:
    for same in (np.zeros_like(HIT), np.ones_like(HIT)):
        assert np.isnan(row_auroc(B, same, MASK)).all()
        assert np.isnan(row_auprc(B, same, MASK)).all()


def test_equal_scores_are_chance() -> None:
    one = np.ones_like(A)
    assert_allclose(row_auroc(one, HIT, MASK), 0.5)
    share = np.array([HIT[row, MASK[row]].mean() for row in range(6)])
    assert_allclose(row_auprc(one, HIT, MASK), share)
    assert_allclose(row_brier(0.5 * one, HIT, MASK), 0.25)


def test_logistic_is_that_of_sklearn() -> None:
    x, y = A.ravel(), (RNG.random(180) < 1 / (1 + np.exp(0.5 - 1.5 * A.ravel()))).astype(float)
    found = logistic(x, y)
    assert found is not None
    other = LogisticRegression(C=np.inf, tol=1e-10).fit(x[:, None], y)
    assert_allclose(found, [other.intercept_[0], other.coef_[0, 0]], rtol=1e-4)
    assert logistic(x, np.ones(180)) is None
    assert logistic(x, (x > 0).astype(float)) is None  # separable
    assert logistic(x, (x > 0).astype(float), ridge=1.0) is not None


def test_calibration_slope_of_right_and_of_overconfident_probabilities() -> None:
    rng = np.random.default_rng(3)
    logits = rng.standard_normal((60, 80))
    y = (rng.random((60, 80)) < 1 / (1 + np.exp(-logits))).astype(float)
    everywhere = np.ones_like(y, bool)
    right = calibration(1 / (1 + np.exp(-logits)), y, everywhere)
    steep = calibration(1 / (1 + np.exp(-2 * logits)), y, everywhere)
    assert right is not None
    assert steep is not None
    # 4800 pairs: the slope has a standard error of .04.
    assert_allclose([right.slope, steep.slope], [1.0, 0.5], atol=0.12)
    assert_allclose(right.influence.sum(), 0.0, atol=1e-6)
    assert calibration(np.full_like(y, 0.3), y, everywhere) is None


def test_influence_is_the_change_by_one_more_copy_of_a_site() -> None:
    rng = np.random.default_rng(4)
    logits = rng.standard_normal((60, 80))
    y = (rng.random((60, 80)) < 1 / (1 + np.exp(-logits))).astype(float)
    p, everywhere = 1 / (1 + np.exp(-logits)), np.ones_like(y, bool)
    found = calibration(p, y, everywhere)
    more = calibration(np.vstack([p, p[:1]]), np.vstack([y, y[:1]]), np.ones((61, 80), bool))
    assert found is not None
    assert more is not None
    # First order: within the square of 1/60 of a slope near one.
    assert_allclose(more.slope - found.slope, found.influence[0], atol=2e-3)


def test_bootstrap_weighs_patients_alike_and_covers() -> None:
    patients = ["a"] * 9 + ["b"] * 3
    leads = ["x"] * 4 + ["y"] * 5 + ["x"] * 3
    bootstrap = Bootstrap(patients, leads, 4000, seed=1)
    usable = np.ones(12, bool)
    usable[0] = False
    base, draws = bootstrap.base(usable), bootstrap.draws(usable)
    assert_allclose(base[1:9], 1 / 16)
    assert_allclose(base[9:], 1 / 6)
    assert base[0] == 0
    assert (draws[:, 0] == 0).all()
    assert_allclose(draws.sum(axis=1), 1.0)
    # Patients are drawn: both, or one of them twice.
    share = draws[:, 9:].sum(axis=1)
    assert_allclose([(share < 1e-9).mean(), (share > 1 - 1e-9).mean()], [0.25, 0.25], atol=0.03)
    assert bootstrap.draws(usable) is draws


def test_bootstrap_of_leads_is_wider_than_one_of_sites() -> None:
    # Sites of a lead are alike: the mean of 4 leads has an SD of 1/2, not of 1/sqrt(40).
    values = np.repeat(np.random.default_rng(2).standard_normal(4), 10)
    leads = np.repeat(list("abcd"), 10).tolist()
    usable = np.ones(40, bool)
    of_leads = (Bootstrap(["p"] * 40, leads, 2000, 1).draws(usable) @ values).std()
    of_sites = (Bootstrap(["p"] * 40, ["one"] * 40, 2000, 1).draws(usable) @ values).std()
    assert of_leads > 2 * of_sites


def test_distance_bins() -> None:
    d = np.array([[0.0, 19.9, 20.0, 29.0, 100.0, np.nan]])
    assert_array_equal(distance_bins(d, np.ones_like(d, bool)), [[0, 0, 1, 1, 4, 5]])


def test_specific_part_is_what_neither_site_nor_channel_tells() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat([0, 1], 6)
    of_site, of_channel = rng.standard_normal((12, 1)), rng.standard_normal((2, 20))[groups]
    mask = rng.random((12, 20)) < 0.9
    assert_allclose(specific(of_site + of_channel, mask, groups), 0.0, atol=1e-3)
    own = specific(rng.standard_normal((12, 20)), np.ones_like(mask), groups)
    assert_allclose(specific(of_site + of_channel + own, np.ones_like(mask), groups), own, atol=1e-12)


@pytest.mark.parametrize("kind", ["distance", "more"])
def test_stratified_permutation_asks_for_more_than_distance(kind: str) -> None:
    hits = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        d = rng.uniform(13, 120, (8, 40))
        recorded = np.exp(-d / 30) + 0.1 * rng.standard_normal(d.shape)
        own = recorded if kind == "more" else np.exp(-d / 30)
        predicted = own + 0.1 * rng.standard_normal(d.shape)
        mask = np.ones_like(d, bool)
        hits += stratified_p(recorded, [predicted], d, mask, np.full(8, 1 / 8), n_permutations=99, seed=seed)
    share = np.mean(np.array(hits) <= 0.05)
    # Three standard errors of .05 at 60 repeats: .084.
    assert share <= 0.134 if kind == "distance" else share > 0.9


def both_ways(rng: np.random.Generator, truth: np.ndarray, noise: float) -> tuple[Recorded, np.ndarray]:
    """Every contact pair is a site and a channel."""
    n = len(truth)
    positions = np.column_stack([40.0 * np.arange(2 * n) // 2, np.zeros(2 * n), np.zeros(2 * n)])
    pairs = np.arange(2 * n).reshape(n, 2)
    layout = Layout("01", positions, np.repeat([f"L{k}" for k in range(n)], 2), pairs, pairs)
    amplitude = np.exp(truth + noise * rng.standard_normal(truth.shape))
    np.fill_diagonal(amplitude, np.nan)
    return Recorded(layout, amplitude), truth


def test_antisymmetric_part_is_found_and_its_null_holds() -> None:
    rng = np.random.default_rng(5)
    truth = rng.standard_normal((12, 12))
    recorded, own = both_ways(rng, truth, 0.3)
    right = antisymmetric_agreement([recorded], [own], radius_mm=13.0)
    turned = antisymmetric_agreement([recorded], [own.T], radius_mm=13.0)
    flat = antisymmetric_agreement([recorded], [own + own.T], radius_mm=13.0)
    assert right.n_pairs == 66
    assert right.r > 0.85
    assert right.r_pairs > 0.85
    assert right.p_pairs < 0.01
    assert turned.r == pytest.approx(-right.r)
    assert np.isnan(flat.r)
    assert "same both ways" in flat.reason


def test_sites_that_send_much_do_not_pass_as_directed_pairs() -> None:
    p = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        sent, guess = 3 * rng.standard_normal((2, 12, 1))
        recorded, _ = both_ways(rng, sent + rng.standard_normal((12, 12)), 0.1)
        found = antisymmetric_agreement(
            [recorded], [guess + rng.standard_normal((12, 12))], radius_mm=13.0, n_flips=99, seed=seed
        )
        p.append(found.p_pairs)
    # Three standard errors of .05 at 60 repeats: .084. Without taking sites off it is about .3.
    assert np.mean(np.array(p) <= 0.05) <= 0.134


def test_waveforms_of_the_truth_reach_the_ceiling() -> None:
    rng = np.random.default_rng(6)
    layout = layout_of(rng, n_sites=6)
    times = np.arange(-0.05, 0.4, 0.005)
    truth = rng.standard_normal((*layout.shape, 1)) * np.exp(-0.5 * ((times - 0.05) / 0.02) ** 2)
    odd, even = truth + 0.3 * rng.standard_normal((2, *truth.shape))
    recorded = Recorded(
        layout, np.ones(layout.shape), waveforms=0.5 * (odd + even), waveforms_odd=odd, waveforms_even=even,
        times_s=times, latency_s=np.full(layout.shape, 0.05),
    )  # fmt: skip
    pairs = np.abs(truth).max(axis=-1) > 1.0
    nothing = np.zeros_like(pairs)
    found, most = explained_variance(recorded, truth, pairs), explained_variance_ceiling(recorded, pairs)
    # Six sites of some 15 channels and 58 samples: within a few hundredths.
    assert_allclose(found.mean(), most.mean(), atol=0.03)
    assert_allclose(explained_variance(recorded, 0 * truth, pairs), 0.0)
    assert_allclose(
        waveform_correlation(recorded, truth, pairs).mean(), waveform_ceiling(recorded, pairs).mean(), atol=0.03
    )
    assert np.isnan(explained_variance(recorded, truth, nothing)).all()
    assert np.isnan(waveform_correlation(recorded, truth, nothing)).all()
    assert_allclose(latency_error(recorded, np.full(layout.shape, 0.06), pairs), 0.01)
    assert WINDOW_S[0] == 0.011


def test_wrong_inputs_are_refused() -> None:
    layout = network_world(1).recorded.layout
    with pytest.raises(InputError, match="amplitude must have shape"):
        Recorded(layout, np.ones((2, 2)))
    with pytest.raises(InputError, match="negative or infinite"):
        Recorded(layout, np.full(layout.shape, -1.0))
    with pytest.raises(InputError, match="responder must be"):
        Recorded(layout, np.ones(layout.shape), responder=np.full(layout.shape, 0.5))
    with pytest.raises(InputError, match="need times_s"):
        Recorded(layout, np.ones(layout.shape), waveforms=np.ones((*layout.shape, 3)))
