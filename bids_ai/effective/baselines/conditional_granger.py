"""Conditional Granger causality in the time domain: what the past of a source adds to the past of everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline, as_prepared
from bids_ai.effective.baselines.least_squares import CouplingTest, choose_order, coupling_test, fit_var
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import FloatArray

ORDER_MAX = 3


def conditional_granger(recording: Recording | PreparedRecording, order: int | None = None) -> CouplingTest:
    """Conditional Granger causality of all pairs of kept regions, with its F test.

    The log ratio of the residual variances of x_j regressed on the past of all regions but i, and on the past of all.
    Half of it is the conditional transfer entropy of Gaussian variables (Barnett, Barrett & Seth 2009).

    Parameters
    ----------
    recording : Recording or PreparedRecording
    order : int, optional
        Number of lags; default the one with the smallest corrected Akaike criterion up to 3.

    Returns
    -------
    CouplingTest
        Over the kept regions. The log ratio is non-negative and has the bias order / dof where there is no coupling.

    Raises
    ------
    InputError
        No more samples than coefficients, or collinear regions.
    """
    prepared = as_prepared(recording)
    n_runs = len(prepared.recording.runs)
    lags = choose_order(prepared.series, ORDER_MAX, n_runs, prepared.name) if order is None else order
    return coupling_test(fit_var(prepared.series, lags, n_runs, prepared.name))


def _granger(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    return conditional_granger(prepared, options["order"]).log_ratio


BASELINE = Baseline(
    name="granger",
    label="granger",
    compute=_granger,
    directed=True,
    units="nats",
    citation="Granger 1969, doi:10.2307/1912791; Geweke 1984, doi:10.1080/01621459.1984.10477110",
    defaults={"order": None},
)
