"""The two ways of making parcels, on grey matter small enough to know the answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from bids_ai.errors import InputError
from bids_ai.parcellation.equal_volume import apportion, equal_volume
from bids_ai.parcellation.greymatter import CEREBELLUM, CORTEX, SUBCORTEX, GreyMatter, voxel_graph
from bids_ai.parcellation.grow import ANY, grow_parcels, side_of_seed


def _grey(part: np.ndarray, voxel_mm: float = 2.0) -> GreyMatter:
    affine = np.diag([voxel_mm, voxel_mm, voxel_mm, 1.0])
    affine[0, 3] = -voxel_mm * (part.shape[0] // 2)
    return GreyMatter((part > 0).astype(np.float32), part.astype(np.int8), affine)


@pytest.fixture
def slab() -> GreyMatter:
    """Two hemispheres of 10 x 20 x 5 voxels of cortex with a plane at x = 0."""
    return _grey(np.full((21, 20, 5), CORTEX))


def test_neighbours_and_distances_of_the_voxel_graph() -> None:
    mask = np.zeros((3, 3, 3), bool)
    mask[0, 0, 0] = mask[1, 0, 0] = mask[2, 1, 1] = True
    graph = voxel_graph(mask, 2.0, cost=np.where(np.arange(3)[:, None, None] == 0, 3.0, 1.0) * np.ones((3, 3, 3)))
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = 2.0 * (3 + 1) / 2
    expected[1, 2] = expected[2, 1] = 2.0 * np.sqrt(3)
    np.testing.assert_allclose(graph.toarray(), expected)


@pytest.mark.parametrize("n", [2, 4, 7, 10, 16, 40])
def test_volumes_are_equal_connected_and_mirrored(slab: GreyMatter, n: int) -> None:
    labels, names = equal_volume(slab, n)
    assert len(set(names)) == n
    size = np.bincount(labels.ravel())[1:]
    n_left = n - n // 2
    for side, count in ((size[:n_left], n_left), (size[n_left:], n // 2)):
        assert np.abs(side - 1000 / count).max() <= max(2, 0.03 * 1000 / count)
    assert not labels[10].any()
    assert labels[:10].max() == n_left
    assert labels[11:].min() == n_left + 1
    for k in range(1, n + 1):
        assert ndimage.label(labels == k, structure=np.ones((3, 3, 3)))[1] == 1
    if n % 2 == 0:
        np.testing.assert_array_equal(labels[11:][::-1] - n_left, labels[:10])


def test_the_first_cut_crosses_the_longest_extent(slab: GreyMatter) -> None:
    labels, _ = equal_volume(slab, 4)
    first = np.argwhere(labels == labels[0, 0, 0])
    assert first[:, 1].max() <= 13  # of 20: an oblique cut would reach the far end
    assert (labels[0, 0, 0] != labels[0, 19, 0]).all()


def test_a_folded_sheet_is_cut_along_itself() -> None:
    part = np.zeros((21, 20, 9))
    part[:10, :, 0:3] = part[11:, :, 0:3] = CORTEX  # lower bank
    part[:10, :, 6:9] = part[11:, :, 6:9] = CORTEX  # upper bank, three voxels away
    part[:10, 17:, 3:6] = part[11:, 17:, 3:6] = CORTEX  # joined at the fundus alone
    labels, _ = equal_volume(_grey(part), 4)
    lower, upper = labels[:10, :12, 0:3], labels[:10, :12, 6:9]
    # no region holds both banks away from the fundus, though they are close in space
    assert not set(np.unique(lower)) & set(np.unique(upper))


def test_separate_pieces_are_all_used() -> None:
    part = np.zeros((21, 20, 5))
    part[:10, :9] = part[:10, 11:] = CORTEX
    part[11:] = part[:10][::-1]
    labels, _ = equal_volume(_grey(part), 4)
    assert ((labels > 0) == (part > 0)).all()
    assert np.bincount(labels.ravel())[1:].tolist() == [450] * 4


def test_compartments_do_not_share_regions_when_volumes_allow() -> None:
    part = np.full((21, 20, 5), CORTEX)
    part[:, 16:] = CEREBELLUM  # a fifth
    part[:, 14:16] = SUBCORTEX  # a tenth
    grey = _grey(part, 3.0)
    labels, names = equal_volume(grey, 20)
    for k in range(1, 21):
        assert len(np.unique(part[labels == k])) == 1
    assert [sum(name[3:6] == word for name in names) for word in ("Ctx", "Sub", "Cer")] == [14, 2, 4]


@pytest.mark.parametrize(
    ("volumes", "n", "expected"),
    [
        ((700, 100, 200), 10, [((1,), 7), ((2,), 1), ((3,), 2)]),
        ((700, 100, 200), 5, [((1, 2), 4), ((3,), 1)]),
        ((700, 100, 200), 2, [((1, 2, 3), 2)]),
        ((700, 100, 200), 1, [((1, 2, 3), 1)]),
    ],
)
def test_regions_are_shared_out_by_volume(volumes: tuple, n: int, expected: list) -> None:
    assert apportion(dict(zip((1, 2, 3), volumes, strict=True)), n) == expected


def test_too_many_regions_are_refused(slab: GreyMatter) -> None:
    with pytest.raises(InputError, match="2 to 250 regions"):
        equal_volume(slab, 251)


def test_seeds_meet_half_way_and_stop_at_the_radius() -> None:
    part = np.zeros((61, 3, 3))
    part[:, 1, 1] = CORTEX  # a line along x, from -60 to 60 mm
    grey = _grey(part)
    xyz = np.array([[-40.0, 2, 2], [-30, 2, 2], [40, 2, 2]])
    labels, seeds = grow_parcels(grey, xyz, np.full(3, CORTEX), radius_mm=10)
    x = np.arange(-60, 61, 2)
    line = labels[:, 1, 1]
    assert x[line == 1].tolist() == [-50, -48, -46, -44, -42, -40, -38, -36]
    assert x[line == 2].tolist() == [-34, -32, -30, -28, -26, -24, -22, -20]
    assert (x[line == 3].min(), x[line == 3].max()) == (30, 50)
    assert seeds["n_voxels"].tolist() == [8, 8, 11]
    assert seeds["shift_mm"].tolist() == [0, 0, 0]


def test_parcels_keep_to_their_hemisphere_unless_on_the_midline(slab: GreyMatter) -> None:
    xyz = np.array([[-3.0, 8, 4], [0.5, 30, 4]])
    labels, seeds = grow_parcels(slab, xyz, np.full(2, CORTEX), radius_mm=12)
    assert seeds["side"].tolist() == ["L", "B"]
    x = np.nonzero(labels == 1)[0] - 10
    assert x.min() < 0
    assert x.max() == 0
    both = np.nonzero(labels == 2)[0] - 10
    assert (both.min() < 0, both.max() > 0) == (True, True)


def test_parcels_keep_to_their_compartment() -> None:
    part = np.full((21, 20, 5), CORTEX)
    part[:, 10:] = CEREBELLUM
    grey = _grey(part)
    xyz = np.array([[-10.0, 17, 4], [-10, 23, 4], [10, 19, 4]])  # y = 19 is the border, nearer to 18 or 20 alike
    labels, seeds = grow_parcels(grey, xyz, np.array([CEREBELLUM, CORTEX, ANY]), radius_mm=8)
    assert set(part[labels == 1]) == {CEREBELLUM}
    assert set(part[labels == 2]) == {CORTEX}
    assert len(set(part[labels == 3])) == 1
    assert seeds["shift_mm"].iloc[0] == pytest.approx(3.0)  # from y = 17 to 20


def test_seeds_at_one_place_get_voxels_of_their_own(slab: GreyMatter) -> None:
    xyz = np.array([[-10.0, 20, 4]] * 3)
    labels, seeds = grow_parcels(slab, xyz, np.full(3, CORTEX), radius_mm=6)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert sorted(seeds["shift_mm"]) == [0.0, 2.0, 2.0]


def test_grown_parcels_are_connected_and_do_not_depend_on_the_order_of_sides(slab: GreyMatter) -> None:
    rng = np.random.default_rng(0)
    xyz = np.column_stack([rng.uniform(-20, 20, 24), rng.uniform(0, 38, 24), rng.uniform(0, 8, 24)])
    labels, _ = grow_parcels(slab, xyz, np.full(24, CORTEX))
    for k in range(1, 25):
        assert ndimage.label(labels == k, structure=np.ones((3, 3, 3)))[1] == 1
    for side, k in itertools.product((1, -1), range(24)):
        if side_of_seed(xyz[k, 0]) == ("R" if side > 0 else "L"):
            assert ((np.nonzero(labels == k + 1)[0] - 10) * side >= 0).all()


def test_coordinates_of_another_space_are_refused(slab: GreyMatter) -> None:
    with pytest.raises(InputError, match=r"1 coordinates are more than 12 mm.*RAS"):
        grow_parcels(slab, np.array([[-10.0, 90, 4]]), np.array([CORTEX]))
