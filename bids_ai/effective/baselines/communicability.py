"""Communicability of the structural connectivity: walks of every length, long ones counted less."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bids_ai.effective.baselines.base import Baseline
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def communicability(weights: FloatArray) -> FloatArray:
    """Matrix exponential of the strength-normalised weights, exp(W_ij / sqrt(s_i s_j)).

    Parameters
    ----------
    weights : (n_regions, n_regions) array
        Non-negative. For directed weights s_i is the strength out of the source, s_j that into the target; for
        symmetric ones this is the normalisation of Crofts & Higham. Regions without any connection reach none.

    Returns
    -------
    (n_regions, n_regions) array
    """
    from scipy.linalg import expm

    outgoing, incoming = (np.sqrt(weights.sum(axis=axis)) for axis in (1, 0))
    scale = np.outer(outgoing, incoming)
    normalised = np.divide(weights, scale, out=np.zeros_like(weights), where=scale > 0)
    out: FloatArray = expm(normalised)
    return out


def _kept(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Over the whole structural connectivity: tracts pass through regions that have no signal."""
    structural = prepared.recording.structural
    assert structural is not None  # `Baseline.estimate` refuses a recording without
    return communicability(structural)[np.ix_(prepared.kept, prepared.kept)]


BASELINE = Baseline(
    name="communicability",
    label="communicability",
    compute=_kept,
    directed=False,
    units="1",
    citation="Estrada & Hatano 2008, doi:10.1103/PhysRevE.77.036111; Crofts & Higham 2009, doi:10.1098/rsif.2008.0484",
    needs_structural=True,
    uses_structural=True,
)
