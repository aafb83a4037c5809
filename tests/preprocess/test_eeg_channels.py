import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_line_noise, eeg_positions
from bids_ai.preprocess.eeg_bad_channels import bad_channels, robust_sd, spline_operator
from tests.preprocess import eeg_phantom

RATE = 250.0


@pytest.fixture(scope="module")
def good_series():
    raw, _, _ = eeg_phantom.recording(seconds=30.0, rate=RATE, with_blinks=False)
    return raw.get_data().T, np.array([channel["loc"][:3] for channel in raw.info["chs"]])


def spoil(series, kind, channel):
    spoiled, rng = series.copy(), np.random.default_rng(1)
    if kind == "constant":
        spoiled[:, channel] = 3e-6
    elif kind == "flat":
        spoiled[:, channel] *= 0.02
    elif kind == "no data":
        spoiled[:, channel] = np.nan
    elif kind == "noisy":
        spoiled[:, channel] += 40e-6 * rng.standard_normal(len(series))
    elif kind == "loud":
        spoiled[:, channel] *= 8.0
    elif kind == "detached":
        # Its own signal of another time: amplitude and spectrum are those of a good channel.
        spoiled[:, channel] = np.roll(spoiled[:, channel], len(series) // 3)
    return spoiled


def test_good_channels_are_left_alone(good_series):
    assert bad_channels(*_arguments(good_series)) == {}


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("constant", "flat: constant"),
        ("flat", "flat: 0.0"),
        ("no data", "no data"),
        ("noisy", "noisy"),
        ("loud", "amplitude"),
        ("detached", "unpredicted"),
    ],
)
def test_a_bad_channel_is_found_with_its_reason(good_series, kind, word):
    series, positions = good_series
    found = bad_channels(spoil(series, kind, 14), RATE, positions, names=eeg_phantom.NAMES)
    assert list(found) == [eeg_phantom.NAMES[14]]
    assert any(word in reason for reason in found[eeg_phantom.NAMES[14]])


def test_few_channels_are_judged_by_signal_alone():
    rng = np.random.default_rng(0)
    series = 1e-5 * rng.standard_normal((1000, 3))
    series[:, 1] = 0.0
    assert bad_channels(series, 100.0) == {"1": ["flat: constant"]}
    with pytest.raises(InputError, match="all 2 EEG channels are flat"):
        bad_channels(np.zeros((100, 2)), 100.0)


def test_spline_reproduces_what_is_smooth():
    directions = eeg_phantom.sites(eeg_phantom.NAMES)
    smooth = directions @ [1.0, 2.0, -0.5] + 3.0
    predicted = spline_operator(directions[1:], directions[:1]) @ smooth[1:]
    # Linear functions are of degree 1, which the spline holds; the rest is its smoothing.
    np.testing.assert_allclose(predicted, smooth[:1], atol=0.05)


def test_robust_sd_of_gaussian_series():
    values = np.random.default_rng(0).normal(0.0, 2.0, (20000, 1))
    np.testing.assert_allclose(robust_sd(values), 2.0, rtol=0.03)


@pytest.mark.parametrize("mains", [50.0, 60.0])
def test_line_is_found_and_removed(mains):
    raw, _, _ = eeg_phantom.recording(seconds=20.0, with_blinks=False)
    times = raw.times
    raw._data += 4e-6 * np.sin(2 * np.pi * mains * times)
    record = eeg_line_noise.remove_line(raw)
    assert record["frequency_hz"] == mains
    assert record["ratio_before"] > 10.0
    assert record["ratio_after"] < 1.5
    assert record["harmonics_hz"] == [mains, 2 * mains]


def test_no_line_no_notch():
    raw, _, _ = eeg_phantom.recording(seconds=20.0, with_blinks=False)
    before = raw.get_data()
    record = eeg_line_noise.remove_line(raw)
    assert record["frequency_hz"] is None
    assert record["method"] == "none"
    np.testing.assert_array_equal(raw.get_data(), before)


def test_line_above_half_the_sampling_rate_is_said():
    raw, _, _ = eeg_phantom.recording(seconds=20.0, rate=100.0, with_blinks=False)
    record = eeg_line_noise.remove_line(raw, 50.0)
    assert record["method"] == "none"
    assert "above half of the sampling rate" in record["how_known"]


def test_line_options_are_checked():
    raw, _, _ = eeg_phantom.recording(["Cz", "Pz"], seconds=5.0)
    with pytest.raises(InputError, match="'notch' or 'spectrum_fit'"):
        eeg_line_noise.remove_line(raw, method="comb")
    with pytest.raises(InputError, match="positive frequency"):
        eeg_line_noise.remove_line(raw, -50.0)


@pytest.mark.parametrize(
    ("name", "site"),
    [
        ("EEG Fp1", "fp1"),
        ("Fp1", "fp1"),
        ("EEG FP1-REF", "fp1"),
        ("Fc5.", "fc5"),
        ("T3-LE", "t3"),
        ("POL DC1", "pol dc1"),
    ],
)
def test_site_within_a_name(name, site):
    assert eeg_positions.site_of_name(name) == site


def test_positions_by_name_where_there_are_none():
    raw, _, _ = eeg_phantom.recording(seconds=2.0, montage=False)
    raw.rename_channels({"Cz": "EEG Cz-REF", "Pz": "X7"})
    record = eeg_positions.give_positions(raw)
    assert record["source"].startswith("standard montage")
    assert record["without_position"] == ["X7"]
    assert record["n_with_position"] == 31
    cz = raw.info["chs"][raw.ch_names.index("EEG Cz-REF")]["loc"][:3]
    assert cz[2] > 0.08
    assert abs(cz[0]) < 0.01


def test_given_positions_stay():
    raw, _, _ = eeg_phantom.recording(seconds=2.0)
    before = [channel["loc"].copy() for channel in raw.info["chs"]]
    assert eeg_positions.give_positions(raw)["source"] == "given"
    np.testing.assert_array_equal([channel["loc"] for channel in raw.info["chs"]], before)


def _arguments(good_series):
    series, positions = good_series
    return series, RATE, positions
