from __future__ import annotations

import ast
import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import bids_ai.report
from bids_ai.errors import InputError
from bids_ai.report.assemble import assemble_index, assemble_subject, name_rows
from bids_ai.report.group import read_numbers
from bids_ai.report.methods import methods_text
from bids_ai.report.model import SummaryRow

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}"></svg>'
VOID = {"meta", "img", "link", "br", "input", "hr"}


class Page(HTMLParser):
    """Elements, text, and whether every element that is opened is closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self.feed(path.read_text())
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def figure(root: Path, name: str, size: tuple[int, int] = (1000, 500)) -> Path:
    path = root / "sub-01" / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(SVG.format(*size))
    return path


def write(root: Path, subject: str = "01", **changes) -> Page:
    told = {"summary": {}, "errors": [], "methods": {}, "version": "0.1.0", "command": "bids-ai run a b participant"}
    return Page(assemble_subject(root, subject, **(told | changes)))


def test_empty_report_says_what_is_missing_in_sentences(tmp_path):
    page = write(tmp_path)
    for sentence in (
        "No figure of the anatomy was made.",
        "No figure of a BOLD recording was made.",
        "No figure of functional connectivity was made",
        "No figure of a surrogate brain was made.",
        "No summary was recorded",
        "No step that ran was recorded.",
        "No errors to report.",
    ):
        assert sentence in page.text
    assert page.all("img") == [{"alt": ""}]  # the viewer's, empty


def test_sections_come_in_their_order(tmp_path):
    headings = [attributes["id"] for attributes in write(tmp_path).all("h2")]
    assert headings == ["summary", "inputs", "anatomical", "diffusion", "functional", "electrophysiology",
                        "parcellation", "connectivity", "stimulation", "surrogate",
                        "prediction", "methods", "errors", "about"]  # fmt: skip


def test_figures_are_linked_relative_and_exist(tmp_path):
    figure(tmp_path, "sub-01_desc-brain_mask.svg")
    figure(tmp_path, "sub-01_space-MNI_desc-normalisation_T1w.svg")
    page = write(tmp_path)
    sources = [image["src"] for image in page.all("img") if "src" in image]
    assert sources == [
        "./sub-01/figures/sub-01_desc-brain_mask.svg",
        "./sub-01/figures/sub-01_space-MNI_desc-normalisation_T1w.svg#moving",
        "./sub-01/figures/sub-01_space-MNI_desc-normalisation_T1w.svg#fixed",
    ]
    assert all((tmp_path / source.split("#")[0]).is_file() for source in sources)
    assert "Not made for this subject: tissue segmentation." in page.text


def test_figures_are_linked_relative_to_a_page_elsewhere(tmp_path):
    figure(tmp_path, "sub-01_desc-brain_mask.svg")
    out = tmp_path / "pages" / "deep" / "x.html"
    page = write(tmp_path, out_html=out)
    (source,) = [image["src"] for image in page.all("img") if "src" in image]
    assert (out.parent / source).resolve() == tmp_path / "sub-01/figures/sub-01_desc-brain_mask.svg"


def test_file_names_with_spaces_quotes_and_schemes_cannot_leave_their_attribute(tmp_path):
    odd = ["sub-01_desc-brain_mask.svg", "javascript:alert(1)_desc-x_bold.svg", "a b#c?d\"'<i>_é_desc-x_bold.svg"]
    for name in odd:
        figure(tmp_path, name)
    page = write(tmp_path)
    sources = [image["src"] for image in page.all("img") if "src" in image]
    assert len(sources) == 3
    for source in sources:
        assert source.startswith("./sub-01/figures/")
        assert not re.search(r"[\s\"'<>#?:]", source)
        assert (tmp_path / unquote(source)).is_file()
    assert "Other figures" in page.text
    assert not page.all("i")


def test_every_string_of_the_dataset_is_escaped(tmp_path):
    row = {"label": EVIL, "value": EVIL, "unit": EVIL, "note": EVIL, "key": EVIL, "of": EVIL}
    summary = {
        "dataset": EVIL,
        "rows": [row],
        "recordings": [{"name": EVIL, "status": EVIL, "reason": EVIL, "rows": [row]}],
        "inputs": [{"path": EVIL, "kind": EVIL, "reason": EVIL, "recording": EVIL, "details": EVIL}],
        "warnings": [{"text": EVIL, "where": EVIL, "advice": EVIL}],
        "tables": [
            {"title": EVIL, "columns": [EVIL], "rows": [[EVIL]], "note": EVIL, "section": place, "folded": True}
            for place in ("summary", "inputs", "parcellation", "errors")
        ],
    }
    error = {"stage": EVIL, "message": EVIL, "recording": EVIL, "cause": EVIL, "advice": EVIL, "inputs": [EVIL],
             "log": EVIL, "log_tail": EVIL}  # fmt: skip
    methods = {
        "paragraphs": [{"heading": EVIL, "text": EVIL}],
        "citations": [{"key": EVIL, "text": EVIL, "doi": EVIL, "number": 1}],
        "software": [{"name": EVIL, "version": EVIL}],
    }
    page = write(tmp_path, summary=summary, errors=[error], methods=methods, version=EVIL, command=[EVIL])
    assert_harmless(page)
    assert page.text.count("<script>alert(1)</script>") > 30  # shown as text
    assert_harmless(Page(assemble_index(tmp_path, ["01"], version=EVIL)))


def test_a_folded_table_is_behind_its_title(tmp_path):
    table = {"title": "Site by site", "columns": ["site"], "rows": [["A1-A2"]], "section": "summary"}
    write(tmp_path, summary={"tables": [table | {"folded": True}, table | {"title": "Open"}]})
    html = (tmp_path / "sub-01.html").read_text()
    [folded] = re.findall(r"<details><summary>Site by site</summary>(.*?)</details>", html, re.DOTALL)
    assert "<td>A1-A2</td>" in folded
    assert "<caption>Open" not in folded
    assert "<summary>Open" not in html


def assert_harmless(page: Page) -> None:
    """Nothing runs but our own script, and no element or handler came out of data."""
    kinds = [attributes.get("type") for attributes in page.all("script")]
    assert kinds in ([None], ["application/json", None])
    assert not [image for image in page.all("img") if image.get("src") == "x"]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    for attributes in page.all("a"):
        assert attributes["href"].startswith(("#", "./", "https://doi.org/"))


def test_nothing_is_loaded_from_the_net_and_only_the_own_script_may_run(tmp_path):
    figure(tmp_path, "sub-01_desc-brain_mask.svg")
    page = write(tmp_path, methods=methods_text([{"step": "bias_field"}]))
    for _, attributes in page.elements:
        for name in ("src", "srcset", "data", "poster", "action"):
            assert not re.match(r"(https?:)?//", attributes.get(name) or "")
    assert not page.all("link")
    assert "url(" not in (tmp_path / "sub-01.html").read_text()
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize("label", ["../01", "a/b", "", "a b", "sub-01"])
def test_label_that_is_no_bids_label_is_refused(label, tmp_path):
    with pytest.raises(InputError, match="no BIDS label"):
        write(tmp_path, subject=label)
    assert not list(tmp_path.rglob("*.html"))


def test_unknown_field_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="did you mean 'recordings'"):
        write(tmp_path, summary={"recording": []})
    assert not list(tmp_path.iterdir())


def test_numbers_are_shown_with_units_and_missing_ones_as_na(tmp_path):
    rows = [{"label": "Median FD", "value": 0.0871, "unit": "mm", "key": "fd"}, {"label": "tSNR", "value": None}]
    page = write(tmp_path, summary={"recordings": [{"name": "sub-01_task-rest", "rows": rows}]})
    assert "Median FD 0.0871 mm tSNR n/a" in page.text
    assert "1 recording Measure task-rest" in page.text


def test_many_recordings_are_rows_few_are_columns(tmp_path):
    def heads(n: int) -> list[str]:
        recordings = [{"name": f"sub-01_run-{i}", "rows": [{"label": "FD", "value": i}]} for i in range(n)]
        write(tmp_path, summary={"recordings": recordings})
        html = (tmp_path / "sub-01.html").read_text()
        return re.findall(r"<th scope=\"col\"[^>]*>([^<]+)</th>", html)

    assert heads(3) == ["Measure", "run-0", "run-1", "run-2"]
    assert heads(9) == ["Recording", "Status", "FD"]


def test_rows_of_one_label_are_never_lost():
    rows = [SummaryRow("R2", 1, of="A"), SummaryRow("R2", 2, of="B"), SummaryRow("x", 3), SummaryRow("x", 4)]
    named = name_rows([*rows, SummaryRow("once", 5, of="A")])
    assert list(named) == ["R2, A", "R2, B", "x", "x (2)", "once"]
    assert [row.value for row in named.values()] == [1, 2, 3, 4, 5]


def test_unfinished_recordings_say_why(tmp_path):
    page = write(
        tmp_path, summary={"recordings": [{"name": "sub-01_task-x", "status": "skipped", "reason": "1 volume"}]}
    )
    assert "sub-01_task-x : skipped. 1 volume" in page.text


def test_errors_are_said_at_the_top_and_told_at_the_end(tmp_path):
    error = {
        "stage": "bold_preprocess",
        "message": "Killed.",
        "cause": "out of memory",
        "advice": "More memory.",
        "inputs": ["func/x_bold.nii.gz"],
        "log": "logs/x.log",
        "log_tail": "line 1\nline 2 < 3",
        "exit_code": 137,
    }
    text = write(tmp_path, errors=[error]).text
    assert text.index("1 stage failed.") < text.index("bold_preprocess failed (exit code 137)")
    for part in ("Likely cause: out of memory", "What to do: More memory.", "func/x_bold.nii.gz", "line 2 < 3"):
        assert part in text


def test_inputs_used_and_not_used_stand_by_recording(tmp_path):
    inputs = [
        {"path": "sub-01/func/b.nii.gz", "kind": "BOLD", "recording": "sub-01_task-b", "details": "TR 2 s"},
        {"path": "sub-01/anat/old.nii.gz", "kind": "T1w", "used": False, "reason": "a newer one is used"},
        {"path": "sub-01/anat/new.nii.gz", "kind": "T1w"},
    ]
    text = write(tmp_path, summary={"inputs": inputs}).text
    places = [text.index(name) for name in ("anat/new.nii.gz", "anat/old.nii.gz", "sub-01_task-b", "func/b.nii.gz")]
    assert places == sorted(places)
    assert "not used a newer one is used" in text


def test_contents_link_to_places_that_exist_and_ids_are_unique(tmp_path):
    for run in (1, 2):
        figure(tmp_path, f"sub-01_task-rest_run-{run}_desc-carpet_bold.svg")
    page = write(tmp_path, methods=methods_text([{"step": "bias_field"}]))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [attributes["href"][1:] for attributes in page.all("a") if attributes["href"].startswith("#")]
    assert set(anchors) <= set(ids)
    assert {"functional-1", "functional-2"} <= set(anchors)


def test_tall_figures_are_shown_narrower(tmp_path):
    figure(tmp_path, "sub-01_desc-brain_mask.svg", (1000, 500))
    figure(tmp_path, "sub-01_desc-tissues_dseg.svg", (500, 500))
    shapes = {attributes["id"]: attributes["class"] or "" for attributes in write(tmp_path).all("figure")}
    assert "narrow" not in shapes["figure-sub-01_desc-brain_mask"]
    assert "narrow" in shapes["figure-sub-01_desc-tissues_dseg"]


def test_page_is_light(tmp_path):
    assert (
        assemble_subject(tmp_path, "01", summary={}, errors=[], methods={}, version="1", command="x").stat().st_size
        < 60_000
    )


# ---- group page


def test_group_page_links_subjects_and_reads_their_numbers(tmp_path):
    rows = [
        {"label": "Brain volume", "value": 1.5, "unit": "l", "key": "volume"},
        {"label": "Template", "value": "MNI"},
    ]
    recordings = [
        {"name": "sub-01_run-1", "rows": [{"label": "FD", "value": 0.25, "unit": "mm", "key": "fd"}]},
        {"name": "sub-01_run-2", "status": "failed", "rows": [{"label": "FD", "value": float("nan"), "key": "fd"}]},
    ]
    write(tmp_path, summary={"dataset": "D", "rows": rows, "recordings": recordings})
    write(tmp_path, subject="02", errors=[{"stage": "x"}])
    page = Page(assemble_index(tmp_path, ["01", "02", "03"]))
    assert [attributes["href"] for attributes in page.all("a")] == ["./sub-01.html"] * 2 + ["./sub-02.html"]
    assert "Brain volume (l) FD (mm)" in page.text
    assert "sub-01 run-1 done 0 1.5 0.25" in page.text
    assert "sub-01 run-2 failed 0 1.5 n/a" in page.text
    assert "sub-02 n/a 1 n/a n/a" in page.text
    assert "No report was found for: sub-03." in page.text
    keys = [attributes["data-sort"] for attributes in page.all("td") if "data-sort" in attributes]
    assert "0.25" in keys
    assert keys[9] == ""  # NaN sorts last


def test_group_page_has_a_line_per_atlas(tmp_path):
    rows = [{"label": "R2", "value": v, "key": "r2", "of": a} for v, a in ((0.1, "A"), (0.2, "B"))]
    rows.append({"label": "FD", "value": 0.5, "key": "fd"})
    write(tmp_path, summary={"recordings": [{"name": "sub-01_run-1", "rows": rows}]})
    text = Page(assemble_index(tmp_path, ["01"])).text
    assert "run-1, A done 0 0.1 0.5" in text
    assert "run-1, B done 0 0.2 0.5" in text


def test_numbers_survive_markup_in_strings(tmp_path):
    write(tmp_path, summary={"dataset": "</script><b>", "rows": [{"label": "</script>", "value": 1, "key": "a"}]})
    numbers = read_numbers(tmp_path / "sub-01.html")
    assert numbers["dataset"] == "</script><b>"
    assert numbers["rows"][0]["label"] == "</script>"


def test_pages_of_another_kind_have_no_numbers(tmp_path):
    (tmp_path / "a.html").write_text("<html></html>")
    (tmp_path / "b.html").write_text('<script type="application/json" id="bids-ai-numbers">{oops</script>')
    assert (
        read_numbers(tmp_path / "a.html") is read_numbers(tmp_path / "b.html") is read_numbers(tmp_path / "c") is None
    )


def test_group_page_without_subjects(tmp_path):
    assert "There is no report yet." in Page(assemble_index(tmp_path, [])).text


# ---- the room


def test_report_knows_no_stage_and_no_science():
    """Of our own packages the report may import errors only, so that it can be written after any failure."""
    for path in Path(bids_ai.report.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert not name.startswith("bids_ai") or name.startswith(("bids_ai.report", "bids_ai.errors")), path
