"""The measures of agreement, each a number per site, over the pairs that a prediction covers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.scoring import detection, waves
from bids_ai.ccep.scoring.predicted import Predicted
from bids_ai.ccep.scoring.ranks import fisher_z, row_partial_spearman, row_spearman, specific
from bids_ai.ccep.scoring.recorded import Recorded
from bids_ai.ccep.scoring.resampling import distance_bins
from bids_ai.ccep.trials import Array, BoolArray


class Stack:
    """Sites of all patients under each other; rows of patients with fewer channels are filled up with NaN.

    Parameters
    ----------
    recorded : sequence of Recorded
    radius_mm : float
        Pairs up to here are left out.
    """

    def __init__(self, recorded: Sequence[Recorded], radius_mm: float) -> None:
        self.recorded, self.radius_mm = recorded, radius_mm
        self.width = max((one.layout.shape[1] for one in recorded), default=0)
        self.amplitude = self.rows([one.amplitude for one in recorded])
        self.distance = self.rows([one.layout.distances for one in recorded])
        self.responder, self.odd, self.even, self.latency = (
            self.rows([getattr(one, name) for one in recorded]) for name in ("responder", "odd", "even", "latency_s")
        )
        self.counts = self.rows([one.beyond(radius_mm).astype(float) for one in recorded]) == 1
        self.waves = self.rows([_known_waves(one.waveforms, one.times_s) for one in recorded]) == 1
        self.patients = [one.layout.patient for one in recorded for _ in range(one.layout.shape[0])]
        self.groups = np.repeat(np.arange(len(recorded)), [one.layout.shape[0] for one in recorded])
        self.leads = [
            str(lead) for one in recorded for lead in one.layout.contact_leads[one.layout.site_contacts[:, 0]].tolist()
        ]

    def rows(self, of_patients: Sequence[Array | None]) -> Array:
        """One array per patient to (n_sites, width); None is NaN throughout."""
        blocks = []
        for one, values in zip(self.recorded, of_patients, strict=True):
            n_sites, n_channels = one.layout.shape
            block = np.full((n_sites, self.width), np.nan)
            if values is not None:
                block[:, :n_channels] = values
            blocks.append(block)
        return np.concatenate(blocks)

    def patient_masks(self, mask: BoolArray) -> list[BoolArray]:
        """From (n_sites, width) back to one array per patient."""
        ends = np.cumsum([one.layout.shape[0] for one in self.recorded])[:-1]
        return [block[:, : one.layout.shape[1]] for block, one in zip(np.split(mask, ends), self.recorded, strict=True)]

    def per_patient(self, measure: Callable[..., Array], mask: BoolArray, *values: Sequence[Array]) -> Array:
        """A measure of each patient's sites, measure(recorded, *values, pairs), one after the other, (n_sites,)."""
        masks = self.patient_masks(mask)
        return np.concatenate([measure(*one) for one in zip(self.recorded, *values, masks, strict=True)])


@dataclass(frozen=True, eq=False)
class View:
    """One prediction against the recording, as rows of sites."""

    stack: Stack
    predicted: Predicted
    score: Array
    probability: Array
    latency: Array
    waves: BoolArray

    @classmethod
    def of(cls, stack: Stack, predicted: Predicted) -> View:
        """Stack a prediction."""
        none = [None] * len(stack.recorded)
        times = [one.times_s for one in stack.recorded]
        given = predicted.waveforms or none
        return cls(
            stack,
            predicted,
            stack.rows(predicted.score),
            stack.rows(predicted.probability or none),
            stack.rows(predicted.latency_s or none),
            stack.rows([_known_waves(*one) for one in zip(given, times, strict=True)]) == 1,
        )


@dataclass(frozen=True)
class Metric:
    """A measure of agreement.

    Attributes
    ----------
    name : str
    pairs : callable
        View -> array of bool (n_sites, n_channels): pairs it can be computed on.
    values : callable
        View, pairs -> array (n_sites,), NaN where a site has none.
    empty : str
        Why no site has one.
    fisher : bool
        Values are Fisher's z; their mean is turned back.
    better : int
        1 where more is better, -1 where less is, 0 where a gain over another prediction means nothing.
    chance : callable, optional
        View, pairs -> array (n_sites,): what a prediction without knowledge has.
    ceiling : callable, optional
        View, pairs -> array (n_sites,), of which the mean is handed to `from_halves` where there is one.
    """

    name: str
    pairs: Callable[[View], BoolArray]
    values: Callable[[View, BoolArray], Array]
    empty: str
    fisher: bool = False
    better: int = 1
    chance: Callable[[View, BoolArray], Array] | None = None
    ceiling: Callable[[View, BoolArray], Array] | None = None


def _scored(view: View) -> BoolArray:
    return np.asarray(view.stack.counts & np.isfinite(view.score))


def _judged(view: View) -> BoolArray:
    return np.asarray(_scored(view) & np.isfinite(view.stack.responder))


def _probable(view: View) -> BoolArray:
    return np.asarray(view.stack.counts & np.isfinite(view.probability) & np.isfinite(view.stack.responder))


def _waved(view: View) -> BoolArray:
    return np.asarray(view.stack.counts & (view.stack.responder == 1) & view.waves & view.stack.waves)


def _timed(view: View) -> BoolArray:
    known = np.isfinite(view.latency) & np.isfinite(view.stack.latency)
    return np.asarray(view.stack.counts & (view.stack.responder == 1) & known)


def _spearman(view: View, pairs: BoolArray) -> Array:
    return fisher_z(row_spearman(view.stack.amplitude, view.score, pairs), pairs.sum(axis=1))


def _partial(view: View, pairs: BoolArray) -> Array:
    pairs = pairs & np.isfinite(view.stack.distance)
    rho = row_partial_spearman(view.stack.amplitude, view.score, view.stack.distance, pairs)
    return fisher_z(rho, pairs.sum(axis=1))


def _specific(view: View, pairs: BoolArray) -> Array:
    if view.predicted.by_channel:
        return np.full(len(pairs), np.nan)
    pairs = pairs & (np.nan_to_num(view.stack.amplitude) > 0)
    amplitude = np.log(np.where(pairs, view.stack.amplitude, 1.0))
    ours, theirs = (specific(one, pairs, view.stack.groups) for one in (amplitude, view.score))
    # A prediction that is a sum of site and channel leaves rounding only.
    same = np.abs(theirs).max(axis=1) <= 1e-9 * np.abs(np.where(pairs, view.score, 0.0)).max(axis=1)
    rho = row_spearman(ours, np.where(same[:, None], 0.0, theirs), pairs)
    return fisher_z(rho, pairs.sum(axis=1))


def _halves(view: View, pairs: BoolArray) -> Array:
    pairs = pairs & np.isfinite(view.stack.odd) & np.isfinite(view.stack.even)
    return fisher_z(row_spearman(view.stack.odd, view.stack.even, pairs), pairs.sum(axis=1))


def _constant(value: float) -> Callable[[View, BoolArray], Array]:
    return lambda view, pairs: np.full(len(pairs), value)


def _prevalence(view: View, pairs: BoolArray) -> Array:
    return detection.row_prevalence(view.stack.responder, pairs)


_CLASSES = "no site with responses and non-responses among the pairs that count"
_CHANNELS = "no site with enough pairs that differ, recorded and predicted"
_WAVES = "no recorded and predicted waveforms of responses"

METRICS: tuple[Metric, ...] = (
    Metric("spearman", _scored, _spearman, _CHANNELS, fisher=True, chance=_constant(0.0), ceiling=_halves),
    Metric(
        "partial_spearman",
        _scored,
        _partial,
        "no site with enough pairs, or the prediction is a function of distance",
        fisher=True,
        better=0,
        chance=_constant(0.0),
    ),
    Metric(
        "specific_spearman",
        _scored,
        _specific,
        "no site with enough pairs, or the prediction is a sum of site and channel, or learns of channels",
        fisher=True,
        chance=_constant(0.0),
    ),
    Metric(
        "auroc",
        _judged,
        lambda view, pairs: detection.row_auroc(view.score, view.stack.responder, pairs),
        _CLASSES,
        chance=_constant(0.5),
    ),
    Metric(
        "auprc",
        _judged,
        lambda view, pairs: detection.row_auprc(view.score, view.stack.responder, pairs),
        _CLASSES,
        chance=_prevalence,
    ),
    Metric(
        "brier",
        _probable,
        lambda view, pairs: detection.row_brier(view.probability, view.stack.responder, pairs),
        "no probabilities: the training sites hold one class only, or there is no responder",
        better=-1,
    ),
    Metric(
        "waveform_explained_variance",
        _waved,
        lambda view, pairs: view.stack.per_patient(waves.explained_variance, pairs, view.predicted.waveforms or []),
        _WAVES,
        ceiling=lambda view, pairs: view.stack.per_patient(waves.explained_variance_ceiling, pairs),
    ),
    Metric(
        "waveform_correlation",
        _waved,
        lambda view, pairs: view.stack.per_patient(waves.waveform_correlation, pairs, view.predicted.waveforms or []),
        _WAVES,
        chance=_constant(0.0),
        ceiling=lambda view, pairs: view.stack.per_patient(waves.waveform_ceiling, pairs),
    ),
    Metric(
        "latency_error_s",
        _timed,
        lambda view, pairs: view.stack.per_patient(waves.latency_error, pairs, view.predicted.latency_s or []),
        "no recorded and predicted latencies of responses",
        better=-1,
    ),
)
"""Measures that are a number per site. Calibration slope and direction are not: `table`."""


def distance_metrics(edges_mm: Sequence[float]) -> list[Metric]:
    """AUROC within each distance bin.

    Parameters
    ----------
    edges_mm : sequence of float
        The last bin is open.
    """
    out = []
    for number, low in enumerate(edges_mm):
        label = f"{low:g}-{edges_mm[number + 1]:g}mm" if number + 1 < len(edges_mm) else f"{low:g}mm-"

        def within(view: View, number: int = number) -> BoolArray:
            pairs = _judged(view)
            return np.asarray(pairs & (distance_bins(view.stack.distance, pairs, edges_mm) == number))

        def auroc(view: View, pairs: BoolArray) -> Array:
            return detection.row_auroc(view.score, view.stack.responder, pairs)

        out.append(Metric(f"auroc_{label}", within, auroc, f"{_CLASSES} at this distance", chance=_constant(0.5)))
    return out


def probable(view: View) -> BoolArray:
    """Pairs with a probability and a judged response, shape (n_sites, n_channels)."""
    return _probable(view)


def _known_waves(waveforms: Array | None, times_s: Array | None) -> Array | None:
    """1 for pairs with a whole waveform in the window that is compared, else 0."""
    if waveforms is None or times_s is None:
        return None
    inside = (times_s >= waves.WINDOW_S[0]) & (times_s <= waves.WINDOW_S[1])
    return np.asarray((np.isfinite(waveforms[..., inside]).all(axis=-1) & inside.any()).astype(float))
