from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.preprocess import denoise as dn

TR = 2.0
N = 200
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = [*MOTION, "csf", "white_matter", "global_signal", *(f"a_comp_cor_{i:02d}" for i in range(8))]
    frame = pd.DataFrame(rng.normal(size=(N, len(names))), columns=names)
    frame["global_signal"] += 5000
    frame["framewise_displacement"] = [np.nan, *rng.uniform(0, 0.2, N - 1)]
    frame["std_dvars"] = [np.nan, *rng.uniform(0.9, 1.1, N - 1)]
    return frame


def sine(hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * TR * np.arange(N) + 0.3)


# --- censoring


def test_censoring_by_hand() -> None:
    fd = [np.nan, 0.1, 0.6, 0.1, 0.1, 0.7, 0.1, 0.1, 0.1, 0.5]
    confounds = pd.DataFrame({"framewise_displacement": fd})
    keep = dn.censor_mask(confounds, fd_threshold_mm=0.5, min_contiguous=3)
    # Frames 0-1 and 3-4 are runs of two; 6-9 stay, 0.5 itself is not above the threshold.
    assert keep.tolist() == [False] * 6 + [True] * 4
    loose = dn.censor_mask(confounds, fd_threshold_mm=0.5, min_contiguous=2)
    assert loose.tolist() == [True, True, False, True, True, False, True, True, True, True]
    assert dn.censor_mask(confounds, fd_threshold_mm=None).all()


def test_dummy_scans_and_dvars_are_censored(table: pd.DataFrame) -> None:
    table["non_steady_state_outlier_00"] = (np.arange(N) == 0).astype(float)
    table.loc[50, "std_dvars"] = 2.0
    keep = dn.censor_mask(table, std_dvars_threshold=1.5)
    assert np.flatnonzero(~keep).tolist() == [0, 50]


def test_censoring_without_its_column_is_refused() -> None:
    with pytest.raises(InputError, match="framewise_displacement"):
        dn.censor_mask(pd.DataFrame({"trans_x": [0.0, 1.0]}))


# --- choice of regressors


@pytest.mark.parametrize(("strategy", "count"), [("none", 0), ("6p", 6), ("24p", 24), ("24p+acompcor", 29)])
def test_number_of_regressors(table: pd.DataFrame, strategy: str, count: int) -> None:
    matrix, names = dn.confound_matrix(table, strategy)
    assert matrix.shape == (N, count)
    assert len(set(names)) == count
    assert not any("global_signal" in name for name in names)


def test_global_signal_is_never_a_surprise(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="global_signal=True"):
        dn.confound_matrix(table, "36p")
    matrix, names = dn.confound_matrix(table, "36p", global_signal=True)
    assert matrix.shape == (N, 36)
    assert "global_signal_derivative1_power2" in names
    assert dn.confound_matrix(table, "24p", global_signal=True)[1][-1] == "global_signal"


def test_missing_expansions_are_computed(table: pd.DataFrame) -> None:
    matrix, names = dn.confound_matrix(table, "24p")
    step = table["rot_y"].diff().fillna(0).to_numpy()
    assert matrix[:, names.index("rot_y_derivative1")] == pytest.approx(step)
    assert matrix[:, names.index("rot_y_derivative1_power2")] == pytest.approx(step**2)


def test_fmriprep_text_and_old_names(table: pd.DataFrame) -> None:
    text = table.astype(object)
    text["trans_x_derivative1"] = ["n/a", *table["trans_x"].diff().iloc[1:].astype(str)]
    assert dn.confound_matrix(text, "24p")[0] == pytest.approx(dn.confound_matrix(table, "24p")[0])
    old = table.rename(columns={"trans_x": "X", "rot_x": "RotX", "a_comp_cor_00": "aCompCor00"})
    assert dn.confound_matrix(old)[0] == pytest.approx(dn.confound_matrix(table)[0])


def test_unusable_tables_are_explained(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="one of"):
        dn.confound_matrix(table, "25p")
    with pytest.raises(InputError, match="a_comp_cor"):
        dn.confound_matrix(table[list(MOTION)])
    with pytest.raises(InputError, match="'rot_z'"):
        dn.confound_matrix(table.drop(columns="rot_z"), "6p")
    table.loc[7, "trans_y"] = np.nan
    with pytest.raises(InputError, match="frame 7"):
        dn.confound_matrix(table, "6p")


# --- the model


def test_residuals_equal_ordinary_least_squares(table: pd.DataFrame) -> None:
    rng = np.random.default_rng(1)
    series = rng.normal(1000, 5, (N, 3))
    matrix, _ = dn.confound_matrix(table)
    cleaned = dn.denoise(series, matrix, tr=TR, high_pass_hz=0.01)
    design = np.column_stack([np.ones(N), dn.drift_basis(N, TR, 0.01), matrix])
    expected = series - design @ np.linalg.lstsq(design, series, rcond=None)[0]
    assert cleaned == pytest.approx(expected, abs=1e-8)
    assert cleaned.mean(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_confound_leaves_and_signal_stays() -> None:
    rng = np.random.default_rng(2)
    signal, confound = rng.normal(size=N), rng.normal(size=(N, 1))
    series = np.column_stack([signal + 10 * confound[:, 0], signal])
    cleaned = dn.denoise(series, confound, tr=TR)
    assert abs(np.corrcoef(cleaned[:, 0], confound[:, 0])[0, 1]) < 1e-10
    assert np.corrcoef(cleaned[:, 0], cleaned[:, 1])[0, 1] == pytest.approx(1)


def test_high_pass_and_no_low_pass() -> None:
    none = np.zeros((N, 0))
    series = np.column_stack([sine(0.003), sine(0.05), sine(0.24)]) + 100
    cleaned = dn.denoise(series, none, tr=TR, high_pass_hz=0.008)
    kept = cleaned.std(axis=0) / series.std(axis=0)
    assert kept[0] < 0.1  # half-cycles of cosines make a slow sine but for its ends
    assert kept[1] > 0.98
    assert kept[2] > 0.98  # near Nyquist: nothing was smoothed
    everything = dn.denoise(series, none, tr=TR, high_pass_hz=0)
    assert everything == pytest.approx(series - series.mean(axis=0))


def test_censored_frames_are_missing_and_have_no_influence() -> None:
    rng = np.random.default_rng(3)
    series, confound = rng.normal(size=(N, 2)), rng.normal(size=(N, 2))
    keep = np.ones(N, bool)
    keep[[10, 11, 90]] = False
    spoiled, spoiled_confound = series.copy(), confound.copy()
    spoiled[~keep] += 1e6
    spoiled_confound[~keep] = 1e6
    cleaned = dn.denoise(spoiled, spoiled_confound, tr=TR, keep=keep)
    assert np.isnan(cleaned[~keep]).all()
    assert cleaned[keep] == pytest.approx(dn.denoise(series, confound, tr=TR, keep=keep)[keep], abs=1e-8)
    # The drift keeps its place in time: a slow sine is removed as well as from the whole run.
    slow = (sine(0.003) + 5)[:, None]
    assert np.nanstd(dn.denoise(slow, np.zeros((N, 0)), tr=TR, keep=keep)) < 0.05


def test_missing_regions_and_frames() -> None:
    rng = np.random.default_rng(4)
    series = rng.normal(size=(N, 3))
    series[:, 1] = np.nan
    series[20] = np.nan
    cleaned = dn.denoise(series, np.zeros((N, 0)), tr=TR)
    assert np.isnan(cleaned[:, 1]).all()
    assert np.isnan(cleaned[20]).all()
    assert np.isfinite(np.delete(cleaned, 20, axis=0)[:, [0, 2]]).all()
    series[30, 0] = np.nan
    with pytest.raises(InputError, match="1 regions"):
        dn.denoise(series, np.zeros((N, 0)), tr=TR)


def test_standardised_series() -> None:
    rng = np.random.default_rng(5)
    series = np.column_stack([rng.normal(1000, 7, N), np.full(N, 3.0)])
    cleaned = dn.denoise(series, np.zeros((N, 0)), tr=TR, standardise=True)
    assert cleaned[:, 0].std() == pytest.approx(1)
    assert np.isnan(cleaned[:, 1]).all()  # a constant has no scale


def test_regressors_that_repeat_cost_no_freedom() -> None:
    rng = np.random.default_rng(6)
    series, confound = rng.normal(size=(40, 2)), rng.normal(size=(40, 10))
    # An outlier column of a censored frame is constant among the kept ones; the global signal has a large mean.
    repeated = np.column_stack([confound, confound[:, ::-1] * 3, np.full(40, 7.0), confound.sum(axis=1) + 1e5])
    once = dn.denoise(series, confound, tr=TR, high_pass_hz=0)
    assert dn.denoise(series, repeated, tr=TR, high_pass_hz=0) == pytest.approx(once, abs=1e-6)


def test_too_few_degrees_of_freedom() -> None:
    rng = np.random.default_rng(7)
    series, confound = rng.normal(size=(60, 2)), rng.normal(size=(60, 29))
    keep = np.ones(60, bool)
    keep[:15] = False
    # 45 frames, 29 confounds, intercept, one cosine: floor(2 * 120 s * 0.008 Hz) = 1.
    with pytest.raises(InputError, match="45 kept frames less 31 independent regressors leave 14"):
        dn.denoise(series, confound, tr=TR, keep=keep)
    assert np.isfinite(dn.denoise(series, confound, tr=TR, keep=keep, min_residual_dof=14)[keep]).all()


@pytest.mark.parametrize("what", ["confounds", "extra", "keep"])
def test_rows_of_another_run_are_refused(what: str) -> None:
    series, rows = np.random.default_rng(8).normal(size=(N, 2)), np.zeros((N - 1, 1))
    arguments = {"confounds": np.zeros((N, 0)), what: rows if what != "keep" else np.ones(N - 1, bool)}
    with pytest.raises(InputError):
        dn.denoise(series, arguments.pop("confounds"), tr=TR, **arguments)


def test_missing_confounds_in_kept_frames_are_refused() -> None:
    confound = np.zeros((N, 1))
    confound[3] = np.nan
    with pytest.raises(InputError, match="missing values in kept frames"):
        dn.denoise(np.random.default_rng(9).normal(size=(N, 2)), confound, tr=TR)


# --- task


def events() -> pd.DataFrame:
    return pd.DataFrame(
        {"onset": [10.0, 90.0, 50.0], "duration": [20.0, 20.0, 20.0], "trial_type": ["face", "face", "house"]}
    )


def test_task_regressors_follow_the_blocks() -> None:
    found = dn.task_regressors(events(), TR, N)
    assert list(found.columns) == ["face", "house"]
    face = found["face"].to_numpy()
    moments = TR * np.arange(N)
    assert (np.abs(face[moments < 10]) < 1e-6).all()
    # Glover's response peaks 5 s after an event and its undershoot pulls the later part of a block down.
    assert 16 < moments[:40][face[:40].argmax()] < 38
    assert found["house"].to_numpy()[moments < 50] == pytest.approx(0, abs=1e-6)


def test_start_time_shifts_the_frames() -> None:
    late = dn.task_regressors(events(), TR, N, start_time=TR)["face"].to_numpy()
    early = dn.task_regressors(events(), TR, N)["face"].to_numpy()
    assert late[:-1] == pytest.approx(early[1:], abs=0.02)


def test_task_is_regressed_out() -> None:
    task = dn.task_regressors(events(), TR, N)
    rng = np.random.default_rng(10)
    series = 1000 + 30 * task.to_numpy()[:, :1] + rng.normal(0, 1, (N, 1))
    cleaned = dn.denoise(series, np.zeros((N, 0)), tr=TR, extra=task)
    assert cleaned.std() < 1.1


def test_events_without_types_or_outside() -> None:
    plain = dn.task_regressors(events().drop(columns="trial_type"), TR, N)
    assert list(plain.columns) == ["task"]
    with pytest.raises(InputError, match="No event"):
        dn.task_regressors(events().assign(onset=5000.0), TR, N)
    with pytest.raises(InputError, match="duration"):
        dn.task_regressors(events().drop(columns="duration"), TR, N)
    some = dn.task_regressors(events().assign(trial_type=["face", "n/a", "house"]), TR, N)
    assert list(some.columns) == ["face", "house"]
