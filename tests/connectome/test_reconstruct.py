"""From a diffusion series to matrices in one call: two bundles that cross, on a tilted grid, with noise."""

from __future__ import annotations

import numpy as np
import pytest

from bids_ai.connectome.reconstruct import ReconstructedConnectome, reconstruct
from bids_ai.errors import InputError
from tests.connectome.tractography_phantom import EDGE_MM, LABELS, Cross, cross
from tests.diffusion_phantom import GREY, WATER, fibre_signal, isotropic_signal, oblique, scheme

NAMES = ["left", "right", "front", "back"]
TABLE = scheme((1000, 32))


@pytest.fixture(scope="module")
def phantom() -> Cross:
    return cross(oblique(-1, EDGE_MM))


def arrays(phantom: Cross) -> dict[str, np.ndarray]:
    """Signal of the phantom, with a corner of water, and what goes with it."""
    field, affine = phantom.field, phantom.affine
    directions = TABLE.world(affine)
    rotation = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in field.wm.shape], indexing="ij"), axis=-1)
    near = np.abs(grid - (field.wm.shape[0] - 1) / 2) < 3
    along = np.stack([near[..., 1] & near[..., 2], near[..., 0] & near[..., 2]], axis=-1) * field.wm[..., None]
    share = along / np.maximum(along.sum(axis=-1, keepdims=True), 1)
    csf = np.zeros_like(field.wm)
    csf[:6, :6, :6] = 1
    fibres = [fibre_signal(TABLE.bvals, directions, rotation[:, axis]) for axis in (0, 1)]
    signal = share[..., :1] * fibres[0] + share[..., 1:] * fibres[1]
    signal += field.gm[..., None] * isotropic_signal(TABLE.bvals, GREY)
    signal += 3 * csf[..., None] * isotropic_signal(TABLE.bvals, WATER)
    noise = np.random.default_rng(0).standard_normal((2, *signal.shape)) / 30
    return {
        "dwi": 500 * np.hypot(signal + noise[0], noise[1]),
        "bvals": TABLE.bvals,
        "directions": directions,
        "mask": (field.wm + field.gm + csf) > 0,
        "tissue": {"wm": field.wm, "gm": field.gm, "csf": csf},
        "parcels": phantom.parcellation,
        "names": NAMES,
    }


@pytest.fixture(scope="module")
def made(phantom: Cross) -> ReconstructedConnectome:
    return reconstruct(
        **arrays(phantom), affine=phantom.affine, labels=LABELS, seed=1, engine="dipy", n_streamlines=1000
    )


def test_the_two_bundles_are_found(made: ReconstructedConnectome) -> None:
    # With 32 directions (order 6) some streamlines turn off where the bundles cross: a tenth here.
    assert made.weight[0, 1] + made.weight[2, 3] > 0.85 * np.nansum(made.weight) / 2
    assert 0.6 < made.weight[0, 1] / made.weight[2, 3] < 1.7
    # 24 steps of 2.5 mm from grey to grey.
    assert made.mean_length_mm[0, 1] == pytest.approx(60, abs=6)
    assert made.mean_fa is not None
    assert 0.4 < made.mean_fa[0, 1] < 0.9


def test_all_that_it_was_made_of_is_there(made: ReconstructedConnectome) -> None:
    assert made.names == tuple(NAMES)
    assert made.count.shape == made.weight.shape == (4, 4)
    assert len(made.tractogram.tracking.streamlines) == len(made.tractogram.fit.weights) == made.n_streamlines == 1000
    assert made.figures["model"] == "csd"
    assert made.figures["engine"] == "dipy"
    assert made.figures["assigned"] == made.assigned > 0.9
    assert made.figures["split_half_overlap"] <= 1


def test_parcels_may_lie_on_a_grid_of_their_own(phantom: Cross, made: ReconstructedConnectome) -> None:
    given = arrays(phantom)
    fine = np.repeat(np.repeat(np.repeat(given["parcels"], 2, 0), 2, 1), 2, 2)
    shrink = np.diag([0.5, 0.5, 0.5, 1.0])
    shrink[:3, 3] = -0.25
    again = reconstruct(
        **given | {"parcels": fine},
        affine=phantom.affine,
        parcels_affine=phantom.affine @ shrink,
        labels=LABELS,
        seed=1,
        engine="dipy",
        n_streamlines=1000,
    )
    np.testing.assert_allclose(again.count, made.count, atol=10)


def test_what_does_not_belong_together_is_refused(phantom: Cross) -> None:
    given = arrays(phantom)
    calls = {
        "on the grid of the mask": given | {"tissue": given["tissue"] | {"gm": np.zeros((2, 2, 2))}},
        "wm, gm, csf": given | {"tissue": {"wm": given["tissue"]["wm"]}},
        "5 names of regions for 4 labels": given | {"names": [*NAMES, "more"]},
    }
    for message, arguments in calls.items():
        with pytest.raises(InputError, match=message):
            reconstruct(**arguments, affine=phantom.affine, labels=LABELS, seed=1)
