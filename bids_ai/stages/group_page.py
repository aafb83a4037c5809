"""What the page of all subjects says of a group: sections, tables and facts, out of what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bids_ai.report.group_record import GroupFigure, GroupSection, LinkedFile
from bids_ai.report.model import SummaryRow, Table
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_contrast import Q_LEVEL, ContrastResult, attainable_words
from bids_ai.stages.group_figures import short_name
from bids_ai.stages.group_inputs import GroupAtlas
from bids_ai.stages.group_tables import GroupRun, Numbers

DATATYPES = {"func": "BOLD", "eeg": "EEG", "ieeg": "SEEG/ECoG", "dwi": "DWI"}
#: Rows of a table on the page; the files have all of them.
MAX_ROWS = 40

#: Quantities shown on the page, in this order, with their words.
QUANTITIES = {
    "subjects_used": "Subjects",
    "subjects_left_out": "Subjects left out",
    "subjects_with_an_unreliable_fit": "Subjects with a fit that its own checks call unreliable",
    "edges_known": "Edges with a value",
    "edges_of_two_subjects": "Edges of two subjects or more",
    "similarity_mean": "Similarity of two subjects, mean",
    "similarity_sd": "Similarity of two subjects, SD",
    "session_icc_median": "ICC(2,1) of an edge over sessions, median",
    "session_icc_whole": "ICC(2,1) of the whole matrix over sessions",
    "session_identification_rate": "Sessions identified",
    "session_identification_chance": "Sessions identified by guessing",
    "run_icc_median": "ICC(2,1) of an edge over runs, median",
    "run_icc_whole": "ICC(2,1) of the whole matrix over runs",
    "run_identification_rate": "Runs identified",
    "run_identification_chance": "Runs identified by guessing",
    "split_half_r": "Halves of a subject, r",
    "split_half_reliability": "Whole of a subject by Spearman-Brown",
    "self_symmetry": "EC with its transpose, r",
    "asymmetry_index": "Share of EC that is directed",
    "fraction_negative": "Share of EC below zero",
    "spearman_ec_fc": "EC with FC, Spearman",
    "spearman_ec_sc": "EC with SC, Spearman, all pairs",
    "spearman_ec_sc_connected": "EC with SC, Spearman, connected pairs",
    "spearman_fc_sc": "FC with SC, Spearman, all pairs",
}

#: Of these nothing is said where they are zero.
_ONLY_IF_ANY = ("subjects_left_out", "subjects_with_an_unreliable_fit")


def atlas_words(label: str) -> str:
    """Label of an atlas without the names of its entities."""
    return " ".join(part.partition("-")[2] for part in label.split("_"))


def cohort_words(cohort: str) -> str:
    """What the recordings of a group have in common, such as "BOLD, rest"."""
    datatype, _, rest = cohort.partition("/")
    entities = dict(part.partition("-")[::2] for part in rest.split("_") if part)
    return ", ".join(part for part in (DATATYPES[datatype], entities.get("task", "")) if part)


def section_of(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kinds: Sequence[Collected],
    numbers: Numbers,
    subjects: pd.DataFrame,
    contrasts: dict[str, ContrastResult],
    figures: list[GroupFigure],
    files: Sequence[Path],
    missing: Sequence[str],
) -> GroupSection:
    """Section of a cohort in an atlas."""
    name = f"{cohort_words(cohort)}, {atlas_words(atlas.label)}"
    tables = [_numbers_table(kinds, numbers)]
    tables += [_network_table(kinds, numbers)] if len({row["scope"] for row in numbers.rows}) > 1 else []
    tables += [table for kind in kinds if (table := _contrast_table(run, kind, kinds, contrasts)) is not None]
    tables += [_subject_table(kinds, subjects)]
    return GroupSection(
        id="".join(letter if letter.isalnum() else "-" for letter in f"group-{cohort}{atlas.label}"),
        name=name,
        intro=f"{len(atlas.nodes)} regions.",
        warnings=_warnings(kinds, numbers),
        figures=figures,
        tables=[table for table in tables if table.rows],
        missing=[*_reasons(kinds, numbers), *dict.fromkeys(missing)],
        files=[_file(run, path) for path in files],
    )


def _reasons(kinds: Sequence[Collected], numbers: Numbers) -> list[str]:
    """Why numbers are missing, those of several kinds in one line."""
    of: dict[tuple[str, str], list[str]] = {}
    for row in numbers.rows:
        if row["reason"] and row["scope"] == "whole":
            of.setdefault((_plain(row["quantity"]), row["reason"]), []).append(_measure(kinds, row["measure"]))
    return [f"{', '.join(names)}: {quantity}: {reason}." for (quantity, reason), names in of.items()]


def _warnings(kinds: Sequence[Collected], numbers: Numbers) -> list[str]:
    found = []
    for kind in kinds:
        name, n = short_name(kind, kinds), len(kind.used)
        unreliable = numbers.get(kind.name, "subjects_with_an_unreliable_fit")
        if unreliable is not None and unreliable["value"]:
            found.append(
                f"{name}: {unreliable['value']:.0f} of {n} subjects have a fit that its own checks call unreliable. "
                "They are in the mean; their reports say why."
            )
        known, several = (numbers.get(kind.name, key) for key in ("edges_known", "edges_of_two_subjects"))
        if kind.store is not None and known and several and several["value"] < known["value"]:
            alone = known["value"] - several["value"]
            found.append(
                f"{name}: {alone:.0f} of {known['value']:.0f} edges are of one subject alone; the matrix of counts "
                "says which."
            )
        other = sum("and most of the group in" in row.reason for row in kind.subjects)
        if other:
            found.append(
                f"{name}: fits of {other} subject{'s' * (other != 1)} are in other units than most and are not used, "
                "for a model of neural states cannot be averaged with one of signals. Fit one family to all: --model."
            )
    return found


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table as plain values; None where missing."""
    return [
        {
            str(key): None if pd.isna(value) else getattr(value, "item", lambda value=value: value)()
            for key, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def _measure(kinds: Sequence[Collected], name: str) -> str:
    return next(
        (short_name(kind, kinds) + (f" {kind.band}" if kind.band else "") for kind in kinds if kind.name == name), name
    )


def _plain(quantity: str) -> str:
    return QUANTITIES.get(quantity, quantity.replace("_", " "))


def _numbers_table(kinds: Sequence[Collected], numbers: Numbers) -> Table:
    shown = [kind for kind in kinds if kind.store is not None]
    rows = []
    for quantity, words in QUANTITIES.items():
        found = [numbers.get(kind.name, quantity) for kind in shown]
        values = [entry["value"] for entry in found if entry is not None and entry["value"] is not None]
        if any(values) or (values and quantity not in _ONLY_IF_ANY):
            rows.append([words, *(None if entry is None else entry["value"] for entry in found)])
    return Table(
        "The group in numbers",
        ["Quantity", *(short_name(kind, kinds) for kind in shown)],
        rows,
        note="A number over edges has no p value here: edges share regions and are not independent.",
    )


def _network_table(kinds: Sequence[Collected], numbers: Numbers) -> Table:
    shown = [kind for kind in kinds if kind.store is not None]
    scopes = dict.fromkeys(row["scope"] for row in numbers.rows if row["scope"] != "whole")
    rows: list[list[Any]] = []
    for scope in scopes:
        found = [numbers.get(kind.name, "similarity_mean", scope) for kind in shown]
        edges = [numbers.get(kind.name, "similarity_mean", scope) for kind in shown]
        n_edges = next((entry["n_edges"] for entry in edges if entry), None)
        rows.append([scope, n_edges, *(None if entry is None else entry["value"] for entry in found)])
    return Table(
        "Similarity of two subjects within networks",
        ["Network", "Edges", *(short_name(kind, kinds) for kind in shown)],
        rows,
        note="Edges are counted in both directions for EC. n/a: fewer than 3 edges, or none that varies.",
    )


def _contrast_table(
    run: GroupRun, kind: Collected, kinds: Sequence[Collected], contrasts: dict[str, ContrastResult]
) -> Table | None:
    result = contrasts.get(kind.name)
    if result is None or run.contrast is None:
        return None
    below = int((result.table["q"] < Q_LEVEL).sum())
    shown = result.table.head(max(min(below, MAX_ROWS), 10))
    rows = [list(row.values()) for row in _records(shown)]
    left = f" The table shows the first {len(rows)}." if below > len(rows) else ""
    found = (
        f"{below} edge{'s' * (below != 1)} with q < {Q_LEVEL:g}.{left}"
        if below
        else (f"No edge has q < {Q_LEVEL:g}; these have the smallest p.")
    )
    covariates = ", ".join(one.name for one in run.contrast.covariates) or "none"
    note = f"{found} Effect: {run.contrast.words}. Covariates: {covariates}. {attainable_words(result.found)}"
    words = ("Effect", "t", "p", "q", "familywise p", "Subjects")
    return Table(
        f"Contrast of {run.contrast.variable.name}: {short_name(kind, kinds)}",
        [*(("Source", "Target") if kind.measure.directed else ("Region", "and region")), *words],
        rows,
        note=note,
    )


def _subject_table(kinds: Sequence[Collected], subjects: pd.DataFrame) -> Table:
    """Subjects that are left out, or unlike the others, or of which something is to be said."""
    worth = subjects[(subjects["used"] == 0) | (subjects["outlier"] == 1) | subjects["reason"].notna()]
    compared = {kind.name for kind in kinds if kind.store is not None}
    rows: list[list[Any]] = []
    for row in _records(worth[worth["measure"].isin(compared)]):
        what = "left out" if not row["used"] else "unlike the others" if row["outlier"] == 1 else "used"
        kind = _measure(kinds, str(row["measure"]))
        rows.append([row["subject"], kind, what, row["similarity"], row["similarity_robust_z"], row["reason"]])
    note = f"The first {MAX_ROWS} of {len(rows)}; the file has all." if len(rows) > MAX_ROWS else ""
    return Table(
        "Subjects left out, unlike the others, or with a remark",
        ["Subject", "Kind", "Status", "Similarity to the others", "Robust z", "Reason"],
        rows[:MAX_ROWS],
        note=note,
    )


def _file(run: GroupRun, path: Path) -> LinkedFile:
    from bids_ai.bids.files import read_json
    from bids_ai.bids.names import sidecar

    words = {
        "_desc-subjects_stats.tsv": "what became of each subject",
        "_desc-numbers_stats.tsv": "all numbers, with the reasons of those that are missing",
        "_desc-similarity_stats.tsv": "similarity of all pairs of subjects",
        "Edges_stats.tsv": "edges of the contrast",
    }
    what = next((text for ending, text in words.items() if path.name.endswith(ending)), "")
    if not what and sidecar(path).is_file():
        what = str(read_json(sidecar(path)).get("RelationshipMeasure") or "")
    return LinkedFile(path.relative_to(run.output_dir).as_posix(), what)


def quality_section(run: GroupRun, path: Path, table: pd.DataFrame) -> GroupSection:
    """Section on the quality of the recordings."""
    outliers = (
        table[table["outlier"] == 1].assign(size=lambda t: t["robust_z"].abs()).sort_values("size", ascending=False)
    )
    columns = ("subject", "recording", "kind", "atlas", "label", "value", "unit", "median", "robust_z")
    rows = [[row[column] for column in columns] for row in _records(outliers.head(MAX_ROWS))]
    judged = int(table["robust_z"].notna().sum())
    known = int(table["value"].notna().sum())
    nothing = table[table["quantity"].isna()]
    missing = [
        f"{row['subject']}{', ' + row['recording'] if row['recording'] else ''}: {row['reason']}."
        for row in _records(nothing)
    ]
    return GroupSection(
        "quality",
        "Quality and outliers",
        intro="Numbers of the recordings and of the fits, each against the median of the same number over subjects, in "
        "units of its robust spread. Beyond 3 it is named here: look at that subject before it enters a group.",
        facts=[
            SummaryRow("Numbers", known),
            SummaryRow("With a robust z", judged, note="5 values are needed, and a spread"),
            *([SummaryRow("Beyond 3", len(outliers) or "none")] * bool(judged)),
            *([SummaryRow("Subjects concerned", int(outliers["subject"].nunique()))] * bool(len(outliers))),
        ],
        tables=[
            Table(
                "Outliers",
                ["Subject", "Recording", "Kind", "Atlas", "Number", "Value", "Unit", "Median", "Robust z"],
                rows,
                note=f"The first {MAX_ROWS} of {len(outliers)}; the file has all." if len(outliers) > MAX_ROWS else "",
            )
        ]
        * bool(rows),
        missing=missing[:MAX_ROWS],
        files=[LinkedFile(path.relative_to(run.output_dir).as_posix(), "all numbers, with median and robust z")],
    )


def pooled_section(run: GroupRun, files: Sequence[Path]) -> GroupSection:
    """Section on matrices pooled over subjects: structural consensus, responses to stimulation."""
    from bids_ai.bids.files import read_json
    from bids_ai.bids.names import sidecar

    rows: list[list[Any]] = []
    for path in files:
        meta = read_json(sidecar(path))
        rows.append([meta["RelationshipMeasure"], _atlas_of(path), len(meta["Subjects"]), meta.get("ReliableCells")])
    return GroupSection(
        "pooled",
        "Pooled over subjects",
        intro="Matrices that are no mean over subjects: the structural consensus, and the responses to stimulation, "
        "whose cells have as many patients as were tested there.",
        tables=[Table("Pooled matrices", ["Matrix", "Atlas", "Subjects", "Cells to be relied upon"], rows)],
        files=[_file(run, path) for path in files],
    )


def _atlas_of(path: Path) -> str:
    return atlas_words("_".join(p for p in path.name.split("_") if p.partition("-")[0] in ("atlas", "seg", "scale")))
