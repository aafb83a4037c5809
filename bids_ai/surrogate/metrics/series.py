"""Usable stretches of a series with gaps, and how frames are thinned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.usable import FloatArray, as_runs, usable_frames

Series = FloatArray | Sequence[FloatArray]
"""One series (n_times, n_regions), or runs of it; NaN rows are gaps."""


def stretches(series: Series) -> list[FloatArray]:
    """Cut a series at its gaps and run boundaries: a list of (n_times, n_regions) arrays without NaN."""
    pieces: list[FloatArray] = []
    for run in as_runs(series):
        edges = np.flatnonzero(np.diff(np.r_[False, usable_frames(run), False].astype(np.int8)))
        pieces += [run[start:stop] for start, stop in edges.reshape(-1, 2)]
    return pieces


def frames(series: Series) -> FloatArray:
    """Usable frames of all runs, shape (n_frames, n_regions)."""
    usable: FloatArray = np.concatenate([run[usable_frames(run)] for run in as_runs(series)])
    return usable


def frames_and_times(series: Series, gap: int) -> tuple[FloatArray, IntArray]:
    """Usable frames, and their times on a common axis on which runs are `gap` frames apart."""
    runs = as_runs(series)
    starts = np.cumsum([0, *(len(run) + gap for run in runs[:-1])])
    times = [start + np.flatnonzero(usable_frames(run)) for start, run in zip(starts, runs, strict=True)]
    return frames(runs), np.concatenate(times).astype(np.int64)


def thinned(n: int, at_most: int) -> IntArray:
    """Positions of at most so many of n items, evenly spaced; the same ones every time."""
    if n <= at_most:
        return np.arange(n)
    return np.linspace(0, n - 1, at_most).round().astype(np.int64)


def check_regions(truth: Series, generated: Series) -> None:
    """Refuse series of different regions.

    Raises
    ------
    InputError
        For different numbers of columns.
    """
    widths = {run.shape[-1] for series in (truth, generated) for run in as_runs(series)}
    if len(widths) != 1:
        raise InputError(
            f"The series have {sorted(widths)} columns; a recording and its surrogate need the same regions, "
            "with time in the rows."
        )
