from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.names import find_regions, homotopic_partners, mirror_name, name_key, side_of_name
from bids_ai.parcellation.nodes import build_nodes


@pytest.mark.parametrize(
    ("name", "side", "mirrored"),
    [
        ("LH_Vis_1", "L", "RH_Vis_1"),
        ("7Networks_RH_Default_PFC_3", "R", "7Networks_LH_Default_PFC_3"),
        ("HIP-rh", "R", "HIP-lh"),
        ("HIP-head-l-rh", "R", "HIP-head-l-lh"),  # the small l is lateral
        ("Precentral_L", "L", "Precentral_R"),
        ("SFG_R_7_1", "R", "SFG_L_7_1"),
        ("ctx-lh-bankssts", "L", "ctx-rh-bankssts"),
        ("Left-Thalamus-Proper", "L", "Right-Thalamus-Proper"),
        ("right hippocampus", "R", "left hippocampus"),
        ("Brain-Stem", None, None),
        ("LR_bilateral", None, None),
        ("L_to_R_tract", None, None),
        ("Lingual", None, None),
    ],
)
def test_sides_and_mirror_images_of_names(name: str, side: str | None, mirrored: str | None) -> None:
    assert side_of_name(name) == side
    assert mirror_name(name) == mirrored
    if mirrored:
        assert mirror_name(mirrored) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("7Networks_LH_Vis_1", "LH_Vis_1"),
        ("HIP-rh", "RH_HIP"),
        ("ctx-lh-bankssts", "LH_bankssts"),
        ("Left-Thalamus", "L_thalamus"),
    ],
)
def test_spellings_of_one_region_share_a_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_keys_keep_sides_and_numbers_apart() -> None:
    assert len({name_key(n) for n in ("LH_Vis_1", "RH_Vis_1", "LH_Vis_11", "LH_Vis_2")}) == 4


def test_regions_are_found_by_name_alias_and_label() -> None:
    nodes = build_nodes([4, 7, 9], ["LH_Vis_1", "RH_Vis_1", "HIP-rh"])
    assert find_regions(["7Networks_RH_Vis_1", "LH_Vis_1", "RH_HIP", "9"], nodes) == [7, 4, 9, 9]
    with pytest.raises(InputError, match=r"names no region.*Did you mean LH_Vis_1"):
        find_regions(["LH_Vis_12"], nodes)


def test_an_alias_of_two_regions_is_refused() -> None:
    nodes = build_nodes([1, 2], ["7Networks_LH_Vis_1", "17Networks_LH_Vis_1"])
    with pytest.raises(InputError, match="several regions"):
        find_regions(["LH_Vis_1"], nodes)


def test_plain_names_pair_by_name_and_running_numbers_by_place() -> None:
    xyz = np.array([[-20, 0, 0], [25, 0, 0], [-30, -50, 0], [-30, 40, 0], [31, 41, 0], [29, -50, 0], [0, 0, 9]])
    names = ["HIP-lh", "HIP-rh", "LH_Vis_1", "LH_Vis_2", "RH_Vis_1", "RH_Vis_2", "stem"]
    sides = [*"LRLLRR", "B"]
    nodes = build_nodes(range(1, 8), names, hemisphere=sides, xyz=xyz.astype(float))
    partner = homotopic_partners(nodes)
    assert partner.loc[[1, 2, 3, 4, 5, 6]].tolist() == [2, 1, 6, 5, 4, 3]
    assert partner.isna().tolist() == [False] * 6 + [True]


def test_no_partner_farther_than_the_tolerance_and_none_twice() -> None:
    xyz = np.array([[-20, 0, 0], [-22, 2, 0], [20, 0, 0], [-50, 0, 0], [50, 0, 16.0]])
    nodes = build_nodes(range(1, 6), list("abcde"), hemisphere=list("LLRLR"), xyz=xyz)
    partner = homotopic_partners(nodes)
    assert partner[1] == 3
    assert partner[3] == 1
    assert partner[[2, 4, 5]].isna().all()


def test_numbered_names_are_trusted_without_centroids() -> None:
    partner = homotopic_partners(build_nodes([1, 2], ["LH_Vis_1", "RH_Vis_1"]))
    assert partner.tolist() == [2, 1]
