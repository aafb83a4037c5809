"""The kinds of matrices of the group level, and on which scale their values are averaged and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bids_ai.stages.group_inputs import MatrixFile

#: Correlations are held below 1 by this much, where Fisher's z has an end.
_ROOM = 1e-7


@dataclass(frozen=True)
class Measure:
    """A kind of matrix.

    Parameters
    ----------
    short, words : str
        Such as FC and "functional connectivity".
    stat : str
        As in file names: ``pearsoncorrelation``.
    directed : bool
    units : str
    scale : str
        What was done to the values of a subject; empty for nothing.
    forward, back : callable
        To the scale on which values are averaged and compared, and of a mean back.
    compared : bool
        Whether subjects are compared by it. The others are averaged only.
    """

    short: str
    words: str
    stat: str
    directed: bool
    units: str
    scale: str
    forward: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]
    compared: bool


def fisher_z(values: np.ndarray) -> np.ndarray:
    """Artanh of correlations."""
    return np.arctanh(np.clip(values, _ROOM - 1, 1 - _ROOM))


def _as_it_is(values: np.ndarray) -> np.ndarray:
    return values


def _mean_edge(values: np.ndarray) -> np.ndarray:
    from bids_ai.stages.group_structural import over_mean_edge

    return over_mean_edge(values)


_Z = "Fisher z"


def _correlation(short: str, words: str, stat: str, *, compared: bool = False) -> Measure:
    return Measure(short, words, stat, False, "correlation coefficient", _Z, fisher_z, np.tanh, compared)


#: By key of the names of files.
MEASURES: dict[str, Measure] = {
    "ec": Measure(
        "EC",
        "effective connectivity",
        "effectiveconnectivity",
        True,
        "that of the subjects",
        "",
        _as_it_is,
        _as_it_is,
        True,
    ),
    "pearson": _correlation("FC", "functional connectivity", "pearsoncorrelation", compared=True),
    "sc_weight": Measure(
        "SC",
        "structural connectivity",
        "sift2sum",
        False,
        "mean edge of a subject",
        "over the mean edge of the scan",
        _mean_edge,
        _as_it_is,
        True,
    ),
    "partial": _correlation("partial FC", "partial correlation", "partialcorrelation"),
    "envelope": _correlation("envelope FC", "envelope correlation", "envelopecorrelation"),
    "imcoh": Measure(
        "imaginary coherence",
        "imaginary coherence",
        "imaginarycoherence",
        False,
        "1",
        "",
        _as_it_is,
        _as_it_is,
        False,
    ),
}


def measure_label(file: MatrixFile) -> str:
    """Entities of a kind of matrix in file names: ``model-auto_stat-effectiveconnectivity``."""
    model = f"model-{file.model}_" if file.model else ""
    return f"{model}stat-{MEASURES[file.key].stat}"
