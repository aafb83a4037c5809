"""The files of a work as their origin has them: brought by the user, or downloaded."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from bids_ai.errors import FetchError
from bids_ai.fetch.download import Downloads, copy_stream, fault_of, put_aside
from bids_ai.parcellation.fetched import place_of, sha256_of
from bids_ai.parcellation.published import Edition, SourceFile, Template


@dataclass(frozen=True)
class Found:
    """A file that is there.

    Attributes
    ----------
    path : pathlib.Path
    origin : str
        Its address, or that it was brought.
    """

    path: Path
    origin: str


def sources_of(item: Edition | Template, folder: Path) -> Path:
    """Folder in which the files of a work are put, by a download or by the user."""
    return folder / "sources" / item.key if isinstance(item, Edition) else place_of(item, folder)


def gather(
    item: Edition | Template,
    folder: Path,
    downloads: Downloads,
    recorded: Mapping[str, str],
    origins: Mapping[str, str],
) -> list[Found]:
    """Give every file of a work, downloading what is not there.

    Parameters
    ----------
    item : Edition or Template
    folder : pathlib.Path
        Folder of fetched atlases.
    downloads : Downloads
    recorded, origins : mapping of str
        sha256 and origin of files of an earlier fetch, by name.

    Returns
    -------
    list of Found
        In the order of ``item.files``.

    Raises
    ------
    FetchError
        If one is not there and cannot be had, or is not the published one; says what to bring and where to put it.
    """
    place = sources_of(item, folder)
    place.mkdir(parents=True, exist_ok=True)
    try:
        found = [_one(file, place, downloads, recorded, origins) for file in item.files]
    except FetchError as error:
        raise FetchError(f"{error}\n{instructions(item, folder)}") from error
    for archive in {_archive_name(file) for file in item.files if file.member}:
        (place / archive).unlink(missing_ok=True)
    return found


def instructions(item: Edition | Template, folder: Path) -> str:
    """Say what to download by hand, and where to put it.

    Parameters
    ----------
    item : Edition or Template
    folder : pathlib.Path
        Folder of fetched atlases.
    """
    place = sources_of(item, folder)
    addresses = dict.fromkeys(file.url for file in item.files if file.url)
    lines = [f"    {url}" for url in addresses]
    by_hand = [" or ".join(file.names) for file in item.files if not file.url]
    if by_hand:
        lines.append(f"    {' and '.join(by_hand)} from {item.work.page}")
    return (
        "  To bring it by hand, download\n"
        + "\n".join(lines)
        + f"\n  into {place}\n  under the same names, and give the same command again{_needs_space(item)}."
    )


def _needs_space(item: Edition | Template) -> str:
    return ", with --space (its variant of MNI152)" if isinstance(item, Edition) and not item.work.space else ""


def _one(
    file: SourceFile, place: Path, downloads: Downloads, recorded: Mapping[str, str], origins: Mapping[str, str]
) -> Found:
    there = next((place / name for name in file.names if (place / name).is_file()), None)
    if there is not None:
        fault = fault_of(there, file, recorded.get(there.name))
        if fault is None:
            return Found(there, origins.get(there.name) or "brought by hand")
        aside = put_aside(there)
        if not file.url:
            raise FetchError(f"{there.name} is not the file wanted: {fault}. It is kept as {aside} and not used.")
    if not file.url:
        raise FetchError(f"{' or '.join(file.names)} has no address from which it may be downloaded.")
    target = place / file.name
    if file.member:
        _from_archive(file, target, downloads)
    else:
        downloads.get(file, target, known=bool(file.sha256 or file.md5))
    fault = fault_of(target, file, recorded.get(file.name))
    if fault:
        aside = put_aside(target)
        raise FetchError(
            f"{file.url} gave a file that is not the one wanted: {fault}. It is kept as {aside} and not used."
        )
    return Found(target, file.url)


def _from_archive(file: SourceFile, target: Path, downloads: Downloads) -> None:
    """Take a member out of an archive, which is downloaded unless it lies there."""
    archive = target.with_name(_archive_name(file))
    if not archive.is_file():
        downloads.get(replace(file, names=(archive.name,), size=None), archive, known=False)
    wanted = str(file.member)
    try:
        with tarfile.open(archive) as content:
            member = next((entry for entry in content if entry.isfile() and _same(entry.name, wanted)), None)
            stream = content.extractfile(member) if member else None
            if stream is None:
                raise FetchError(f"{archive} holds no {wanted}; the archive at {file.url} has changed.")
            copy_stream(stream, target)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        aside = put_aside(archive)
        raise FetchError(f"{file.url} gave no archive that can be read ({error}); it is kept as {aside}.") from error


def _same(name: str, wanted: str) -> bool:
    return PurePosixPath(name).parts == PurePosixPath(wanted).parts  # "./AAL3/x" is "AAL3/x"


def _archive_name(file: SourceFile) -> str:
    return PurePosixPath(urlsplit(str(file.url)).path).name


def describe(found: Found) -> dict[str, str | int]:
    """Describe a file for the manifest."""
    return {
        "name": found.path.name,
        "origin": found.origin,
        "size": found.path.stat().st_size,
        "sha256": sha256_of(found.path),
    }
