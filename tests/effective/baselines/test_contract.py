"""What every registered baseline keeps: a new one is picked up by its line in the registry."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.effective.baselines.registry import BASELINES, get_baseline
from bids_ai.errors import InputError
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.recording import Recording
from tests.effective.baselines.systems import chain
from tests.surrogate.systems import coupling, linear_series

baselines = pytest.mark.parametrize("name", list(BASELINES))

N = 6


def structural(n: int = N, seed: int = 3) -> np.ndarray:
    """Symmetric weights, one pair absent."""
    weights = np.random.default_rng(seed).random((n, n)) + 0.1
    weights = weights + weights.T
    weights[0, 4] = weights[4, 0] = 0
    np.fill_diagonal(weights, 0)
    return weights


def recording_of(*runs: np.ndarray, weights: np.ndarray | None = None) -> Recording:
    n = runs[0].shape[1]
    return Recording("rec", runs, 2.0, tuple(f"r{i}" for i in range(n)), structural(n) if weights is None else weights)


def gapped(seed: int = 0, n_times: int = 400) -> np.ndarray:
    """Series with censored frames whose region 3 has no data."""
    series = linear_series(coupling(N, 1), n_times, seed)
    series[[30, 31, n_times // 2]] = np.nan
    series[:, 3] = np.nan
    return series


@baselines
def test_matrix_over_all_regions_with_missing_ones_nan(name: str) -> None:
    matrix = get_baseline(name).estimate(recording_of(gapped()))
    assert matrix.shape == (N, N)
    missing = np.eye(N, dtype=bool)
    missing[3] = missing[:, 3] = True
    assert_array_equal(np.isnan(matrix), missing)
    assert np.nanstd(matrix) > 0


@baselines
def test_rows_are_sources(name: str) -> None:
    # Only 0 -> 1 -> ... drives; a method that reads direction must see every link the right way round.
    weights = chain()
    matrix = get_baseline(name).estimate(recording_of(linear_series(weights, 2000, 0), weights=np.ones((5, 5))))
    forward, backward = np.diag(matrix, k=1), np.diag(matrix, k=-1)
    if get_baseline(name).directed:
        assert (forward > backward + 0.05 * np.nanmax(np.abs(matrix))).all()
    else:
        assert_allclose(forward, backward, atol=1e-10)


@baselines
def test_undirected_methods_are_symmetric_where_the_structure_is(name: str) -> None:
    matrix = get_baseline(name).estimate(recording_of(gapped()))
    asymmetry = np.nanmax(np.abs(matrix - matrix.T)) / np.nanmax(np.abs(matrix))
    if get_baseline(name).directed:
        assert asymmetry > 1e-3
    else:
        assert asymmetry < 1e-10


@baselines
def test_order_of_runs_does_not_matter(name: str) -> None:
    # A lag across a boundary would see another pair of frames in either order. 1e-4: where an optimiser stops.
    runs = [gapped(seed, n_times) for seed, n_times in ((0, 150), (1, 90), (2, 200))]
    one = get_baseline(name).estimate(recording_of(*runs))
    other = get_baseline(name).estimate(recording_of(*(runs[i] for i in (2, 0, 1))))
    assert_allclose(other, one, rtol=1e-9, atol=1e-4 * np.nanmax(np.abs(one)) if name == "mou-ec" else 1e-11)


@baselines
def test_no_lag_crosses_a_gap(name: str) -> None:
    # A censored frame and a run boundary are the same thing, up to the mean and SD of each run, which are made equal.
    half = linear_series(coupling(N, 1), 151, 0)
    second = linear_series(coupling(N, 1), 151, 1)
    half, second = ((x - x.mean(axis=0)) / x.std(axis=0) for x in (half, second))
    joined = np.concatenate([half, np.full((1, N), np.nan), second])
    apart = get_baseline(name).estimate(recording_of(half, second))
    # Granger, regression and tests count one more mean for two runs; the estimates do not depend on it, but
    # transfer entropy, whose bias does (by 1e-4 nats here).
    tolerance = {"mou-ec": 1e-4, "transfer-entropy": 1e-3}.get(name, 1e-9)
    assert_allclose(get_baseline(name).estimate(recording_of(joined)), apart, atol=tolerance * np.nanmax(np.abs(apart)))


@baselines
def test_deterministic_and_the_same_for_prepared_recordings(name: str) -> None:
    recording = recording_of(gapped())
    first = get_baseline(name).estimate(recording)
    assert_array_equal(get_baseline(name).estimate(recording), first)
    assert_array_equal(get_baseline(name).estimate(prepare(recording, order_max=1, n_folds=5)), first)


@baselines
def test_scale_of_the_signals_is_no_connectivity(name: str) -> None:
    # All but the one that is in units of the signal standardise.
    series = gapped()
    scaled = series * np.array([1e-6, 3.0, 100.0, 1.0, 0.2, 5.0]) + 7
    one, other = (get_baseline(name).estimate(recording_of(x)) for x in (series, scaled))
    if name == "lagged-covariance":
        assert other[1, 2] == pytest.approx(300 * one[1, 2])
    else:
        assert_allclose(other, one, atol=1e-4 * np.nanmax(np.abs(one)))


@baselines
def test_structural_connectivity_is_used_as_declared(name: str) -> None:
    baseline = get_baseline(name)
    series = gapped()
    with_structure = baseline.estimate(recording_of(series))
    without = Recording("rec", (series,), 2.0, tuple("abcdef"))
    if baseline.needs_structural:
        assert baseline.uses_structural
        with pytest.raises(InputError, match="needs a structural connectivity"):
            baseline.estimate(without)
    else:
        same = np.array_equal(baseline.estimate(without), with_structure, equal_nan=True)
        assert same != baseline.uses_structural


@baselines
def test_described_for_a_sidecar(name: str) -> None:
    baseline = get_baseline(name)
    assert baseline.name == name
    assert re.fullmatch("[A-Za-z0-9]+", baseline.label)
    assert baseline.units
    assert re.search(r"\d{4}", baseline.citation)


@baselines
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="has no option 'ordre'"):
        get_baseline(name).estimate(recording_of(gapped()), ordre=2)


def test_labels_are_unique() -> None:
    labels = [get_baseline(name).label for name in BASELINES]
    assert len(set(labels)) == len(labels)


def test_unknown_baseline_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="pearson, partial-correlation"):
        get_baseline("grainger")


def test_near_misses_of_options_are_told() -> None:
    with pytest.raises(InputError, match="Did you mean 'order'"):
        get_baseline("granger").estimate(recording_of(gapped()), ordr=2)
