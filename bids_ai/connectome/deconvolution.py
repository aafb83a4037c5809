"""Constrained spherical deconvolution of all voxels at once, for any number of shells and tissues.

The orientation distribution (FOD) and the amounts of isotropic tissue are the least-squares fit that is nowhere
negative: Tournier et al. (2007, doi:10.1016/j.neuroimage.2007.02.016), with a hard constraint and several tissues as in
Jeurissen et al. (2014, doi:10.1016/j.neuroimage.2014.07.061). All voxels share one matrix, so that one factorisation
serves them all in the alternating direction method of multipliers (Boyd et al. 2011, doi:10.1561/2200000016).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.bids.gradients import B0_LIMIT
from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis, n_coefficients, orders
from bids_ai.connectome.responses import Responses, volumes_by_shell

_ITERATIONS = 400
#: Stop when constraint and solution differ by less than that part of the FOD of one bundle.
_TOLERANCE = 1e-3
#: Over-relaxation, Boyd et al. section 3.4.3.
_RELAXATION = 1.6
#: Keeps the problem well posed where the kernel has next to nothing at high orders; part of its mean diagonal.
_RIDGE = 1e-5
#: Few enough for the processor's cache.
_VOXELS_AT_ONCE = 2_000


def design_matrix(
    bvals: npt.NDArray[Any], directions: npt.NDArray[Any], responses: Responses, order: int
) -> FloatArray:
    """Signal of every unknown, (n_volumes, n_tissues + n_coefficients), in units of the fibre's unweighted signal.

    Isotropic tissues first, in the order of `responses.isotropic`. An FOD that integrates to 1 is one pure bundle.
    """
    degrees = orders(order)
    values = basis(np.where(np.asarray(bvals)[:, None] > B0_LIMIT, directions, [0.0, 0.0, 1.0]), order)
    matrix = np.zeros((len(values), len(responses.isotropic) + len(degrees)))
    for row, volumes in enumerate(volumes_by_shell(bvals)):
        # Convolution on the sphere: Healy et al. 1998; only l = 0 is left where nothing is weighted.
        kernel = np.sqrt(4 * np.pi / (2 * degrees + 1)) * responses.fibre[row][degrees // 2]
        matrix[volumes, len(responses.isotropic) :] = values[volumes] * kernel
        for column, amounts in enumerate(responses.isotropic.values()):
            matrix[volumes, column] = amounts[row]
    return matrix / fibre_s0(responses)


def fibre_s0(responses: Responses) -> float:
    """Unweighted signal of one bundle."""
    return float(responses.fibre[0, 0] / np.sqrt(4 * np.pi))


def deconvolve(
    signal: npt.NDArray[Any],
    bvals: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    responses: Responses,
    order: int,
) -> tuple[FloatArray, FloatArray]:
    """Deconvolve signals of shape (n_voxels, n_volumes).

    Returns
    -------
    fod : (n_voxels, n_coefficients) array
        Harmonics of the FOD; it integrates to the part of the signal that fibres explain.
    isotropic : (n_voxels, n_tissues) array
        Amounts, in the same unit.
    """
    matrix = design_matrix(bvals, directions, responses, order)
    n_tissues = matrix.shape[1] - n_coefficients(order)
    limits = np.zeros((n_tissues + len(axes_on_sphere()), matrix.shape[1]))
    limits[:n_tissues, :n_tissues] = np.eye(n_tissues)
    limits[n_tissues:, n_tissues:] = basis(axes_on_sphere(), order)
    found = np.empty((len(signal), matrix.shape[1]))
    scale = fibre_s0(responses)
    for start in range(0, len(signal), _VOXELS_AT_ONCE):
        part = slice(start, start + _VOXELS_AT_ONCE)
        found[part] = constrained_least_squares(
            matrix, np.asarray(signal[part], dtype=float) / scale, limits, np.float32
        )
    return found[:, n_tissues:], np.maximum(found[:, :n_tissues], 0)


def constrained_least_squares(
    matrix: FloatArray, targets: FloatArray, limits: FloatArray, precision: npt.DTypeLike = np.float64
) -> FloatArray:
    """Minimise |matrix x - target|^2 with limits x >= 0 for many targets, shape (n_targets, n_rows).

    The iterations are done in `precision`: single is twice as fast, and errs far less than they stop short of.

    Returns
    -------
    (n_targets, n_columns) array
    """
    square = matrix.T @ matrix
    square += _RIDGE * np.trace(square) / len(square) * np.eye(len(square))
    penalty = limits.T @ limits
    rho = np.trace(square) / np.trace(penalty)
    inverse = np.linalg.inv(square + rho * penalty).astype(precision)
    correlated = (targets @ matrix).astype(precision)
    limits, rho = limits.astype(precision), np.dtype(precision).type(rho)
    scaled = np.zeros((len(targets), len(limits)), precision)
    slack = np.zeros_like(scaled)
    solution = np.zeros((len(targets), matrix.shape[1]), precision)
    active = np.arange(len(targets))
    for iteration in range(_ITERATIONS):
        step = (correlated[active] + rho * (slack[active] - scaled[active]) @ limits) @ inverse
        values = step @ limits.T
        relaxed = _RELAXATION * values + (1 - _RELAXATION) * slack[active] + scaled[active]
        projected = np.maximum(relaxed, 0)
        moved = np.abs(projected - slack[active]).max(axis=1)
        apart = np.abs(values - projected).max(axis=1)
        slack[active], scaled[active], solution[active] = projected, relaxed - projected, step
        if iteration % 10 == 9:
            active = active[np.maximum(moved, apart) > _TOLERANCE]
            if not len(active):
                break
    return solution
