"""What a diffusion-weighted volume should look like, from all the others.

Contrast changes from volume to volume, so that no one image can serve as the target of a registration. Each volume is
predicted from the others of its shell by regularised spherical harmonics (Descoteaux et al. 2007,
doi:10.1002/mrm.21277), as eddy does with a Gaussian process (Andersson & Sotiropoulos 2015,
doi:10.1016/j.neuroimage.2015.07.067). The volume itself is left out, in closed form, lest its own position be its
target. How smooth the signal is over directions is not set but chosen: the order and the weight of the penalty that
predict volumes left out best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.gradients import GradientTable
from bids_ai.connectome.harmonics import basis, largest_order, orders

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

#: Penalties that are tried, on l^2 (l + 1)^2 of the coefficients; 0.006 is that of Descoteaux et al. 2007.
PENALTIES = (0.001, 0.006, 0.03, 0.15, 0.8)
ORDERS = (0, 2, 4, 6)
#: Fewer directions on a shell do not tell its shape; such volumes are predicted by a tensor over all b-values.
LEAST_DIRECTIONS = 6
#: A tensor with a mean kurtosis has eight unknowns; with fewer volumes than this, the mean of the others must do.
_LEAST_VOLUMES = 12
#: A volume that others hardly constrain cannot be predicted from them.
_LARGEST_LEVERAGE = 0.98


@dataclass(frozen=True)
class Smoother:
    """Linear prediction of volumes from others.

    Attributes
    ----------
    volumes : (n,) int array
        Which volumes of the series are predicted.
    sources : (m,) int array
        From which.
    weights : (n, m) array
        Row i predicts the i-th of `volumes`; the weight of the volume itself is zero.
    logarithm : bool
        Whether logarithms of the signal are predicted.
    name : str
        For the report.
    """

    volumes: NDArray[np.intp]
    sources: NDArray[np.intp]
    weights: FloatArray
    logarithm: bool
    name: str

    def __call__(self, signal: NDArray[Any]) -> NDArray[np.float32]:
        """Predict from the whole series, (n_volumes, n_voxels): (n, n_voxels)."""
        weights, signal = self.weights.astype(np.float32), np.asarray(signal[self.sources], np.float32)
        if not self.logarithm:
            return np.asarray(np.maximum(weights @ signal, 0))
        floor = max(float(np.median(signal)) * 1e-3, 1e-6)
        return np.asarray(np.exp(weights @ np.log(np.maximum(signal, floor))))


def smoothers(table: GradientTable, signal: NDArray[Any]) -> list[Smoother]:
    """Find how the volumes of a series are best predicted from each other.

    Parameters
    ----------
    table : GradientTable
        Directions as the head was under them.
    signal : (n_volumes, n_voxels) array
        Of the brain, volumes aligned as well as is known; by it order and penalty are chosen.

    Returns
    -------
    list of Smoother
        One for the b0 volumes where there are three or more, one per shell, one for all volumes on shells too small.
        A volume that nothing predicts is in none of them.
    """
    found = []
    unweighted = np.flatnonzero(table.unweighted)
    if len(unweighted) > 2:
        found.append(_mean_of_others(unweighted, "mean of the other b0 volumes"))
    rest: list[int] = []
    for shell in table.shells:
        if shell.n_directions >= LEAST_DIRECTIONS:
            found.append(_harmonic(table, shell.volumes, signal[shell.volumes]))
        else:
            rest.extend(shell.volumes)
    weighted = np.flatnonzero(~table.unweighted)
    if len(rest) > 0 and table.n_directions >= LEAST_DIRECTIONS and len(weighted) >= _LEAST_VOLUMES:
        found.append(_tensor(table, np.sort(rest)))
    elif len(rest) > 2:
        found.append(_mean_of_others(np.sort(rest), "mean of the other volumes"))
    return found


def predictions(chosen: list[Smoother], signal: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (volume, prediction of shape (n_voxels,)) of every volume that can be predicted."""
    for smoother in chosen:
        for volume, values in zip(smoother.volumes, smoother(signal), strict=True):
            yield int(volume), values


def _mean_of_others(volumes: NDArray[np.intp], name: str) -> Smoother:
    n = len(volumes)
    return Smoother(volumes, volumes, (np.ones((n, n)) - np.eye(n)) / (n - 1), False, name)


def _left_out(hat: FloatArray) -> FloatArray:
    """Weights that predict each row without itself, from a hat matrix: the closed form of leave-one-out."""
    leverage = np.minimum(np.diag(hat), _LARGEST_LEVERAGE)
    return (hat - np.diag(np.diag(hat))) / (1 - leverage)[:, None]


def _harmonic(table: GradientTable, volumes: NDArray[np.intp], signal: NDArray[Any]) -> Smoother:
    directions = table.bvecs[volumes]
    gram = np.asarray(signal, np.float64) @ np.asarray(signal, np.float64).T
    best: tuple[float, FloatArray, str] | None = None
    highest = largest_order(len(volumes), at_most=max(ORDERS))
    for order, penalty in product([order for order in ORDERS if order <= highest], PENALTIES):
        design, degree = basis(directions, order), orders(order)
        roughness = np.diag((degree * (degree + 1.0)) ** 2)
        # The rows of the design have a sum of squares of n / 4 pi each: the penalty counts per direction.
        hat = design @ np.linalg.solve(design.T @ design + penalty * roughness, design.T)
        weights = _left_out(hat)
        residual = np.eye(len(volumes)) - weights
        error = float(np.einsum("ij,jk,ik->", residual, gram, residual))
        if best is None or error < best[0]:
            best = (error, weights, f"spherical harmonics of order {order}, penalty {penalty:g}")
    assert best is not None
    return Smoother(volumes, volumes, best[1], False, best[2])


def _tensor(table: GradientTable, wanted: NDArray[np.intp]) -> Smoother:
    """Tensor and mean kurtosis (Jensen & Helpern 2010, doi:10.1002/nbm.1518) over all volumes, in logarithms."""
    b, (x, y, z) = table.bvals / 1000, table.bvecs.T
    terms = [x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z, -b]
    design = np.column_stack([*(-b * term for term in terms), np.ones_like(b)])
    # Logarithms of weak signals are noisy: each volume counts by what is left at a diffusivity of 0.7e-3 mm2/s.
    weight = np.exp(-0.7 * b)[:, None]
    ridge = 1e-6 * np.eye(design.shape[1])
    hat = design @ np.linalg.solve((design * weight).T @ (design * weight) + ridge, (design * weight**2).T)
    return Smoother(wanted, np.arange(len(b)), _left_out(hat)[wanted], True, "tensor with mean kurtosis")
