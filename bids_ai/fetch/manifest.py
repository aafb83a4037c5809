"""What was fetched into a folder, from where and when: ``manifest.json``, and the lock of the folder."""

from __future__ import annotations

import errno
import fcntl
import getpass
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bids_ai import __version__
from bids_ai.bids.files import write_json
from bids_ai.errors import UsageError
from bids_ai.parcellation.fetched import place_of, read_manifest, sha256_of
from bids_ai.parcellation.mni import canonical_space
from bids_ai.parcellation.published import Edition, Template

Item = Edition | Template
"""What is fetched as one."""


@contextmanager
def locked(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock; another call that holds it is waited for.

    The system drops the lock of a process that dies, however it dies.

    Parameters
    ----------
    folder : pathlib.Path
        Made if absent.
    say : callable
        Is told that another call is waited for.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("a")
    except OSError as error:
        raise UsageError(
            f"The folder {folder} cannot be written ({error.strerror}); give another with --dir."
        ) from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another call is fetching into {folder}; waiting for it")
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:  # as on some cluster file systems
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP):
                raise
            say(f"the file system of {folder} has no locks; see that no other call fetches into it")
        yield


def entry_of(item: Item, folder: Path) -> dict[str, Any] | None:
    """Give what the manifest says of a work, or None."""
    entry = read_manifest(folder).get(_kind(item), {}).get(item.key)
    return entry if isinstance(entry, dict) else None


def is_finished(item: Item, folder: Path, space: str | None = None) -> bool:
    """Tell whether a work is there, whole and unchanged.

    Parameters
    ----------
    item : Edition or Template
    folder : pathlib.Path
    space : str, optional
        MNI152 variant that is stated now, for an atlas whose authors state none; another than before is not finished.
    """
    entry = entry_of(item, folder)
    if entry is None or faults(item, folder):
        return False
    stated = space if item.work.space is None and isinstance(item, Edition) else None
    return stated is None or entry.get("space") == canonical_space(stated, where=item.spec)


def faults(item: Item, folder: Path) -> list[str]:
    """Compare the files of a work with the manifest.

    Returns
    -------
    list of str
        What is missing or changed; empty if nothing is.
    """
    entry = entry_of(item, folder)
    if entry is None:
        return ["was not fetched"]
    found = []
    for name, known in entry.get("files", {}).items():
        path = place_of(item, folder) / name
        if not path.is_file():
            found.append(f"{path} is missing")
        elif path.stat().st_size != known["size"] or sha256_of(path) != known["sha256"]:
            found.append(f"{path} is not the file that was fetched")
    return found


def record(
    item: Item,
    folder: Path,
    *,
    names: list[str],
    sources: list[dict[str, str | int]],
    space: str | None,
    accepted: bool,
) -> None:
    """Write a fetched work into the manifest; the lock must be held.

    Parameters
    ----------
    item : Edition or Template
    folder : pathlib.Path
    names : list of str
        Files in the folder of the work.
    sources : list of dict
        Files of the origin, `bids_ai.fetch.sources.describe`.
    space : str or None
    accepted : bool
        The user accepted the licence.
    """
    place = place_of(item, folder)
    content = read_manifest(folder)
    content.setdefault(_kind(item), {})[item.key] = {
        "files": {
            name: {"sha256": sha256_of(place / name), "size": (place / name).stat().st_size} for name in sorted(names)
        },
        "sources": sources,
        "space": space,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "licence": f"{item.work.licence.name} ({item.work.licence.url})",
        "licence_accepted_by": _user() if accepted else None,
        "bids_ai": __version__,
    }
    write_json(folder / "manifest.json", content)


def checksums(item: Item, folder: Path) -> dict[str, str]:
    """Give the sha256 that sources of a work had at an earlier fetch, by name."""
    return {str(source["name"]): str(source["sha256"]) for source in _sources(item, folder)}


def origins(item: Item, folder: Path) -> dict[str, str]:
    """Give the origin that sources of a work had at an earlier fetch, by name."""
    return {str(source["name"]): str(source["origin"]) for source in _sources(item, folder)}


def _sources(item: Item, folder: Path) -> list[dict[str, Any]]:
    return list((entry_of(item, folder) or {}).get("sources", []))


def _kind(item: Item) -> str:
    return "atlases" if isinstance(item, Edition) else "templates"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user number without a name, as in containers
        return "unknown user"
