"""Canonical Response Parameterisation: how alike the trials are, for how long, and how much each holds of their shape.

The mean cross-projection of all pairs needs no pair: the products of a trial with all others are its product with
their sum. So it is computed for every duration at once, in time that grows with the trials and not with their square;
the Gram matrix is needed at the duration of the response only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from bids_ai.ccep.features.base import UV, Family
from bids_ai.ccep.trials import Array, BoolArray, IntArray, Trials

#: First sample, and latest end of the response, s (Miller et al. 2023).
START_S, END_S = 0.015, 1.0
#: Numbers in memory at once.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class CanonicalResponse:
    """Parameters of the responses of all channels; NaN where there are fewer than two trials.

    Attributes
    ----------
    times_s : array, shape (n_times,)
        Samples of the window, seconds after the pulse: ends of what is projected, and times of `shape`.
    profile : array, shape (n_channels, n_times)
        Mean cross-projection of different trials up to each sample, microvolt root second.
    tau_s : array, shape (n_channels,)
        Where the profile is highest: duration of the response, seconds after the pulse.
    t, p : array, shape (n_channels,)
        One-sample t of the cross-projections at `tau_s`, each pair of trials once, and its one-sided p. Too small
        where there is no response, because the duration was chosen: do not detect by it.
    shape : array, shape (n_channels, n_times)
        Unit vector over the samples from the start to `tau_s`, 0 behind; its sign makes the mean weight positive.
    alpha : array, shape (n_pulses, n_channels)
        Weight of the shape in each trial, microvolts.
    alpha_rms : array, shape (n_pulses, n_channels)
        The same over the root of the number of samples: microvolts of RMS, comparable between durations.
    snr : array, shape (n_pulses, n_channels)
        Weight over the norm of the residual.
    explained : array, shape (n_pulses, n_channels)
        Share of the squared norm of each trial that the shape explains.
    """

    times_s: Array
    profile: Array
    tau_s: Array
    t: Array
    p: Array
    shape: Array
    alpha: Array
    alpha_rms: Array
    snr: Array
    explained: Array

    def residuals(self, trials: Trials) -> Array:
        """What the shape leaves of each trial, microvolts, (n_pulses, n_channels, n_times); NaN behind `tau_s`."""
        inside = np.flatnonzero(np.isin(trials.times_s, self.times_s))
        out = UV * trials.data[:, :, inside] - self.alpha[:, :, None] * self.shape
        return np.where(self.times_s <= self.tau_s[:, None] + 1e-9, out, np.nan)


def parameterise(
    trials: Trials, *, start_s: float = START_S, end_s: float = END_S, shape: bool = True
) -> CanonicalResponse:
    """Duration, shape and weights of the responses of all channels.

    Parameters
    ----------
    trials : Trials
    start_s, end_s : float
        Window, seconds after the pulse; the end is that of the epochs where these are shorter.
    shape : bool
        Whether to compute the shape; the measures do without.

    Returns
    -------
    CanonicalResponse

    Notes
    -----
    With trials V_k from the start to an end, P_kl = V_k V_l / |V_k| / sqrt(sampling rate) for k other than l; the
    profile is their mean for each end. Linear kernel PCA: with the leading eigenvalue L and eigenvector f of the Gram
    matrix at tau, the shape is sum f_k V_k / sqrt(L), and its weight in trial k is sqrt(L) f_k.

    References
    ----------
    Miller et al. 2023, PLOS Computational Biology, doi:10.1371/journal.pcbi.1011105.
    """
    inside = trials.between(start_s, min(end_s, float(trials.times_s[-1])))
    times = trials.times_s[inside]
    n_channels, n_pulses = trials.n_channels, len(trials.polarity)
    profile, canonical = (np.full((n_channels, len(times)), np.nan) for _ in range(2))
    best, t, p = np.zeros(n_channels, int), np.full(n_channels, np.nan), np.full(n_channels, np.nan)
    alpha, squares = (np.full((n_pulses, n_channels), np.nan) for _ in range(2))
    for some in _groups(n_channels, len(times) * n_pulses):
        valid = trials.valid[:, some].T
        data = np.where(valid[:, :, None], UV * trials.data[:, some, inside].astype(float).transpose(1, 0, 2), 0.0)
        profile[some], best[some] = _profile(data, valid, trials.sampling_hz)
        data *= (np.arange(len(times)) <= best[some][:, None])[:, None]
        gram = data @ data.transpose(0, 2, 1)
        t[some], p[some] = one_sided_t(projections(gram, valid, trials.sampling_hz))
        alpha[:, some], factors = _weights(gram, valid)
        squares[:, some] = np.where(valid, np.einsum("ckk->ck", gram), np.nan).T
        if shape:
            canonical[some] = np.einsum("ck,ckt->ct", factors, data)
    missing = np.isnan(profile).all(axis=1)
    alpha[:, missing], canonical[missing] = np.nan, np.nan
    left = np.sqrt(np.maximum(squares - alpha**2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return CanonicalResponse(
            times_s=times,
            profile=profile,
            tau_s=np.where(missing, np.nan, times[best]),
            t=t,
            p=p,
            shape=canonical,
            alpha=alpha,
            alpha_rms=alpha / np.sqrt(best + 1.0),
            snr=np.where(left > 0, alpha / left, np.nan),
            explained=np.where(squares > 0, alpha**2 / squares, np.nan),
        )


def projections(gram: Array, valid: BoolArray, sampling_hz: float) -> Array:
    """Projection of trial l (last axis) on the direction of trial k, microvolt root second; NaN for k = l.

    Parameters
    ----------
    gram : array, shape (n_channels, n_pulses, n_pulses)
        Microvolts squared.
    valid : array of bool, shape (n_channels, n_pulses)
    sampling_hz : float
    """
    norm = np.sqrt(np.einsum("ckk->ck", gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        out = gram / norm[..., None] / np.sqrt(sampling_hz)
    pairs = valid[:, :, None] & valid[:, None] & ~np.eye(gram.shape[-1], dtype=bool)
    return np.where(pairs, out, np.nan)


def one_sided_t(projected: Array) -> tuple[Array, Array]:
    """One-sample t over pairs of trials, each pair once, and the p of a mean above zero.

    Of a pair one of both projections is used, in turn, so that every trial is as often direction as projected.

    Parameters
    ----------
    projected : array, shape (n_channels, n_pulses, n_pulses)
        NaN is left out.
    """
    n_pulses = projected.shape[-1]
    first, second = np.triu_indices(n_pulses, k=1)
    turned = (first + second) % 2 == 0
    values = projected[:, np.where(turned, second, first), np.where(turned, first, second)]
    count = np.isfinite(values).sum(axis=1)
    enough = count > 1
    total = np.nansum(values, axis=1)
    mean = np.divide(total, count, out=np.full(len(values), np.nan), where=enough)
    spread = np.nansum((values - mean[:, None]) ** 2, axis=1)
    error = np.sqrt(np.divide(spread, count * (count - 1.0), out=np.full(len(values), np.nan), where=enough))
    t = np.divide(mean, error, out=np.full(len(values), np.nan), where=error > 0)
    return t, np.where(np.isfinite(t), student_t.sf(t, np.maximum(count - 1, 1)), np.nan)


def fixed_window_t(trials: Trials, start_s: float, stop_s: float) -> Array:
    """Compute t of the cross-projections over one window, shape (n_channels,)."""
    inside, valid = trials.between(start_s, stop_s), trials.valid.T
    data = np.where(valid[:, :, None], UV * trials.data[:, :, inside].astype(float).transpose(1, 0, 2), 0.0)
    return one_sided_t(projections(data @ data.transpose(0, 2, 1), valid, trials.sampling_hz))[0]


def measure(trials: Trials) -> dict[str, Array]:
    """Summary of the parameterisation of every channel."""
    found = parameterise(trials, shape=False)
    highest = np.where(np.isnan(found.profile), -np.inf, found.profile).max(axis=1)
    return {
        "crp_t": found.t,
        "crp_p": found.p,
        "crp_tau_ms": 1e3 * found.tau_s,
        "crp_projection": np.where(np.isfinite(highest), highest, np.nan),
        "crp_alpha_uv": _mean(found.alpha_rms),
        "crp_snr": _mean(found.snr),
        "crp_ev": _mean(found.explained),
    }


def _groups(n_channels: int, size: int) -> Iterator[slice]:
    each = max(1, _AT_ONCE // max(size, 1))
    return (slice(first, first + each) for first in range(0, n_channels, each))


def _profile(data: Array, valid: BoolArray, sampling_hz: float) -> tuple[Array, IntArray]:
    """Mean cross-projection up to every sample, and the sample where it is highest (0 where there is no pair).

    Parameters
    ----------
    data : array, shape (n_channels, n_pulses, n_times)
        Microvolts; 0 where not valid.
    valid : array of bool, shape (n_channels, n_pulses)
    sampling_hz : float
    """
    squares = np.cumsum(data**2, axis=2)
    with_others = np.cumsum(data * data.sum(axis=1, keepdims=True), axis=2) - squares
    norm = np.sqrt(squares)
    # A trial that is zero so far has no direction: it projects to nothing.
    projected = np.divide(with_others, norm, out=np.zeros_like(norm), where=norm > 0).sum(axis=1)
    n_pairs = valid.sum(axis=1) * (valid.sum(axis=1) - 1.0)
    scale = n_pairs[:, None] * np.sqrt(sampling_hz)
    profile = np.divide(projected, scale, out=np.full_like(projected, np.nan), where=scale > 0)
    return profile, np.where(np.isnan(profile), -np.inf, profile).argmax(axis=1)


def _weights(gram: Array, valid: BoolArray) -> tuple[Array, Array]:
    """Weights of the trials (n_pulses, n_channels), and factors that make the shape of them (n_channels, n_pulses)."""
    values, vectors = np.linalg.eigh(gram)
    leading, vector = np.sqrt(np.maximum(values[:, -1], 0.0)), vectors[:, :, -1]
    vector = vector * np.where(vector.sum(axis=1) < 0, -1.0, 1.0)[:, None]
    alpha = np.where(valid, leading[:, None] * vector, np.nan)
    factors = np.divide(vector, leading[:, None], out=np.zeros_like(vector), where=leading[:, None] > 0)
    return alpha.T, factors


def _mean(of_trials: Array) -> Array:
    count = np.isfinite(of_trials).sum(axis=0)
    return np.divide(np.nansum(of_trials, axis=0), count, out=np.full(len(count), np.nan), where=count > 0)


FAMILY = Family(
    "crp",
    {
        "crp_t": "t of the cross-projections at the duration, each pair of trials once",
        "crp_p": "its one-sided p; too small without a response, since the duration is chosen: not for detection",
        "crp_tau_ms": "duration: end of the window with the highest mean cross-projection, ms after the pulse",
        "crp_projection": "that cross-projection, microvolt root second",
        "crp_alpha_uv": "mean weight of the canonical shape over the root of its samples, microvolts",
        "crp_snr": "mean over trials of the weight over the norm of the residual",
        "crp_ev": "mean over trials of the explained share of the squared norm",
    },
    measure,
    "Miller et al. 2023, doi:10.1371/journal.pcbi.1011105 (PMC10246848)",
)
