"""What a predictor is, and how region matrices come to sites and channels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import Array
from bids_ai.errors import InputError

#: A pair has a value when this share of what its ends touch has one.
LEAST_KNOWN = 0.5


class Predictor(ABC):
    """Predicts the responses of sites from those of training sites, or from the layout alone.

    Attributes
    ----------
    name : str
        In the registry and in tables.
    label : str
        What it is, in words.
    source : str
    within_patient : bool
        It says what a patient's own recording can say at best: a ceiling, no model.
    learns_waveforms : bool
        It is shown the waveforms of training sites, and predicts some.
    by_channel : bool
        Its score learns something of each channel from the other sites (`Predicted.by_channel`).
    needs_reversed : bool
        It is made of the pair the other way round, which every split but `splits.PLAIN` hides: it has no score there.
    """

    name: str
    label: str
    source: str
    within_patient = False
    learns_waveforms = False
    by_channel = False
    needs_reversed = False

    @abstractmethod
    def fit(self, training: Sequence[Recorded]) -> Predictor:
        """Learn from the responses of training sites; those of other sites are NaN (`splits.training_view`).

        Returns
        -------
        Predictor
            Itself; what was learned ends in `_`.

        Raises
        ------
        InputError
            When the training sites or the layouts do not hold what it needs.
        """

    @abstractmethod
    def predict(self, layout: Layout) -> Array:
        """Score of all sites of a patient, higher for larger responses, shape (n_sites, n_channels); NaN if unknown."""

    def predict_waveforms(self, layout: Layout, times_s: Array) -> Array:
        """Waveforms at given times, shape (n_sites, n_channels, n_times); NaN where unknown.

        Raises
        ------
        InputError
            For models that know no time.
        """
        raise InputError(f"{self.name} gives no waveforms.")

    def predict_latency(self, layout: Layout) -> Array:
        """Latency of the response, s, shape (n_sites, n_channels).

        Raises
        ------
        InputError
            For models that know no time: matrices, and everything at the scale of a TR.
        """
        raise InputError(f"{self.name} gives no latency: {self.label} knows which responses and how large, not when.")


def region_pairs(layout: Layout, matrix: Array) -> Array:
    """Mean of a region matrix over what a site stimulates and a channel records, shape (n_sites, n_channels).

    Parameters
    ----------
    layout : Layout
        With shares.
    matrix : array, shape (n_regions, n_regions)
        Row = source; NaN where missing.

    Returns
    -------
    array
        NaN where less than `LEAST_KNOWN` of the shares of a pair meet a value, and for ends outside of all regions.
    """
    sites, channels = layout.site_shares, layout.channel_shares
    if sites is None or channels is None:
        raise InputError(f"{layout.patient}: shares of sites and channels in the regions are wanted, got none.")
    known = np.isfinite(matrix)
    weight = sites @ known.astype(float) @ channels.T
    total = np.outer(sites.sum(axis=1), channels.sum(axis=1))
    value = sites @ np.where(known, matrix, 0.0) @ channels.T
    enough = (weight >= LEAST_KNOWN * total - 1e-12) & (weight > 1e-12)
    return np.divide(value, weight, out=np.full_like(value, np.nan), where=enough)


def log_weights(values: Array) -> Array:
    """Logarithm of weights; no weight counts as half of the smallest there is. NaN throughout where there is none."""
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return np.full_like(values, np.nan)
    return np.log(np.where(np.isnan(values), np.nan, np.maximum(np.nan_to_num(values), 0.5 * positive.min())))


def log_sizes(values: Array) -> Array:
    """Logarithm of sizes whose small ones are noise: none counts as less than a hundredth of the median.

    A few entries that are next to nothing (rounding, a sparse fit) would otherwise make most of the variance.
    """
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return np.full_like(values, np.nan)
    return np.log(np.where(np.isnan(values), np.nan, np.maximum(np.nan_to_num(values), 0.01 * np.median(positive))))


class MatrixPredictor(Predictor):
    """A region matrix, brought to sites and channels. It learns nothing from responses.

    Parameters
    ----------
    name, label, source : str
        The name is unique: scores are remembered under it.
    key : str
        Name of the matrix in `Layout.matrices`.
    transform : callable, optional
        Region matrix -> region matrix, before it is brought to pairs.
    link : callable, optional
        Of the values of pairs.
    """

    def __init__(
        self,
        name: str,
        label: str,
        source: str,
        key: str,
        *,
        transform: Callable[[Array], Array] | None = None,
        link: Callable[[Array], Array] | None = None,
    ) -> None:
        self.name, self.label, self.source, self.key = name, label, source, key
        self.transform, self.link = transform, link

    def fit(self, training: Sequence[Recorded]) -> MatrixPredictor:
        """Check that every patient has the matrix."""
        for one in training:
            self._matrix(one.layout)
        return self

    def predict(self, layout: Layout) -> Array:
        """Values of the pairs."""
        return layout.remembered(f"score {self.name}", self._score)

    def _score(self, layout: Layout) -> Array:
        matrix = self._matrix(layout)
        pairs = region_pairs(layout, self.transform(matrix) if self.transform else matrix)
        return self.link(pairs) if self.link else pairs

    def _matrix(self, layout: Layout) -> Array:
        if self.key not in layout.matrices:
            raise InputError(f"{layout.patient}: {self.name} needs the matrix {self.key!r}, which is not given.")
        if layout.site_shares is None or layout.channel_shares is None:
            raise InputError(f"{layout.patient}: {self.name} needs shares of sites and channels in the regions.")
        return layout.matrices[self.key]


def connected(weights: Array) -> Array:
    """Structural weights as graph measures want them: NaN and the diagonal are no connection.

    Raises
    ------
    InputError
        For negative weights.
    """
    clean = np.nan_to_num(weights, nan=0.0)
    np.fill_diagonal(clean, 0.0)
    if (clean < 0).any():
        raise InputError("Structural weights must not be negative.")
    return clean


def without_missing(measure: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A graph measure with NaN for regions whose row and column are missing throughout, and on the diagonal."""

    def measured(weights: Array) -> Array:
        off = ~np.eye(len(weights), dtype=bool)
        known = (np.isfinite(weights) & off).any(axis=1) | (np.isfinite(weights) & off).any(axis=0)
        out = np.array(measure(connected(weights)), float)
        out[~known], out[:, ~known] = np.nan, np.nan
        np.fill_diagonal(out, np.nan)
        return out

    return measured
