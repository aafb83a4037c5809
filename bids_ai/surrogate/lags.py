"""Lagged designs that never cross a run boundary or a censored frame, and blocked folds with a gap.

The runs are joined into one series with NaN rows between them. A boundary and a censored frame are then the
same thing, an unusable row, and one rule keeps every lag on its own side of both.

Histories are ordered in time: `history[:, 0]` is the oldest lag, `history[:, -1]` the NEWEST.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from bids_ai.surrogate.usable import BoolArray, FloatArray

IntArray = npt.NDArray[np.int64]


def join_runs(runs: Sequence[FloatArray], gap: int) -> FloatArray:
    """Join runs with `gap` rows of NaN between them, shape (n_times, n_regions)."""
    n_regions = runs[0].shape[1]
    pieces: list[FloatArray] = []
    for run in runs:
        pieces += [run, np.full((gap, n_regions), np.nan)]
    return np.concatenate(pieces[:-1])


def lag_targets(usable: BoolArray, order: int) -> IntArray:
    """Frames that can be predicted from `order` frames before them: all order + 1 frames are usable.

    Parameters
    ----------
    usable : (n_times,) bool
    order : int
        Number of lags, >= 1.

    Returns
    -------
    (n_samples,) int
        Indices t such that frames t - order ... t are all usable.
    """
    if len(usable) <= order:
        return np.zeros(0, dtype=np.int64)
    window = np.lib.stride_tricks.sliding_window_view(usable, order + 1)
    return np.flatnonzero(window.all(axis=1)).astype(np.int64) + order


def histories(series: FloatArray, targets: IntArray, order: int) -> FloatArray:
    """Histories of the targets, shape (n_samples, order, n_regions), newest lag LAST."""
    return series[targets[:, None] + np.arange(-order, 0)]


@dataclass(frozen=True)
class Fold:
    """One fold over the samples: slices into the targets.

    `test` is held out; `excluded` (a superset) is kept out of training, so that no frame of a test sample is
    seen in training either.
    """

    test: slice
    excluded: slice

    def train(self, n_samples: int) -> IntArray:
        """Positions of the training samples."""
        return np.r_[0 : self.excluded.start, self.excluded.stop : n_samples].astype(np.int64)


def blocked_folds(targets: IntArray, n_folds: int, gap: int) -> tuple[Fold, ...]:
    """Contiguous folds of near-equal size, purged of every sample within `gap` frames.

    A sample at t uses the frames t - p ... t, hence samples more than p frames apart share none: gap = p.

    Parameters
    ----------
    targets : (n_samples,) int
        Increasing frame indices.
    n_folds : int
    gap : int
        Frames purged on either side of a test block.
    """
    bounds = np.linspace(0, len(targets), n_folds + 1).round().astype(int)
    folds = []
    for start, stop in pairwise(bounds):
        first = np.searchsorted(targets, targets[start] - gap, side="left")
        last = np.searchsorted(targets, targets[stop - 1] + gap, side="right")
        folds.append(Fold(slice(int(start), int(stop)), slice(int(first), int(last))))
    return tuple(folds)
