"""What predictors of waveforms share: windows, the first wave, polarity of channels, and a small ridge over sites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.features.base import first_peak
from bids_ai.ccep.features.peaks import LEAST_SHARE, N1_END_S
from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import log_weights
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.splits import WITHIN_MM
from bids_ai.ccep.scoring.waves import WINDOW_S
from bids_ai.ccep.trials import Array, BoolArray
from bids_ai.errors import InputError

#: The amplitude is that of the first wave, up to here, s; the start is that of `WINDOW_S`.
FIRST_WAVE_S = 0.1
#: Waveforms are learned from on this grid, s: an N1 of 20 ms has five points.
GRID_S = np.arange(0.0, WINDOW_S[1] + 1e-9, 0.004)
#: Part of it that counts: behind the artefact.
COUNTS: BoolArray = np.asarray(GRID_S >= WINDOW_S[0])  # noqa: SIM300
#: Fewer training responses with waveforms do not make a fit.
LEAST_RESPONSES = 10
#: Penalties per site, for columns of variance one; the last one all but shuts the prediction off.
PENALTIES = np.geomspace(1e-5, 1e3, 17)


@dataclass(frozen=True)
class Responses:
    """Responses of one patient that a predictor learns from.

    Attributes
    ----------
    layout : Layout
    used : array of bool, shape (n_sites, n_channels)
        Responders beyond the exclusion radius with a whole waveform.
    waves : array, shape (n_sites, n_channels, n_grid)
        On `GRID_S`; 0 where not used.
    """

    layout: Layout
    used: BoolArray
    waves: Array


def training_responses(training: Sequence[Recorded], name: str) -> list[Responses]:
    """Responses of training sites on the grid.

    Raises
    ------
    InputError
        For recordings without waveforms, and for fewer than `LEAST_RESPONSES`.
    """
    found = []
    for one in training:
        if one.waveforms is None or one.times_s is None or one.responder is None:
            raise InputError(f"{one.layout.patient}: {name} learns from waveforms of responses; there are none.")
        waves = at_times(one.waveforms, one.times_s, GRID_S)
        used = one.beyond(EXCLUSION_MM) & (one.responder == 1) & np.isfinite(waves[..., COUNTS]).all(axis=-1)
        found.append(Responses(one.layout, used, np.where(used[..., None], np.nan_to_num(waves), 0.0)))
    n_responses = sum(int(one.used.sum()) for one in found)
    if n_responses < LEAST_RESPONSES:
        raise InputError(f"{name}: {LEAST_RESPONSES} training responses with waveforms are wanted, got {n_responses}.")
    return found


def at_times(waves: Array, own_s: Array, times_s: Array) -> Array:
    """Waves (..., n_own) at other times: 0 before the first, NaN after the last."""
    place = np.clip(np.searchsorted(own_s, times_s), 1, len(own_s) - 1)
    share = np.clip((times_s - own_s[place - 1]) / (own_s[place] - own_s[place - 1]), 0.0, 1.0)
    out = waves[..., place - 1] * (1.0 - share) + waves[..., place] * share
    out = np.where(times_s < own_s[0], 0.0 * out, out)
    return np.where(times_s > own_s[-1] + 1e-9, np.nan, out)


def first_wave_score(waves: Array, times_s: Array) -> Array:
    """Logarithm of the RMS of the first wave; of no wave that of half of the smallest."""
    inside = (times_s >= WINDOW_S[0]) & (times_s <= FIRST_WAVE_S)
    return log_weights(np.sqrt((waves[..., inside] ** 2).mean(axis=-1)))


def first_wave_latency(waves: Array, times_s: Array) -> Array:
    """Latency of the N1 as recorded ones are measured: the first peak with half of the height of the highest, s.

    Parameters
    ----------
    waves : array, shape (n_sites, n_channels, n_times)
    times_s : array, shape (n_times,)
        Evenly spaced.

    Returns
    -------
    array, shape (n_sites, n_channels)
        NaN without a peak from 11 to 90 ms.
    """
    step = float(np.diff(times_s).mean())
    inside = np.flatnonzero((times_s >= WINDOW_S[0]) & (times_s <= N1_END_S))
    if not len(inside):
        return np.full(waves.shape[:2], np.nan)
    flat = np.abs(waves).reshape(-1, waves.shape[-1])
    window = slice(int(inside[0]), int(inside[-1]) + 1)
    _, position = first_peak(flat, window, 1.0 / step, least_share=LEAST_SHARE)
    latency = times_s[0] + step * position
    latency[~(flat[:, window].max(axis=1, initial=0.0) > 0)] = np.nan
    return np.asarray(latency.reshape(waves.shape[:2]))


def canonical(training: Sequence[Responses]) -> Array:
    """The shape that training responses have in common, of length one and either sign, shape (n_grid,).

    The first principal component, uncentred, so that it does not matter which way a response points; responses count
    alike, whatever their size.
    """
    rows = np.concatenate([one.waves[one.used] for one in training])[:, COUNTS]
    size = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, size, out=np.zeros_like(rows), where=size > 0)
    _, vectors = np.linalg.eigh(rows.T @ rows)
    shape = np.zeros(len(GRID_S))
    shape[COUNTS] = vectors[:, -1]
    # One sign of two: that of its largest value.
    return np.asarray(shape * np.sign(shape[np.abs(shape).argmax()]))


def channel_polarity(one: Responses, shape: Array) -> Array:
    """Which way a channel responds to other sites, -1 ... 1, shape (n_sites, n_channels); 0 where it does not.

    A pulse excites whatever it reaches; which sign that has at a channel depends on where the channel lies. Sites near
    the one in question are left out, as they are where it is a test site: what is fitted on training sites would
    otherwise count on a polarity that it will not have.

    Parameters
    ----------
    one : Responses
    shape : array, shape (n_grid,)
        `canonical`.
    """
    along = one.waves @ shape
    others = (~one.layout.near_sites(WITHIN_MM)).astype(float)
    total = others @ np.abs(along)
    return np.divide(others @ along, total, out=np.zeros_like(total), where=total > 0)


class SiteRidge:
    """Ridge regression of waveforms on a few columns; sites count alike, the penalty is chosen by leaving leads out.

    Attributes
    ----------
    weights_ : array, shape (n_columns,)
    error_ : float
        Share of the training responses that is left over where they are left out; 1 for no prediction.
    """

    def fit(self, columns: Sequence[Array], training: Sequence[Responses]) -> SiteRidge:
        """Fit.

        Parameters
        ----------
        columns : sequence of array, shape (n_columns, n_sites, n_channels, n_grid)
            One per patient; NaN where unknown.
        training : sequence of Responses
        """
        grams, rights, leads = [], [], []
        for x, one in zip(columns, training, strict=True):
            known = one.used & np.isfinite(x[..., COUNTS]).all(axis=(0, -1))
            for site in np.flatnonzero(known.any(axis=1)):
                y = one.waves[site, known[site]][:, COUNTS].ravel()
                own = x[:, site][:, known[site]][..., COUNTS].reshape(len(x), -1)
                size = float(y @ y)
                if size > 0:
                    grams.append(own @ own.T / size)
                    rights.append(own @ y / size)
                    lead = one.layout.contact_leads[one.layout.site_contacts[site, 0]]
                    leads.append(f"{one.layout.patient}\t{lead}")
        if not grams:
            raise InputError("no training response has a prediction to be fitted.")
        xx, xy = np.stack(grams), np.stack(rights)
        scale = np.sqrt(np.diagonal(xx.mean(axis=0)))
        scale = np.where(scale > 0, scale, np.inf)
        xx, xy = xx / scale[:, None] / scale, xy / scale
        groups = np.unique(leads, return_inverse=True)[1]
        groups = groups if groups.max() >= 2 else np.arange(len(grams))
        errors = np.zeros(len(PENALTIES))
        for group in range(groups.max() + 1):
            out = groups == group
            if out.all():
                continue
            b = _solve(xx[~out].mean(axis=0), xy[~out].mean(axis=0))
            errors += ((b @ xx[out].sum(axis=0)) * b).sum(axis=1) - 2.0 * b @ xy[out].sum(axis=0)
        best = int(np.argmin(errors)) if groups.max() > 0 else len(PENALTIES) - 1
        self.error_ = 1.0 + float(errors[best]) / len(grams)
        self.weights_ = _solve(xx.mean(axis=0), xy.mean(axis=0))[best] / scale
        return self


def _solve(xx: Array, xy: Array) -> Array:
    """Coefficients for every penalty, shape (n_penalties, n_columns)."""
    penalised = xx + PENALTIES[:, None, None] * np.eye(len(xx))
    return np.asarray(np.linalg.solve(penalised, np.broadcast_to(xy[:, None], (len(PENALTIES), len(xy), 1)))[..., 0])
