"""Validation, standardisation, lags that stay within runs, folds that leak nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.errors import InputError
from bids_ai.surrogate.lags import blocked_folds, histories, join_runs, lag_targets
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.seeds import member_seed, stable_hash
from bids_ai.surrogate.usable import usable_frames
from tests.surrogate.systems import fitted, recording


def noise(n_times: int, n: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n_times, n))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tr": 0.0}, "TR"),
        ({"tr": float("nan")}, "TR"),
        ({"runs": ()}, "at least one run"),
        ({"runs": (noise(1),)}, "1 frame"),
        ({"runs": (noise(3, 50),)}, "do not fit 3 region names"),
        ({"runs": (noise(3, 50),)}, "time comes first"),
        ({"runs": (np.where(noise(50) > 2, np.inf, noise(50)),)}, "infinite values in"),
        ({"regions": ("a", "a", "b")}, "unique"),
        ({"regions": ("a",), "runs": (noise(50, 1),)}, "at least 2 regions"),
        ({"runs": (np.zeros((4, 3, 2)),)}, "n_times, n_regions"),
    ],
)
def test_unusable_recordings_are_refused(changes: dict, message: str) -> None:
    fields = {"name": "sub-01", "runs": (noise(50),), "tr": 2.0, "regions": ("a", "b", "c")} | changes
    with pytest.raises(InputError, match=message):
        Recording(**fields)  # type: ignore[arg-type]


def test_lag_targets_by_hand() -> None:
    usable = np.array([1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    assert_array_equal(lag_targets(usable, 1), [1, 2, 5, 6, 7])
    assert_array_equal(lag_targets(usable, 2), [2, 6, 7])
    assert_array_equal(lag_targets(usable, 3), [7])
    assert lag_targets(usable[:2], 2).size == 0


def test_histories_end_with_the_newest_lag() -> None:
    series = np.arange(10.0)[:, None]
    assert_array_equal(histories(series, np.array([3, 9]), 3)[..., 0], [[0, 1, 2], [6, 7, 8]])


def test_no_lag_crosses_a_run_boundary_or_a_censored_frame() -> None:
    # Every value names its run and frame, so that a history across a boundary would show.
    first, second = np.arange(0.0, 6)[:, None], np.arange(100.0, 106)[:, None]
    first[3] = np.nan
    joined = join_runs([first, second], gap=2)
    targets = lag_targets(usable_frames(joined), 2)
    pairs = [(*h[:, 0], joined[t, 0]) for h, t in zip(histories(joined, targets, 2), targets, strict=True)]
    assert pairs == [(0, 1, 2), (100, 101, 102), (101, 102, 103), (102, 103, 104), (103, 104, 105)]


def test_folds_share_no_frame_between_test_and_training() -> None:
    usable = np.ones(203, dtype=bool)
    usable[[40, 90, 91]] = False
    order = 3
    targets = lag_targets(usable, order)
    folds = blocked_folds(targets, 5, gap=order)
    tested = np.concatenate([np.r_[fold.test] for fold in folds])
    assert_array_equal(tested, np.arange(len(targets)))
    for fold in folds:
        frames = lambda positions: {t - k for t in targets[positions] for k in range(order + 1)}  # noqa: E731
        assert not frames(np.r_[fold.test]) & frames(fold.train(len(targets)))
        assert len(fold.train(len(targets))) >= len(targets) - (fold.test.stop - fold.test.start) - 2 * order


def test_standardised_within_run_over_usable_frames() -> None:
    first, second = noise(40) * 5 + 100, noise(30, seed=1) * 0.1
    first[[2, 3]] = np.nan
    prepared = prepare(recording(first, second), order_max=2, n_folds=4)
    for run in (prepared.series[:40], prepared.series[42:]):
        assert_allclose(np.nanmean(run, axis=0), 0, atol=1e-12)
        assert_allclose(np.nanstd(run, axis=0), 1)
    assert_allclose(prepared.scaler.sd[0], np.delete(first, [2, 3], axis=0).std(axis=0))
    assert np.isnan(prepared.series[40:42]).all()


def test_regions_without_data_are_left_out_with_their_reason() -> None:
    run = noise(60, 5)
    run[:, 1], run[:, 3], run[:20, 4] = np.nan, 3.5, np.nan
    prepared = prepare(recording(run), order_max=1, n_folds=3)
    assert_array_equal(prepared.kept, [True, False, True, False, False])
    assert prepared.excluded == {"r1": "no data", "r3": "constant", "r4": "no data in 33% of the frames"}
    assert "3 of 5 regions are left out" in prepared.warnings[0]


def test_a_region_must_be_usable_in_every_run() -> None:
    first, second = noise(40), noise(40, seed=1)
    second[:, 2] = np.nan
    prepared = prepare(recording(first, second), order_max=1, n_folds=3)
    assert prepared.excluded == {"r2": "no data in run 2"}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (np.ones((50, 3)), "constant"),
        (noise(12), "10 frames have 2 usable frames before them, but 20 are needed"),
        (np.where(np.arange(50)[:, None] % 2, noise(50), np.nan), "0 frames have"),
        (np.full((50, 3), np.nan), "no data"),
    ],
)
def test_too_little_to_fit_is_refused_with_numbers(run: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(recording(run), order_max=2, n_folds=5)


def test_seeds_depend_on_the_name_and_not_on_the_process() -> None:
    # Fixed numbers: a fit of yesterday, on another machine, must be found again.
    assert stable_hash("sub-01") == 855108142391542081
    assert member_seed(1, "sub-01", 0) == 4290070931356400057
    seeds = {member_seed(seed, name, member) for seed in (1, 2) for name in ("a", "b") for member in range(3)}
    assert len(seeds) == 12
    assert member_seed(1, "a", 0) == member_seed(1, "a", 0)


@pytest.mark.parametrize("order_max", [1, 3])
@pytest.mark.parametrize("censored", [[], [0], [1, 3], [2, 3, 9, 40]])
def test_a_fit_knows_the_largest_order_it_was_prepared_for(order_max: int, censored: list[int]) -> None:
    first = noise(60)
    first[censored] = np.nan
    fit = fitted(first, noise(60, seed=1), order_max=order_max, model="ou")
    assert (fit.order, fit.order_max) == (1, order_max)
