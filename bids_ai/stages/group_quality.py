"""Quality of the recordings of all subjects, and which numbers lie far from those of the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.group.outliers import LIMIT, robust_z
from bids_ai.report.group import read_numbers
from bids_ai.stages.group_tables import GroupRun, write_stats
from bids_ai.stages.sidecars import versions

COLUMNS = {
    "subject": "label",
    "recording": "name without the subject; n/a for numbers of the subject",
    "kind": "kind of the recording, such as BOLD",
    "atlas": "what the number is about, where a recording has several; n/a otherwise",
    "quantity": "key of the number, see Quantities",
    "value": "n/a where there is none",
    "unit": "of the value",
    "median": "over all values that it is compared with: same quantity, kind, task and atlas",
    "robust_z": "0.6745 (value - median) / MAD; n/a for fewer than 5 values, or where half of them are equal",
    "outlier": "1: robust z beyond 3",
    "reason": "why there is no value",
}


def write_quality(run: GroupRun) -> tuple[Path, pd.DataFrame]:
    """Write the numbers that the pages of the subjects carry, one a row, each with its distance from the others."""
    rows = [row for subject in run.subjects for row in _of_subject(run.output_dir, subject)]
    table = pd.DataFrame(rows, columns=[*COLUMNS, "task", "label"])
    for _, group in table[table["value"].notna()].groupby(["quantity", "kind", "task", "atlas"], dropna=False):
        values = group["value"].to_numpy(dtype=float)
        z = robust_z(values)
        table.loc[group.index, "median"] = float(np.median(values))
        table.loc[group.index, "robust_z"] = z
        table.loc[group.index, "outlier"] = np.where(np.isfinite(z), (np.abs(z) > LIMIT).astype(float), np.nan)
    table["outlier"] = table["outlier"].astype("Float64").astype("Int64")
    labels = dict(zip(table["quantity"], table["label"], strict=True))
    path = run.names.path("group_quality")
    write_stats(
        path,
        table[list(COLUMNS)],
        COLUMNS,
        Quantities={str(key): str(label) for key, label in labels.items() if isinstance(key, str)},
        OutlierLimit=LIMIT,
        PackageVersions=versions("numpy"),
    )
    return path, table


def _of_subject(output_dir: Path, subject: str) -> list[dict[str, Any]]:
    numbers = read_numbers(output_dir / f"{subject}.html")
    if numbers is None:
        return [{"subject": subject, "reason": "no report of the subject, from which numbers are read"}]
    rows = [_row(subject, None, None, entry) for entry in numbers["rows"]]
    for recording in numbers["recordings"]:
        name = str(recording["name"]).removeprefix(f"{subject}_")
        kind = recording.get("kind") or None  # pages of older versions do not say
        rows += [_row(subject, name, kind, entry) for entry in recording["rows"]]
        if not recording["rows"]:
            reason = f"recording {recording['status']}"
            rows.append({"subject": subject, "recording": name, "kind": kind, "reason": reason})
    numeric = [row for row in rows if row is not None]
    return numeric or [{"subject": subject, "reason": "its report has no numbers"}]


def _row(subject: str, recording: str | None, kind: str | None, entry: dict[str, Any]) -> dict[str, Any] | None:
    value = entry["value"]
    if isinstance(value, str | bool):
        return None
    return {
        "subject": subject,
        "recording": recording,
        "kind": kind,
        "atlas": entry["of"] or None,
        "quantity": entry["key"],
        "value": np.nan if value is None else float(value),
        "unit": entry["unit"] or None,
        "reason": "not measured" if value is None else None,
        "task": _task(recording),
        "label": entry["label"],
    }


def _task(recording: str | None) -> str:
    """Values are compared among recordings of one task; those without a task among each other."""
    parts: Sequence[str] = (recording or "").split("_")
    return next((part for part in parts if part.startswith("task-")), "")
