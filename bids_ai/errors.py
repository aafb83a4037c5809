"""Errors that say what was wanted, what came, and what to do next."""

from __future__ import annotations


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
