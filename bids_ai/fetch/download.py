"""One file from one address: resumed where it stopped, checked, and under its name only once it is whole."""

from __future__ import annotations

import hashlib
import http.client
import shutil
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from bids_ai import __version__
from bids_ai.errors import FetchError, disk_full
from bids_ai.parcellation.published import SourceFile

TIMEOUT_S = 30.0
"""Without a byte for so long, a connection is given up (seconds)."""


class Downloads:
    """Downloads of one call: a host that could not be reached is not asked again.

    Attributes
    ----------
    unreachable : dict of str
        Host to the reason.
    """

    def __init__(self) -> None:
        self.unreachable: dict[str, str] = {}

    def get(self, file: SourceFile, target: Path, *, known: bool) -> None:
        """Download a file.

        Parameters
        ----------
        file : SourceFile
            With an address.
        target : pathlib.Path
            Written when the file is whole. What has come of it lies beside it in ``.NAME.part``.
        known : bool
            Its checksum is known, so that what is joined from two calls can be checked. Otherwise it starts anew.

        Raises
        ------
        FetchError
            No connection, an answer that is none, or a file that is not whole.
        """
        host = urlsplit(str(file.url)).netloc
        if host in self.unreachable:
            raise FetchError(f"{file.url} cannot be reached: {self.unreachable[host]}")
        part = target.with_name(f".{target.name}.part")
        if not known:
            part.unlink(missing_ok=True)
        try:
            _receive(str(file.url), part, file.size)
        except HTTPError as error:
            if error.code == 416:  # what is there reaches beyond the end: not a part of this file
                part.unlink(missing_ok=True)
            raise FetchError(f"{file.url} answered {error.code} ({error.reason}).") from error
        except (OSError, http.client.HTTPException) as error:  # URLError is of the first kind
            fault = disk_full(error, part.parent)
            if fault is None and isinstance(error, PermissionError):
                fault = f"{error.strerror}; give another folder with --dir"
            if fault:
                raise FetchError(f"{part.parent} was not written to: {fault}.") from error
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
            if not part.exists() or part.stat().st_size == 0:
                self.unreachable[host] = reason
            raise FetchError(f"{file.url} cannot be reached: {reason}") from error
        part.replace(target)


def _receive(url: str, part: Path, size: int | None) -> None:
    """Write what an address gives into `part`, after what is there already."""
    have = part.stat().st_size if part.is_file() else 0
    if size is not None and have >= size:
        if have == size:
            return  # ended between the last byte and the renaming; the checksum is compared next
        part.unlink()
        have = 0
    headers = {"User-Agent": f"bids_ai/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT_S) as answer:
        goes_on = have > 0 and answer.status == 206
        with part.open("ab" if goes_on else "wb") as stream:
            shutil.copyfileobj(answer, stream)
        stated = answer.headers.get("Content-Length")
    whole = (have if goes_on else 0) + int(stated) if stated else size
    came = part.stat().st_size
    if whole is not None and came < whole:
        raise FetchError(f"{url} broke off after {came} of {whole} bytes; the next call goes on from there.")


def fault_of(path: Path, file: SourceFile, recorded: str | None = None) -> str | None:
    """Say what speaks against a file being the published one.

    Parameters
    ----------
    path : pathlib.Path
    file : SourceFile
        With the checksums that are known.
    recorded : str, optional
        sha256 of an earlier fetch, for a file without a known checksum.

    Returns
    -------
    str or None
        None if nothing does.
    """
    for kind, wanted in (("sha256", file.sha256), ("md5", file.md5)):
        if wanted:
            came = _hash(path, kind)
            return None if came == wanted else f"its {kind} is {came}, and that of the published file is {wanted}"
    if recorded and (came := _hash(path, "sha256")) != recorded:
        return f"its sha256 is {came}, and at the first fetch it was {recorded}"
    return None


def put_aside(path: Path) -> Path:
    """Rename a file that is not what it should be, so that it is kept and never used."""
    aside = path.with_name(f"{path.name}.refused")
    path.replace(aside)
    return aside


def copy_stream(source: IO[bytes], target: Path) -> None:
    """Write a stream to a file under its final name only when it is whole."""
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as stream:
        shutil.copyfileobj(source, stream)
    part.replace(target)


def _hash(path: Path, kind: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
