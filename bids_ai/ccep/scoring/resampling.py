"""Intervals by a hierarchical bootstrap, and the null of no relation beyond distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bids_ai.ccep.scoring.ranks import fisher_z, powers_of_ranks, without
from bids_ai.ccep.trials import Array, BoolArray, IntArray

#: Edges of the distance bins, mm; the last one is open. The first are the radii of `matrices.SENSITIVITY_MM`.
DISTANCE_EDGES_MM = (0.0, 20.0, 30.0, 50.0, 80.0)
#: Edges of the bins that predictions are exchanged within, mm; narrow, because noise differs with distance as well.
STRATA_MM = tuple(10.0 * k for k in range(13))
#: Degree of the polynomial in distance that is taken off before permutations.
_DEGREE = 3
#: Share of a prediction that has to be left without distance.
_LEAST_LEFT = 1e-6
#: Numbers in memory at once while permutations are drawn.
_AT_ONCE = 4_000_000


class Bootstrap:
    """Weights of sites in a hierarchical bootstrap: patients are drawn, leads within, sites within.

    Parameters
    ----------
    patients, leads : sequence, shape (n_sites,)
    n_draws : int
    seed : int

    Notes
    -----
    The mean is one of patients, each the mean of its sites: a patient with more sites does not count more. With one
    patient, leads and sites are drawn; the interval is then one of this patient, not of patients.

    References
    ----------
    Saravanan, Berman & Sober 2020, PMC7906290.
    """

    def __init__(self, patients: Sequence[object], leads: Sequence[object], n_draws: int, seed: int) -> None:
        self.patients = _codes([str(one) for one in patients])
        self.leads = _codes([f"{patient}\t{lead}" for patient, lead in zip(patients, leads, strict=True)])
        self.n_draws, self.seed = n_draws, seed
        self._known: dict[bytes, Array] = {}
        self._bases: dict[bytes, Array] = {}

    def base(self, usable: BoolArray) -> Array:
        """Weights of the mean itself, shape (n_sites,); 0 for sites that are not usable."""
        key = usable.tobytes()
        if key not in self._bases:
            sites = np.bincount(self.patients[usable], minlength=len(self.patients))
            each = np.divide(1.0, sites, out=np.zeros(len(sites)), where=sites > 0) / max((sites > 0).sum(), 1)
            self._bases[key] = np.where(usable, each[self.patients], 0.0)
        return self._bases[key]

    def draws(self, usable: BoolArray) -> Array:
        """Weights of every draw, shape (n_draws, n_sites); each row sums to 1.

        The same sites give the same draws, so that means over them are compared in pairs.
        """
        key = usable.tobytes()
        if key not in self._known:
            self._known[key] = self._draw(usable)
        return self._known[key]

    def _draw(self, usable: BoolArray) -> Array:
        rng = np.random.default_rng(self.seed)
        used = np.unique(self.patients[usable])
        out = np.zeros((self.n_draws, len(usable)))
        chosen = rng.integers(len(used), size=(self.n_draws, len(used)))
        for number, patient in enumerate(used):
            draw, _ = np.nonzero(chosen == number)
            own = usable & (self.patients == patient)
            leads = np.unique(self.leads[own])
            times = rng.multinomial(len(leads), np.full(len(leads), 1.0 / len(leads)), size=len(draw))
            counts = np.zeros((len(draw), len(usable)))
            for column, lead in enumerate(leads):
                sites = np.flatnonzero(own & (self.leads == lead))
                # A lead drawn c times is c resamples of its m sites: together c m sites, each equally likely.
                counts[:, sites] = rng.multinomial(times[:, column] * len(sites), np.full(len(sites), 1.0 / len(sites)))
            np.add.at(out, draw, counts / counts.sum(axis=1, keepdims=True) / len(used))
        return out


def distance_bins(distances_mm: Array, mask: BoolArray, edges_mm: Sequence[float] = DISTANCE_EDGES_MM) -> IntArray:
    """Number of the distance bin of each pair, (n_sites, n_channels); outside of the mask one beyond the last."""
    inner = np.searchsorted(np.asarray(edges_mm), np.where(mask, distances_mm, 0.0), side="right") - 1
    return np.where(mask & np.isfinite(distances_mm), np.clip(inner, 0, None), len(edges_mm))


def stratified_p(
    recorded: Array,
    predicted: Sequence[Array],
    distances_mm: Array,
    mask: BoolArray,
    site_weights: Array,
    *,
    edges_mm: Sequence[float] = STRATA_MM,
    n_permutations: int = 1000,
    seed: int = 1,
) -> list[float]:
    """P of predictions that know no more of a pair than its site and its distance.

    Ranks of recorded and predicted within each site, less a cubic in the ranks of distance; predicted ones are
    exchanged within site and distance bin. The statistic is the weighted mean of Fisher's z over sites.

    Parameters
    ----------
    recorded : array, shape (n_sites, n_channels)
    predicted : sequence of array, shape (n_sites, n_channels)
        Predictions over the same pairs; all are given the same permutations.
    distances_mm : array, shape (n_sites, n_channels)
    mask : array of bool, shape (n_sites, n_channels)
        Pairs that count; all values are finite there.
    site_weights : array, shape (n_sites,)
    edges_mm : sequence of float
    n_permutations, seed : int

    Returns
    -------
    list of float
        One-sided, (1 + permutations as good) / (1 + permutations); NaN for a prediction without anything beyond
        distance.

    Notes
    -----
    Distance differs within a bin too. Without the cubic a prediction by distance alone passes; with a line it still
    does where responses sink into noise at some distance. Regression and refit: Freedman & Lane 1983, as in Winkler et
    al. 2014, doi:10.1016/j.neuroimage.2014.01.060.
    """
    used = site_weights > 0
    mask, weights = mask[used], site_weights[used]
    n = mask.sum(axis=1)
    target = _unit(without(recorded[used], distances_mm[used], mask, _DEGREE))
    sources = [_unit(without(one[used], distances_mm[used], mask, _DEGREE)) for one in predicted]
    bins = distance_bins(distances_mm[used], mask, edges_mm)
    base = np.argsort(bins, axis=1, kind="stable")
    target_sorted = np.take_along_axis(target, base, axis=1)
    powers = [np.take_along_axis(power, base, axis=1) for power in powers_of_ranks(distances_mm[used], mask, _DEGREE)]

    def statistic(correlation: Array) -> Array:
        return fisher_z(correlation, n) @ weights

    observed = [statistic((target * one).sum(axis=1)) for one in sources]
    as_good = np.zeros(len(sources))
    rng = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // max(1, mask.size))
    for start in range(0, n_permutations, step):
        size = min(step, n_permutations - start)
        order = np.argsort(bins + rng.random((size, *bins.shape), dtype=np.float32), axis=2)
        for number, one in enumerate(sources):
            drawn = np.take_along_axis(one[None], order, axis=2)
            # What an exchange brings back of distance is taken off again, as it was of the prediction.
            left = 1.0 - sum(np.einsum("psc,sc->ps", drawn, power) ** 2 for power in powers)
            shared = np.einsum("psc,sc->ps", drawn, target_sorted)
            null = statistic(np.divide(shared, np.sqrt(left), out=np.zeros_like(shared), where=left > _LEAST_LEFT))
            as_good[number] += (null >= observed[number] - 1e-12).sum()
    empty = [not one.any() for one in sources]
    return [
        float("nan") if none or not used.any() else (1 + k) / (1 + n_permutations)
        for none, k in zip(empty, as_good, strict=True)
    ]


def _unit(rows: Array) -> Array:
    size = np.sqrt((rows**2).sum(axis=1, keepdims=True))
    return np.divide(rows, size, out=np.zeros_like(rows), where=size > 1e-12)


def _codes(labels: Sequence[str]) -> IntArray:
    return np.unique(np.asarray(labels), return_inverse=True)[1]
