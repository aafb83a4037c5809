"""Errors of predicted frames, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.surrogate.metrics.prediction import explained_variance, mae, mse, pooled_r2, r2

TRUTH = np.array([[1.0, 0.0], [-1.0, 2.0], [1.0, 0.0], [-1.0, -2.0]])


def test_perfect_prediction() -> None:
    assert mse(TRUTH, TRUTH) == mae(TRUTH, TRUTH) == 0
    assert explained_variance(TRUTH, TRUTH) == r2(TRUTH, TRUTH) == pooled_r2(TRUTH, TRUTH) == 1


def test_the_mean_as_prediction() -> None:
    nothing = np.zeros_like(TRUTH)
    assert mse(TRUTH, nothing) == pytest.approx((1 + 2) / 2)
    assert mae(TRUTH, nothing) == pytest.approx(1)
    assert explained_variance(TRUTH, nothing) == r2(TRUTH, nothing) == pooled_r2(TRUTH, nothing) == 0


def test_an_offset_is_forgiven_by_explained_variance_alone() -> None:
    shifted = TRUTH + 1
    assert explained_variance(TRUTH, shifted) == pytest.approx(1)
    assert r2(TRUTH, shifted) == pytest.approx(1 - (1 / 1 + 1 / 2) / 2)
    assert pooled_r2(TRUTH, shifted) == pytest.approx(1 - 8 / 12)


def test_regions_are_weighed_equally_by_r2_and_by_variance_when_pooled() -> None:
    one_right = np.column_stack([TRUTH[:, 0], np.zeros(4)])
    assert r2(TRUTH, one_right) == pytest.approx(0.5)
    assert pooled_r2(TRUTH, one_right) == pytest.approx(4 / 12)


def test_missing_frames_do_not_count() -> None:
    gap = np.vstack([TRUTH, [np.nan, np.nan]])
    assert mse(gap, np.zeros_like(gap)) == mse(TRUTH, np.zeros_like(TRUTH))


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=r"shape \(2, 4\) do not fit frames of shape \(4, 2\)"):
        mse(TRUTH, TRUTH.T)
