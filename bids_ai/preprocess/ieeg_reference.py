"""Re-referencing: bipolar along leads, the mean of channels, and the mean of those that do not respond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.preprocess.ieeg_leads import Bipole

Array = NDArray[np.floating]

#: Responses are looked for in this window after a pulse when channels are ranked (s; Huang et al. 2024).
RESPONSE_S = (0.010, 0.300)
N_BOOTSTRAPS = 100  # Huang et al. 2024
#: Share of bootstraps that must agree that a larger average is worse; share of channels that an average has at least.
SURE = 0.95
LEAST_SHARE = 0.1


@dataclass(frozen=True)
class Derivation:
    """A linear re-reference, as a step of `ieeg_stream.stream`.

    Attributes
    ----------
    weights : array (n_out, n_in)
    names : tuple of str
        Of what comes out, (n_out,).
    sources : tuple of tuples of int, (n_out,)
        Columns of the contacts that each is the signal of: both of a bipole, the channel itself of a mean reference.
    """

    weights: Array
    names: tuple[str, ...]
    sources: tuple[tuple[int, ...], ...]
    margin_s: float = 0.0

    def __call__(self, data: Array, start: int = 0) -> Array:
        """Derive a stretch: (n_times, n_in) to (n_times, n_out)."""
        derived: Array = data @ self.weights.T
        return derived

    def positions(self, positions_mm: Array) -> Array:
        """Where the derived signals are: in the middle of their `sources`.

        Parameters
        ----------
        positions_mm : array (n_in, 3)

        Returns
        -------
        array (n_out, 3)
            NaN where a contact has no position.
        """
        return np.stack([positions_mm[list(columns)].mean(axis=0) for columns in self.sources])


def bipolar(names: Sequence[str], pairs: Sequence[Bipole]) -> Derivation:
    """Differences of neighbours (`ieeg_leads.bipoles`).

    Parameters
    ----------
    names : sequence of str, (n_in,)
    pairs : sequence of Bipole, (n_out,)

    Raises
    ------
    InputError
        If there is no pair, or one is not among the channels.
    """
    column = {name: position for position, name in enumerate(names)}
    lost = sorted({name for pair in pairs for name in (pair.first, pair.second)} - set(column))
    if lost or not pairs:
        raise InputError(
            f"Bipolar reference: pairs among {len(names)} channels wanted, got {len(pairs)}; not there: {lost[:5]}."
        )
    weights = np.zeros((len(pairs), len(names)))
    for row, pair in enumerate(pairs):
        weights[row, column[pair.first]] = 1.0
        weights[row, column[pair.second]] = -1.0
    sources = tuple((column[pair.first], column[pair.second]) for pair in pairs)
    return Derivation(weights, tuple(pair.name for pair in pairs), sources)


def common_average(names: Sequence[str], members: Sequence[str] | None = None) -> Derivation:
    """Every channel minus the mean of some.

    Parameters
    ----------
    names : sequence of str, (n_in,)
    members : sequence of str, optional
        Channels that make the mean (default: all): good ones, best without those that respond.

    Raises
    ------
    InputError
        If fewer than two channels make the mean, or one is not there.
    """
    chosen = list(names) if members is None else list(members)
    lost = sorted(set(chosen) - set(names))
    if lost or len(chosen) < 2:
        raise InputError(
            f"Common average: at least two of {len(names)} channels wanted, got {len(chosen)}; not there: {lost[:5]}."
        )
    weights = np.eye(len(names))
    weights[:, [list(names).index(name) for name in chosen]] -= 1.0 / len(chosen)
    return Derivation(weights, tuple(names), tuple((position,) for position in range(len(names))))


@dataclass(frozen=True)
class QuietChannels:
    """The channels that make the common average of a stimulated site.

    Attributes
    ----------
    members : int array
        Positions of these channels, the least responsive first.
    order : int array (n_channels,)
        All channels by their mean covariance across pulses.
    anticorrelation : array (n_channels - 1,)
        Of averages of 2, 3, ... channels: mean correlation (Fisher z) of the most anticorrelated channel with the
        re-referenced others, mean over bootstraps.
    """

    members: NDArray[np.intp]
    order: NDArray[np.intp]
    anticorrelation: Array


def quiet_channels(epochs: Array, *, n_bootstraps: int = N_BOOTSTRAPS, seed: int = 0) -> QuietChannels:
    """Find the channels that do not respond to a site, for its common average (CARLA).

    A common average with responses in it puts them, upside down, into channels that have none. After Huang et al. 2024
    (doi:10.1016/j.jneumeth.2024.110153), written from the description of the method: channels are ranked by the mean
    covariance between their single pulses, and the average grows from the lowest. At each size the signal of every
    channel in it, as it was, is correlated with the re-referenced signals of the others. Once a channel with a response
    is in the average, the others bear it upside down and are anticorrelated with it. The size is kept at which the most
    anticorrelated channel is least so, before the first size that is worse in 95 % of the bootstraps: of the whole
    curve, as published, an average in which the responses of many channels cancel may be the best.

    Where far more than half of the channels respond, the choice fails: a bipolar reference is better there.

    Parameters
    ----------
    epochs : array (n_pulses, n_times, n_channels)
        From 10 to 300 ms after the pulses of one site; good channels that are not stimulated.
    n_bootstraps : int
        Resamplings of the pulses.
    seed : int

    Returns
    -------
    QuietChannels

    Raises
    ------
    InputError
        If there are fewer than three channels or ten samples, or values are missing.
    """
    data = np.asarray(epochs, dtype=float)
    if data.ndim != 3 or not len(data) or data.shape[1] < 10 or data.shape[2] < 3 or not np.isfinite(data).all():
        raise InputError(
            "Choice of the common average: epochs (n_pulses, n_times >= 10, n_channels >= 3) without gaps are "
            f"wanted, got shape {data.shape} with {int((~np.isfinite(data)).sum())} values missing."
        )
    data = data - data.mean(axis=1, keepdims=True)
    order = np.argsort(_covariance_across_pulses(data), kind="stable")
    ranked = data[:, :, order]
    rng = np.random.default_rng(seed)
    curves = []
    for _ in range(n_bootstraps if len(data) > 1 else 1):
        drawn = rng.integers(0, len(data), len(data)) if len(data) > 1 else np.zeros(1, dtype=int)
        mean = ranked[drawn].mean(axis=0)
        curves.append(_most_anticorrelated(mean.T @ mean))
    return QuietChannels(order[: _size(np.array(curves))], order, np.mean(curves, axis=0))


def _size(curves: Array) -> int:
    """Size of the best average before the first that is surely worse; behind it, responses may cancel.

    Parameters
    ----------
    curves : array (n_bootstraps, n_channels - 1)
        Anticorrelation of averages of 2, 3, ... channels.
    """
    mean = curves.mean(axis=0)
    best = first = max(int(np.ceil(LEAST_SHARE * (curves.shape[1] + 1))), 2) - 2
    for size in range(first, len(mean)):
        if mean[size] >= mean[best]:
            best = size
        elif len(curves) > 1 and np.mean(curves[:, size] < curves[:, best]) >= SURE:
            break
    return best + 2


def _covariance_across_pulses(data: Array) -> Array:
    """Mean covariance over time between pairs of different pulses; the variance where there is one pulse only."""
    n_pulses, n_times, _ = data.shape
    own = (data**2).sum(axis=(0, 1))
    if n_pulses == 1:
        return np.asarray(own / (n_times - 1))
    together = (data.sum(axis=0) ** 2).sum(axis=0)
    return np.asarray((together - own) / (n_pulses * (n_pulses - 1) * (n_times - 1)))


def _most_anticorrelated(gram: Array) -> Array:
    """Least mean correlation of a channel, for averages of the first 2, 3, ... channels.

    Parameters
    ----------
    gram : array (n_channels, n_channels)
        Products of the mean signals, summed over time, channels by rank. Correlations with a re-referenced signal
        follow from it, so that no signal is touched again.
    """
    n_channels = len(gram)
    least = np.empty(n_channels - 1)
    norms = np.sqrt(np.diag(gram))
    for size in range(2, n_channels + 1):
        part = gram[:size, :size]
        with_mean = part.mean(axis=0)
        products = part - with_mean[None, :]  # re-referenced row, original column
        left = np.sqrt(np.maximum(np.diag(part) - 2 * with_mean + part.mean(), 1e-300))
        correlation = products / (left[:, None] * np.maximum(norms[:size], 1e-150)[None, :])
        fisher = np.arctanh(np.clip(correlation, -1 + 1e-9, 1 - 1e-9))
        np.fill_diagonal(fisher, 0.0)
        least[size - 2] = (fisher.sum(axis=0) / (size - 1)).min()
    return least
