"""Taking out what region series share without delay because they were recorded together (source leakage)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]

_MAX_ITERATIONS, _TOLERANCE = 200, 1e-9
#: Singular values below this share of the largest are rounding: the series are not independent.
_RANK_TOLERANCE = 1e-6


def symmetric_orthogonalisation(series: Array) -> Array:
    """The orthogonal series nearest to the given ones.

    No region comes first: all are turned by as little as makes them orthogonal at zero lag, with amplitudes that are
    fitted in turn with the directions.

    Parameters
    ----------
    series : array, shape (n_times, n_regions)
        Band-passed; without NaN.

    Returns
    -------
    array, shape (n_times, n_regions)

    Raises
    ------
    InputError
        When the series are not linearly independent: no more regions can be orthogonal than there are independent
        channels (good ones less the reference and the components that were removed).

    References
    ----------
    Colclough et al. 2015, doi:10.1016/j.neuroimage.2015.03.071
    """
    if series.ndim != 2 or np.isnan(series).any():
        raise InputError(f"Orthogonalisation wants (n_times, n_regions) without NaN, got shape {series.shape}.")
    # All that is needed lies in the covariance: the series are mixed once, at the end.
    gram = series.T @ series
    scale = np.sqrt(np.diag(gram))
    if not (scale > 0.0).all():
        raise InputError("Orthogonalisation wants series that vary; leave constant regions out.")
    values = np.linalg.eigvalsh(gram / np.outer(scale, scale))
    rank = int((values > _RANK_TOLERANCE**2 * max(values[-1], 1.0) * len(values)).sum())
    rank = min(rank, int((np.sqrt(np.maximum(values, 0.0)) > _RANK_TOLERANCE * np.sqrt(values[-1])).sum()))
    if rank < len(values):
        raise InputError(
            f"{len(values)} regions have {rank} independent series and cannot be made orthogonal together; use fewer "
            "regions, or pairwise orthogonalisation."
        )
    amplitude = scale.copy()
    for _ in range(_MAX_ITERATIONS):
        # The orthonormal Q nearest to S D is S D (D S'S D)^(-1/2).
        mixing = amplitude[:, None] * _inverse_root(gram * np.outer(amplitude, amplitude))
        renewed = np.einsum("ij,ij->j", gram, mixing)
        change = np.abs(renewed - amplitude).max() / amplitude.max()
        amplitude = renewed
        if change < _TOLERANCE:
            break
    orthogonal: Array = series @ (mixing * amplitude)
    return orthogonal


def _inverse_root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.maximum(values, np.finfo(float).tiny) ** -0.5) @ vectors.T
    return root
