"""Series of regions from the channels that lie in them."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.contact_series import series_of_contacts
from bids_ai.parcellation.contacts import ContactRegions


def regions(nearest: list[int]) -> ContactRegions:
    names = tuple(f"C{number}" for number in range(len(nearest)))
    weights = np.zeros((len(names), 3))
    for row, column in enumerate(nearest):
        if column >= 0:
            weights[row, column] = 1.0
    return ContactRegions(names, ("A", "B", "C"), weights, np.array(nearest), np.zeros(len(names)), "region")


def test_channels_of_opposite_sign_do_not_cancel() -> None:
    rng = np.random.default_rng(0)
    shared = rng.standard_normal(2000)
    noise = 0.3 * rng.standard_normal((2000, 4))
    # Two bipolar channels of region A see the same source from either side, at very different sizes.
    data = np.column_stack([shared, -50 * shared, rng.standard_normal(2000), shared]) + noise
    data[:, 1] += 15 * rng.standard_normal(2000)
    used = np.ones(2000, bool)
    used[500:700] = False
    made = series_of_contacts(data, regions([0, 0, 2, -1]), used)
    assert abs(np.corrcoef(made.series[used, 0], shared[used])[0, 1]) > 0.95
    np.testing.assert_allclose(np.corrcoef(made.series[used, 2], data[used, 2])[0, 1], 1.0)
    assert made.n_channels.tolist() == [2, 0, 1]
    assert np.isnan(made.series[:, 1]).all()
    assert np.isnan(made.series[~used]).all()
    np.testing.assert_allclose(made.series[used][:, [0, 2]].std(axis=0), 1.0)
    assert made.explained[0] > 0.85
    assert (made.explained[2], np.isnan(made.explained[1])) == (pytest.approx(1.0), True)


def test_gaps_teach_nothing() -> None:
    rng = np.random.default_rng(1)
    data, used = rng.standard_normal((400, 2)), np.arange(400) < 300
    disturbed = data.copy()
    disturbed[~used] = 1e6
    first, second = (series_of_contacts(one, regions([0, 0]), used).series for one in (data, disturbed))
    np.testing.assert_array_equal(first, second)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match=r"\(10, 2\) and 10 of 10"):
        series_of_contacts(np.zeros((10, 2)), regions([0, 0, 1]), np.ones(10, bool))
    with pytest.raises(InputError, match="1 of 10"):
        series_of_contacts(np.zeros((10, 3)), regions([0, 0, 1]), np.arange(10) == 3)
