"""Censoring, confound regression and high-pass of region series in one least-squares model.

Filtering before or after regression puts back what the other step removed (Lindquist et al. 2019,
doi:10.1002/hbm.24528), and interpolating over censored frames leaks them into the rest. Here drift, confounds
and task stand in one design that is fitted on the kept frames only. There is no low-pass: band-passed BOLD
makes one-step prediction trivial, and effective connectivity meaningless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from bids_ai.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_RESIDUAL_DOF = 20
N_COMPCOR = 5
MOTION = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
TISSUE = ("csf", "white_matter")
STRATEGIES = ("24p+acompcor", "24p", "36p", "6p", "none")
# Names in tables of fMRIPrep before 1.2, and the forms others use.
ALIASES = {
    "X": "trans_x", "Y": "trans_y", "Z": "trans_z", "RotX": "rot_x", "RotY": "rot_y", "RotZ": "rot_z",
    "CSF": "csf", "WhiteMatter": "white_matter", "GlobalSignal": "global_signal",
    "FramewiseDisplacement": "framewise_displacement", "stdDVARS": "std_dvars",
    **{f"aCompCor{i:02d}": f"a_comp_cor_{i:02d}" for i in range(N_COMPCOR)},
}  # fmt: skip


def _numeric(confounds: pd.DataFrame) -> pd.DataFrame:
    """Accept tables read with or without `na_values="n/a"`, and old column names."""
    renamed = confounds.rename(columns={old: new for old, new in ALIASES.items() if new not in confounds})
    text = [name for name, kind in renamed.dtypes.items() if not is_numeric_dtype(kind)]
    return renamed.assign(**{str(name): pd.to_numeric(renamed[name], errors="coerce") for name in text})


def censor_mask(
    confounds: pd.DataFrame,
    *,
    fd_threshold_mm: float | None = 0.5,
    std_dvars_threshold: float | None = None,
    min_contiguous: int = 3,
) -> NDArray[np.bool_]:
    """Tell which frames are kept.

    Parameters
    ----------
    confounds : DataFrame of n_times rows
        Needs `framewise_displacement` / `std_dvars` if their threshold is given.
    fd_threshold_mm : float, optional
        Frames above it are censored. None: no censoring by motion.
    std_dvars_threshold : float, optional
        As above; 1.5 is customary.
    min_contiguous : int
        Runs of kept frames shorter than this are censored as well: they hold no usable lag.

    Returns
    -------
    bool array of shape (n_times,)
        True = kept. The first frame, whose displacement is unknown, is kept; frames of
        `non_steady_state_outlier*` never are.

    Raises
    ------
    InputError
        If a column that a threshold needs is absent.

    References
    ----------
    Power et al. 2014, doi:10.1016/j.neuroimage.2013.08.048
    """
    table = _numeric(confounds)
    keep = np.ones(len(table), bool)
    for column, threshold in (("framewise_displacement", fd_threshold_mm), ("std_dvars", std_dvars_threshold)):
        if threshold is None:
            continue
        if column not in table:
            raise InputError(
                f"Censoring by {column} > {threshold} needs that column; the confound table has none. Set "
                "the threshold to null."
            )
        keep &= ~(table[column].to_numpy() > threshold)
    for column in table.columns:
        if str(column).startswith(("non_steady_state_outlier", "NonSteadyStateOutlier")):
            keep &= table[column].to_numpy() != 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
    for start, stop in edges.reshape(-1, 2):
        if stop - start < min_contiguous:
            keep[start:stop] = False
    return keep


def confound_matrix(
    confounds: pd.DataFrame, strategy: str = "24p+acompcor", *, global_signal: bool = False
) -> tuple[NDArray[np.float64], list[str]]:
    """Choose the regressors of a denoising strategy.

    Parameters
    ----------
    confounds : DataFrame of n_times rows
        Ours or fMRIPrep's. Missing derivatives and squares are computed.
    strategy : str
        `6p` motion; `24p` with derivatives and squares (Friston et al. 1996); `24p+acompcor` with 5 aCompCor
        components; `36p` = 24p + 4 x (CSF, white matter, global signal) (Ciric et al. 2017,
        doi:10.1016/j.neuroimage.2017.03.020); `none`.
    global_signal : bool
        Regress the global signal. Never implied: `36p`, which contains it, is refused without it.

    Returns
    -------
    matrix : array of shape (n_times, n_confounds)
        Undefined first values of derivatives are 0. Neither drift nor intercept: `denoise` adds them.
    names : list of n_confounds str

    Raises
    ------
    InputError
        If the strategy is unknown or its columns are missing.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"Denoising strategy must be one of {', '.join(STRATEGIES)}; got {strategy!r}.")
    if strategy == "36p" and not global_signal:
        raise InputError(
            "Strategy 36p contains the global signal, which makes connectivity relative and adds negative "
            "correlations. "
            "Ask for it with global_signal=True, or use 24p+acompcor."
        )
    table = _numeric(confounds)
    names = [] if strategy == "none" else _with_expansions(MOTION, 1 if strategy == "6p" else 4)
    if strategy == "36p":
        names += _with_expansions((*TISSUE, "global_signal"), 4)
    elif global_signal:
        names.append("global_signal")
    if strategy == "24p+acompcor":
        names += _compcor_names(table)
    columns = [_column(table, name) for name in names]
    return (np.column_stack(columns) if columns else np.zeros((len(table), 0))), names


def _with_expansions(stems: tuple[str, ...], order: int) -> list[str]:
    suffixes = ("", "_derivative1", "_power2", "_derivative1_power2")[:order]
    return [stem + suffix for suffix in suffixes for stem in stems]


def _compcor_names(table: pd.DataFrame) -> list[str]:
    found = sorted(str(c) for c in table.columns if str(c).startswith("a_comp_cor_"))[:N_COMPCOR]
    if not found:
        raise InputError(
            "Strategy 24p+acompcor needs columns a_comp_cor_00...; the confound table has none (no T1w "
            "segmentation?). Use 24p."
        )
    return found


def _column(table: pd.DataFrame, name: str) -> NDArray[np.float64]:
    if name in table:
        values = table[name].to_numpy(float)
    elif name.endswith("_power2"):
        return _column(table, name.removesuffix("_power2")) ** 2
    elif name.endswith("_derivative1"):
        values = np.diff(_column(table, name.removesuffix("_derivative1")), prepend=np.nan)
    else:
        raise InputError(f"The confound table lacks {name!r}; it has {', '.join(map(str, table.columns[:12]))} ...")
    values = np.array(values)
    if len(values) and np.isnan(values[0]):
        values[0] = 0.0  # a difference without a predecessor
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values))
        raise InputError(f"Confound {name!r} is undefined in {len(bad)} frames beyond the first (e.g. frame {bad[0]}).")
    return cast("NDArray[np.float64]", values)


def task_regressors(
    events: pd.DataFrame, tr: float, n_times: int, *, start_time: float = 0.0, hrf: str = "glover"
) -> pd.DataFrame:
    """Expected BOLD response of every condition, to be regressed out.

    Parameters
    ----------
    events : DataFrame
        `onset` and `duration` in seconds, `trial_type` if there is more than one condition.
    tr : float
        Seconds.
    n_times : int
    start_time : float
        Time of the first frame within its repetition, seconds: the moment slices were interpolated to, or 0.
    hrf : str
        A model of nilearn: `glover`, `spm`, `glover + derivative`, `fir` ...

    Returns
    -------
    DataFrame of shape (n_times, n_regressors)
        One column per condition (more with derivatives), in order of first letter.

    Raises
    ------
    InputError
        If columns are missing or no event falls into the run.
    """
    from nilearn.glm.first_level import compute_regressor

    missing = {"onset", "duration"} - set(events.columns)
    if missing:
        raise InputError(f"events need columns onset and duration (s); missing: {', '.join(sorted(missing))}.")
    table = events.assign(
        onset=pd.to_numeric(events["onset"], errors="coerce"),
        duration=pd.to_numeric(events["duration"], errors="coerce").fillna(0.0),
        trial_type=events["trial_type"].astype("string").fillna("n/a") if "trial_type" in events else "task",
    )
    frame_times = start_time + tr * np.arange(n_times)
    table = table[np.isfinite(table["onset"]) & (table["trial_type"] != "n/a")]
    table = table[(table["onset"] <= frame_times[-1]) & (table["onset"] + table["duration"] >= -24.0)]
    if table.empty:
        raise InputError(
            f"No event with a trial_type falls into the run ({n_times} frames of {tr:g} s); there is no "
            "task to regress out."
        )
    regressors: dict[str, NDArray[Any]] = {}
    for condition, rows in table.groupby("trial_type", sort=True):
        blocks = np.vstack([rows["onset"], rows["duration"], np.ones(len(rows))]).astype(float)
        # Events before the scan still have a response in it.
        columns, names = compute_regressor(blocks, hrf, frame_times, con_id=str(condition), min_onset=-24.0)
        regressors |= dict(zip(names, columns.T, strict=True))
    return pd.DataFrame(regressors)


def drift_basis(n_times: int, tr: float, high_pass_hz: float) -> NDArray[np.float64]:
    """Discrete cosines up to `high_pass_hz` over the whole run, (n_times, n_cosines)."""
    order = int(np.floor(2 * n_times * tr * high_pass_hz))
    moments = (np.arange(n_times) + 0.5) * np.pi / n_times
    return np.cos(np.outer(moments, np.arange(1, order + 1)))


def denoise(
    series: NDArray[Any],
    confounds: NDArray[Any],
    *,
    tr: float,
    high_pass_hz: float = 0.008,
    keep: NDArray[Any] | None = None,
    extra: NDArray[Any] | pd.DataFrame | None = None,
    standardise: bool = False,
    min_residual_dof: int = MIN_RESIDUAL_DOF,
) -> NDArray[np.float64]:
    """Remove confounds, drift and task from region series.

    Parameters
    ----------
    series : array of shape (n_times, n_regions)
        A region that is all NaN (no coverage) stays so; a frame that is all NaN counts as censored.
    confounds : array of shape (n_times, n_confounds)
        From `confound_matrix`; may have no column.
    tr : float
        Seconds.
    high_pass_hz : float
        Cosines below this frequency are removed; 0 for none.
    keep : bool array of shape (n_times,), optional
        Frames to fit and to give back.
    extra : array or DataFrame of n_times rows, optional
        Further regressors, such as `task_regressors`.
    standardise : bool
        Divide by the standard deviation over kept frames.
    min_residual_dof : int
        Degrees of freedom that must remain.

    Returns
    -------
    array of shape (n_times, n_regions), float64
        Residuals. The mean is removed and not added back; censored rows are NaN.

    Raises
    ------
    InputError
        If shapes disagree, values are missing in places, or too few degrees of freedom remain.
    """
    series = np.asarray(series, float)
    n_times, n_regions = series.shape
    blocks = {"confounds": np.asarray(confounds, float).reshape(len(confounds), -1)}
    if extra is not None:
        blocks["extra"] = np.asarray(extra, float).reshape(len(extra), -1)
    for name, block in blocks.items():
        if len(block) != n_times:
            raise InputError(f"{name} have {len(block)} rows, the series {n_times} frames: not of one run.")
    keep = np.ones(n_times, bool) if keep is None else np.asarray(keep, bool).copy()
    if keep.shape != (n_times,):
        raise InputError(f"keep has shape {keep.shape}, expected ({n_times},).")
    covered = ~np.isnan(series).all(axis=0)
    if covered.any():
        keep &= ~np.isnan(series[:, covered]).all(axis=1)
    design = np.column_stack([np.ones(n_times), drift_basis(n_times, tr, high_pass_hz), *blocks.values()])
    basis = _orthonormal(design[keep], min_residual_dof)

    kept = series[np.ix_(keep, covered)]
    if not np.isfinite(kept).all():
        raise InputError(
            f"{int((~np.isfinite(kept)).any(axis=0).sum())} regions have missing values in some kept frames "
            "but not in all; "
            "a region is either covered or not."
        )
    # Twice: the first pass leaves rounding of the size of the mean, which is large in BOLD.
    residual = kept - basis @ (basis.T @ kept)
    residual -= basis @ (basis.T @ residual)
    if standardise:
        deviation = residual.std(axis=0)
        varies = deviation > 1e-9 * np.maximum(np.abs(kept).mean(axis=0), 1e-12)
        residual = np.where(varies, residual / np.where(varies, deviation, 1), np.nan)
    cleaned = np.full((n_times, n_regions), np.nan)
    cleaned[np.ix_(keep, covered)] = residual
    return cleaned


def _orthonormal(design: NDArray[Any], min_residual_dof: int) -> NDArray[np.float64]:
    """Orthonormal columns that span the design over the kept frames; refuses a design that leaves too little."""
    if not np.isfinite(design).all():
        raise InputError("Confounds or task regressors have missing values in kept frames.")
    # The first column is the intercept. The others are centred on the kept frames, or signals with a large
    # mean (global signal and its square) would look alike to the rank; what is constant there (an outlier
    # column of a censored frame) is dropped.
    centred = design - design.mean(axis=0) * (np.arange(design.shape[1]) > 0)
    scale = np.sqrt((centred**2).sum(axis=0))
    used = scale > 1e-10 * np.sqrt((design**2).sum(axis=0))
    left, values, _ = np.linalg.svd(centred[:, used] / scale[used], full_matrices=False)
    rank = int((values > values.max(initial=0) * 1e-8).sum())
    remaining = len(design) - rank
    if remaining < min_residual_dof:
        raise InputError(
            f"Denoising needs at least {min_residual_dof} residual degrees of freedom: {len(design)} kept "
            f"frames less {rank} independent "
            f"regressors leave {remaining}. Use a smaller strategy, a higher motion threshold, or leave the "
            "run out."
        )
    return cast("NDArray[np.float64]", left[:, :rank])
