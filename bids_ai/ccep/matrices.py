"""From sites and channels to matrices: rows are stimulated, columns are recorded; what was not tested is NaN."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from bids_ai.ccep.trials import Array, IntArray
from bids_ai.errors import InputError

#: Channels up to this distance from a stimulated contact are left out, mm: volume conduction (van Blooijs et al. 2018).
EXCLUSION_MM = 13.0
#: Radii that the analysis is repeated with, mm.
SENSITIVITY_MM = (0.0, 13.0, 20.0, 30.0)
#: Two-sided confidence of the intervals of probabilities.
CONFIDENCE = 0.95


@dataclass(frozen=True)
class PairMatrices:
    """What was found between all pairs of nodes; every array has shape (n_stimulated, n_recorded).

    Attributes
    ----------
    tested : array
        Pairs of site and channel, each with the product of the shares of its ends; 0 where nothing was tested.
    responses : array
        Those that respond.
    probability, lower, upper : array
        Share of responses, and its Agresti-Coull interval; NaN where nothing was tested.
    features : dict of str to array
        Mean over responses, weighted by shares; NaN where there is none.
    feature_counts : dict of str to array
        Weight of the responses that have the measure.
    """

    tested: Array
    responses: Array
    probability: Array
    lower: Array
    upper: Array
    features: dict[str, Array]
    feature_counts: dict[str, Array]


def site_distances(positions_mm: Array, site_contacts: IntArray, channel_positions_mm: Array | None = None) -> Array:
    """Distance from each channel to the nearer stimulated contact, mm, shape (n_sites, n_channels).

    Parameters
    ----------
    positions_mm : array, shape (n_contacts, 3)
        NaN where unknown: distances are NaN then.
    site_contacts : array of int, shape (n_sites, 2)
    channel_positions_mm : array, shape (n_channels, 3), optional
        Midpoints of bipolar channels; by default channels are the contacts.
    """
    channels = positions_mm if channel_positions_mm is None else channel_positions_mm
    ends = positions_mm[site_contacts]
    return np.asarray(np.linalg.norm(ends[:, :, None] - channels, axis=-1).min(axis=1))


def excluded(values: Array, distances_mm: Array, radius_mm: float = EXCLUSION_MM) -> Array:
    """Values with NaN where the channel is at the radius or nearer, or where the distance is unknown.

    A radius of 0 leaves out nothing but the contacts themselves, and keeps channels without a place.

    Parameters
    ----------
    values, distances_mm : array, shape (n_sites, n_channels)
    radius_mm : float
    """
    near = distances_mm <= radius_mm
    if radius_mm > 0:
        near |= np.isnan(distances_mm)
    return np.where(near, np.nan, values)


def agresti_coull(successes: Array, trials: Array, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Interval of a share, lower and upper end within 0 and 1; NaN without trials.

    Parameters
    ----------
    successes, trials : array
        Counts, not necessarily whole.
    confidence : float

    References
    ----------
    Agresti & Coull 1998, doi:10.1080/00031305.1998.10480550.
    """
    z = norm.ppf(0.5 + 0.5 * confidence)
    larger = np.where(trials > 0, trials, np.nan) + z**2
    share = (successes + 0.5 * z**2) / larger
    half = z * np.sqrt(share * (1.0 - share) / larger)
    return np.clip(share - half, 0.0, 1.0), np.clip(share + half, 0.0, 1.0)


def pair_matrices(
    responder: Array,
    features: Mapping[str, Array],
    site_shares: Array,
    channel_shares: Array,
    *,
    confidence: float = CONFIDENCE,
) -> PairMatrices:
    """Probability and mean measures between nodes.

    Parameters
    ----------
    responder : array, shape (n_sites, n_channels)
        1, 0, or NaN where not tested or excluded.
    features : mapping of str to array, shape (n_sites, n_channels)
        Amplitude, latency, duration, ...; only those of responses are used.
    site_shares : array, shape (n_sites, n_stimulated)
        Which nodes a site stimulates: shares between 0 and 1 that sum to one or less; for contacts: `contact_shares`.
    channel_shares : array, shape (n_channels, n_recorded)
        Which nodes a channel records.
    confidence : float

    Returns
    -------
    PairMatrices

    Notes
    -----
    A pair counts once in all, whatever it is shared between, so that intervals do not become narrower by soft shares.

    Raises
    ------
    InputError
        When shapes do not fit, or a share is negative, NaN or above one.
    """
    site_shares, channel_shares = _shares(site_shares, "site"), _shares(channel_shares, "channel")
    expected = (len(site_shares), len(channel_shares))
    wrong = {name: one.shape for name, one in {"responder": responder, **features}.items() if one.shape != expected}
    if wrong:
        raise InputError(f"Matrices of sites x channels of shape {expected} are wanted, got {wrong}.")

    def spread(values: Array) -> Array:
        out: Array = site_shares.T @ values @ channel_shares
        return out

    known = np.isfinite(responder)
    hit = known & (np.nan_to_num(responder) > 0)
    tested, responses = spread(known.astype(float)), spread(hit.astype(float))
    lower, upper = agresti_coull(responses, tested, confidence)
    means, counts = {}, {}
    for name, values in features.items():
        used = hit & np.isfinite(values)
        counts[name] = spread(used.astype(float))
        means[name] = _ratio(spread(np.where(used, values, 0.0)), counts[name])
    return PairMatrices(tested, responses, _ratio(responses, tested), lower, upper, means, counts)


def contact_shares(site_contacts: IntArray, n_contacts: int) -> Array:
    """A site stimulates both of its contacts, each with half, shape (n_sites, n_contacts)."""
    out = np.zeros((len(site_contacts), n_contacts))
    np.put_along_axis(out, np.asarray(site_contacts), 0.5, axis=1)
    return out


def sensitivity(
    p: Array,
    z: Array,
    features: Mapping[str, Array],
    distances_mm: Array,
    site_shares: Array,
    channel_shares: Array,
    *,
    radii_mm: Iterable[float] = SENSITIVITY_MM,
) -> dict[float, PairMatrices]:
    """The matrices for several radii of exclusion; the false discovery rate is controlled for each anew.

    Parameters
    ----------
    p, z : array, shape (n_sites, n_channels)
        Of `responders.PseudoOnsetNull.test`.
    features, distances_mm, site_shares, channel_shares
        As for `pair_matrices` and `excluded`.
    radii_mm : iterable of float
    """
    from bids_ai.ccep.responders import responders

    out = {}
    for radius in radii_mm:
        responder, _ = responders(excluded(p, distances_mm, radius), z)
        out[float(radius)] = pair_matrices(responder, features, site_shares, channel_shares)
    return out


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 1e-12)


def _shares(shares: Array, which: str) -> Array:
    shares = np.asarray(shares, float)
    if shares.ndim != 2 or not ((shares >= 0) & (shares <= 1 + 1e-9)).all():
        raise InputError(
            f"Shares of every {which}: a matrix {which}s x nodes with values from 0 to 1 is wanted (0, not NaN, "
            f"outside of all nodes), got shape {shares.shape} with {int(np.isnan(shares).sum())} NaN, "
            f"{int((shares < 0).sum())} below 0 and {int((shares > 1).sum())} above 1."
        )
    return shares
