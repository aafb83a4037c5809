"""A lock per subject, so that two runs over different subjects can share an output folder, and two over one cannot.

The system drops the locks of a process that dies, however it dies.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from bids_ai.errors import UsageError

#: What a file system says that keeps no locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def lock_subjects(output_dir: Path, subjects: Iterable[str]) -> Iterator[None]:
    """Hold the locks of subjects.

    Raises
    ------
    UsageError
        If another run holds one of them.
    """
    folder = output_dir / ".bids_ai" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        busy = [subject for subject in subjects if not _acquire(stack.enter_context((folder / subject).open("a+")))]
        if busy:
            raise UsageError(
                f"Another run is working on {', '.join(busy)} in {output_dir}. Wait for it to end, or ask for other "
                "subjects with --participant-label."
            )
        yield


def _acquire(stream: TextIO) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        # As on some cluster file systems: better a run without locks than none.
        print(f"warning: {stream.name}: no locks here; see that no two runs share a subject.", file=sys.stderr)
    stream.truncate(0)
    stream.write(f"{os.getpid()}\n")
    stream.flush()
    return True
