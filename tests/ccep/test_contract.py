"""What every registered family and detector keeps: a new one is picked up by its line in the registry."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.ccep.registry import DETECTORS, FAMILIES, get_detector, get_family, measure
from bids_ai.ccep.trials import Trials
from bids_ai.errors import InputError
from tests.ccep.signals import HZ, TIMES, bump, coloured, trials_of

families = pytest.mark.parametrize("name", list(FAMILIES))
detectors = pytest.mark.parametrize("name", list(DETECTORS))
#: Channel 0 responds strongly, 1 slowly, 2 not at all, 3 has no data.
SILENT, MISSING = 2, 3


@pytest.fixture(scope="module")
def trials() -> Trials:
    waves = np.stack(
        [
            bump(-600, 0.03, 0.008) + bump(300, 0.15, 0.05),
            bump(200, 0.18, 0.05),
            0 * TIMES,
            np.full(len(TIMES), np.nan),
        ]
    )
    plain = trials_of(waves, n_pulses=10)
    noise = coloured(np.random.default_rng(3), 4, 10 * len(TIMES), 1.0, uv=15.0)
    return Trials(plain.data + noise.reshape(4, 10, -1).transpose(1, 0, 2), TIMES, plain.polarity)


@families
def test_gives_what_it_announces(name: str, trials: Trials) -> None:
    family = get_family(name)
    found = family.measure(trials)
    assert family.name == name
    assert family.source
    assert list(found) == list(family.columns)
    assert all(values.shape == (4,) for values in found.values())


@families
def test_channel_without_data_is_nan(name: str, trials: Trials) -> None:
    found = get_family(name).measure(trials)
    assert all(np.isnan(values[MISSING]) for values in found.values())
    assert all(np.isfinite(values[0]) for values in found.values())


@families
def test_channels_do_not_see_each_other(name: str, trials: Trials) -> None:
    every = get_family(name).measure(trials)
    one = get_family(name).measure(Trials(trials.data[:, 1:2], trials.times_s, trials.polarity))
    for column, values in one.items():
        assert_allclose(values[0], every[column][1], rtol=1e-8, err_msg=column)


@families
def test_rejected_trial_is_as_none(name: str, trials: Trials) -> None:
    gone = trials.data.copy()
    gone[-1] = np.nan
    rejected = get_family(name).measure(Trials(gone, trials.times_s, trials.polarity))
    fewer = get_family(name).measure(trials.pulses(np.arange(9)))
    for column, values in fewer.items():
        assert_allclose(rejected[column][:3], values[:3], rtol=1e-8, err_msg=column)


@families
def test_scales_as_its_unit(name: str, trials: Trials) -> None:
    # Microvolts double with the signal; times, ratios and scores do not change.
    once = get_family(name).measure(trials)
    twice = get_family(name).measure(Trials(2.0 * trials.data, trials.times_s, trials.polarity))
    for column, values in once.items():
        microvolts = "_uv" in column or column == "crp_projection"
        assert_allclose(twice[column][:2], (2.0 if microvolts else 1.0) * values[:2], rtol=1e-6, err_msg=column)


@families
def test_leaves_trials_alone(name: str, trials: Trials) -> None:
    before = trials.data.copy()
    get_family(name).measure(trials)
    assert_array_equal(trials.data, before)


@detectors
def test_detector_finds_and_refuses(name: str, trials: Trials) -> None:
    detector = get_detector(name)
    found = detector.detect(trials)
    assert detector.name == name
    assert detector.rule
    assert detector.source
    assert found.responder[0] == 1
    assert found.responder[SILENT] == 0
    assert np.isnan(found.responder[MISSING])
    assert np.isnan(found.statistic[MISSING])


@detectors
def test_detector_follows_its_statistic(name: str, trials: Trials) -> None:
    found = get_detector(name).detect(trials)
    yes, no = (found.statistic[:3][found.responder[:3] == answer] for answer in (1, 0))
    assert yes.min() > no.max()


def test_measure_joins_families(trials: Trials) -> None:
    found = measure(trials, ["rms", "peaks"])
    assert list(found) == [*get_family("rms").columns, *get_family("peaks").columns]


def test_only_high_gamma_is_exploratory() -> None:
    assert [name for name in FAMILIES if get_family(name).exploratory] == ["high-gamma"]


@pytest.mark.parametrize("get", [get_family, get_detector])
def test_unknown_name_names_the_known(get) -> None:
    with pytest.raises(InputError, match=r"choose one of .*crp"):
        get("n1")


def test_high_gamma_needs_a_fast_recording() -> None:
    times = np.arange(-200, 201) / 200.0
    slow = Trials(np.random.default_rng(0).standard_normal((5, 2, 401)), times, np.ones(5, int))
    assert all(np.isnan(values).all() for values in get_family("high-gamma").measure(slow).values())
    assert HZ > 2.5 * 150
