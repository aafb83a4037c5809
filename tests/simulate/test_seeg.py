from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt, welch

from bids_ai.simulate import seeg
from bids_ai.simulate.electrodes import grey_voxels, implant
from bids_ai.simulate.seeg import Amplifier, Surroundings, choose_montage, contact_gains, upsampled

HZ = 512.0


@pytest.fixture(scope="module")
def contacts(seeg_patient):
    return implant(seeg_patient, np.random.default_rng(1), size="small")


@pytest.fixture(scope="module")
def gains(seeg_patient, contacts):
    return contact_gains(seeg_patient, contacts.positions_mm)


@pytest.fixture(scope="module")
def montage(contacts, gains):
    return choose_montage(contacts, gains, np.random.default_rng(2), 1)


@pytest.fixture(scope="module")
def surroundings(contacts, montage):
    source = Surroundings(contacts, montage, HZ, np.random.default_rng(3))
    return source.next(round(60 * HZ))


def distances(patient, positions):
    points, _, region = grey_voxels(patient)
    rows = [
        [np.linalg.norm(points[region == r] - place, axis=1).min() for r in range(patient.n_regions)]
        for place in positions
    ]
    return np.array(rows)


def test_gain_falls_with_distance(seeg_patient, contacts, gains):
    apart = distances(seeg_patient, contacts.positions_mm)
    edges = (0, 5, 15, 30, 60)
    sizes = [np.median(np.abs(gains)[(apart >= a) & (apart < b)]) for a, b in pairwise(edges)]
    assert all(later < 0.5 * sooner for sooner, later in pairwise(sizes))
    # Tens of microvolts and more for each mV of activity in the region of a contact, nothing at the other side.
    assert 30 < sizes[0] < 300
    assert sizes[-1] < 2


def test_one_voxel_gives_the_field_of_a_dipole(seeg_patient):
    """All labels but one removed; on the axis of the dipole, potential falls with the square of the distance."""
    points, _, _ = grey_voxels(seeg_patient)
    normals = seeg._outward_normals(seeg_patient)
    clear = int(np.flatnonzero(np.isclose(np.linalg.norm(normals, axis=1), 1.0))[0])
    at = tuple(np.argwhere((seeg_patient.labels > 0) & (seeg_patient.phantom.fractions["GM"] > 0.05))[clear])
    labels = np.zeros_like(seeg_patient.labels)
    labels[at] = 1
    single = replace(seeg_patient, labels=labels)
    far = np.array([20.0, 40.0])
    out = contact_gains(single, points[clear] + far[:, None] * normals[clear])[:, 0]
    assert (out < 0).all()  # excitation is negative towards the surface
    inwards = contact_gains(single, points[clear] - far[:, None] * normals[clear])[:, 0]
    np.testing.assert_allclose(inwards, -out)
    geometric = far / (far**2 + seeg.NEAR_MM**2) ** 1.5 * np.exp(-far / seeg.SYNCHRONY_MM)
    assert out[1] / out[0] == pytest.approx(geometric[1] / geometric[0], rel=1e-6)


def test_reference_is_a_quiet_contact_in_white_matter(contacts, gains, montage):
    loud = np.linalg.norm(gains, axis=1)
    assert contacts.tissue[montage.reference] == "WM"
    white = contacts.fractions[:, 1] > 0.8
    assert loud[montage.reference] == loud[white].min()
    assert montage.reference not in montage.channels
    assert np.isin(montage.bad, montage.channels).all()


def test_background_falls_with_frequency_and_is_larger_in_grey_matter(contacts, montage, surroundings):
    good = np.setdiff1d(np.arange(len(contacts)), montage.bad)
    frequency, power = welch(surroundings[:, good], HZ, nperseg=2048, axis=0)
    band = (frequency > 2) & (frequency < 40)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band].mean(axis=1)), 1)[0]
    assert -2.2 < slope < -1.0
    grey = contacts.fractions[good, 0]
    size = surroundings[:, good].std(axis=0)
    assert size[grey > 0.8].mean() > 1.5 * size[grey < 0.2].mean()
    assert 5 < np.median(size) < 60


def test_line_noise_and_the_bad_contact(contacts, montage, surroundings):
    frequency, power = welch(surroundings, HZ, nperseg=2048, axis=0)
    line = power[np.abs(frequency - 50) < 0.6].max(axis=0)
    beside = power[(np.abs(frequency - 50) > 2) & (np.abs(frequency - 50) < 5)].mean(axis=0)
    assert (line > 5 * beside).mean() > 0.9
    assert line[montage.bad[0]] > 20 * np.median(line)


def test_background_is_shared_by_neighbours_only(contacts, montage, surroundings):
    good = np.setdiff1d(np.arange(len(contacts)), montage.bad)
    # Without line noise, which all contacts share.
    low_pass = butter(4, 25.0, fs=HZ, output="sos")
    related = np.corrcoef(sosfiltfilt(low_pass, surroundings[:, good], axis=0).T)
    apart = np.linalg.norm(contacts.positions_mm[good][:, None] - contacts.positions_mm[good], axis=-1)
    near = (apart > 0) & (apart < 4)
    assert related[near].mean() > 0.3
    assert abs(related[apart > 40].mean()) < 0.1


def test_pieces_are_one_record(contacts, montage):
    def record(lengths):
        source = Surroundings(contacts, montage, HZ, np.random.default_rng(5))
        amplifier = Amplifier(montage, HZ)
        return np.concatenate([amplifier.next(source.next(length)) for length in lengths])

    whole = record([600])
    assert whole.shape == (600, len(contacts) - 1)
    assert whole.dtype == np.int16
    # The noise is drawn piece by piece, so that other pieces are another record; their filters go on without a step.
    pieces = record([300, 300])
    steps = np.abs(np.diff(pieces.astype(float), axis=0))
    assert steps[299].mean() < 1.5 * steps.mean()


def test_amplifier_subtracts_the_reference_passes_fast_and_clips(contacts, montage):
    times = np.arange(2048) / HZ
    common = 300.0 * np.sin(2 * np.pi * 3 * times)[:, None] + np.zeros(len(contacts))
    channel = int(montage.channels[0])
    signal = common.copy()
    signal[:, channel] += 100.0 * np.sin(2 * np.pi * 10 * times) + 5000.0
    signal[1000, channel] += 1e6
    out = Amplifier(montage, HZ).next(signal) * seeg.RESOLUTION_UV
    assert np.abs(out[:, 1:]).max() == 0.0
    assert np.abs(out[:900, 0]).max() == pytest.approx(100.0, rel=0.05)
    assert out[1000, 0] == pytest.approx(32767 * seeg.RESOLUTION_UV)


def test_upsampling_keeps_a_slow_wave():
    times = np.arange(512) / 512.0
    wave = np.sin(2 * np.pi * 10 * times)[:, None]
    fine = upsampled(wave, 4)
    assert len(fine) == 2048
    inner = slice(200, -200)
    expected = np.sin(2 * np.pi * 10 * np.arange(2048) / 2048.0)
    np.testing.assert_allclose(fine[inner, 0], expected[inner], atol=0.01)
