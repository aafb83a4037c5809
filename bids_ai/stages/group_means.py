"""Mean, spread and count of a kind of matrix over subjects: a row is the output map of a region, a column its input."""

from __future__ import annotations

from pathlib import Path

from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import MIN_SUBJECTS, GroupAtlas
from bids_ai.stages.group_tables import GroupRun, Numbers, write_matrix


def write_means(run: GroupRun, cohort: str, atlas: GroupAtlas, kind: Collected, numbers: Numbers) -> list[Path]:
    """Write three matrices of a kind; none where there is no group.

    Parameters
    ----------
    run : GroupRun
    cohort : str
    atlas : GroupAtlas
    kind : Collected
    numbers : Numbers
        Gets the numbers of subjects.
    """
    used = [row for row in kind.subjects if row.used]
    numbers.add(kind.name, "subjects_used", len(used), n_subjects=len(used))
    numbers.add(kind.name, "subjects_left_out", len(kind.subjects) - len(used), n_subjects=len(kind.subjects))
    unreliable = [row for row in used if row.unreliable]
    if any(row.unreliable is not None for row in used):
        numbers.add(kind.name, "subjects_with_an_unreliable_fit", len(unreliable), n_subjects=len(used))
    if len(used) < MIN_SUBJECTS:
        numbers.missing(kind.name, "mean", f"{len(used)} subject{'s' * (len(used) != 1)} with such a matrix")
        return []
    moments, scale = kind.moments, kind.measure.scale
    known = moments.count > 0
    numbers.add(kind.name, "edges_known", int(known.sum()), n_subjects=len(used), n_edges=len(kind.edges))
    several = int((moments.count >= MIN_SUBJECTS).sum())
    numbers.add(kind.name, "edges_of_two_subjects", several, n_subjects=len(used), n_edges=len(kind.edges))
    parts = {
        "mean": (
            kind.measure.back(moments.mean),
            "mean over subjects",
            kind.units,
            f"Mean of the subjects' values ({scale})" + (", and back" if scale == "Fisher z" else "")
            if scale
            else "Mean of the subjects' values",
        ),
        "sd": (
            moments.sd,
            "standard deviation over subjects",
            scale if scale == "Fisher z" else kind.units,
            f"Of the subjects' values{f' ({scale})' if scale else ''}, with n - 1",
        ),
        "count": (
            moments.count,
            "subjects with a value",
            "subjects",
            "Subjects that have the edge",
        ),
    }
    return [
        write_matrix(run, cohort, atlas, kind, part, values, words, MeasureUnits=units, MeasureDescription=description)
        for part, (values, words, units, description) in parts.items()
    ]
