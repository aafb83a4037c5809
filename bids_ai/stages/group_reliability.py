"""Test-retest reliability of a group: across sessions, across runs of a session, and of halves."""

from __future__ import annotations

import numpy as np

from bids_ai.group.edges import EdgeStore
from bids_ai.group.reliability import Retest, balanced, retest, split_half_rows
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import MIN_SUBJECTS, GroupAtlas
from bids_ai.stages.group_tables import GroupRun, Numbers, write_matrix

#: ICC from which Cicchetti (1994, doi:10.1037/1040-3590.6.4.284) calls reliability good.
GOOD = 0.6
LEVELS = {"session": "sessions", "run": "runs of one session"}


def write_reliability(
    run: GroupRun, cohort: str, atlas: GroupAtlas, kind: Collected, numbers: Numbers
) -> dict[str, Retest]:
    """Write the reliability of every edge, and the numbers of the whole.

    Returns
    -------
    dict of str to Retest
        By level, ``session`` and ``run``; those that could be had.
    """
    if kind.store is None:
        return {}
    found = {}
    for level, rows in (("session", kind.sessions), ("run", kind.runs)):
        result = _level(run, cohort, atlas, kind, numbers, level, rows)
        if result is not None:
            found[level] = result
    _halves(kind, kind.store, numbers)
    return found


def _level(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kind: Collected,
    numbers: Numbers,
    level: str,
    rows: dict[str, dict[str, int]],
) -> Retest | None:
    subjects, repetitions = balanced({subject: list(own) for subject, own in rows.items()})
    if len(subjects) < MIN_SUBJECTS or kind.store is None:
        numbers.missing(kind.name, f"{level}_icc_median", _why_not(rows, subjects, LEVELS[level]))
        return None
    places = np.array([[rows[subject][label] for label in repetitions] for subject in subjects])
    found = retest(kind.store, places, seed=run.seed)
    write_matrix(
        run,
        cohort,
        atlas,
        kind,
        f"{level}Icc",
        found.edges.absolute,
        f"ICC(2,1) over {LEVELS[level]}",
        MeasureUnits="1",
        MeasureDescription="Intraclass correlation of single measurements, absolute agreement (Shrout & Fleiss 1979, "
        "doi:10.1037/0033-2909.86.2.420); below 0 where repetitions of a subject differ more than subjects",
        Subjects=subjects,
        Repetitions=repetitions,
        Sources=[
            f"bids::{path.relative_to(run.output_dir)}" for subject in subjects for path in kind.repeated[subject]
        ],
    )
    _tell(kind.name, level, found, len(subjects), numbers)
    return found


def _tell(name: str, level: str, found: Retest, n: int, numbers: Numbers) -> None:
    edges = found.edges.absolute[np.isfinite(found.edges.absolute)]
    consistency = found.edges.consistency[np.isfinite(found.edges.consistency)]
    who = found.identification
    values = {
        "icc_median": np.median(edges) if edges.size else np.nan,
        "icc_share_good": (edges >= GOOD).mean() if edges.size else np.nan,
        "icc_consistency_median": np.median(consistency) if consistency.size else np.nan,
        "icc_whole": found.whole.absolute,
        "similarity_within": who.within,
        "similarity_between": who.between,
        "identifiability": who.idiff,
        "identification_rate": who.success_rate,
        "identification_p": who.p,
    }
    for quantity, value in values.items():
        numbers.add(name, f"{level}_{quantity}", float(value), n_subjects=n, n_edges=int(edges.size))
    numbers.add(name, f"{level}_identification_chance", 1 / n, n_subjects=n)


def _why_not(rows: dict[str, dict[str, int]], subjects: list[str], words: str) -> str:
    several = sum(len(own) > 1 for own in rows.values())
    if not several:
        return f"no subject has several {words}: there is nothing to compare a recording with"
    if len(subjects) < several:
        return f"{several} subjects have several {words}, but no two of them the same ones"
    return f"{several} subject{'s' * (several != 1)} with several {words}; {MIN_SUBJECTS} are needed at least"


def _halves(kind: Collected, store: EdgeStore, numbers: Numbers) -> None:
    """Mean of odd against mean of even recordings of each subject."""
    if not kind.halves:
        numbers.missing(kind.name, "split_half_r", "one recording of each subject: it has no halves at this level")
        return
    r, whole = split_half_rows(store, np.array(list(kind.halves.values()))).T
    known = np.isfinite(r)
    for quantity, values in (("split_half_r", r), ("split_half_reliability", whole)):
        mean = float(values[known].mean()) if known.any() else float("nan")
        numbers.add(kind.name, quantity, mean, n_subjects=int(known.sum()), n_edges=len(kind.edges))
