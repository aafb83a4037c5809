"""Contrast of a group: which edges differ between two groups, or go with a number, beyond chance."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bids_ai.errors import InputError, as_clause
from bids_ai.group.contrast import Contrast, freedman_lane
from bids_ai.group.variables import ContrastPlan
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import GroupAtlas
from bids_ai.stages.group_tables import GroupRun, Numbers, write_matrix, write_stats
from bids_ai.stages.sidecars import versions

Q_LEVEL = 0.05
#: Rows of the table of edges, where no more have q below the level.
LEAST_EDGES = 20

EDGE_COLUMNS = {
    "source": "region; of an undirected kind one of the two",
    "target": "region",
    "effect": "see Effect",
    "t": "of the effect, adjusted for the covariates",
    "p": "two-sided, of the edge alone, by permutation",
    "q": "p adjusted for the false discovery rate over all edges (Benjamini & Hochberg)",
    "p_familywise": "adjusted for any false edge among all, by the largest |t| of each permutation",
    "n_subjects": "subjects that have the edge",
}


class ContrastResult(NamedTuple):
    """A contrast and who was in it.

    Attributes
    ----------
    found : Contrast
    table : pandas.DataFrame
        The edges that are written out.
    sizes : dict of str to int
        Of the groups.
    n : int
        Subjects.
    files : list of Path
    """

    found: Contrast
    table: pd.DataFrame
    sizes: dict[str, int]
    n: int
    files: list[Path]


def column_label(plan: ContrastPlan) -> str:
    """Name of the column as file names can bear it."""
    return re.sub(r"[^A-Za-z0-9]", "", plan.variable.name) or "contrast"


def write_contrast(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kind: Collected, numbers: Numbers
) -> ContrastResult | None:
    """Write effect, t, p, q and familywise p of every edge; None, with the reason, where it cannot be estimated."""
    plan = run.contrast
    if plan is None or kind.store is None:
        return None
    quantity = f"contrast_{plan.variable.name}_edges_below_q"
    for row in kind.subjects:
        lacking = plan.missing(row.subject)
        if row.used and lacking:
            row.reason = "; ".join(part for part in (row.reason, f"not in the contrast: {lacking}") if part)
    subjects = [subject for subject in kind.rows if not plan.missing(subject)]
    if not subjects:
        numbers.missing(kind.name, quantity, "no subject has both a matrix and the values of the contrast")
        return None
    design = plan.design(subjects)
    rows = np.array([kind.rows[subject] for subject in subjects])
    try:
        found = freedman_lane(kind.store, rows, design, n_permutations=run.n_permutations, seed=run.seed)
    except InputError as error:
        numbers.missing(kind.name, quantity, as_clause(error))
        return None
    if not np.isfinite(found.p).any():
        numbers.missing(kind.name, quantity, "no edge varies in enough subjects")
        return None
    sizes = plan.group_sizes(subjects)
    _tell(kind.name, plan, found, len(subjects), numbers)
    fields = _fields(run, plan, sizes, subjects) | _attainable(found)
    files = _write_matrices(run, cohort, atlas, kind, found, fields)
    table = _edge_table(kind, atlas.names, found)
    path = run.names.path("group_edges", cohort=cohort, atlas=atlas.label, measure=kind.label, part=column_label(plan))
    files.append(write_stats(path, table, EDGE_COLUMNS, **fields, PackageVersions=versions("numpy", "scipy")))
    return ContrastResult(found, table, sizes, len(subjects), files)


def _tell(name: str, plan: ContrastPlan, found: Contrast, n: int, numbers: Numbers) -> None:
    tested = np.isfinite(found.p)
    prefix, n_edges = f"contrast_{plan.variable.name}", int(tested.sum())
    values = {
        "edges_below_q": (found.q[tested] < Q_LEVEL).sum(),
        "edges_below_familywise_p": (found.p_familywise[tested] < Q_LEVEL).sum(),
        "smallest_q": found.q[tested].min(),
        "smallest_familywise_p": found.p_familywise[tested].min(),
        "largest_absolute_t": np.abs(found.t[tested]).max(),
    }
    for quantity, value in values.items():
        numbers.add(name, f"{prefix}_{quantity}", float(value), n_subjects=n, n_edges=n_edges)


def _fields(run: GroupRun, plan: ContrastPlan, sizes: dict[str, int], subjects: list[str]) -> dict[str, object]:
    return {
        "Contrast": plan.variable.name,
        "Effect": plan.words,
        "Groups": sizes or None,
        "Covariates": [one.name for one in plan.covariates],
        "Subjects": subjects,
        "RandomSeed": run.seed,
        "Test": "Residuals of the model without the effect are permuted, two-sided t (Freedman & Lane 1983; Winkler et "
        "al. 2014, doi:10.1016/j.neuroimage.2014.01.060)",
    }


def _attainable(found: Contrast) -> dict[str, object]:
    return {
        "Permutations": found.n_orders,
        "AllPermutations": found.exhaustive,
        "SmallestP": found.smallest_p,
        "TestedEdges": int(np.isfinite(found.p).sum()),
        "EdgesAtSmallestPForQ": found.edges_for(Q_LEVEL),
        "AnyEdgeCanHaveQ": found.edges_for(Q_LEVEL) is not None,
        "Attainable": attainable_words(found),
    }


def attainable_words(found: Contrast) -> str:
    """Say what the smallest p is that any edge can have, and whether q can then be below the level."""
    orders = (
        f"All {found.n_orders} orders of the subjects that differ were tried"
        if found.exhaustive
        else f"{found.n_orders} orders of the subjects were drawn"
    )
    text = f"{orders}, so that p is {found.smallest_p:.2g} at least"
    needed, tested = found.edges_for(Q_LEVEL), int(np.isfinite(found.p).sum())
    if needed is None:
        few = "subjects" if found.exhaustive else "permutations"
        return f"{text}: with so few {few} no edge can have q or a familywise p below {Q_LEVEL:g}, whatever its values."
    at_once = (
        f"one edge alone can have q < {Q_LEVEL:g}"
        if needed == 1
        else f"{needed} of {tested} edges must have that p at once for q < {Q_LEVEL:g}, and the familywise p wants one"
    )
    return f"{text}; {at_once}."


def _write_matrices(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kind: Collected, found: Contrast, fields: dict[str, object]
) -> list[Path]:
    assert run.contrast is not None
    column = column_label(run.contrast)
    scale = kind.measure.scale if kind.measure.scale == "Fisher z" else kind.units
    effect = scale if run.contrast.variable.levels else f"{scale} per unit of {run.contrast.variable.name}"
    parts = {
        "Effect": (found.effect, run.contrast.words, effect),
        "T": (found.t, "t of the contrast", "1"),
        "P": (found.p, "p of the contrast, of each edge alone", "1"),
        "Q": (found.q, "p of the contrast, false discovery rate", "1"),
        "Pfwe": (found.p_familywise, "p of the contrast, familywise", "1"),
    }
    return [
        write_matrix(run, cohort, atlas, kind, f"{column}{part}", values, words, **fields | {"MeasureUnits": units})
        for part, (values, words, units) in parts.items()
    ]


def _edge_table(kind: Collected, names: list[str], found: Contrast) -> pd.DataFrame:
    """Edges with q below the level, or the ones with the smallest p, strongest first."""
    tested = np.flatnonzero(np.isfinite(found.p))
    order = tested[np.lexsort((-np.abs(found.t[tested]), found.p[tested]))]
    below = int((found.q[order] < Q_LEVEL).sum())
    order = order[: max(below, LEAST_EDGES)]
    named = np.array(names, dtype=object)
    return pd.DataFrame(
        {
            "source": named[kind.edges.sources[order]],
            "target": named[kind.edges.targets[order]],
            "effect": found.effect[order],
            "t": found.t[order],
            "p": found.p[order],
            "q": found.q[order],
            "p_familywise": found.p_familywise[order],
            "n_subjects": found.n[order].astype(int),
        }
    )
