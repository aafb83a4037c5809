"""From a recording to what every family is fitted on: standardised series, targets, folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.lags import Fold, IntArray, blocked_folds, histories, join_runs, lag_targets
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import BoolArray, FloatArray, region_reasons, standardise, usable_frames

MIN_SAMPLES_PER_FOLD = 4
"""Fewer held-out samples per fold than this say nothing about prediction."""


@dataclass(frozen=True)
class Scaler:
    """Mean and SD of every run and kept region, in the units of the signal, shape (n_runs, n_kept)."""

    mean: FloatArray
    sd: FloatArray


@dataclass(frozen=True)
class PreparedRecording:
    """A recording made ready: kept regions only, standardised within run, runs joined by NaN rows.

    All orders up to `order_max` share the same targets, so that their held-out errors can be compared.
    """

    recording: Recording
    kept: BoolArray
    excluded: dict[str, str]
    scaler: Scaler
    series: FloatArray
    targets: IntArray
    folds: tuple[Fold, ...]
    order_max: int
    warnings: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the recording."""
        return self.recording.name

    @property
    def n_regions(self) -> int:
        """Number of kept regions."""
        return self.series.shape[1]

    @property
    def n_samples(self) -> int:
        """Number of (history, next frame) pairs at the largest order."""
        return len(self.targets)

    @property
    def kept_structural(self) -> FloatArray | None:
        """Structural connectivity among the kept regions, (n_kept, n_kept); None where that has no connection."""
        structural = self.recording.structural
        if structural is None:
            return None
        among_kept = structural[np.ix_(self.kept, self.kept)]
        return among_kept if among_kept.any() else None

    def histories(self, order: int) -> FloatArray:
        """Histories of all targets, shape (n_samples, order, n_kept), newest lag last."""
        return histories(self.series, self.targets, order)

    def next_frames(self) -> FloatArray:
        """Next frames of all targets, shape (n_samples, n_kept)."""
        return self.series[self.targets]


def prepare(recording: Recording, order_max: int, n_folds: int) -> PreparedRecording:
    """Select, standardise and join the runs of a recording, and cut the blocked folds.

    Raises
    ------
    InputError
        Fewer than 2 usable regions, or too few usable frames for the folds.
    """
    reasons = region_reasons(recording.runs)
    kept = np.array([column not in reasons for column in range(len(recording.regions))])
    excluded = {recording.regions[column]: reason for column, reason in sorted(reasons.items())}
    if kept.sum() < 2:
        detail = "; ".join(f"{region}: {reason}" for region, reason in list(excluded.items())[:3])
        raise InputError(
            f"{recording.name}: at least 2 regions with varying signal are needed, {int(kept.sum())} of "
            f"{len(kept)} are usable ({detail})."
        )
    selected = [run[:, kept] for run in recording.runs]
    _check_frames(recording.name, selected)
    scaled = [standardise(run) for run in selected]
    series = join_runs([item[0] for item in scaled], gap=order_max)
    targets = lag_targets(usable_frames(series), order_max)
    needed = n_folds * MIN_SAMPLES_PER_FOLD
    if len(targets) < needed:
        raise InputError(
            f"{recording.name}: {len(targets)} frames have {order_max} usable frames before them, but {needed} are "
            f"needed for {n_folds}-fold validation. Use a longer scan, a smaller order, or censor less."
        )
    return PreparedRecording(
        recording=recording,
        kept=kept,
        excluded=excluded,
        scaler=Scaler(np.stack([item[1] for item in scaled]), np.stack([item[2] for item in scaled])),
        series=series,
        targets=targets,
        folds=blocked_folds(targets, n_folds, gap=order_max),
        order_max=order_max,
        warnings=_warnings(recording, selected, excluded),
    )


def _check_frames(name: str, selected: list[FloatArray]) -> None:
    for number, run in enumerate(selected, start=1):
        frames = run[usable_frames(run)]
        if len(frames) < 2 or np.ptp(frames, axis=0).min() == 0:
            raise InputError(
                f"{name}, run {number}: {len(frames)} frames are usable in all regions, too few to standardise. "
                "Drop this run, or censor less."
            )


def _warnings(recording: Recording, selected: list[FloatArray], excluded: dict[str, str]) -> tuple[str, ...]:
    warnings = []
    if excluded:
        names = ", ".join(f"{region} ({reason})" for region, reason in list(excluded.items())[:10])
        more = f" and {len(excluded) - 10} more" if len(excluded) > 10 else ""
        warnings.append(f"{len(excluded)} of {len(recording.regions)} regions are left out: {names}{more}.")
    partial = sum(int((np.isnan(run).any(axis=1) & ~np.isnan(run).all(axis=1)).sum()) for run in selected)
    if partial:
        warnings.append(f"{partial} frames are censored because some regions have no value in them.")
    return tuple(warnings)
