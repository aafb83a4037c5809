"""A whole recording at once: what responds, what is excluded, what is dropped."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.ccep.epochs import Pulses
from bids_ai.ccep.recording import CcepSettings, RecordingCcep, measure_recording
from bids_ai.errors import InputError
from tests.ccep.signals import HZ, bump, coloured

N_CHANNELS, N_PULSES = 12, 10
#: Site 0 is contacts 0 and 1, and channels 6 to 8 respond; site 1 is contacts 2 and 3, and none does.
RESPONDING = (6, 7, 8)


def world(n_second: int = N_PULSES) -> tuple[np.ndarray, Pulses]:
    number = N_PULSES + n_second
    samples = (np.arange(number) + 1) * round(5 * HZ)
    data = coloured(np.random.default_rng(70), N_CHANNELS, int(samples[-1] + 5 * HZ), 2.0)
    first = np.arange(number) < N_PULSES
    times = np.arange(round(0.5 * HZ)) / HZ
    wave = bump(-150.0, 0.03, 0.008, times)
    for sample in samples[first]:
        for channel in RESPONDING:
            data[channel, sample : sample + len(times)] += wave
    anodes = np.where(first, 0, 2)
    return data, Pulses(samples, anodes, anodes + 1)


def measured(settings: CcepSettings | None = None, distances: np.ndarray | None = None) -> RecordingCcep:
    data, pulses = world()
    return measure_recording(
        lambda start, stop: data[:, start:stop],
        pulses,
        HZ,
        data.shape[1],
        distances_mm=distances,
        settings=settings or CcepSettings(n_draws=1000),
    )


@pytest.fixture(scope="module")
def found() -> RecordingCcep:
    distances = np.full((N_CHANNELS, N_CHANNELS), 40.0)
    distances[0, 7] = 9.0  # near one of the two stimulated contacts
    distances[1, 7] = 50.0
    distances[:, 11] = np.nan
    return measured(distances=distances)


def test_what_was_added_is_found_where_it_is_judged(found: RecordingCcep) -> None:
    responder = found.responder
    assert responder[0, [6, 8]].tolist() == [1.0, 1.0]
    # Too near, or of unknown place, or stimulated: not judged, and in no false discovery rate.
    assert np.isnan(responder[0, [0, 1, 7, 11]]).all()
    assert np.isnan(found.q[0, [0, 1, 7, 11]]).all()
    assert found.excluded[0].nonzero()[0].tolist() == [7, 11]
    others = [2, 3, 4, 5, 9, 10]
    assert np.nansum(responder[0, others]) == 0
    assert np.nansum(responder[1]) == 0
    assert found.latency_ms[0, 6] == pytest.approx(30, abs=6)
    assert found.features["n1_latency_ms"][0, 6] == pytest.approx(30, abs=4)
    assert found.n_pulses[0, [0, 6]].tolist() == [0, N_PULSES]


def test_averages_and_measures_are_those_of_the_trials(found: RecordingCcep) -> None:
    data, pulses = world()
    onsets = pulses.samples[:N_PULSES]
    at = found.times_s.searchsorted(0.03 - 1e-9)
    offset = round(found.times_s[at] * HZ)
    base = [np.median(data[6, s - round(0.5 * HZ) : s - round(0.02 * HZ)]) for s in onsets]
    expected = np.mean([data[6, s + offset] - b for s, b in zip(onsets, base, strict=True)])
    assert found.averages[0, 6, at] == pytest.approx(expected, abs=2e-6)
    assert set(found.features) >= {"rms_uv", "crp_tau_ms", "detected_crp", "detected_umcu-n1", "high_gamma_db"}


def test_the_same_seed_gives_the_same_answer() -> None:
    settings = CcepSettings(n_draws=1000, seed=5)
    np.testing.assert_array_equal(measured(settings).p, measured(settings).p)


def test_a_published_rule_may_decide() -> None:
    found = measured(CcepSettings(n_draws=1000, detectors=(), responder="umcu-n1"))
    np.testing.assert_array_equal(found.responder, found.features["detected_umcu-n1"])
    assert "detected_crp" not in found.features
    with pytest.raises(InputError, match="Unknown rule for responders 'n1'"):
        CcepSettings(responder="n1")


def test_sites_with_too_few_pulses_are_planned_not_measured() -> None:
    data, pulses = world(n_second=3)

    def read(start: int, stop: int) -> np.ndarray:
        return data[:, start:stop]

    settings = CcepSettings(n_draws=1000)
    found = measure_recording(read, pulses, HZ, data.shape[1], settings=settings)
    assert (len(found.planned), found.measured.tolist()) == (2, [0])
    few = Pulses(pulses.samples[-3:], pulses.anodes[-3:], pulses.cathodes[-3:])
    with pytest.raises(InputError, match="No site has 5 usable pulses; of 1 sites the best has 3"):
        measure_recording(read, few, HZ, data.shape[1], settings=settings)
