import numpy as np
import pytest
from scipy.signal import welch

from bids_ai.simulate import eeg_artefacts as artefacts
from bids_ai.simulate import eeg_rhythm as rhythm
from bids_ai.simulate.eeg_forward import CorticalSheet, Leadfield

RATE = 250.0


@pytest.fixture(scope="module")
def clock() -> artefacts.Clock:
    return artefacts.Clock(int(240 * RATE), RATE, rhythm.eye_blocks(240.0, 30.0))


def when(clock: artefacts.Clock, *, closed: bool) -> np.ndarray:
    """More than half a second away from the turns."""
    return np.any(
        [
            (clock.times_s > block.onset_s + 1.0) & (clock.times_s < block.onset_s + block.duration_s - 1.0)
            for block in clock.stretches(closed=closed)
        ],
        axis=0,
    )


def test_blocks_cover_the_recording_by_turns():
    blocks = rhythm.eye_blocks(50.0, 20.0)
    assert [(block.onset_s, block.duration_s, block.name) for block in blocks] == [
        (0.0, 20.0, "eyes_closed"),
        (20.0, 20.0, "eyes_open"),
        (40.0, 10.0, "eyes_closed"),
    ]


def test_blinks_come_with_open_eyes_at_their_rate_and_height(clock):
    made = artefacts.blinks(clock, np.ones(5), np.random.default_rng(0))
    found = [one for one in made.occurrences if one.name == "blink"]
    # 17 per minute over two minutes of open eyes, less the pauses at the turns.
    assert 20 < len(found) < 46
    open_eyes = clock.stretches(closed=False)
    for one in found:
        assert any(block.onset_s < one.onset_s < block.onset_s + block.duration_s for block in open_eyes)
        span = (clock.times_s >= one.onset_s) & (clock.times_s <= one.onset_s + one.duration_s)
        course = made.courses[span, 0]
        assert np.ptp(course) == pytest.approx(one.height_uv, rel=0.05)
        assert 100.0 <= one.height_uv <= 200.0
    onsets = np.array([one.onset_s for one in found])
    assert np.diff(onsets).min() > 0.8
    assert sum(one.name == "lid_closing" for one in made.occurrences) == 3
    assert sum(one.name == "lid_opening" for one in made.occurrences) == 4
    assert made.potential_uv.shape == (clock.n_times, 5)


def test_open_eyes_jump_and_closed_eyes_roll(clock):
    made = artefacts.eye_movements(clock, np.array([1.0, -1.0]), np.zeros(2), np.random.default_rng(1))
    fast = np.abs(np.diff(made.courses[:, 0])) > 2.0
    assert fast[when(clock, closed=False)[1:]].sum() > 50
    assert not fast[when(clock, closed=True)[1:]].any()
    slow = made.courses[when(clock, closed=True), 0]
    assert 8.0 < slow.std() < 25.0
    frequency, power = welch(slow, RATE, nperseg=int(20 * RATE))
    assert power[(frequency > 0.1) & (frequency < 0.6)].sum() > 0.8 * power.sum()
    np.testing.assert_allclose(made.potential_uv[:, 0], -made.potential_uv[:, 1])


def test_muscle_bursts_of_one_side_have_the_band_of_muscle(clock):
    rng = np.random.default_rng(2)
    made = artefacts.muscle(clock, np.eye(4), (-1, -1, 1, 1), rng)
    burst = max((one for one in made.occurrences if one.name == "muscle_left"), key=lambda one: one.duration_s)
    span = (clock.times_s > burst.onset_s + 0.1) & (clock.times_s < burst.onset_s + burst.duration_s - 0.1)
    left, right = made.courses[span, :2].std(), made.courses[span, 2:].std()
    assert left > 4.0 * right
    frequency, power = welch(made.courses[:, 0], RATE, nperseg=500)
    assert power[(frequency > 18.0) & (frequency < 115.0)].sum() > 0.95 * power.sum()
    assert 15 < len(made.occurrences) < 45


def test_mains_is_a_line_and_drift_is_slow(clock):
    fields = artefacts.electrode_noise(clock, 6, np.random.default_rng(3))
    frequency, power = welch(fields["mains"], RATE, nperseg=2500, axis=0)
    assert (frequency[power.argmax(axis=0)] == 50.0).all()
    assert 0.3 < np.median(fields["mains"].std(axis=0)) < 6.0
    frequency, power = welch(fields["drift"], RATE, nperseg=7500, axis=0)
    assert (power[frequency < 0.5].sum(axis=0) > 0.9 * power.sum(axis=0)).all()
    assert 0.3 < fields["sensor"].std() < 1.2


def test_mains_above_the_filter_is_left_out():
    coarse = artefacts.Clock(1000, 100.0, rhythm.eye_blocks(10.0, 5.0))
    assert not artefacts.electrode_noise(coarse, 2, np.random.default_rng(0))["mains"].any()


def test_bad_channel_is_flat_or_noisy_and_the_others_are_untouched(clock):
    series = 10.0 * np.random.default_rng(4).standard_normal((clock.n_times, 3))
    for kind, low, high in (("flat", 0.0, 1.0), ("noisy", 40.0, np.inf)):
        out = artefacts.spoiled(series, 1, kind, clock, np.random.default_rng(5))
        assert low < out[:, 1].std() < high
        np.testing.assert_array_equal(out[:, [0, 2]], series[:, [0, 2]])


def test_alpha_gain_falls_fast_and_returns_slowly():
    blocks = rhythm.eye_blocks(60.0, 20.0)
    gain = rhythm.posterior_gain(blocks, 6000, 100.0)
    assert gain[0] == gain[1999] == rhythm.CLOSED_GAIN
    assert gain[2100] == pytest.approx(rhythm.OPEN_GAIN, abs=0.2)
    assert rhythm.OPEN_GAIN + 3.0 < gain[4050] < rhythm.CLOSED_GAIN - 3.0
    assert gain[4500] == pytest.approx(rhythm.CLOSED_GAIN, abs=0.1)


def test_gain_keeps_phase_and_lags_of_the_network():
    """A series that follows another by 40 ms does so after the gain, and a band outside alpha is as it was."""
    rng = np.random.default_rng(6)
    first = rhythm.coloured_noise(60010, 1, RATE, rng, 0.5, 1.0)[:, 0]
    activity = np.stack([first[10:], first[:-10]], axis=1)
    gain = rhythm.posterior_gain(rhythm.eye_blocks(240.0, 30.0), 60000, RATE)
    emitted = rhythm.emission(activity, gain, np.array([36.0, 36.0]), RATE)
    both = (emitted.everywhere + emitted.posterior) / rhythm.MOMENT_PER_MV
    lags = np.arange(-25, 26)
    correlation = [np.corrcoef(both[100:-100, 0], np.roll(both[:, 1], -lag)[100:-100])[0, 1] for lag in lags]
    assert lags[int(np.argmax(correlation))] == 10
    frequency, after = welch(both[:, 0], RATE, nperseg=500)
    _, before = welch(activity[:, 0], RATE, nperseg=500)
    beside = ((frequency >= 1.0) & (frequency < 4.0)) | (frequency > 25.0)
    np.testing.assert_allclose(after[beside], before[beside], rtol=0.1)
    assert (after / before)[frequency == 10.0] > 10.0


def test_what_a_region_emits_does_not_hang_on_its_size():
    """Twice the cortex, half the power per area that patches have in common: the same at a distance."""
    activity = np.random.default_rng(7).standard_normal((1000, 2))
    emitted = rhythm.emission(np.repeat(activity[:, :1], 2, axis=1), np.ones(1000), np.array([4000.0, 8000.0]), RATE)
    ratio = emitted.everywhere[:, 0].std() / emitted.everywhere[:, 1].std()
    assert ratio == pytest.approx(np.sqrt(2.0))


def test_background_falls_with_frequency_and_has_the_covariance_of_the_leadfield():
    rng = np.random.default_rng(8)
    dipoles = rng.standard_normal((300, 5))
    sheet = CorticalSheet(
        rng.standard_normal((300, 3)), np.tile([0.0, 0.0, 60.0], (300, 1)), np.zeros(300, int), np.ones(1)
    )
    noise = rhythm.background(Leadfield(dipoles.sum(axis=0)[None], dipoles, sheet), 60000, RATE, rng)
    expected = dipoles.T @ dipoles * rhythm.BACKGROUND_NAM_PER_MM2**2 / 60.0
    found = np.cov(noise.T)
    np.testing.assert_allclose(found, expected, atol=0.15 * np.abs(expected).max())
    frequency, power = welch(noise, RATE, nperseg=1000, axis=0)
    band = (frequency > 4.0) & (frequency < 40.0)
    slope = np.polyfit(np.log(frequency[band]), np.log(power[band].mean(axis=1)), 1)[0]
    assert slope == pytest.approx(-rhythm.BACKGROUND_EXPONENT, abs=0.15)


def test_occipital_cortex_is_posterior_and_the_cerebellum_is_not():
    places = np.array([[-12.0, -92.0, 5.0], [30.0, -90.0, 10.0], [-20.0, -80.0, -35.0], [40.0, -20.0, 50.0]])
    weight = rhythm.posterior_weight(places)
    assert (weight[:2] > 0.9).all()
    assert (weight[2:] < 0.05).all()
