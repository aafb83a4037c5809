from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from bids_ai.simulate.connectome import DETOUR, group_connectome
from bids_ai.simulate.patient import make_patient
from bids_ai.simulate.plan import subjects


@pytest.fixture(scope="module")
def group(small_parcels):
    return group_connectome(small_parcels.centroids_mm, small_parcels.homotopic, np.random.default_rng(1), density=0.5)


@pytest.fixture(scope="module")
def made(template_brain, small_parcels, group):
    whole, operated = subjects(2)[0], subjects(1, lesion=True)[0]
    return [make_patient(one, template_brain, small_parcels, group, 1, t1w_mm=6.0) for one in (whole, operated)]


def test_lengths_are_straight_lines_with_a_detour_where_there_are_no_bundles(made):
    patient = made[0]
    joined = patient.connectome.bundle_weights > 0
    apart = np.linalg.norm(patient.centroids_mm[:, None] - patient.centroids_mm[None], axis=-1)
    np.testing.assert_allclose(patient.connectome.lengths_mm[joined], DETOUR * apart[joined])
    assert np.isnan(patient.connectome.lengths_mm[~joined]).all()


def test_lengths_are_those_of_the_bundles_in_the_subject(fine_brain, bundle_parcels, bundle_group, laid_bundles):
    person = subjects(1)[0]
    patient = make_patient(person, fine_brain, bundle_parcels, bundle_group, 1, t1w_mm=8.0, bundles=laid_bundles)
    joined = patient.connectome.bundle_weights > 0
    strands = laid_bundles.in_subject(patient.warp)
    np.testing.assert_allclose(
        patient.connectome.lengths_mm[joined], laid_bundles.lengths_mm(strands, patient.n_regions)[joined]
    )
    assert 0 < joined.sum() < len(joined) ** 2


def test_an_operation_changes_nothing_but_the_cavity(made):
    whole, operated = made
    assert whole.lesion is None
    assert not whole.silent.any()
    np.testing.assert_array_equal(whole.labels, operated.labels)
    np.testing.assert_array_equal(whole.phantom.fractions["brain"], operated.phantom.fractions["brain"])
    changed = np.abs(whole.phantom.fractions["GM"] - operated.phantom.fractions["GM"]) > 1e-6
    # Voxels of the wall are shared between cavity and brain.
    assert changed[operated.lesion].mean() > 0.9
    beside = binary_dilation(operated.lesion, np.ones((3, 3, 3)))
    assert not (changed & whole.phantom.brain_mask & ~beside).any()
    assert operated.phantom.fractions["CSF"][operated.lesion].mean() > 0.7


def test_regions_that_were_taken_out_are_cut_off(made):
    operated = made[1]
    lesion = operated.labels == 3
    lesion[tuple(np.argwhere(operated.labels == 5)[:4].T)] = True
    silent = replace(operated, lesion=lesion).silent
    np.testing.assert_array_equal(np.flatnonzero(silent), [2])


def test_patients_are_of_their_label(template_brain, small_parcels, group, made):
    again = make_patient(subjects(3)[0], template_brain, small_parcels, group, 1, t1w_mm=6.0)
    other = make_patient(subjects(3)[2], template_brain, small_parcels, group, 1, t1w_mm=6.0)
    np.testing.assert_array_equal(again.phantom.t1w, made[0].phantom.t1w)
    np.testing.assert_array_equal(again.connectome.weights, made[0].connectome.weights)
    assert not np.allclose(other.connectome.weights, again.connectome.weights)
