"""Canonical Response Parameterisation: how alike the trials are, for how long, and how much each holds of their shape.

Everything but the shape itself follows from the Gram matrix of the trials, which grows with the end of the window: it
is summed once, for all durations and channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from bids_ai.ccep.features.base import UV, Family
from bids_ai.ccep.trials import Array, BoolArray, Trials

#: First sample, and latest end of the response, s (Miller et al. 2023).
START_S, END_S = 0.015, 1.0
#: Durations are tried every so often, s.
STEP_S = 0.001
#: Gram matrices in memory at once, numbers.
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class CanonicalResponse:
    """Parameters of the responses of all channels; NaN where there are fewer than two trials.

    Attributes
    ----------
    durations_s : array, shape (n_durations,)
        Ends of the windows, seconds after the pulse.
    profile : array, shape (n_channels, n_durations)
        Mean cross-projection of different trials, microvolt root second.
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
    times_s : array, shape (n_times,)
        Of `shape`.
    """

    durations_s: Array
    profile: Array
    tau_s: Array
    t: Array
    p: Array
    shape: Array
    alpha: Array
    alpha_rms: Array
    snr: Array
    explained: Array
    times_s: Array

    def residuals(self, trials: Trials) -> Array:
        """What the shape leaves of each trial, microvolts, (n_pulses, n_channels, n_times); NaN behind `tau_s`."""
        inside = np.flatnonzero(np.isin(trials.times_s, self.times_s))
        out = UV * trials.data[:, :, inside] - self.alpha[:, :, None] * self.shape
        return np.where(self.times_s <= self.tau_s[:, None] + 1e-9, out, np.nan)


def parameterise(
    trials: Trials, *, start_s: float = START_S, end_s: float = END_S, step_s: float = STEP_S, shape: bool = True
) -> CanonicalResponse:
    """Duration, shape and weights of the responses of all channels.

    Parameters
    ----------
    trials : Trials
    start_s, end_s : float
        Window, seconds after the pulse; the end is that of the epochs where these are shorter.
    step_s : float
        Durations are tried every so often; 0 tries every sample.
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
    step = max(1, round(step_s * trials.sampling_hz))
    times = trials.times_s[inside]
    ends = np.unique(np.r_[np.arange(step, len(times) + 1, step), len(times)])
    n_channels, n_pulses = trials.n_channels, len(trials.polarity)
    profile = np.full((n_channels, len(ends)), np.nan)
    best, t = np.zeros(n_channels, int), np.full(n_channels, np.nan)
    p = t.copy()
    alpha, squares = (np.full((n_pulses, n_channels), np.nan) for _ in range(2))
    canonical = np.full((n_channels, len(times)), np.nan)
    for some in _groups(n_channels, len(ends) * n_pulses**2):
        valid = trials.valid[:, some].T
        data = np.where(valid[:, :, None], UV * trials.data[:, some, inside].astype(float).transpose(1, 0, 2), 0.0)
        gram = _growing_gram(data, ends)
        projected = projections(gram, valid, trials.sampling_hz)
        profile[some], best[some] = _profile(projected)
        rows = np.arange(len(data))
        t[some], p[some] = one_sided_t(projected[rows, best[some]])
        at_best = gram[rows, best[some]]
        alpha[:, some], factors = _weights(at_best, valid)
        squares[:, some] = np.where(valid, np.einsum("ckk->ck", at_best), np.nan).T
        if shape:
            waves = np.einsum("ck,ckt->ct", factors, data)
            waves[np.arange(len(times)) >= ends[best[some]][:, None]] = 0.0
            canonical[some] = np.where(np.isnan(t[some])[:, None], np.nan, waves)
    missing = np.isnan(profile).all(axis=1)
    alpha[:, missing] = np.nan
    left = np.sqrt(np.maximum(squares - alpha**2, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return CanonicalResponse(
            durations_s=times[ends - 1],
            profile=profile,
            tau_s=np.where(missing, np.nan, times[ends[best] - 1]),
            t=t,
            p=p,
            shape=canonical,
            alpha=alpha,
            alpha_rms=alpha / np.sqrt(ends[best]),
            snr=np.where(left > 0, alpha / left, np.nan),
            explained=np.where(squares > 0, alpha**2 / squares, np.nan),
            times_s=times,
        )


def projections(gram: Array, valid: BoolArray, sampling_hz: float) -> Array:
    """Projection of trial l (last axis) on the direction of trial k, microvolt root second; NaN for k = l.

    Parameters
    ----------
    gram : array, shape (n_channels, ..., n_pulses, n_pulses)
        Microvolts squared.
    valid : array of bool, shape (n_channels, n_pulses)
    sampling_hz : float
    """
    norm = np.sqrt(np.einsum("...kk->...k", gram))
    with np.errstate(divide="ignore", invalid="ignore"):
        out = gram / norm[..., None] / np.sqrt(sampling_hz)
    pairs = valid[:, :, None] & valid[:, None] & ~np.eye(gram.shape[-1], dtype=bool)
    pairs = pairs.reshape(len(gram), *[1] * (gram.ndim - 3), *gram.shape[-2:])
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


def _growing_gram(data: Array, ends: Array) -> Array:
    """Gram matrices up to every end, shape (n_channels, n_ends, n_pulses, n_pulses)."""
    n_channels, n_pulses, _ = data.shape
    step = int(ends[0])
    whole = len(ends) if ends[-1] == step * len(ends) else len(ends) - 1
    parts = data[:, :, : whole * step].reshape(n_channels, n_pulses, whole, step).transpose(0, 2, 1, 3)
    gram = parts @ parts.transpose(0, 1, 3, 2)
    if whole < len(ends):
        rest = data[:, :, whole * step :]
        gram = np.concatenate([gram, (rest @ rest.transpose(0, 2, 1))[:, None]], axis=1)
    out: Array = np.cumsum(gram, axis=1, out=gram)
    return out


def _profile(projected: Array) -> tuple[Array, Array]:
    """Mean over pairs for every duration, and the number of the best duration (0 where there is none)."""
    count = np.isfinite(projected).sum(axis=(2, 3))
    total = np.nansum(projected, axis=(2, 3))
    profile = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
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
