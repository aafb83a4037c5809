"""Tractography on two bundles that cross: where streamlines go, what is refused, and that it repeats itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.connectome.fixels import find_fixels
from bids_ai.connectome.streamline_weights import fit_weights, lengths_in_fixels
from bids_ai.connectome.streamlines import Streamlines, to_voxels
from bids_ai.connectome.structural import structural_connectome
from bids_ai.connectome.tracking import choose_engine, track
from bids_ai.connectome.tracking_mrtrix3 import Mrtrix3Engine, to_mrtrix
from bids_ai.connectome.tractography import (
    FibreField,
    Tracking,
    TrackingSettings,
    interface_seeds,
    judge,
)
from bids_ai.errors import InputError, UsageError
from tests.connectome.tractography_phantom import EDGE_MM, LABELS, SIZE, Cross, cross
from tests.diffusion_phantom import oblique

SETTINGS = TrackingSettings(n_streamlines=400)


@pytest.fixture(scope="module", params=[-1, 1], ids=["flipped grid", "upright grid"])
def phantom(request: pytest.FixtureRequest) -> Cross:
    return cross(oblique(request.param, EDGE_MM))


@pytest.fixture(scope="module")
def tracking(phantom: Cross) -> Tracking:
    return track(phantom.field, SETTINGS, seed=1, engine="dipy")


def joined(lines: Streamlines, phantom: Cross) -> np.ndarray:
    return structural_connectome(lines, phantom.parcellation, phantom.affine, LABELS).count


def test_streamlines_cross_and_reach_the_other_end(phantom: Cross, tracking: Tracking) -> None:
    count = joined(tracking.streamlines, phantom)
    assert len(tracking.streamlines) == 400
    right = count[0, 1] + count[2, 3]
    assert right > 0.97 * 400
    assert 0.3 < count[0, 1] / right < 0.7
    # From end to end of the white matter, 22 voxels of 2.5 mm; both ends within a step of 1.25 mm of it.
    assert 52.5 <= np.median(tracking.streamlines.lengths_mm) < 60


def test_mrtrix3_finds_the_same_bundles(phantom: Cross) -> None:
    missing = Mrtrix3Engine().missing()
    if missing:
        pytest.skip(missing)
    found = track(phantom.field, SETTINGS, seed=1, engine="mrtrix3")
    count = joined(found.streamlines, phantom)
    assert count[0, 1] + count[2, 3] > 0.97 * len(found.streamlines)
    again = track(phantom.field, replace(SETTINGS, n_threads=3), seed=1, engine="mrtrix3")
    assert_array_equal(found.streamlines.points, again.streamlines.points)
    # Parts have seeds of their own: none repeats another.
    assert len(np.unique(found.streamlines.points, axis=0)) > 0.999 * len(found.streamlines.points)


def test_same_seed_same_streamlines_in_any_number_of_threads(phantom: Cross, tracking: Tracking) -> None:
    again = track(phantom.field, replace(SETTINGS, n_threads=2), seed=1, engine="dipy")
    assert_array_equal(again.streamlines.points, tracking.streamlines.points)
    other = track(phantom.field, SETTINGS, seed=2, engine="dipy")
    assert not np.array_equal(other.streamlines.points[:50], tracking.streamlines.points[:50])


def test_drawn_ways_find_the_bundles_too_and_are_less_straight(phantom: Cross, tracking: Tracking) -> None:
    drawn = track(phantom.field, replace(SETTINGS, algorithm="probabilistic"), seed=1, engine="dipy")
    count = joined(drawn.streamlines, phantom)
    assert count[0, 1] + count[2, 3] > 0.95 * len(drawn.streamlines)
    assert np.median(drawn.streamlines.lengths_mm) > np.median(tracking.streamlines.lengths_mm) + 0.5


def test_seeds_lie_at_the_interface(phantom: Cross) -> None:
    seeds = interface_seeds(phantom.field, 300, np.random.default_rng(0))
    assert len(seeds) == 300
    voxels = to_voxels(seeds, phantom.affine)[:, :2]
    border = np.minimum(np.abs(voxels - 3.5), np.abs(voxels - (SIZE - 4.5))).min(axis=1)
    assert border.max() < 0.5


def test_nothing_to_track_is_said(phantom: Cross) -> None:
    field = phantom.field
    with pytest.raises(InputError, match="meet nowhere"):
        track(replace(field, gm=np.zeros_like(field.gm)), SETTINGS, seed=1, engine="dipy")
    with pytest.raises(InputError, match="No valid streamline"):
        track(field, replace(SETTINGS, min_length_mm=200, n_streamlines=5), seed=1, engine="dipy")
    with pytest.raises(InputError, match="share a grid"):
        replace(field, wm=field.wm[1:])
    with pytest.raises(InputError, match="not finite"):
        replace(field, fod=np.full_like(field.fod, np.nan))


def test_too_few_streamlines_are_noted(phantom: Cross) -> None:
    short = track(phantom.field, replace(SETTINGS, seeds_per_streamline=0.5), seed=1, engine="dipy")
    assert 0 < len(short.streamlines) < 400
    assert f"{len(short.streamlines)} of 400" in short.notes[0]
    assert short.n_seeds <= 200


def test_engine_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="Debian package mrtrix3"):
        choose_engine("mrtrix3")
    assert choose_engine("auto").name == "dipy"
    with pytest.raises(UsageError, match="Unknown tractography engine 'fsl'"):
        choose_engine("fsl")


def test_judge_names_the_first_fault() -> None:
    shape = (20, 20, 20)
    grey, wet = np.zeros(shape), np.zeros(shape)
    grey[:2], grey[-2:], wet[9:11, :5] = 1, 1, 1
    white = 1 - grey
    field = FibreField(np.zeros((*shape, 1)), 0, white, grey, wet, np.eye(4))

    def line(*corners: tuple[float, float, float]) -> np.ndarray:
        steps = np.linspace(0, 1, 40)[:, None]
        pieces = zip(np.array(corners[:-1]), np.array(corners[1:]), strict=True)
        return np.concatenate([start + (stop - start) * steps for start, stop in pieces])

    lines = Streamlines.from_list(
        [
            line((1, 10, 10), (18, 10, 10)),  # valid
            line((1, 10, 10), (3, 10, 10)),
            line((1, 10, 10), (1, 19, 10), (18, 19, 10), (18, 1, 10), (5, 1, 10), (5, 19, 10)),
            line((1, 10, 10), (10, 10, 10)),
            line((1, 2, 10), (18, 2, 10)),
        ]
    )
    valid, rejected = judge(lines, field, TrackingSettings(min_length_mm=5, max_length_mm=60))
    assert_array_equal(valid, [True, False, False, False, False])
    assert rejected == {"too short": 1, "too long": 1, "end not at grey matter": 1, "through CSF": 1}


def test_basis_of_mrtrix3() -> None:
    # Order 0 is the same constant in both; a change between orthonormal real bases is orthogonal.
    change = to_mrtrix(4)
    assert_allclose(change @ change.T, np.eye(15), atol=1e-9)
    assert_allclose(change[0, 0], 1, atol=1e-9)


# ---- weights


def test_weights_mend_a_bundle_that_was_sampled_too_rarely(phantom: Cross, tracking: Tracking) -> None:
    lines = tracking.streamlines
    ends = np.abs(to_voxels(lines.first, phantom.affine) - to_voxels(lines.last, phantom.affine))
    along_x = ends[:, 0] > ends[:, 1]
    rare = lines.select(along_x | (np.random.default_rng(0).random(len(lines)) < 0.3))
    first = np.abs(np.ptp(np.stack([rare.first, rare.last]) @ np.linalg.inv(phantom.affine[:3, :3]).T, axis=0))
    of_x = first[:, 0] > first[:, 1]
    before = of_x.sum() / (~of_x).sum()
    fixels = find_fixels(phantom.field.fod, phantom.field.order, phantom.field.wm > 0)
    fit = fit_weights(rare, fixels, phantom.affine)
    after = fit.weights[of_x].sum() / fit.weights[~of_x].sum()
    # Both bundles are equally dense, so that the ratio should be 1; the ridge leaves a part of the fault.
    assert before > 2.3
    assert after < 1.5
    assert fit.weights.min() >= 0
    assert fit.misfit < 0.7 * fit.misfit_before


def test_lengths_in_fixels_add_up_to_the_streamline(phantom: Cross, tracking: Tracking) -> None:
    fixels = find_fixels(phantom.field.fod, phantom.field.order, phantom.field.fod[..., 0] > 0)
    matrix = lengths_in_fixels(tracking.streamlines, fixels, phantom.affine)
    inside = np.asarray(matrix.sum(axis=0)).ravel() / tracking.streamlines.lengths_mm
    assert np.median(inside) > 0.95


def test_weights_are_refused_where_nothing_overlaps(phantom: Cross, tracking: Tracking) -> None:
    fixels = find_fixels(phantom.field.fod, phantom.field.order, phantom.field.wm > 0)
    away = Streamlines(tracking.streamlines.points + 1000, tracking.streamlines.offsets)
    with pytest.raises(InputError, match="do not overlap"):
        fit_weights(away, fixels, phantom.affine)
    with pytest.raises(InputError, match="above 0"):
        fit_weights(tracking.streamlines, fixels, phantom.affine, regularisation=0)
