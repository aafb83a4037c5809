import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.trials import Trials, halves
from bids_ai.errors import InputError
from tests.ccep.signals import HZ, TIMES, bump


def of_polarities(polarity: list[int], artefact: float = 1.0) -> Trials:
    """A response of one, and an artefact that turns over with polarity."""
    signs = np.array(polarity)
    return Trials(np.ones((len(signs), 1, 3)) + artefact * signs[:, None, None], np.arange(3.0), signs)


def test_artefact_cancels_whatever_the_counts() -> None:
    trials = of_polarities([1, 1, 1, 1, 1, -1, -1])
    assert_allclose(trials.average, 1.0)
    # Five at a tenth, two at a quarter: 1 / (5 * .01 + 2 * .0625).
    assert_allclose(trials.n_effective, 1 / 0.175)


def test_single_pulse_of_a_polarity_is_not_weighted_up() -> None:
    trials = of_polarities([1, 1, 1, -1])
    assert_allclose(trials.weights[:, 0], 0.25)
    assert_allclose(trials.n_effective, 4.0)


def test_weights_are_those_of_each_channel() -> None:
    data = np.ones((4, 3, 2))
    data[0, 1] = np.nan
    data[:, 2] = np.nan
    trials = Trials(data, np.arange(2.0), np.ones(4, int))
    assert_allclose(trials.weights[:, 1], [0, 1 / 3, 1 / 3, 1 / 3])
    assert_allclose(trials.n_effective, [4, 3, 0])
    assert_array_equal(np.isnan(trials.average).all(axis=1), [False, False, True])


def test_halves_share_both_polarities() -> None:
    data = np.arange(10.0)[:, None, None] * np.ones((1, 1, 2))
    first, second = halves(Trials(data, np.arange(2.0), np.array([1] * 5 + [-1] * 5)))
    assert_array_equal(first.data[:, 0, 0], [0, 2, 4, 6, 8])
    assert_array_equal(second.data[:, 0, 0], [1, 3, 5, 7, 9])


def test_sampling_rate_and_windows() -> None:
    trials = Trials(np.zeros((1, 1, len(TIMES))), TIMES, np.ones(1, int))
    assert_allclose(trials.sampling_hz, HZ)
    inside = TIMES[trials.between(0.1, 0.2)]
    assert inside[0] >= 0.1
    assert inside[-1] <= 0.2
    assert len(inside) == 51
    with pytest.raises(InputError, match="cut longer epochs"):
        trials.between(2.0, 3.0)


def test_wrong_shape_says_what_came() -> None:
    with pytest.raises(InputError, match=r"got \(3, 2, 5\)"):
        Trials(np.zeros((3, 2, 5)), np.arange(4.0), np.ones(3, int))
    assert bump(1.0, 0.0, 0.1)[512] == pytest.approx(1e-6)
