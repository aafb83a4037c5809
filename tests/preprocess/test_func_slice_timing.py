from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess.slice_timing import check_slice_timing, correct_slice_timing, shift_in_time, slice_axis

TR = 2.0


def signal(moments: np.ndarray) -> np.ndarray:
    return 100 + 5 * np.sin(2 * np.pi * moments / 20.0)


def acquired(times: np.ndarray, n_times: int = 40) -> np.ndarray:
    """Every slice sees the same signal at its own moment: (2, 2, n_slices, n_times)."""
    moments = times[:, None] + TR * np.arange(n_times)
    return np.broadcast_to(signal(moments), (2, 2, *moments.shape)).astype(np.float32).copy()


@pytest.mark.parametrize("times", [[0.0, 0.5, 1.0, 1.5], [0.0, 1.0, 0.5, 1.5], [0.0, 1.0, 0.0, 1.0]])
def test_slices_agree_after_correction(times: list[float]) -> None:
    series = acquired(np.array(times))
    target = correct_slice_timing(series, np.array(times), TR)
    assert target == pytest.approx((min(times) + max(times)) / 2)
    expected = signal(target + TR * np.arange(40))
    # The spline's error at a tenth of the sampling rate is below 0.1 % of the amplitude; ends are extrapolated.
    assert np.abs(series[..., 6:-6] - expected[6:-6]).max() < 0.005
    assert np.abs(series - expected).max() < 0.6


def test_direction_of_the_shift_is_not_reversed() -> None:
    ramp = np.arange(12, dtype=np.float32)[None]
    assert shift_in_time(ramp, 0.25)[0, 4:8] == pytest.approx([4.25, 5.25, 6.25, 7.25], abs=1e-2)
    assert shift_in_time(ramp, -0.25)[0, 4:8] == pytest.approx([3.75, 4.75, 5.75, 6.75], abs=1e-2)


def test_reversed_slice_order() -> None:
    times = np.array([0.0, 0.5, 1.0, 1.5])
    forward, backward = acquired(times), acquired(times)[:, :, ::-1].copy()
    correct_slice_timing(forward, times, TR, slice_encoding="k")
    correct_slice_timing(backward, times, TR, slice_encoding="k-")
    assert np.array_equal(forward, backward[:, :, ::-1])


def test_other_axis() -> None:
    times = np.array([0.0, 0.5, 1.0, 1.5])
    along_k, along_j = acquired(times), np.moveaxis(acquired(times), 2, 1).copy()
    correct_slice_timing(along_k, times, TR)
    correct_slice_timing(along_j, times, TR, slice_encoding="j")
    assert np.array_equal(np.moveaxis(along_j, 1, 2), along_k)


def test_dummy_scans_stay_and_do_not_ring() -> None:
    times = np.array([0.0, 1.5])
    clean, jump = acquired(times), acquired(times)
    jump[..., :2] += 500
    before = jump[..., :2].copy()
    correct_slice_timing(clean, times, TR, skip=2)
    correct_slice_timing(jump, times, TR, skip=2)
    assert np.array_equal(jump[..., :2], before)
    assert np.array_equal(jump[..., 2:], clean[..., 2:])


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([0.0, 1.0], "3 slices, the sidecar 2"),
        ([0.0, 500.0, 1000.0], "divide by 1000"),
        ([0.0, 1.0, 2.0], "within one repetition"),
        ([0.0, -1.0, 1.0], "non-negative"),
    ],
)
def test_impossible_times_are_refused(times: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_slice_timing(times, 3, TR)


def test_slice_axis() -> None:
    assert slice_axis(None) == (2, False)
    assert slice_axis("j-") == (1, True)
    with pytest.raises(InputError, match="SliceEncodingDirection"):
        slice_axis("z")
