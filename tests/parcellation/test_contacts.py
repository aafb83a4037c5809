import nibabel as nib
import numpy as np
import pytest

from bids_ai.bids.electrophysiology.coordinates import Frame
from bids_ai.errors import InputError
from bids_ai.parcellation.contact_frames import MNI305_TO_MNI152, assign_in_frame, way_to_atlas
from bids_ai.parcellation.contacts import (
    assign_contacts,
    contacts_without_regions,
    freesurfer_tissue,
    regions_from_labels,
    tissue_of_contacts,
    tissue_of_label,
)
from bids_ai.parcellation.nodes import build_nodes
from tests.virtual_seeg import virtual_patient

AFFINE = np.array([[-2.0, 0, 0, 40], [0, 2, 0, -40], [0, 0, 2, -40], [0, 0, 0, 1]])


@pytest.fixture
def atlas():
    """Two regions of 2 mm voxels that meet at x = 1 mm (between voxel middles), white matter (9) behind y = 20."""
    labels = np.zeros((40, 40, 40), dtype=np.int16)
    labels[:20, 10:30, 10:30] = 3  # x from 2 to 40 mm
    labels[20:, 10:30, 10:30] = 7  # x from -38 to 0 mm
    labels[:, 30:, :] = 9
    return nib.Nifti1Image(labels, AFFINE), build_nodes([3, 7], ["RH_A", "LH_B"])


def test_weights_are_gaussian_sums_over_voxels(atlas):
    image, nodes = atlas
    found = assign_contacts(["mid", "right", "edge"], np.array([[1.0, 0, 0], [20, 0, 0], [4, 1, 1]]), image, nodes)
    assert found.regions == ("RH_A", "LH_B")
    np.testing.assert_allclose(found.weights[0], [0.5, 0.5])
    np.testing.assert_allclose(found.weights[1], [1.0, 0.0])
    labels = np.asarray(image.dataobj)
    voxels = np.argwhere((labels == 3) | (labels == 7))
    apart = np.linalg.norm(nib.affines.apply_affine(AFFINE, voxels) - [4, 1, 1], axis=1)
    weight = np.where(apart <= 10, np.exp(-(apart**2) / (2 * 4.0**2)), 0)
    right = weight[labels[tuple(voxels.T)] == 3].sum() / weight.sum()
    np.testing.assert_allclose(found.weights[2], [right, 1 - right])
    assert found.nearest_names()[1:] == ["RH_A", "RH_A"]
    np.testing.assert_allclose(found.distance_mm[1], 0.0)
    assert found.one_each()[2].tolist() == [1.0, 0.0]
    assert found.level == "region"
    assert found.notes == ()


def test_contacts_without_a_region_are_listed_with_the_reason(atlas):
    image, nodes = atlas
    places = np.array([[20.0, 0, 0], [np.nan, 0, 0], [20, 34, 0], [500, 0, 0]])
    found = assign_contacts(["in", "nowhere", "white", "far"], places, image, nodes)
    assert found.nearest_names() == ["RH_A", None, None, None]
    np.testing.assert_array_equal(found.weights.sum(axis=1), [1, 0, 0, 0])
    assert np.isnan(found.distance_mm[1:]).all()
    assert found.notes == (
        "Contacts without coordinates, and so without a region: nowhere.",
        "Contacts with no region within 10 mm: white, far.",
    )
    assert found.table()["region"].tolist()[0] == "RH_A"
    assert np.isnan(found.table()["share"].to_numpy()[1:]).all()


def test_positions_of_another_number_are_refused(atlas):
    with pytest.raises(InputError, match=r"shape \(2, 3\) wanted, got \(1, 3\)"):
        assign_contacts(["a", "b"], np.zeros((1, 3)), *atlas)
    with pytest.raises(InputError, match="must be positive"):
        assign_contacts(["a"], np.zeros((1, 3)), *atlas, sigma_mm=0)


# ---- tissue


def test_tissue():
    """Grey matter for x below 10 mm, white from there to 20 mm, nothing beyond; 1 mm voxels."""
    grey, white = np.zeros((40, 20, 20), bool), np.zeros((40, 20, 20), bool)
    grey[:10], white[10:20] = True, True
    places = np.array([[5.0, 9, 9], [9.5, 9, 9], [10.2, 9, 9], [13, 9, 9], [24, 9, 9], [25, 9, 9], [np.nan] * 3])
    expected = ["GM", "GM-WM border", "GM-WM border", "WM", "WM", "out", "unknown"]
    assert tissue_of_contacts(places, grey, white, np.eye(4)) == expected


def test_tissue_of_freesurfer_labels():
    grey, white = freesurfer_tissue(np.array([0, 2, 3, 4, 17, 41, 251, 1001, 2035, 3010, 11106, 12175, 24]))
    assert grey.tolist() == [False, False, True, False, True, False, False, True, True, False, True, True, False]
    assert np.flatnonzero(white).tolist() == [1, 5, 6, 9]


@pytest.mark.parametrize(
    ("label", "tissue"),
    [
        ("Right_Cerebral_White_Matter", "WM"),
        ("41", "WM"),
        ("Left-Cerebral-White-Matter", "WM"),
        ("lh_G&S_cingul-Ant", "GM"),
        ("11106", "GM"),
        ("Right_Hippocampus", "GM"),
        ("Unknown", "out"),
        ("Left_Lateral_Ventricle", "out"),
        ("0", "out"),
    ],
)
def test_tissue_that_a_label_names(label, tissue):
    assert tissue_of_label(label) == tissue


# ---- supplied labels


def test_supplied_labels_are_regions():
    supplied = ["lh_G_cuneus", "Right_Cerebral_White_Matter", None, "rh_S_central", "lh_G_cuneus"]
    found = regions_from_labels(list("abcde"), supplied)
    assert found.regions == ("lh_G_cuneus", "rh_S_central")
    assert found.nearest_names() == ["lh_G_cuneus", None, None, "rh_S_central", "lh_G_cuneus"]
    np.testing.assert_array_equal(found.weights.sum(axis=1), [1, 0, 0, 1, 1])
    assert found.notes[0].startswith("Regions of 3 of 5 contacts were taken from labels")


def test_supplied_labels_in_an_atlas():
    nodes = build_nodes([11, 12], ["ctx-lh-cuneus", "ctx-rh-cuneus"])
    found = regions_from_labels(["a", "b", "c"], ["lh_cuneus", "12", "lh_insula"], nodes)
    assert found.nearest_names() == ["ctx-lh-cuneus", "ctx-rh-cuneus", None]
    assert found.notes[1] == "Supplied labels that are no region of the atlas: lh_insula."
    with pytest.raises(InputError, match=r"None of the 1 supplied labels \(lh_insula\) is a region of the atlas"):
        regions_from_labels(["a"], ["lh_insula"], nodes)


def test_labels_without_a_side_get_that_of_the_contact():
    supplied = ["G_cuneus", "G_cuneus", "rh_S_central", "G_cuneus", "12106"]
    found = regions_from_labels(list("abcde"), supplied, hemispheres=["L", "R", "L", None, "R"])
    assert found.nearest_names() == ["lh_G_cuneus", "rh_G_cuneus", "rh_S_central", "G_cuneus", "12106"]


def test_numbers_that_may_mean_two_things_are_refused():
    with pytest.raises(InputError, match=r"numbers from 26 to 41, .* Use the column with names"):
        regions_from_labels(["a", "b"], ["26", "41"])
    found = regions_from_labels(["a", "b"], ["12106", "41"])  # FreeSurfer's: 41 is white matter
    assert found.nearest_names() == ["12106", None]


@pytest.mark.real
def test_supplied_labels_of_real_patients(test_data):
    from bids_ai.bids.electrophysiology.electrodes import read_electrodes

    folder = test_data / "ccep-bids-sidecars"
    if not folder.is_dir():
        pytest.skip("needs real data: ccep-bids-sidecars is not in the folder that BIDS_AI_TEST_DATA names")
    paths = sorted(folder.glob("ds*/sub-*/**/*_electrodes.tsv"))
    assert len(paths) == 4
    for path in paths:
        table = read_electrodes(path)
        text, sides = table.column("Destrieux_label_text"), table.column("hemisphere")
        found = regions_from_labels(table.names, text, hemispheres=sides)
        grey = [name for name, label in zip(table.names, text, strict=True) if label and "White_Matter" not in label]
        assert found.level == "region"
        assert 0.9 * len(grey) <= (found.nearest >= 0).sum() <= len(grey)
        cortical = [name for name in found.regions if "_G_" in name or "_S_" in name]
        assert cortical
        assert all(name.startswith(("lh_", "rh_")) for name in cortical)


# ---- frames


@pytest.mark.parametrize(
    ("label", "kind", "space", "there"),
    [
        ("ScanRAS", "native", "T1w", True),
        ("ACPC", "native", "T1w", False),
        ("ACPC", "native", "MNI152NLin6Asym", False),
        ("MNI152NLin6Asym", "template", "MNI152NLin6Asym", True),
        ("MNI152NLin6Sym", "template", "MNI152NLin2009cAsym", True),
        ("MNI152NLin6Asym", "template", "T1w", False),
        ("Talairach", "template", "MNI152NLin6Asym", False),
        ("Other", "unknown", "MNI152NLin6Asym", False),
        ("unknown", "unknown", "T1w", False),
        ("CapTrak", "sensor", "T1w", False),
    ],
)
def test_ways_into_the_frame_of_an_atlas(label, kind, space, there):
    way = way_to_atlas(Frame(label, kind), space)
    assert (way.matrix is not None) == there
    assert way.note
    supplied = way_to_atlas(Frame(label, kind), space, transform=np.diag([1.0, 1, 1, 1]))
    assert supplied.matrix is not None


def test_fsaverage_is_brought_to_mni152():
    way = way_to_atlas(Frame("fsaverage", "template"), "MNI152NLin6Asym")
    np.testing.assert_array_equal(way.matrix, MNI305_TO_MNI152)
    # The example of FreeSurfer's page: (10, -20, 35) becomes (10.695, -18.409, 36.137); the matrix has four digits.
    np.testing.assert_allclose((way.matrix @ [10, -20, 35, 1])[:3], [10.695, -18.409, 36.137], atol=0.005)
    assert "off by some millimetres" in way.note


def test_unknown_frames_and_missing_coordinates_give_contacts_only(atlas):
    image, nodes = atlas
    places = np.array([[20.0, 0, 0], [-20, 0, 0]])
    other = assign_in_frame(["a", "b"], places, Frame("Other", "unknown"), image, nodes, "MNI152NLin6Asym")
    assert (other.level, other.regions, other.weights.shape) == ("contact", (), (2, 0))
    assert "(Other) is not known and was not guessed" in other.notes[0]
    none = assign_in_frame(["a"], np.full((1, 3), np.nan), Frame("ScanRAS", "native"), image, nodes, "T1w")
    assert none.level == "contact"
    assert none.notes == contacts_without_regions(["a"], "No contact has coordinates.").notes
    turned = np.diag([-1.0, 1, 1, 1])
    found = assign_in_frame(["a", "b"], places, Frame("ACPC", "native"), image, nodes, "T1w", transform=turned)
    assert found.nearest_names() == ["LH_B", "RH_A"]
    assert "transform supplied" in found.notes[0]
    with pytest.raises(InputError, match="invertible 4 x 4 matrix"):
        way_to_atlas(Frame("ACPC", "native"), "T1w", transform=np.zeros((4, 4)))


# ---- where the truth is known


def test_contacts_of_a_virtual_patient():
    """The truth weighs voxels by their share of grey matter, the volume of labels does not: a few per cent differ."""
    from bids_ai.simulate.electrodes import implant

    patient = virtual_patient()
    nodes = build_nodes(range(1, patient.n_regions + 1), patient.names)
    image = nib.Nifti1Image(patient.labels, patient.phantom.affine)
    implanted = implant(patient, np.random.default_rng(0), size="full")
    frame = Frame("ScanRAS", "native")
    found = assign_in_frame(implanted.names, implanted.positions_mm, frame, image, nodes, "T1w")
    truth = implanted.region
    inside = truth >= 0
    assert inside.sum() > 100
    assert np.mean(found.nearest[inside] == truth[inside]) >= 0.95
    assert np.mean(found.weights.argmax(axis=1)[inside] == implanted.shares.argmax(axis=1)[inside]) >= 0.95
    assert np.abs(found.weights - implanted.shares).sum(axis=1).mean() < 0.05
    grey, white = (patient.phantom.fractions[name] > 0.5 for name in ("GM", "WM"))
    tissue = np.array(tissue_of_contacts(implanted.positions_mm, grey, white, patient.phantom.affine))
    true = np.array(implanted.tissue)
    clear = np.isin(tissue, ["GM", "WM"]) & np.isin(true, ["GM", "WM"])
    assert clear.sum() > 80
    assert np.mean(tissue[clear] == true[clear]) >= 0.9


@pytest.mark.real
def test_contacts_of_a_real_patient(test_data):
    """320 surface and 74 depth contacts in FreeSurfer's labels; their place is known to some millimetres."""
    import mne

    folder = test_data / "ieeg-ecog-mri"
    if not folder.is_dir():
        pytest.skip("needs real data: ieeg-ecog-mri is not in the folder that BIDS_AI_TEST_DATA names")
    raw = mne.io.read_raw_fif(folder / "sample_ecog_ieeg.fif", verbose="error")
    to_mri = mne.coreg.estimate_head_mri_t("sample_ecog", folder / "subjects", verbose="error")
    surface = 1e3 * mne.transforms.apply_trans(to_mri, np.array([entry["loc"][:3] for entry in raw.info["chs"]]))
    image = nib.load(folder / "subjects/sample_ecog/mri/aparc+aseg.mgz")
    labels = np.asarray(image.dataobj).astype(np.int32)
    scanner = nib.affines.apply_affine(image.affine @ np.linalg.inv(image.header.get_vox2ras_tkr()), surface)
    grey, white = freesurfer_tissue(labels)
    index = np.unique(labels[grey])
    nodes = build_nodes(index, [f"region {label}" for label in index])
    found = assign_contacts(raw.ch_names, scanner, nib.Nifti1Image(labels, image.affine), nodes)
    own = labels[tuple(np.round(nib.affines.apply_affine(np.linalg.inv(image.affine), scanner)).astype(int).T)]
    in_region = np.isin(own, index)
    assert in_region.sum() == 193
    nearest = np.array([index[column] for column in found.nearest])
    softest = index[found.weights.argmax(axis=1)]
    assert (found.nearest >= 0).all()
    assert (nearest[in_region] == own[in_region]).all()
    assert np.mean(softest[in_region] == own[in_region]) > 0.9
    assert np.nanpercentile(found.distance_mm, 90) < 2.5
    tissue = np.array(tissue_of_contacts(scanner, grey, white, image.affine))
    depth = np.array(raw.get_channel_types()) == "seeg"
    assert (tissue != "out").all()
    # Grids lie on the cortex; a third of the depth contacts is clearly in grey or at its border.
    assert np.mean(tissue[~depth] == "WM") < 0.1
    assert np.mean(tissue[depth] == "WM") > 0.2
