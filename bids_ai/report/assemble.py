"""Assembling of ``sub-<label>.html`` from the figures that are there and from plain records of what happened.

Nothing here depends on a workflow rule: whatever is missing is said in a sentence, so that a report can be written
after a failure as well as after a success.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from bids_ai.errors import InputError
from bids_ai.report.files import write_text_atomic
from bids_ai.report.group import assemble_index
from bids_ai.report.methods import render_plain
from bids_ai.report.model import (
    ErrorRecord,
    InputFile,
    MethodsText,
    RecordingSummary,
    Statement,
    Summary,
    SummaryRow,
    Table,
    from_dict,
)
from bids_ai.report.pictures import is_tall
from bids_ai.report.render import link, render
from bids_ai.report.sections import (
    FigureFile,
    Group,
    Reportlet,
    Section,
    find_figures,
    group_figures,
    load_sections,
    missing_reportlets,
    told_apart,
    unplaced,
)

__all__ = ["assemble_index", "assemble_subject"]

#: Up to this many recordings stand side by side in the table of numbers; more stand below each other.
MAX_SIDE_BY_SIDE = 4
_LABEL = re.compile(r"[0-9A-Za-z+]+")
_Placed = TypeVar("_Placed", Table, Statement)


def assemble_subject(
    output_dir: Path,
    subject: str,
    *,
    summary: Summary | Mapping[str, Any],
    errors: Sequence[ErrorRecord | Mapping[str, Any]],
    methods: MethodsText | Mapping[str, Any],
    version: str,
    command: str | Sequence[str],
    out_html: Path | None = None,
) -> Path:
    """Write the report of a subject.

    Parameters
    ----------
    output_dir : Path
        Root of the derivatives; figures are looked for in ``sub-<label>/figures`` (and ``sub-<label>/ses-*/figures``).
    subject : str
        Label without ``sub-``.
    summary : Summary or dict
        Numbers, recordings, inputs, warnings, tables; see :mod:`bids_ai.report.model`.
    errors : list of ErrorRecord or dict
    methods : MethodsText or dict
        From :func:`bids_ai.report.methods.methods_text`.
    version : str
        Of bids_ai.
    command : str or list of str
        The command of the user.
    out_html : Path, optional
        Default ``output_dir/sub-<label>.html``; figures are linked relative to it.

    Returns
    -------
    Path
        The page, written atomically.

    Raises
    ------
    InputError
        When the label is not alphanumeric, or a record has an unknown field.
    """
    if not _LABEL.fullmatch(subject):
        raise InputError(f"'{subject}' is no BIDS label: only letters and digits are allowed.")
    page = Path(out_html) if out_html is not None else Path(output_dir) / f"sub-{subject}.html"
    told = from_dict(Summary, summary)
    failures = [from_dict(ErrorRecord, error) for error in errors]
    text = from_dict(MethodsText, methods)
    figures = find_figures(Path(output_dir), subject)
    sections = [_section(section, figures, page) for section in load_sections()]
    others = [
        _figure(Reportlet({}, figure.path.name, "A figure that no section of this report asks for."), figure, page)
        for figure in unplaced(figures)
    ]
    html = render(
        "subject.html.j2",
        subject=subject,
        summary=told,
        errors=failures,
        methods=text,
        methods_plain=render_plain(text),
        sections=sections,
        others=others,
        contents=_contents(told, sections, others),
        inputs=_inputs_by_recording(told.inputs),
        tables=_by_section(told.tables),
        statements=_by_section(told.statements),
        version=version,
        command=command if isinstance(command, str) else " ".join(command),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        numbers=_numbers(subject, told, failures, version),
        unfinished=[item for item in told.recordings if item.status != "done" and item.reason],
        recording_tables=_recording_tables(told.recordings, subject),
    )
    return write_text_atomic(page, html)


def _section(section: Section, figures: list[FigureFile], page: Path) -> dict[str, Any]:
    groups = group_figures(section, figures)
    return {
        "id": section.id,
        "name": section.name,
        "note": section.note,
        "missing": section.missing,
        "absent": missing_reportlets(section, groups),
        "groups": [_group(section, group, number, page) for number, group in enumerate(groups, 1)],
    }


def _group(section: Section, group: Group, number: int, page: Path) -> dict[str, Any]:
    return {
        "id": f"{section.id}-{number}",
        "heading": group.heading,
        "figures": [
            _figure(replace(reportlet, title=reportlet.title + apart), figure, page)
            for reportlet, figure, apart in told_apart(group, section.ordering)
        ],
    }


def _figure(reportlet: Reportlet, figure: FigureFile, page: Path) -> dict[str, Any]:
    return {
        "id": "figure-" + re.sub(r"[^0-9A-Za-z_-]", "-", figure.path.stem),
        "title": reportlet.title,
        "name": f"{reportlet.title}: {figure.path.name}",
        "caption": reportlet.caption,
        "description": reportlet.description,
        "layers": reportlet.layers,
        "href": link(figure.path, page),
        "file": figure.path.name,
        "narrow": is_tall(figure.path),
    }


def _contents(told: Summary, sections: list[dict[str, Any]], others: list[Any]) -> list[dict[str, Any]]:
    """Return the table of contents: sections, with their groups where there is more than one."""
    entries: list[dict[str, Any]] = [
        {"id": "summary", "name": "Summary", "children": []},
        {"id": "inputs", "name": "Inputs", "children": []},
    ]
    for section in sections:
        headed = [group for group in section["groups"] if group["heading"]]
        children = [{"id": group["id"], "name": group["heading"]} for group in headed] if len(headed) > 1 else []
        entries.append({"id": section["id"], "name": section["name"], "children": children})
    if others:
        entries.append({"id": "others", "name": "Other figures", "children": []})
    last = (("methods", "Methods"), ("errors", "Errors"), ("about", "About"))
    return entries + [{"id": key, "name": name, "children": []} for key, name in last]


def _inputs_by_recording(files: list[InputFile]) -> list[tuple[str, list[InputFile]]]:
    """Return files by recording, those of the subject first, used before unused."""
    names = sorted({file.recording for file in files})
    return [
        (name, sorted((f for f in files if f.recording == name), key=lambda f: (not f.used, f.kind, f.path)))
        for name in names
    ]


def _by_section(items: Sequence[_Placed]) -> dict[str, list[_Placed]]:
    found: dict[str, list[_Placed]] = {}
    for item in items:
        found.setdefault(item.section, []).append(item)
    return found


def _recording_tables(recordings: list[RecordingSummary], subject: str) -> list[dict[str, Any]]:
    """Return a table of numbers for each kind of recording."""
    kinds = dict.fromkeys(recording.kind for recording in recordings)
    return [_recording_table(kind, [item for item in recordings if item.kind == kind], subject) for kind in kinds]


def _recording_table(kind: str, recordings: list[RecordingSummary], subject: str) -> dict[str, Any]:
    """Return the numbers by recording, and which way round they are shown."""
    named = {recording.name: name_rows(recording.rows) for recording in recordings}
    labels = list(dict.fromkeys(label for rows in named.values() for label in rows))
    count = f"{len(recordings)} {'recording' if len(recordings) == 1 else 'recordings'}"
    return {
        "caption": f"{kind}: {count}" if kind else count,
        "labels": labels,
        "transposed": len(recordings) <= MAX_SIDE_BY_SIDE,
        "recordings": [
            {
                "short": recording.name.removeprefix(f"sub-{subject}_"),
                "status": recording.status,
                "rows": named[recording.name],
            }
            for recording in recordings
        ],
    }


def name_rows(rows: list[SummaryRow]) -> dict[str, SummaryRow]:
    """Return rows by a label that none shares with another: with what it is about, else with a number."""
    shared = {row.label for row in rows if sum(other.label == row.label for other in rows) > 1}
    named: dict[str, SummaryRow] = {}
    for row in rows:
        label = f"{row.label}, {row.of}" if row.of and row.label in shared else row.label
        name, number = label, 2
        while name in named:
            name, number = f"{label} ({number})", number + 1
        named[name] = row
    return named


def _numbers(subject: str, told: Summary, errors: list[ErrorRecord], version: str) -> dict[str, Any]:
    """Return the numbers that the page carries for the page of all subjects."""
    return {
        "subject": subject,
        "dataset": told.dataset,
        "version": version,
        "n_errors": len(errors),
        "rows": _keyed(told.rows),
        "recordings": [
            {
                "name": recording.name,
                "status": recording.status,
                "kind": recording.kind,
                "rows": _keyed(recording.rows),
            }
            for recording in told.recordings
        ],
    }


def _keyed(rows: list[SummaryRow]) -> list[dict[str, Any]]:
    fields = ("key", "label", "value", "unit", "digits", "of")
    return [{name: _plain(getattr(row, name)) for name in fields} for row in rows if row.key]


def _plain(value: Any) -> Any:
    """Return a value that JSON can hold: NaN becomes null."""
    return None if isinstance(value, float) and value != value else value
