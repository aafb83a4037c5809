"""Regression dynamic causal modelling (rDCM) at rest: Bayesian linear regression of the signal's derivative.

The model (Frassle et al. 2017; at rest there is no driving input, Frassle et al. 2021). The linear neural equation
dx/dt = A x, convolved on both sides with one haemodynamic response, holds for the BOLD signal y too (the response stays
implicit). In the Fourier domain, with the forward difference in place of the derivative, region r gives at every
frequency m of N

    (exp(2 pi i m / N) - 1) / TR * Y_r(m) = sum_k A_rk Y_k(m) + noise,      noise ~ N(0, 1 / tau_r).

Every region is a regression of its own, with Gaussian-gamma priors and variational posterior q(theta) q(tau):

    S = (<tau> X'X + L0)^-1          mu = S (<tau> X'Y + L0 mu0)
    a = a0 + N / 2                   b = b0 + 1/2 |Y - X mu|^2 + 1/2 trace(X'X S)          <tau> = a / b,

iterated until <tau> stands still. Priors, those of the papers: A_rk of mean 0 and variance 8 / n, self connections of
mean -1/2 Hz and variance 1 / (8 n), a0 = 2, b0 = 1, n the number of regions. The papers have signals in percent change,
here they are in SD units. A structural mask fixes absent connections to zero; the sparse variant with binary indicators
(2018) is not implemented.

By Parseval's theorem the sums over frequencies in X'X and X'Y are sums over frames of products of y(t) with y(t) and
with (y(t + 1) - y(t)) / TR, the series taken as circular. They are computed as such here, without the one product per
piece of the recording which would join its last frame to its first: no lag crosses a run boundary or a censored frame.
It follows that rDCM at rest is a Bayesian VAR(1): its mean without priors is (A_1 - I) / TR.

References
----------
Frassle et al. 2017, NeuroImage 155, doi:10.1016/j.neuroimage.2017.02.090; 2018, NeuroImage 179,
doi:10.1016/j.neuroimage.2018.05.058; 2021, Human Brain Mapping 42, doi:10.1002/hbm.25357.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline, as_prepared, kept_structural, targets_of_order
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import BoolArray, FloatArray

SELF_MEAN = -0.5
SHAPE, RATE = 2.0, 1.0
MAX_ITERATIONS = 100
TOLERANCE = 1e-8


@dataclass(frozen=True)
class RegressionDCM:
    """Posterior of an rDCM, row = source, over the kept regions.

    Parameters
    ----------
    mean, sd : (n_kept, n_kept) arrays
        Hz; the diagonal holds self connections. Zero where the mask has no connection.
    noise_precision : (n_kept,) array
        Expected tau of every target.
    """

    mean: FloatArray
    sd: FloatArray
    noise_precision: FloatArray


def regression_dcm(recording: Recording | PreparedRecording, structural_mask: bool = True) -> RegressionDCM:
    """Invert a regression DCM without driving input on the standardised series.

    Parameters
    ----------
    recording : Recording or PreparedRecording
    structural_mask : bool, default=True
        Only connections of the recording's structural connectivity, where it has one.

    Returns
    -------
    RegressionDCM
    """
    prepared = as_prepared(recording)
    targets = targets_of_order(prepared.series, 1, prepared.name)
    before, after = prepared.series[targets - 1], prepared.series[targets]
    change = (after - before) / prepared.recording.tr
    structural = kept_structural(prepared) if structural_mask else None
    n = prepared.n_regions
    present = np.ones((n, n), dtype=bool) if structural is None else (structural > 0) | np.eye(n, dtype=bool)
    return invert(before.T @ before, before.T @ change, (change**2).sum(axis=0), len(targets), present)


def invert(xx: FloatArray, xy: FloatArray, yy: FloatArray, n_data: float, present: BoolArray) -> RegressionDCM:
    """Variational inversion from second moments.

    Parameters
    ----------
    xx, xy : (n_regions, n_regions) arrays
        Sums of products of the signals, and of signals (rows) with derivatives.
    yy : (n_regions,) array
        Sums of squared derivatives.
    n_data : float
        Number of data points.
    present : (n_regions, n_regions) bool
        Connections of the model, row = source.
    """
    n = len(xx)
    mean, sd, precision = np.zeros((n, n)), np.zeros((n, n)), np.empty(n)
    for target in range(n):
        sources = np.flatnonzero(present[:, target])
        is_self = sources == target
        prior_mean = np.where(is_self, SELF_MEAN, 0.0)
        prior_sd = np.sqrt(np.where(is_self, 1 / (8 * n), 8 / n))
        moments = xx[np.ix_(sources, sources)], xy[sources, target], float(yy[target])
        mu, spread, precision[target] = _region(*moments, n_data, prior_mean, prior_sd)
        mean[sources, target], sd[sources, target] = mu, spread
    return RegressionDCM(mean, sd, precision)


def _region(
    xx: FloatArray, xy: FloatArray, yy: float, n_data: float, prior_mean: FloatArray, prior_sd: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """One target. In units of the prior SD all precisions share eigenvectors, so that an iteration is O(n)."""
    values, vectors = np.linalg.eigh(xx * np.outer(prior_sd, prior_sd))
    values = values.clip(min=0)
    # Deviations from the prior mean: y - X mu0, whose posterior mean is shrunk to zero.
    cross = vectors.T @ (prior_sd * (xy - xx @ prior_mean))
    square = yy - 2 * prior_mean @ xy + prior_mean @ xx @ prior_mean
    shape, tau = SHAPE + n_data / 2, SHAPE / RATE
    for _ in range(MAX_ITERATIONS):
        variance = 1 / (tau * values + 1)
        weights = tau * variance * cross
        error = square - 2 * weights @ cross + (values * weights**2).sum()
        updated = shape / (RATE + (error + (values * variance).sum()) / 2)
        done = abs(updated - tau) <= TOLERANCE * tau
        tau = float(updated)
        if done:
            break
    variance = 1 / (tau * values + 1)
    mean = prior_mean + prior_sd * (vectors @ (tau * variance * cross))
    sd = prior_sd * np.sqrt((vectors**2) @ variance)
    return mean, sd, tau


def _mean(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    return regression_dcm(prepared, options["structural_mask"]).mean


BASELINE = Baseline(
    name="rdcm",
    label="rdcm",
    compute=_mean,
    directed=True,
    units="Hz",
    citation="Frassle et al. 2017, doi:10.1016/j.neuroimage.2017.02.090; 2018, doi:10.1016/j.neuroimage.2018.05.058; "
    "2021, doi:10.1002/hbm.25357",
    uses_structural=True,
    defaults={"structural_mask": True},
)
