"""Which model a diffusion scan allows, and fibre orientations by it: multi-tissue CSD, CSD, or the tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bids_ai.bids.gradients import B0_LIMIT, count_directions, group_shells
from bids_ai.connectome.deconvolution import deconvolve
from bids_ai.connectome.harmonics import FloatArray, axes_on_sphere, basis, largest_order, n_coefficients
from bids_ai.connectome.responses import Responses, estimate_responses
from bids_ai.connectome.tensor import TensorMaps, fit_tensor, usable_voxels
from bids_ai.errors import InputError

__all__ = ["ModelChoice", "Orientations", "TensorMaps", "choose_model", "fit_orientations", "fit_tensor"]

ModelName = Literal["auto", "multi-tissue-csd", "csd", "tensor"]

#: Order 4 needs 15 directions; with order 2 CSD tells no more than a tensor.
_LEAST_CSD_DIRECTIONS = 15
#: Tournier et al. (2013, doi:10.1002/nbm.3017): from 45 directions on (order 8) nothing is lost at b = 3000, from 28
#: (order 6) little at b = 1000.
_GOOD_DIRECTIONS = 28
#: A shell of fewer directions cannot fix even the mean and the ellipsoid of its signal.
_LEAST_SHELL_DIRECTIONS = 6
#: Below it fibres of different direction give much the same signal, s/mm2.
_GOOD_B = 1000.0
_TENSOR_ORDER = 8
#: Power of the tensor's orientation function: half of the peak is left at 16 degrees for FA = 0.7 and at 28 for
#: FA = 0.45, which is near the 20 degrees of one bundle in harmonics of order 8.
_TENSOR_SHARPNESS = 2


@dataclass(frozen=True)
class ModelChoice:
    """A model, and what it costs.

    Attributes
    ----------
    model : {"multi-tissue-csd", "csd", "tensor"}
    order : int
        Of the spherical harmonics.
    volumes : (n_volumes,) bool array
        Which of the series are used.
    tissues : tuple of {"gm", "csf"}
        Isotropic ones that are fitted beside the fibres.
    reason : str
    costs : tuple of str
        What the scan does not allow, for the report; empty where nothing is lost.
    """

    model: Literal["multi-tissue-csd", "csd", "tensor"]
    order: int
    volumes: npt.NDArray[np.bool_]
    tissues: tuple[str, ...]
    reason: str
    costs: tuple[str, ...]


@dataclass(frozen=True)
class Orientations:
    """Fibre orientations of a scan.

    Attributes
    ----------
    fod : (nx, ny, nz, n_coefficients) array
        Harmonics (see `harmonics`) of the density of fibres over directions, in the axes of the gradients; zero where
        nothing was fitted. By CSD it integrates to the part of the signal that fibres explain, by the tensor to FA.
    order : int
    isotropic : dict of (nx, ny, nz) arrays
        Amounts of grey matter and CSF; empty for the tensor.
    choice : ModelChoice
    maps : TensorMaps
    responses : Responses or None
        None for the tensor.
    """

    fod: FloatArray
    order: int
    isotropic: dict[str, FloatArray]
    choice: ModelChoice
    maps: TensorMaps
    responses: Responses | None


def choose_model(bvals: npt.NDArray[Any], directions: npt.NDArray[Any], model: ModelName = "auto") -> ModelChoice:
    """Choose a model by shells and directions.

    Two or more shells, one of them with 15 directions or more: multi-tissue CSD (fibres, grey matter, CSF). One such
    shell: CSD with CSF, told apart by the unweighted signal. Otherwise, or where most volumes lie on no such shell (a
    Cartesian grid): the tensor.

    Parameters
    ----------
    bvals : (n_volumes,) array
        s/mm2.
    directions : (n_volumes, 3) array
    model : {"auto", "multi-tissue-csd", "csd", "tensor"}

    Returns
    -------
    ModelChoice

    Raises
    ------
    InputError
        For an unknown model, or one that the scan does not allow.
    """
    bvals, directions = np.asarray(bvals, dtype=float), np.asarray(directions, dtype=float)
    unweighted = bvals <= B0_LIMIT
    shells = [(volumes, count_directions(directions[volumes])) for volumes in group_shells(bvals)]
    n_all = count_directions(directions[~unweighted])
    usable = [(volumes, n) for volumes, n in shells if n >= _LEAST_SHELL_DIRECTIONS]
    dense = [(volumes, n) for volumes, n in usable if n >= _LEAST_CSD_DIRECTIONS]
    n_dense = sum(len(volumes) for volumes, _ in dense)
    described = ", ".join(f"{n} at b = {bvals[volumes].mean():.0f}" for volumes, n in shells[:6])
    described += ", ..." if len(shells) > 6 else ""
    is_grid = n_dense < 0.5 * (~unweighted).sum()
    several = bool(dense) and len(usable) > 1 and not is_grid
    if model == "auto":
        model = "multi-tissue-csd" if several else "tensor" if is_grid else "csd"
    if model == "tensor":
        few = f"{n_all} directions ({described})"
        return ModelChoice(
            "tensor", _TENSOR_ORDER, np.ones(len(bvals), bool), (), f"Tensor: {few}.", _tensor_costs(few)
        )
    if model not in ("csd", "multi-tissue-csd"):
        raise InputError(f"Unknown diffusion model {model!r}: use 'auto', 'multi-tissue-csd', 'csd' or 'tensor'.")
    if not dense or (model == "multi-tissue-csd" and len(usable) < 2):
        needed = (
            "a second shell with 6 directions or more" if dense else f"a shell with {_LEAST_CSD_DIRECTIONS} directions"
        )
        raise InputError(f"'{model}' needs {needed}; this scan has {described}. Use 'auto' or 'tensor'.")
    volumes = unweighted.copy()
    # The strongest of the dense shells tells directions apart best.
    main, n_main = dense[-1]
    kept = usable if model == "multi-tissue-csd" else [(main, n_main)]
    for chosen, _ in kept:
        volumes[chosen] = True
    tissues = ("gm", "csf") if model == "multi-tissue-csd" else ("csf",)
    n_best = max(n for _, n in kept)
    costs = _csd_costs(model, n_best, float(bvals[main].mean()))
    reason = f"{'Multi-tissue CSD' if len(tissues) > 1 else 'CSD'}: {described}."
    return ModelChoice(model, largest_order(n_best), volumes, tissues, reason, costs)


def _tensor_costs(few: str) -> tuple[str, ...]:
    return (
        f"{few} allow only a tensor, which has one direction per voxel. Most voxels of white matter hold several "
        "(60 to 90 %: Jeurissen et al. 2013), so that crossing bundles are lost or take false turns: long association "
        "and lateral projections are missing, and the matrix is not comparable with one from CSD.",
    )


def _csd_costs(model: str, n_directions: int, b: float) -> tuple[str, ...]:
    costs = []
    if n_directions < _GOOD_DIRECTIONS:
        costs.append(
            f"{n_directions} directions allow harmonics of order {largest_order(n_directions)} only: bundles that "
            "cross at less than about 60 degrees are not told apart."
        )
    if b < _GOOD_B - 100:
        costs.append(f"b = {b:.0f} s/mm2 is low for deconvolution; crossing bundles are told apart less well.")
    if model == "csd":
        costs.append("One shell tells fibres from CSF but not from grey matter: FODs near the cortex are too large.")
    return tuple(costs)


def fit_orientations(
    data: npt.NDArray[Any],
    bvals: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    *,
    model: ModelName = "auto",
    probabilities: Mapping[str, npt.NDArray[Any]] | None = None,
) -> Orientations:
    """Fit fibre orientations to every voxel of a mask.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
    bvals : (n_volumes,) array
        s/mm2.
    directions : (n_volumes, 3) array
        Unit vectors in world axes.
    mask : (nx, ny, nz) bool array
    model : {"auto", "multi-tissue-csd", "csd", "tensor"}
    probabilities : dict of (nx, ny, nz) arrays, optional
        "wm", "gm", "csf": where response functions are estimated.

    Returns
    -------
    Orientations

    Raises
    ------
    InputError
        As `choose_model`, `fit_tensor` and `estimate_responses`.
    """
    choice = choose_model(bvals, directions, model)
    maps = fit_tensor(data, bvals, directions, mask)
    voxels = usable_voxels(data, bvals, directions, mask)
    fod = np.zeros((*voxels.shape, n_coefficients(choice.order)))
    if choice.model == "tensor":
        fod[voxels] = _tensor_fod(maps.eigenvalues[voxels], maps.eigenvectors[voxels], maps.fa[voxels], choice.order)
        return Orientations(fod, choice.order, {}, choice, maps, None)
    used = choice.volumes
    series, b, axes = data[..., used], np.asarray(bvals)[used], np.asarray(directions)[used]
    responses = estimate_responses(
        series, b, axes, voxels, maps, tissues=choice.tissues, order=choice.order, probabilities=probabilities
    )
    fod[voxels], amounts = deconvolve(series[voxels], b, axes, responses, choice.order)
    isotropic = {tissue: np.zeros(voxels.shape) for tissue in choice.tissues}
    for column, volume in enumerate(isotropic.values()):
        volume[voxels] = amounts[:, column]
    return Orientations(fod, choice.order, isotropic, choice, maps, responses)


def _tensor_fod(values: FloatArray, vectors: FloatArray, fa: FloatArray, order: int) -> FloatArray:
    """Orientation function of a tensor in constant solid angle (Aganj et al. 2010), sharpened; it integrates to FA."""
    axes = axes_on_sphere()
    to_harmonics = np.linalg.pinv(basis(axes, order))
    coefficients = np.empty((len(values), n_coefficients(order)))
    for start in range(0, len(values), 20_000):
        part = slice(start, start + 20_000)
        along = np.einsum("vax,na->vnx", vectors[part], axes)
        inverse = 1 / np.maximum(values[part], 1e-6)
        density = ((along**2 * inverse[:, None, :]).sum(axis=2)) ** (-1.5 * _TENSOR_SHARPNESS)
        density *= fa[part, None] / (4 * np.pi * density.mean(axis=1, keepdims=True))
        coefficients[part] = density @ to_harmonics.T
    return coefficients
