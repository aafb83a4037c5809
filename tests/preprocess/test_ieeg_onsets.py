import mne
import numpy as np
import pytest

from bids_ai.preprocess.ieeg_onsets import snap_onsets

RATE = 2048.0
NAMES = ["A1", "A2", "A3", "A4"]


@pytest.fixture
def raw():
    """Slow noise, and a biphasic artefact of two samples at 1, 3, 5, 7 s, large on two of four channels."""
    rng = np.random.default_rng(0)
    data = 1e-6 * rng.standard_normal((4, round(9 * RATE))).cumsum(axis=1) / 3
    for onset in (1.0, 3.0, 5.0, 7.0):
        sample = round(onset * RATE)
        data[:2, sample : sample + 2] += np.array([5e-4, -4e-4])
    return mne.io.RawArray(data, mne.create_info(NAMES, RATE, "seeg", verbose="error"), verbose="error")


def test_onsets_are_moved_to_the_artefact(raw):
    off = np.array([0, -13, 7, 30]) / RATE
    found = snap_onsets(raw, NAMES, np.array([1.0, 3.0, 5.0, 7.0]) + off)
    np.testing.assert_allclose(found.onsets_s, [1.0, 3.0, 5.0, 7.0], atol=0.5 / RATE)
    np.testing.assert_allclose(found.shifts_s, -off, atol=0.5 / RATE)
    assert [(finding.code, finding.count) for finding in found.findings] == [("onsets-moved", 3)]
    assert "by -14.6 to 6.3 ms" in found.findings[0].message


def test_pulses_without_an_artefact_stay(raw):
    onsets = [0.001, 2.0, np.nan, 5.0, 8.9999]
    found = snap_onsets(raw, NAMES, onsets)
    np.testing.assert_array_equal(found.onsets_s, onsets)
    assert np.isfinite(found.shifts_s).tolist() == [False, False, False, True, False]
    assert [(finding.code, finding.count) for finding in found.findings] == [("no-artefact", 3)]
