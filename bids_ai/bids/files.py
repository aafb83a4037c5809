"""Writing files so that nothing is ever half-written: to a temporary name first, then renamed."""

from __future__ import annotations

import json
import math
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from bids_ai.bids.json_text import parse_json
from bids_ai.errors import DiskFullError, disk_full


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`, and rename it to `path` when the block ends well.

    The temporary name keeps the extension, since many writers choose the format by it.

    Raises
    ------
    DiskFullError
        If no space was left; whatever else the block raises comes out as it is.
    """
    path = Path(path)
    temporary = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except Exception as error:  # each library that writes has errors of its own
        # Looked at before the file goes, which may free the space that was lacking.
        full = disk_full(error, path.parent)
        if full is None:
            raise
        raise DiskFullError(f"{path.name} was not written. {full}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def unfinished(path: Path) -> Path:
    """Name beside `path` for what is being written; another one at every call.

    Numbers of processes would not do: runs in two containers, or on two machines, may have the same.
    """
    return path.with_name(f".{secrets.token_hex(4)}-{path.name}")


def copy(source: Path, target: Path) -> None:
    """Copy a file under its final name, atomically."""
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write JSON, atomically; numbers that JSON lacks (NaN, infinity) become null."""
    write_text(path, json.dumps(_plain(content), indent=2, ensure_ascii=False) + "\n")


def refuse_pipe(path: Path) -> None:
    """Refuse what is there and is no file: who opens a pipe waits for ever.

    Raises
    ------
    OSError
    """
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is no file but a folder, a pipe or a device")


def read_json(path: Path) -> Any:
    """Read a JSON file; a byte-order mark is tolerated.

    Raises
    ------
    ValueError
        If it is no JSON, or no UTF-8; see `bids_ai.bids.json_text.parse_json`.
    """
    refuse_pipe(Path(path))
    return parse_json(Path(path).read_text(encoding="utf-8-sig"))


def _plain(value: Any) -> Any:
    """Reduce numpy and paths to what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
