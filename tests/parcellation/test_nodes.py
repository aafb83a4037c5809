from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.nodes import (
    NODE_COLUMNS,
    build_nodes,
    complete_nodes,
    label_geometry,
    network_colors,
    validate_nodes,
)
from tests.parcellation.conftest import AFFINE


def test_table_has_the_agreed_columns_sorted_by_label() -> None:
    nodes = build_nodes([3, 1], ["RH_b", "LH_a"])
    assert list(nodes.columns) == NODE_COLUMNS
    assert nodes["index"].tolist() == [1, 3]
    assert nodes["index"].dtype == np.int64
    assert nodes["hemisphere"].tolist() == ["L", "R"]
    assert nodes["network"].tolist() == [None, None]
    assert nodes[["x", "y", "z"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("index", "names", "message"),
    [
        ([1, 1], ["a", "b"], "Labels that occur more than once.*: 1"),
        ([1, 2], ["a", "a"], "Names that occur more than once.*: a"),
        ([0, 1], ["a", "b"], "integers from 1 up, got 0"),
        ([1.5, 2], ["a", "b"], "integers from 1 up, got 1.5"),
        (["x", 2], ["a", "b"], "integers from 1 up, got x"),
        ([1, 2], ["a", " "], "without a name: labels 2"),
        ([], [], "no region"),
    ],
)
def test_faults_of_a_table_are_named(index: list, names: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_nodes(index, names)


def test_columns_hemispheres_and_colours_are_checked() -> None:
    nodes = build_nodes([1], ["a"])
    with pytest.raises(InputError, match="columns"):
        validate_nodes(nodes.drop(columns="color"))
    with pytest.raises(InputError, match="L, R or B, got left"):
        validate_nodes(nodes.assign(hemisphere="left"))
    with pytest.raises(InputError, match="#rrggbb, got red"):
        validate_nodes(nodes.assign(color="red"))


def test_geometry_of_labels_by_hand(four_blocks: np.ndarray) -> None:
    geometry = label_geometry(four_blocks, AFFINE)
    # label 1: voxels i 1-2, j 1-3, k 2-3 -> mean 1.5, 2, 2.5 -> mm -12, -12, -2
    assert geometry.loc[1, ["x", "y", "z"]].tolist() == [-12.0, -12.0, -2.0]
    assert geometry.loc[3, "x"] == 4 * 7.5 - 18
    assert geometry["n_voxels"].tolist() == [12] * 4
    assert geometry["left"].tolist() == [1, 1, 0, 0]


def test_geometry_follows_a_flipped_x_axis(four_blocks: np.ndarray) -> None:
    flip = AFFINE @ np.array([[-1, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    pd.testing.assert_frame_equal(label_geometry(four_blocks[::-1], flip), label_geometry(four_blocks, AFFINE))


def test_hemispheres_come_from_the_volume_where_names_are_silent(four_blocks: np.ndarray) -> None:
    four_blocks[4:6, 0, 0] = 5  # one voxel on each side
    nodes = build_nodes([1, 2, 3, 4, 5, 6], ["a", "b", "c", "d", "stem", "absent"])
    nodes, notes = complete_nodes(nodes, nib.Nifti1Image(four_blocks, AFFINE))
    assert nodes["hemisphere"].tolist() == ["L", "L", "R", "R", "B", None]
    assert np.isnan(nodes.loc[5, "x"])
    assert notes == []


def test_a_volume_flipped_left_to_right_is_refused(four_blocks: np.ndarray) -> None:
    nodes = build_nodes([1, 2, 3, 4], ["R_a", "R_b", "L_a", "L_b"])
    with pytest.raises(InputError, match=r"4 of 4 regions lie in the hemisphere opposite.*sform"):
        complete_nodes(nodes, nib.Nifti1Image(four_blocks, AFFINE))


def test_one_region_on_the_wrong_side_is_noted(four_blocks: np.ndarray) -> None:
    nodes = build_nodes([1, 2, 3, 4], ["L_a", "R_x", "R_a", "R_b"])
    completed, notes = complete_nodes(nodes, nib.Nifti1Image(four_blocks, AFFINE))
    assert "R_x" in notes[0]
    assert completed["hemisphere"].tolist() == ["L", "R", "R", "R"]


def test_network_colours_are_published_or_distinct_and_do_not_depend_on_order() -> None:
    names = ["Vis", "Default", "Alpha", "Beta", None, "unassigned"]
    colors = network_colors(names)
    assert colors[0] == "#781286"
    assert colors[1] == "#cd3e4e"
    assert colors[4] == colors[5] == "#9e9e9e"
    assert len(set(colors[:4])) == 4
    assert network_colors(names[::-1]) == colors[::-1]
    seventeen = [f"{n}{k}" for n in ("VisCent", "SomMot", "DorsAttn", "Default") for k in "AB"]
    assert len(set(network_colors(seventeen))) == 8
