"""What was meant by a call that cannot be read: other spellings of options, and the nearest known word."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from bids_ai.errors import UsageError

#: Levels of BIDS apps: a call that ends in one, without a command, was meant for ``run``.
_LEVELS = {"participant", "group"}


class Parser(argparse.ArgumentParser):
    """A parser that answers a call it cannot read with a sentence, in place of all its options."""

    def error(self, message: str) -> NoReturn:
        """Refuse the call.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError(f"{message}. See {self.prog} --help.")


def hyphens(arguments: Iterable[str]) -> list[str]:
    """Spell options with hyphens, so that ``--participant_label`` works as well."""
    spelled = []
    for word in arguments:
        option, equals, value = word.partition("=")
        spelled.append(option.replace("_", "-") + equals + value if word.startswith("--") else word)
    return spelled


def ask_for_help(arguments: list[str], commands: Iterable[str]) -> list[str]:
    """Read ``bids-ai run help`` as ``bids-ai run --help``, unless there is something of that name."""
    asked = len(arguments) == 2 and arguments[0] in commands and arguments[1] == "help"
    return [arguments[0], "--help"] if asked and not Path("help").exists() else arguments


def check_command(command: str | None, arguments: Sequence[str], commands: Iterable[str]) -> None:
    """Refuse a command that is none, with what may have been meant.

    Parameters
    ----------
    command : str or None
        None where there is none, as in ``bids-ai --version``.
    arguments : sequence of str
        The whole call.
    commands : iterable of str
        Those that there are.

    Raises
    ------
    UsageError
        If it is not among them.
    """
    known = list(commands)
    if command is None or command in known:
        return
    hint = _nearest(command, known)
    if hint is None and _LEVELS & set(arguments[1:4]):
        hint = f"run {' '.join(arguments[:3])}"
    meant = f"Did you mean 'bids-ai {hint}'?" if hint else f"There are {', '.join(known)}."
    raise UsageError(f"There is no command '{command}'. {meant} See bids-ai --help.")


def check_options(unknown: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """Refuse what the parser of a command left over, with what may have been meant.

    Raises
    ------
    UsageError
        If anything is left over.
    """
    if not unknown:
        return
    known = [flag for action in parser._actions if action.help != argparse.SUPPRESS for flag in action.option_strings]
    found = {word: _nearest(word.partition("=")[0], known) for word in unknown if word.startswith("-")}
    meant = [f"'{near}' for '{word}'" for word, near in found.items() if near]
    hint = f" Did you mean {', '.join(meant)}?" if meant else ""
    raise UsageError(f"unrecognized arguments: {' '.join(unknown)}.{hint} See {parser.prog} --help.")


def _nearest(word: str, known: Sequence[str]) -> str | None:
    near = difflib.get_close_matches(word.lower(), known, n=1)
    return near[0] if near else None
