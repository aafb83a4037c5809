"""The published atlases and templates that can be fetched: names, licences, spaces, origins, files (published.yaml).

Nothing of them is in the package. `bids_ai.parcellation.fetched` finds those that are on this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from bids_ai.errors import InputError

REGISTRY_FILE = Path(__file__).with_name("published.yaml")
"""The registry: a new atlas is one entry there."""


@dataclass(frozen=True)
class Licence:
    """Under which terms a work may be used.

    Attributes
    ----------
    name, text, url : str
    commercial : {"yes", "no", "unclear"}
        Whether the terms allow commercial use.
    accept : bool
        The user has to accept them before the work is fetched.
    """

    name: str
    text: str
    url: str
    commercial: str
    accept: bool


@dataclass(frozen=True)
class SourceFile:
    """One file of a work, as its origin has it.

    Attributes
    ----------
    names : tuple of str
        Names that it may bear; the first is the one under which it is kept.
    url : str or None
        Where it is downloaded; None where the user has to bring it.
    member : str or None
        Its path inside the archive at `url`.
    size : int or None
        Bytes, where known.
    sha256, md5 : str or None
        Known checksums.
    """

    names: tuple[str, ...]
    url: str | None = None
    member: str | None = None
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None

    @property
    def name(self) -> str:
        """Name under which it is kept."""
        return self.names[0]


@dataclass(frozen=True)
class Work:
    """What atlases and templates have in common."""

    name: str
    title: str
    citation: str
    doi: str
    licence: Licence
    origin: str
    page: str
    aliases: tuple[str, ...] = ()
    space: str | None = None
    space_note: str = ""
    note: str = ""


@dataclass(frozen=True)
class Edition:
    """One scale of a published atlas: what becomes one label volume.

    Attributes
    ----------
    work : Work
    scale : str
        Empty where there is one only.
    regions : int
        Labels in the volume.
    entities : dict of str
        BIDS entities beyond ``atlas``.
    files : tuple of SourceFile
        The label volume first.
    aliases : tuple of str
        Other spellings of the scale.
    unnamed : str
        Beginning of the names that regions get if no table is there; empty where there is one.
    """

    work: Work
    scale: str
    regions: int
    files: tuple[SourceFile, ...]
    entities: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    unnamed: str = ""

    @property
    def spec(self) -> str:
        """What a user writes: ``Schaefer2018:100``."""
        return f"{self.work.name}:{self.scale}" if self.scale else self.work.name

    @property
    def key(self) -> str:
        """Name of its folder."""
        return self.spec.replace(":", "_")

    @property
    def stem(self) -> str:
        """BIDS name of its files without suffix: ``atlas-Schaefer2018_seg-7Networks_scale-100``."""
        entities = {"atlas": self.work.name} | dict(self.entities)
        return "_".join(f"{key}-{value}" for key, value in entities.items())

    @property
    def downloadable(self) -> bool:
        """Every file has a public address."""
        return all(file.url for file in self.files)


@dataclass(frozen=True)
class Template:
    """A template of a space.

    Attributes
    ----------
    work : Work
    roles : dict of str
        Setting of ``anat.template`` to the name of the file that serves for it.
    files : tuple of SourceFile
    """

    work: Work
    roles: Mapping[str, str]
    files: tuple[SourceFile, ...]

    @property
    def spec(self) -> str:
        """What a user writes."""
        return self.work.name

    key = spec

    @property
    def downloadable(self) -> bool:
        """Every file has a public address."""
        return all(file.url for file in self.files)


@dataclass(frozen=True)
class Registry:
    """All that can be fetched."""

    editions: tuple[Edition, ...]
    templates: tuple[Template, ...]

    @property
    def works(self) -> list[Work]:
        """The atlases, in the order of the file."""
        return list({edition.work.name: edition.work for edition in self.editions}.values())

    def of(self, work: Work) -> list[Edition]:
        """Editions of an atlas, in the order of the file."""
        return [edition for edition in self.editions if edition.work.name == work.name]

    def resolve(self, spec: str) -> list[Edition]:
        """Find editions by name.

        Parameters
        ----------
        spec : str
            Name or alias, with or without a scale (``Schaefer2018:100``); case does not matter.

        Returns
        -------
        list of Edition
            All of an atlas for a name without scale; empty if the name is unknown.

        Raises
        ------
        InputError
            If the atlas has no such scale.
        """
        name, _, scale = spec.strip().lower().partition(":")
        found = [entry for entry in self.editions if name in _lower(entry.work.name, *entry.work.aliases)]
        if not scale or not found:
            return found
        chosen = [entry for entry in found if scale in _lower(entry.scale, *entry.aliases)]
        if not chosen:
            scales = ", ".join(entry.spec for entry in found)
            raise InputError(f"{found[0].work.name} has no scale {scale!r}; there is {scales}.")
        return chosen

    def template(self, name: str) -> Template | None:
        """Find a template by its name; case does not matter."""
        return next((entry for entry in self.templates if entry.work.name.lower() == name.strip().lower()), None)


def published() -> Registry:
    """Give the registry of the package."""
    return read_registry(REGISTRY_FILE)


@cache
def read_registry(path: Path) -> Registry:
    """Read a registry.

    Parameters
    ----------
    path : pathlib.Path
        YAML of the form of `REGISTRY_FILE`.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    bases = content.get("bases", {})
    editions = [
        _edition(_work(name, entry), str(scale), fields, bases)
        for name, entry in content.get("atlases", {}).items()
        for scale, fields in entry["editions"].items()
    ]
    templates = [
        Template(_work(name, entry), dict(entry["roles"]), _files(entry["files"], bases))
        for name, entry in content.get("templates", {}).items()
    ]
    return Registry(tuple(editions), tuple(templates))


def _work(name: str, entry: Mapping[str, Any]) -> Work:
    optional = {key: entry[key] for key in ("space", "space_note", "note") if entry.get(key)}
    return Work(
        name=name,
        licence=Licence(**entry["licence"]),
        aliases=tuple(map(str, entry.get("aliases", ()))),
        **{key: entry[key] for key in ("title", "citation", "doi", "origin", "page")},
        **optional,
    )


def _edition(work: Work, scale: str, fields: Mapping[str, Any], bases: Mapping[str, str]) -> Edition:
    return Edition(
        work=work,
        scale=scale,
        regions=fields["regions"],
        files=_files(fields["files"], bases),
        entities=fields.get("entities", {}),
        aliases=tuple(map(str, fields.get("aliases", ()))),
        unnamed=fields.get("unnamed", ""),
    )


def _files(entries: list[Mapping[str, Any]], bases: Mapping[str, str]) -> tuple[SourceFile, ...]:
    return tuple(_file(dict(entry), bases) for entry in entries)


def _file(entry: dict[str, Any], bases: Mapping[str, str]) -> SourceFile:
    if "base" in entry:
        entry["url"] = f"{bases[entry.pop('base')]}/{entry.pop('path')}"
    names = entry.pop("names", None) or [PurePosixPath(entry.get("member") or entry["url"]).name]
    return SourceFile(names=tuple(names), **entry)


def _lower(*words: str) -> set[str]:
    return {word.lower() for word in words}
