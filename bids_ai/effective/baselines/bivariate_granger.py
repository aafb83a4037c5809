"""Bivariate Granger causality: what the past of a source adds to the target's own past, other regions left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline, as_prepared, targets_of_order
from bids_ai.errors import InputError
from bids_ai.surrogate.lags import histories
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import FloatArray

ORDER = 1

IDENTICAL = 1e-10
"""Variance of a standardised source beyond the target's past below which the two are one series."""


@dataclass(frozen=True)
class PairwiseTest:
    """Bivariate Granger causality of all pairs, row = source.

    Parameters
    ----------
    log_ratio : (n_kept, n_kept) array
        log(RSS of the own past / RSS with the source), nats; NaN on the diagonal.
    p : (n_kept, n_kept) array
        Of the F test.
    order : int
    dof_reduced, dof_full : int
        Degrees of freedom of the two residual sums.
    """

    log_ratio: FloatArray
    p: FloatArray
    order: int
    dof_reduced: int
    dof_full: int


def bivariate_granger(recording: Recording | PreparedRecording, order: int = ORDER) -> PairwiseTest:
    """Bivariate Granger causality, with its F test.

    A common driver and a chain both look like a coupling here; `conditional_granger` takes them into account.

    Parameters
    ----------
    recording : Recording or PreparedRecording
    order : int, default=1
        Lags of source and target.

    Raises
    ------
    InputError
        No more samples than the 2 * order coefficients, or two identical regions.
    """
    from scipy.stats import f as f_distribution

    prepared = as_prepared(recording)
    targets = targets_of_order(prepared.series, order, prepared.name)
    n, n_samples = prepared.n_regions, len(targets)
    dof_reduced = n_samples - order - len(prepared.recording.runs)
    dof_full = dof_reduced - order
    if dof_full < 1:
        raise InputError(f"{prepared.name}: {n_samples} samples are too few for {2 * order} lagged coefficients.")
    x = histories(prepared.series, targets, order).reshape(n_samples, -1)
    y = prepared.series[targets]
    gram = (x.T @ x).reshape(order, n, order, n).transpose(1, 3, 0, 2)  # (region, region, lag, lag)
    cross = (x.T @ y).reshape(order, n, n).transpose(1, 2, 0)  # (source, target, lag)
    own = np.arange(n)
    # The lags of the source, with what the target's own past explains of them removed (Frisch-Waugh-Lovell).
    own_inverse = np.linalg.inv(gram[own, own])
    own_weights = (own_inverse @ cross[own, own][..., None])[..., 0]
    rss_own = (y**2).sum(axis=0) - (cross[own, own] * own_weights).sum(axis=-1)
    from_own = gram @ own_inverse[None]  # (source, target, lag of source, lag of target)
    remaining = gram[own, own][:, None] - from_own @ np.swapaxes(gram, -1, -2)
    remaining[own, own] = np.eye(order)
    shared = cross - (gram @ own_weights[None, :, :, None])[..., 0]
    unexplained = np.diagonal(remaining, axis1=-2, axis2=-1)[..., 0]
    if (unexplained[~np.eye(n, dtype=bool)] < IDENTICAL * n_samples).any():
        raise InputError(f"{prepared.name}: two regions have identical series; leave one of them out.")
    explained = (shared * np.linalg.solve(remaining, shared[..., None])[..., 0]).sum(axis=-1)
    explained = np.clip(explained, 0.0, None)
    rss_full = np.maximum(rss_own[None] - explained, np.finfo(float).tiny)
    log_ratio = np.log(rss_own[None] / rss_full)
    p = f_distribution.sf((explained / order) / (rss_full / dof_full), order, dof_full)
    log_ratio[own, own] = p[own, own] = np.nan
    return PairwiseTest(log_ratio, p, order, dof_reduced, dof_full)


def _granger(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    return bivariate_granger(prepared, options["order"]).log_ratio


BASELINE = Baseline(
    name="bivariate-granger",
    label="bivariategranger",
    compute=_granger,
    directed=True,
    units="nats",
    citation="Granger 1969, doi:10.2307/1912791",
    defaults={"order": ORDER},
)
