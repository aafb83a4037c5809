"""Methods text, references and software versions, from the steps that ran and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from bids_ai.errors import as_clause
from bids_ai.report.model import Citation, MethodsText, Paragraph, Software, from_dict

_CITE = re.compile(r"\[(@[\w, @]+)\]")
_HOLE = re.compile(r"\{(\w+)\}")
#: With the full stop after it, which a value that is a sentence of its own has already.
_FILLED = re.compile(r"\{(\w+)\}(\.?)")


def methods_text(steps: Sequence[Mapping[str, Any]]) -> MethodsText:
    """Write the methods of what ran.

    Parameters
    ----------
    steps : list of dict
        One per step that ran, in any order; duplicates are said once. Keys:

        - ``step``: a name of methods.yaml; an unknown one is named in a plain sentence.
        - ``parameters`` (dict, optional): what fills the sentences. A sentence whose parameter is missing is left out.
        - ``tool``, ``version`` (optional): the software, for the table of versions.

    Returns
    -------
    MethodsText
        Paragraphs with numbered citations, references in the order of citation, software by name.

    Examples
    --------
    >>> text = methods_text([{"step": "bias_field", "tool": "ANTsPy", "version": "0.6.1"}])
    >>> text.paragraphs[0].heading
    'Anatomical preprocessing'
    >>> [citation.key for citation in text.citations]
    ['n4', 'antsx']
    """
    said: dict[str, list[str]] = {heading: [] for heading in _catalogue()["headings"]}
    for step in sorted(steps, key=_place):
        heading, sentences = _sentences(step)
        said[heading] += [sentence for sentence in sentences if sentence not in said[heading]]
    numbers: dict[str, int] = {}
    paragraphs = [
        Paragraph(_catalogue()["headings"][heading], _number_citations(" ".join(sentences), numbers))
        for heading, sentences in said.items()
        if sentences
    ]
    citations = [citation(key, number) for key, number in numbers.items()]
    return MethodsText(paragraphs, citations, _software(steps))


def citation(key: str, number: int = 0) -> Citation:
    """Return a work of the bibliography with its text and its BibTeX entry."""
    entry = _bibliography()[key]
    place = ":".join(str(part) for part in (entry["volume"], entry["pages"]) if part)
    where = f"{entry['journal']} {place}".replace("-", "\N{EN DASH}")
    text = f"{entry['author']} ({entry['year']}). {entry['title']}. {where}."
    return Citation(key, text, entry.get("doi", ""), _bibtex(key, entry), number)


def citation_keys() -> list[str]:
    """Return the keys of the bibliography."""
    return list(_bibliography())


def render_markdown(methods: MethodsText | Mapping[str, Any]) -> str:
    """Return CITATION.md: methods, references and software as Markdown."""
    methods = from_dict(MethodsText, methods)
    lines = ["# Methods", ""]
    for paragraph in methods.paragraphs:
        lines += [f"## {paragraph.heading}", "", paragraph.text, ""]
    if methods.citations:
        lines += ["## References", ""]
        for work in methods.citations:
            link = f" <https://doi.org/{work.doi}>" if work.doi else ""
            lines.append(f"{work.number}. {work.text}{link}")
        lines.append("")
    if methods.software:
        lines += ["## Software", ""]
        lines += [f"- {tool.name} {tool.version}".rstrip() for tool in methods.software]
        lines.append("")
    return "\n".join(lines)


def render_bibtex(methods: MethodsText | Mapping[str, Any]) -> str:
    """Return CITATION.bib: the references as BibTeX."""
    methods = from_dict(MethodsText, methods)
    return "\n".join(work.bibtex for work in methods.citations)


def render_plain(methods: MethodsText | Mapping[str, Any]) -> str:
    """Return the methods as plain text, as the copy button of the report gives it."""
    methods = from_dict(MethodsText, methods)
    parts = [paragraph.text for paragraph in methods.paragraphs]
    parts += [f"[{w.number}] {w.text}" + (f" doi:{w.doi}" if w.doi else "") for w in methods.citations]
    return "\n\n".join(parts)


@cache
def _catalogue() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(_resource("methods.yaml"))
    return found


@cache
def _bibliography() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(_resource("bibliography.yaml"))
    return found


def _resource(name: str) -> str:
    return resources.files("bids_ai.report").joinpath(name).read_text(encoding="utf-8")


def _place(step: Mapping[str, Any]) -> int:
    """Return the place of a step in the catalogue, so that the text does not depend on the order of the jobs."""
    names = list(_catalogue()["steps"])
    name = str(step.get("step", ""))
    return names.index(name) if name in names else len(names)


def _sentences(step: Mapping[str, Any]) -> tuple[str, list[str]]:
    name = str(step.get("step", ""))
    entry = _catalogue()["steps"].get(name)
    if entry is None:
        tool = " ".join(str(step[key]) for key in ("tool", "version") if step.get(key))
        return "general", [f"The step '{name}' ran" + (f" with {tool}." if tool else ".")]
    given = (step.get("parameters") or {}).items()
    values = {key: f"{v:g}" if isinstance(v, float) else str(v) for key, v in given if v is not None}
    kept = [text for text in entry["text"] if all(hole in values for hole in _HOLE.findall(text))]
    # One pass over the template: a value that looks like a hole stays as it is.
    return entry["heading"], [_FILLED.sub(lambda hole: _fill(hole, values), text) for text in kept]


def _fill(hole: re.Match[str], values: Mapping[str, str]) -> str:
    value = values[hole.group(1)]
    return f"{as_clause(value)}." if hole.group(2) else value


def _number_citations(text: str, numbers: dict[str, int]) -> str:
    """Turn ``[@a, @b]`` into ``[1, 2]``, numbering works in the order they come."""

    def replace(found: re.Match[str]) -> str:
        keys = [key.strip().lstrip("@") for key in found.group(1).split(",")]
        if not all(key in _bibliography() for key in keys):
            return found.group()
        return "[" + ", ".join(str(numbers.setdefault(key, len(numbers) + 1)) for key in keys) + "]"

    return _CITE.sub(replace, text)


def _software(steps: Sequence[Mapping[str, Any]]) -> list[Software]:
    found = {(str(step["tool"]), str(step.get("version") or "")) for step in steps if step.get("tool")}
    return [Software(name, version) for name, version in sorted(found, key=lambda item: item[0].lower())]


def _bibtex(key: str, entry: Mapping[str, Any]) -> str:
    authors = " and ".join(_bibtex_name(name) for name in re.split(r",\s*", str(entry["author"])))
    fields = {
        "author": authors,
        "title": f"{{{entry['title']}}}",
        "journal": entry["journal"],
        "year": entry["year"],
        "volume": entry["volume"],
        "pages": str(entry["pages"]).replace("-", "--"),
        "doi": entry.get("doi", ""),
    }
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
    return f"@article{{{key},\n{body}\n}}\n"


def _bibtex_name(name: str) -> str:
    """Turn ``de la Vega A`` into ``de la Vega, A``."""
    if name == "et al.":
        return "others"
    family, _, initials = name.rpartition(" ")
    return f"{family}, {initials}"
