import json

import mne
import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_ica, eeg_segments
from bids_ai.preprocess.eeg import EegSettings, EpochSettings, preprocess_eeg
from tests.preprocess import eeg_phantom


@pytest.fixture(scope="module")
def cleaned():
    raw, cortex, course = eeg_phantom.recording(seconds=60.0, rate=200.0)
    raw._data[raw.ch_names.index("C3")] += 40e-6 * np.random.default_rng(5).standard_normal(raw.n_times)
    before = raw.get_data()
    # Labels of a phantom mean little but for the eyes.
    outputs = preprocess_eeg(raw, EegSettings(seed=1, remove=("eye",)))
    assert (raw.get_data() == before).all()
    assert raw.info["bads"] == []
    return outputs, raw, cortex, course


def test_blinks_go_and_alpha_stays(cleaned):
    outputs, raw, cortex, course = cleaned
    good = [name for name in raw.ch_names if name != "C3"]
    rows = [raw.ch_names.index(name) for name in good]

    def band(series_uv, low, high):
        filtered = mne.filter.filter_data(series_uv[:, rows].T, 200.0, low, high, verbose="error").T
        return filtered - filtered.mean(axis=1, keepdims=True)

    course = mne.filter.filter_data(course, 200.0, 0.5, 45.0, verbose="error")
    brain, before, after = (
        band(series, 0.5, 45.0) for series in (cortex, raw.get_data().T * 1e6, outputs.raw.get_data().T * 1e6)
    )
    left, planted = (((course @ (series - brain)) ** 2).sum() for series in (after, before))
    assert left < 0.1 * planted
    alpha, found = band(cortex, 8.0, 13.0), band(outputs.raw.get_data().T * 1e6, 8.0, 13.0)
    gain = (alpha * found).sum() / (alpha**2).sum()
    # Virtual heads keep 98 %; a minute of 31 channels parts the eyes from the rest a little less well.
    assert 0.92 < gain**2 < 1.05


def test_components_have_labels_and_shares(cleaned):
    table = cleaned[0].components
    removed = table[table["removed"]]
    assert set(removed["label"]) == {"eye"}
    assert (removed["probability"] >= 0.7).all()
    np.testing.assert_allclose(table.filter(like="p_").sum(axis=1), 1.0, atol=1e-4)
    # Sources are uncorrelated and nearly all of the data is decomposed.
    assert 0.9 < table["explained_variance"].sum() < 1.1


def test_bad_channel_is_interpolated_from_its_neighbours(cleaned):
    outputs, raw, cortex, _ = cleaned
    bad = outputs.quality["bad_channels"]
    assert bad["interpolated"] == ["C3"]
    assert outputs.raw.info["bads"] == []
    row = raw.ch_names.index("C3")
    wanted = mne.filter.filter_data(cortex.T, 200.0, 0.5, 45.0, verbose="error").T
    wanted = wanted - wanted.mean(axis=1, keepdims=True)
    assert np.corrcoef(outputs.raw.get_data()[row], wanted[:, row])[0, 1] > 0.8


def test_record_says_everything(cleaned):
    quality = cleaned[0].quality
    json.dumps(quality)
    assert quality["reference"] == "average"
    assert quality["positions"]["source"] == "given"
    assert quality["line_noise"]["frequency_hz"] is None
    assert quality["ica"]["n_removed"] == {"eye": int(cleaned[0].components["removed"].sum())}
    assert quality["left_out"] == []
    np.testing.assert_allclose(cleaned[0].raw.get_data().mean(axis=0), 0.0, atol=1e-12)


def test_same_seed_same_bytes():
    raw, _, _ = eeg_phantom.recording(eeg_phantom.NAMES[:12], seconds=15.0, rate=100.0)
    one, other = (preprocess_eeg(raw, EegSettings(seed=3)).raw.get_data() for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_one_channel_at_a_low_rate():
    raw, _, _ = eeg_phantom.recording(["Oz"], seconds=20.0, rate=100.0, with_blinks=False)
    outputs = preprocess_eeg(raw)
    assert outputs.raw.get_data().shape == (1, 2000)
    assert np.isfinite(outputs.raw.get_data()).all()
    assert outputs.raw.get_data().std() > 1e-6
    said = " ".join(outputs.quality["left_out"])
    assert "ICA: 1 good channels; 8 or more" in said
    assert "BAD_muscle: left out: 100 Hz" in said
    assert "average reference: as recorded: 1 good" in said


def test_two_seconds():
    raw, _, _ = eeg_phantom.recording(seconds=2.0, with_blinks=False)
    outputs = preprocess_eeg(raw)
    said = " ".join(outputs.quality["left_out"])
    assert "ICA: 2.0 s of good data" in said
    assert "high-pass: left out: 2 s are too short" in said
    assert np.isfinite(outputs.raw.get_data()).all()


def test_channels_that_are_all_unlike_are_a_finding_about_the_recording():
    """An amplifier without a head: nothing to compare with, and nothing is taken away but what is flat."""
    raw, _, _ = eeg_phantom.recording(seconds=12.0, rate=100.0, with_blinks=False)
    raw._data = 1e-5 * np.random.default_rng(0).standard_normal(raw._data.shape)
    raw._data[3] = 0.0
    quality = preprocess_eeg(raw, EegSettings(ica=False)).quality
    assert quality["bad_channels"]["found"] == {"AF4": ["flat: constant"]}
    assert any(
        "31 channels are unlike the others" in said or "32 channels are unlike" in said for said in quality["left_out"]
    )


def test_names_without_a_place():
    raw, _, _ = eeg_phantom.recording(seconds=12.0, rate=100.0, montage=False)
    raw.rename_channels({name: f"E{number}" for number, name in enumerate(raw.ch_names)})
    raw.info["bads"] = ["E3"]
    outputs = preprocess_eeg(raw)
    assert outputs.quality["positions"]["n_with_position"] == 0
    assert outputs.quality["bad_channels"]["left_bad"] == ["E3"]
    assert outputs.quality["ica"]["note"].startswith("not labelled")
    assert outputs.quality["ica"]["n_removed"] == {}
    assert outputs.components["probability"].isna().all()


def test_missing_samples_are_marked_and_spread_nowhere():
    raw, _, _ = eeg_phantom.recording(eeg_phantom.NAMES[:6], seconds=20.0, rate=100.0, with_blinks=False)
    raw._data[2, 500:600] = np.nan
    outputs = preprocess_eeg(raw, EegSettings(ica=False))
    assert outputs.quality["missing_samples"] == 100
    assert np.isfinite(outputs.raw.get_data()).all()
    np.testing.assert_array_equal(np.flatnonzero(~outputs.good), np.arange(500, 600))


def test_epochs_of_events():
    raw, _, _ = eeg_phantom.recording(eeg_phantom.NAMES[:6], seconds=20.0, rate=100.0, with_blinks=False)
    raw.set_annotations(mne.Annotations([2, 5, 8, 11, 10.8], [0, 0, 0, 0, 1], ["a", "b", "a", "a", "BAD_x"]))
    outputs = preprocess_eeg(raw, EegSettings(ica=False, epochs=EpochSettings(events=("a", "c"))))
    assert outputs.quality["epochs"] == {"planned": {"a": 3}, "kept": {"a": 2}}
    assert outputs.epochs.get_data().shape == (2, 6, 101)
    outputs = preprocess_eeg(raw, EegSettings(ica=False, epochs=EpochSettings(events=("c",))))
    assert "no event of ['c']" in outputs.quality["epochs"]["left_out"]


def test_other_channels_are_named():
    raw, _, _ = eeg_phantom.recording(eeg_phantom.NAMES[:6], seconds=8.0, rate=100.0)
    raw.set_channel_types({"Fp1": "eog"}, verbose="error")
    assert preprocess_eeg(raw).quality["other_channels"] == ["Fp1"]
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "misc"), verbose="error")
    with pytest.raises(InputError, match="EEG channels are wanted; the recording has misc"):
        preprocess_eeg(raw)


def test_settings_are_checked():
    with pytest.raises(InputError, match="high-pass < low-pass"):
        EegSettings(high_pass_hz=50.0)
    with pytest.raises(InputError, match="Components to remove"):
        EegSettings(remove=("brain",))
    with pytest.raises(InputError, match="0 to 1"):
        EegSettings(probability=80.0)


def test_muscle_is_marked_where_it_is():
    raw, _, _ = eeg_phantom.recording(seconds=30.0, rate=300.0, with_blinks=False)
    burst = slice(3000, 3600)
    noise = mne.filter.filter_data(np.random.default_rng(0).standard_normal(raw.n_times), 300.0, 60.0, 140.0)
    raw._data[:, burst] += 30e-6 * noise[burst]
    record = eeg_segments.mark_muscle(raw, 4.0)
    bad = ~eeg_segments.good_frames(raw)
    assert bad[burst].mean() > 0.9
    assert bad[:2900].sum() + bad[3700:].sum() < 100
    assert record["seconds"] == pytest.approx(bad.sum() / 300.0, abs=0.1)


def test_wide_windows():
    data = np.zeros((1000, 2))
    data[350, 1] = 300.0
    data[420, 0] = -300.0
    onset, duration = eeg_segments.wide_windows(data, 100.0, 200.0)
    np.testing.assert_allclose([onset, duration], [[3.0], [2.0]])


def test_number_of_components():
    assert eeg_ica.n_components(64, 75_000) == 61
    assert eeg_ica.n_components(19, 75_000) == 18
    assert eeg_ica.n_components(64, 2_000) == 10


def test_real_recording(test_data):
    """One minute of 16 channels whose names carry "EEG"."""
    folder = test_data / "bids-eeg-edf"
    if not folder.is_dir():
        pytest.skip("needs bids-eeg-edf below BIDS_AI_TEST_DATA")
    raw = mne.io.read_raw(next(folder.rglob("*_eeg.edf")), verbose="error")
    eeg = [name for name in raw.ch_names if name.upper().startswith("EEG")]
    raw.load_data(verbose="error").pick(eeg).set_channel_types(dict.fromkeys(eeg, "eeg"), verbose="error")
    outputs = preprocess_eeg(raw)
    assert outputs.quality["positions"]["source"].startswith("standard montage")
    assert outputs.quality["ica"]["done"]
    uv = outputs.raw.get_data() * 1e6
    # Slow drift is most of it as recorded (7 uV), and the data are smooth: half a microvolt is left.
    assert 0.2 < np.median(uv.std(axis=1)) < 5.0
