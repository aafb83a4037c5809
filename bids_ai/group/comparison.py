"""Effective, functional and structural connectivity of one group against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bids_ai.effective.symmetry import describe, symmetric
from bids_ai.errors import InputError
from bids_ai.parcellation.matching import match_names
from bids_ai.parcellation.names import listed
from bids_ai.surrogate.usable import BoolArray, FloatArray

MIN_EDGES = 3


class Agreement(NamedTuple):
    """One number on a pair of matrices.

    Parameters
    ----------
    quantity : str
        Such as ``spearman_ec_sc``.
    value : float
        NaN for fewer than 3 edges, or without variation.
    n_edges : int
    """

    quantity: str
    value: float
    n_edges: int


def align(matrix: FloatArray, names: Sequence[str], wanted: Sequence[str]) -> FloatArray:
    """Bring a matrix into the order of other names, spelled the same way or another (``7Networks_LH_Vis_1``).

    Parameters
    ----------
    matrix : (n, n) array
    names : sequence of str
        Of its rows and columns.
    wanted : sequence of str, (n_regions,)

    Returns
    -------
    (n_regions, n_regions) array

    Raises
    ------
    InputError
        If a wanted region is not there.
    """
    if matrix.shape != (len(names), len(names)):
        raise InputError(f"A matrix of shape {matrix.shape} cannot bear {len(names)} region names.")
    found = match_names(wanted, names)
    if found.missing:
        raise InputError(f"{len(found.missing)} of {len(wanted)} regions have no partner: {listed(found.missing, 5)}.")
    order = [position for position in found.positions if position is not None]
    return np.asarray(matrix)[np.ix_(order, order)]


def spearman(first: FloatArray, second: FloatArray, where: BoolArray | None = None) -> tuple[float, int]:
    """Rank correlation of two matrices over the off-diagonal entries that both have.

    Parameters
    ----------
    first, second : (n_regions, n_regions) arrays
    where : (n_regions, n_regions) array of bool, optional
        Further restriction.

    Returns
    -------
    value : float
        NaN for fewer than 3 entries, or without variation.
    n_edges : int
    """
    from scipy.stats import rankdata

    used = np.isfinite(first) & np.isfinite(second) & ~np.eye(len(first), dtype=bool)
    if where is not None:
        used = used & where
    n = int(used.sum())
    a, b = first[used], second[used]
    if n < MIN_EDGES or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan"), n
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1]), n


def compare(ec: FloatArray, *, fc: FloatArray | None = None, sc: FloatArray | None = None) -> list[Agreement]:
    """Describe an effective connectivity and its agreement with the other kinds.

    Parameters
    ----------
    ec : (n_regions, n_regions) array
        Row = source.
    fc, sc : (n_regions, n_regions) arrays, optional
        Symmetric, of the same regions in the same order (`align`); SC is 0 where no streamline is.

    Returns
    -------
    list of Agreement
        Symmetry of EC; Spearman correlations over all entries with FC and SC, of its undirected part with both, with SC
        over the connected pairs alone; FC with SC. No p values: edges share regions, so that they are not independent.
    """
    symmetry = describe(ec)
    n = int(symmetry["n_edges"])
    found = [Agreement(name, symmetry[name], n) for name in ("self_symmetry", "asymmetry_index", "fraction_negative")]
    if fc is not None:
        found.append(Agreement("spearman_ec_fc", *spearman(ec, fc)))
        found.append(Agreement("spearman_undirected_ec_fc", *spearman(symmetric(ec), fc)))
    if sc is not None:
        found.append(Agreement("spearman_ec_sc", *spearman(ec, sc)))
        found.append(Agreement("spearman_ec_sc_connected", *spearman(ec, sc, sc > 0)))
        found.append(Agreement("spearman_undirected_ec_sc", *spearman(symmetric(ec), sc)))
    if fc is not None and sc is not None:
        found.append(Agreement("spearman_fc_sc", *spearman(fc, sc)))
        found.append(Agreement("spearman_fc_sc_connected", *spearman(fc, sc, sc > 0)))
    return found
