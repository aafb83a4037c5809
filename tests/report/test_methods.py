from __future__ import annotations

import re

import pytest

from bids_ai.report import methods
from bids_ai.report.methods import citation, citation_keys, methods_text, render_bibtex, render_markdown, render_plain

STEPS = methods._catalogue()["steps"]
HOLES = {hole: "7" for entry in STEPS.values() for text in entry["text"] for hole in methods._HOLE.findall(text)}


def test_only_what_ran_is_said_and_cited():
    text = methods_text([{"step": "bias_field", "tool": "antspyx", "version": "0.6.1"}, {"step": "pearson"}])
    assert [paragraph.heading for paragraph in text.paragraphs] == [
        "Anatomical preprocessing",
        "Functional connectivity",
    ]
    assert [work.key for work in text.citations] == ["n4", "antsx"]
    assert [(tool.name, tool.version) for tool in text.software] == [("antspyx", "0.6.1")]


def test_nothing_ran_nothing_is_said():
    text = methods_text([])
    assert (text.paragraphs, text.citations, text.software) == ([], [], [])


def test_sentence_with_an_unknown_parameter_is_left_out():
    bare = methods_text([{"step": "parcellation", "parameters": {"n_regions": 100, "atlas": "Schaefer2018"}}])
    assert "100 regions of the atlas Schaefer2018" in bare.paragraphs[0].text
    assert "%" not in bare.paragraphs[0].text
    assert "{" not in bare.paragraphs[0].text
    assert methods_text([{"step": "parcellation", "parameters": {"n_regions": None}}]).paragraphs == []


def test_numbers_are_written_without_needless_decimals():
    step = {"step": "censoring", "parameters": {"fd_threshold_mm": 0.50}}
    assert "above 0.5 mm" in methods_text([step]).paragraphs[0].text
    step = {"step": "perturbation", "parameters": {"push_sd": 1.0, "horizon_s": 2.0}}
    assert "by 1 SD at" in methods_text([step]).paragraphs[0].text


def test_a_value_that_looks_like_a_hole_stays_as_it_is():
    step = {"step": "parcellation", "parameters": {"n_regions": 3, "atlas": "{n_regions}<b>"}}
    assert "{n_regions}<b>" in methods_text([step]).paragraphs[0].text


@pytest.mark.parametrize("details", ["A brain was found. It was large.", "A brain was found. It was large"])
def test_a_value_that_is_a_sentence_ends_with_one_full_stop(details):
    step = {"step": "brain_extraction_deformable", "parameters": {"details": details}}
    [paragraph] = methods_text([step]).paragraphs
    assert paragraph.text.endswith("Details: A brain was found. It was large.")


def test_order_of_the_jobs_does_not_matter_and_repeats_are_said_once():
    steps = [{"step": "head_motion"}, {"step": "bias_field"}, {"step": "head_motion"}, {"step": "bids_ai"}]
    assert methods_text(steps) == methods_text(steps[::-1])
    assert methods_text(steps).paragraphs[-1].text.count("Head motion was estimated") == 1


def test_citations_are_numbered_in_the_order_they_come_and_a_work_keeps_its_number():
    text = methods_text([{"step": "bias_field"}, {"step": "head_motion"}])
    assert text.paragraphs[0].text.endswith("with N4 [1] as in ANTs [2].")
    assert "with ANTs [2]" in text.paragraphs[1].text


def test_unknown_step_is_named():
    text = methods_text([{"step": "new_thing", "tool": "Tool", "version": "2"}])
    assert text.paragraphs[0].text == "The step 'new_thing' ran with Tool 2."


@pytest.mark.parametrize("name", STEPS)
def test_every_step_has_a_heading_and_reads_with_all_its_parameters(name):
    (paragraph,) = methods_text([{"step": name, "parameters": HOLES}]).paragraphs
    assert paragraph.heading in methods._catalogue()["headings"].values()
    assert not re.search(r"[{}@]", paragraph.text)
    assert paragraph.text.endswith(".")


def test_every_work_is_cited_by_a_step_and_has_a_doi():
    text = methods_text([{"step": name, "parameters": HOLES} for name in STEPS])
    assert {work.key for work in text.citations} == set(citation_keys())
    without = {work.key for work in text.citations if not re.fullmatch(r"10\.\d{4,5}/\S+", work.doi)}
    assert without == {"sklearn"}  # that journal gives none
    dois = [work.doi for work in text.citations if work.doi]
    assert len(set(dois)) == len(dois)


def test_bibtex_names_authors_family_first():
    entry = citation("pybids").bibtex
    assert "author = {Yarkoni, T and Markiewicz, CJ and de la Vega, A and others}" in entry
    assert "doi = {10.21105/joss.01294}" in entry
    assert "pages = {1310--1320}" in citation("n4").bibtex


def test_renderers_hold_all_references():
    text = methods_text([{"step": name, "parameters": HOLES} for name in STEPS])
    markdown, bibtex, plain = render_markdown(text), render_bibtex(text), render_plain(text)
    for work in text.citations:
        assert work.doi in markdown
        assert work.doi in plain
        assert f"@article{{{work.key}," in bibtex
    assert bibtex.count("@article") == len(text.citations)
    assert "## References" in markdown
