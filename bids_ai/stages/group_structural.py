"""Structural connectivity of the group: the consensus over the subjects whose matrices lie in an output folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from bids_ai.bids.names import Names
from bids_ai.bids.tables import check_names, read_relmat, write_relmat
from bids_ai.stages.group_inputs import MIN_SUBJECTS, GroupAtlas, by_subject, group_atlases, group_origin
from bids_ai.stages.sidecars import versions


def write_consensus(output_dir: Path, subjects: Collection[str] = ()) -> list[Path]:
    """Write one consensus per atlas in which several subjects have a structural connectome.

    Parameters
    ----------
    output_dir : Path
        Derivatives of bids_ai.
    subjects : collection of str
        By default all.

    Returns
    -------
    list of Path
        Matrices written; as ``structural_connectivity.group`` they serve subjects without DWI.

    Raises
    ------
    InputError
        If the matrix of a subject bears other names than the node table of its atlas.
    """
    written = []
    for atlas in group_atlases(output_dir):
        used = by_subject(output_dir, "sc_weight", atlas.label, subjects)
        if len(used) >= MIN_SUBJECTS:
            written.append(_write(output_dir, atlas, used))
    return written


def _write(output_dir: Path, atlas: GroupAtlas, used: dict[str, list[Path]]) -> Path:
    from bids_ai.connectome.consensus import EdgeSums, consensus_of_sums

    nodes, sums = atlas.nodes, EdgeSums(len(atlas.nodes))
    for paths in used.values():
        sums.add(mean_over_series(paths, atlas.names))
    places = nodes[["x", "y", "z"]].to_numpy(dtype=float)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    sides = np.where(nodes["hemisphere"].isin(["L", "R"]), nodes["hemisphere"].astype(str), "")
    consensus = consensus_of_sums(sums, distances, sides)
    path = Names(output_dir, "").path("sc_group", atlas=atlas.label)
    write_relmat(
        path,
        consensus,
        atlas.names,
        {
            "RelationshipMeasure": "sum of streamline weights, consensus of a group",
            "MeasureDescription": "Mean over the subjects with the edge, each matrix over its mean edge; edges by "
            "their frequency within bins of distance (Betzel et al. 2019, doi:10.1162/netn_a_00075)",
            "MeasureUnits": "mean edge of a subject",
            "Directed": False,
            "NonNegative": True,
            "PackageVersions": versions("numpy"),
        }
        | group_origin(output_dir, atlas.label, used),
    )
    return path


def mean_over_series(paths: list[Path], names: list[str]) -> np.ndarray:
    """Mean over the series of a subject, each in units of its mean edge: raw sums differ between scans."""
    scaled = []
    for path in paths:
        matrix, found = read_relmat(path)
        check_names(names, found, path.name)
        scaled.append(over_mean_edge(matrix))
    return np.asarray(np.mean(scaled, axis=0))


def over_mean_edge(matrix: np.ndarray) -> np.ndarray:
    """Matrix in units of its mean edge; as it is where it has none."""
    edges = matrix[np.isfinite(matrix) & (matrix > 0)]
    return np.asarray(matrix / edges.mean() if edges.size else matrix)
