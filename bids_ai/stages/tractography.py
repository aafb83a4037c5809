"""Tractography of one diffusion series: fibre orientations, streamlines and their weights, for every atlas."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_ai.bids.files import atomic, write_json
from bids_ai.bids.index import Diffusion
from bids_ai.bids.names import sidecar
from bids_ai.stages.context import Context
from bids_ai.stages.diffusion_images import DiffusionImages, image_of, load_diffusion
from bids_ai.stages.sidecars import sources, versions

if TYPE_CHECKING:
    from bids_ai.connectome.reconstruct import Tractogram
    from bids_ai.connectome.streamlines import Streamlines


@dataclass(frozen=True)
class StoredTractogram:
    """What the job of the tractography leaves in the work folder.

    Attributes
    ----------
    streamlines : Streamlines
        World mm of the images of the series.
    weights : (n_streamlines,) array
    fa : (nx, ny, nz) array
    affine : (4, 4) array
        Voxel to world of `fa`.
    figures : dict
        Numbers and words on how it came about.
    """

    streamlines: Streamlines
    weights: np.ndarray
    fa: np.ndarray
    affine: np.ndarray
    figures: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> StoredTractogram:
        """Read a file of :func:`store`."""
        from bids_ai.connectome.streamlines import Streamlines

        with np.load(path) as stored:
            lines = Streamlines(stored["points"], stored["offsets"])
            figures = json.loads(str(stored["figures"]))
            return cls(lines, stored["weights"], stored["fa"], stored["affine"], figures)


def store(made: Tractogram, affine: np.ndarray, path: Path) -> None:
    """Write streamlines, weights and FA map to one file of the work folder."""
    lines = made.tracking.streamlines
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        np.savez(
            temporary,
            points=lines.points,
            offsets=lines.offsets,
            weights=made.fit.weights,
            fa=made.orientations.maps.fa.astype(np.float32),
            affine=affine,
            figures=json.dumps(made.figures, default=float),
        )


def run(context: Context, dwi: str) -> None:
    """Track one series; streamlines go to the work folder, and to the output folder where they are asked for."""
    from bids_ai.connectome.reconstruct import make_tractogram
    from bids_ai.connectome.tractography import TrackingSettings

    entry = context.index.diffusion(dwi)
    images = load_diffusion(context, entry)
    affine = images.image.affine
    settings = context.config.structural_connectivity
    made = make_tractogram(
        images.image.get_fdata(dtype=np.float32),
        images.gradients.bvals,
        images.gradients.world(affine),
        images.mask,
        images.tissue,
        affine=affine,
        seed=context.config.random_seed,
        engine=settings.engine,
        settings=TrackingSettings(
            algorithm=settings.algorithm,
            n_streamlines=settings.streamlines,
            min_length_mm=settings.min_length_mm,
            max_length_mm=settings.max_length_mm,
            n_threads=int(os.environ.get("OMP_NUM_THREADS", "1")),
        ),
    )
    if settings.save_tractogram:
        _publish(context, entry, made)
    _figures(context, entry, images, made)
    store(made, affine, context.tractogram(dwi))


def _publish(context: Context, entry: Diffusion, made: Tractogram) -> None:
    target = context.names.path("tractogram", dwi=entry.images)
    lines = made.tracking.streamlines
    parts = np.split(lines.points, lines.offsets[1:-1])
    tractogram = nib.streamlines.Tractogram(parts, affine_to_rasmm=np.eye(4))
    meta = {
        "Sources": sources(context, image_of(context, entry)),
        "Description": "Streamlines in mm RAS of the images of the series",
        "PackageVersions": versions("dipy"),
    }
    write_json(sidecar(target), meta | {"Tracking": made.figures})
    with atomic(target) as temporary:
        nib.streamlines.save(tractogram, str(temporary))


def _figures(context: Context, entry: Diffusion, images: DiffusionImages, made: Tractogram) -> None:
    from bids_ai.connectome.harmonics import basis
    from bids_ai.report.figures.dwi_charts import plot_orientations
    from bids_ai.report.figures.tractogram import plot_tractogram

    def along_world(array: np.ndarray) -> np.ndarray:
        """Turn an array so that its axes run along R, A, S."""
        turned: Any = nib.as_closest_canonical(nib.Nifti1Image(np.asarray(array, np.float32), images.image.affine))
        return np.asarray(turned.dataobj)

    found = made.orientations
    plot_orientations(
        along_world(found.maps.fa),
        along_world(found.fod),
        along_world(found.maps.direction),
        lambda coefficients, directions: coefficients @ basis(directions, found.order).T,
        context.names.figure("orientations_figure", dwi=entry.images),
    )
    lines = made.tracking.streamlines
    plot_tractogram(
        lines.points,
        lines.offsets,
        context.names.figure("tractogram_figure", dwi=entry.images),
        title="Streamlines",
        brain=images.mask,
        affine=images.image.affine,
        weights=made.fit.weights,
        seed=context.config.random_seed,
    )
