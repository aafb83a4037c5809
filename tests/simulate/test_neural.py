import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import spearmanr

from bids_ai.errors import InputError
from bids_ai.simulate import neural
from bids_ai.simulate.connectome import Connectome, group_connectome
from bids_ai.simulate.neural import Columns, pulse_responses, regional_columns, rest_activity, true_responses

HZ = 512.0


@pytest.fixture(scope="module")
def brain():
    """Twelve regions, six on each side, from back to front."""
    rng = np.random.default_rng(1)
    half = np.c_[rng.uniform(20, 60, 6), np.linspace(-90, 60, 6), rng.uniform(-20, 60, 6)]
    centroids = np.concatenate([half, half * [-1, 1, 1]])
    partners = np.r_[np.arange(6, 12), np.arange(6)]
    return group_connectome(centroids, partners, np.random.default_rng(2), density=0.35), centroids


@pytest.fixture(scope="module")
def columns(brain):
    return regional_columns(12, np.random.default_rng(3), centroids_mm=brain[1])


@pytest.fixture(scope="module")
def truth(brain, columns):
    return true_responses(brain[0], 0.2 * np.eye(12), 0.6, HZ, np.random.default_rng(4), columns=columns, n_states=3)


@pytest.fixture(scope="module")
def rest(brain, columns):
    return rest_activity(brain[0], 24.0, HZ, np.random.default_rng(5), columns=columns)


@pytest.fixture(scope="module")
def star():
    """One source and seven targets that differ in weight, then in delay; responses to two doses, at 1024 Hz."""
    weights, lengths = np.zeros((8, 8)), np.full((8, 8), np.nan)
    weights[0, 1:] = [0.05, 0.1, 0.3, 0.0, 0.3, 0.3, 0.3]
    lengths[0, 1:] = lengths[1:, 0] = 6000.0 * np.array([0.01, 0.01, 0.01, 0.01, 0.005, 0.015, 0.025])
    alike = Columns(np.full(8, 108.0), np.full(8, 1.2), np.full(8, 108.0), np.full(8, 0.3))
    doses = np.outer([0.2, 0.4], np.eye(8)[0])
    rng = np.random.default_rng(1)
    return true_responses(Connectome(weights, lengths), doses, 0.15, 1024.0, rng, columns=alike, n_states=2)


def test_rest_is_alpha_behind_and_faster_and_weaker_in_front(rest, brain):
    frequency, power = welch(rest, HZ, nperseg=1024, axis=0)
    band = (frequency >= 6) & (frequency <= 30)
    peak = frequency[band][power[band].argmax(axis=0)]
    order = brain[1][:, 1].argsort()
    behind, front = order[:4], order[-4:]
    assert (peak[behind] >= 8).all()
    assert (peak[behind] <= 13).all()
    centre = (frequency[band] @ power[band]) / power[band].sum(axis=0)
    assert centre[front].mean() > centre[behind].mean() + 1
    alpha = power[(frequency > 8) & (frequency < 13)].sum(axis=0)
    assert alpha[front].max() < alpha[behind].min()


def test_rest_stays_at_its_working_point(rest):
    """No column drifts off or falls into the slow spikes that the model also knows, of many mV."""
    assert np.abs(rest.mean(axis=0)).max() < 0.1
    assert (rest.std(axis=0) > 0.1).all()
    assert np.abs(rest).max() < 2.0


def test_rest_travels_by_the_bundles_and_their_delays():
    """What the source fires by chance is in the potential of its targets a delay later, and not in reverse."""
    weights, lengths = np.zeros((3, 3)), np.full((3, 3), np.nan)
    weights[0, 1:] = 0.4
    lengths[0, 1:] = lengths[1:, 0] = 6000.0 * np.array([0.005, 0.025])
    alike = Columns(np.full(3, 108.0), np.full(3, 1.2), np.full(3, 108.0), np.full(3, 0.3))
    activity = rest_activity(Connectome(weights, lengths), 60.0, HZ, np.random.default_rng(1), columns=alike)
    first = activity[:, 0] / activity[:, 0].std()
    peaks = []
    for target in (1, 2):
        other = activity[:, target] / activity[:, target].std()
        lags = np.arange(-51, 52)
        shared = np.array([np.mean(first[51:-51] * other[51 + lag : len(other) - 51 + lag]) for lag in lags])
        peaks.append(lags[shared.argmax()] / HZ)
        assert shared.max() > 0.3
    # Slow cells hear more of others than of their own region, so that both come somewhat later than the delay.
    assert 0.005 <= peaks[0] < 0.015
    assert peaks[1] - peaks[0] == pytest.approx(0.020, abs=0.004)


def test_takes_are_joined_without_a_seam(rest):
    """Where takes overlap, power and steps are those of elsewhere."""
    edges = np.linspace(0, len(rest), 3).astype(int)[1:-1]
    seams = np.concatenate([np.arange(edge - 128, edge + 128) for edge in edges])
    assert rest[seams].var() == pytest.approx(rest.var(), rel=0.25)
    steps = np.abs(np.diff(rest, axis=0))
    assert steps[seams].max() <= steps.max()
    assert steps[seams].mean() == pytest.approx(steps.mean(), rel=0.15)


def test_first_wave_follows_the_conduction_delay(star):
    latency = {}
    for target, delay in ((5, 0.005), (6, 0.015), (7, 0.025)):
        wave = star[0, :, target]
        latency[delay] = (wave[:60].argmax() + 1) / 1024.0
        assert 0.010 < latency[delay] < 0.050
        # Nothing arrives before the fastest axons.
        assert np.abs(wave[: int(0.5 * delay * 1024)]).max(initial=0.0) < 0.01 * wave.max()
    assert latency[0.025] - latency[0.005] == pytest.approx(0.020, abs=0.003)


def test_first_wave_grows_with_connection_and_dose(star):
    peaks = star[0].max(axis=0)
    assert peaks[2] == pytest.approx(2 * peaks[1], rel=0.15)
    assert peaks[3] > 2.2 * peaks[2]
    assert star[1, :, 2].max() > 1.6 * peaks[2]
    assert np.abs(star[:, :, 4]).max() == 0.0


def test_second_wave_is_slower_and_dies_away(truth, brain):
    """The first wave turns over within 50 ms; a slow one of the other sign peaks between 50 and 300 ms."""
    strong = np.argwhere(brain[0].weights > 0.15)
    assert len(strong) > 10
    latency = []
    for source, target in strong:
        wave = truth[source, :, target]
        first = wave[: int(0.05 * HZ)].argmax()
        second = first + wave[first : int(0.3 * HZ)].argmin()
        latency.append(second / HZ)
        assert 0.05 < second / HZ < 0.3
        assert 0.1 * wave[first] < -wave[second] < wave[first]
        # Slower: half of its depth lasts longer than half of the height of the first.
        assert (wave < wave[second] / 2).sum() > (wave[: int(0.05 * HZ)] > wave[first] / 2).sum()
        assert np.abs(wave[-20:]).max() < 0.2 * wave[first]
    assert 0.1 < np.median(latency) < 0.25


def test_true_responses_follow_the_directed_weights(truth, brain):
    weights = brain[0].weights
    times = (np.arange(truth.shape[1]) + 1) / HZ
    size = np.sqrt((truth[:, (times > 0.009) & (times < 0.09)] ** 2).mean(axis=1))
    connected = weights > 0
    assert spearmanr(size[connected], weights[connected])[0] > 0.95
    directed = connected & (weights.T == 0)
    assert (size[directed] > size.T[directed]).all()
    # Regions without a bundle respond as well, through others.
    apart = ~connected & ~np.eye(12, dtype=bool)
    assert 0.0 < np.median(size[apart]) < 0.3 * np.median(size[connected])


def test_pulses_in_ongoing_activity_average_to_the_true_response(brain, columns, truth):
    times = 0.5 + 0.6 * np.arange(20)
    doses = np.zeros((1, 20, 12))
    doses[..., 2] = 0.2
    duration = 12.5
    taken = pulse_responses(brain[0], doses, times[None], duration, HZ, np.random.default_rng(6), columns=columns)[0]
    onsets = np.rint(times * HZ).astype(int)
    epochs = np.stack([taken[onset : onset + 154] for onset in onsets])
    target = int(np.argmax(np.where(np.arange(12) == 2, 0, np.abs(truth[2]).max(axis=0))))
    mean = epochs.mean(axis=0)[:, target]
    assert np.corrcoef(mean, truth[2, :154, target])[0, 1] > 0.9


def test_same_seed_same_activity(brain, columns):
    twice = [rest_activity(brain[0], 1.0, 256.0, np.random.default_rng(7), columns=columns) for _ in range(2)]
    assert np.array_equal(*twice)
    assert twice[0].shape == (256, 12)


def test_doses_of_another_shape_are_refused(brain):
    with pytest.raises(InputError, match=r"n_takes, n_pulses, 12"):
        pulse_responses(brain[0], np.zeros((1, 2, 5)), np.zeros((1, 2)), 1.0, HZ, np.random.default_rng(0))


def test_sewn_takes_keep_variance_and_place():
    edges = np.array([0, 3500, 6000, 10000])
    takes = np.random.default_rng(8).standard_normal((3, 5000, 1))
    out = neural.sewn(takes, edges, 1000)
    assert len(out) == 10000
    assert np.array_equal(out[:3000], takes[0, 500:3500])
    assert np.array_equal(out[4000:5500], takes[1, 1000:2500])
    assert np.array_equal(out[6500:], takes[2, 1000:4500])
    assert out[3000:4000].var() == pytest.approx(1.0, abs=0.15)
