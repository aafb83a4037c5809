"""The tables of a group: numbers with their reasons, what became of each subject, and what the columns mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.bids.files import write_json
from bids_ai.bids.names import Names, sidecar
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.group.variables import ContrastPlan
from bids_ai.stages.group_collect import Collected
from bids_ai.stages.group_inputs import GroupAtlas, group_origin
from bids_ai.stages.sidecars import versions

#: Why there is no number of something that repeats.
ONE_SUBJECT = "one subject; two are needed at least"


@dataclass(frozen=True)
class GroupRun:
    """What a run of the group level works on.

    Parameters
    ----------
    output_dir : Path
        Derivatives of bids_ai.
    subjects : tuple of str
        Such as ``sub-01``.
    scratch : Path
        Folder for edges, removed at the end.
    contrast : ContrastPlan, optional
    n_permutations, seed : int
    seed_regions : tuple of str
        Regions whose maps are drawn; empty for the landmarks.
    """

    output_dir: Path
    subjects: tuple[str, ...]
    scratch: Path
    contrast: ContrastPlan | None = None
    n_permutations: int = 5000
    seed: int = 1
    seed_regions: tuple[str, ...] = ()

    @property
    def names(self) -> Names:
        """Names of the files."""
        return Names(self.output_dir, "")


@dataclass
class Numbers:
    """Numbers of a group, one a row; where one cannot be had, the reason stands in its place."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        measure: str,
        quantity: str,
        value: float,
        *,
        scope: str = "whole",
        n_subjects: int | None = None,
        n_edges: int | None = None,
        reason: str = "",
    ) -> None:
        """Add a number; NaN wants a reason."""
        missing = not math.isfinite(value)
        self.rows.append(
            {
                "measure": measure,
                "scope": scope,
                "quantity": quantity,
                "value": None if missing else float(value),
                "n_subjects": n_subjects,
                "n_edges": n_edges,
                "reason": (reason or "not defined for these values") if missing else None,
            }
        )

    def missing(self, measure: str, quantity: str, reason: str) -> None:
        """Add the reason why there is no number."""
        self.add(measure, quantity, float("nan"), reason=reason)

    def get(self, measure: str, quantity: str, scope: str = "whole") -> dict[str, Any] | None:
        """Find a number."""
        wanted = (measure, scope, quantity)
        return next((r for r in self.rows if (r["measure"], r["scope"], r["quantity"]) == wanted), None)

    def table(self) -> pd.DataFrame:
        """All of them."""
        columns = ["measure", "scope", "quantity", "value", "n_subjects", "n_edges", "reason"]
        table = pd.DataFrame(self.rows, columns=columns)
        for column in ("n_subjects", "n_edges"):
            table[column] = table[column].astype("Int64")
        return table


NUMBER_COLUMNS = {
    "measure": "kind of matrix: entities of its file name, and the frequency band where it has one",
    "scope": "edges it is over: all of them, or those within one network of the node table",
    "quantity": "see Quantities",
    "value": "n/a where there is none; the reason stands beside it",
    "n_subjects": "subjects behind it",
    "n_edges": "edges behind it",
    "reason": "why there is no value",
}

SUBJECT_COLUMNS = {
    "subject": "label",
    "measure": "kind of matrix: entities of its file name, and the frequency band where it has one",
    "used": "1: part of the group; 0: left out",
    "source": "fit over all runs, mean over recordings, or one recording",
    "recordings": "recordings with such a matrix",
    "unreliable_fits": "fits among them that their own checks call unreliable",
    "similarity": "mean correlation with the other subjects, over all edges",
    "similarity_robust_z": "0.6745 (similarity - median) / MAD over subjects; n/a for fewer than 5",
    "outlier": "1: robust z beyond 3",
    "reason": "why it is left out, or what of it is",
}


def write_stats(path: Path, table: pd.DataFrame, columns: Mapping[str, str], **fields: Any) -> Path:
    """Write a table of a group and what its columns mean."""
    write_table(path, table)
    described = {name: {"Description": columns[str(name)]} for name in table.columns if str(name) in columns}
    write_json(sidecar(path), described | fields)
    return path


def write_matrix(
    run: GroupRun,
    cohort: str,
    atlas: GroupAtlas,
    kind: Collected,
    part: str,
    values: np.ndarray,
    words: str,
    **fields: Any,
) -> Path:
    """Write a matrix of a group.

    Parameters
    ----------
    run : GroupRun
    cohort : str
    atlas : GroupAtlas
    kind : Collected
    part : str
        Such as ``mean``; a band is put before it.
    values : (n_edges,) array
    words : str
        What a value is.
    **fields
        Of the sidecar; `MeasureUnits` among them.
    """
    label = f"{kind.band}{part[:1].upper()}{part[1:]}" if kind.band else part
    path = run.names.path("group_matrix", cohort=cohort, atlas=atlas.label, measure=kind.label, part=label)
    meta: dict[str, Any] = {
        "RelationshipMeasure": f"{words}: {kind.measure.words}",
        "Directed": kind.measure.directed,
        "PackageVersions": versions("numpy", "scipy"),
    }
    meta |= group_origin(run.output_dir, atlas.label, kind.used)
    if kind.band:
        meta["FrequencyBand"] = kind.band
    write_relmat(path, kind.edges.matrix(values), atlas.names, meta | fields)
    return path
