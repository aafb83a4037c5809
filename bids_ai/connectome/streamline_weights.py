"""Weights of streamlines, so that together they explain the fibre densities of the scan.

The number of streamlines says how easy a bundle is to track: long, straight and central ones get too many. As in SIFT2
(Smith et al. 2015, doi:10.1016/j.neuroimage.2015.06.092) each streamline gets a weight such that the weighted length in
every fixel matches its fibre density. The fit here is linear and non-negative, as in LiFE (Pestilli et al. 2014,
doi:10.1038/nmeth.3098) and COMMIT (Daducci et al. 2015, doi:10.1109/TMI.2014.2352414), with a ridge that draws the
weights to a common value, since many streamlines share their fixels and could not be told apart otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from bids_ai.connectome.fixels import Fixels, fixel_of
from bids_ai.connectome.streamlines import FloatArray, Streamlines, to_voxels
from bids_ai.errors import InputError

#: A streamline belongs to a fixel within this angle, as in SIFT.
_LARGEST_ANGLE_DEG = 45.0
#: Strength of the ridge, part of the mean of the normal matrix' diagonal: the densities along a streamline count ten
#: times as much as the common value.
REGULARISATION = 0.1
_ITERATIONS = 300
#: Stop when an iteration changes the weights by less than that part.
_TOLERANCE = 1e-4
_STREAMLINES_AT_ONCE = 20_000


@dataclass(frozen=True)
class StreamlineWeights:
    """Weights and how well they explain the densities.

    Attributes
    ----------
    weights : (n_streamlines,) array
        At least 0; 1 is what every streamline would have if all were alike.
    scale : float
        Fibre density times mm2 that a weight of 1 stands for: `scale` times a sum of weights compares subjects whose
        responses are the same (mu of SIFT2).
    misfit_before, misfit : float
        Root mean square difference of weighted lengths and densities, part of the densities' root mean square, with
        equal weights and with these; fixels that streamlines cross only.
    crossed : float
        Part of all fibre density that lies in such fixels.
    n_iterations : int
    """

    weights: FloatArray
    scale: float
    misfit_before: float
    misfit: float
    crossed: float
    n_iterations: int


def lengths_in_fixels(lines: Streamlines, fixels: Fixels, affine: npt.NDArray[Any]) -> sparse.csc_matrix:
    """Length (mm) that every streamline runs in every fixel, sparse (n_fixels, n_streamlines)."""
    least = np.cos(np.deg2rad(_LARGEST_ANGLE_DEG))
    upper = np.array(fixels.count.shape) - 1
    columns = []
    for part in lines.chunks(_STREAMLINES_AT_ONCE):
        steps, lengths, owner = part.segments()
        voxels = np.round(to_voxels(part.midpoints(), affine)).astype(np.int32)
        usable = np.flatnonzero(((voxels >= 0) & (voxels <= upper)).all(axis=1) & (lengths > 0))
        tangents = steps[usable] / lengths[usable, None]
        fixel = fixel_of(fixels, voxels[usable], tangents, float(least))
        hit = fixel >= 0
        entries = (lengths[usable][hit].astype(np.float32), (fixel[hit], owner[usable][hit]))
        columns.append(sparse.coo_matrix(entries, shape=(len(fixels), len(part))).tocsc())
    return sparse.hstack(columns, format="csc") if columns else sparse.csc_matrix((len(fixels), 0))


def fit_weights(
    lines: Streamlines, fixels: Fixels, affine: npt.NDArray[Any], *, regularisation: float = REGULARISATION
) -> StreamlineWeights:
    """Fit a weight per streamline to the densities of the fixels that streamlines cross.

    Minimises |scale A w - d|^2 + r |w - 1|^2 over w >= 0, with A the lengths in fixels, d densities, by accelerated
    projected gradients (Beck & Teboulle 2009, doi:10.1137/080716542).

    Parameters
    ----------
    lines : Streamlines
    fixels : Fixels
        On the grid of `affine`, directions in world axes.
    affine : (4, 4) array
    regularisation : float
        r, in units of the mean diagonal of the normal matrix.

    Returns
    -------
    StreamlineWeights

    Raises
    ------
    InputError
        If no streamline runs along a fixel, or the regularisation is not above zero.
    """
    if not regularisation > 0:
        raise InputError(
            f"The regularisation must be above 0, got {regularisation}: weights are not unique without it."
        )
    matrix = lengths_in_fixels(lines, fixels, affine)
    equal = np.asarray(matrix.sum(axis=1)).ravel()
    crossed = np.flatnonzero(equal > 0)
    if not len(crossed):
        raise InputError(
            f"None of {len(lines)} streamlines runs along any of {len(fixels)} fixels: tractogram and diffusion images "
            "do not overlap, or directions are in other axes."
        )
    density = fixels.density[crossed]
    scale = float(density @ equal[crossed] / (equal[crossed] @ equal[crossed]))
    matrix = sparse.csr_matrix(matrix[crossed]) * scale
    transposed = sparse.csr_matrix(matrix.T)
    ridge = regularisation * float(matrix.multiply(matrix).sum()) / max(len(lines), 1)
    bound = _largest_eigenvalue(matrix, transposed) + ridge
    weights = momentum = np.ones(len(lines))
    pace, n_iterations = 1.0, 0
    while n_iterations < _ITERATIONS:
        n_iterations += 1
        gradient = transposed @ (matrix @ momentum - density) + ridge * (momentum - 1)
        updated = np.maximum(momentum - gradient / bound, 0)
        if gradient @ (updated - weights) > 0:  # momentum points uphill: start it anew (O'Donoghue & Candes 2015)
            pace = 1.0
        following = (1 + np.sqrt(1 + 4 * pace**2)) / 2
        momentum = updated + (pace - 1) / following * (updated - weights)
        change = float(np.linalg.norm(updated - weights)) / max(float(np.linalg.norm(updated)), 1e-12)
        weights, pace = updated, following
        if change < _TOLERANCE:
            break

    def misfit(values: FloatArray) -> float:
        return float(np.linalg.norm(matrix @ values - density) / np.linalg.norm(density))

    share = float(density.sum() / fixels.density.sum())
    return StreamlineWeights(weights, scale, misfit(np.ones(len(lines))), misfit(weights), share, n_iterations)


def _largest_eigenvalue(matrix: Any, transposed: Any) -> float:
    """Bound of the largest eigenvalue of the normal matrix, by its largest row sum (all entries are positive)."""
    ones = np.ones(matrix.shape[1])
    return float(np.max(transposed @ (matrix @ ones)))
