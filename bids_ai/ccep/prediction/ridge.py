"""Ridge regression of log amplitudes on scores of pairs, its penalty chosen inside the training sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.ccep.prediction.ridge_sums import Columns, Sums
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: Penalties per training pair, for columns of variance one; the last one all but shuts a column off.
PENALTIES = np.array([1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])
#: Penalty of a column that bears none.
TRACE = 1e-9
#: One that lets nothing through.
_SHUT = 1e12


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
        sums = Sums.of(training, columns, self.by_site)
        self.scale_ = sums.scale
        self.penalty_ = self._choose(sums)
        penalties = self.penalties(len(sums.scale), self.penalty_)
        self.coefficients_ = sums.solve(penalties[None])[0] / self.scale_
        return self

    def penalties(self, n_columns: int, penalty: float) -> Array:
        """Penalty of every column, per training pair."""
        # A trace of penalty keeps a column that is constant, or a copy, from being singular.
        return np.where(np.arange(n_columns) < self.free, TRACE, penalty)

    def predict(self, layout: Layout, columns: Columns) -> Array:
        """Sum of columns; NaN where one of them is, shape (n_sites, n_channels)."""
        return np.asarray(sum(b * one for b, one in zip(self.coefficients_, columns(layout), strict=True)))

    def _choose(self, sums: Sums) -> float:
        if sums.groups.max() < 1:
            return float(PENALTIES[-1])
        tried = np.stack([self.penalties(len(sums.scale), penalty) for penalty in PENALTIES.tolist()])
        return float(PENALTIES[int(np.argmin(sums.errors(tried).sum(axis=0)))])


class EarnedRidge:
    """`PairRidge`, and one column more if that predicts better where leads are left out.

    Better by more than the standard error of the difference over leads (sites, where there are fewer than three): the
    rule of one standard error in favour of the smaller model (Breiman et al. 1984, doi:10.1201/9781315139470). A
    column that does not earn its place has no weight, and the prediction is that without it. The column has a penalty
    of its own; the others keep that which they have without it.

    Attributes
    ----------
    base_ : PairRidge
        Without the last column.
    coefficients_ : array, shape (n_columns,)
    earned_ : bool
    """

    def __init__(self, free: int) -> None:
        self.free = free

    def fit(self, training: Sequence[Recorded], columns: Columns) -> EarnedRidge:
        """Fit without the last column, then see what it is worth. Raises: `PairRidge.fit`."""
        self.base_ = PairRidge(self.free).fit(training, lambda layout: columns(layout)[:-1])
        self.coefficients_ = np.append(self.base_.coefficients_, 0.0)
        self.earned_ = False
        sums = Sums.of(training, columns, by_site=True)
        if sums.groups.max() < 1:
            return self
        own = self.base_.penalties(len(sums.scale) - 1, self.base_.penalty_)
        tried = np.stack([np.append(own, last) for last in (*PENALTIES, _SHUT)])
        errors = sums.errors(tried)
        best = int(np.argmin(errors.sum(axis=0)))
        less = errors[:, -1] - errors[:, best]
        if less.mean() > less.std(ddof=1) / np.sqrt(len(less)):
            self.earned_ = True
            self.coefficients_ = sums.solve(tried[best][None])[0] / sums.scale
        return self

    def predict(self, layout: Layout, columns: Columns) -> Array:
        """Sum of columns; NaN where one of them is, the last included, shape (n_sites, n_channels)."""
        return np.asarray(sum(b * one for b, one in zip(self.coefficients_, columns(layout), strict=True)))


class RidgePredictor(Predictor):
    """A nested ridge over the scores of other predictors.

    Parameters
    ----------
    name, label, source : str
    parts : sequence of callable
        Each makes a predictor; they are fitted on the same training sites.
    earned : bool
        The last part has to earn its place (`EarnedRidge`).
    """

    def __init__(
        self, name: str, label: str, source: str, parts: Sequence[Callable[[], Predictor]], *, earned: bool = False
    ) -> None:
        self.name, self.label, self.source = name, label, source
        self.parts, self.earned = parts, earned

    def fit(self, training: Sequence[Recorded]) -> RidgePredictor:
        """Fit the parts, then their weights."""
        if not training:
            raise InputError(f"{self.name}: there is no training site.")
        self.parts_ = [make().fit(training) for make in self.parts]
        # Distance, the first, bears no penalty.
        ridge = EarnedRidge(1) if self.earned else PairRidge(1)
        self.ridge_ = ridge.fit(training, self._columns)
        return self

    def predict(self, layout: Layout) -> Array:
        """Weighted sum of the parts."""
        return self.ridge_.predict(layout, self._columns)

    def _columns(self, layout: Layout) -> list[Array]:
        return [part.predict(layout) for part in self.parts_]
