"""Least-squares VAR(p) with everything needed to test and to bound its coefficients.

x(t) = sum_l x(t - l) A_l + u(t), u ~ N(0, S). Stacked, y = X B + u with X of shape (n_samples, order * n_regions), the
oldest lag first as everywhere in the house. With G = X'X: B = G^-1 X'y, Cov(B[a, j], B[b, k]) = G^-1[a, b] S[j, k].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.effective.baselines.base import targets_of_order
from bids_ai.errors import InputError
from bids_ai.surrogate.lags import IntArray, histories
from bids_ai.surrogate.usable import FloatArray

MAX_CONDITION = 1e12
"""Beyond this condition number of the Gram matrix the least-squares coefficients are rounding."""


@dataclass(frozen=True)
class LeastSquaresVAR:
    """A VAR(p) fitted by least squares; SD units.

    Parameters
    ----------
    coefficients : (order, n_regions, n_regions) array
        A[l, source, target]; A[-1] belongs to the newest lag.
    inverse_gram : (order * n_regions, order * n_regions) array
    residual_cov : (n_regions, n_regions) array
        Unbiased: over the degrees of freedom.
    n_samples : int
    dof : int
        Samples less coefficients per target less the means that were removed (one per run).
    """

    coefficients: FloatArray
    inverse_gram: FloatArray
    residual_cov: FloatArray
    n_samples: int
    dof: int

    @property
    def order(self) -> int:
        """Number of lags."""
        return len(self.coefficients)

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return self.coefficients.shape[1]


def fit_var(series: FloatArray, order: int, n_runs: int, name: str, targets: IntArray | None = None) -> LeastSquaresVAR:
    """Fit a VAR(p) by least squares.

    Parameters
    ----------
    series : (n_times, n_regions) array
        Standardised runs joined by NaN rows; NaN rows where censored.
    order : int
    n_runs : int
        Means that were removed: one degree of freedom each.
    name : str
        Of the recording, for messages.
    targets : (n_samples,) int, optional
        Default: every frame with a complete history.

    Raises
    ------
    InputError
        No more samples than coefficients, or regions that are linear combinations of each other.
    """
    chosen = targets_of_order(series, order, name) if targets is None else targets
    n = series.shape[1]
    dof = len(chosen) - order * n - n_runs
    if dof < 1:
        raise InputError(
            f"{name}: {len(chosen)} samples do not determine {order * n} coefficients per region. Use a longer scan, "
            "fewer lags, a coarser atlas, or the ridge VAR surrogate."
        )
    x = histories(series, chosen, order).reshape(len(chosen), -1)
    y = series[chosen]
    values, vectors = np.linalg.eigh(x.T @ x)
    if values[0] <= values[-1] / MAX_CONDITION:
        raise InputError(
            f"{name}: some regions are linear combinations of others (identical series, or a global signal removed), "
            f"so that a VAR({order}) has no unique least-squares solution. Leave one of them out, or use the ridge VAR."
        )
    inverse = (vectors / values) @ vectors.T
    weights = inverse @ (x.T @ y)
    residual = y - x @ weights
    return LeastSquaresVAR(
        coefficients=weights.reshape(order, n, n),
        inverse_gram=inverse,
        residual_cov=residual.T @ residual / dof,
        n_samples=len(chosen),
        dof=dof,
    )


def choose_order(series: FloatArray, order_max: int, n_runs: int, name: str) -> int:
    """Order with the smallest corrected Akaike criterion (Hurvich & Tsai 1993), on samples that all orders share.

    AICc = T log|S| + T n (T + k) / (T - k - n - 1), with k = order * n coefficients per target and S the maximum
    likelihood estimate. Orders for which it is not defined are not considered; 1 if none is.

    References
    ----------
    Hurvich & Tsai 1993, A corrected Akaike information criterion for vector autoregressive model selection,
    doi:10.1111/j.1467-9892.1993.tb00144.x.
    """
    targets = targets_of_order(series, order_max, name)
    n_samples, n = len(targets), series.shape[1]
    scores = {}
    for order in range(1, order_max + 1):
        k = order * n
        if n_samples - k - n - 1 < 1 or n_samples - k - n_runs < 1:
            break
        fit = fit_var(series, order, n_runs, name, targets)
        log_determinant = np.linalg.slogdet(fit.residual_cov * (fit.dof / n_samples))[1]
        scores[order] = n_samples * log_determinant + n_samples * n * (n_samples + k) / (n_samples - k - n - 1)
    return min(scores, key=lambda order: scores[order]) if scores else 1


def order_by_test(series: FloatArray, order_max: int, n_runs: int, name: str, level: float = 0.01) -> int:
    """Largest order whose oldest lag is significant, testing downwards from the largest: what inference needs.

    A criterion of prediction drops lags that are weak but real, whose absence biases the coefficients that remain.
    The test of all n x n coefficients of a lag at once is Wilks' lambda with Rao's F approximation (Lutkepohl 2005,
    section 4.3; Rao 1951), on samples that all orders share.

    Parameters
    ----------
    series : (n_times, n_regions) array
    order_max : int
    n_runs : int
    name : str
    level : float, default=0.01
        Of each test. Low, since recordings in which a lag too many is kept are those in which its coefficients are
        large by chance, and the p values of their edges are too small.
    """
    from scipy.stats import f as f_distribution

    targets = targets_of_order(series, order_max, name)
    n = series.shape[1]
    fits = [fit_var(series, order, n_runs, name, targets) for order in range(1, order_max + 1)]
    for larger, smaller in zip(fits[:0:-1], fits[-2::-1], strict=True):
        log_lambda = _log_sse(larger) - _log_sse(smaller)
        # Rao's approximation for n responses and n tested regressors.
        root = np.sqrt((n**4 - 4) / (2 * n**2 - 5)) if n > 1 else 1.0
        scale = larger.dof - 0.5
        dof = scale * root - (n**2 - 2) / 2
        if dof > 0:
            statistic = np.expm1(-log_lambda / root) * dof / n**2
            if f_distribution.sf(statistic, n**2, dof) < level:
                return larger.order
    return 1


def _log_sse(fit: LeastSquaresVAR) -> float:
    """Log determinant of the residual sums of squares and products."""
    return float(np.linalg.slogdet(fit.residual_cov * fit.dof)[1])


@dataclass(frozen=True)
class CouplingTest:
    """Test of every direct coupling of a VAR, shape (n_regions, n_regions) each, row = source.

    Parameters
    ----------
    log_ratio : array
        Conditional Granger causality log(RSS_reduced / RSS_full), nats, >= 0.
    f : array
        F statistic with `order` and `dof` degrees of freedom.
    p : array
        Its p value: all lags of the source are zero in the equation of the target.
    """

    log_ratio: FloatArray
    f: FloatArray
    p: FloatArray


def coupling_test(fit: LeastSquaresVAR) -> CouplingTest:
    """Full against reduced regressions of all pairs from one inversion.

    Leaving the lags a of a source out of a regression raises the residual sum of squares of target j by
    B[a, j]' (G^-1[a, a])^-1 B[a, j]: the reduced regressions need not be fitted. Assumes Gaussian innovations, or many
    samples.
    """
    from scipy.stats import f as f_distribution

    order, n = fit.order, fit.n_regions
    blocks = np.einsum("aibi->iab", fit.inverse_gram.reshape(order, n, order, n))
    by_source = fit.coefficients.transpose(1, 0, 2)  # (source, lag, target)
    increase = (by_source * np.linalg.solve(blocks, by_source)).sum(axis=1)
    full = np.diag(fit.residual_cov) * fit.dof
    statistic = increase / order / np.diag(fit.residual_cov)
    return CouplingTest(
        log_ratio=np.log1p(increase / full), f=statistic, p=f_distribution.sf(statistic, order, fit.dof)
    )
