"""Dynamic FC: stationary series against series that switch between two patterns."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp

from bids_ai.surrogate.metrics.dynamic_fc import fcd_ks, fcd_similarities, ks_distance


def stationary(seed: int, n_times: int = 1200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_times, 8)) @ mixing(0)


def mixing(seed: int) -> np.ndarray:
    return np.eye(8) + 0.8 * np.random.default_rng(100 + seed).standard_normal((8, 8))


def switching(seed: int, n_times: int = 1200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((150, 8)) @ mixing(k % 2) for k in range(n_times // 150)]
    return np.concatenate(blocks)


def test_a_series_is_at_no_distance_from_itself() -> None:
    series = switching(0)
    assert fcd_ks(series, series, tr=2.0) == 0


def test_switching_is_told_from_stationary() -> None:
    same = fcd_ks(switching(0), switching(1), tr=2.0)
    other = fcd_ks(switching(0), stationary(1), tr=2.0)
    assert same < 0.1
    assert other > 0.4
    # Forty windows apart in either: distances of .1 to .15 between two samples of one process are noise.
    assert fcd_ks(stationary(0), stationary(1), tr=2.0) < 0.25


def test_similarities_are_of_windows_without_common_frames() -> None:
    # Windows 0-9, 10-19, 20-29 of 30 frames: with all 21 positions, pairs at least 10 apart, 11 * 12 / 2 = 66.
    series = np.random.default_rng(0).standard_normal((30, 4))
    assert len(fcd_similarities(series, 10)) == 66
    split = [series[:15], series[15:]]  # six positions each: only pairs across the two
    assert len(fcd_similarities(split, 10)) == 36


def test_similarity_of_two_windows_by_hand() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 20, 5))
    upper = np.triu_indices(5, 1)
    expected = np.corrcoef(np.corrcoef(first.T)[upper], np.corrcoef(second.T)[upper])[0, 1]
    np.testing.assert_allclose(fcd_similarities([first, second], 20), [expected])


def test_the_window_is_in_seconds() -> None:
    series = stationary(0, 200)
    assert np.isfinite(fcd_ks(series, series, tr=2.0))  # 30 frames
    assert np.isnan(fcd_ks(series, series, tr=0.5))  # 120 frames: no two windows of 200 frames are apart
    assert np.isnan(fcd_ks(series[:, :2], series[:, :2], tr=2.0))  # one pair of regions is no pattern


def test_ks_distance_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(50), rng.standard_normal(70) + 0.4
    b[:5] = a[:5]  # ties
    assert ks_distance(a, b) == pytest.approx(ks_2samp(a, b).statistic)
