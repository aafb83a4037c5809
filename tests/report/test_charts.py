from __future__ import annotations

import xml.etree.ElementTree as ET

import matplotlib as mpl
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from report_world import AFFINE, SHAPE

from bids_ai.errors import InputError
from bids_ai.report.figures import connectome, func, matrices, parcellation, surrogate
from bids_ai.report.figures import nodes as node_table


def words(path) -> str:
    return " ".join("".join(element.itertext()) for element in ET.parse(path).getroot().iter() if "text" in element.tag)


def confounds(n: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    fd = np.abs(rng.normal(0.1, 0.05, n))
    fd[0] = np.nan
    columns = {f"{kind}_{axis}": rng.normal(0, 0.01, n) for kind in ("trans", "rot") for axis in "xyz"}
    return pd.DataFrame(
        {"framewise_displacement": fd, "std_dvars": fd + 1, "dvars": fd * 30, "global_signal": rng.normal(size=n)}
        | columns
    )


# ---- carpet


def test_carpet_names_units_groups_threshold_and_censored_frames(tmp_path):
    series = np.random.default_rng(0).normal(size=(50, 30))
    lost = np.zeros(50, bool)
    lost[[10, 11, 30]] = True
    series[lost] = np.nan
    out = func.plot_carpet(
        series, ["A"] * 10 + ["B"] * 20, confounds(), 2.0, tmp_path / "c.svg", fd_threshold=0.5, censored=lost
    )
    text = words(out)
    for expected in ("FD", "(mm)", "DVARS", "Global signal", "Time (s)", "threshold 0.5 mm", "A", "B"):
        assert expected in text
    assert "50 frames of 2 s; 3 censored (shaded), 47 kept = 1.6 min" in text


def test_carpet_without_confounds_is_the_carpet_alone(tmp_path):
    out = func.plot_carpet(np.ones((5, 3)), ["A"] * 3, pd.DataFrame(index=range(5)), 1.0, tmp_path / "c.svg")
    assert "FD" not in words(out)


@pytest.mark.parametrize(("groups", "frames"), [(["A"] * 2, 5), (["A"] * 3, 4)])
def test_carpet_of_uneven_lengths_is_refused(groups, frames, tmp_path):
    with pytest.raises(InputError, match="length"):
        func.plot_carpet(np.ones((5, 3)), groups, confounds(frames), 1.0, tmp_path / "c.svg")


def test_rows_are_gathered_by_group_in_order_of_appearance_and_thinned_evenly():
    data = np.arange(6)[None, :] * np.ones((2, 1))
    rows, blocks = func._gather(data, ["B", "A", "B", "A", "B", "B"])
    np.testing.assert_array_equal(rows[0], [0, 2, 4, 5, 1, 3])
    assert blocks == [("B", 0, 4), ("A", 4, 6)]
    wide, blocks = func._gather(np.zeros((2, 3000)), ["A"] * 2000 + ["B"] * 1000)
    assert wide.shape[1] == 600
    assert blocks == [("A", 0, 400), ("B", 400, 600)]


def test_standardised_rows_have_mean_0_and_sd_1_over_the_frames_that_are_there():
    data = np.array([[1.0, 7, np.nan], [3.0, 7, np.nan], [np.nan, 7, np.nan]])
    standard = func._standardise(data)
    np.testing.assert_allclose(standard[:2, 0], [-1, 1])
    assert np.isnan(standard[2, 0])
    np.testing.assert_allclose(standard[:, 1], 0)
    assert np.isnan(standard[:, 2]).all()


def test_dvars_falls_back_to_bold_units():
    labels = [label for label, _, _ in func._traces(confounds().drop(columns="std_dvars"))]
    assert labels == ["FD\n(mm)", "DVARS\n(BOLD units)", "Global signal\n(SD)"]


def test_motion_figure_is_in_mm_and_degrees(tmp_path):
    text = words(func.plot_motion(confounds(), 2.0, tmp_path / "m.svg"))
    assert "Translation (mm)" in text
    assert "Rotation (degrees)" in text


def test_bold_figures_alternate_and_take_images_on_other_grids(head, tissues, tmp_path):
    coarse = nib.Nifti1Image(head.get_fdata()[::2, ::2, ::2], AFFINE @ np.diag([2, 2, 2, 1]))
    for out in (
        func.plot_coregistration(coarse, head, tissues, tmp_path / "a.svg"),
        func.plot_bold_in_template(coarse, head, tissues, tmp_path / "b.svg"),
    ):
        text = out.read_text()
        assert 'id="moving"' in text
        assert 'id="fixed"' in text
        assert "white matter" in text


# ---- nodes


def test_nodes_are_ordered_left_right_others_and_by_network_within(nodes):
    order, sides, networks = node_table.order_nodes(nodes)
    assert [nodes["name"][i] for i in order] == ["L_Vis_1", "L_Vis_2", "L_Def_1", "R_Vis_1", "R_Def_1", "Mid_1"]
    assert sides == [("Left", 0, 3), ("Right", 3, 5), ("midline or n/a", 5, 6)]
    assert networks[:2] == [("Vis", 0, 2), ("Def", 2, 3)]


def test_neighbouring_blocks_of_one_network_in_two_hemispheres_stay_apart(nodes):
    one = nodes[nodes["network"] == "Vis"]
    assert [block[1:] for block in node_table.order_nodes(one)[2]] == [(0, 2), (2, 3)]


def test_own_colours_are_used_only_where_a_network_has_one_of_its_own(nodes):
    assert node_table.network_colours(nodes)["Def"] == "#cd3e4e"
    same = nodes.assign(color="#cd3e4e")
    colours = node_table.network_colours(same)
    assert len(set(colours.values())) == len(colours)


def test_nodes_without_networks_keep_their_own_colours(nodes):
    plain = nodes.assign(network=None, color=[f"#00000{i}" for i in range(6)])
    assert node_table.node_colours(plain) == [f"#00000{i}" for i in range(6)]


def test_bad_colours_are_replaced(nodes):
    plain = nodes.assign(network=np.nan, color="javascript:x")
    assert all(colour.startswith("#") for colour in node_table.node_colours(plain))


# ---- matrices


def test_matrix_names_source_and_target_only_when_directed(nodes, tmp_path):
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    np.fill_diagonal(matrix, np.nan)
    common = {"title": "EC", "label": "Effect (SD)"}
    directed = words(matrices.plot_relmat(matrix, nodes, tmp_path / "a.svg", directed=True, **common))
    plain = words(matrices.plot_relmat(matrix, nodes, tmp_path / "b.svg", directed=False, **common))
    assert "Source region" in directed
    assert "Target region" in directed
    assert "Source" not in plain
    assert "Effect (SD)" in plain
    assert "R_Def_1" in plain
    assert "the diagonal by definition" in plain


def test_marked_cells_are_counted_and_drawn_at_their_place(nodes, tmp_path):
    from matplotlib.figure import Figure

    matrix, marks = np.ones((6, 6)), np.zeros((6, 6), bool)
    marks[0, 1] = marks[4, 2] = True
    common = {"title": "", "label": "l", "directed": True}
    text = words(matrices.plot_relmat(matrix, nodes, tmp_path / "a.svg", marks=marks, marked="sure", **common))
    assert "dots: sure (2)" in text
    assert "dots" not in words(matrices.plot_relmat(matrix, nodes, tmp_path / "b.svg", **common))
    axes = Figure().subplots()
    matrices._draw_marks(axes, marks)
    np.testing.assert_array_equal(axes.collections[0].get_offsets(), [[1.5, 0.5], [2.5, 4.5]])  # column, row


def test_regions_without_data_are_counted():
    matrix = np.ones((4, 4))
    matrix[2] = matrix[:, 2] = np.nan
    assert matrices._missing_words(matrix) == ["hatched: undefined; 1 of 4 regions without data"]
    assert matrices._missing_words(np.ones((4, 4))) == []


def test_colour_limit_ignores_diagonal_and_nan():
    matrix = np.full((10, 10), 0.5)
    np.fill_diagonal(matrix, 100)
    matrix[0, 1] = np.nan
    assert matrices.colour_limit(matrix) == 0.5
    assert matrices.colour_limit(np.full((3, 3), np.nan)) == 1.0


def test_matrix_cells_are_drawn_at_their_place(nodes, tmp_path):
    """The strongest cell, from L_Def_1 (third drawn) to R_Vis_1 (fourth drawn), is red at row 3, column 4."""
    from matplotlib.figure import Figure

    matrix = np.zeros((6, 6))
    matrix[2, 0] = 1.0
    axes = Figure().subplots()
    order, _, _ = node_table.order_nodes(nodes)
    picture = matrices._draw_cells(axes, matrix[np.ix_(order, order)], 1.0, diverging=True)
    cells = picture.get_array()
    times = cells.shape[0] // 6
    assert cells[2 * times + 1, 3 * times + 1] == 1.0
    assert cells.sum() == times**2


@pytest.mark.parametrize("shape", [(5, 5), (6, 5)])
def test_matrix_of_another_size_than_its_nodes_is_refused(shape, nodes, tmp_path):
    with pytest.raises(InputError):
        matrices.plot_relmat(np.zeros(shape), nodes, tmp_path / "a.svg", title="t", label="l", directed=True)


def test_pair_draws_both(nodes, tmp_path):
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    pair = [matrices.RelmatPanel(matrix, name, "unit", name == "EC") for name in ("FC", "EC")]
    text = words(matrices.plot_relmat_pair(*pair, nodes, tmp_path / "a.svg"))
    assert "FC" in text
    assert "EC" in text


# ---- connectome


def test_strongest_edges_run_from_row_to_column_and_never_take_nan_zero_or_diagonal():
    weights = np.array([[9.0, 0.1, -3], [0, 9, np.nan], [2, 0, 9]])
    assert connectome.strongest_edges(weights, 2) == [(2, 0), (0, 2)]
    assert connectome.strongest_edges(weights, 100) == [(0, 1), (2, 0), (0, 2)]


def test_strengths_are_row_and_column_sums_of_absolute_values():
    weights = np.array([[5.0, 1, -2, np.nan], [3, 5, 0, np.nan], [0, 0, 5, np.nan], [np.nan] * 4])
    sent, received = connectome.strengths(weights)
    np.testing.assert_allclose(sent, [3, 3, 0, np.nan])
    np.testing.assert_allclose(received, [3, 1, 2, np.nan])


def test_edge_is_broad_at_its_source_and_pointed_at_its_target():
    shape = connectome.tapered_edge(np.array([0.0, 0]), np.array([10.0, 0]), 2.0)
    width = np.hypot(*(shape[: len(shape) // 2] - shape[::-1][: len(shape) // 2]).T)
    assert width[0] == pytest.approx(2.0)
    assert width[-1] == pytest.approx(0.0)
    assert (np.diff(width) < 0).all()


def test_edge_and_its_reverse_bulge_apart():
    there = connectome.tapered_edge(np.array([0.0, 0]), np.array([10.0, 0]), 1.0).mean(0)
    back = connectome.tapered_edge(np.array([10.0, 0]), np.array([0.0, 0]), 1.0).mean(0)
    assert there[1] > 0.3
    assert back[1] < -0.3


def test_glass_brain_says_how_many_regions_are_left_out(nodes, tmp_path):
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    lost = nodes.copy()
    lost.loc[0, ["x", "y", "z"]] = np.nan
    text = words(connectome.plot_glass_brain(matrix, lost, tmp_path / "g.svg", n_edges=8, title="EC"))
    assert "8 strongest effects" in text
    assert "1 of 6 regions have no coordinates" in text
    assert "Left hemisphere" in text


def test_glass_brain_without_any_coordinates_is_refused(nodes, tmp_path):
    bare = nodes.assign(x=np.nan, y=np.nan, z=np.nan)
    with pytest.raises(InputError, match="coordinates"):
        connectome.plot_glass_brain(np.ones((6, 6)), bare, tmp_path / "g.svg", title="EC")


def test_glass_brain_of_a_matrix_without_effects_is_drawn(nodes, tmp_path):
    out = connectome.plot_glass_brain(np.full((6, 6), np.nan), nodes, tmp_path / "g.svg", title="EC")
    assert "0 strongest effects" in words(out)


def test_senders_and_receivers_are_not_mixed_up(nodes, tmp_path):
    matrix = np.zeros((6, 6))
    matrix[3, :] = 1.0  # R_Def_1 sends
    matrix[:, 4] = 2.0  # L_Vis_2 receives
    text = words(connectome.plot_strengths(matrix, nodes, tmp_path / "s.svg", n_regions=1))
    senders, receivers = text.split("Strongest senders")[0], text.split("Strongest senders")[1]
    assert "R_Def_1" in senders
    assert "L_Vis_2" in receivers
    assert "L_Vis_2" not in senders


# ---- surrogate


def test_fit_figure_says_scores_and_why_it_is_not_reliable(tmp_path):
    scores = {"r2": 0.31, "r2_se": 0.02, "r2_persistence": -3.0, "r2_ar1": 0.2, "gain_over_ar1_se": 0.01}
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(8, 40)))
    gate = {"verdict": "unreliable", "reasons": ("too few frames",)}
    text = words(surrogate.plot_surrogate_fit({"heldout": scores}, fc, fc, tmp_path / "f.svg", gate=gate, model="VAR"))
    for expected in ("0.31", "−3.00", "VAR", "Persistence", "r = 1.00", "unreliable", "too few frames"):
        assert expected in text
    assert "Ridge VAR" not in text  # no score of it was given


def test_ridge_var_is_not_its_own_rival(tmp_path):
    same = {"heldout": {"r2": 0.3, "r2_linear": 0.3, "r2_ar": 0.1}}
    other = {"heldout": {"r2": 0.3, "r2_linear": 0.29, "r2_ar": 0.1}}
    alone = words(surrogate.plot_surrogate_fit(same, None, None, tmp_path / "a.svg", model="model"))
    both = words(surrogate.plot_surrogate_fit(other, None, None, tmp_path / "b.svg", model="model"))
    assert "Ridge VAR" not in alone
    assert "Ridge VAR" in both


def test_fit_figure_without_simulation_or_verdict_says_so(tmp_path):
    text = words(surrogate.plot_surrogate_fit({"heldout": {}}, None, None, tmp_path / "f.svg"))
    assert "No free-running simulation" in text
    assert "No held-out scores" in text
    assert "No verdict" in text


def test_reliable_fit_is_called_reliable_unless_the_page_says_it(tmp_path):
    told = {"gate": {"verdict": "reliable"}}
    text = words(surrogate.plot_surrogate_fit(told, None, None, tmp_path / "f.svg"))
    assert "Verdict: reliable." in text
    silent = words(surrogate.plot_surrogate_fit(told, None, None, tmp_path / "f.svg", verdict=False))
    assert "erdict" not in silent


def test_a_bar_beyond_the_axis_is_marked_and_its_value_told(tmp_path):
    scores = {"r2": 0.3, "r2_persistence": -0.9}
    text = words(surrogate.plot_surrogate_fit({"heldout": scores}, None, None, tmp_path / "f.svg"))
    assert "−0.90 (beyond the axis)" in text
    scores["r2_persistence"] = -0.4
    inside = words(surrogate.plot_surrogate_fit({"heldout": scores}, None, None, tmp_path / "f.svg"))
    assert "beyond" not in inside


def test_the_figure_tells_the_r_of_the_evaluation_where_there_is_one(tmp_path):
    fc = np.corrcoef(np.random.default_rng(0).normal(size=(8, 40)))
    text = words(surrogate.plot_surrogate_fit({"free_running": {"fc_r": 0.61}}, fc, fc, tmp_path / "f.svg"))
    assert "r = 0.61" in text


def test_fit_of_uneven_matrices_is_refused(tmp_path):
    with pytest.raises(InputError):
        surrogate.plot_surrogate_fit({}, np.eye(3), np.eye(4), tmp_path / "f.svg")


def test_symmetry_of_symmetric_and_antisymmetric_matrices():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(12, 12))
    even, odd = a + a.T, a - a.T
    assert surrogate.symmetry(even) == pytest.approx(1)
    assert surrogate.symmetry(odd) == pytest.approx(-1)
    assert surrogate.antisymmetric_share(even) == pytest.approx(0)
    assert surrogate.antisymmetric_share(odd) == pytest.approx(1)
    # By hand: EC 2 one way and 0 back has the even part 1 and the odd part 1, half the power each.
    assert surrogate.antisymmetric_share(np.array([[np.nan, 2.0], [0, np.nan]])) == pytest.approx(0.5)


def test_direction_figure_says_the_correlation(tmp_path):
    a = np.random.default_rng(0).normal(size=(12, 12))
    np.fill_diagonal(a, np.nan)
    text = words(surrogate.plot_ec_direction(a + a.T, tmp_path / "d.svg"))
    assert "r(EC, EC transposed) = 1.00" in text
    assert "0 % of the sum of squares" in text
    surrogate.plot_ec_direction(np.full((3, 3), np.nan), tmp_path / "none.svg")


# ---- parcellation


def test_parcellation_colours_regions_and_marks_unknown_labels_grey(head, nodes, tmp_path):
    labels = np.zeros(SHAPE, np.int16)
    labels[2:8, 5:20, 4:15], labels[12:18, 5:20, 4:15], labels[9:11, 5:20, 4:15] = 2, 1, 99
    volume = parcellation.load_volume(nib.Nifti1Image(labels, AFFINE))
    picture = parcellation._fill(volume, nodes)(parcellation.Cut(2, 0.0, ((-20, 20), (-24, 24)), 1.0))
    colours = {tuple(int(v) for v in pixel) for pixel in picture.reshape(-1, 4)}
    assert (0x78, 0x12, 0x86, parcellation.FILL_ALPHA) in colours
    assert (128, 128, 128, parcellation.FILL_ALPHA) in colours
    assert (0, 0, 0, 0) in colours
    out = parcellation.plot_parcellation(nib.Nifti1Image(labels, AFFINE), head, nodes, tmp_path / "p.svg")
    assert "6 regions, 3 networks" in out.read_text()


def test_empty_parcellation_is_refused(head, nodes, tmp_path):
    with pytest.raises(InputError, match="no region"):
        parcellation.plot_parcellation(
            nib.Nifti1Image(np.zeros(SHAPE, np.int16), AFFINE), head, nodes, tmp_path / "p.svg"
        )


def test_coverage_counts_regions_below_the_minimum_and_those_without_a_row(nodes, tmp_path):
    table = pd.DataFrame({"index": [1, 2, 3, 4, 5], "coverage": [1.0, 0.5, 0.49, 1.0, np.nan]})
    text = words(parcellation.plot_coverage(table, nodes, tmp_path / "c.svg", minimum=0.5))
    assert "3 of 6 regions below the minimum of 50 %" in text


def test_coverage_table_without_its_columns_is_refused(nodes, tmp_path):
    with pytest.raises(InputError, match="share"):
        parcellation.plot_coverage(pd.DataFrame({"index": [1], "share": [1.0]}), nodes, tmp_path / "c.svg")


# ---- all


def test_figures_leave_matplotlib_as_it_was_and_are_reproducible(nodes, tmp_path):
    before = dict(mpl.rcParams)
    matrix = np.random.default_rng(0).normal(size=(6, 6))
    one, two = (
        matrices.plot_relmat(matrix, nodes, tmp_path / name, title="t", label="l", directed=True)
        for name in ("one.svg", "two.svg")
    )
    assert one.read_bytes() == two.read_bytes()
    assert dict(mpl.rcParams) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.svg", "two.svg"]


def test_names_of_regions_are_escaped_in_figures(nodes, tmp_path):
    evil = nodes.assign(name="<script>alert(1)</script>")
    out = matrices.plot_relmat(np.ones((6, 6)), evil, tmp_path / "a.svg", title="t", label="l", directed=True)
    assert "<script>" not in out.read_text()


def test_png_is_written_by_suffix(nodes, tmp_path):
    out = matrices.plot_relmat(np.ones((6, 6)), nodes, tmp_path / "a.png", title="t", label="l", directed=True)
    assert out.read_bytes().startswith(b"\x89PNG")


def test_regions_of_one_colour_are_told_apart_in_the_overlay_only(nodes):
    plain = nodes.assign(network=None, color="#9e9e9e")
    assert set(node_table.node_colours(plain)) == {"#9e9e9e"}
    assert len(set(node_table.node_colours(plain, distinct=True))) == 6


def test_matrix_of_many_regions_names_networks_and_leaves_out_names_that_would_overlap():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    blocks = [node_table.Block("A", 0, 47), node_table.Block("B", 47, 48), node_table.Block("C", 48, 52)]
    blocks.append(node_table.Block("D", 52, 100))
    matrices._name_blocks(axes, 100, blocks, [node_table.Block("Left", 0, 60), node_table.Block("Right", 60, 100)])
    named = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    assert named == {23.5: "A", 50: "C", 76: "D"}
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Left", "Right"]


def test_long_legend_goes_over_several_lines_and_never_under_the_name_of_the_layer():
    from bids_ai.report.figures import svg

    places, n_lines = svg._legend_places(["a network with a long name"] * 9)
    assert n_lines == 4  # 2 beside the name of the layer, then 3 a line
    assert all(x + 50 + 8.4 * 26 <= svg.WIDTH for x, _ in places)
    assert all(x + 50 + 8.4 * 26 <= svg.WIDTH - svg.LAYER_ROOM for x, y in places if y == places[0][1])
    assert svg._legend_places([]) == ([], 1)
