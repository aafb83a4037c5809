"""Errors that say what was wanted, what came, and what to do next."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

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


class DiskFullError(BidsAiError):
    """No space is left where something was to be written; nothing half-written stays."""


def disk_full(error: BaseException, *folders: Path) -> str | None:
    """Say which disk is full and what to do, if that is what an error is about.

    Parameters
    ----------
    error : Exception
        Of the system (ENOSPC, EDQUOT), or of a library that hands on its words.
    *folders : Path
        That may have been written to; the one with the least space is named.
    """
    stated = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not stated and not any(words in str(error) for words in ("No space left on device", "Disk quota exceeded")):
        return None
    there = [folder for folder in folders if folder.exists()] or [Path.cwd()]
    place = min(there, key=lambda folder: shutil.disk_usage(folder).free)
    free = shutil.disk_usage(place).free / 1e6
    return (
        f"No space is left on the disk (or in the quota) of {place}: {free:.3g} MB are free. Free some, or give other "
        "folders for outputs and intermediate files (--work-dir); the same command goes on where this one stopped."
    )
