"""How alike the subjects of a group are, over all edges and within networks, and who is not like the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from bids_ai.group.outliers import LIMIT, robust_z
from bids_ai.group.similarity import WHOLE, mean_with_others, pairwise, row_similarity
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import MIN_SUBJECTS, GroupAtlas
from bids_ai.stages.group_tables import ONE_SUBJECT, SUBJECT_COLUMNS, GroupRun, Numbers, write_stats
from bids_ai.stages.sidecars import versions


def write_similarity(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kind: Collected, numbers: Numbers
) -> dict[str, np.ndarray]:
    """Write the similarity of all pairs of subjects.

    Returns
    -------
    dict of str to (n_subjects, n_subjects) array
        Over all edges, under ``whole``, subjects as in ``kind.rows``; empty without a group.
    """
    if kind.store is None or len(kind.rows) < MIN_SUBJECTS:
        numbers.missing(kind.name, "similarity_mean", ONE_SUBJECT if kind.rows else "no subject with such a matrix")
        return {}
    rows = list(kind.rows.values())
    whole = row_similarity(kind.store, rows)
    scopes = {WHOLE: np.ones(len(kind.edges), dtype=bool)} | kind.edges.within(atlas.networks)
    for scope, edges in scopes.items():
        # One network at a time, of which the numbers stay: a matrix of all pairs is large.
        values = pairwise(whole if scope == WHOLE else row_similarity(kind.store, rows, edges))
        n_edges = int(edges.sum())
        for quantity, value in _describe(values).items():
            numbers.add(
                kind.name,
                quantity,
                value,
                scope=scope,
                n_subjects=len(kind.rows),
                n_edges=n_edges,
                reason=_why_not(values, n_edges),
            )
    table = pd.DataFrame(whole, columns=list(kind.rows))
    table.insert(0, "subject", list(kind.rows))
    write_stats(
        run.names.path("group_similarity", cohort=cohort, atlas=atlas.label, measure=kind.label),
        table,
        {"subject": "label; the other columns are the subjects in the same order"},
        MeasureDescription="Pearson correlation of two subjects over the edges that both have, without the diagonal"
        + (f"; values as {kind.measure.scale}" if kind.measure.scale else ""),
        PackageVersions=versions("numpy"),
    )
    return {WHOLE: whole}


def _why_not(values: np.ndarray, n_edges: int) -> str:
    if n_edges < 3:
        return "fewer than 3 edges"
    return "one pair of subjects has no spread" if values.size else "no two subjects share 3 edges that vary"


def _describe(values: np.ndarray) -> dict[str, float]:
    if not values.size:
        return {"similarity_mean": float("nan")}
    return {
        "similarity_mean": float(values.mean()),
        "similarity_sd": float(values.std(ddof=1)) if values.size > 1 else float("nan"),
        "similarity_min": float(values.min()),
        "similarity_max": float(values.max()),
    }


def write_subjects(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kinds: list[Collected],
    similarities: dict[str, dict[str, np.ndarray]],
) -> tuple[Path, pd.DataFrame]:
    """Write what became of each subject, and how alike the others it is.

    Parameters
    ----------
    run : GroupRun
    cohort : str
    atlas : GroupAtlas
    kinds : list of Collected
    similarities : dict of str to dict
        By name of the kind, as of `write_similarity`.
    """
    rows = []
    for kind in kinds:
        whole = similarities.get(kind.name, {}).get(WHOLE)
        mean = np.array([]) if whole is None else mean_with_others(whole)
        similar = dict(zip(kind.rows, mean, strict=True)) if mean.size else {}
        z = dict(zip(kind.rows, robust_z(mean), strict=True)) if mean.size else {}
        for row in kind.subjects:
            distance = z.get(row.subject, np.nan)
            rows.append(
                {
                    "subject": row.subject,
                    "measure": kind.name,
                    "used": int(row.used),
                    "source": row.source or None,
                    "recordings": row.recordings,
                    "unreliable_fits": row.unreliable,
                    "similarity": similar.get(row.subject, np.nan),
                    "similarity_robust_z": distance,
                    "outlier": int(abs(distance) > LIMIT) if np.isfinite(distance) else None,
                    "reason": row.reason or None,
                }
            )
    table = pd.DataFrame(rows, columns=list(SUBJECT_COLUMNS))
    for column in ("unreliable_fits", "outlier"):
        table[column] = table[column].astype("Int64")
    path = run.names.path("group_subjects", cohort=cohort, atlas=atlas.label)
    write_stats(path, table, SUBJECT_COLUMNS, PackageVersions=versions("numpy"))
    return path, table
