from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from bids_ai.ccep.epochs import Pulses, iter_sites, plan_sites
from bids_ai.ccep.responders import PseudoOnsetNull, benjamini_hochberg, pseudo_onsets, responders
from bids_ai.ccep.scan import make_scan
from bids_ai.ccep.tail import P_FLOOR, tail_p
from bids_ai.ccep.trials import Trials
from bids_ai.errors import InputError
from tests.ccep.signals import HZ, TIMES, bump, coloured

N_CHANNELS, N_SITES, N_PULSES = 16, 6, 10


class World:
    """Noise of slope 2 with pulses every five seconds, its null, and the trials."""

    def __init__(self) -> None:
        self.samples = (np.arange(N_SITES * N_PULSES) + 1) * round(5 * HZ)
        length = int(self.samples[-1] + 5 * HZ)
        self.data = coloured(np.random.default_rng(50), N_CHANNELS, length, 2.0)
        anodes = N_CHANNELS + 2 * np.repeat(np.arange(N_SITES), N_PULSES)
        self.pulses = Pulses(self.samples, anodes, anodes + 1)
        self.onsets = pseudo_onsets(self.samples, HZ, length, most=300)
        self.null = PseudoOnsetNull.from_recording(self.read, self.onsets, HZ, n_draws=1000, seed=1)
        sites = plan_sites(self.pulses, HZ, length)
        self.trials = [trials for _, trials, _ in iter_sites(self.read, sites, self.pulses, HZ)]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.data[:, start:stop]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def added(trials: Trials, wave: np.ndarray) -> Trials:
    return Trials(trials.data + wave, trials.times_s, trials.polarity)


def test_pseudo_onsets_keep_away_from_pulses(world: World) -> None:
    apart = world.onsets[:, None] - world.samples
    # Two seconds of quiet, then the half second of baseline; half a second of response before the next.
    assert not ((apart > -0.5 * HZ) & (apart < 2.5 * HZ)).any()
    assert len(world.onsets) == 300
    with pytest.raises(InputError, match="recording at rest"):
        pseudo_onsets(np.arange(1, 30) * 512, HZ, 30 * 512)


def test_noise_is_called_a_response_as_often_as_announced(world: World) -> None:
    p = np.array([world.null.test(trials).p for trials in world.trials])
    # 96 tests: .05 and three standard errors.
    assert (p < 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / p.size)
    assert 0.35 < np.median(p) < 0.65


@pytest.mark.parametrize(
    ("peak_uv", "at_s", "sd_s"), [(-100, 0.03, 0.008), (100, 0.03, 0.008), (-120, 0.18, 0.05)], ids=["N1", "P1", "slow"]
)
def test_waves_of_either_sign_and_length_are_found(world: World, peak_uv: float, at_s: float, sd_s: float) -> None:
    found = [world.null.test(added(trials, bump(peak_uv, at_s, sd_s))) for trials in world.trials]
    p, z = np.concatenate([one.p for one in found]), np.concatenate([one.z for one in found])
    assert ((p < 0.05) & (np.abs(z) >= 3)).mean() >= 0.9
    if sd_s < 0.01:
        assert np.median(np.sign(z)) == np.sign(peak_uv)
        assert abs(np.median([one.latency_ms for one in found]) - 30) < 5


def test_small_p_come_from_the_tail(world: World) -> None:
    strong = world.null.test(added(world.trials[0], bump(-400, 0.03, 0.008)))
    assert_allclose(strong.p, P_FLOOR)
    assert strong.statistic.min() > 10


def test_same_seed_same_draws_whatever_was_drawn_before() -> None:
    pool = np.random.default_rng(0).standard_normal((60, 2, len(make_scan(HZ))))
    first, again, other = (PseudoOnsetNull(pool, make_scan(HZ), n_draws=1000, seed=seed) for seed in (1, 1, 2))
    again.draws(5)
    assert_array_equal(again.draws(10), first.draws(10))
    assert (other.draws(10) != first.draws(10)).any()


def test_missing_channels_and_trials(world: World) -> None:
    data = world.trials[0].data.copy()
    data[:, 0] = np.nan
    data[5:, 1] = np.nan
    found = world.null.test(Trials(data, TIMES, world.trials[0].polarity))
    assert np.isnan([found.p[0], found.z[0], found.statistic[0], found.latency_ms[0]]).all()
    five = world.null.test(world.trials[0].pulses(np.arange(5)))
    assert found.p[1] == five.p[1]  # of five pulses, by the null of five


def test_gaps_of_a_channel_do_not_touch_others(world: World) -> None:
    gaps = world.data.copy()
    gaps[0, : gaps.shape[1] // 4] = np.nan
    gaps[1] = np.nan
    null = PseudoOnsetNull.from_recording(lambda start, stop: gaps[:3, start:stop], world.onsets, HZ, seed=1)
    full = PseudoOnsetNull.from_recording(lambda start, stop: world.data[:3, start:stop], world.onsets, HZ, seed=1)
    assert_allclose(null.draws(10)[:, 2], full.draws(10)[:, 2], rtol=1e-5)
    assert np.isfinite(null.draws(10)[:, 0]).all()
    assert np.isnan(null.draws(10)[:, 1]).all()
    few = Trials(world.trials[-1].data[:, :3], TIMES, world.trials[-1].polarity)
    assert_array_equal(np.isnan(null.test(few).p), [False, True, False])


def test_what_does_not_fit_is_refused(world: World) -> None:
    with pytest.raises(InputError, match="16 channels"):
        world.null.test(Trials(world.trials[0].data[:, :3], TIMES, world.trials[0].polarity))
    with pytest.raises(InputError, match="512 Hz"):
        world.null.test(Trials(world.trials[0].data, TIMES / 2, world.trials[0].polarity))
    with pytest.raises(InputError, match="longer"):
        world.null.draws(len(world.onsets))
    with pytest.raises(InputError, match="1000"):
        PseudoOnsetNull(np.zeros((50, 1, len(make_scan(HZ)))), make_scan(HZ), n_draws=100)


def test_scan_takes_off_offsets_and_steady_rise() -> None:
    scan = make_scan(HZ)
    offset = scan.apply(np.full(len(TIMES), 7.0), 512)
    assert_allclose(offset, 0.0, atol=1e-12)
    rise = scan.apply(TIMES * 1.0, 512)
    two_sided = (scan.base_start[:, 1] > 0) & (scan.stop - scan.start == round(0.05 * HZ))
    both = rise[two_sided] / rise[scan.base_start[:, 1] < 0].max()
    assert np.abs(both).max() < 0.35


def test_scan_sees_a_window_as_its_mean() -> None:
    scan = make_scan(HZ)
    k = int(np.flatnonzero(scan.stop - scan.start == round(0.05 * HZ))[0])
    wave = np.zeros(len(TIMES))
    wave[512 + scan.start[k] : 512 + scan.stop[k]] = 3.0
    assert_allclose(scan.apply(wave, 512)[k], 3.0)
    assert scan.start.min() / HZ >= 0.011


def test_tail_agrees_with_many_draws() -> None:
    # Largest of 200 Gaussians, whose distribution is known: p of 1e-4 from 2000 draws.
    rng = np.random.default_rng(8)
    draws = norm.isf(0.5 * (1 - rng.random((2000, 100)) ** (1 / 200)))
    p = tail_p(np.full(100, norm.isf(0.5 * (1 - (1 - 1e-4) ** (1 / 200)))), draws)
    assert 0.5e-4 < np.median(p) < 3e-4


def test_tail_counts_where_draws_tell() -> None:
    draws = np.linspace(0, 1, 1000)[:, None]
    assert_allclose(tail_p(np.array([0.5]), draws), 0.5, atol=0.002)
    assert np.isnan(tail_p(np.array([np.nan]), draws))[0]
    assert_allclose(tail_p(np.array([50.0]), draws), P_FLOOR)


def test_heavy_tails_are_not_taken_for_light_ones() -> None:
    rng = np.random.default_rng(9)
    draws = np.abs(rng.standard_t(3, (2000, 200)))
    p = tail_p(np.full(200, 12.92), draws)  # two-sided p of .001 for three degrees of freedom
    assert 0.5e-3 < np.median(p) < 2e-3


def test_false_discovery_rate_leaves_out_what_is_missing() -> None:
    p = np.array([[0.01, np.nan], [0.02, 0.5]])
    assert_allclose(benjamini_hochberg(p), [[0.03, np.nan], [0.03, 0.5]])
    assert np.isnan(benjamini_hochberg(np.full((2, 2), np.nan))).all()


def test_responder_needs_q_and_z() -> None:
    p = np.array([[1e-5, 1e-5, 0.9, np.nan]])
    responder, q = responders(p, np.array([[-4.0, 2.9, 5.0, 9.0]]))
    assert_array_equal(responder, [[1, 0, 0, np.nan]])
    assert_allclose(q[0, :2], 1.5e-5)
