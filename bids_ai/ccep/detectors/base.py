"""What a detector is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.trials import Array, BoolArray, Trials


@dataclass(frozen=True)
class Detection:
    """Answer of a detector for the channels of one site.

    Attributes
    ----------
    responder : array, shape (n_channels,)
        1 or 0; NaN where there is nothing to judge.
    statistic : array, shape (n_channels,)
        What is compared with the threshold.
    """

    responder: Array
    statistic: Array


@dataclass(frozen=True)
class Detector:
    """A published rule.

    Attributes
    ----------
    name : str
    rule : str
        The rule in words, with its thresholds.
    detect : callable
        Trials -> Detection.
    source : str
    """

    name: str
    rule: str
    detect: Callable[[Trials], Detection]
    source: str


def decided(statistic: Array, passed: BoolArray) -> Detection:
    """1 where passed, 0 where not, NaN where there is no statistic."""
    return Detection(np.where(np.isnan(statistic), np.nan, passed.astype(float)), statistic)
