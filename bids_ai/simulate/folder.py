"""A dataset folder that is either whole or not there, and the plain files in it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError


@contextmanager
def new_folder(out_dir: Path) -> Iterator[Path]:
    """A temporary folder that becomes `out_dir` when the block ends without an error.

    Parameters
    ----------
    out_dir : Path
        Absent or empty.

    Yields
    ------
    Path
        Where to write; on the same disk, so that the rename is atomic.

    Raises
    ------
    InputError
        When `out_dir` is a file or holds anything, or its parent cannot be written to.
    """
    out_dir = Path(out_dir).absolute()
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise InputError(
            f"A new or empty folder is wanted for the dataset; {out_dir} is not empty. "
            "Name another folder, or remove this one first."
        )
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    except OSError as error:
        raise InputError(f"The dataset cannot be written to {out_dir}: {error.strerror}.") from error
    try:
        working.chmod(0o777 & ~_umask())
        yield working
        working.replace(out_dir)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object with its keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_text(path: Path, content: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content.strip() + "\n", encoding="utf-8")


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Sequence[object]] | NDArray[Any]) -> None:
    """Write a BIDS table; NaN becomes ``n/a``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(columns)] + ["\t".join(_cell(value) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _cell(value: object) -> str:
    if isinstance(value, float | np.floating):
        return "n/a" if np.isnan(value) else f"{value:.6g}"
    return "n/a" if value is None else str(value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
