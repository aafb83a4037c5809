"""The parcels whose activity is known: equal-volume grey-matter parcels of the template, and a subject's copy."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.simulate.phantom import Phantom
from bids_ai.simulate.warp import apply_affine

#: A voxel with less brain than this bears no label, whatever the template says.
_LEAST_BRAIN = 0.25


@dataclass(frozen=True)
class Parcels:
    """Labels in template space.

    Attributes
    ----------
    name, space : str
        BIDS name of the atlas, and the template it lies in.
    labels : array of int, shape (nx, ny, nz)
        1..n_regions, 0 outside.
    affine : array, shape (4, 4)
    nodes : pandas.DataFrame
        Node table.
    homotopic : array of int, shape (n_regions,)
        Row of the partner in the other hemisphere, -1 where there is none.
    """

    name: str
    space: str
    labels: NDArray[np.integer]
    affine: NDArray[np.floating]
    nodes: pd.DataFrame
    homotopic: NDArray[np.integer]

    @property
    def centroids_mm(self) -> NDArray[np.floating]:
        """Centroids in template mm, shape (n_regions, 3)."""
        return self.nodes[["x", "y", "z"]].to_numpy(float)


def template_parcels(n_regions: int) -> Parcels:
    """Parcels of equal volume in the grey matter of the bundled template."""
    from bids_ai.parcellation.atlas import load_atlas
    from bids_ai.parcellation.names import homotopic_partners

    with tempfile.TemporaryDirectory() as cache:
        atlas = load_atlas(f"EqualVolume:{n_regions}", cache_dir=Path(cache))
        labels = np.asarray(atlas.image.dataobj).astype(np.int16)
    row_of = {int(label): row for row, label in enumerate(atlas.nodes["index"])}
    partners = homotopic_partners(atlas.nodes)
    rows = [-1 if pd.isna(label) else row_of[int(label)] for label in partners]
    return Parcels(atlas.label, atlas.space, labels, atlas.image.affine, atlas.nodes, np.array(rows))


def in_phantom(parcels: Parcels, phantom: Phantom) -> NDArray[np.int16]:
    """Labels on the grid of a subject's T1w: those of the nearest template voxel."""
    voxel = np.rint(apply_affine(np.linalg.inv(parcels.affine), phantom.template_points)).astype(np.int32)
    limit = np.array(parcels.labels.shape) - 1
    within = np.all((voxel >= 0) & (voxel <= limit), axis=-1)
    np.clip(voxel, 0, limit, out=voxel)
    labels = parcels.labels[voxel[..., 0], voxel[..., 1], voxel[..., 2]]
    return np.where(within & (phantom.fractions["brain"] > _LEAST_BRAIN), labels, 0).astype(np.int16)
