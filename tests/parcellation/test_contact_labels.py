"""Regions of contacts by columns of electrodes.tsv and by a segmentation of FreeSurfer."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.contact_labels import agreement, column_with_regions, regions_of_members, tissue_of_members
from bids_ai.parcellation.contacts import assign_contacts, regions_from_labels
from bids_ai.parcellation.nodes import build_nodes
from bids_ai.parcellation.segmentation import known_share, read_segmentation, segmentation_in_atlas

NODES = build_nodes([1, 2, 3, 4], ["LH_cuneus", "RH_cuneus", "LH_insula", "RH_accumbensarea"])
NAMES = ["A1", "A2", "A3"]


def columns(**cells: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"name": NAMES} | cells, dtype=str)


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        ({"region": ["ctx-lh-cuneus", "ctx-lh-insula", "Left-Cerebral-White-Matter"]}, "region"),
        ({"label_text": ["cuneus", "insula", "n/a"], "hemisphere": ["L", "L", "L"]}, "label_text"),
        ({"label_text": ["cuneus", "insula", "n/a"]}, None),  # of which side?
        ({"seizure_zone": ["SOZ", "n/a", "n/a"], "group": ["LH_cuneus", "LH_cuneus", "LH_insula"]}, None),
        ({"other": ["lh_G_cuneus", "ctx-lh-cuneus", "lh_S_calcarine"]}, None),  # one of three: another atlas
        ({"label": ["1", "2", "3"]}, None),  # of which list?
    ],
)
def test_the_column_with_names_of_the_atlas_is_found(cells, wanted):
    assert column_with_regions(columns(**cells), NODES) == wanted


def test_a_difference_is_shared_out_between_the_labels_of_its_contacts():
    labels = ["ctx-lh-cuneus", "ctx-lh-insula", "Left-Cerebral-White-Matter"]
    single = regions_from_labels(NAMES, labels, NODES)
    members = [["A1"], ["A1", "A2"], ["A2", "A3"], ["A3"], ["B1"]]
    found = regions_of_members(["a", "b", "c", "d", "e"], single, members)
    np.testing.assert_allclose(found.weights[:, :3], [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1], [0, 0, 0], [0, 0, 0]])
    assert found.nearest_names() == ["LH_cuneus", "LH_cuneus", "LH_insula", None, None]
    tissue = tissue_of_members(dict(zip(NAMES, labels, strict=True)), members)
    assert tissue == ["GM", "GM", "GM-WM border", "WM", "unknown"]


def test_coordinates_and_labels_are_compared():
    image = nib.Nifti1Image(np.repeat([1, 2], 4).reshape(8, 1, 1).astype(np.int16), np.eye(4))
    by_place = assign_contacts(NAMES, np.array([[0.0, 0, 0], [1, 0, 0], [7, 0, 0]]), image, NODES)
    by_label = regions_from_labels(NAMES, ["LH_cuneus", "RH_cuneus", "RH_cuneus"], NODES)
    assert agreement(by_place, by_label).startswith("the region by coordinates is that of the label in 2 of 3 channels")
    assert agreement(by_place, regions_from_labels(NAMES, ["unknown"] * 3, NODES)) is None


def test_a_segmentation_is_numbered_as_the_atlas():
    labels = np.zeros((4, 1, 1), np.int32)
    labels[:, 0, 0] = 1005, 2005, 58, 2  # cuneus of both sides, right accumbens, white matter
    image, how = segmentation_in_atlas(labels, np.eye(4), NODES)
    np.testing.assert_array_equal(np.asarray(image.dataobj).ravel(), [1, 2, 4, 0])
    assert "3 of 4 regions" in how
    assert "does not have LH_insula" in how
    assert known_share(NODES) == 1.0
    other = build_nodes([1, 2], ["LH_1", "RH_1"])
    assert known_share(other) == 0.0
    with pytest.raises(InputError, match=r"None of the regions of the atlas \(LH_1, RH_1\).*aparc\+aseg"):
        segmentation_in_atlas(labels, np.eye(4), other)


def test_a_segmentation_of_fractions_is_refused(tmp_path):
    path = tmp_path / "T1.nii.gz"
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), 0.5, np.float32), np.eye(4)), path)
    with pytest.raises(InputError, match="no whole numbers"):
        read_segmentation(path)
    path.write_text("x")
    with pytest.raises(InputError, match="cannot be read"):
        read_segmentation(path)
