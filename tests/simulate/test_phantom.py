import numpy as np
import pytest

from bids_ai.simulate import head, parcels, phantom, warp


def test_fractions_fill_the_brain(small_head):
    parts = small_head.fractions
    np.testing.assert_allclose(parts["GM"] + parts["WM"] + parts["CSF"], parts["brain"], atol=1e-5)
    assert parts["brain"].min() >= 0
    assert parts["brain"].max() <= 1 + 1e-5


def test_brain_has_the_volume_of_a_living_one(small_head):
    litres = small_head.fractions["brain"].sum() * 0.006**3 * 1000
    assert 1.2 < litres < 1.8
    # The determinant of the affine is the volume relative to the template, up to what the warp does locally.
    assert small_head.brain_mask.sum() * 0.006**3 * 1000 == pytest.approx(litres, rel=0.03)


def test_contrast_is_that_of_an_mprage(small_head):
    levels = {name: np.median(small_head.t1w[small_head.fractions[name] > 0.8]) for name in ("GM", "WM", "CSF")}
    assert levels["WM"] > 1.3 * levels["GM"] > 1.3 * 2 * levels["CSF"]
    epi = {name: np.median(small_head.epi[small_head.fractions[name] > 0.8]) for name in ("GM", "WM", "CSF")}
    assert epi["CSF"] > epi["GM"] > epi["WM"]


def test_layers_around_the_brain(template_brain):
    """Upwards from the crown: CSF, dura, bone with marrow, fat, air."""
    crown = np.zeros((400, 3), np.float32)
    crown[:, 1], crown[:, 2] = -20.0, np.linspace(60.0, 125.0, 400)
    tissues = {"air": 0.0, "CSF": 1.0, "dura": 2.0, "bone": 3.0, "marrow": 4.0, "fat": 5.0, "skin": 6.0}
    table = {"t": tissues | {"muscle": 7.0, "vitreous": 8.0, "cord": 9.0, "vessel": 10.0}}
    column = head.paint(head.head_layers(template_brain, crown, 0.5, np.random.default_rng(1)), table, 400)["t"]
    order = np.rint(column).astype(int)
    firsts = [int(np.flatnonzero(order == value)[0]) for value in (1, 2, 3, 5)]
    assert firsts == sorted(firsts)
    assert order[-1] == 0
    step = 65.0 / 399
    bone = np.isin(order, (3, 4)).sum() * step
    assert 3.0 < bone < 11.0


def test_paint_covers_what_was_there():
    voxels = np.arange(2)
    layers = [("a", voxels, np.array([1.0, 1.0])), ("b", voxels[1:], np.array([0.25]))]
    images = head.paint(layers, {"x": {"a": 8.0, "b": 0.0}, "y": {"a": 1.0, "b": 5.0}}, 3)
    np.testing.assert_allclose(images["x"], [8.0, 6.0, 0.0])
    np.testing.assert_allclose(images["y"], [1.0, 2.0, 0.0])


def test_air_is_rician():
    noise = phantom.rician(np.zeros(200000, np.float32), 3.0, np.random.default_rng(0))
    # A Rayleigh distribution: mean sigma sqrt(pi / 2).
    assert noise.mean() == pytest.approx(3.0 * np.sqrt(np.pi / 2), rel=0.01)


def test_anatomy_lies_where_the_warp_says(small_head, template_brain, subject_warp):
    inside = np.argwhere(template_brain.mask > 0)[::500]
    points = inside @ template_brain.affine[:3, :3].T + template_brain.affine[:3, 3]
    at = warp.apply_affine(np.linalg.inv(small_head.affine), subject_warp.to_subject(points))
    found = small_head.fractions["brain"][tuple(np.rint(at).astype(int).T)]
    # Voxels of 6 mm: a border voxel may round outwards.
    assert (found > 0.3).mean() > 0.97


def test_parcels_are_carried_into_grey_matter(small_head, small_parcels):
    labels = parcels.in_phantom(small_parcels, small_head)
    counts = np.bincount(labels.ravel(), minlength=9)[1:]
    assert (counts > 0).all()
    # Equal volumes in the template stay within a factor in the subject.
    assert counts.max() / counts.min() < 2.0
    grey = small_head.fractions["GM"]
    assert grey[labels > 0].mean() > 0.6
    assert not labels[small_head.fractions["brain"] <= 0.25].any()


def test_homotopic_parcels_face_each_other(small_parcels):
    partner = small_parcels.homotopic
    paired = np.flatnonzero(partner >= 0)
    assert len(paired) >= 6
    mirrored = small_parcels.centroids_mm[partner[paired]] * [-1, 1, 1]
    assert np.linalg.norm(mirrored - small_parcels.centroids_mm[paired], axis=1).max() < 20.0
    assert (partner[partner[paired]] == paired).all()
