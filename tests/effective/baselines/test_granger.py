"""Granger causality and transfer entropy: against refitted regressions and against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.effective.baselines.bivariate_granger import bivariate_granger
from bids_ai.effective.baselines.conditional_granger import conditional_granger
from bids_ai.effective.baselines.least_squares import choose_order, order_by_test
from bids_ai.effective.baselines.registry import get_baseline
from bids_ai.errors import InputError
from tests.effective.baselines.systems import chain
from tests.surrogate.systems import coupling, linear_series, recording, second_order_series


def refitted(series: np.ndarray, order: int, source: int, target: int, others: list[int]) -> tuple[float, float]:
    """Residual sums of squares without and with the source, by plain regression."""
    series = (series - series.mean(0)) / series.std(0)
    y = series[order:, target]

    def rss(regions: list[int]) -> float:
        x = np.column_stack([series[order - lag : -lag, r] for r in regions for lag in range(1, order + 1)])
        residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
        return float(residual @ residual)

    return rss(others), rss([*others, source])


@pytest.mark.parametrize("order", [1, 3])
def test_conditional_granger_is_that_of_refitted_regressions(order: int) -> None:
    from scipy.stats import f

    series = linear_series(coupling(5, 2), 300, 0)
    found = conditional_granger(recording(series), order)
    dof = 300 - order - 5 * order - 1
    for source, target in ((0, 1), (1, 0), (4, 2), (3, 4)):
        others = [r for r in range(5) if r != source]
        reduced, full = refitted(series, order, source, target, others)
        assert found.log_ratio[source, target] == pytest.approx(np.log(reduced / full), rel=1e-8)
        statistic = (reduced - full) / order / (full / dof)
        assert found.p[source, target] == pytest.approx(f.sf(statistic, order, dof), rel=1e-7)


@pytest.mark.parametrize("order", [1, 3])
def test_bivariate_granger_is_that_of_refitted_regressions(order: int) -> None:
    from scipy.stats import f

    series = linear_series(coupling(5, 2), 300, 0)
    found = bivariate_granger(recording(series), order)
    dof = 300 - order - 2 * order - 1
    for source, target in ((0, 1), (1, 0), (4, 2), (3, 4)):
        reduced, full = refitted(series, order, source, target, [target])
        assert found.log_ratio[source, target] == pytest.approx(np.log(reduced / full), rel=1e-8)
        statistic = (reduced - full) / order / (full / dof)
        assert found.p[source, target] == pytest.approx(f.sf(statistic, order, dof), rel=1e-7)


def test_conditioning_removes_what_comes_through_other_regions() -> None:
    test = recording(linear_series(chain(3), 3000, 0))
    assert bivariate_granger(test, 2).p[0, 2] < 1e-6
    assert conditional_granger(test, 2).p[0, 2] > 0.05


def test_p_values_are_uniform_without_coupling() -> None:
    # 1200 p values; the Kolmogorov-Smirnov distance of uniform ones stays below 0.047 with probability 0.99.
    from scipy.stats import kstest

    values = []
    for seed in range(40):
        series = linear_series(np.diag(np.full(6, 0.6)), 150, seed)
        values.append(conditional_granger(recording(series), 2).p[~np.eye(6, dtype=bool)])
    assert kstest(np.concatenate(values), "uniform").statistic < 0.047


def test_transfer_entropy_is_half_of_granger_up_to_the_bias() -> None:
    test = recording(linear_series(coupling(4, 0), 4000, 0))
    off = ~np.eye(4, dtype=bool)
    transfer = get_baseline("transfer-entropy").estimate(test, order=2)[off]
    granger = get_baseline("bivariate-granger").estimate(test, order=2)[off]
    # The bias of TE is order / (2 T) to first order: 2.5e-4 nats.
    assert_allclose(granger / 2 - transfer, 2 / (2 * 3998), rtol=2e-3)


def test_transfer_entropy_has_no_bias_in_short_recordings() -> None:
    # Independent noise, 60 frames: the plain estimate averages 0.03 nats, the corrected one 0.
    rng = np.random.default_rng(0)
    off = ~np.eye(5, dtype=bool)
    estimates = [
        get_baseline("transfer-entropy").estimate(recording(rng.standard_normal((60, 5)), name=str(k)))[off]
        for k in range(60)
    ]
    means = np.mean(estimates, axis=1)
    assert abs(means.mean()) < 4 * means.std(ddof=1) / np.sqrt(len(means))
    assert means.std(ddof=1) / np.sqrt(len(means)) < 0.002


def test_transfer_entropy_of_a_known_system() -> None:
    # y(t) = w x(t-1) + e: TE = log(1 + w^2) / 2.
    rng = np.random.default_rng(1)
    x, e = rng.standard_normal((2, 20000))
    y = np.r_[0.0, 0.8 * x[:-1]] + e
    estimate = get_baseline("transfer-entropy").estimate(recording(np.column_stack([x, y])))
    assert estimate[0, 1] == pytest.approx(np.log(1 + 0.64) / 2, abs=0.01)
    assert abs(estimate[1, 0]) < 5e-4


def test_order_is_found() -> None:
    first, second = coupling(5, 0) * 0.6, coupling(5, 9) * 0.3
    long = second_order_series(first, second, 3000, 0)
    short = linear_series(coupling(5, 0), 3000, 0)
    for choose in (choose_order, order_by_test):
        assert choose(long, 3, 1, "rec") == 2
        assert choose(short, 3, 1, "rec") == 1


def test_order_test_keeps_its_level() -> None:
    # 200 VAR(1) recordings, two tests at 10 % each: 38 expected, outside 22 ... 56 with probability 0.002.
    orders = [order_by_test(linear_series(coupling(8, 0), 150, seed), 3, 1, "rec", 0.1) for seed in range(200)]
    assert 22 <= np.sum(np.array(orders) > 1) <= 56


def test_too_short_recordings_and_collinear_regions_are_refused() -> None:
    series = linear_series(coupling(8, 0), 20, 0)
    with pytest.raises(InputError, match="do not determine 24 coefficients"):
        conditional_granger(recording(series), 3)
    twins = linear_series(coupling(4, 0), 200, 0)
    twins[:, 3] = -2 * twins[:, 1] + 5
    with pytest.raises(InputError, match="linear combinations"):
        conditional_granger(recording(twins), 1)
    with pytest.raises(InputError, match="identical series"):
        bivariate_granger(recording(twins), 1)
    for bad in (0, 1.5, True):
        with pytest.raises(InputError, match="integer of at least 1"):
            get_baseline("lagged-correlation").estimate(recording(series), lag=bad)
