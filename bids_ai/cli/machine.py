"""Cores and memory that this process may use: a container or a batch job often gets less than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Limits:
    """What the control groups of a process allow; None is no limit.

    Attributes
    ----------
    cores : float or None
        Processor time per time.
    memory : int or None
        Bytes.
    """

    cores: float | None
    memory: int | None


def usable_cores() -> int:
    """Cores that this process may use, at least 1."""
    quota = control_group_limits().cores
    allowed = allowed_cores()
    return allowed if quota is None else max(1, min(allowed, int(quota)))


def allowed_cores() -> int:
    """Cores that the scheduler may put this process on; all of them where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_memory() -> int:
    """Memory that this process may use, bytes."""
    limit = control_group_limits().memory
    return machine_memory() if limit is None else min(machine_memory(), limit)


def machine_memory() -> int:
    """Memory of the machine, bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def control_group_limits(root: Path = _CONTROL_GROUPS, membership: Path = _MEMBERSHIP) -> Limits:
    """Read the limits of the control groups of this process, of version 1, 2 or both (cgroups(7)).

    A group is bound by all groups above it, so that the least of them counts.

    Parameters
    ----------
    root : Path
        Where the groups are mounted.
    membership : Path
        Lines ``number:controllers:group``, of this process.

    Returns
    -------
    Limits
    """
    cores: list[float] = []
    memory: list[int] = []
    for folder in _groups(root, membership):
        cores += _quota(folder)
        memory += _numbers(folder / "memory.max") + _numbers(folder / "memory.limit_in_bytes")
    return Limits(min(cores, default=None), min(memory, default=None))


def _groups(root: Path, membership: Path) -> Iterator[Path]:
    """Folders of the groups of this process, and of those above them.

    In a container the group may bear its name outside, while what is mounted begins with the group itself: folders
    that are not there are passed over, and the root is always looked at.
    """
    for line in _text(membership).splitlines():
        _, controllers, group = line.split(":", 2)
        mounts = [controllers, *controllers.split(",")] if controllers else [".", "unified"]
        for mount in {(root / name).resolve() for name in mounts}:
            place = mount / group.lstrip("/")
            yield from (folder for folder in (place, *place.parents) if folder == mount or mount in folder.parents)


def _quota(folder: Path) -> list[float]:
    """Cores that a group is given: ``cpu.max`` holds quota and period (version 2), two files in version 1."""
    first = _text(folder / "cpu.max").split()
    second = [*_text(folder / "cpu.cfs_quota_us").split(), *_text(folder / "cpu.cfs_period_us").split()]
    pairs = [pair for pair in (first, second) if len(pair) == 2 and pair[0].isdigit() and pair[1].isdigit()]
    return [int(quota) / int(period) for quota, period in pairs if int(period)]


def _numbers(path: Path) -> list[int]:
    """The number in a file, or none: ``max``, and files that are not there, are no limits."""
    text = _text(path).strip()
    return [int(text)] if text.isdigit() else []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
