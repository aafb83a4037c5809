"""A model of resting iEEG: it finds a delayed coupling, leaves gaps and lost channels out, and refuses too little."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.prediction.resting_model import RestingModel, resting_model
from bids_ai.errors import InputError

HZ = 512.0
#: From channel 0 to channel 2, samples at 512 Hz: five steps of the model.
DELAY = 10
NAMES = ("A1", "A2", "B1", "B2")
CONTACTS = np.repeat(np.arange(4)[:, None], 2, axis=1)


def rest(seconds: float, seed: int = 1) -> np.ndarray:
    """Relaxing noises (40 ms), of which the third hears the first with a delay; 0.1 s of every 4 s are missing."""
    rng = np.random.default_rng(seed)
    n, keep = round(seconds * HZ), np.exp(-1 / (0.04 * HZ))
    noise = rng.standard_normal((n, 4))
    out = np.zeros((n, 4))
    for t in range(DELAY, n):
        out[t] = keep * out[t - 1] + noise[t]
        out[t, 2] += 0.1 * out[t - DELAY, 0]
    out[(np.arange(n) / HZ) % 4 < 0.1] = np.nan
    return 20 * out


@pytest.fixture(scope="module")
def found() -> RestingModel:
    return resting_model([rest(90), rest(30, seed=2)], HZ, NAMES, CONTACTS, 5)


def test_push_of_a_contact_arrives_late_at_its_target(found: RestingModel) -> None:
    assert found.impulses.shape == (5, 4, 128)
    assert_allclose(found.impulse_times_s[[0, -1]], [1 / 256, 0.5])
    wave = found.impulses[0, 2]
    # What arrives relaxes as slowly as what was sent: the largest value lies 40 ms after the arrival (t exp(-t / tau)).
    assert abs(found.impulse_times_s[wave.argmax()] - (DELAY / HZ + 0.04)) < 0.015
    others = np.abs(found.impulses[:4]).max(axis=-1)
    others[[0, 1, 2, 3, 0], [0, 1, 2, 3, 2]] = 0.0
    assert wave.max() > 4 * others.max()
    assert np.isnan(found.impulses[4]).all()


def test_effective_connectivity_has_sources_in_rows(found: RestingModel) -> None:
    off = ~np.eye(4, dtype=bool)
    assert np.isnan(found.ec[~off]).all()
    assert np.unravel_index(np.nanargmax(np.abs(found.ec)), (4, 4)) == (0, 2)


def test_description_can_be_written_and_tells_what_was_used(found: RestingModel) -> None:
    told = json.loads(json.dumps(found.description))
    assert told["SamplingFrequency"] == 256
    # Each stretch of 3.9 s loses its beginning and an edge.
    assert told["Seconds"] == pytest.approx(120 * (3.9 - 0.35) / 4, rel=0.02)
    assert told["Stretches"] == 31
    assert told["Gate"] in ("reliable", "unreliable")


def test_lost_channel_is_left_out_and_the_others_stay(found: RestingModel) -> None:
    runs = [rest(90), rest(30, seed=2)]
    runs[0][:, 1] = np.nan
    less = resting_model(runs, HZ, NAMES, CONTACTS, 5)
    assert np.isnan(less.impulses[1]).all()
    # 20 / sqrt(1 - keep^2) by construction, less what the high-pass takes.
    assert_allclose(less.channel_sd[[0, 3]], 20 / np.sqrt(1 - np.exp(-2 / (0.04 * HZ))), rtol=0.25)
    assert np.isnan(less.channel_sd[1])
    assert np.isnan(less.impulses[:, 1]).all()
    assert np.isfinite(less.impulses[0, 2]).all()
    assert list(less.description["ChannelsLeftOut"]) == ["A2"]


def test_line_noise_is_taken_off() -> None:
    signal = rest(70)
    line = 30 * np.sin(2 * np.pi * 50 * np.arange(len(signal)) / HZ)[:, None]
    without = resting_model([signal], HZ, NAMES, CONTACTS, 4, line_hz=50.0)
    cleaned = resting_model([signal + line], HZ, NAMES, CONTACTS, 4, line_hz=50.0)
    assert_allclose(cleaned.impulses, without.impulses, atol=0.02)


def test_same_again(found: RestingModel) -> None:
    again = resting_model([rest(90), rest(30, seed=2)], HZ, NAMES, CONTACTS, 5)
    assert_array_equal(again.impulses, found.impulses)


def test_too_little_is_refused_with_numbers() -> None:
    with pytest.raises(InputError, match=r"rest: \d+ s of stimulation-free signal .* wants 30 s"):
        resting_model([rest(25)], HZ, NAMES, CONTACTS, 4)


def test_slow_recording_is_refused() -> None:
    with pytest.raises(InputError, match="200 Hz or more"):
        resting_model([rest(70)], 128.0, NAMES, CONTACTS, 4)
