"""Responses to stimulation of the group: matrices pooled over the patients whose matrices lie in an output folder."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai.bids.names import Names
from bids_ai.bids.tables import check_names, read_relmat, write_relmat
from bids_ai.stages.group_inputs import MIN_SUBJECTS, GroupAtlas, by_subject, group_atlases, group_origin
from bids_ai.stages.sidecars import versions

if TYPE_CHECKING:
    from bids_ai.ccep.group import GroupMatrices
    from bids_ai.ccep.matrices import PairMatrices


def write_group_responses(output_dir: Path, subjects: Collection[str] = ()) -> list[Path]:
    """Write the pooled matrices of every atlas in which several patients have tested pairs.

    Parameters
    ----------
    output_dir : Path
        Derivatives of bids_ai.
    subjects : collection of str
        By default all.

    Returns
    -------
    list of Path
        Matrices written: five for each atlas.

    Raises
    ------
    InputError
        If the matrix of a patient bears other names than the node table of its atlas.
    """
    from bids_ai.ccep.group import group_matrices

    written = []
    for atlas in group_atlases(output_dir):
        counts = by_subject(output_dir, "ccep_count", atlas.label, subjects)
        pooled = {subject: _of_patient(paths, atlas.names) for subject, paths in counts.items()}
        # A patient whose contacts have no places has matrices without a tested pair.
        patients = {subject: matrices for subject, matrices in pooled.items() if matrices.tested.any()}
        if len(patients) >= MIN_SUBJECTS:
            found = group_matrices(list(patients.values()))
            used = {
                subject: [p for count in counts[subject] for p in (count, _probability_of(count))]
                for subject in patients
            }
            written += _write(output_dir, atlas, found, used)
    return written


def _probability_of(count: Path) -> Path:
    return count.with_name(count.name.replace("_stat-ccepcount_", "_stat-ccepprobability_"))


def _of_patient(paths: list[Path], names: list[str]) -> PairMatrices:
    """Pairs of all recordings of a patient together."""
    from bids_ai.ccep.matrices import PairMatrices, agresti_coull

    tested, responses = np.zeros((len(names), len(names))), np.zeros((len(names), len(names)))
    for path in paths:
        count, found = read_relmat(path)
        check_names(names, found, path.name)
        share, found = read_relmat(_probability_of(path))
        check_names(names, found, _probability_of(path).name)
        tested += np.nan_to_num(count)
        responses += np.nan_to_num(count * share)
    share = np.divide(responses, tested, out=np.full_like(tested, np.nan), where=tested > 0)
    return PairMatrices(tested, responses, share, *agresti_coull(responses, tested), features={}, feature_counts={})


def _write(output_dir: Path, atlas: GroupAtlas, found: GroupMatrices, used: dict[str, list[Path]]) -> list[Path]:
    there = found.tested > 0
    matrices = {
        "ccep_group": (found.probability, "probability of a response, of a group", "1"),
        "ccep_group_interval": (
            0.5 * (found.upper - found.lower),
            "half-width of the 95 % interval of the probability (Agresti-Coull, correlation within patients)",
            "1",
        ),
        "ccep_group_count": (np.where(there, found.tested, np.nan), "tested pairs of site and channel", "pairs"),
        "ccep_group_patients": (found.n_patients.astype(float), "patients with a tested pair", "patients"),
        "ccep_group_reliable": (
            np.where(there, found.reliable, np.nan),
            "whether the probability can be relied upon: ten responses or ten tests without, half-width up to 0.2, "
            "three patients",
            "1: yes, 0: no",
        ),
    }
    correlation = found.correlation if np.isfinite(found.correlation) else None
    common = {
        "Directed": True,
        "ValidDiagonal": True,
        "NonNegative": True,
        "RowRole": "stimulated region",
        "ColumnRole": "recorded region",
        "CorrelationWithinPatients": correlation,
        "ReliableCells": int(found.reliable.sum()),
        "TestedCells": int(there.sum()),
        **group_origin(output_dir, atlas.label, used),
        "PackageVersions": versions("numpy", "scipy"),
    }
    written = []
    for key, (matrix, measure, unit) in matrices.items():
        path = Names(output_dir, "").path(key, atlas=atlas.label)
        write_relmat(path, matrix, atlas.names, common | {"RelationshipMeasure": measure, "MeasureUnits": unit})
        written.append(path)
    return written
