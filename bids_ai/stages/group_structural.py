"""Structural connectivity of the group: the consensus over the subjects whose matrices lie in an output folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bids_ai.bids.names import PATTERNS, Names
from bids_ai.bids.tables import check_names, read_relmat, read_table, write_relmat
from bids_ai.stages.sidecars import versions

#: With fewer there is no group.
_MIN_SUBJECTS = 2


def write_consensus(output_dir: Path) -> list[Path]:
    """Write one consensus per atlas in which several subjects have a structural connectome.

    Parameters
    ----------
    output_dir : Path
        Derivatives of bids_ai.

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
    for table in sorted(output_dir.glob(PATTERNS["atlas_table"].format(atlas="atlas-*"))):
        atlas = table.name.removesuffix("_dseg.tsv")
        subjects = _matrices(output_dir, atlas)
        if len(subjects) >= _MIN_SUBJECTS:
            written.append(_write(output_dir, table, atlas, subjects))
    return written


def _matrices(output_dir: Path, atlas: str) -> dict[str, list[Path]]:
    """Matrices of each subject, one per diffusion series."""
    pattern = PATTERNS["sc_weight"].format(dwi="*", atlas=atlas)
    found: dict[str, list[Path]] = {}
    for path in sorted(output_dir.glob(f"sub-*/**/dwi/{pattern}")):
        found.setdefault(path.relative_to(output_dir).parts[0], []).append(path)
    return found


def _write(output_dir: Path, table: Path, atlas: str, subjects: dict[str, list[Path]]) -> Path:
    from bids_ai.connectome.consensus import group_consensus

    nodes = read_table(table)
    names = [str(name) for name in nodes["name"]]
    matrices = np.stack([_of_subject(paths, names) for paths in subjects.values()])
    places = nodes[["x", "y", "z"]].to_numpy(dtype=float)
    distances = np.linalg.norm(places[:, None] - places[None], axis=-1)
    sides = np.where(nodes["hemisphere"].isin(["L", "R"]), nodes["hemisphere"].astype(str), "")
    consensus = group_consensus(matrices, distances, sides)
    path = Names(output_dir, "").path("sc_group", atlas=atlas)
    write_relmat(
        path,
        consensus,
        names,
        {
            "RelationshipMeasure": "sum of streamline weights, consensus of a group",
            "MeasureDescription": "Mean over the subjects with the edge, each matrix over its mean edge; edges by "
            "their frequency within bins of distance (Betzel et al. 2019, doi:10.1162/netn_a_00075)",
            "MeasureUnits": "mean edge of a subject",
            "Directed": False,
            "NonNegative": True,
            "Subjects": list(subjects),
            "Sources": [f"bids::{path.relative_to(output_dir)}" for paths in subjects.values() for path in paths],
            "NodeFiles": [f"bids::{table.name}"],
            "PackageVersions": versions("numpy"),
        },
    )
    return path


def _of_subject(paths: list[Path], names: list[str]) -> np.ndarray:
    """Mean over the series of a subject, each in units of its mean edge: raw sums differ between scans."""
    scaled = []
    for path in paths:
        matrix, found = read_relmat(path)
        check_names(names, found, path.name)
        edges = matrix[np.isfinite(matrix) & (matrix > 0)]
        scaled.append(matrix / edges.mean() if edges.size else matrix)
    return np.asarray(np.mean(scaled, axis=0))
