from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from report_world import AFFINE, SHAPE, world

from bids_ai.errors import InputError
from bids_ai.report.figures.anat import plot_brain_mask, plot_template_registration, plot_tissues
from bids_ai.report.figures.mosaic import Cut, load_volume, outline, plan_cuts, sample, simplify, window, world_extent
from bids_ai.report.figures.svg import MosaicSvg

SVG = "{http://www.w3.org/2000/svg}"


def coordinate_image(axis: int, affine: np.ndarray = AFFINE) -> nib.Nifti1Image:
    """An image whose value is its own world coordinate along an axis."""
    return nib.Nifti1Image(world(SHAPE, affine)[axis].astype(np.float32), affine)


def flipped() -> np.ndarray:
    """The same box with the first voxel axis running from right to left (LAS)."""
    affine = AFFINE.copy()
    affine[0, 0], affine[0, 3] = -2, 20
    return affine


@pytest.mark.parametrize("affine", [AFFINE, flipped()], ids=["RAS", "LAS"])
@pytest.mark.parametrize("axis", [0, 1])
def test_axial_cut_runs_from_left_to_right_and_top_is_front_whatever_the_storage(affine, axis):
    volume = load_volume(coordinate_image(axis, affine))
    cut = Cut(axis=2, position=0.0, bounds=((-10, 10), (-12, 12)), pixel=2.0)
    picture = sample(volume, cut)
    assert picture.shape == cut.shape == (12, 10)
    expected = np.arange(-10, 10, 2) if axis == 0 else np.arange(-12, 12, 2)[::-1][:, None]
    np.testing.assert_allclose(picture, np.broadcast_to(expected, picture.shape), atol=1e-4)


def test_cut_of_a_rotated_image_is_taken_in_world_coordinates():
    turn = np.deg2rad(20)
    affine = AFFINE.copy()
    affine[:2, :2] = 2 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    volume = load_volume(coordinate_image(0, affine))
    centre = (affine @ [10, 12, 9, 1])[:3]
    bounds = tuple((centre[a] - 4, centre[a] + 4) for a in (0, 1))
    picture = sample(volume, Cut(2, centre[2], bounds, 1.0))
    np.testing.assert_allclose(picture[0], centre[0] + np.arange(-4, 4), atol=1e-3)


def test_outside_the_image_is_black():
    picture = sample(load_volume(coordinate_image(0)), Cut(2, 100.0, ((0, 4), (0, 4)), 1.0))
    assert not picture.any()


def test_world_extent_is_the_box_of_the_mask():
    mask = np.zeros(SHAPE, np.uint8)
    mask[5:8, 10:12, 3] = 1
    extent = world_extent(load_volume(nib.Nifti1Image(mask, AFFINE)))
    np.testing.assert_allclose(extent, [[-10, -6], [-4, -2], [-12, -12]])


def test_cuts_span_the_box_in_three_planes_and_never_sample_below_the_limit():
    rows = plan_cuts(np.array([[-60.0, 60], [-100, 70], [-50, 80]]), pixel=0.4, n_cuts=7, margin=5)
    assert [[cut.axis for cut in row] for row in rows] == [[2] * 7, [1] * 7, [0] * 7]
    assert [cut.position for cut in rows[2]] == [-48, -32, -16, 0, 16, 32, 48]
    assert rows[0][0].bounds == ((-65, 65), (-105, 75))
    assert rows[0][0].pixel == 0.9


def test_outline_of_a_square_lies_halfway_between_its_pixels_and_the_outside():
    field = np.zeros((10, 10))
    field[3:7, 2:8] = 1
    (line,) = outline(field)
    np.testing.assert_allclose(line.min(0), [1.5, 2.5])
    np.testing.assert_allclose(line.max(0), [7.5, 6.5])


def test_outline_of_nothing_is_nothing():
    assert outline(np.zeros((5, 5))) == []


def test_simplify_keeps_corners_and_drops_points_on_the_way():
    line = np.array([[0, 0], [1, 0.05], [2, 0], [3, 0], [3, 1], [3, 2.0]])
    np.testing.assert_array_equal(simplify(line, 0.2), [[0, 0], [3, 0], [3, 2]])


def test_simplify_of_a_closed_line_does_not_collapse():
    line = np.array([[0, 0], [0, 4], [4, 4], [4, 0], [0, 0]], float)
    assert len(simplify(line)) == 5


def test_window_ignores_the_background(head):
    low, high = window(load_volume(head), head.get_fdata() > 50)
    assert 80 < low < 100
    assert 150 < high < 170


def test_four_dimensional_image_is_refused_with_its_shape():
    with pytest.raises(InputError, match=r"\(4, 4, 4, 3\)"):
        load_volume(nib.Nifti1Image(np.zeros((4, 4, 4, 3), np.float32), AFFINE), "T1w")


def test_trailing_axis_of_one_is_dropped():
    assert load_volume(nib.Nifti1Image(np.zeros((4, 5, 6, 1), np.float32), AFFINE)).data.shape == (4, 5, 6)


def test_brain_mask_figure_is_valid_svg_with_21_slices_marked_left_and_right(head, tissues, tmp_path):
    out = plot_brain_mask(head, tissues, tmp_path / "mask.svg")
    root = ET.parse(out).getroot()
    assert len(root.findall(f".//{SVG}image")) == 21
    words = [text.text for text in root.iter(f"{SVG}text")]
    # First and last slice of the axial and of the coronal row.
    assert words.count("L") == words.count("R") == 4
    assert words.count("P") == words.count("A") == 2
    assert any("mm" in word for word in words)
    assert len(root.findall(f".//{SVG}path")) >= 15


def test_path_and_image_give_the_same_figure(head, tissues, tmp_path):
    nib.save(head, tmp_path / "t1w.nii.gz")
    nib.save(tissues, tmp_path / "mask.nii.gz")
    one = plot_brain_mask(head, tissues, tmp_path / "one.svg")
    two = plot_brain_mask(tmp_path / "t1w.nii.gz", str(tmp_path / "mask.nii.gz"), tmp_path / "two.svg")
    assert one.read_bytes() == two.read_bytes()


def test_left_of_the_picture_is_left_of_the_brain(tissues, tmp_path):
    values = np.where(world()[0] < 0, 200, 20).astype(np.float32)  # bright on the left
    image = nib.Nifti1Image(values[::-1].copy(), flipped())  # stored from right to left
    out = plot_brain_mask(image, tissues, tmp_path / "mask.svg")
    data = re.findall(r'data:image/jpeg;base64,([^"]+)"', out.read_text())
    axial = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[3]))), float)
    middle = axial[axial.shape[0] // 2]
    width = len(middle)
    assert middle[width // 2 - 5] > 150 > 100 > middle[width // 2 + 5]


def test_tissue_figure_outlines_three_tissues(head, tissues, tmp_path):
    text = plot_tissues(head, tissues, tmp_path / "dseg.svg").read_text()
    for name in ("grey matter", "white matter", "CSF"):
        assert name in text
    assert len(set(re.findall(r'<path class="line" stroke="(#\w+)"', text))) == 3


def test_registration_figure_has_two_layers_named_as_the_report_asks(head, tissues, tmp_path):
    from bids_ai.report.sections import load_sections

    root = ET.parse(plot_template_registration(head, head, tissues, tmp_path / "reg.svg")).getroot()
    layers = {group.get("id"): group for group in root.iter(f"{SVG}g")}
    assert len(layers["moving"].findall(f".//{SVG}image")) == len(layers["fixed"].findall(f".//{SVG}image")) == 21
    asked = {key for section in load_sections() for item in section.reportlets for key in item.layers}
    assert asked == {"moving", "fixed"}


def test_text_in_a_figure_is_escaped():
    cut = Cut(2, 0.0, ((0, 4), (0, 4)), 1.0)
    mosaic = MosaicSvg([[cut]], "<script>alert(1)</script>")
    mosaic.add_layer("moving", 'a"<b>', lambda c: np.zeros(c.shape, np.uint8))
    mosaic.add_legend("<i>", "#ffffff")
    text = mosaic.render()
    assert "<script>" not in text
    assert "<i>" not in text
    ET.fromstring(text)


def test_figures_stay_small(head, tissues, tmp_path):
    assert plot_tissues(head, tissues, tmp_path / "dseg.svg").stat().st_size < 400_000
