import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from bids_ai.simulate import bundles, head, parcels
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.packing import give_way, widened
from bids_ai.simulate.routes import white_matter_routes
from bids_ai.simulate.strands import WhiteMatter, draft_strands
from bids_ai.simulate.territories import territories


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


def test_strands_do_not_cross_grey_matter(brain, laid):
    """A tractogram that stops in grey matter could follow them."""
    white = WhiteMatter(brain)
    crossing = white.thinnest(laid.strands) < 0.5
    assert crossing.mean() < 0.05


def test_short_fibres_begin_and_end_in_their_region(atlas, laid):
    points = np.argwhere(atlas.labels > 0)
    tree = cKDTree(points @ atlas.affine[:3, :3].T + atlas.affine[:3, 3])
    row_of = {int(label): row for row, label in enumerate(atlas.nodes["index"])}
    region = np.array([row_of[int(value)] for value in atlas.labels[tuple(points.T)]])
    ends = region[tree.query(laid.short[:, [0, -1]])[1]]
    assert (ends == laid.short_region[:, None]).mean() > 0.95
    length = np.linalg.norm(np.diff(laid.short, axis=1), axis=-1).sum(axis=1)
    assert 15 < np.median(length) < 35
    assert np.array_equal(np.unique(laid.short_region), np.arange(len(atlas.nodes)))


def test_territories_use_the_border_alike(brain, atlas, group):
    """Areas of 3 to 1 and a region's own fibres: chances add up to the same everywhere, shares go with area."""
    routes = white_matter_routes(brain, atlas)
    pairs = np.array([[0, 1], [0, 2]])
    local = np.full(len(atlas.nodes), 2.0)
    shares = territories(routes, pairs, np.array([3.0, 1.0]), local, np.random.default_rng(0))[0]
    together = 3.0 * shares[0] + 1.0 * shares[1] + 2.0 * shares[-1]
    assert together.std() / together.mean() < 0.1
    # The stronger bundle has the larger territory: its chances are spread over more places.
    spread = {bundle: 1.0 / (shares[bundle] ** 2).sum() for bundle in (0, 1)}
    assert spread[0] > 1.3 * spread[1]
    assert all(chance.sum() == pytest.approx(1.0) for chance in shares.values())


def test_neighbours_stay_neighbours(brain):
    """A sheet of strands that begins in one order ends in it, whatever the order of the ways that come in."""
    rng = np.random.default_rng(0)
    across = np.linspace(-6.0, 6.0, 20)
    way = np.linspace([24.0, -30.0, 24.0], [24.0, 10.0, 24.0], 60)
    ways = way + across[:, None, None] * np.array([0.0, 0.0, 1.0])
    draft = draft_strands(WhiteMatter(brain), ways, ways[rng.permutation(20)], 4.0, rng)
    ends = draft.strands[:, -1, 2]
    assert np.corrcoef(draft.strands[:, 0, 2], ends)[0, 1] > 0.95
    # The stem is narrower than the territories, and in the same order.
    assert np.ptp(draft.strands[:, 30, 2]) < 0.8 * np.ptp(ends)


def test_full_voxels_pass_fibres_on_and_lose_none():
    white = np.ones((9, 9, 1))
    amounts = csr_array(([3.0, 1.0], ([40, 40], [0, 1])), shape=(81, 2))
    packed = widened(amounts, white, slice(0, 2)).toarray()
    np.testing.assert_allclose(packed.sum(axis=0), [3.0, 1.0], rtol=0.02)
    assert packed.sum(axis=1).max() < 1.05
    # Both bundles widen alike.
    np.testing.assert_allclose(packed[:, 0], 3.0 * packed[:, 1], atol=1e-3)


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
