"""Response functions: the signal of one fibre bundle, of grey matter and of CSF, estimated from the scan itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_ai.bids.gradients import B0_LIMIT, group_shells
from bids_ai.connectome.harmonics import FloatArray, zonal
from bids_ai.connectome.tensor import TensorMaps
from bids_ai.errors import InputError

#: Voxels per response: Tournier et al. (2013, doi:10.1002/nbm.3017) use 300.
_VOXELS = 300
_LEAST_VOXELS = 20
#: What a map must say for a voxel to stand for its tissue.
_PURE = 0.95
#: FA above which a voxel can be one bundle, and below which it can be grey matter (Jeurissen et al. 2014).
_FIBRE_FA, _ISOTROPIC_FA = 0.4, 0.2
#: MD of grey matter is 0.8e-3 to 0.9e-3 mm2/s.
_GREY_MD = (0.6e-3, 1.2e-3)
#: MD of CSF is 3e-3 mm2/s; two thirds of it is mostly CSF. Above b = 1500 CSF is down to the noise, and seems slower.
_CSF_MD, _CSF_MD_HIGH_B, _HIGH_B = 2.0e-3, 1.2e-3, 1500.0


@dataclass(frozen=True)
class Responses:
    """Responses per shell, in units of the signal.

    Attributes
    ----------
    bvals : (n_shells,) array
        Mean b-value, s/mm2; the first is that of the unweighted volumes.
    fibre : (n_shells, order / 2 + 1) array
        Zonal harmonics of one bundle along z.
    isotropic : dict of (n_shells,) arrays
        Mean signal by tissue, "gm" or "csf".
    n_voxels : dict
        By tissue, "wm" being the fibre.
    notes : tuple of str
    """

    bvals: FloatArray
    fibre: FloatArray
    isotropic: dict[str, FloatArray]
    n_voxels: dict[str, int]
    notes: tuple[str, ...]


def volumes_by_shell(bvals: npt.NDArray[Any]) -> list[npt.NDArray[np.intp]]:
    """Unweighted volumes first, then each shell."""
    return [np.flatnonzero(np.asarray(bvals) <= B0_LIMIT), *group_shells(bvals)]


def estimate_responses(
    data: npt.NDArray[Any],
    bvals: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    maps: TensorMaps,
    *,
    tissues: tuple[str, ...],
    order: int,
    probabilities: Mapping[str, npt.NDArray[Any]] | None = None,
) -> Responses:
    """Estimate the response of one bundle and of isotropic tissues.

    The fibre response is a least-squares fit of zonal harmonics to the voxels of highest FA, each turned to its own
    principal direction; the others are means over voxels that are surely grey matter or CSF.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
    bvals : (n_volumes,) array
        s/mm2.
    directions : (n_volumes, 3) array
        World axes, as those of `maps`.
    mask : (nx, ny, nz) bool array
    maps : TensorMaps
    tissues : tuple of {"gm", "csf"}
        Isotropic tissues to estimate.
    order : int
        Of the harmonics.
    probabilities : dict of (nx, ny, nz) arrays, optional
        "wm", "gm", "csf" on the same grid. Without them FA and MD choose the voxels.

    Returns
    -------
    Responses

    Raises
    ------
    InputError
        If fewer than 20 voxels stand for a tissue.
    """
    inner = ndimage.binary_erosion(mask, iterations=2)
    usable = (inner if inner.sum() > 10 * _VOXELS else np.asarray(mask, bool)) & np.isfinite(maps.fa)
    chosen = {"wm": _most(maps.fa, usable & (maps.fa > _FIBRE_FA) & _pure(probabilities, "wm", usable))}
    notes: list[str] = []
    for tissue in tissues:
        candidates = usable & (
            _looks_like(tissue, maps) if probabilities is None else _pure(probabilities, tissue, usable)
        )
        chosen[tissue] = _most(maps.md if tissue == "csf" else -maps.fa, candidates)
    for tissue, voxels in chosen.items():
        if voxels.sum() < _LEAST_VOXELS:
            raise InputError(
                f"Only {int(voxels.sum())} voxels can stand for '{tissue}'; at least {_LEAST_VOXELS} are needed for a "
                "response function. Check mask, tissue maps and gradient table, or use the tensor."
            )
    if probabilities is None:
        notes.append("Voxels of the response functions were chosen by FA and MD alone, without tissue maps.")
    shells = volumes_by_shell(bvals)
    fibre = _fibre_response(data[chosen["wm"]], directions, maps.direction[chosen["wm"]], shells, order)
    isotropic = {
        tissue: np.array([float(data[chosen[tissue]][:, volumes].mean()) for volumes in shells]) for tissue in tissues
    }
    b = np.array([float(np.asarray(bvals)[volumes].mean()) for volumes in shells])
    return Responses(b, fibre, isotropic, {key: int(value.sum()) for key, value in chosen.items()}, tuple(notes))


def _fibre_response(
    signal: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    axes: FloatArray,
    shells: list[npt.NDArray[np.intp]],
    order: int,
) -> FloatArray:
    response = np.zeros((len(shells), order // 2 + 1))
    response[0, 0] = float(signal[:, shells[0]].mean()) * np.sqrt(4 * np.pi)
    for row, volumes in enumerate(shells[1:], start=1):
        cosines = np.clip(axes @ np.asarray(directions)[volumes].T, -1, 1)
        response[row] = np.linalg.lstsq(zonal(cosines.ravel(), order), signal[:, volumes].ravel(), rcond=None)[0]
    return response


def _most(values: FloatArray, candidates: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the `_VOXELS` candidates of largest value."""
    found = np.zeros(candidates.shape, bool)
    index = np.flatnonzero(candidates)
    found.flat[index[np.argsort(values.flat[index])[::-1][:_VOXELS]]] = True
    return found


def _pure(
    probabilities: Mapping[str, npt.NDArray[Any]] | None, tissue: str, usable: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    return usable if probabilities is None else np.asarray(probabilities[tissue] > _PURE)


def _looks_like(tissue: str, maps: TensorMaps) -> npt.NDArray[np.bool_]:
    if tissue == "csf":
        return np.asarray(maps.md > (_CSF_MD if maps.largest_b <= _HIGH_B else _CSF_MD_HIGH_B))
    return np.asarray((maps.fa < _ISOTROPIC_FA) & (maps.md > _GREY_MD[0]) & (maps.md < _GREY_MD[1]))
