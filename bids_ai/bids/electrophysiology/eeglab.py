"""EEGLAB files that end the process which reads them, found out in another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from bids_ai.errors import InputError

_LIMIT_S = 600
# As MNE reads it. What is raised is told when the file is opened; only a process that died says something here.
_PROGRAM = "import sys; from scipy.io import loadmat; loadmat(sys.argv[1], squeeze_me=True, struct_as_record=False)"

#: What such a file has the reader look at is memory that nobody filled, and by chance it may do no harm. Filled with
#: rubbish it always does: by glibc (any number but 0), and by Python's own allocator.
_RUBBISH = {"MALLOC_PERTURB_": "165", "PYTHONMALLOC": "malloc_debug"}


def check_eeglab(path: Path) -> None:
    """Refuse a ``.set`` file on which the reader of MATLAB's format ends the process (a few changed bits do).

    The job would be gone without a word, and be taken for one that ran out of memory.

    Raises
    ------
    InputError
    """
    stat = path.stat()
    died = _read_elsewhere(path, stat.st_size, stat.st_mtime_ns)
    if died:
        raise InputError(
            f"{path} cannot be read: it is corrupt, and ends the program that reads it ({died}). Compare its size with "
            "the origin and fetch or export it again."
        )


@lru_cache(maxsize=64)
def _read_elsewhere(path: Path, size: int, changed_ns: int) -> str:
    """Name of the signal that ended a process which read the file; empty where none did."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(path)],
            env=os.environ | _RUBBISH,
            capture_output=True,
            timeout=_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {_LIMIT_S} s"
    return signal.Signals(-done.returncode).name if done.returncode < 0 else ""
