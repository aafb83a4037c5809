"""Choice among families by held-out prediction: the simplest that no other beats by more than one standard error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bids_ai.surrogate.base import FamilyFit
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.validation import heldout_scores, paired_gain

AUTO = "auto"
MAX_LIKELIHOOD_REGIONS = 200
"""Beyond, `ou` and `state-space`, whose likelihoods cost the cube of the regions hundreds of times, take many minutes
per recording; they can still be asked for by name."""

LINEAR = ("state-space", "sc-ridge", "ou", "ridge-var")
NONLINEAR = ("local-nonlinear", "low-rank-rnn", "almost-linear", "mlp")
"""The families of `auto`, simplest first. A nonlinear one is the linear model plus a correction."""
NONLINEAR_MARGIN_SE = 2.0
"""Standard errors by which a nonlinear family has to beat the linear ones: three have a chance to win by luck."""

RACE_MARGIN_SE = 2.0
"""Standard errors by which a trained family has to be behind on the first held-out block to leave the race."""

SC_UNUSED = "the structural connectivity does not help to predict: not used"
NO_GAIN = "no gain over the linear part"
LEFT = "left the race: behind the best on the first held-out block"


@dataclass(frozen=True)
class Candidate:
    """A family as it was fitted to a recording.

    Parameters
    ----------
    family : str
    fit : FamilyFit
    left : bool
        Whether it left the race: the fit is that of a scout, which predicts the first held-out block only.
    """

    family: str
    fit: FamilyFit
    left: bool = False

    @property
    def linear(self) -> bool:
        """Whether its predictions are linear in the history."""
        return self.family not in NONLINEAR

    @property
    def falls_back(self) -> bool:
        """Whether it is an sc-ridge whose validation left the structural connectivity out: a ridge VAR, then."""
        return self.family == "sc-ridge" and self.fit.details.get("contrast") == 0


def candidates(recording: PreparedRecording) -> tuple[str, ...]:
    """Families that `auto` tries on a recording, simplest first.

    BOLD is taken through a haemodynamic response (state-space); a structural connectivity is used where there is one.
    """
    slow = recording.recording.modality == "bold"
    left_out = set()
    if not slow or recording.n_regions > MAX_LIKELIHOOD_REGIONS:
        left_out.add("state-space")
    if recording.n_regions > MAX_LIKELIHOOD_REGIONS:
        left_out.add("ou")
    if recording.recording.structural is None:
        left_out.add("sc-ridge")
    if slow:  # the dynamics within a region are too fast to be seen
        left_out.add("local-nonlinear")
    return tuple(name for name in (*LINEAR, *NONLINEAR) if name not in left_out)


def falls_behind(recording: PreparedRecording, scout: FamilyFit, fitted: list[Candidate]) -> bool:
    """Whether a family is not worth training in full.

    Parameters
    ----------
    recording : PreparedRecording
    scout : FamilyFit
        What it predicts of the first held-out block.
    fitted : list of Candidate
        So far, those that left the race included.

    Returns
    -------
    bool
        Whether the best of those in the race predicts that block better by `RACE_MARGIN_SE` standard errors of the
        paired difference, over contiguous pieces of the block.
    """
    racing = [item for item in fitted if not item.left]
    best = max(racing, key=lambda item: paired_gain(recording, racing[0].fit, item.fit)[0])
    gain, error = paired_gain(recording, scout, best.fit)
    return gain > RACE_MARGIN_SE * error


def select(
    recording: PreparedRecording, fitted: list[Candidate], linear: FamilyFit
) -> tuple[Candidate, list[dict[str, Any]]]:
    """Choose a family.

    Parameters
    ----------
    recording : PreparedRecording
    fitted : list of Candidate
        Simplest first, all predicting the same held-out frames but for those that left the race.
    linear : FamilyFit
        Ridge VAR, for the scores.

    Returns
    -------
    chosen : Candidate
        Among the linear families, the simplest whose held-out error is within one standard error of the best of them; a
        nonlinear family only if it beats that one by `NONLINEAR_MARGIN_SE` standard errors. Standard errors are of the
        paired difference over contiguous blocks.
    table : list of dict
        One row per candidate: family, held-out R2 and its standard error, loss against the best, whether it was chosen.
        A family that left the race has no R2, since that of one block cannot be compared; its loss is of that block.
    """
    racing = [item for item in fitted if not item.left]
    scores = {item.family: heldout_scores(recording, item.fit, linear) for item in racing}
    straight = [item for item in racing if item.linear and not item.falls_back]
    best = max(straight, key=lambda item: scores[item.family]["r2"])
    chosen = next(item for item in straight if _within(recording, item, best, 1.0))
    curved = [item for item in racing if not item.linear]
    if curved:
        winner = max(curved, key=lambda item: scores[item.family]["r2"])
        gain, error = paired_gain(recording, chosen.fit, winner.fit)
        if gain > NONLINEAR_MARGIN_SE * error:
            chosen = next(item for item in curved if _within(recording, item, winner, 1.0))
    top = max(racing, key=lambda item: scores[item.family]["r2"])
    table = []
    for item in fitted:
        loss, error = paired_gain(recording, item.fit, top.fit)
        table.append(
            {
                "family": item.family,
                "linear": item.linear,
                "heldout_r2": None if item.left else scores[item.family]["r2"],
                "heldout_r2_se": None if item.left else scores[item.family]["r2_se"],
                "loss_against_best": loss,
                "loss_against_best_se": error,
                "chosen": item is chosen,
                "note": _note(item, linear),
            }
        )
    return chosen, table


def _note(item: Candidate, linear: FamilyFit) -> str:
    """Say that a family left the race, or is not what its name says; empty for the others."""
    if item.left:
        return LEFT
    if item.falls_back:
        return SC_UNUSED
    if not item.linear and np.array_equal(item.fit.heldout.prediction, linear.heldout.prediction):
        return NO_GAIN
    return ""


def _within(recording: PreparedRecording, item: Candidate, best: Candidate, margin: float) -> bool:
    loss, error = paired_gain(recording, item.fit, best.fit)
    return loss <= margin * error
