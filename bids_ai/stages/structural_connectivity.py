"""Structural connectivity of one diffusion series in one atlas: streamlines and parcels to matrices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Diffusion
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat
from bids_ai.stages.context import Context
from bids_ai.stages.diffusion_images import from_template, image_of, space_of_transform
from bids_ai.stages.inputs import atlas_in_template, atlas_volume, read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions
from bids_ai.stages.tractography import StoredTractogram

if TYPE_CHECKING:
    import pandas as pd

    from bids_ai.connectome.structural import SplitReliability, StructuralConnectome

#: Matrix -> name of its file, measure, description, unit, whether an edge without streamlines has a value.
_MATRICES = {
    "count": ("sc_count", "streamline count", "Streamlines between two regions", "streamlines"),
    "mean_length_mm": ("sc_length", "mean streamline length", "Weighted mean length of the streamlines", "mm"),
    "mean_fa": ("sc_fa", "mean fractional anisotropy", "Weighted mean of FA along the streamlines", "1"),
    "weight": (
        "sc_weight",
        "sum of streamline weights",
        "Sum of weights that make the streamlines fit the fibre densities of the images",
        "arbitrary; not comparable between people without further scaling",
    ),
}


def run(context: Context, dwi: str, atlas: str) -> None:
    """Write parcels and matrices of one series in one atlas."""
    from bids_ai.connectome.reconstruct import matrix_figures
    from bids_ai.connectome.structural import split_reliability, structural_connectome

    entry = context.index.diffusion(dwi)
    stored = StoredTractogram.load(context.tractogram(dwi))
    nodes = read_nodes(context, atlas)
    parcels = _parcels(context, entry, atlas)
    labels = [int(label) for label in nodes["index"]]
    where = (np.asanyarray(parcels.dataobj), parcels.affine, labels)
    radius = context.config.structural_connectivity.search_radius_mm
    made = structural_connectome(
        stored.streamlines, *where, weights=stored.weights, fa=stored.fa, fa_affine=stored.affine, radius_mm=radius
    )
    halves = split_reliability(
        stored.streamlines, *where, seed=context.config.random_seed, weights=stored.weights, radius_mm=radius
    )
    _figures(context, entry, atlas, made, nodes)
    common = _describe(context, entry, atlas, nodes, made, halves) | {"Tracking": stored.figures}
    common["ReconstructionQuality"] = matrix_figures(made, halves)
    names = [str(name) for name in nodes["name"]]
    for field, (key, measure, description, unit) in _MATRICES.items():
        meta = {"RelationshipMeasure": measure, "MeasureDescription": description, "MeasureUnits": unit}
        path = context.names.path(key, dwi=entry.images, atlas=atlas)
        write_relmat(path, getattr(made, field), names, common | meta)


def _parcels(context: Context, entry: Diffusion, atlas: str) -> Any:
    """Write the atlas in the space of the series, and give it."""
    from bids_ai.parcellation.apply import labels_to_native

    target = context.names.path("dwi_parcellation", dwi=entry.images, atlas=atlas)
    transform, reference = from_template(context, entry)
    in_template, method = _in_template(context, entry, atlas)
    labels_to_native(in_template, reference, [transform], target)
    meta = {
        "Manual": False,
        "Method": f"{method} Then moved to the space of the diffusion images by the transform among the sources.",
        "SpatialReference": sources(context, reference)[0],
        "Sources": sources(context, transform),
    }
    write_json(sidecar(target), meta | atlas_identity(context, atlas))
    return nib.Nifti1Image.from_filename(target)


def _in_template(context: Context, entry: Diffusion, atlas: str) -> tuple[Any, str]:
    """Atlas in the template that the series is registered to, and a sentence on how it came there."""
    from bids_ai.parcellation.spaces import bring_to_template

    if entry.engine == "qsiprep":
        # Of the template of another tool no image is at hand: spaces of MNI152 are matched by their coordinates.
        volume, space = atlas_volume(context, atlas), space_of_transform(entry)
        return bring_to_template(volume, None, space, grid=volume.image, cache_dir=context.cache_dir)
    return atlas_in_template(context, atlas)


def _describe(
    context: Context,
    entry: Diffusion,
    atlas: str,
    nodes: pd.DataFrame,
    made: StructuralConnectome,
    halves: SplitReliability,
) -> dict[str, Any]:
    name_of = dict(zip((int(label) for label in nodes["index"]), (str(name) for name in nodes["name"]), strict=True))
    return {
        "Directed": False,
        "NonNegative": True,
        "RegionsWithoutVoxels": [name_of[label] for label in made.missing],
        "RegionsWithoutStreamlines": [name_of[label] for label in made.unreached],
        "NumberOfStreamlines": made.n_streamlines,
        "ShareAssigned": made.assigned,
        "Density": made.density,
        "SplitHalfCorrelation": halves.r,
        "Sources": sources(
            context,
            image_of(context, entry),
            context.names.path("dwi_parcellation", dwi=entry.images, atlas=atlas),
        ),
        "PackageVersions": versions("dipy", "numpy"),
    } | atlas_identity(context, atlas)


def _figures(context: Context, entry: Diffusion, atlas: str, made: StructuralConnectome, nodes: pd.DataFrame) -> None:
    from bids_ai.report.figures.connectome import plot_glass_brain
    from bids_ai.report.figures.matrices import plot_relmat
    from bids_ai.report.figures.structural import plot_against_distance

    def figure(key: str) -> Path:
        return context.names.figure(key, dwi=entry.images, atlas=atlas)

    # Weights span orders of magnitude; on a linear scale all but a few edges would be white.
    shown = np.log10(1 + made.weight / np.nanmedian(made.weight[made.weight > 0])) if made.density else made.weight
    plot_relmat(
        shown,
        nodes,
        figure("sc_figure"),
        title="Structural connectivity",
        label="log10(1 + sum of streamline weights / median of the edges)",
        directed=False,
        diverging=False,
    )
    plot_against_distance(made.weight, made.mean_length_mm, nodes, figure("sc_length_figure"))
    if nodes[["x", "y", "z"]].notna().all(axis=1).any():
        plot_glass_brain(shown, nodes, figure("sc_glass_figure"), title="Strongest connections", directed=False)
