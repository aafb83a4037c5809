import numpy as np
import pytest

from bids_ai.preprocess import volumes


def sphere(radius_mm: float, mm: float, n: int = 40) -> np.ndarray:
    grid = (np.indices((n, n, n)) - (n - 1) / 2) * mm
    return (grid**2).sum(axis=0) <= radius_mm**2


def test_isotropic_keeps_world_positions_of_an_anisotropic_oblique_image():
    turn = np.deg2rad(20)
    affine = np.array(
        [
            [np.cos(turn), -2 * np.sin(turn), 0, -30],
            [np.sin(turn), 2 * np.cos(turn), 0, 15],
            [0, 0, 3, 7],
            [0, 0, 0, 1.0],
        ]
    )
    weights = np.array([0.5, -1.0, 2.0])
    voxels = np.stack(np.indices((30, 20, 15)), -1)
    data = (voxels @ affine[:3, :3].T + affine[:3, 3]) @ weights  # linear in world coordinates
    out, grid = volumes.isotropic(data.astype(np.float32), affine, 2.0)
    assert volumes.voxel_sizes(grid) == pytest.approx([2, 2, 2])
    inner = tuple(slice(3, -4) for _ in range(3))
    there = np.stack(np.indices(out.shape), -1) @ grid[:3, :3].T + grid[:3, 3]
    # Smoothing and linear interpolation leave a linear function as it is, away from the border.
    assert np.allclose(out[inner], (there @ weights)[inner], atol=1e-3)


def test_signed_distance_of_a_sphere():
    mm, radius = 2.0, 24.0
    distance = volumes.signed_distance(sphere(radius, mm), mm)
    grid = (np.indices(distance.shape) - 19.5) * mm
    exact = np.sqrt((grid**2).sum(axis=0)) - radius
    near = np.abs(exact) < 8
    # Half a voxel of bias would be 1 mm.
    assert abs((distance - exact)[near].mean()) < 0.35
    assert np.abs((distance - exact)[near]).max() < 1.5


def test_closing_fills_a_fissure_but_keeps_the_outside():
    mask = sphere(30, 2.0)
    slit = mask.copy()
    slit[19:21, :, 20:] = False  # 4 mm wide
    closed = volumes.closing(slit, 6.0, 2.0)
    assert volumes.dice(closed, mask) > 0.995
    assert not closed[0].any()


def test_resample_follows_a_transform_of_the_world():
    data = np.zeros((20, 20, 20), np.float32)
    data[10, 10, 10] = 1
    moved = np.eye(4)
    moved[:3, 3] = [4, -2, 6]
    out = volumes.resample(data, np.diag([2.0, 2, 2, 1]), (20, 20, 20), np.diag([2.0, 2, 2, 1]), moved=moved)
    assert np.unravel_index(out.argmax(), out.shape) == (12, 9, 13)


def test_mutual_information_of_identical_independent_and_constant_images():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200_000))
    nmi = volumes.normalised_mutual_information
    assert nmi(a, a) == pytest.approx(2)
    assert nmi(a, -3 * a + 1) == pytest.approx(2, abs=0.01)  # any contrast
    assert nmi(a, b) == pytest.approx(1, abs=0.01)
    assert np.isnan(nmi(a, np.ones_like(a)))


def test_otsu_separates_two_classes():
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(10, 2, 3000), rng.normal(100, 8, 1000)]
    assert 16 < volumes.otsu_threshold(values) < 76


def test_dice_by_hand():
    a, b = np.array([1, 1, 0, 0], bool), np.array([1, 0, 1, 1], bool)
    assert volumes.dice(a, b) == pytest.approx(2 / 5)
    assert np.isnan(volumes.dice(a & ~a, a & ~a))


def test_largest_component_of_nothing_is_nothing():
    empty = np.zeros((3, 3, 3), bool)
    assert not volumes.largest_component(empty).any()
