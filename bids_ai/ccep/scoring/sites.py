"""How well each stimulated site is predicted, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bids_ai.ccep.reliability import spearman_brown
from bids_ai.ccep.scoring.ranks import row_spearman
from bids_ai.ccep.trials import Array, BoolArray, IntArray


class SiteScores(NamedTuple):
    """Scores of each site.

    Attributes
    ----------
    n_channels : array of int, shape (n_sites,)
        That count.
    rho : dict of str to array, shape (n_sites,)
        Spearman correlation of amplitude and score over the channels that the model covers, by model; NaN for too few.
    ceiling : array, shape (n_sites,)
        What a prediction without noise would have: root of the reliability of all pulses. NaN where the halves do not
        agree.
    """

    n_channels: IntArray
    rho: dict[str, Array]
    ceiling: Array


def site_scores(
    amplitude: Array, odd: Array, even: Array, counted: BoolArray, scores: Mapping[str, Array]
) -> SiteScores:
    """Score predictions of each site over its own channels.

    Parameters
    ----------
    amplitude, odd, even : array, shape (n_sites, n_channels)
        Recorded, of all pulses and of either half; NaN where there is none.
    counted : array of bool, shape (n_sites, n_channels)
        Pairs that are scored.
    scores : mapping of str to array, shape (n_sites, n_channels)
        By model; NaN where it says nothing.
    """
    known = counted & np.isfinite(amplitude)
    halves = row_spearman(odd, even, known & np.isfinite(odd) & np.isfinite(even))
    ceiling = [np.sqrt(spearman_brown(r)) if r > 0 else np.nan for r in halves.tolist()]
    rho = {model: row_spearman(amplitude, one, known & np.isfinite(one)) for model, one in scores.items()}
    return SiteScores(known.sum(axis=1), rho, np.array(ceiling, float))
