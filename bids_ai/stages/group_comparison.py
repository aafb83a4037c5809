"""Effective against functional and structural connectivity of a group."""

from __future__ import annotations

import numpy as np

from bids_ai.group.comparison import compare
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import MIN_SUBJECTS
from bids_ai.stages.group_tables import Numbers


def mean_of(kind: Collected | None) -> np.ndarray | None:
    """Mean matrix of a kind; None where there is no group."""
    return kind.mean() if kind is not None and len(kind.used) >= MIN_SUBJECTS else None


def tell_comparison(
    ec: Collected, fc: Collected | None, sc: Collected | None, numbers: Numbers, *, sc_missing: str
) -> None:
    """Add symmetry of EC and its rank correlations with FC and SC to the numbers.

    Parameters
    ----------
    ec, fc, sc : Collected
    numbers : Numbers
    sc_missing : str
        Why there is no SC of the group, where there is none.
    """
    matrix = mean_of(ec)
    if matrix is None:
        numbers.missing(ec.name, "self_symmetry", f"{len(ec.used)} subjects with EC; {MIN_SUBJECTS} are needed")
        return
    functional, structural = mean_of(fc), mean_of(sc)
    for entry in compare(matrix, fc=functional, sc=structural):
        numbers.add(ec.name, entry.quantity, entry.value, n_subjects=len(ec.used), n_edges=entry.n_edges)
    if functional is None:
        numbers.missing(ec.name, "spearman_ec_fc", "no functional connectivity of the group")
    if structural is None:
        numbers.missing(ec.name, "spearman_ec_sc", sc_missing)
