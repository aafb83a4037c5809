from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from bids_ai.simulate import bold, grids, parcels


@pytest.fixture(scope="module")
def labels(small_head, small_parcels):
    return parcels.in_phantom(small_parcels, small_head)


@pytest.fixture(scope="module")
def maps(small_head, labels):
    return bold.source_maps(small_head, labels, 8, 6.0)


@pytest.fixture(scope="module")
def scan(small_head):
    centre = grids.brain_centre(small_head.brain_mask, small_head.affine)
    affine, shape = grids.bold_grid(6.0, centre, oblique=False)
    return bold.BoldScan(affine, shape, 80, 2.0)


def acquired(maps, scan, percent, *, motion=None, noise=bold.NOISELESS, seed=0):
    motion = np.zeros((scan.n_frames, 6)) if motion is None else motion
    return np.stack(list(bold.bold_frames(maps, scan, percent, motion, np.random.default_rng(seed), noise)))


@pytest.fixture(scope="module")
def series(scan):
    """Slow fluctuations of eight regions, as large as those of BOLD, percent."""
    smooth = gaussian_filter1d(np.random.default_rng(3).standard_normal((scan.n_frames, 8)), 1.2, axis=0)
    return 1.4 * smooth / smooth.std(axis=0)


def in_every_slice(series, scan):
    return np.repeat(series[:, None], scan.shape[2], axis=1)


@pytest.mark.parametrize(
    ("noise", "least", "typical"),
    [
        (bold.NOISELESS, 0.98, 0.99),
        # Drift and thermal noise, without physiology, which a workflow has to remove by its confounds.
        (bold.NoiseLevels(global_percent=0.0, pulsation_percent=0.0), 0.9, 0.95),
        (bold.NoiseLevels(), 0.8, 0.9),
    ],
)
def test_parcel_means_recover_the_series_of_a_still_head(maps, scan, series, small_head, labels, noise, least, typical):
    run = acquired(maps, scan, in_every_slice(series, scan), noise=noise)
    within = bold.in_scan(labels.astype(np.float32), small_head.affine, scan, order=0)
    found = np.stack([run[:, within == label].mean(axis=1) for label in range(1, 9)], axis=1)
    time = (np.arange(len(run)) + 0.5) / len(run)
    slow = np.cos(np.pi * np.arange(3) * time[:, None])
    found, truth = (x - slow @ np.linalg.lstsq(slow, x, rcond=None)[0] for x in (found, series))
    agreement = [np.corrcoef(found[:, r], truth[:, r])[0, 1] for r in range(8)]
    assert min(agreement) > least
    assert np.median(agreement) > typical


def test_change_of_a_voxel_is_its_share_of_the_parcels(maps, scan):
    percent = np.zeros((scan.n_frames, scan.shape[2], 8))
    percent[1, :, 2] = 50.0
    run = acquired(maps, scan, percent).astype(float)
    share = bold.in_scan(maps.weights[..., 2], maps.weights_affine, scan)
    bright = run[0] > 60
    # Rounding to integers: half a unit either way of at least 60.
    np.testing.assert_allclose(run[1][bright] / run[0][bright] - 1.0, 0.5 * share[bright], atol=0.02)
    assert share.max() > 0.5


def test_every_slice_sees_its_own_time(maps, scan):
    timed = replace(scan, slice_times_s=grids.interleaved_slice_times(scan.shape[2]))
    percent = np.zeros((scan.n_frames, scan.shape[2], 8))
    percent[1] = 40.0
    percent[1, ::2] = -40.0
    run = acquired(maps, timed, percent).astype(float)
    change = run[1].sum(axis=(0, 1)) - run[0].sum(axis=(0, 1))
    middle = slice(4, scan.shape[2] - 4)
    assert (np.sign(change[middle]) == np.where(np.arange(scan.shape[2])[middle] % 2, 1, -1)).all()
    times = timed.readout_times()
    assert times[3, 1] == pytest.approx(6.0 + timed.slice_times_s[1])
    assert scan.readout_times()[3, 1] == pytest.approx(7.0)


def test_head_moves_as_the_parameters_say(maps, scan):
    motion = np.zeros((scan.n_frames, 6))
    motion[1, 0] = 6.0
    run = acquired(maps, scan, np.zeros((scan.n_frames, scan.shape[2], 8)), motion=motion)
    field = run[0] > 0
    # One voxel to the right, and the receive field stays with the scanner: a few percent.
    moved, still = run[1][1:].astype(float), run[0][:-1].astype(float)
    strong = (still > 60) & field[1:]
    assert np.median(np.abs(moved[strong] / still[strong] - 1.0)) < 0.02
    assert np.median(np.abs(run[1][:-1][strong] / still[strong] - 1.0)) > 0.03


def test_rotation_leaves_the_centre_in_place(scan):
    turned = scan.head_to_scanner(np.array([0, 0, 0, 0.1, 0.2, -0.1]))
    centre = np.append(scan.centre_mm(), 1.0)
    np.testing.assert_allclose(turned @ centre, centre, atol=1e-9)


def test_first_volumes_are_brighter(maps, scan):
    percent = np.zeros((scan.n_frames, scan.shape[2], 8))
    run = acquired(maps, replace(scan, non_steady=2), percent)
    level = run.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(level[:3] / level[3], [1.45, 1.12, 1.0], atol=0.01)


def test_temporal_snr_is_that_of_a_scanner(maps, scan, series, small_head):
    run = acquired(maps, scan, in_every_slice(series, scan), noise=bold.NoiseLevels())
    brain = bold.in_scan(small_head.fractions["brain"], small_head.affine, scan) > 0.5
    assert 50 < np.median(run.mean(axis=0)[brain] / run.std(axis=0)[brain]) < 90
