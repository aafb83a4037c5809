"""What is in the folders of a dataset and must not be walked into: links in circles, names that are no text.

pybids follows every link, through circles as well, and ends at none.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

#: Folders that pybids is told to leave out anyway.
_LEFT_OUT = ("sourcedata", "derivatives", "code", "stimuli")


def untraversable(root: Path, labels: Collection[str]) -> list[str]:
    """Find links to folders that lead into the dataset itself or above it, and names that are not UTF-8.

    Parameters
    ----------
    root : Path
        The dataset.
    labels : collection of str
        Subjects that are looked at, without ``sub-``.

    Returns
    -------
    list of str
        Paths from the root, with ``/``; sorted. A folder outside that is linked twice is followed once.
    """
    home, found, seen = Path(os.path.realpath(root)), [], set()
    waiting = [(root, "")]
    while waiting:
        folder, inside = waiting.pop()
        for entry in _entries(folder):
            name = f"{inside}/{entry.name}".lstrip("/")
            if not _is_text(entry.name):
                found.append(name)
            elif _is_walked(entry, inside, labels):
                real = Path(os.path.realpath(entry.path))
                if entry.is_symlink() and (real in seen or _meets(real, home)):
                    found.append(name)
                    continue
                seen.add(real)
                waiting.append((Path(entry.path), name))
    return sorted(found)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []  # what may not be read is told by what needs it


def _is_walked(entry: os.DirEntry[str], inside: str, labels: Collection[str]) -> bool:
    name = entry.name
    if name.startswith(".") or name in _LEFT_OUT or name.endswith(".mefd"):
        return False
    if not inside and name.startswith("sub-") and name.removeprefix("sub-") not in labels:
        return False
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _meets(target: Path, home: Path) -> bool:
    return target == home or target in home.parents or home in target.parents


def _is_text(name: str) -> bool:
    """Whether a name was UTF-8: bytes that are not come as half surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
