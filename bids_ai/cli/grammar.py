"""What the parsers of the commands say, in plain records: for completion scripts and descriptors."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Takes = Literal["nothing", "one", "many"]


@dataclass(frozen=True)
class Argument:
    """An option or a positional argument.

    Attributes
    ----------
    name : str
        Its name in the program, with underscores.
    flags : tuple of str
        Spellings; none for a positional argument.
    takes : {"nothing", "one", "many"}
        How many values.
    required : bool
    choices : tuple of str
        The only values; none if there are others.
    kind : {"text", "file", "integer", "number"}
        What a value is; of a file it is not said whether it is a folder.
    help : str
    metavar : str
        How the help calls a value.
    group : str
        Heading of the help.
    rivals : int or None
        Number of the set of options of which one may be given.
    """

    name: str
    flags: tuple[str, ...]
    takes: Takes
    required: bool
    choices: tuple[str, ...]
    kind: Literal["text", "file", "integer", "number"]
    help: str
    metavar: str
    group: str
    rivals: int | None

    @property
    def flag(self) -> str:
        """The long spelling."""
        return next((flag for flag in self.flags if flag.startswith("--")), self.flags[0])


def arguments_of(parser: argparse.ArgumentParser) -> list[Argument]:
    """Arguments of a parser in the order of its help, without those that the help does not show."""
    formatter = parser._get_formatter()
    rivals = {
        id(action): number
        for number, group in enumerate(parser._mutually_exclusive_groups)
        for action in group._group_actions
    }
    return [
        _argument(action, str(group.title or ""), formatter, rivals.get(id(action)))
        for group in parser._action_groups
        for action in group._group_actions
        if action.help != argparse.SUPPRESS
    ]


def _argument(action: argparse.Action, group: str, formatter: argparse.HelpFormatter, rivals: int | None) -> Argument:
    choices = tuple(str(choice) for choice in action.choices or ())
    return Argument(
        name=action.dest,
        flags=tuple(action.option_strings),
        takes=_takes(action),
        required=action.required and action.nargs not in ("?", "*"),
        choices=choices,
        kind=_kind(action),
        help=formatter._expand_help(action) if action.help else "",
        metavar=_metavar(action.metavar) or action.dest.upper(),
        group=group,
        rivals=rivals,
    )


def _takes(action: argparse.Action) -> Takes:
    if action.nargs == 0:
        return "nothing"
    return "many" if action.nargs in ("+", "*") else "one"


def _kind(action: argparse.Action) -> Literal["text", "file", "integer", "number"]:
    if action.type is Path:
        return "file"
    return "integer" if action.type is int else "number" if action.type is float else "text"


def _metavar(metavar: str | Sequence[str] | None) -> str:
    return metavar if isinstance(metavar, str) else " ".join(metavar or ())
