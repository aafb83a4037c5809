"""Similarity of subjects, outliers, landmarks, agreement of kinds of connectivity."""

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.group import edges as edges_module
from bids_ai.group.comparison import align, compare
from bids_ai.group.edges import EdgeStore
from bids_ai.group.landmarks import find_landmarks
from bids_ai.group.outliers import robust_z
from bids_ai.group.similarity import mean_with_others, pairwise, row_similarity


def stored(tmp_path, values):
    store = EdgeStore(tmp_path / "edges", values.shape[1])
    for row in values:
        store.append(row)
    return store


@pytest.mark.parametrize("block", [60, 10**6])
def test_similarity_is_the_correlation_over_shared_edges(tmp_path, monkeypatch, block):
    monkeypatch.setattr(edges_module, "BLOCK_VALUES", block)
    values = 5 + np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    values[1, :20] = np.nan
    values[2, 10:30] = np.nan
    inside = np.arange(50) % 3 == 0
    store = stored(tmp_path, values)
    for edges in (np.ones(50, bool), inside):
        found = row_similarity(store, range(4), None if edges.all() else edges)
        for i in range(4):
            for j in range(4):
                both = edges & np.isfinite(values[i]) & np.isfinite(values[j])
                expected = np.corrcoef(values[i, both], values[j, both])[0, 1]
                assert found[i, j] == pytest.approx(expected, abs=1e-6)  # single precision on disk


def test_no_number_without_edges_or_variation(tmp_path):
    values = np.random.default_rng(1).standard_normal((4, 6))
    values[1] = np.nan
    values[2] = 0.3
    values[3, 2:] = np.nan
    found = row_similarity(stored(tmp_path, values), range(4))
    assert found[0, 0] == pytest.approx(1)
    assert np.isnan(found[0, 1:]).all()
    assert np.isnan(mean_with_others(found)).all()
    assert pairwise(found).size == 0


def test_mean_with_others_leaves_oneself_out():
    similarity = np.array([[1, 0.2, 0.4], [0.2, 1, np.nan], [0.4, np.nan, 1]])
    np.testing.assert_allclose(mean_with_others(similarity), [0.3, 0.2, 0.4])
    np.testing.assert_allclose(pairwise(similarity), [0.2, 0.4])


def test_robust_z_of_normal_values_is_z_and_an_outlier_does_not_hide_itself():
    values = np.random.default_rng(2).standard_normal(2000)
    np.testing.assert_allclose(robust_z(values), values, atol=0.25)
    z = robust_z(np.array([1.0, 1.1, 0.9, 1.05, np.nan, 50.0]))
    assert z[5] > 100
    assert np.isnan(z[4])


def test_robust_z_needs_values_and_a_scale():
    assert np.isnan(robust_z(np.array([1.0, 2.0, 3.0, 9.0]))).all()
    assert np.isnan(robust_z(np.array([2.0, 2.0, 2.0, 2.0, 9.0]))).all()


def test_comparison_knows_equal_and_opposite_matrices():
    rng = np.random.default_rng(3)
    fc = rng.standard_normal((8, 8))
    fc = fc + fc.T
    sc = np.where(fc > 0, np.exp(fc), 0.0)
    np.fill_diagonal(fc, np.nan)
    found = {entry.quantity: entry for entry in compare(np.exp(fc), fc=fc, sc=sc)}
    assert found["self_symmetry"].value == pytest.approx(1)
    assert found["spearman_ec_fc"].value == pytest.approx(1)
    assert found["spearman_ec_sc_connected"].value == pytest.approx(1)
    assert found["spearman_ec_sc_connected"].n_edges == int((fc > 0).sum())
    assert 0 < found["spearman_ec_sc"].value < 1
    assert {entry.quantity: entry for entry in compare(-fc, fc=fc)}["spearman_ec_fc"].value == pytest.approx(-1)


def test_comparison_of_nothing_is_no_number():
    empty = np.full((4, 4), np.nan)
    assert all(np.isnan(entry.value) for entry in compare(empty, fc=empty, sc=np.zeros((4, 4))))


def test_regions_are_matched_by_another_spelling_and_in_another_order():
    matrix = np.arange(9.0).reshape(3, 3)
    names = ["7Networks_LH_Vis_1", "7Networks_RH_Vis_1", "7Networks_LH_Cont_1"]
    found = align(matrix, names, ["LH_Cont_1", "LH_Vis_1"])
    np.testing.assert_array_equal(found, [[8, 6], [2, 0]])
    with pytest.raises(InputError, match=r"1 of 2 regions have no partner: LH_Vis_2"):
        align(matrix, names, ["LH_Vis_1", "LH_Vis_2"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["LH_Vis_1", "LH_Cont_PFCl_1", "RH_Cont_PFCl_2", "LH_Default_pCunPCC_1"], {"dlPFC": 2, "PCC": 3}),
        (["Frontal_Mid_L", "Frontal_Mid_Orb_L", "Cingulum_Post_L"], {"dlPFC": 0, "PCC": 2}),
        (["L_46_ROI", "L_146_ROI", "R_v23ab_ROI"], {"dlPFC": 0, "PCC": 2}),
        (["ctx-lh-rostralmiddlefrontal", "ctx-lh-posteriorcingulate"], {"dlPFC": 0, "PCC": 1}),
        (["LH-1", "LH-2", "LH-3"], {"strongest": 2}),
    ],
)
def test_landmarks_by_name_or_the_strongest(names, expected):
    assert find_landmarks(names, np.arange(len(names), dtype=float)) == expected


def test_a_region_without_data_is_no_landmark():
    assert find_landmarks(["LH_PCC", "X"], np.array([np.nan, 1.0])) == {"strongest": 1}
    assert find_landmarks(["LH_PCC"], np.array([np.nan])) == {}
