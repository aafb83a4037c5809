"""Which figures exist, and where each belongs in the report: the reading of sections.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

#: How entities are called in headings.
ENTITY_WORDS = {
    "ses": "session",
    "task": "task",
    "acq": "acquisition",
    "dir": "direction",
    "rec": "reconstruction",
    "run": "run",
    "space": "space",
    "recording": "",
    "atlas": "atlas",
    "seg": "",
    "scale": "",
    "model": "model",
}
#: Figures of EEG and iEEG bear the modality as their recording.
RECORDING_WORDS = {"eeg": "EEG", "ieeg": "iEEG"}
FIGURE_SUFFIXES = (".svg", ".png")
_ENTITY = re.compile(r"([a-z]+)-([0-9A-Za-z+]+)")


@dataclass(frozen=True)
class FigureFile:
    """A figure on disk, with what its name says. `pooled` is an entity here, not a desc."""

    path: Path
    entities: dict[str, str]
    suffix: str

    def matches(self, query: Mapping[str, Any]) -> bool:
        """Return whether the name answers a BIDS query; null in the query: the entity must be absent."""
        for key, wanted in query.items():
            if key == "datatype":
                continue
            value = self.suffix if key == "suffix" else self.entities.get(key)
            allowed = wanted if isinstance(wanted, list) else [wanted]
            if value not in allowed:
                return False
        return True


@dataclass(frozen=True)
class Reportlet:
    """One entry of a section: a query, and what is said of the figures that answer it."""

    bids: dict[str, Any]
    title: str
    caption: str
    description: str = ""
    layers: dict[str, str] = field(default_factory=dict)
    optional: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the report."""

    id: str
    name: str
    missing: str
    reportlets: list[Reportlet]
    ordering: list[str] = field(default_factory=list)
    note: str = ""


@dataclass(frozen=True)
class Group:
    """Figures of a section that share session, task, run, atlas, model: heading and (reportlet, figure) pairs."""

    heading: str
    items: list[tuple[Reportlet, FigureFile]]


@cache
def load_sections() -> tuple[Section, ...]:
    """Return the sections of sections.yaml."""
    text = resources.files("bids_ai.report").joinpath("sections.yaml").read_text(encoding="utf-8")
    return tuple(
        Section(**{**entry, "reportlets": [Reportlet(**item) for item in entry["reportlets"]]})
        for entry in yaml.safe_load(text)["sections"]
    )


def find_figures(output_dir: Path, subject: str) -> list[FigureFile]:
    """Return the figures of a subject (label without ``sub-``), by name; hidden and temporary files are skipped."""
    root = output_dir / f"sub-{subject}"
    folders = [root / "figures", *sorted(root.glob("ses-*/figures"))]
    files = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in FIGURE_SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]
    return sorted((parse_figure(path) for path in files), key=lambda figure: _natural(figure.path.name))


def parse_figure(path: Path) -> FigureFile:
    """Read entities and suffix off a BIDS name; parts that are no entities are passed over."""
    *parts, suffix = path.stem.split("_")
    entities: dict[str, str] = {}
    for part in parts:
        found = _ENTITY.fullmatch(part)
        if found is None:
            continue
        key, value = found.groups()
        if (key, value) == ("desc", "pooled"):
            entities["pooled"] = "pooled"
        else:
            entities[key] = value
    return FigureFile(path, entities, suffix)


def group_figures(section: Section, figures: Iterable[FigureFile]) -> list[Group]:
    """Sort the figures of a section into its groups, groups in natural order, figures in the order of the section."""
    groups: dict[tuple[str, ...], list[tuple[Reportlet, FigureFile]]] = {}
    pool = list(figures)
    for reportlet in section.reportlets:
        for figure in pool:
            if figure.matches(reportlet.bids):
                key = tuple(figure.entities.get(entity, "") for entity in section.ordering)
                groups.setdefault(key, []).append((reportlet, figure))
    ordered = sorted(groups, key=lambda key: [_natural(value) for value in key])
    return [Group(_heading(section.ordering, key), groups[key]) for key in ordered]


def told_apart(group: Group, ordering: Iterable[str]) -> Iterator[tuple[Reportlet, FigureFile, str]]:
    """Yield the figures of a group, with what tells several figures of one reportlet apart (such as the atlas)."""
    for reportlet, figure in group.items:
        rivals = [other for one, other in group.items if one is reportlet]
        differing = [
            key
            for key, value in figure.entities.items()
            if key not in ordering and any(other.entities.get(key) != value for other in rivals)
        ]
        words = _heading(differing, tuple(figure.entities[key] for key in differing))
        yield reportlet, figure, f" ({words[:1].lower()}{words[1:]})" if words else ""


def missing_reportlets(section: Section, groups: Iterable[Group]) -> list[str]:
    """Return the titles of reportlets that are expected and that no figure answers."""
    found = {id(reportlet) for group in groups for reportlet, _ in group.items}
    return [item.title for item in section.reportlets if not item.optional and id(item) not in found]


def unplaced(figures: Iterable[FigureFile]) -> list[FigureFile]:
    """Return the figures that no section asks for."""
    queries = [item.bids for section in load_sections() for item in section.reportlets]
    return [figure for figure in figures if not any(figure.matches(query) for query in queries)]


def _heading(ordering: Iterable[str], key: tuple[str, ...]) -> str:
    """Name a group in words, such as ``Session 1, task rest, run 2, atlas Schaefer2018 7Networks 100``."""
    words: list[str] = []
    for entity, value in zip(ordering, key, strict=True):
        if not value:
            continue
        if entity == "pooled":
            words.append("all runs together")
        elif entity == "recording" and value in RECORDING_WORDS:
            words.append(RECORDING_WORDS[value])
        elif ENTITY_WORDS.get(entity, entity) == "" and words:
            words[-1] += f" {value}"
        else:
            words.append(f"{ENTITY_WORDS.get(entity, entity)} {value}".strip())
    text = ", ".join(words)
    return text[:1].upper() + text[1:]


def _natural(text: str) -> list[tuple[int, str]]:
    """Return a sort key in which run-2 comes before run-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]
