"""Ridge regression of log amplitudes on scores of pairs, its penalty chosen inside the training sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array, IntArray
from bids_ai.errors import InputError

#: Penalties per training pair, for columns of variance one; the last one all but shuts a column off.
PENALTIES = np.array([1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
#: Fewer training pairs than this for each column do not make a fit.
_PAIRS_PER_COLUMN = 10

Columns = Callable[[Layout], list[Array]]
"""Layout -> columns of the regression, each of shape (n_sites, n_channels)."""


class PairRidge:
    """Ridge over pairs.

    Parameters
    ----------
    free : int
        So many first columns bear no penalty: a distance that is always there, so that what is added has to earn it.
    by_site : bool
        Every site has an offset of its own, so that a strong site does not weigh in the slopes; else every patient.
    """

    def __init__(self, free: int = 0, by_site: bool = True) -> None:
        self.free, self.by_site = free, by_site

    def fit(self, training: Sequence[Recorded], columns: Columns) -> PairRidge:
        """Choose the penalty by leaving leads out (sites, where there are fewer than three), then fit all.

        Raises
        ------
        InputError
            For too few training pairs.
        """
        blocks = [_site_blocks(one, columns, self.by_site) for one in training]
        grams = [gram for block in blocks for gram in block]
        n_columns = len(columns(training[0].layout)) if training else 0
        n_pairs = sum(gram.n for gram in grams)
        least = _PAIRS_PER_COLUMN * max(n_columns, 1)
        if n_pairs < least:
            raise InputError(f"{least} training pairs with a value in all of the columns are wanted, got {n_pairs}.")
        xx = np.stack([gram.xx for gram in grams])
        xy = np.stack([gram.xy for gram in grams])
        self.scale_ = np.sqrt(np.diagonal(xx.sum(axis=0)) / n_pairs)
        # A column without variance explains nothing.
        self.scale_ = np.where(self.scale_ > 1e-12, self.scale_, np.inf)
        xx, xy = xx / self.scale_[:, None] / self.scale_, xy / self.scale_
        leads = np.unique([gram.lead for gram in grams], return_inverse=True)[1]
        groups = np.asarray(leads if leads.max() >= 2 else np.arange(len(grams)))
        self.penalty_ = self._choose(xx, xy, np.array([gram.n for gram in grams]), groups)
        self.coefficients_ = (
            self._solve(xx.sum(axis=0), xy.sum(axis=0), n_pairs, np.array([self.penalty_]))[0] / self.scale_
        )
        return self

    def predict(self, layout: Layout, columns: Columns) -> Array:
        """Sum of columns; NaN where one of them is, shape (n_sites, n_channels)."""
        return np.asarray(sum(b * one for b, one in zip(self.coefficients_, columns(layout), strict=True)))

    def _choose(self, xx: Array, xy: Array, n: Array, groups: IntArray) -> float:
        if groups.max() < 1:
            return float(PENALTIES[-1])
        errors = np.zeros(len(PENALTIES))
        for group in range(groups.max() + 1):
            out, rest = groups == group, groups != group
            b = self._solve(xx[rest].sum(axis=0), xy[rest].sum(axis=0), float(n[rest].sum()), PENALTIES)
            # The sum of squares of y is the same for all penalties.
            errors += ((b @ xx[out].sum(axis=0)) * b).sum(axis=1) - 2.0 * b @ xy[out].sum(axis=0)
        return float(PENALTIES[int(np.argmin(errors))])

    def _solve(self, xx: Array, xy: Array, n: float, penalties: Array) -> Array:
        """Coefficients for every penalty, shape (n_penalties, n_columns)."""
        weights = np.repeat(n * penalties[:, None], len(xx), axis=1)
        # A trace of penalty keeps a column that is constant, or a copy, from being singular.
        weights[:, : self.free] = 1e-9 * n
        return np.asarray(np.linalg.solve(xx + weights[:, :, None] * np.eye(len(xx)), xy[None, :, None])[..., 0])


class _Gram:
    """Sums over the pairs of one site."""

    def __init__(self, x: Array, y: Array, lead: str) -> None:
        self.xx, self.xy, self.n, self.lead = x.T @ x, x.T @ y, len(y), lead


def _site_blocks(recorded: Recorded, columns: Columns, by_site: bool) -> list[_Gram]:
    layout = recorded.layout
    features = np.stack(columns(layout), axis=-1)
    values = log_amplitude(recorded, EXCLUSION_MM)
    known = np.isfinite(values) & np.isfinite(features).all(axis=-1)
    if not known.any():
        return []
    x_mean, y_mean = features[known].mean(axis=0), values[known].mean()
    out = []
    for site in np.flatnonzero(known.any(axis=1)):
        x, y = features[site, known[site]], values[site, known[site]]
        middle = (x.mean(axis=0), y.mean()) if by_site else (x_mean, y_mean)
        lead = layout.contact_leads[layout.site_contacts[site, 0]]
        out.append(_Gram(x - middle[0], y - middle[1], f"{layout.patient}\t{lead}"))
    return out


class RidgePredictor(Predictor):
    """A nested ridge over the scores of other predictors.

    Parameters
    ----------
    name, label, source : str
    parts : sequence of callable
        Each makes a predictor; they are fitted on the same training sites.
    free : int
        So many first parts bear no penalty.
    """

    def __init__(
        self, name: str, label: str, source: str, parts: Sequence[Callable[[], Predictor]], *, free: int = 1
    ) -> None:
        self.name, self.label, self.source = name, label, source
        self.parts, self.free = parts, free

    def fit(self, training: Sequence[Recorded]) -> RidgePredictor:
        """Fit the parts, then their weights."""
        if not training:
            raise InputError(f"{self.name}: there is no training site.")
        self.parts_ = [make().fit(training) for make in self.parts]
        self.ridge_ = PairRidge(self.free).fit(training, self._columns)
        return self

    def predict(self, layout: Layout) -> Array:
        """Weighted sum of the parts."""
        return self.ridge_.predict(layout, self._columns)

    def _columns(self, layout: Layout) -> list[Array]:
        return [part.predict(layout) for part in self.parts_]
