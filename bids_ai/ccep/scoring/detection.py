"""Is a response told from none, and are the probabilities right: per site, many sites at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from bids_ai.ccep.scoring.ranks import row_ranks, tied
from bids_ai.ccep.trials import Array, BoolArray

#: Probabilities nearer to 0 or 1 have no usable logit.
_LEAST_P = 1e-6
#: Newton steps, change that ends them, and slope beyond which the classes are taken to be separable.
_STEPS, _ENOUGH, _STEEPEST = 50, 1e-8, 1e3


def row_auroc(score: Array, responder: Array, mask: BoolArray) -> Array:
    """Area under the receiver operating characteristic of each row; ties count half; NaN with one class only.

    Parameters
    ----------
    score, responder : array, shape (n_sites, n_channels)
        Finite within the mask.
    mask : array of bool, shape (n_sites, n_channels)
    """
    hit = mask & (responder == 1)
    n_hit, n_miss = hit.sum(axis=1), (mask & ~hit).sum(axis=1)
    above = np.where(hit, row_ranks(score, mask), 0.0).sum(axis=1) - 0.5 * n_hit * (n_hit + 1)
    return np.divide(above, n_hit * n_miss, out=np.full(len(score), np.nan), where=n_hit * n_miss > 0)


def row_auprc(score: Array, responder: Array, mask: BoolArray) -> Array:
    """Average precision of each row: sum over thresholds of the gain in recall times the precision.

    Equal scores are one threshold. By chance it is the prevalence. NaN with one class only. Parameters are those of
    `row_auroc`.
    """
    hit = mask & (responder == 1)
    n_hit, n_all = hit.sum(axis=1), mask.sum(axis=1)
    if score.size == 0:
        return np.full(len(score), np.nan)
    order, groups, first, _ = tied(-score, mask)
    # Descending: what lies outside of the mask comes last and adds no hit.
    ordered = np.take_along_axis(hit, order, axis=1)
    ends = first + np.bincount(groups.ravel())
    at_end = np.take_along_axis(np.cumsum(ordered, axis=1), ends[groups] - 1, axis=1)
    weights = np.where(ordered, at_end / ends[groups], 0.0)
    usable = (n_hit > 0) & (n_hit < n_all)
    return np.divide(weights.sum(axis=1), n_hit, out=np.full(len(score), np.nan), where=usable)


def row_prevalence(responder: Array, mask: BoolArray) -> Array:
    """Share of responses of each row; NaN for an empty one."""
    n_all = mask.sum(axis=1)
    hits = (mask & (responder == 1)).sum(axis=1)
    return np.divide(hits, n_all, out=np.full(len(n_all), np.nan), where=n_all > 0)


def row_brier(probability: Array, responder: Array, mask: BoolArray) -> Array:
    """Mean squared difference of probability and response of each row; NaN for an empty one."""
    error = np.where(mask, (probability - responder) ** 2, 0.0).sum(axis=1)
    n_all = mask.sum(axis=1)
    return np.divide(error, n_all, out=np.full(len(n_all), np.nan), where=n_all > 0)


class Calibration(NamedTuple):
    """Slope of the responses on the logit of their probabilities: 1 is right, below 1 overconfident.

    `influence`, shape (n_sites,), is what one more copy of a site adds to it (first order).
    """

    slope: float
    influence: Array


def calibration(probability: Array, responder: Array, mask: BoolArray) -> Calibration | None:
    """Calibration slope over all pairs (Cox 1958, doi:10.1093/biomet/45.3-4.562); None where it is not defined.

    It is not for one class only, probabilities that are all equal, or classes that a threshold separates.
    """
    sites = np.nonzero(mask)[0]
    x, y = logit(np.clip(probability[mask], _LEAST_P, 1.0 - _LEAST_P)), responder[mask]
    fit = logistic(x, y)
    if fit is None:
        return None
    design = np.column_stack([np.ones_like(x), x])
    p = expit(design @ np.array(fit))
    information = design.T @ (design * (p * (1.0 - p))[:, None])
    gradient = np.zeros((len(mask), 2))
    np.add.at(gradient, sites, design * (y - p)[:, None])
    return Calibration(fit[1], np.linalg.solve(information, gradient.T)[1])


def logistic(x: Array, y: Array, ridge: float = 0.0) -> tuple[float, float] | None:
    """Intercept and slope of a logistic regression on one variable.

    Parameters
    ----------
    x, y : array, shape (n,)
    ridge : float
        Penalty on the squared slope per SD of x, in observations: keeps separable classes finite.

    Returns
    -------
    tuple or None
        None for one class, an x without variance, or where there is no finite maximum.
    """
    if len(x) < 2 or np.ptp(y) == 0 or np.ptp(x) <= 1e-9 * max(1.0, float(np.abs(x).max())):
        return None
    mean, sd = x.mean(), x.std()
    x = (x - mean) / sd
    start, slope = float(logit(y.mean())), 0.0
    for _ in range(_STEPS):
        p = expit(start + slope * x)
        weight = p * (1.0 - p)
        # The 2 x 2 system of a Newton step by hand: this is called for every fold of every predictor.
        a, b, d = float(weight.sum()), float(weight @ x), float(weight @ x**2) + ridge
        f, g = float((y - p).sum()), float((y - p) @ x) - ridge * slope
        determinant = a * d - b * b
        if determinant <= 1e-12 * len(x) ** 2 or abs(slope) > _STEEPEST:
            return None
        steps = ((d * f - b * g) / determinant, (a * g - b * f) / determinant)
        start += min(max(steps[0], -2.0), 2.0)
        slope += min(max(steps[1], -2.0), 2.0)
        if max(map(abs, steps)) < _ENOUGH:
            return float(start - slope * mean / sd), float(slope / sd)
    return None
