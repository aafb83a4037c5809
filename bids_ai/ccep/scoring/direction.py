"""Does a prediction know which way round: pairs of sites that were measured both ways."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.scoring.recorded import Recorded, log_amplitude
from bids_ai.ccep.trials import Array, BoolArray

#: Fewer pairs of sites do not make a correlation of antisymmetric parts.
LEAST_PAIRS = 10
#: A prediction whose antisymmetric part holds less than this share of its variance is taken to be symmetric.
_SYMMETRIC = 1e-6


@dataclass(frozen=True)
class Direction:
    """Agreement of antisymmetric parts.

    Attributes
    ----------
    r : float
        Uncentred correlation over pairs: which site is named first does not matter.
    r_pairs : float
        The same less what sites contribute as a whole (one that responds and sends much, a channel that records much).
    p_pairs : float
        Of `r_pairs`, one-sided, by flipping the signs of pairs. `r` has none: pairs of one site go together.
    n_pairs : int
    reason : str
        Why there is no number, or "".
    """

    r: float
    r_pairs: float
    p_pairs: float
    n_pairs: int
    reason: str = ""


def site_matrix(recorded: Recorded, values: Array) -> Array:
    """Mean of a site's values over the channels made of a contact of another site, shape (n_sites, n_sites).

    Parameters
    ----------
    recorded : Recorded
    values : array, shape (n_sites, n_channels)
        NaN where excluded.
    """
    touches = recorded.layout.touches.astype(float)
    known = np.isfinite(values)
    count = known.astype(float) @ touches.T
    total = np.where(known, values, 0.0) @ touches.T
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def antisymmetric_agreement(
    recorded: Sequence[Recorded],
    predicted: Sequence[Array],
    *,
    radius_mm: float,
    n_flips: int = 1000,
    seed: int = 1,
) -> Direction:
    """Correlation of the antisymmetric parts of recorded log amplitudes and of a prediction.

    Parameters
    ----------
    recorded : sequence of Recorded
    predicted : sequence of array, shape (n_sites, n_channels)
        NaN where there is no prediction.
    radius_mm : float
    n_flips, seed : int

    Returns
    -------
    Direction

    Notes
    -----
    What a site sends less what it receives makes its pairs alike, and such pairs may not be flipped one by one. So
    u_i - u_j is fitted to the antisymmetric part of recorded and predicted and taken off before the flips; offsets of a
    fold of cross-validation go with it.
    """
    parts = [_parts(one, own, radius_mm) for one, own in zip(recorded, predicted, strict=True)]
    ours, theirs, ours_left, theirs_left = (np.concatenate([part[k] for part in parts]) for k in range(4))
    n = len(ours)
    nothing = float("nan")
    if n < LEAST_PAIRS:
        return Direction(
            nothing, nothing, nothing, n, f"{n} pairs of sites measured both ways, {LEAST_PAIRS} are wanted"
        )
    spread = sum(part[4] for part in parts)
    if (theirs**2).sum() <= _SYMMETRIC * spread:
        return Direction(nothing, nothing, nothing, n, "the prediction is the same both ways")
    raw, left = _uncentred(ours, theirs), _uncentred(ours_left, theirs_left)
    if not np.isfinite(left) or (theirs_left**2).sum() <= _SYMMETRIC * spread:
        return Direction(raw, nothing, nothing, n, "the prediction has no direction beyond that of whole sites")
    if n_flips < 1:
        return Direction(raw, left, nothing, n)
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(n_flips, n))
    products = ours_left * theirs_left
    p = (1 + (signs @ products >= products.sum() - 1e-12).sum()) / (1 + n_flips)
    return Direction(raw, left, float(p), n)


def _parts(recorded: Recorded, predicted: Array, radius_mm: float) -> tuple[Array, Array, Array, Array, float]:
    values = log_amplitude(recorded, radius_mm)
    common = np.isfinite(values) & np.isfinite(predicted)
    ours, theirs = (site_matrix(recorded, np.where(common, one, np.nan)) for one in (values, predicted))
    known = np.isfinite(ours) & np.isfinite(theirs)
    both = np.triu(known & known.T, k=1)
    a, b = (0.5 * (one - one.T)[both] for one in (ours, theirs))
    spread = theirs[both | both.T]
    variance = float(((spread - spread.mean()) ** 2).sum()) if spread.size else 0.0
    return a, b, _without_sites(a, both), _without_sites(b, both), variance


def _without_sites(values: Array, pairs: BoolArray) -> Array:
    """Least-squares fit of u_i - u_j taken off."""
    first, second = np.nonzero(pairs)
    design = np.zeros((len(values), len(pairs)))
    design[np.arange(len(values)), first], design[np.arange(len(values)), second] = 1.0, -1.0
    if not len(values):
        return values
    fitted: Array = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return fitted


def _uncentred(a: Array, b: Array) -> float:
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size > 1e-12 else float("nan")
