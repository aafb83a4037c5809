from __future__ import annotations

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import coregistration as registration
from bids_ai.preprocess.motion import rigid_matrix

from .bold_phantom import EPI_VALUES, fine_image, grid, labels_at

T1W_SHAPE = (56, 68, 52)
T1W_AFFINE = grid(T1W_SHAPE, (2.5, 2.5, 2.5))


@pytest.fixture(scope="module")
def dseg() -> np.ndarray:
    return labels_at(geometry.grid_points(T1W_SHAPE, T1W_AFFINE)).reshape(T1W_SHAPE)


@pytest.fixture(scope="module")
def epi() -> tuple[np.ndarray, np.ndarray]:
    affine = grid((46, 56, 40), (3.5, 3.5, 3.5), turn_deg=10)
    points = geometry.grid_points((46, 56, 40), affine)
    return geometry.sample(*fine_image(EPI_VALUES, 3.5), points).reshape(46, 56, 40), affine


def test_mutual_information_between_its_bounds() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=20_000)
    assert registration.normalised_mutual_information(values, values) == pytest.approx(2)
    assert registration.normalised_mutual_information(values, -values) == pytest.approx(2)
    assert registration.normalised_mutual_information(values, rng.normal(size=20_000)) < 1.02


def test_boundary_points_lie_in_their_tissue(dseg: np.ndarray) -> None:
    boundary = registration.WhiteMatterBoundary.from_segmentation(dseg, T1W_AFFINE)
    assert len(boundary) > registration.MIN_BOUNDARY_POINTS
    # By the formula itself rather than by the voxels that the points were chosen from.
    assert (labels_at(boundary.white) == 2).mean() > 0.95
    assert (labels_at(boundary.grey) == 1).mean() > 0.9
    apart = np.linalg.norm(boundary.white - boundary.grey, axis=1)
    assert apart == pytest.approx(2 * registration.NORMAL_DISTANCE, abs=1e-3)


def test_boundary_based_registration_finds_the_truth(dseg: np.ndarray, epi: tuple[np.ndarray, np.ndarray]) -> None:
    boundary = registration.WhiteMatterBoundary.from_segmentation(dseg, T1W_AFFINE, max_points=4000)
    start = rigid_matrix(np.array([1.5, -2.0, 1.0, 0.03, -0.02, 0.03]), np.zeros(3))
    found, report = registration.refine_by_boundary(*epi, boundary, start)
    points = boundary.white[::10].astype(float)
    error = np.linalg.norm(geometry.apply_matrix(found, points) - points, axis=1)
    assert error.max() < 0.5
    assert report["after"] < report["before"]
    assert registration.refinement_is_credible(report)


def test_inverted_contrast_is_not_believed(dseg: np.ndarray, epi: tuple[np.ndarray, np.ndarray]) -> None:
    data, affine = epi
    boundary = registration.WhiteMatterBoundary.from_segmentation(dseg, T1W_AFFINE, max_points=2000)
    _, report = registration.refine_by_boundary(2200 - data, affine, boundary, np.eye(4), sloppy=True)
    assert not registration.refinement_is_credible(report)


@pytest.mark.parametrize("sloppy", [True, False])
def test_mutual_information_from_a_wrong_header(
    dseg: np.ndarray, epi: tuple[np.ndarray, np.ndarray], sloppy: bool
) -> None:
    data, affine = epi
    brain = np.array([0.0, 70, 100, 25], np.float32)[dseg]
    # 40 mm off is beyond the capture range of one start; the sloppy call has only that one and gets 6 mm.
    off = rigid_matrix(np.array([6.0, 0, 0, 0.05, 0, 0] if sloppy else [40.0, 10, 0, 0.1, 0, 0]), np.zeros(3))
    found = registration.register_mutual_information(data, off @ affine, data > 300, brain, T1W_AFFINE, sloppy=sloppy)
    points = geometry.grid_points(T1W_SHAPE, T1W_AFFINE, dseg > 0)[::50].astype(float)
    error = np.linalg.norm(geometry.apply_matrix(found @ off, points) - points, axis=1)
    assert error.mean() < 1.0


def test_overlap_of_a_cut_field_of_view(dseg: np.ndarray) -> None:
    mask = np.zeros((10, 10, 10), bool)
    mask[...] = True
    # A BOLD box that covers the first half of the x axis: 5 of 10 voxels. Every fiftieth point is looked at.
    assert registration.overlap_fraction((5, 10, 10), np.eye(4), mask, np.eye(4)) == pytest.approx(0.5, abs=0.1)
    with pytest.raises(InputError, match="10%"):
        registration.check_overlap(0.1)
    with pytest.raises(InputError, match="empty"):
        registration.overlap_fraction((5, 10, 10), np.eye(4), np.zeros((3, 3, 3)), np.eye(4))


def test_itk_text_transform_moves_images_as_ants_does(tmp_path: object, epi: tuple[np.ndarray, np.ndarray]) -> None:
    import ants

    data, affine = epi
    matrix = rigid_matrix(np.array([5.0, -3.0, 2.0, 0.1, 0.05, -0.08]), np.array([3.0, 2.0, 1.0]))
    path = geometry.write_itk_affine(tmp_path / "xfm.txt", matrix)  # type: ignore[operator]
    assert geometry.read_itk_affine(path) == pytest.approx(matrix, abs=1e-6)
    image = geometry.ants_image(data, affine)
    by_ants = ants.apply_transforms(image, image, [str(path)]).numpy()
    points = geometry.grid_points(data.shape, affine)
    ours = geometry.sample(data, affine, geometry.apply_matrix(matrix, points)).reshape(data.shape)
    inside = ours > 300
    assert np.abs(by_ants - ours)[inside].max() < 1  # of 1000
    warped = geometry.warp_points(points[:100], path)
    assert warped == pytest.approx(geometry.apply_matrix(matrix, points[:100].astype(float)), abs=1e-3)
