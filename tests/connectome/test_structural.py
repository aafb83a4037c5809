"""Streamlines to matrices, done by hand; reliability; consensus of a group."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.connectome.consensus import group_consensus
from bids_ai.connectome.streamlines import Streamlines
from bids_ai.connectome.structural import EndAssignment, split_reliability, structural_connectome
from bids_ai.errors import InputError

AFFINE = np.diag([2.0, 2, 2, 1])
AFFINE[:3, 3] = [-10, 5, 0]


def at(*voxels: tuple[float, float, float]) -> np.ndarray:
    return np.array(voxels, float) @ AFFINE[:3, :3].T + AFFINE[:3, 3]


@pytest.fixture
def parcellation() -> np.ndarray:
    image = np.zeros((12, 12, 12), int)
    image[0, :, :], image[11, :, :], image[:, 0, 5] = 7, 3, 5
    return image


def lines() -> Streamlines:
    return Streamlines.from_list(
        [
            at((0, 6, 6), (6, 6, 6), (11, 6, 6)),  # 7-3, 22 mm
            at((11, 8, 6), (5, 8, 6), (0, 8, 6)),  # 3-7: the way round does not matter
            at((0, 6, 6), (5, 0.2, 5)),  # 7-5
            at((0, 6, 6), (0, 8, 6)),  # within 7
            at((0, 6, 6), (6, 6, 6)),  # ends nowhere
        ]
    )


def test_matrices_by_hand(parcellation: np.ndarray) -> None:
    fa = np.full((12, 12, 12), 0.25)
    fa[11] = 0.75
    fa[:, :4] = np.nan  # no value there: the points do not count
    made = structural_connectome(lines(), parcellation, AFFINE, [3, 5, 7, 99], weights=np.array([1, 3, 2, 9, 9]), fa=fa)
    nan = np.nan
    assert_array_equal(made.count, [[nan, 0, 2, nan], [0, nan, 1, nan], [2, 1, nan, nan], [nan] * 4])
    assert_array_equal(made.weight[:3, :3], [[nan, 0, 4], [0, nan, 2], [4, 2, nan]])
    assert_allclose(made.mean_length_mm[0, 2], 22)
    assert_allclose(made.mean_length_mm[1, 2], 2 * np.sqrt(25 + 5.8**2 + 1), rtol=1e-6)
    assert np.isnan(made.mean_length_mm[0, 1])
    assert made.mean_fa is not None
    assert_allclose(made.mean_fa[0, 2], (0.25 + 0.25 + 0.75) / 3)
    assert_allclose(made.mean_fa[1, 2], 0.25)
    assert (made.density, made.assigned, made.within) == (2 / 6, 3 / 5, 1 / 5)
    assert (made.missing, made.unreached, made.n_streamlines) == ((99,), (), 5)


def test_matrices_keep_the_order_of_the_labels(parcellation: np.ndarray) -> None:
    one = structural_connectome(lines(), parcellation, AFFINE, [3, 5, 7])
    other = structural_connectome(lines(), parcellation, AFFINE, [7, 3, 5])
    order = [2, 0, 1]
    assert_array_equal(other.count, one.count[np.ix_(order, order)])


def test_streaming_in_parts_changes_nothing(parcellation: np.ndarray) -> None:
    whole = structural_connectome(lines(), parcellation, AFFINE, [3, 5, 7], weights=np.arange(5.0))
    parts = structural_connectome(lines().chunks(2), parcellation, AFFINE, [3, 5, 7], weights=np.arange(5.0))
    assert_array_equal(parts.weight, whole.weight)
    assert_array_equal(parts.mean_length_mm, whole.mean_length_mm)


def test_ends_look_around_within_the_radius(parcellation: np.ndarray) -> None:
    points = at((0, 6, 6), (2, 6, 6), (3, 6, 6), (-1, 6, 6), (50, 0, 0))
    assert_array_equal(EndAssignment(parcellation, AFFINE, [3, 7], radius_mm=4)(points), [1, 1, -1, -1, -1])
    assert_array_equal(EndAssignment(parcellation, AFFINE, [3, 7], radius_mm=0)(points), [1, -1, -1, -1, -1])


def test_refuses_what_does_not_belong_together(parcellation: np.ndarray) -> None:
    with pytest.raises(InputError, match="no streamline"):
        structural_connectome(Streamlines.from_list([]), parcellation, AFFINE, [3, 7])
    with pytest.raises(InputError, match="weights"):
        structural_connectome(lines(), parcellation, AFFINE, [3, 7], weights=np.ones(4))
    with pytest.raises(InputError, match="weights"):
        structural_connectome(lines(), parcellation, AFFINE, [3, 7], weights=np.ones(6))
    with pytest.raises(InputError, match="weights"):
        structural_connectome(lines(), parcellation, AFFINE, [3, 7], weights=-np.ones(5))
    with pytest.raises(InputError, match="None of the 2 labels"):
        structural_connectome(lines(), parcellation, AFFINE, [40, 41])
    with pytest.raises(InputError, match="distinct"):
        structural_connectome(lines(), parcellation, AFFINE, [3, 3])
    with pytest.raises(InputError, match="needs two"):
        Streamlines.from_list([np.zeros((1, 3))])


def test_streamlines_are_selected_and_joined() -> None:
    all_lines = lines()
    chosen = all_lines.select(np.array([3, 0]))
    assert_allclose(chosen.lengths_mm, [4, 22], rtol=1e-6)
    both = Streamlines.concatenate([chosen, all_lines.select(np.arange(5) == 2)])
    assert_array_equal([len(line) for line in both], [2, 3, 2])
    assert_allclose(both.first[1], at((0, 6, 6))[0])


def test_reliability_grows_with_streamlines() -> None:
    # Nine regions along the edge of a plate; edges with very different weights, streamlines drawn in proportion.
    rng = np.random.default_rng(0)
    image = np.arange(1, 10)[:, None, None] * np.ones((1, 2, 2), int)
    pairs = np.array([(i, j) for i in range(9) for j in range(i + 1, 9)])
    share = np.exp(rng.normal(0, 1.5, len(pairs)))

    def drawn(n: int) -> Streamlines:
        chosen = pairs[rng.choice(len(pairs), n, p=share / share.sum())]
        ends = np.zeros((n, 2, 3), np.float32)
        ends[:, :, 0] = chosen
        return Streamlines(ends.reshape(-1, 3), np.arange(n + 1) * 2)

    few = split_reliability(drawn(60), image, np.eye(4), range(1, 10), seed=1, radius_mm=0)
    many = split_reliability(drawn(20_000), image, np.eye(4), range(1, 10), seed=1, radius_mm=0)
    assert few.r < 0.9 < 0.99 < many.r < many.r_full
    assert few.overlap < many.overlap == 1
    none = split_reliability(drawn(2), image, np.eye(4), range(1, 10), seed=1, radius_mm=0)
    assert np.isnan(none.r)


# ---- group


def make_group(n_subjects: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Subjects on a line of regions; short edges in all, long ones in a third of them, as tractography does."""
    rng = np.random.default_rng(1)
    position = np.arange(16.0)
    distance = np.abs(position[:, None] - position) * 8
    chance = np.where(distance <= 16, 0.95, np.where(rng.random((16, 16)) < 0.3, 0.35, 0.02))
    chance = np.triu(chance, 1)
    matrices = np.triu(rng.random((n_subjects, 16, 16)) < chance, 1) * rng.lognormal(0, 1, (n_subjects, 16, 16))
    return matrices + matrices.transpose(0, 2, 1), distance, np.repeat(["L", "R"], 8)


def test_consensus_keeps_as_many_edges_per_distance_as_a_subject() -> None:
    matrices, distance, sides = make_group()
    group = group_consensus(matrices, distance, sides)
    upper = np.triu_indices(16, 1)
    own = (matrices[:, *upper] > 0).sum(axis=1).mean()
    kept = group[upper] > 0
    assert abs(kept.sum() - own) <= 4  # rounding, in each bin
    far = distance[upper] > 40
    of_a_subject = (matrices[:, *upper] > 0)[:, far].sum(axis=1).mean()
    assert abs(kept[far].sum() - of_a_subject) <= 2
    # As many edges by consistency alone are shorter.
    frequency = (matrices[:, *upper] > 0).mean(axis=0)
    most = np.argsort(-frequency, kind="stable")[: kept.sum()]
    assert far[most].sum() < 0.7 * kept[far].sum()
    assert_array_equal(group, group.T)


def test_consensus_of_one_subject_is_the_subject() -> None:
    matrices, distance, sides = make_group(1)
    off = ~np.eye(16, dtype=bool)
    assert_allclose(group_consensus(matrices, distance, sides)[off], matrices[0][off])


def test_consensus_leaves_out_missing_regions() -> None:
    matrices, distance, sides = make_group()
    matrices[0, 3] = matrices[0, :, 3] = np.nan
    matrices[:, 5] = matrices[:, :, 5] = np.nan
    group = group_consensus(matrices, distance, sides)
    assert np.isfinite(np.delete(group[3], [3, 5])).all()
    assert np.isnan(group[5]).all()


def test_consensus_refuses() -> None:
    matrices, distance, sides = make_group()
    with pytest.raises(InputError, match="symmetric"):
        group_consensus(np.triu(matrices), distance, sides)
    with pytest.raises(InputError, match="negative"):
        group_consensus(-matrices, distance, sides)
    with pytest.raises(InputError, match="Expected"):
        group_consensus(matrices, distance[1:], sides)
