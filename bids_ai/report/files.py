"""Writing files of the report: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from bids_ai.errors import DiskFullError, disk_full


def write_atomic(out: Path | str, write: Callable[[Path], None]) -> Path:
    """Let `write` fill a temporary file beside `out`, then rename it to `out`.

    Parameters
    ----------
    out : path
        Target; missing parent folders are made.
    write : callable
        Gets the path of an empty temporary file with the suffix of `out`.

    Returns
    -------
    Path
        `out`. When `write` raises, `out` is as it was before and the temporary file is gone.

    Raises
    ------
    DiskFullError
        If no space was left.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=".tmp-", suffix=out.suffix)
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(out)
    except Exception as error:
        full = disk_full(error, out.parent)
        if full is None:
            raise
        raise DiskFullError(f"{out.name} was not written. {full}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return out


def write_text_atomic(out: Path | str, text: str) -> Path:
    """Write `text` (UTF-8) atomically to `out`."""

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write_atomic(out, write)


def _umask() -> int:
    """Return the umask of the process; mkstemp ignores it and makes files only their owner can read."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
