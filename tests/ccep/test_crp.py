"""CRP against its published definition (Miller et al. 2023), written out here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import ttest_1samp

from bids_ai.ccep.features.crp import fixed_window_t, parameterise
from bids_ai.ccep.trials import Trials
from tests.ccep.signals import HZ, TIMES, bump, trials_of

WINDOW = (TIMES >= 0.015) & (TIMES <= 1.0)


def projections(voltage: np.ndarray) -> np.ndarray:
    """Projection of trial l on the direction of trial k, (k, l), of (n_pulses, n_times) in microvolts."""
    unit = voltage / np.linalg.norm(voltage, axis=1, keepdims=True)
    return unit @ voltage.T / np.sqrt(HZ)


def mean_of_pairs(projected: np.ndarray) -> float:
    return float(projected[~np.eye(len(projected), dtype=bool)].mean())


@pytest.fixture(scope="module")
def trials() -> Trials:
    waves = np.stack([bump(-150, 0.03, 0.01) + bump(80, 0.16, 0.05), bump(120, 0.1, 0.03), 0 * TIMES])
    return trials_of(waves, n_pulses=7, noise_uv=20.0, seed=4)


def test_profile_and_duration(trials: Trials) -> None:
    found = parameterise(trials)
    for channel in range(3):
        voltage = 1e6 * trials.data[:, channel, WINDOW]
        stops = [1, 40, 200, int(WINDOW.sum())]
        expected = [mean_of_pairs(projections(voltage[:, :stop])) for stop in stops]
        assert_allclose(found.profile[channel, np.array(stops) - 1], expected, rtol=1e-9)
    assert_allclose(found.tau_s, found.times_s[found.profile.argmax(axis=1)])


def test_shape_weights_and_residuals(trials: Trials) -> None:
    found = parameterise(trials)
    for channel in range(2):
        size = int(found.profile[channel].argmax()) + 1
        voltage = 1e6 * trials.data[:, channel, WINDOW][:, :size]
        # The leading right singular vector is the first component of the linear kernel PCA.
        shape = np.linalg.svd(voltage, full_matrices=False)[2][0]
        shape *= np.sign((voltage @ shape).sum())
        alpha = voltage @ shape
        residual = voltage - np.outer(alpha, shape)
        assert_allclose(found.shape[channel, :size], shape, atol=1e-9)
        assert_allclose(found.shape[channel, size:], 0.0)
        assert_allclose(found.alpha[:, channel], alpha, rtol=1e-9)
        assert_allclose(found.alpha_rms[:, channel], alpha / np.sqrt(size), rtol=1e-9)
        assert_allclose(found.residuals(trials)[:, channel, :size], residual, atol=1e-9)
        assert np.isnan(found.residuals(trials)[:, channel, size:]).all()
        squares = (residual**2).sum(axis=1)
        assert_allclose(found.explained[:, channel], 1 - squares / (voltage**2).sum(axis=1), rtol=1e-7)
        assert_allclose(found.snr[:, channel], alpha / np.sqrt(squares), rtol=1e-7)


def test_t_takes_each_pair_once(trials: Trials) -> None:
    found = parameterise(trials)
    size = int(found.profile[0].argmax()) + 1
    projected = projections(1e6 * trials.data[:, 0, WINDOW][:, :size])
    once = [
        projected[k, other] if (k + other) % 2 else projected[other, k] for k in range(7) for other in range(k + 1, 7)
    ]
    expected = ttest_1samp(once, 0.0, alternative="greater")
    assert_allclose([found.t[0], found.p[0]], expected, rtol=1e-9)


def test_box_has_its_duration_and_weight() -> None:
    # The published example: 100 uV for 100 ms. Every trial is the box, so the weight is its height.
    box = 1e-4 * ((TIMES >= 0.015) & (TIMES <= 0.115))
    found = parameterise(trials_of(box, n_pulses=10))
    assert_allclose(found.tau_s, 0.115, atol=1 / HZ)
    assert_allclose(found.alpha_rms, 100.0, rtol=1e-9)
    assert_allclose(found.explained, 1.0)


def test_weights_follow_the_size_of_each_trial() -> None:
    sizes = np.array([0.5, 1.0, 1.5, 2.0])
    wave = bump(100, 0.06, 0.02)
    trials = Trials(sizes[:, None, None] * wave, TIMES, np.ones(4, int))
    found = parameterise(trials)
    assert_allclose(found.alpha[:, 0] / found.alpha[0, 0], sizes / sizes[0], rtol=1e-9)


def test_polarity_is_free() -> None:
    up, down = (parameterise(trials_of(sign * bump(100, 0.06, 0.02), 6, 10.0, seed=1)) for sign in (1, -1))
    assert (up.alpha > 0).all()
    assert (down.alpha > 0).all()
    assert up.shape.max() > -up.shape.min()
    assert down.shape.max() < -down.shape.min()


def test_two_trials_are_the_least(trials: Trials) -> None:
    one = parameterise(trials.pulses(np.arange(1)))
    assert np.isnan(one.tau_s).all()
    assert np.isnan(one.alpha).all()
    two = parameterise(trials.pulses(np.arange(2)))
    assert np.isfinite(two.tau_s).all()
    assert np.isnan(two.t).all()  # a single pair has no spread


def test_fixed_window_tells_response_from_noise(trials: Trials) -> None:
    t = fixed_window_t(trials, 0.012, 0.09)
    assert t[0] > 10
    assert abs(t[2]) < 3.5
