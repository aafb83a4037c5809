"""The page of all subjects: links, and a sortable table of the numbers that the subjects' pages carry."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from bids_ai.report.files import write_text_atomic
from bids_ai.report.formatting import format_value
from bids_ai.report.group_record import GroupFigure, GroupRecord, GroupSection, load_record
from bids_ai.report.methods import render_plain
from bids_ai.report.pictures import is_tall
from bids_ai.report.render import link, render, sort_key

_NUMBERS = re.compile(r'<script type="application/json" id="bids-ai-numbers">(.*?)</script>', re.DOTALL)


def assemble_index(output_dir: Path, subjects: Sequence[str], *, version: str = "") -> Path:
    """Write ``group.html``: a link per subject and their numbers, one row per recording and atlas.

    The numbers are those in the pages of the subjects (rows of the summary that have a key), so that subjects of
    earlier runs are in the table too. What the group level has found stands before them, as its record has it.

    Parameters
    ----------
    output_dir : Path
        Where the pages of the subjects lie.
    subjects : sequence of str
        Labels without ``sub-``. A subject without a page is named as such.
    version : str
        Of bids_ai; by default that in the pages.

    Returns
    -------
    Path
        ``output_dir/group.html``, written atomically.
    """
    page = Path(output_dir) / "group.html"
    found = {subject: read_numbers(Path(output_dir) / f"sub-{subject}.html") for subject in subjects}
    told = {subject: numbers for subject, numbers in found.items() if numbers is not None}
    columns = _columns(told.values())
    rows = [
        _row(subject, recording, about, numbers, columns, page)
        for subject, numbers in told.items()
        for recording in numbers["recordings"] or [{"name": "", "status": "", "rows": []}]
        for about in _matters_of(recording)
    ]
    record = load_record(Path(output_dir)) or GroupRecord()
    html = render(
        "group.html.j2",
        record=record,
        sections=[_section(section, page) for section in record.sections],
        methods=record.methods,
        methods_plain=render_plain(record.methods),
        dataset=next((numbers["dataset"] for numbers in told.values() if numbers["dataset"]), ""),
        version=version or next((numbers["version"] for numbers in told.values()), ""),
        n_subjects=len(told),
        n_errors=sum(numbers["n_errors"] > 0 for numbers in told.values()),
        absent=[f"sub-{subject}" for subject in subjects if subject not in told],
        columns=columns,
        rows=rows,
    )
    return write_text_atomic(page, html)


def read_numbers(page: Path) -> dict[str, Any] | None:
    """Return the numbers that a subject's page carries; None without a page, or for a page of another kind."""
    if not page.is_file():
        return None
    found = _NUMBERS.search(page.read_text(encoding="utf-8", errors="replace"))
    if found is None:
        return None
    try:
        numbers: dict[str, Any] = json.loads(found.group(1))
    except json.JSONDecodeError:
        return None
    return numbers


def _section(section: GroupSection, page: Path) -> dict[str, Any]:
    """Section with its figures and files as the page links them; those that are gone are left out."""
    folder = page.parent
    return {
        "id": section.id,
        "name": section.name,
        "intro": section.intro,
        "warnings": section.warnings,
        "facts": section.facts,
        "figures": [_figure(shown, page) for shown in section.figures if (folder / shown.path).is_file()],
        "tables": section.tables,
        "missing": section.missing,
        "files": [
            {"href": link(folder / file.path, page), "name": Path(file.path).name, "what": file.what}
            for file in section.files
            if (folder / file.path).is_file()
        ],
    }


def _figure(shown: GroupFigure, page: Path) -> dict[str, Any]:
    path = page.parent / shown.path
    return {
        "id": "figure-" + re.sub(r"[^0-9A-Za-z_-]", "-", "-".join(Path(shown.path).with_suffix("").parts)),
        "title": shown.title,
        "name": f"{shown.title}: {path.name}",
        "caption": shown.caption,
        "description": shown.description,
        "layers": {},
        "href": link(path, page),
        "file": path.name,
        "narrow": is_tall(path),
    }


def _columns(told: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Return one column per key, in the order met: those of the subject, then those of the recordings."""
    per_subject: dict[str, dict[str, str]] = {}
    per_recording: dict[str, dict[str, str]] = {}
    for numbers in told:
        for row in numbers["rows"]:
            per_subject.setdefault(row["key"], row)
        for recording in numbers["recordings"]:
            for row in recording["rows"]:
                per_recording.setdefault(row["key"], row)
    merged = per_subject | {key: row for key, row in per_recording.items() if key not in per_subject}
    return [{"key": key, "label": row["label"], "unit": row["unit"]} for key, row in merged.items()]


def _matters_of(recording: dict[str, Any]) -> list[str]:
    """Return what the rows of a recording are about, such as its atlases: a line of the table each."""
    return list(dict.fromkeys(row["of"] for row in recording["rows"] if row["of"])) or [""]


def _row(
    subject: str,
    recording: dict[str, Any],
    about: str,
    numbers: dict[str, Any],
    columns: list[dict[str, str]],
    page: Path,
) -> dict[str, Any]:
    own = [row for row in recording["rows"] if row["of"] in ("", about)]
    values = {row["key"]: row for row in [*numbers["rows"], *own]}
    name = str(recording["name"]).removeprefix(f"sub-{subject}_") + (f", {about}" if about else "")
    return {
        "subject": subject,
        "href": link(page.parent / f"sub-{subject}.html", page),
        "recording": name,
        "status": recording["status"],
        "n_errors": numbers["n_errors"],
        "cells": [_cell(values.get(column["key"])) for column in columns],
    }


def _cell(row: dict[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {"text": "n/a", "sort": ""}
    return {"text": format_value(row["value"], "", row["digits"]), "sort": sort_key(row["value"])}
