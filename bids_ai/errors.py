"""Errors that say what was wanted, what came, and what to do next."""

from __future__ import annotations

#: Exit code of every command -> what it says. The help prints it; README.md and docs/command_line.md say the same.
EXIT_CODES = {
    0: "all done",
    1: "some recordings failed, or were skipped for a fault (they are listed at the end and in the report)",
    2: "refused before the first job, with every reason in one message",
    130: "interrupted; the same command goes on where this one stopped",
}


class BidsAiError(Exception):
    """Base class: a fault that is explained to the user without a traceback."""

    exit_code = 1


class InputError(BidsAiError, ValueError):
    """Data that cannot be used as they are."""


class UsageError(BidsAiError):
    """A call that is refused before the first job."""

    exit_code = 2


class FetchError(BidsAiError):
    """A file that could not be had, or is not the one wanted; says how to bring it."""


def as_clause(message: object) -> str:
    """Message as a part of another sentence, or of a list of reasons: without the full stop at its end.

    Parameters
    ----------
    message : object
        An error, or a text.
    """
    return str(message).strip().removesuffix(".")
