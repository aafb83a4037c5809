import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate.electrodes import implant
from bids_ai.simulate.neural import regional_columns
from bids_ai.simulate.seeg import NETWORK_HZ, choose_montage, contact_gains
from bids_ai.simulate.spes import (
    CURRENT_A,
    FULL_DOSE,
    REFERENCE_MM,
    artefacts,
    bipole_potential,
    plan_spes,
    site_doses,
    stimulated_activity,
)

HZ = 512.0


@pytest.fixture(scope="module")
def contacts(seeg_patient):
    return implant(seeg_patient, np.random.default_rng(1), size="small")


@pytest.fixture(scope="module")
def montage(seeg_patient, contacts):
    gains = contact_gains(seeg_patient, contacts.positions_mm)
    return choose_montage(contacts, gains, np.random.default_rng(2), 1)


@pytest.fixture(scope="module")
def plan(contacts, montage):
    return plan_spes(contacts, montage, np.random.default_rng(3), size="small")


@pytest.fixture(scope="module")
def doses(seeg_patient, contacts, plan):
    return site_doses(seeg_patient, contacts, plan.sites, plan.current_a)


def test_five_pulses_in_each_polarity_at_every_site(plan):
    assert len(plan.sites) == 15
    assert len(plan) == 150
    for site, pair in enumerate(plan.sites):
        pairs = plan.pairs[plan.site == site]
        assert (pairs[:5] == pair).all()
        assert (pairs[5:] == pair[::-1]).all()


def test_pulses_keep_their_distance_and_fall_on_samples(plan):
    gaps = np.diff(plan.onsets_s)
    assert gaps.min() > 3.0
    assert gaps.std() > 0
    samples = plan.onsets_s * NETWORK_HZ
    np.testing.assert_allclose(samples, np.rint(samples))
    assert plan.duration_s > plan.onsets_s[-1] + 1


def test_sites_are_neighbours_that_are_recorded_well(plan, contacts, montage):
    assert {tuple(pair) for pair in plan.sites} <= {tuple(pair) for pair in contacts.pairs}
    assert len({tuple(pair) for pair in plan.sites}) == 15
    assert not np.isin(plan.sites, [montage.reference, *montage.bad]).any()
    middles = contacts.positions_mm[plan.sites].mean(axis=1)
    assert np.linalg.norm(middles - contacts.positions_mm[montage.reference], axis=1).min() > REFERENCE_MM
    grey = [any(contacts.tissue[contact] == "GM" for contact in pair) for pair in plan.sites]
    assert 0 < grey.count(False) <= 3


def test_dose_is_that_of_the_grey_matter_around_a_site(seeg_patient, contacts, plan, doses):
    assert (doses.sum(axis=1) <= FULL_DOSE + 1e-9).all()
    grey = contacts.fractions[plan.sites, 0].mean(axis=1)
    assert doses.sum(axis=1)[grey > 0.7].min() > 2 * doses.sum(axis=1)[grey < 0.1].max(initial=0.0)
    for site in np.flatnonzero(grey > 0.8):
        near = contacts.shares[plan.sites[site]].mean(axis=0)
        assert doses[site].argmax() == near.argmax()
    more = site_doses(seeg_patient, contacts, plan.sites, 2 * CURRENT_A)
    deep = doses.sum(axis=1).argmin()
    assert more[deep].sum() > doses[deep].sum()


def test_artefact_turns_over_with_polarity_and_falls_with_distance(contacts, plan):
    made = list(artefacts(contacts, plan, HZ, np.random.default_rng(4)))
    first, reverse = made[0][1], made[5][1]
    assert made[0][0] == round(plan.onsets_s[0] * HZ)
    pair = plan.sites[0]
    others = np.setdiff1d(np.arange(len(contacts)), pair)
    # Pulses differ by a few percent in size.
    np.testing.assert_allclose(reverse[:10, others], -first[:10, others], rtol=0.3, atol=1e-3)
    apart = np.linalg.norm(contacts.positions_mm[others] - contacts.positions_mm[pair].mean(axis=0), axis=1)
    size = np.abs(first[:, others]).max(axis=0)
    assert np.median(size[apart > 40]) < 0.05 * np.median(size[apart < 12])
    assert np.median(size[apart < 12]) > 300
    # Nine milliseconds after the pulse it is gone, but for the stimulated contacts.
    late = round(0.02 * HZ)
    assert np.abs(first[late:, others]).max() < 0.05 * size.max()
    assert (np.abs(first[late, pair]) > 2000).all()


def test_potential_of_a_bipole():
    points = np.array([[0.0, 0.0, 50.0], [0.0, 0.0, -50.0], [50.0, 0.0, 0.0]])
    bipole = np.array([[0.0, 0.0, 1.75], [0.0, 0.0, -1.75]])
    volts = bipole_potential(points, bipole, 0.004)
    # A dipole of 4 mA times 3.5 mm in 0.33 S/m at 5 cm: 1.35 mV.
    assert volts[0] == pytest.approx(1.35e-3, rel=0.01)
    np.testing.assert_allclose(volts[1], -volts[0])
    assert volts[2] == pytest.approx(0.0, abs=1e-12)


def test_activity_holds_the_response_after_each_pulse(seeg_patient, contacts, montage):
    plan = plan_spes(contacts, montage, np.random.default_rng(3), size="tiny")
    doses = site_doses(seeg_patient, contacts, plan.sites, plan.current_a)
    columns = regional_columns(seeg_patient.n_regions, np.random.default_rng(6))
    activity = stimulated_activity(seeg_patient.connectome, plan, doses, np.random.default_rng(7), columns)
    assert len(activity) == round(plan.duration_s * NETWORK_HZ)
    site = int(doses.max(axis=1).argmax())
    onsets = np.rint(plan.onsets_s[plan.site == site] * NETWORK_HZ).astype(int)
    after = np.mean([activity[onset : onset + 40] for onset in onsets], axis=0)
    before = np.mean([activity[onset - 40 : onset] for onset in onsets], axis=0)
    region = doses[site].argmax()
    assert np.abs(after[:, region]).max() > 3 * np.abs(before[:, region]).max()


def test_unknown_size_is_refused(contacts, montage):
    with pytest.raises(InputError, match="tiny, small, full"):
        plan_spes(contacts, montage, np.random.default_rng(0), size="huge")


@pytest.mark.parametrize("seed", range(12))
def test_few_contacts_still_give_four_sites(seeg_patient, seed):
    few = implant(seeg_patient, np.random.default_rng(seed), size="tiny")
    gains = contact_gains(seeg_patient, few.positions_mm)
    montage = choose_montage(few, gains, np.random.default_rng(seed), 1)
    sites = plan_spes(few, montage, np.random.default_rng(seed), size="tiny").sites
    assert len(sites) == 4
    assert not np.isin(sites, [montage.reference, *montage.bad]).any()
