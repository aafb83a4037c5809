"""The automatic choice: the families that suit a recording are fitted, and the one that predicts best is kept.

Where a recording has a nonlinear family in closed form, which takes seconds, a trained one, which takes a minute, has
to earn its training. It first trains the network of one held-out block, where in full it trains one per block and the
ensemble; if that one is clearly behind the best family so far, it leaves the race, as in successive halving.

References
----------
Jamieson & Talwalkar 2016, Non-stochastic best arm identification and hyperparameter optimization, AISTATS,
arXiv:1502.07943.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bids_ai.surrogate.base import Family, FamilyFit, FitFunction, FitSettings
from bids_ai.surrogate.faults import BATCH_FAULTS, reason
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.registry import get_family
from bids_ai.surrogate.selection import LINEAR, NONLINEAR, Candidate, candidates, falls_behind, select
from bids_ai.surrogate.validation import heldout_scores

LOGGER = logging.getLogger(__name__)
"""Is told at level INFO which family is being fitted, and to how many recordings."""


@dataclass(frozen=True)
class Choice:
    """What a recording keeps.

    Parameters
    ----------
    candidate : Candidate
    scores : dict
        Of held-out prediction, with the table of all families under "families".
    faults : list of str
        Families that could not be fitted, with the reason.
    """

    candidate: Candidate
    scores: dict[str, Any]
    faults: list[str]


def choose_families(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[Choice]:
    """Fit every candidate family to a batch and choose one per recording.

    Parameters
    ----------
    recordings : sequence of PreparedRecording
        With the same number of kept regions.
    linear : sequence of FamilyFit
        Their ridge VARs.
    settings : FitSettings
        The options are those of each family.

    Returns
    -------
    list of Choice
        In the order of the recordings.
    """
    batch = _Batch(recordings, linear, settings)
    for name in (*LINEAR, *NONLINEAR):  # the simplest first, whoever is in the batch
        if rows := [i for i, recording in enumerate(recordings) if name in candidates(recording)]:
            batch.fit(get_family(name), rows)
    return [batch.choice(i) for i in range(len(recordings))]


class _Batch:
    """A batch of recordings, and what was fitted to each so far."""

    def __init__(
        self, recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
    ) -> None:
        self.recordings, self.linear, self.settings = recordings, linear, settings
        self.fitted: list[list[Candidate]] = [[] for _ in recordings]
        self.faults: list[list[str]] = [[] for _ in recordings]

    def fit(self, family: Family, rows: list[int]) -> None:
        """Fit a family to some of the recordings, less those in which it leaves the race."""
        if family.scout is not None:
            rows = self._raced(family, family.scout, rows)
        if rows:
            LOGGER.info("fitting %s (%d recording(s))", family.name, len(rows))
            for i, fit in self._fit_rows(family, family.fit, rows):
                self.fitted[i].append(Candidate(family.name, fit))

    def _raced(self, family: Family, scout: FitFunction, rows: list[int]) -> list[int]:
        """Rows of the recordings in which a family is worth training in full."""
        racing = [i for i in rows if self._has_closed_nonlinear(i)]
        if not racing:
            return rows
        staying = [i for i in rows if i not in racing]
        LOGGER.info("trying %s on one block (%d recording(s))", family.name, len(racing))
        for i, fit in self._fit_rows(family, scout, racing):
            if falls_behind(self.recordings[i], fit, self.fitted[i]):
                self.fitted[i].append(Candidate(family.name, fit, left=True))
            else:
                staying.append(i)
        return sorted(staying)

    def _has_closed_nonlinear(self, i: int) -> bool:
        return any(not item.linear and not get_family(item.family).trained for item in self.fitted[i])

    def _fit_rows(self, family: Family, function: FitFunction, rows: list[int]) -> list[tuple[int, FamilyFit]]:
        """Fit a family to some of the recordings; one in which it fails goes without it, and is told so."""
        own = replace(self.settings, options=dict(family.defaults))
        try:
            fits = function([self.recordings[i] for i in rows], [self.linear[i] for i in rows], own)
            return list(zip(rows, fits, strict=True))
        except BATCH_FAULTS as error:
            if len(rows) == 1:
                fault = f"{family.name} could not be fitted and was left out: {reason(error)}"
                self.faults[rows[0]].append(fault)
                return []
        half = len(rows) // 2
        return [pair for part in (rows[:half], rows[half:]) for pair in self._fit_rows(family, function, part)]

    def choice(self, i: int) -> Choice:
        """Choose among what was fitted to a recording."""
        recording, base = self.recordings[i], self.linear[i]
        chosen, table = select(recording, self.fitted[i], base)
        scores = heldout_scores(recording, chosen.fit, base)
        scores["families"] = table
        return Choice(chosen, scores, self.faults[i])
