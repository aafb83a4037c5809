from __future__ import annotations

import numpy as np
import pytest

from bids_ai.preprocess import confounds
from bids_ai.preprocess.bold_geometry import apply_matrix, grid_points
from bids_ai.preprocess.noise_masks import NoiseMask, noise_masks

from .bold_phantom import grid, labels_at

TR = 2.0


def noise(n_times: int = 80, n_voxels: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(1000, 10, (n_times, n_voxels)).astype(np.float32)


def motion(n_times: int = 80) -> np.ndarray:
    return np.cumsum(np.random.default_rng(1).normal(0, 0.01, (n_times, 6)), axis=0)


def masks(n_voxels: int = 60) -> dict[str, NoiseMask]:
    csf, white = np.zeros(n_voxels, bool), np.zeros(n_voxels, bool)
    csf[:20], white[20:50] = True, True
    return {"csf": NoiseMask(csf, 1.5, 0.9), "white_matter": NoiseMask(white, 2.5, 0.95)}


def test_dvars_by_hand() -> None:
    # Median 1000, so that nothing is scaled. Steps of voxel 1: 2, 2; of voxel 2: -4, 0.
    series = np.array([[998.0, 1004], [1000, 1000], [1002, 1000]])
    plain, _ = confounds.dvars(series)
    assert np.isnan(plain[0])
    assert plain[1:] == pytest.approx([np.sqrt((4 + 16) / 2), np.sqrt(4 / 2)])


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_standardised_dvars_of_a_stationary_series_are_one(memory: float) -> None:
    rng = np.random.default_rng(0)
    series = np.zeros((600, 300))
    for time in range(1, 600):
        series[time] = memory * series[time - 1] + rng.normal(0, 5, 300)
    _, standard = confounds.dvars(1000 + series)
    assert np.nanmean(standard) == pytest.approx(1, abs=0.02)


def test_a_spike_stands_out() -> None:
    series = noise(200, 300)
    series[40] += 60
    plain, standard = confounds.dvars(series)
    # The step of 60 on noise of SD 10: sqrt(60^2 + 2 * 10^2) against sqrt(2) * 10.
    assert standard[40] == pytest.approx(np.sqrt(3800 / 200), rel=0.05)
    assert standard[41] == pytest.approx(standard[40], rel=0.05)
    assert np.nanmedian(plain) == pytest.approx(np.sqrt(200), rel=0.05)


def test_cosines_are_orthogonal_and_slow() -> None:
    basis = confounds.cosine_basis(156, TR)
    assert basis.shape == (156, 3)  # floor(2 * 312 s / 128 s) - 1, as fMRIPrep gives for such a run
    assert basis.T @ basis == pytest.approx(np.eye(3), abs=1e-12)
    assert basis.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)
    assert confounds.cosine_basis(10, TR).shape == (10, 0)


def test_compcor_finds_the_noise_and_not_the_drift() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(120)
    source = rng.normal(size=120)
    drift = 50 * np.cos(np.pi * (time + 0.5) / 120)  # the first cosine
    series = 1000 + np.outer(source, rng.normal(1, 0.2, 40)) * 5 + drift[:, None] + rng.normal(0, 1, (120, 40))
    components, variance = confounds.compcor(series, np.ones(40, bool), TR)
    assert components.shape == (120, 5)
    assert abs(np.corrcoef(components[:, 0], source)[0, 1]) > 0.95
    assert abs(np.corrcoef(components[:, 0], drift)[0, 1]) < 1e-6
    assert variance.sum() == pytest.approx(1)
    assert variance[0] > 0.8
    assert components.T @ components == pytest.approx(np.eye(5), abs=1e-8)
    assert (components[np.abs(components).argmax(axis=0), range(5)] > 0).all()


def test_compcor_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    series, chosen = noise(), np.arange(60) % 3 > 0
    whole, variance = confounds.compcor(series, chosen, TR)
    monkeypatch.setattr(confounds, "CHUNK", 7)
    parts, again = confounds.compcor(series, chosen, TR)
    assert parts == pytest.approx(whole, abs=1e-8)
    assert again == pytest.approx(variance, abs=1e-10)


def test_table_has_the_columns_of_fmriprep() -> None:
    table, meta = confounds.confound_table(motion(), noise(), masks(), TR)
    for stem in (*confounds.MOTION_COLUMNS, "csf", "white_matter", "global_signal"):
        for suffix in ("", "_derivative1", "_power2", "_derivative1_power2"):
            assert stem + suffix in table
    for name in ("framewise_displacement", "dvars", "std_dvars", "a_comp_cor_00", "a_comp_cor_04", "cosine00"):
        assert name in table
    assert not any(str(name).startswith("non_steady") for name in table)
    assert set(meta) == set(table.columns)
    assert meta["csf"]["VoxelsInMask"] == 20
    assert meta["rot_x_derivative1_power2"]["Units"] == "rad^2"
    explained = [meta[f"a_comp_cor_{i:02d}"]["VarianceExplained"] for i in range(5)]
    assert explained == sorted(explained, reverse=True)
    assert meta["a_comp_cor_04"]["CumulativeVarianceExplained"] == pytest.approx(sum(explained))


def test_values_of_the_table() -> None:
    series, parameters = noise(), motion()
    table, _ = confounds.confound_table(parameters, series, masks(), TR)
    assert table["csf"].to_numpy() == pytest.approx(series[:, :20].mean(axis=1), rel=1e-6)
    assert table["global_signal"].to_numpy() == pytest.approx(series.mean(axis=1), rel=1e-6)
    assert np.isnan(table.loc[0, "trans_x_derivative1"])
    assert table.loc[5, "trans_x_derivative1"] == pytest.approx(parameters[5, 0] - parameters[4, 0])
    assert table.loc[5, "rot_z_derivative1_power2"] == pytest.approx((parameters[5, 5] - parameters[4, 5]) ** 2)
    undefined = table.iloc[0].isna()
    assert undefined.sum() == 2 * 9 + 3  # differences of nine series and their squares; FD and two DVARS
    assert not table.iloc[1:].isna().any().any()


def test_dummy_scans_are_marked_and_kept_out_of_components() -> None:
    series = noise()
    series[:3] *= 1.3
    table, _ = confounds.confound_table(motion(), series, masks(), TR, n_dummy=3)
    without, _ = confounds.confound_table(motion()[3:], series[3:], masks(), TR)
    for name in ("a_comp_cor_00", "cosine00"):
        assert (table.loc[:2, name] == 0).all()
        assert table[name].to_numpy()[3:] == pytest.approx(without[name].to_numpy())
    marks = table[[f"non_steady_state_outlier_{i:02d}" for i in range(3)]].to_numpy()
    assert np.array_equal(marks[:3], np.eye(3))
    assert marks[3:].sum() == 0


def test_without_tissue_there_is_no_compcor() -> None:
    table, _ = confounds.confound_table(motion(), noise(), {}, TR)
    assert "global_signal" in table
    assert not {"csf", "white_matter", "a_comp_cor_00"} & set(table)


def test_temporal_snr_by_hand() -> None:
    series = np.array([[9.0, 5.0], [11.0, 5.0]])
    found = confounds.temporal_snr(series)
    assert found[0] == 10  # mean 10, SD 1
    assert np.isnan(found[1])


def test_noise_masks_hold_no_grey_matter() -> None:
    t1w = grid((90, 110, 84), (1.5, 1.5, 1.5))
    dseg = labels_at(grid_points((90, 110, 84), t1w)).reshape(90, 110, 84)
    points = grid_points((45, 55, 42), grid((45, 55, 42), (3.0, 3.0, 3.0)))
    points = points[labels_at(points) > 0]
    found = noise_masks(dseg, t1w, points, 3.0)
    for name, label in (("csf", 3), ("white_matter", 2)):
        chosen = points[found[name].voxels].astype(float)
        assert len(chosen) >= 20
        # Every corner of the chosen voxels is of the tissue too.
        for corner in np.ndindex(2, 2, 2):
            assert (labels_at(chosen + (np.array(corner) - 0.5) * 3) == label).mean() > 0.97
    # The rim of CSF around the cortex is not taken, the ventricles are.
    assert np.abs(points[found["csf"].voxels]).max(axis=0) == pytest.approx([20, 30, 15], abs=14)


def test_noise_masks_follow_a_turned_grid() -> None:
    t1w = grid((60, 72, 56), (2.5, 2.5, 2.5), turn_deg=15)
    dseg = labels_at(grid_points((60, 72, 56), t1w)).reshape(60, 72, 56)
    points = apply_matrix(np.eye(4), grid_points((40, 48, 36), grid((40, 48, 36), (3.5, 3.5, 3.5))))
    found = noise_masks(dseg, t1w, points, 3.5)
    assert (labels_at(points[found["white_matter"].voxels].astype(float)) == 2).mean() > 0.98
