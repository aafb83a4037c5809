"""D_stsp against the divergence of Gaussians, which is known."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.surrogate.metrics.state_space import d_stsp, histogram_divergence, mixture_divergence


def normal(n: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d))


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5, 100])
def test_samples_of_one_distribution_are_near_zero(d: int) -> None:
    # Pairs of 1000 frames have a mean of .00 and an SD of .03 by the mixture; histograms are biased up, by
    # (bins - 1) / (2 frames) for either sample (Miller 1955), .1 at ten frames a bin.
    assert abs(d_stsp(normal(1000, d, 0), normal(1000, d, 1)).nats) < 0.12


@pytest.mark.parametrize("d", [4, 5])
@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_mixture_of_shifted_gaussians(d: int, shift: float) -> None:
    # KL of N(0, I) and N(shift, I) is d shift^2 / 2. At Scott's bandwidth the smoothing, which divides it by 1 + h^2,
    # and the noise of a finite number of centres, which adds to it, nearly cancel. One estimate has an SD of 12 %.
    estimates = [mixture_divergence(normal(1000, d, k), normal(1000, d, 50 + k) + shift, seed=k).nats for k in range(8)]
    assert np.mean(estimates) == pytest.approx(d * shift**2 / 2, rel=0.15)


def test_mixture_tells_wider_from_narrower() -> None:
    # KL of N(0, I) and N(0, s I) is d (1/r - 1 + log r) / 2 with r = s; smoothed by the bandwidth h, with
    # r = (s + h^2) / (1 + h^2). Here the smoothing is what counts.
    h2 = 1000 ** (-2 / 9)
    for s in (0.5, 2.0):
        estimates = [
            mixture_divergence(normal(1000, 5, k), np.sqrt(s) * normal(1000, 5, 50 + k), seed=k).nats for k in range(8)
        ]
        r = (s + h2) / (1 + h2)
        assert np.mean(estimates) == pytest.approx(5 / 2 * (1 / r - 1 + np.log(r)), rel=0.2)


def test_histogram_of_shifted_gaussians() -> None:
    # Frames outside the box are dropped, so that many frames and a small shift are needed to come near 0.125.
    out = histogram_divergence(normal(50_000, 1, 0), normal(50_000, 1, 1) + 0.5)
    assert out.nats == pytest.approx(0.125, rel=0.05)
    assert 0 < out.dropped < 0.01


def test_a_known_histogram() -> None:
    truth = np.repeat([0.0, 1.0], 50)[:, None]
    generated = np.repeat([0.0, 1.0, 7.0], [20, 60, 20])[:, None]
    p, q = np.array([50.5, 50.5]) / 101, np.array([20.5, 60.5]) / 81
    out = histogram_divergence(truth, generated, n_bins=2)
    assert out.nats == pytest.approx((p * np.log(p / q)).sum())
    assert out.dropped == pytest.approx(0.2)


def test_states_that_are_never_reached_are_counted() -> None:
    far = mixture_divergence(normal(300, 5, 0), normal(300, 5, 1) + 1000)
    assert far.dropped == 1
    assert far.nats > 2
    assert mixture_divergence(normal(300, 5, 0), normal(300, 5, 1)).dropped < 0.05
    half = normal(300, 5, 1)
    # Two islands in the recording, one of them generated: the other half of the samples has no density.
    island = np.where(np.arange(300)[:, None] % 2, 1000.0, 0.0)
    two = mixture_divergence(normal(300, 5, 0) + island, half, bandwidth=0.5)
    assert two.dropped == pytest.approx(0.5, abs=0.06)


def test_divergence_ignores_scale_and_rotation() -> None:
    truth, generated = normal(800, 8, 0), normal(800, 8, 1) * 1.5
    turn = np.linalg.qr(normal(8, 8, 2))[0]
    plain = d_stsp(truth, generated, n_components=8)
    turned = d_stsp(3 * truth @ turn, 3 * generated @ turn, n_components=8)
    # Whitened components of white noise are the same up to a rotation, and samples are drawn in other directions.
    assert turned.nats == pytest.approx(plain.nats, abs=0.15)
    assert plain.nats > 0.3


def test_autocorrelated_states_do_not_help_themselves() -> None:
    # Without the exclusion in time, a state's neighbours in time make its own density high, and two samples of one
    # process look far apart.
    def slow(seed: int) -> np.ndarray:
        x = np.zeros((4000, 5))
        noise = normal(4000, 5, seed)
        for t in range(1, 4000):
            x[t] = 0.7 * x[t - 1] + noise[t]
        return x

    assert abs(d_stsp(slow(0), slow(1)).nats) < 0.15


def test_a_burst_does_not_make_the_divergence_negative() -> None:
    # One burst of 10 frames: near in time, hence no evidence for each other. Gaussian states of the same covariance
    # come nearer to it than the other states of the recording do; without a pseudo-count that made -3 to -6 nats.
    bursting = normal(600, 5, 0)
    bursting[300:310] += 12 * np.linspace(0.5, 1, 10)[:, None]
    alike = normal(600, 5, 1) @ np.linalg.cholesky(np.cov(bursting.T)).T + bursting.mean(axis=0)
    assert mixture_divergence(bursting, alike).nats > 0.1


def test_few_frames_give_nan() -> None:
    assert np.isnan(d_stsp(normal(10, 3, 0), normal(100, 3, 1)).nats)


def test_gaps_and_chains_are_read() -> None:
    series = normal(400, 4, 0)
    gaps = np.insert(series, 200, np.nan, axis=0)
    chains = normal(400, 4, 1).reshape(4, 100, 4)
    assert np.isfinite(d_stsp(gaps, list(chains)).nats)
    with pytest.raises(InputError, match=r"\[3, 4\] columns"):
        d_stsp(series, series[:, :3])
