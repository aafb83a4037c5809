"""What speaks against a table of signals before anything is fitted to it: length, dependent columns, sampling."""

from __future__ import annotations

import argparse

import numpy as np

from bids_ai.cli.signal_table import Signals
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed
from bids_ai.surrogate.lags import lag_targets
from bids_ai.surrogate.prepare import MIN_SAMPLES_PER_FOLD
from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX
from bids_ai.surrogate.usable import FloatArray, region_reasons, usable_frames

MIN_SAMPLES_PER_REGION = 2.0
"""As `bids_ai.surrogate.gate` has it, whose import costs seconds."""
MIN_SAMPLES_PER_COEFFICIENT = 3
"""As `bids_ai.effective.inference` has it."""
N_FOLDS = 5
"""Of the cross-validation, as `bids_ai.surrogate.fit.fit_recordings` has it."""
SAME_R = 0.999
"""Correlation from which two columns are the same signal for a regression."""
DEPENDENT = 1e-9
"""Smallest over largest eigenvalue of the correlation matrix, below which columns are linearly dependent."""


def check_length(name: str, table: Signals, modality: str, order_max: int | None) -> None:
    """Refuse a recording too short to be fitted and validated.

    Raises
    ------
    InputError
        With the number of frames that is needed.
    """
    lags = order_max or DEFAULT_ORDER_MAX[modality]
    needed = N_FOLDS * MIN_SAMPLES_PER_FOLD
    usable = usable_frames(_kept(table.values))
    samples = len(lag_targets(usable, lags))
    if samples >= needed or not usable.any():
        return
    n_frames, n_usable = len(table.values), int(usable.sum())
    frames = "1 frame is" if n_frames == 1 else f"{n_frames} frames are"
    fewer = "" if lags == 1 else f", or with --order-max 1 {needed + 1}"
    censored = f" ({n_usable} usable)" if n_usable < n_frames else ""
    gaps = " in one piece; lags do not cross censored frames" if n_usable >= needed + lags else ""
    raise InputError(
        f"{name}: {frames} too few{censored}: a fit with up to {lags} lags needs at "
        f"least {needed + lags}{fewer}{gaps}. To be called reliable it needs {MIN_SAMPLES_PER_REGION:g} per region, "
        f"and for tests of single edges {MIN_SAMPLES_PER_COEFFICIENT} per region and lag."
    )


def hopeless(table: Signals) -> bool:
    """Whether there are so few frames for the regions that no fit can be called reliable."""
    n_times, n_regions = table.values.shape
    return n_times < MIN_SAMPLES_PER_REGION * n_regions


def signal_warnings(args: argparse.Namespace, table: Signals) -> list[str]:
    """Say what speaks against a table that can be fitted."""
    found = []
    n_times, n_regions = table.values.shape
    if n_times < n_regions:
        found.append(
            f"There are fewer frames ({n_times}) than regions ({n_regions}): the estimate leans on shrinkage, or the "
            "table is transposed (rows must be frames)."
        )
    if hopeless(table) and args.model == "auto":
        found.append(
            f"{n_times} frames are fewer than {MIN_SAMPLES_PER_REGION:g} for each of {n_regions} regions, so that no "
            "model can be called reliable: only ridge-var is fitted. Name another with --model to have it."
        )
    if args.modality == "bold" and args.tr and 0 < args.tr < 0.1:
        found.append(f"A TR of {args.tr:g} s is short for BOLD; if this is EEG or iEEG, say --modality eeg or ieeg.")
    return found + _dependent(table)


def _dependent(table: Signals) -> list[str]:
    """Warn of columns that are the same, or sums of others."""
    reasons = region_reasons([table.values])
    kept = [k for k in range(len(table.names)) if k not in reasons]
    values = table.values[:, kept]
    values = values[usable_frames(values)]
    if len(kept) < 2 or len(values) <= len(kept):
        return []
    spread = values.std(axis=0)
    if not (spread > 0).all():
        return []
    r = np.corrcoef(values.T)
    pairs = [(kept[i], kept[j]) for i, j in np.argwhere(np.triu(np.abs(r) > SAME_R, 1))]
    if pairs:
        named = listed([f"{table.names[i]} and {table.names[j]}" for i, j in pairs], 3)
        return [
            f"Columns that hold the same signal: {named} (|r| above {SAME_R:g}). "
            "Their effects cannot be told apart, and there may be no intervals. Leave one of each out."
        ]
    eigenvalues = np.linalg.eigvalsh(r)
    if eigenvalues[0] < DEPENDENT * eigenvalues[-1]:
        return [
            "Some column is a sum of the others, as after removal of the mean over regions (global signal): there are "
            "no intervals, and negative effects may come from the removal. Fit signals without it, or leave a region "
            "out."
        ]
    return []


def _kept(values: FloatArray) -> FloatArray:
    reasons = region_reasons([values])
    return values[:, [k for k in range(values.shape[1]) if k not in reasons]]
