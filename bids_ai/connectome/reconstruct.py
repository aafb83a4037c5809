"""The front door of structural connectivity: from a diffusion series to matrices, in one call.

Orientations (`diffusion_models`), streamlines (`tractography`), their weights (`streamline_weights`) and matrices
(`structural`), in this order and with nothing between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.connectome.diffusion_models import ModelName, Orientations, fit_orientations
from bids_ai.connectome.fixels import find_fixels
from bids_ai.connectome.streamline_weights import StreamlineWeights, fit_weights
from bids_ai.connectome.structural import (
    SEARCH_RADIUS_MM,
    SplitReliability,
    StructuralConnectome,
    split_reliability,
    structural_connectome,
)
from bids_ai.connectome.tracking import track
from bids_ai.connectome.tractography import FibreField, Tracking, TrackingSettings
from bids_ai.errors import InputError

#: White matter below which a voxel's fibres do not count in the weights.
_LEAST_WHITE = 0.1
_TISSUES = ("wm", "gm", "csf")


@dataclass(frozen=True)
class Tractogram:
    """Streamlines with their weights, and all that they were made of.

    Attributes
    ----------
    orientations : Orientations
        FODs, tensor maps, the model and what it costs.
    tracking : Tracking
        Streamlines (world mm), seeds, and what was rejected.
    fit : StreamlineWeights
        One weight per streamline.
    """

    orientations: Orientations
    tracking: Tracking
    fit: StreamlineWeights

    @property
    def figures(self) -> dict[str, Any]:
        """Numbers and words for a sidecar or a report."""
        choice, tracking, fit = self.orientations.choice, self.tracking, self.fit
        return {
            "model": choice.model,
            "harmonic_order": choice.order,
            "reason": choice.reason,
            "costs": list(choice.costs),
            "engine": tracking.engine,
            "algorithm": tracking.settings.algorithm,
            "streamlines": len(tracking.streamlines),
            "seeds": tracking.n_seeds,
            "rejected": dict(tracking.rejected),
            "notes": list(tracking.notes),
            "misfit_before_weights": fit.misfit_before,
            "misfit": fit.misfit,
            "weight_scale": fit.scale,
        }


@dataclass(frozen=True)
class ReconstructedConnectome(StructuralConnectome):
    """Matrices, and all that they were made of.

    Attributes
    ----------
    names : tuple of str
        Of the regions, in the order of the matrices.
    reliability : SplitReliability
        Of the weights, by two halves of the streamlines.
    tractogram : Tractogram
    """

    names: tuple[str, ...]
    reliability: SplitReliability
    tractogram: Tractogram

    @property
    def figures(self) -> dict[str, Any]:
        """Numbers and words for a sidecar or a report."""
        return self.tractogram.figures | matrix_figures(self, self.reliability)


def matrix_figures(made: StructuralConnectome, reliability: SplitReliability) -> dict[str, Any]:
    """Numbers that tell how good a matrix is, for a sidecar or a report."""
    return {
        "density": made.density,
        "assigned": made.assigned,
        "within_one_region": made.within,
        "split_half_r": reliability.r,
        "split_half_r_full": reliability.r_full,
        "split_half_overlap": reliability.overlap,
        "missing_labels": list(made.missing),
        "unreached_labels": list(made.unreached),
    }


def make_tractogram(
    dwi: npt.NDArray[Any],
    bvals: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    tissue: Mapping[str, npt.NDArray[Any]],
    *,
    affine: npt.NDArray[Any],
    seed: int,
    engine: str = "auto",
    settings: TrackingSettings | None = None,
    model: ModelName = "auto",
) -> Tractogram:
    """Model, streamlines and their weights; what does not depend on an atlas. Parameters as `reconstruct`.

    Raises
    ------
    InputError
        If arrays do not belong together, or as the steps say.
    UsageError
        For an engine that cannot run.
    """
    _check_tissue(mask, tissue)
    mask = np.asarray(mask, bool)
    maps = {name: np.clip(np.nan_to_num(np.asarray(tissue[name], float)), 0, 1) for name in _TISSUES}
    found = fit_orientations(dwi, bvals, directions, mask, model=model, probabilities=maps)
    field = FibreField(found.fod, found.order, maps["wm"], maps["gm"], maps["csf"], np.asarray(affine, float))
    tracking = track(field, settings, seed=seed, engine=engine)
    fixels = find_fixels(found.fod, found.order, mask & (maps["wm"] > _LEAST_WHITE))
    return Tractogram(found, tracking, fit_weights(tracking.streamlines, fixels, affine))


def reconstruct(
    dwi: npt.NDArray[Any],
    bvals: npt.NDArray[Any],
    directions: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    tissue: Mapping[str, npt.NDArray[Any]],
    parcels: npt.NDArray[Any],
    names: Sequence[str],
    *,
    affine: npt.NDArray[Any],
    seed: int,
    labels: Sequence[int] | None = None,
    parcels_affine: npt.NDArray[Any] | None = None,
    engine: str = "auto",
    n_streamlines: int = 100_000,
    n_threads: int = 1,
    model: ModelName = "auto",
    settings: TrackingSettings | None = None,
    radius_mm: float = SEARCH_RADIUS_MM,
) -> ReconstructedConnectome:
    """Reconstruct a structural connectome from a preprocessed diffusion series.

    Parameters
    ----------
    dwi : (nx, ny, nz, n_volumes) array
    bvals : (n_volumes,) array
        s/mm2.
    directions : (n_volumes, 3) array
        Unit vectors in world axes (`GradientTable.world`), not those of the bvec file.
    mask : (nx, ny, nz) bool array
        Brain.
    tissue : dict of (nx, ny, nz) arrays
        Parts "wm", "gm", "csf" of every voxel of the series, 0 to 1.
    parcels : int array, 3-D
        Labels; on the grid of the series, or on that of `parcels_affine`.
    names : sequence of str
        Of the regions.
    affine : (4, 4) array
        Voxel to world mm of the series, mask and tissue maps.
    seed : int
    labels : sequence of int, optional
        Label of each region; 1, 2, ... by default.
    parcels_affine : (4, 4) array, optional
    engine : {"auto", "dipy", "mrtrix3"}
    n_streamlines : int
        Ignored with `settings`, as is `n_threads`.
    n_threads : int
    model : {"auto", "multi-tissue-csd", "csd", "tensor"}
    settings : TrackingSettings, optional
    radius_mm : float
        An end belongs to the nearest region within it.

    Returns
    -------
    ReconstructedConnectome
        A `StructuralConnectome` with orientations, streamlines, weights and reliability.

    Raises
    ------
    InputError
        If arrays do not belong together, or as the steps say.
    UsageError
        For an engine that cannot run.
    """
    labels = list(range(1, len(names) + 1)) if labels is None else [int(label) for label in labels]
    if len(names) != len(labels):
        raise InputError(f"{len(names)} names of regions for {len(labels)} labels.")
    made = make_tractogram(
        dwi,
        bvals,
        directions,
        mask,
        tissue,
        affine=affine,
        seed=seed,
        engine=engine,
        settings=settings or TrackingSettings(n_streamlines=n_streamlines, n_threads=n_threads),
        model=model,
    )
    lines, weights = made.tracking.streamlines, made.fit.weights
    where = (parcels, affine if parcels_affine is None else parcels_affine, labels)
    matrices = structural_connectome(
        lines, *where, weights=weights, fa=made.orientations.maps.fa, fa_affine=affine, radius_mm=radius_mm
    )
    halves = split_reliability(lines, *where, seed=seed, weights=weights, radius_mm=radius_mm)
    parts = {field.name: getattr(matrices, field.name) for field in fields(matrices)}
    return ReconstructedConnectome(**parts, names=tuple(names), reliability=halves, tractogram=made)


def _check_tissue(mask: npt.NDArray[Any], tissue: Mapping[str, npt.NDArray[Any]]) -> None:
    absent = [name for name in _TISSUES if name not in tissue]
    if absent:
        raise InputError(f"Tissue maps {', '.join(_TISSUES)} are wanted, got {', '.join(tissue) or 'none'}.")
    shapes = {name: tissue[name].shape for name in _TISSUES}
    if any(shape != mask.shape for shape in shapes.values()):
        raise InputError(f"Tissue maps {shapes} must be on the grid of the mask, {mask.shape}: resample them first.")
