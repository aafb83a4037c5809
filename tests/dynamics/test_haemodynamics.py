"""Haemodynamics against published shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bids_ai.dynamics.haemodynamics import BalloonWindkessel, boynton_kernel, convolve, double_gamma_kernel
from bids_ai.errors import InputError

TIMES = torch.arange(0, 60, 0.01, dtype=torch.float64)


def test_boynton_kernel_peaks_after_its_delay_and_has_unit_area() -> None:
    kernel = boynton_kernel(TIMES)
    assert_allclose(TIMES[kernel.argmax()], 2.25 + 2 * 1.25, atol=0.011)
    assert_allclose(kernel.sum() * 0.01, 1.0, rtol=1e-4)
    assert (kernel[TIMES < 2.25] == 0).all()


def test_double_gamma_peaks_at_5_s_and_undershoots() -> None:
    kernel = double_gamma_kernel(TIMES)
    assert_allclose(TIMES[kernel.argmax()], 5.0, atol=0.05)  # the undershoot pulls it forward by a little
    assert_allclose(kernel.sum() * 0.01, 1.0, rtol=1e-4)
    assert 14 < TIMES[kernel.argmin()] < 17
    assert -0.15 < kernel.min() / kernel.max() < -0.05


def test_convolution_is_causal_and_linear_in_time() -> None:
    impulse = torch.zeros(3, 100, 2, dtype=torch.float64)
    impulse[1, 20, 0] = 1 / 0.1
    kernel = boynton_kernel((torch.arange(60, dtype=torch.float64) + 0.5) * 0.1)
    out = convolve(impulse, kernel, 0.1)
    assert_allclose(out[1, 20:80, 0], kernel, atol=1e-12)
    assert_allclose(out[1, :20], 0, atol=1e-12)
    assert_allclose(out[0], 0, atol=1e-12)
    assert_allclose(out[1, :, 1], 0, atol=1e-12)


def balloon_response(step: float, seconds: float = 50.0, size: float = 0.5) -> np.ndarray:
    activity = torch.zeros(round(seconds / step), 1, dtype=torch.float64)
    activity[: round(1.0 / step)] = size
    return BalloonWindkessel().simulate(activity, step)[:, 0].numpy()


def test_balloon_response_peaks_at_4_to_7_s_and_undershoots() -> None:
    bold = balloon_response(0.02)
    peak = bold.argmax() * 0.02
    assert 3.5 < peak < 7.0
    assert bold.argmin() * 0.02 > peak
    assert -0.5 < bold.min() / bold.max() < -0.05
    assert abs(bold[-1]) < 0.02 * bold.max()


def test_balloon_rests_at_zero_and_is_graded() -> None:
    assert_allclose(balloon_response(0.05, size=0.0), 0, atol=1e-15)  # rounding of powers
    small, large = balloon_response(0.02, size=0.01), balloon_response(0.02, size=1.0)
    assert large.max() < 100 * small.max()  # it saturates


def test_balloon_steps_are_fine_enough() -> None:
    assert_allclose(
        balloon_response(0.04)[24::25], balloon_response(0.01)[99::100], atol=0.005 * balloon_response(0.04).max()
    )


def test_balloon_flow_is_a_damped_oscillator() -> None:
    # For small inputs s'' + kappa s' + gamma s = z': the integral of f - 1 for a brief input is z / gamma.
    model = BalloonWindkessel()
    state, total, step = model.rest((1,), TIMES), 0.0, 0.01
    for k in range(6000):
        state = state + step * model.drift(state, torch.full((1,), 1e-4 if k < 100 else 0.0, dtype=torch.float64))
        total += float(state[0, 1].exp() - 1) * step
    assert_allclose(total, 1e-4 / model.gamma, rtol=1e-3)


def test_coarse_balloon_steps_are_refused() -> None:
    with pytest.raises(InputError, match=r"at most 0\.1 s"):
        BalloonWindkessel().simulate(torch.zeros(3, 1), 0.72)
