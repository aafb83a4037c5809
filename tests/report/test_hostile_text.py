"""Whatever a dataset, an atlas or a log says is text in the reports and their pictures, and never an element."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from bids_ai.report.assemble import assemble_index, assemble_subject
from bids_ai.report.figures import connectome, func, matrices, parcellation, structural, surrogate
from bids_ai.report.group_record import GroupFigure, GroupRecord, LinkedFile, save_record
from bids_ai.report.model import Citation, ErrorRecord, MethodsText, Summary

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{7777*7}}{% raw %}",
    "</script><svg onload=alert(1)>",
    "</textarea></title></style><iframe src=//x>",
    "javascript:alert(1)",
    "&lt;b&gt; <!-- ]]> \x00\x08",
)
#: Ours: the script of the page, and the numbers as JSON.
SCRIPTS = {"subject": 2, "group": 1, "ec": 1}
PLACES = re.compile(r"#|\./|https://doi\.org/|data:image/")


class Page(HTMLParser):
    """What a browser would make elements, addresses and handlers of."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text += data


def assert_harmless(path: Path, kind: str) -> Page:
    page = Page(path)
    assert page.tags.count("script") == SCRIPTS[kind]
    assert not {"iframe", "svg", "object", "embed", "link", "base", "form"} & set(page.tags)
    assert [entry for entry in page.attributes if entry[1].startswith("on")] == []
    addresses = [value for _, name, value in page.attributes if name in ("href", "src", "action", "srcset")]
    assert [value for value in addresses if not PLACES.match(value or "")] == []
    assert "54439" not in page.text  # {{7777*7}}
    return page


def filled(kind: Any, text: str, depth: int = 0) -> Any:
    """A record of a kind, with the text in every field that holds any."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return [filled(arguments[0], text, depth + 1)] * 2
    if origin is dict:
        return {text: filled(arguments[1], text, depth + 1)}
    if origin in (typing.Union, types.UnionType):
        return text if str in arguments else filled(arguments[0], text, depth)
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{field.name: filled(hints[field.name], text, depth + 1) for field in dataclasses.fields(kind)})
    return {str: text, int: 3, float: 1.5, bool: True}[kind]


@pytest.mark.parametrize("text", HOSTILE)
def test_pages_of_subjects_and_of_the_group_hold_text_only(tmp_path, text):
    figures = tmp_path / "sub-01/figures"
    figures.mkdir(parents=True)
    name = "sub-01_" + re.sub(r"[/\x00]", "", text) + "_bold.svg"  # all that a file system allows
    (figures / name).write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"></svg>')
    page = assemble_subject(
        tmp_path, "01", summary=filled(Summary, text), errors=[filled(ErrorRecord, text)],
        methods=filled(MethodsText, text), version=text, command=text,
    )  # fmt: skip
    shown = assert_harmless(page, "subject")
    assert text.replace("\x00", "\ufffd").split()[0] in shown.text.replace("\x00", "\ufffd")
    record = filled(GroupRecord, text)
    sections = [
        dataclasses.replace(
            section,
            figures=[GroupFigure(text, text, f"sub-01/figures/{name}", text)],
            files=[LinkedFile(f"sub-01/figures/{name}", text)],
        )
        for section in record.sections
    ]
    save_record(tmp_path, dataclasses.replace(record, sections=sections))
    shown = assert_harmless(assemble_index(tmp_path, ["01", "02"]), "group")
    assert text.replace("\x00", "\ufffd").split()[0] in shown.text.replace("\x00", "\ufffd")


def test_a_doi_leads_to_no_other_place(tmp_path):
    doi = "10.1/x?next=javascript:alert(1)#\"'><script>"
    methods = MethodsText(citations=[Citation("x", "x", doi)])
    page = assemble_subject(tmp_path, "01", summary={}, errors=[], methods=methods, version="", command="")
    [link] = [value for _, name, value in Page(page).attributes if name == "href" and "doi.org" in (value or "")]
    assert re.fullmatch(r"https://doi\.org/[\w./%()-]+", link)


NAMES = ["a$b_c", r"$\foo{$", "<script>alert(1)</script>", "$" * 7, "x" * 200, "é\x01\x08{{7*7}}&"]


@pytest.fixture
def named(nodes: pd.DataFrame) -> pd.DataFrame:
    """Regions, networks and all with names that are formulas, elements, or long."""
    return nodes.assign(name=NAMES, network=[r"$\net$", r"$\net$", "<b>", "<b>", "$", None])


def assert_picture(path: Path, *, words: bool = True) -> None:
    """The picture is XML, with nothing in it that acts, and shows the names as they are."""
    root = ElementTree.fromstring(path.read_bytes())
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert not {"script", "foreignObject", "iframe", "a", "b"} & tags
    assert not [key for element in root.iter() for key in element.attrib if key.lower().startswith("on")]
    if words:
        text = " ".join(" ".join(element.itertext()) for element in root.iter() if element.tag.endswith("text"))
        assert r"$\net$" in text or "a$b_c" in text or r"$\foo{$" in text


def test_names_of_regions_and_networks_are_no_formulas_in_pictures(named, tmp_path):
    matrix = np.random.default_rng(0).standard_normal((6, 6))
    out = tmp_path / "x.svg"
    series = np.random.default_rng(1).standard_normal((30, 6))
    confounds = pd.DataFrame({"framewise_displacement": np.full(30, 0.1)})
    coverage = pd.DataFrame(
        {"index": named["index"], "name": named["name"], "n_voxels": 10, "coverage": 0.4, "kept": False}
    )
    for draw in (
        lambda: matrices.plot_relmat(matrix, named, out, title="$x$ <b>", label=r"$\y$", directed=True),
        lambda: connectome.plot_strengths(matrix, named, out, n_regions=6),
        lambda: func.plot_carpet(series, [r"$\net$"] * 3 + ["<b>"] * 3, confounds, 2.0, out),
        lambda: parcellation.plot_coverage(coverage, named, out),
    ):
        draw()
        assert_picture(out)
    connectome.plot_glass_brain(matrix, named, out, title=r"$\foo")
    assert_picture(out, words=False)
    scores = {"heldout": {"persistence": {"r2": 0.1}, r"$\model$": {"r2": 0.2}}}
    surrogate.plot_surrogate_fit(
        scores, matrix, matrix, out, gate={"verdict": "unreliable", "reasons": [r"$\bad"]}, model=r"$\model$"
    )
    assert_picture(out, words=False)


def test_a_logarithmic_axis_has_plain_numbers(nodes, tmp_path):
    """Formulas are off for the sake of names; matplotlib's labels of powers of ten are formulas."""
    weights = np.abs(np.random.default_rng(0).standard_normal((6, 6))) * 1000
    out = structural.plot_against_distance(weights + weights.T, weights, nodes, tmp_path / "x.svg")
    text = out.read_text()
    assert "mathdefault" not in text
    assert ">1000<" in text


def test_the_page_of_a_table_of_signals_whose_regions_bear_such_names(tmp_path, monkeypatch):
    """The command itself, from a header to page and pictures."""
    from bids_ai.cli.main import main

    names = [*NAMES[:4], HOSTILE[1].replace('"', "'"), HOSTILE[3]]
    series = np.random.default_rng(0).standard_normal((90, len(names)))
    series[1:] += 0.5 * series[:-1]
    monkeypatch.chdir(tmp_path)
    table = "\t".join(names) + "\n" + "\n".join("\t".join(f"{value:.4f}" for value in row) for row in series)
    Path("a<b>$x_y.tsv").write_text(table + "\n")
    assert main(["ec", "a<b>$x_y.tsv", "--tr", "2", "--model", "ridge-var", "--out-dir", "out"]) == 0
    shown = assert_harmless(tmp_path / "out/ec.html", "ec")
    assert "a<b>$x_y" in shown.text
    for picture in (tmp_path / "out/figures").glob("*.svg"):
        assert_picture(picture, words=False)
