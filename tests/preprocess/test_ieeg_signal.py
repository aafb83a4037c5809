"""Line noise, segments, bad contacts, and long recordings block by block."""

import tracemalloc

import mne
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess.ieeg_bad_contacts import find_bad_contacts
from bids_ai.preprocess.ieeg_blanking import Blanking, blank_spans
from bids_ai.preprocess.ieeg_line_noise import (
    LineNoise,
    find_line_frequency,
    harmonics,
    line_power_ratio,
    remove_line_noise,
)
from bids_ai.preprocess.ieeg_reference import common_average
from bids_ai.preprocess.ieeg_segments import rest_with_gaps, segments, stimulation_free_mask
from bids_ai.preprocess.ieeg_stream import stream, write_stream

RATE = 512.0


def brown(seconds: float, n: int, seed: int = 0, sd: float = 30e-6) -> np.ndarray:
    """Noise with a spectrum of 1/f^2 above a hertz or so, volts."""
    from scipy.signal import lfilter

    white = np.random.default_rng(seed).standard_normal((round(seconds * RATE), n))
    data = lfilter([1.0], [1.0, -0.98], white, axis=0)
    return sd * data / data.std(axis=0)


def sine(seconds: float, hertz: float, sd: float = 30e-6) -> np.ndarray:
    return np.sqrt(2) * sd * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)[:, None]


def raw_of(data: np.ndarray) -> mne.io.RawArray:
    info = mne.create_info([f"A{k + 1}" for k in range(data.shape[1])], RATE, "seeg", verbose="error")
    return mne.io.RawArray(data.T.copy(), info, verbose="error")


# ---- line noise


@pytest.mark.parametrize(("method", "least"), [("notch", 1e3), ("spectrum-fit", 1e2)])
def test_line_noise_is_taken_out_and_the_rest_left(method, least):
    clean = brown(30, 2)
    noisy = clean + sine(30, 50.0) + 0.3 * sine(30, 150.0)
    kept = remove_line_noise(noisy, RATE, 50.0, method=method)
    for line in (50.0, 150.0):
        assert (line_power_ratio(noisy, RATE, line) > least * line_power_ratio(kept, RATE, line)).all()
    inner = slice(5 * int(RATE), -5 * int(RATE))
    # A notch of 1 Hz with slopes of 1 Hz takes a few per cent of the power of noise like this.
    error = (kept - clean)[inner].std(axis=0) / clean[inner].std(axis=0)
    assert (error < 0.1).all()


def test_a_fit_leaves_the_spectrum_at_the_line_a_notch_does_not():
    clean = brown(60, 1)
    noisy = clean + sine(60, 50.0)
    assert line_power_ratio(remove_line_noise(noisy, RATE, 50.0, method="notch"), RATE, 50.0)[0] < 0.6
    assert line_power_ratio(remove_line_noise(noisy, RATE, 50.0, method="spectrum-fit"), RATE, 50.0)[0] > 0.6


def test_harmonics_stay_below_nyquist():
    assert harmonics(50.0, 512.0).tolist() == [50, 100, 150, 200, 250]
    assert harmonics(60.0, 500.0, highest_hz=150.0).tolist() == [60, 120]
    np.testing.assert_array_equal(remove_line_noise(np.ones((600, 1)), RATE, 50.0, method="none"), np.ones((600, 1)))


def test_short_stretches_get_a_wider_notch_or_are_refused():
    noisy = brown(3, 1) + sine(3, 50.0)
    assert line_power_ratio(remove_line_noise(noisy, RATE, 50.0), RATE, 50.0)[0] < 1
    with pytest.raises(InputError, match=r"half a second at least is wanted, got 0\.195 s"):
        remove_line_noise(noisy[:100], RATE, 50.0)
    with pytest.raises(InputError, match="notch, spectrum-fit or none is wanted, got 'fir'"):
        LineNoise(50.0, RATE, "fir")
    with pytest.raises(InputError, match=r"Nyquist frequency \(40 Hz\)"):
        LineNoise(50.0, 80.0)


@pytest.mark.parametrize(("hertz", "found"), [(50.0, 50.0), (60.0, 60.0), (None, None)])
def test_line_frequency_from_the_signal(hertz, found):
    data = brown(10, 5)
    if hertz:
        data[:, 3:] += sine(10, hertz, 5e-6)  # some channels only
    assert find_line_frequency(data, RATE) == found


# ---- segments


def test_stimulation_free_segments():
    mask = stimulation_free_mask(20000, 1000.0, [5.0, 6.0, np.nan, 12.0], spoiled_s=[(16.0, 17.5)])
    # From 0.1 s before to 2 s after each pulse, the artefact, and pieces below a second are left out.
    assert segments(mask) == [(0, 4900), (8001, 11900), (14001, 16000), (17501, 20000)]
    short = stimulation_free_mask(20000, 1000.0, [5.0, 6.0, 12.0], spoiled_s=[(16.0, 17.5)], shortest_s=2.1)
    assert segments(short) == [(0, 4900), (8001, 11900), (17501, 20000)]
    data = np.ones((20000, 2))
    rest = rest_with_gaps(data, mask)
    assert np.isnan(rest[~mask]).all()
    assert (rest[mask] == 1).all()


# ---- bad contacts


def faulty(seconds: float = 60) -> np.ndarray:
    data = brown(seconds, 12)
    data[:, 1] = 0.0
    data[:, 3] = np.clip(data[:, 3] * 20, -3e-4, 3e-4)
    data[:, 5] *= 40
    data[:, 7] /= 40
    data[:, 9:10] += sine(seconds, 50.0, 60e-6)
    return data


def test_bad_contacts_and_why():
    found = find_bad_contacts(raw_of(faulty()), [f"A{k + 1}" for k in range(12)], line_hz=50.0)
    assert {name: [reason.split(" at least")[0] for reason in reasons] for name, reasons in found.reasons.items()} == {
        "A2": ["flat"],
        "A4": ["saturated", "variance far above the others"],
        "A6": ["variance far above the others"],
        "A8": ["variance far below the others"],
        "A10": ["line noise"],
    }
    assert found.bads == ["A2", "A4", "A6", "A8", "A10"]
    assert found.table.set_index("name").loc["A2", "flat"] == 1.0
    assert sorted(finding.count for finding in found.findings) == [1, 1, 1, 1, 2]


def test_good_contacts_are_left_alone():
    """Amplitudes that differ as grey and white matter do, and line noise that all share."""
    data = brown(60, 12, 3) * np.geomspace(1 / 3, 3, 12) + sine(60, 50.0, 20e-6)
    found = find_bad_contacts(raw_of(data), [f"A{k + 1}" for k in range(12)], line_hz=50.0)
    assert found.bads == []


def test_stimulation_makes_no_contact_bad():
    """Stimulated contacts are off the scale for 0.2 s after each pulse."""
    data = brown(60, 8)
    onsets = np.arange(3.0, 58.0, 3.0)
    for onset in onsets:
        first = round(onset * RATE)
        data[first : first + 100, :2] = 5e-3
    names = [f"A{k + 1}" for k in range(8)]
    assert find_bad_contacts(raw_of(data), names, line_hz=50.0, onsets_s=onsets).bads == []
    assert find_bad_contacts(raw_of(data), names, line_hz=50.0).bads == ["A1", "A2"]


def test_few_contacts_are_not_compared_and_no_window_is_told():
    data = brown(20, 3)
    data[:, 0] *= 100
    found = find_bad_contacts(raw_of(data), ["A1", "A2", "A3"], line_hz=None)
    assert found.bads == []
    assert [finding.code for finding in found.findings] == ["few-contacts"]
    none = find_bad_contacts(raw_of(data), ["A1", "A2", "A3"], line_hz=50.0, onsets_s=np.arange(0, 20, 0.5))
    assert [finding.code for finding in none.findings] == ["contacts-not-judged"]


# ---- block by block


def test_blocks_give_what_the_whole_gives():
    raw = raw_of(brown(50, 4) + sine(50, 50.0))
    names = ["A3", "A1", "A4"]
    steps = [
        Blanking(blank_spans(np.arange(1, 49, 1.7), RATE, raw.n_times), RATE),
        LineNoise(50.0, RATE),
        common_average(names),
    ]
    whole = np.concatenate([data for _, data in stream(raw, names, steps, block_s=1e6)])
    blocks = list(stream(raw, names, steps, block_s=9.3))
    assert len(blocks) == 5
    assert [start for start, _ in blocks] == [round(9.3 * RATE) * k for k in range(5)]
    joined = np.concatenate([data for _, data in blocks])
    assert joined.shape == (raw.n_times, 3)
    np.testing.assert_allclose(joined, whole, atol=1e-9 * whole.std())


def test_channels_come_in_the_order_asked_for():
    raw = raw_of(np.arange(1024.0)[:, None] * [1.0, 2.0, 3.0])
    ((_, data),) = stream(raw, ["A3", "A1"], [])
    np.testing.assert_array_equal(data[1], [3.0, 1.0])
    with pytest.raises(InputError, match=r"1 of them not in the recording \['B1'\]"):
        next(stream(raw, ["A1", "B1"], []))


def test_memory_holds_a_block_not_the_recording(tmp_path):
    n_channels, seconds = 16, 240
    path = tmp_path / "long_raw.fif"
    raw_of(np.tile(brown(10, n_channels), (seconds // 10, 1))).save(path, verbose="error")
    lazy = mne.io.read_raw_fif(path, preload=False, verbose="error")
    whole = lazy.n_times * n_channels * 8
    tracemalloc.start()
    out = write_stream(tmp_path / "out.npy", lazy, lazy.ch_names, [common_average(lazy.ch_names)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert out.shape == (lazy.n_times, n_channels)
    assert isinstance(out, np.memmap)
    assert peak < 0.6 * whole  # a block of 30 s of 240, in a few copies
    np.testing.assert_allclose(np.asarray(out[:100]).sum(axis=1), 0, atol=1e-9)
