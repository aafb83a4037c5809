"""What a report is told: plain records, filled by the stages and by the command, free of file names and HTML.

Every record can be given as itself or as a dict of its fields; :func:`from_dict` turns the one into the other, and
:func:`to_dict` back, so that records can be stored as JSON between the steps of a run.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, Union

from bids_ai.errors import InputError

Scalar = float | int | str | bool | None
T = TypeVar("T")

#: States of a recording, with the word shown.
STATUS_WORDS = {"done": "done", "failed": "failed", "skipped": "skipped", "partial": "incomplete"}


@dataclass(frozen=True)
class SummaryRow:
    """One number or fact about a subject or a recording.

    Attributes
    ----------
    label : str
        In words, as shown.
    value : float, int, str, bool or None
        None and NaN are shown as n/a.
    unit : str
        As shown after the number; "%" wants the value in percent already.
    digits : int, optional
        Decimals; by default three significant figures for floats.
    note : str
        A remark shown beside the value, such as what it is compared with.
    key : str
        Machine name, such as ``fd_mean``. Rows with a key become columns of the group page.
    of : str
        What the row is about where one recording has several of it, such as the label of an atlas.
    """

    label: str
    value: Scalar = None
    unit: str = ""
    digits: int | None = None
    note: str = ""
    key: str = ""
    of: str = ""


@dataclass(frozen=True)
class InputFile:
    """A file of the dataset that was found: used, or not and why.

    Attributes
    ----------
    path : str
        Relative to the dataset.
    kind : str
        Such as T1w, BOLD, events.
    used : bool
    reason : str
        Why it was chosen or left out.
    recording : str
        Stem of the recording it belongs to, such as ``sub-01_task-rest_run-1``; empty for the subject.
    details : str
        Such as ``80 x 80 x 35, 156 volumes, TR 2 s``.
    """

    path: str
    kind: str = ""
    used: bool = True
    reason: str = ""
    recording: str = ""
    details: str = ""


@dataclass(frozen=True)
class Notice:
    """Something the reader should know: what, where, and what to do about it."""

    text: str
    where: str = ""
    advice: str = ""


@dataclass(frozen=True)
class RecordingSummary:
    """One recording (subject x session x task x run) and what came of it.

    Attributes
    ----------
    name : str
        Stem, such as ``sub-01_ses-1_task-rest_run-1``.
    status : str
        ``done``, ``failed``, ``skipped`` or ``partial``.
    reason : str
        Why it is not done.
    rows : list of SummaryRow
    kind : str
        Recordings of one kind share a table, such as BOLD or DWI.
    """

    name: str
    status: str = "done"
    reason: str = ""
    rows: list[SummaryRow] = field(default_factory=list)
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table shown in one of the sections, such as regions left out.

    Attributes
    ----------
    title : str
    columns : list of str
        With units in the name.
    rows : list of list of scalars
    section : str
        Identifier of the section in sections.yaml.
    note : str
    folded : bool
        Whether it is to be unfolded by who wants it.
    """

    title: str
    columns: list[str]
    rows: list[list[Scalar]]
    section: str = "parcellation"
    note: str = ""
    folded: bool = False


@dataclass(frozen=True)
class Statement:
    """A finding in one or two sentences, shown at the head of its section, before figures and tables.

    Attributes
    ----------
    text : str
    section : str
        Identifier of the section in sections.yaml.
    where : str
        Such as recording and atlas.
    """

    text: str
    section: str
    where: str = ""


@dataclass(frozen=True)
class Summary:
    """All that is said of a subject before the figures.

    Attributes
    ----------
    dataset : str
        Name in dataset_description.json.
    rows : list of SummaryRow
        Facts of the subject: T1w, brain volume, atlas, engine.
    recordings : list of RecordingSummary
    inputs : list of InputFile
        Files used and not used.
    warnings : list of Notice
    tables : list of Table
    statements : list of Statement
    """

    dataset: str = ""
    rows: list[SummaryRow] = field(default_factory=list)
    recordings: list[RecordingSummary] = field(default_factory=list)
    inputs: list[InputFile] = field(default_factory=list)
    warnings: list[Notice] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)


@dataclass(frozen=True)
class ErrorRecord:
    """A stage that failed.

    Attributes
    ----------
    stage : str
        Name of the stage, which is also that of the workflow rule.
    message : str
        What was wrong, in one or two sentences.
    recording : str
        Stem of the recording; empty for the whole subject.
    cause : str
        Likely cause, in words.
    advice : str
        What to do next.
    inputs : list of str
        Files the stage was reading.
    log : str
        Path of the log, relative to the output folder.
    log_tail : str
        Last lines of the log.
    exit_code : int, optional
    """

    stage: str
    message: str = ""
    recording: str = ""
    cause: str = ""
    advice: str = ""
    inputs: list[str] = field(default_factory=list)
    log: str = ""
    log_tail: str = ""
    exit_code: int | None = None


@dataclass(frozen=True)
class Citation:
    """A work that is cited. `number` is its place in the list of references."""

    key: str
    text: str
    doi: str = ""
    bibtex: str = ""
    number: int = 0


@dataclass(frozen=True)
class Paragraph:
    """A headed paragraph of the methods text; citations stand in it as ``[1, 2]``."""

    heading: str
    text: str


@dataclass(frozen=True)
class Software:
    """A tool that ran, with its version."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class MethodsText:
    """Methods, references and software of what ran; made by :func:`bids_ai.report.methods.methods_text`."""

    paragraphs: list[Paragraph] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    software: list[Software] = field(default_factory=list)


def to_dict(record: Any) -> dict[str, Any]:
    """Return a record and all in it as plain dicts and lists, fit for JSON."""
    return dataclasses.asdict(record)


def from_dict(kind: type[T], values: T | Mapping[str, Any]) -> T:
    """Build a record from a dict of its fields (records within it likewise); a record is returned as it is.

    Raises
    ------
    InputError
        For an unknown field, with the nearest known one, or a missing one.
    """
    if isinstance(values, kind):
        return values
    if not isinstance(values, Mapping):
        raise InputError(f"{kind.__name__} wants a dict of its fields, not {type(values).__name__}.")
    hints = typing.get_type_hints(kind)
    unknown = [key for key in values if key not in hints]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), hints, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(hints)}."
        raise InputError(f"{kind.__name__} has no field '{unknown[0]}': {hint}")
    try:
        return kind(**{key: _convert(hints[key], value) for key, value in values.items()})
    except TypeError as error:
        raise InputError(f"{kind.__name__}: {error}") from None


def _convert(hint: Any, value: Any) -> Any:
    """Convert the value of a field: dicts within it that stand for records."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list and isinstance(value, list | tuple):
        return [_convert(arguments[0], item) for item in value]
    if origin in (Union, types.UnionType):
        return value
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    return value
