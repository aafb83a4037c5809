"""The diffusion tensor: FA, MD, AD, RD and the principal direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.bids.gradients import B0_LIMIT, count_directions
from bids_ai.connectome.harmonics import FloatArray
from bids_ai.errors import InputError

#: Beyond it the signal decays less than a tensor says (Jensen & Helpern 2010, doi:10.1002/nbm.1518), s/mm2.
_LARGEST_B = 1500.0
#: Unknowns of a tensor.
LEAST_DIRECTIONS = 6


@dataclass(frozen=True)
class TensorMaps:
    """Maps of a tensor fit, (nx, ny, nz); NaN where nothing was fitted.

    Attributes
    ----------
    fa : array
        Fractional anisotropy, 0 to 1.
    md, ad, rd : array
        Mean, axial and radial diffusivity, mm2/s.
    direction : (nx, ny, nz, 3) array
        Principal direction, unit vector in the axes of the gradients given.
    eigenvalues : (nx, ny, nz, 3) array
        Falling, mm2/s.
    eigenvectors : (nx, ny, nz, 3, 3) array
        Column k belongs to eigenvalue k.
    largest_b : float
        Of the volumes used, s/mm2.
    """

    fa: FloatArray
    md: FloatArray
    ad: FloatArray
    rd: FloatArray
    direction: FloatArray
    eigenvalues: FloatArray
    eigenvectors: FloatArray
    largest_b: float


def tensor_volumes(bvals: npt.NDArray[Any], directions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Volumes for a tensor fit: up to 1500 s/mm2 where these have six directions, else all."""
    bvals = np.asarray(bvals, dtype=float)
    low = bvals <= _LARGEST_B
    enough = count_directions(np.asarray(directions)[low & (bvals > B0_LIMIT)]) >= LEAST_DIRECTIONS
    return low if enough else np.ones(len(bvals), bool)


def fit_tensor(
    data: npt.NDArray[Any], bvals: npt.NDArray[Any], directions: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> TensorMaps:
    """Fit a tensor to every voxel of a mask by weighted least squares (Chung et al. 2006), with dipy.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
    bvals : (n_volumes,) array
        s/mm2.
    directions : (n_volumes, 3) array
        Unit vectors; in world axes for a principal direction in world axes.
    mask : (nx, ny, nz) bool array

    Returns
    -------
    TensorMaps
        NaN outside the mask, and where a volume is not finite or no unweighted signal is above zero.

    Raises
    ------
    InputError
        If shapes disagree, fewer than six directions are given, or no voxel is left.
    """
    from dipy.core.gradients import gradient_table
    from dipy.reconst.dti import TensorModel

    voxels = usable_voxels(data, bvals, directions, mask)
    used = tensor_volumes(bvals, directions)
    n_directions = count_directions(np.asarray(directions)[used & (np.asarray(bvals) > B0_LIMIT)])
    if n_directions < LEAST_DIRECTIONS:
        raise InputError(f"A tensor needs {LEAST_DIRECTIONS} distinct directions, got {n_directions}.")
    vectors = np.where(np.asarray(bvals)[used, None] > B0_LIMIT, np.asarray(directions)[used], 0.0)
    gradients = gradient_table(np.asarray(bvals)[used], bvecs=vectors, b0_threshold=B0_LIMIT)
    fit = TensorModel(gradients, fit_method="WLS").fit(np.asarray(data[voxels][:, used], dtype=np.float64))

    def whole(values: npt.NDArray[Any]) -> FloatArray:
        volume = np.full((*voxels.shape, *values.shape[1:]), np.nan)
        volume[voxels] = values
        return volume

    return TensorMaps(
        fa=whole(fit.fa),
        md=whole(fit.md),
        ad=whole(fit.ad),
        rd=whole(fit.rd),
        direction=whole(fit.evecs[..., 0]),
        eigenvalues=whole(fit.evals),
        eigenvectors=whole(fit.evecs),
        largest_b=float(np.asarray(bvals)[used].max()),
    )


def usable_voxels(
    data: npt.NDArray[Any], bvals: npt.NDArray[Any], directions: npt.NDArray[Any], mask: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Voxels of the mask whose volumes are all finite and whose unweighted signal is above zero.

    Raises
    ------
    InputError
        If shapes disagree or no voxel is left.
    """
    bvals, directions, mask = np.asarray(bvals), np.asarray(directions), np.asarray(mask, bool)
    if data.shape != (*mask.shape, len(bvals)) or directions.shape != (len(bvals), 3):
        raise InputError(
            f"Data {data.shape}, mask {mask.shape}, {len(bvals)} b-values and directions {directions.shape} do not "
            "belong together: expected (nx, ny, nz, n), (nx, ny, nz), n and (n, 3)."
        )
    if not (bvals <= B0_LIMIT).any():
        raise InputError("No unweighted volume: the signal without weighting is needed.")
    voxels = mask.copy()
    inside = data[mask]
    voxels[mask] = np.isfinite(inside).all(axis=1) & (inside[:, bvals <= B0_LIMIT].mean(axis=1) > 0)
    if not voxels.any():
        raise InputError(f"None of the {int(mask.sum())} voxels of the mask has finite, positive signal.")
    return voxels
