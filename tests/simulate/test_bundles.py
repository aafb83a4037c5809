import numpy as np
import pytest
from scipy.spatial import cKDTree

from bids_ai.simulate import bundles, head, parcels
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.packing import give_way
from bids_ai.simulate.routes import white_matter_routes


@pytest.fixture
def brain(fine_brain):
    return fine_brain


@pytest.fixture
def atlas(bundle_parcels):
    return bundle_parcels


@pytest.fixture
def group(bundle_group):
    return bundle_group


@pytest.fixture
def laid(laid_bundles):
    return laid_bundles


def test_strands_stay_in_white_matter(brain, laid):
    share = bundles.white_matter_share(brain, laid.strands)
    assert np.median(share) > 0.98
    assert (share > 0.85).mean() > 0.99


def test_strands_end_at_the_border_of_their_parcels(brain, atlas, laid):
    points = np.argwhere(atlas.labels > 0)
    tree = cKDTree(points @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])
    row_of = {int(label): row for row, label in enumerate(atlas.nodes["index"])}
    region = np.array([row_of[int(value)] for value in atlas.labels[tuple(points.T)]])
    for end, column in ((0, 0), (-1, 1)):
        at = laid.strands[:, end]
        away, _ = tree.query(at)
        assert away.max() < 3.5
        # Where two parcels meet the nearest voxel may be the neighbour's: the right one is then as near.
        wanted = laid.pairs[laid.owner, column]
        near = tree.query_ball_point(at, 4.0)
        assert all(want in region[found] for want, found in zip(wanted, near, strict=True))
        white = head.sample(brain.tissues["WM"], brain.affine, at)
        assert 0.1 < np.median(white) < 0.6


def test_every_bundle_has_strands_and_a_plausible_length(laid, group, subject_warp):
    n = group.n_regions
    assert np.array_equal(np.unique(laid.owner), np.arange(len(group.bundles)))
    assert np.array_equal(laid.pairs, group.bundles)
    lengths = laid.lengths_mm(laid.strands, n)
    assert np.array_equal(np.isfinite(lengths), group.bundle_weights > 0)
    np.testing.assert_allclose(lengths, lengths.T)
    straight = np.linalg.norm(laid.strands[:, -1] - laid.strands[:, 0], axis=1)
    along = np.linalg.norm(np.diff(laid.strands, axis=1), axis=-1).sum(axis=1)
    assert (along >= straight).all()
    assert np.nanmin(lengths) > 15
    assert np.nanmax(lengths) < 250
    # The subject's brain is smaller than the template's, by 5 to 9 % per axis.
    ratio = laid.lengths_mm(laid.in_subject(subject_warp), n) / lengths
    assert 0.85 < np.nanmedian(ratio) < 1.0


def test_strands_are_smooth(laid):
    step = np.diff(laid.strands, axis=1)
    step /= np.linalg.norm(step, axis=-1, keepdims=True)
    turn = np.rad2deg(np.arccos(np.clip((step[:, 1:] * step[:, :-1]).sum(axis=-1), -1, 1)))
    # Steps are about a millimetre: a bend of 45 degrees within one is a kink.
    assert np.quantile(turn, 0.999) < 45
    assert np.median(turn) < 10


def test_stronger_bundles_are_thicker(laid, group):
    weight = group.bundle_weights[tuple(laid.pairs.T)]
    order = np.argsort(weight)
    assert (np.diff(laid.radii_mm[order]) >= 0).all()
    counts = np.bincount(laid.owner)
    assert counts[order[-1]] > counts[order[0]]


def test_same_seed_same_bundles(brain, atlas, group):
    few = np.zeros_like(group.weights)
    for row, column in group.bundles[:2]:
        few[row, column] = 1.0
    lengths = np.where(few + few.T > 0, group.lengths_mm, np.nan)
    pair = Connectome(few, lengths)
    first, second = (bundles.make_bundles(brain, atlas, pair, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first.strands, second.strands)


def test_crowded_strands_give_way(brain):
    """A sheaf of one line in the corona radiata, worth 200 mm2: it opens, and its ends stay."""
    line = np.linspace([24.0, -20.0, 10.0], [24.0, -20.0, 40.0], 40)
    sheaf = line + np.random.default_rng(0).normal(0.0, 0.5, (50, 1, 3))
    opened = give_way(brain, sheaf, np.full(50, 4.0), lambda strands: strands)
    np.testing.assert_allclose(opened[:, [0, -1]], sheaf[:, [0, -1]], atol=1e-6)
    width = [strands[:, 20, :2].std(axis=0).mean() for strands in (sheaf, opened)]
    assert width[1] > 2 * width[0]
    alone = give_way(brain, sheaf[:1], np.array([0.5]), lambda strands: strands)
    np.testing.assert_allclose(alone, sheaf[:1], atol=1e-3)


def test_parcel_without_white_matter_is_refused(brain, atlas):
    labels = np.zeros_like(atlas.labels)
    labels[2, 2, 2] = int(atlas.nodes["index"].iloc[0])
    bare = parcels.Parcels(atlas.name, atlas.space, labels, atlas.affine, atlas.nodes.iloc[:1], atlas.homotopic[:1])
    with pytest.raises(ValueError, match="does not touch the white matter"):
        white_matter_routes(brain, bare)
