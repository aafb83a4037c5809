"""Nothing of a test site reaches training."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bids_ai.ccep.scoring.recorded import Layout
from bids_ai.ccep.scoring.splits import (
    PLAIN,
    SPLITS,
    get_split,
    leave_lead_out,
    leave_patient_out,
    leave_site_out,
    training_view,
)
from bids_ai.errors import InputError
from tests.ccep.worlds import network_world


def line() -> Layout:
    """Contacts of two leads 5 mm apart on each lead, leads 100 mm apart; every site of neighbours, and one across."""
    positions = np.array([[5.0 * k, 0, 0] for k in range(8)] + [[5.0 * k, 100, 0] for k in range(8)])
    sites = np.array([[k, k + 1] for k in range(7)] + [[8, 9], [9, 8], [14, 15], [7, 15]])
    channels = np.repeat(np.arange(16)[:, None], 2, axis=1)
    return Layout("01", positions, np.repeat(["A", "B"], 8), sites, channels)


def test_site_leaves_with_what_is_near_or_shares_a_contact() -> None:
    folds = {int(one.test[0]): one.train.tolist() for one in leave_site_out([line()])}
    # From contact 1 (of 0-1) 15 mm reach contact 4: sites 0 to 4 are near; 7-15 shares nothing and is far.
    assert folds[0] == [5, 6, 7, 8, 9, 10]
    # The reversed site 9-8 goes with 8-9.
    assert folds[7] == [0, 1, 2, 3, 4, 5, 6, 9, 10]
    # 7-15 shares contact 15 with 14-15 and is within 15 mm of the sites at the end of lead A.
    assert folds[10] == [0, 1, 2, 7, 8]


def test_unknown_places_count_as_near() -> None:
    layout = line()
    positions = layout.contact_positions_mm.copy()
    positions[:2] = np.nan
    unknown = Layout("01", positions, layout.contact_leads, layout.site_contacts, layout.channel_contacts)
    assert next(leave_site_out([unknown])).train.size == 0


def test_lead_leaves_with_sites_that_touch_it() -> None:
    folds = list(leave_lead_out([line()]))
    assert_array_equal(folds[0].test, [0, 1, 2, 3, 4, 5, 6, 10])
    # The test sites touch lead B as well, by 7-15.
    assert folds[0].train.size == 0
    assert_array_equal(folds[1].test, [7, 8, 9])
    assert_array_equal(folds[1].train, [0, 1, 2, 3, 4, 5, 6])


def test_patient_leaves_as_a_whole() -> None:
    layouts = [network_world(k, patient=str(k)).recorded.layout for k in range(3)]
    folds = list(leave_patient_out(layouts))
    assert_array_equal(np.concatenate([fold.test for fold in folds]), np.arange(54))
    assert_array_equal(folds[1].train, [*range(18), *range(36, 54)])
    assert list(leave_patient_out(layouts[:1])) == []


@pytest.mark.parametrize("name", [*SPLITS, PLAIN])
def test_every_site_is_tested_once_and_never_trains_for_itself(name: str) -> None:
    layouts = [network_world(k, patient=str(k)).recorded.layout for k in range(2)]
    folds = list(get_split(name)(layouts))
    assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), np.arange(36))
    assert not any(np.isin(fold.test, fold.train).any() for fold in folds)


def test_training_holds_no_response_of_test_sites_nor_the_reversed_pair() -> None:
    recorded = network_world(1).recorded
    for fold in leave_site_out([recorded.layout]):
        (seen,) = training_view([recorded], fold)
        known = np.isfinite(seen.amplitude)
        assert not known[np.setdiff1d(np.arange(18), fold.train)].any()
        assert not known[
            :, np.isin(recorded.layout.channel_contacts[:, 0], recorded.layout.site_contacts[fold.test])
        ].any()
        assert np.isfinite(seen.amplitude).sum() == np.isfinite(seen.odd if seen.odd is not None else 0).sum()


def test_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="leave-lead-out"):
        get_split("random")
