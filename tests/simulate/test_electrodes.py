from dataclasses import replace

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate.electrodes import SHARE_CUT_MM, SPACING_MM, grey_voxels, implant, regions_near
from bids_ai.simulate.head import sample


@pytest.fixture(scope="module")
def contacts(seeg_patient):
    return implant(seeg_patient, np.random.default_rng(1), size="small")


def test_leads_are_straight_and_evenly_spaced(contacts):
    assert len(set(contacts.lead)) == 4
    for lead in set(contacts.lead):
        points = contacts.positions_mm[np.array(contacts.lead) == lead]
        assert 8 <= len(points) <= 12
        steps = np.diff(points, axis=0)
        np.testing.assert_allclose(np.linalg.norm(steps, axis=1), SPACING_MM, rtol=1e-6)
        np.testing.assert_allclose(steps, np.broadcast_to(steps[0], steps.shape), atol=1e-9)


def test_names_number_contacts_from_the_tip_outwards(contacts):
    middle = contacts.template_mm[:, 0]
    for lead in set(contacts.lead):
        rows = np.flatnonzero(np.array(contacts.lead) == lead)
        assert [contacts.names[row] for row in rows] == [f"{lead}{k + 1}" for k in range(len(rows))]
        assert abs(middle[rows[-1]]) > abs(middle[rows[0]])
        assert (np.sign(middle[rows]) == (-1 if lead[0] == "L" else 1)).all()
    assert len(set(contacts.hemisphere)) == 2


def test_contacts_lie_in_grey_and_in_white_matter(contacts, seeg_patient):
    assert contacts.tissue.count("GM") >= 8
    assert contacts.tissue.count("WM") >= 5
    fractions = seeg_patient.phantom.fractions
    inside = sample(fractions["brain"], seeg_patient.phantom.affine, contacts.positions_mm)
    assert (inside > 0.5).mean() > 0.9
    np.testing.assert_allclose(contacts.fractions.sum(axis=1)[inside > 0.99], 1.0, atol=0.05)


def test_template_positions_are_those_of_the_warp(contacts, seeg_patient):
    back = seeg_patient.warp.to_subject(contacts.template_mm)
    # The two directions of the warp are inverse to a fraction of a millimetre.
    assert np.linalg.norm(back - contacts.positions_mm, axis=1).max() < 0.5


def test_region_is_that_of_the_nearest_grey_voxel(contacts, seeg_patient):
    points, grey, region = grey_voxels(seeg_patient)
    mostly = grey > 0.5
    for row in range(0, len(contacts), 5):
        apart = np.linalg.norm(points[mostly] - contacts.positions_mm[row], axis=1)
        if apart.min() <= SHARE_CUT_MM:
            assert contacts.region[row] == region[mostly][apart.argmin()]
            assert contacts.region_distance_mm[row] == pytest.approx(apart.min())
    sums = contacts.shares.sum(axis=1)
    assert (np.isclose(sums, 1.0) | (sums == 0.0)).all()


def test_a_place_far_from_grey_matter_has_no_region(seeg_patient):
    region, distance, shares = regions_near(seeg_patient, np.array([[400.0, 0.0, 0.0]]))
    assert region[0] == -1
    assert np.isnan(distance[0])
    assert not shares.any()


def test_pairs_are_neighbours_on_one_lead(contacts):
    leads = np.array(contacts.lead)
    assert (leads[contacts.pairs[:, 0]] == leads[contacts.pairs[:, 1]]).all()
    assert len(contacts.pairs) == len(contacts) - 4


def test_sizes(seeg_patient):
    assert len(implant(seeg_patient, np.random.default_rng(2), size="tiny")) == 10
    assert 100 <= len(implant(seeg_patient, np.random.default_rng(2), size="full")) <= 144
    with pytest.raises(InputError, match="tiny, small, full"):
        implant(seeg_patient, np.random.default_rng(2), size="huge")


def test_a_head_without_room_for_a_lead_is_refused(seeg_patient):
    nothing = {name: np.zeros_like(part) for name, part in seeg_patient.phantom.fractions.items()}
    empty = replace(seeg_patient, phantom=replace(seeg_patient.phantom, fractions=nothing))
    with pytest.raises(InputError, match="contacts are wanted"):
        implant(empty, np.random.default_rng(1))
