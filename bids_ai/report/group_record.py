"""What the page of all subjects is told by the group level: plain records, kept beside the derivatives.

The page is written anew after every run over subjects; the record lets it keep what the group level has found.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bids_ai.errors import InputError
from bids_ai.report.files import write_text_atomic
from bids_ai.report.model import MethodsText, SummaryRow, Table, from_dict, to_dict

#: Where the record lies, from the output folder.
RECORD = Path(".bids_ai") / "group.json"


@dataclass(frozen=True)
class GroupFigure:
    """A figure of a section.

    Attributes
    ----------
    title, caption : str
    path : str
        Relative to the output folder.
    description : str
        How it is read.
    """

    title: str
    caption: str
    path: str
    description: str = ""


@dataclass(frozen=True)
class LinkedFile:
    """A file of the derivatives, relative to the output folder, and what it holds."""

    path: str
    what: str


@dataclass(frozen=True)
class GroupSection:
    """A section of the page.

    Attributes
    ----------
    id, name : str
    intro : str
    warnings : list of str
        What the reader should know before the figures.
    facts : list of SummaryRow
    figures : list of GroupFigure
    tables : list of Table
    missing : list of str
        What could not be had, with the reason.
    files : list of LinkedFile
    """

    id: str
    name: str
    intro: str = ""
    warnings: list[str] = field(default_factory=list)
    facts: list[SummaryRow] = field(default_factory=list)
    figures: list[GroupFigure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    files: list[LinkedFile] = field(default_factory=list)


@dataclass(frozen=True)
class GroupRecord:
    """All that the group level has found.

    Attributes
    ----------
    written : str
        When.
    version, command : str
    facts : list of SummaryRow
    warnings : list of str
    sections : list of GroupSection
    methods : MethodsText
    """

    written: str = ""
    version: str = ""
    command: str = ""
    facts: list[SummaryRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    sections: list[GroupSection] = field(default_factory=list)
    methods: MethodsText = field(default_factory=MethodsText)


def save_record(output_dir: Path, record: GroupRecord) -> Path:
    """Write the record of a group."""
    return write_text_atomic(Path(output_dir) / RECORD, json.dumps(_plain(to_dict(record)), ensure_ascii=False))


def load_record(output_dir: Path) -> GroupRecord | None:
    """Read the record of a group; None where there is none, or one of another version."""
    path = Path(output_dir) / RECORD
    try:
        return from_dict(GroupRecord, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, InputError, AttributeError):
        return None


def _plain(value: Any) -> Any:
    """Return what JSON can hold: NaN becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and value != value else value
