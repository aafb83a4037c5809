import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.features import high_gamma, peaks, rms, zscore
from bids_ai.ccep.features.base import first_peak
from bids_ai.ccep.trials import Trials
from tests.ccep.signals import HZ, TIMES, bump, trials_of


def test_n1_and_n2_have_amplitude_latency_and_sign() -> None:
    waves = np.stack([bump(-200, 0.031, 0.008) + bump(90, 0.17, 0.04), bump(150, 0.045, 0.01)])
    found = peaks.measure(trials_of(waves, noise_uv=1.0))
    # Smoothing by 1.5 ms lowers a peak of SD 8 ms by 2 %.
    assert_allclose(found["n1_uv"], [-200, 150], rtol=0.03)
    assert_allclose(found["n1_latency_ms"], [31, 45], atol=0.5)
    assert_allclose(found["n2_uv"][0], 90, rtol=0.03)
    assert_allclose(found["n2_latency_ms"][0], 170, atol=4)
    assert (np.abs(found["n1_z"]) > 100).all()


def test_first_high_peak_is_the_n1_not_the_highest() -> None:
    wave = bump(70, 0.025, 0.005) + bump(-100, 0.07, 0.01)
    assert_allclose(peaks.measure(trials_of(wave, noise_uv=0.5))["n1_latency_ms"], 25, atol=0.5)
    small = bump(40, 0.025, 0.005) + bump(-100, 0.07, 0.01)
    assert_allclose(peaks.measure(trials_of(small, noise_uv=0.5))["n1_latency_ms"], 70, atol=0.5)


def test_decaying_artefact_is_no_peak() -> None:
    decay = np.where(TIMES > 0, 1e-3 * np.exp(-TIMES / 0.01), 0.0)
    found = peaks.measure(trials_of(decay))
    assert np.isnan(found["n1_uv"]).all()
    assert np.isnan(found["n1_latency_ms"]).all()


def test_peak_lies_between_samples() -> None:
    times = np.arange(100) / 100.0
    wave = 5.0 - 200.0 * (times[None] - 0.5033) ** 2
    height, position = first_peak(wave, slice(10, 90), 100.0)
    assert_allclose([height[0], position[0]], [5.0, 50.33], rtol=1e-6)


def test_rms_of_a_constant() -> None:
    found = rms.measure(trials_of(np.where(TIMES > 0, 50e-6, -10e-6)))
    assert_allclose([found["rms_uv"][0], found["rms_late_uv"][0], found["rms_ratio"][0]], [50, 50, 5])


def test_first_component_has_onset_peak_and_duration() -> None:
    z = np.zeros((3, 100))
    z[0, 20:30] = -6.0
    z[0, 25] = -9.0
    z[1, 40:44], z[1, 44:46], z[1, 46:60] = 6.0, 4.5, 6.0  # a dip of 2 ms is bridged
    z[2, 40:44], z[2, 44:46], z[2, 46:60] = 6.0, 3.0, 6.0  # a deep one is not
    found = zscore.first_component(z, slice(11, 90), 1000.0)
    assert_array_equal(found.found, [True, True, True])
    assert_array_equal(found.onset, [20, 40, 40])
    assert_array_equal(found.stop, [30, 60, 44])


def test_long_dip_ends_a_component() -> None:
    z = np.zeros((1, 100))
    z[0, 20:30], z[0, 30:35], z[0, 35:50] = 6.0, 4.5, 6.0  # 5 ms are not less than 5 ms
    assert zscore.first_component(z, slice(11, 90), 1000.0).stop[0] == 30


def test_z_measures_of_a_wave() -> None:
    found = zscore.measure(trials_of(bump(-100, 0.08, 0.02), noise_uv=5.0))
    assert_allclose(found["z_peak_ms"], 80, atol=3)
    assert found["z_peak"][0] < -20
    assert found["z_max"][0] == found["z_peak"][0]
    # Area of a Gaussian: 100 uV x 20 ms x root of 2 pi; the ends below the threshold are missing.
    assert_allclose(found["z_integral_uv_ms"], -5013, rtol=0.05)
    assert 0 < found["z_onset_ms"][0] < 80 < found["z_onset_ms"][0] + found["z_duration_ms"][0]
    assert np.isnan(zscore.measure(trials_of(0 * TIMES, noise_uv=5.0))["z_peak"]).all()


def test_pulse_of_great_energy_is_not_averaged() -> None:
    data = trials_of(0 * TIMES, noise_uv=5.0).data.copy()
    data[3] += bump(2000, 0.05, 0.02)
    kept = zscore.robust_average(Trials(data, TIMES, np.ones(10, int)))
    assert np.abs(kept).max() < 20e-6


def test_high_gamma_of_a_burst() -> None:
    rng = np.random.default_rng(0)
    noise = 1e-6 * rng.standard_normal((10, 2, len(TIMES)))
    burst = np.where((TIMES > 0.015) & (TIMES < 0.1), 1e-6 * np.sin(2 * np.pi * 110 * TIMES + 0.3), 0.0)
    noise[:, 0] += 3 * burst
    found = high_gamma.measure(Trials(noise, TIMES, np.ones(10, int)))
    assert found["high_gamma_db"][0] > 6
    assert abs(found["high_gamma_db"][1]) < 3
    assert found["high_gamma_t"][0] > 10


def test_epochs_too_short_say_so() -> None:
    short = Trials(np.zeros((2, 1, 100)), np.arange(100) / HZ, np.ones(2, int))
    with pytest.raises(ValueError, match="cut longer epochs"):
        peaks.measure(short)
