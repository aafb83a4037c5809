"""Edges with uncertainty: intervals that contain the true edge, p values of direct coupling, and false discovery rate.

A ridge estimate is biased toward zero, and no spread of it tells by how much. For linear surrogates the interval is
therefore around an estimate without that bias: the VAR refitted by least squares, with the standard error of the
response by the delta method. The p value of an edge asks another question, whether the source enters the equation of
the target at all (conditional Granger causality), whatever the horizon of the response.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.effective.baselines.least_squares import LeastSquaresVAR, coupling_test, fit_var, order_by_test
from bids_ai.effective.false_discovery import benjamini_hochberg
from bids_ai.effective.perturbation import push_members
from bids_ai.errors import InputError
from bids_ai.surrogate.families.ridge_var import LinearVAR
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.lags import lag_targets
from bids_ai.surrogate.usable import FloatArray, usable_frames

SAMPLES_PER_COEFFICIENT = 3
"""With fewer samples per coefficient of a regression the least-squares response is hardly better than a guess, and its
delta-method standard error, which is for long recordings, cannot be trusted."""

SAMPLES_FOR_EXACT_LEVEL = 10
"""With fewer samples per coefficient F tests of autoregressions reject a little too often."""


@dataclass(frozen=True)
class EdgeInference:
    """Edges with uncertainty; matrices are (n_regions, n_regions), row = source, NaN where undefined.

    Parameters
    ----------
    estimate : array
        Mean response over the steps 1 ... horizon_steps, SD of the target per SD of the source (the SDs of this
        recording, taken as known). For linear surrogates the debiased one, which is not that of `push`.
    standard_error : array
    lower, upper : array
        Confidence interval of the response.
    p : array
        Of no direct coupling: all lags of the source are zero in the equation of the target. At a longer horizon an
        interval may well exclude zero while p is large: the response came through other regions.
    q : array
        p values adjusted for the false discovery rate over all edges (Benjamini & Hochberg 1995).
    level : float
    horizon_steps : int
    order : int
        Lags of the model behind it.
    method : {"least-squares", "ensemble", "none"}
    notes : tuple of str
        What the reader has to know, such as why there is no interval.
    """

    estimate: FloatArray
    standard_error: FloatArray
    lower: FloatArray
    upper: FloatArray
    p: FloatArray
    q: FloatArray
    level: float
    horizon_steps: int
    order: int
    method: str
    notes: tuple[str, ...]


def edge_inference(
    fitted: FittedSurrogate, *, horizon_steps: int = 1, level: float = 0.95, order: int | None = None
) -> EdgeInference:
    """Estimate, interval, p and q of every edge.

    Parameters
    ----------
    fitted : FittedSurrogate
        Linear: a VAR of the same recording is fitted by least squares. Nonlinear: the interval covers the
        initialisations only, and there are no p values; the notes say so.
    horizon_steps : int, default=1
    level : float, default=0.95
        Of the interval, per edge.
    order : int, optional
        Lags of the VAR. By default the surrogate's order, which the one-standard-error rule keeps small for prediction,
        or a larger one, up to the largest that the recording was prepared for, if its oldest lag is significant: a
        missing lag biases all others. Which orders the family itself tries plays no part.

    Returns
    -------
    EdgeInference
        All NaN, with a note, where there are fewer than 3 samples per coefficient of a regression or where regions are
        collinear.

    Raises
    ------
    InputError
        For a level outside 0 ... 1, a horizon or an order below one.

    Notes
    -----
    On linear systems 95 % intervals cover the true response in 90 to 98 % of the edges and q < 0.05 holds the false
    discovery rate (docs/baselines.md has the figures). Both are about the model: noise of the measurement, a
    haemodynamic response, or a common driver outside the recording make couplings that no test within a VAR can tell
    from real ones.
    """
    if not 0 < level < 1:
        raise InputError(f"The level of an interval lies between 0 and 1, got {level!r}.")
    for label, value in (("horizon", horizon_steps), ("order", 1 if order is None else order)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"The {label} must be an integer of at least one step, got {value!r}.")
    if not isinstance(fitted.models[0], LinearVAR):
        return _ensemble(fitted, horizon_steps, level)
    lags = fitted.order if order is None else order
    try:
        lags = _order(fitted) if order is None else order
        _check_samples(fitted, lags)
        return _least_squares(fitted, lags, horizon_steps, level)
    except InputError as error:
        return _undefined(fitted, lags, horizon_steps, level, str(error))


def mean_response(fit: LeastSquaresVAR, horizon_steps: int) -> tuple[FloatArray, FloatArray]:
    """Mean response over the steps 1 ... h to a unit push, and its standard error by the delta method.

    With the impulse response P_0 = I, P_k = sum_l P_(k-l) A_l, a change dB of the stacked coefficients changes the
    mean response R by 1/h sum_q W_q dB C_(h-q), where W_q = (P_(q-order), ..., P_(q-1)) and C_m = P_0 + ... + P_m
    (Lutkepohl 1990, doi:10.2307/2109746). As Cov(dB) = G^-1 x S, the variance of R_ij is

        1/h^2 sum_(q, r) [W_q G^-1 W_r']_ii [C_(h-q)' S C_(h-r)]_jj.

    Parameters
    ----------
    fit : LeastSquaresVAR
    horizon_steps : int

    Returns
    -------
    response, standard_error : (n_regions, n_regions) arrays
    """
    order, n = fit.order, fit.n_regions
    impulse = np.zeros((order + horizon_steps, n, n))  # P_(1 - order) ... P_h; zero before the push
    now = order - 1
    impulse[now] = np.eye(n)
    for k in range(1, horizon_steps + 1):
        impulse[now + k] = np.einsum("lij,ljk->ik", impulse[now + k - order : now + k], fit.coefficients)
    cumulative = np.cumsum(impulse[now:], axis=0)
    factor = np.linalg.cholesky(fit.inverse_gram)
    root = np.linalg.cholesky(fit.residual_cov)
    sources = np.empty((horizon_steps, n, order * n))
    targets = np.empty((horizon_steps, n, n))
    for q in range(1, horizon_steps + 1):
        window = impulse[now + q - order : now + q]
        sources[q - 1] = window.transpose(1, 0, 2).reshape(n, -1) @ factor
        targets[q - 1] = cumulative[horizon_steps - q].T @ root
    by_source = np.einsum("qia,ria->qri", sources, sources, optimize=True)
    by_target = np.einsum("qja,rja->qrj", targets, targets, optimize=True)
    variance = np.einsum("qri,qrj->ij", by_source, by_target, optimize=True) / horizon_steps**2
    response = impulse[now + 1 :].mean(axis=0)
    return response, np.sqrt(variance.clip(min=0))


def _order(fitted: FittedSurrogate) -> int:
    """Order of the VAR; raises InputError where not even the surrogate's own can be fitted."""
    _check_samples(fitted, fitted.order)
    for order_max in range(fitted.order_max, fitted.order, -1):
        if _enough_samples(fitted, order_max):
            try:
                order = order_by_test(fitted.series, order_max, len(fitted.scaler.mean), fitted.name)
            except InputError:  # collinear lags; fewer may do
                continue
            return max(fitted.order, order)
    return fitted.order


def _samples_and_coefficients(fitted: FittedSurrogate, order: int) -> tuple[int, int]:
    return len(lag_targets(usable_frames(fitted.series), order)), order * int(fitted.kept.sum())


def _enough_samples(fitted: FittedSurrogate, order: int) -> bool:
    n_samples, n_coefficients = _samples_and_coefficients(fitted, order)
    return n_samples >= SAMPLES_PER_COEFFICIENT * n_coefficients


def _check_samples(fitted: FittedSurrogate, order: int) -> None:
    if not _enough_samples(fitted, order):
        n_samples, n_coefficients = _samples_and_coefficients(fitted, order)
        raise InputError(
            f"No intervals: {n_samples} samples for {n_coefficients} coefficients per region (order {order}), and at "
            f"least {SAMPLES_PER_COEFFICIENT} per coefficient are needed. Use a longer scan or a coarser atlas."
        )


def _least_squares(fitted: FittedSurrogate, order: int, horizon_steps: int, level: float) -> EdgeInference:
    from scipy.stats import t as student

    fit = fit_var(fitted.series, order, len(fitted.scaler.mean), fitted.name)
    response, error = mean_response(fit, horizon_steps)
    half = float(student.ppf((1 + level) / 2, fit.dof)) * error
    p = _expand(fitted, coupling_test(fit).p)
    return EdgeInference(
        estimate=_expand(fitted, response),
        standard_error=_expand(fitted, error),
        lower=_expand(fitted, response - half),
        upper=_expand(fitted, response + half),
        p=p,
        q=benjamini_hochberg(p),
        level=level,
        horizon_steps=horizon_steps,
        order=order,
        method="least-squares",
        notes=_cautions(fit),
    )


def _cautions(fit: LeastSquaresVAR) -> tuple[str, ...]:
    ratio = fit.n_samples / (fit.order * fit.n_regions)
    if ratio >= SAMPLES_FOR_EXACT_LEVEL:
        return ()
    return (
        f"{ratio:.1f} samples per coefficient: p and q values are slightly too small (on simulated systems 6 to 7.5 % "
        "of the edges with q < 0.05 were false); intervals hold.",
    )


def _ensemble(fitted: FittedSurrogate, horizon_steps: int, level: float) -> EdgeInference:
    from scipy.stats import t as student

    members = push_members(fitted, horizon_steps=horizon_steps)
    estimate = members.mean(axis=0)
    missing = np.full(estimate.shape, np.nan)
    error, half, method = missing, missing, "none"
    if len(members) > 1:
        error, method = members.std(axis=0, ddof=1) / np.sqrt(len(members)), "ensemble"
        half = float(student.ppf((1 + level) / 2, len(members) - 1)) * error
    covered = (
        f"The interval is over {len(members)} initialisations of {fitted.family}: it covers its training, not the "
        "sampling of the recording nor the bias of the model, and is too narrow for a statement about the brain."
        if method == "ensemble"
        else f"No intervals: {fitted.family} has one member. Fit an ensemble."
    )
    tests = "There are no p values: the test of direct coupling is for linear surrogates."
    return EdgeInference(
        estimate=estimate,
        standard_error=error,
        lower=estimate - half,
        upper=estimate + half,
        p=missing,
        q=missing,
        level=level,
        horizon_steps=horizon_steps,
        order=fitted.order,
        method=method,
        notes=(covered, tests),
    )


def _undefined(fitted: FittedSurrogate, order: int, horizon_steps: int, level: float, why: str) -> EdgeInference:
    missing = np.full((len(fitted.regions),) * 2, np.nan)
    return EdgeInference(
        missing, missing, missing, missing, missing, missing, level, horizon_steps, order, "none", (why,)
    )


def _expand(fitted: FittedSurrogate, matrix: FloatArray) -> FloatArray:
    full = np.full((len(fitted.regions),) * 2, np.nan)
    rows = np.flatnonzero(fitted.kept)
    full[rows[:, None], rows[None, :]] = matrix
    np.fill_diagonal(full, np.nan)
    return full
