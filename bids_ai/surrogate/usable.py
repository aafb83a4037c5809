"""Which regions and which frames of a recording can be used, and their standardisation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

MAX_MISSING_FRACTION = 0.1
"""A region that lacks more than this share of the uncensored frames of any run is excluded; below it, the
few frames it lacks are censored for every region, so that all regions share the same frames."""

CONSTANT_TOLERANCE = 1e-10
"""A standard deviation below this share of the region's largest absolute value is rounding, not signal."""


def as_runs(series: npt.ArrayLike | Sequence[npt.ArrayLike]) -> list[FloatArray]:
    """Read one series (n_times, n_regions), or a sequence of such runs, as a list of float64 arrays."""
    if isinstance(series, np.ndarray):
        return [np.asarray(series, dtype=np.float64)] if series.ndim == 2 else [np.asarray(s) for s in series]
    items = list(series)  # type: ignore[arg-type]
    if items and np.ndim(items[0]) == 2:
        return [np.asarray(item, dtype=np.float64) for item in items]
    return [np.asarray(items, dtype=np.float64)]


def region_reasons(runs: Sequence[FloatArray]) -> dict[int, str]:
    """Regions that cannot be used, with the reason.

    Parameters
    ----------
    runs : sequence of (n_times, n_regions) arrays
        Missing values are NaN. A row that is NaN everywhere is a censored frame.

    Returns
    -------
    dict
        Column index to reason: "no data", "constant", or the share of frames without data. A region has to be
        usable in every run.
    """
    reasons: dict[int, str] = {}
    for number, run in enumerate(runs, start=1):
        where = f" in run {number}" if len(runs) > 1 else ""
        missing = np.isnan(run)
        uncensored = ~missing.all(axis=1)
        if not uncensored.any():
            return dict.fromkeys(range(run.shape[1]), f"no data{where}")
        share = missing[uncensored].mean(axis=0)
        for column in range(run.shape[1]):
            if column in reasons:
                continue
            values = run[~missing[:, column], column]
            if values.size == 0:
                reasons[column] = f"no data{where}"
            elif share[column] > MAX_MISSING_FRACTION:
                reasons[column] = f"no data in {share[column]:.0%} of the frames{where}"
            elif is_constant(values):
                reasons[column] = f"constant{where}"
    return reasons


def is_constant(values: FloatArray) -> bool:
    """Whether a series holds no variation beyond the rounding of its own values."""
    return bool(values.std() <= CONSTANT_TOLERANCE * np.abs(values).max(initial=0.0))


def usable_frames(run: FloatArray) -> BoolArray:
    """Frames of a run in which every (already selected) region has a value, shape (n_times,)."""
    return np.asarray(~np.isnan(run).any(axis=1))


def standardise(run: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Standardise a run to mean 0 and SD 1 over its usable frames; unusable frames become NaN rows.

    Parameters
    ----------
    run : (n_times, n_regions) array
        Usable regions only.

    Returns
    -------
    standardised : (n_times, n_regions) array
    mean, sd : (n_regions,) arrays
        In the units of the run; the SD is that of the population (ddof 0).
    """
    frames = usable_frames(run)
    mean = run[frames].mean(axis=0)
    sd = run[frames].std(axis=0)
    out = np.full(run.shape, np.nan)
    out[frames] = (run[frames] - mean) / sd
    return out, mean, sd
