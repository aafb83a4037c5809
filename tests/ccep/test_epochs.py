import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.epochs import Pulses, iter_sites, plan_sites, prepared, read_site, without_artefact
from bids_ai.errors import InputError

HZ = 200.0


def pulses(seconds: list[float], pairs: list[tuple[int, int]], **options) -> Pulses:
    anodes, cathodes = np.array(pairs).T
    return Pulses(np.rint(np.array(seconds) * HZ).astype(int), anodes, cathodes, **options)


class Source:
    """A recording that counts what is read of it."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.longest = data, 0

    def __call__(self, start: int, stop: int) -> np.ndarray:
        self.longest = max(self.longest, stop - start)
        assert start >= 0
        assert stop <= self.data.shape[1]
        return self.data[:, start:stop]


def test_both_polarities_are_one_site_in_order_of_time() -> None:
    given = pulses([20, 5, 10, 15], [(3, 1), (1, 3), (3, 1), (2, 3)])
    sites = plan_sites(given, HZ, 6000)
    assert [site.contacts for site in sites] == [(1, 3), (2, 3)]
    assert_array_equal(sites[0].pulses, [1, 2, 0])
    assert_array_equal(sites[0].polarity, [1, -1, -1])


def test_dropped_pulses_have_their_reason() -> None:
    given = pulses(
        [0.5, 5, 6, 10, 10.8, 15, 29.5],
        [(0, 1)] * 7,
        faults=["", "", "", "", "", "artefact", ""],
    )
    (site,) = plan_sites(given, HZ, int(30 * HZ))
    assert_array_equal(site.pulses, [])
    assert {reason: which.tolist() for reason, which in site.dropped.items()} == {
        "another pulse within the epoch": [1, 3],
        "artefact": [5],
        "epoch not within the recording": [0, 6],
        "less than 3 s after another pulse": [2, 4],
    }
    with pytest.raises(InputError, match="1 artefact"):
        read_site(Source(np.zeros((2, 6000))), site, given, HZ)


def test_current_with_most_pulses_is_kept_or_every_one() -> None:
    given = pulses([5, 10, 15, 20], [(0, 1)] * 4, current_a=np.array([0.002, 0.004, 0.004, np.nan]))
    (site,) = plan_sites(given, HZ, 6000)
    assert site.current_a == 0.004
    assert_array_equal(site.pulses, [1, 2])
    every = plan_sites(given, HZ, 6000, every_current=True)
    assert [len(one.pulses) for one in every] == [1, 1, 2]
    assert np.isnan(every[0].current_a)


def test_trials_hold_what_was_recorded_around_each_pulse() -> None:
    rng = np.random.default_rng(0)
    source = Source(np.cumsum(1e-6 * rng.standard_normal((4, 6000)), axis=1))
    given = pulses([5, 10, 15], [(0, 1), (0, 1), (1, 0)])
    (site,) = plan_sites(given, HZ, 6000)
    trials, _ = read_site(source, site, given, HZ, blank_s=None, bad_channels=[3])
    assert trials.data.shape == (3, 4, 401)
    assert trials.data.dtype == np.float32
    assert source.longest == 401
    part = source.data[2, 1800:2201]
    expected = part - np.median(part[(trials.times_s >= -0.5) & (trials.times_s <= -0.02)])
    assert_allclose(trials.data[1, 2], expected, atol=1e-11)  # float32 of some microvolts
    # Stimulated contacts and the bad channel.
    assert_array_equal(np.isnan(trials.data).all(axis=(0, 2)), [True, True, False, True])


def test_bipolar_channels_of_a_stimulated_contact_are_nan() -> None:
    involves = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], bool)
    given = pulses([5], [(0, 1)])
    (site,) = plan_sites(given, HZ, 6000)
    source = Source(np.random.default_rng(0).standard_normal((3, 6000)) * 1e-6)
    trials, _ = read_site(source, site, given, HZ, involves=involves)
    assert_array_equal(trials.valid[0], [False, False, True])


def test_flat_and_huge_trials_are_rejected_in_their_channel() -> None:
    data = np.random.default_rng(0).standard_normal((5, 6000)) * 1e-6
    data[2, 900:1300] = 0.0  # flat around the first pulse
    data[3, 2050] = 0.004  # 4 mV after the second
    given = pulses([5, 10], [(0, 1), (0, 1)])
    (site,) = plan_sites(given, HZ, 6000)
    trials, rejected = read_site(Source(data), site, given, HZ)
    assert_array_equal(trials.valid[:, 2:], [[True, True, True], [True, False, True]])
    data[2, 700:1300] = 0.0
    trials, rejected = read_site(Source(data), site, given, HZ)
    assert_array_equal(trials.valid[:, 2:], [[False, True, True], [True, False, True]])
    assert_array_equal(rejected.counts["flat"], [0, 0, 1, 0, 0])
    assert_array_equal(rejected.counts["beyond 3000 uV"], [0, 0, 0, 1, 0])


def test_huge_artefact_is_blanked_not_rejected() -> None:
    data = np.random.default_rng(0).standard_normal((3, 6000)) * 1e-6
    data[2, 1000:1002] = 0.02  # 20 mV from 0 to 5 ms
    given = pulses([5], [(0, 1)])
    (site,) = plan_sites(given, HZ, 6000)
    trials, _ = read_site(Source(data), site, given, HZ)
    assert trials.valid[0, 2]
    assert np.abs(trials.data[0, 2]).max() < 1e-5


def test_line_over_the_artefact() -> None:
    times = np.arange(-10, 11) / 1000.0
    data = np.arange(21.0)
    data[9:19] = 1000.0
    assert_allclose(without_artefact(data, times, (-0.002, 0.009)), np.arange(21.0))


def test_baseline_has_to_be_in_the_epoch() -> None:
    with pytest.raises(InputError, match="baseline"):
        prepared(np.zeros((1, 10)), np.arange(10) / 100.0, None)


def test_sites_with_few_pulses_are_passed_over() -> None:
    given = pulses([5, 10, 15], [(0, 1), (0, 1), (1, 2)])
    source = Source(np.random.default_rng(0).standard_normal((3, 6000)) * 1e-6)
    sites = plan_sites(given, HZ, 6000)
    assert [number for number, _, _ in iter_sites(source, sites, given, HZ, min_pulses=2)] == [0]


def test_pulse_between_one_contact_is_refused() -> None:
    with pytest.raises(InputError, match=r"\[1\].*same"):
        plan_sites(pulses([5, 10], [(0, 1), (1, 1)]), HZ, 6000)
