"""What a case may not do: write anywhere, start a program, load a pickle, or go on for ever.

Python tells of each of these before it happens (audit events); time is that of the processor, since a machine that is
shared makes everybody wait.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

#: A case that computes longer is a hang, s.
LIMIT_S = 2.0
#: What a case may allocate beyond what the process had before, bytes.
LIMIT_BYTES = 2**30
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
_CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Hang(BaseException):
    """A case that took too long; no `Exception`, so that no reader takes it for a fault of the file."""


class Deed(BaseException):
    """A case that did what no reader may do."""


class _State:
    watching = False
    allowed: tuple[str, ...] = ()
    programs = False


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _State.watching:
        return
    if (event in _PROGRAMS and not _State.programs) or event == "pickle.find_class":
        _forbid(event, arguments)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        _allow(event, arguments[0])
    if event in _CHANGES:
        _allow(event, arguments[0])


def _allow(event: str, path: Any) -> None:
    named = os.path.abspath(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else str(path)  # noqa: PTH100
    if not named.startswith((*_State.allowed, "/dev/null")):
        _forbid(event, named)


def _forbid(event: str, what: Any) -> None:
    _State.watching = False
    raise Deed(f"{event}: {str(what)[:200]}")


def _late(number: int, frame: FrameType | None) -> None:
    raise Hang(f"more than {LIMIT_S:g} s")


def install() -> None:
    """Begin to listen; once a process, since it cannot be taken back."""
    sys.addaudithook(_audit)
    signal.signal(signal.SIGPROF, _late)


def limit_memory() -> None:
    """Refuse, from now on, allocations of more than `LIMIT_BYTES` beyond what is mapped already."""
    with open("/proc/self/statm") as stream:  # noqa: PTH123
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + LIMIT_BYTES, resource.RLIM_INFINITY))


@contextmanager
def watched(*allowed: str, programs: bool = False) -> Iterator[None]:
    """Watch a block, in which nothing but these folders may be written to."""
    _State.programs = programs
    _State.allowed = tuple(f"{folder}/" for folder in allowed)
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    _State.watching = True
    try:
        yield
    finally:
        _State.watching = False
        signal.setitimer(signal.ITIMER_PROF, 0)
