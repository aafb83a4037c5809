"""Columns of participants.tsv as contrasts, and what is refused before anything is computed."""

import numpy as np
import pytest

from bids_ai.bids.participants import read_participants
from bids_ai.errors import InputError
from bids_ai.group.variables import plan_contrast

SUBJECTS = [f"sub-{i}" for i in range(1, 9)]
TEXT = """participant_id\tgroup\tage\tscore\tsite\tsingle\tsame\tcode\tnote
sub-1\tpatient\t20\t1.5\tA\tx\tu\t1\ta
sub-2\tpatient\t30\t2\tA\ty\tu\t1\tb
sub-3\tpatient\t25\t7\tB\ty\tu\t1\tc
sub-4\tpatient\tn/a\t1\tB\ty\tu\t1\td
sub-5\tcontrol\t41\t0\tC\ty\tu\t10\te
sub-6\tcontrol\t33\t4\tC\ty\tu\t10\tf
sub-7\tcontrol\t29\t9\tA\ty\tu\t10\tg
8\tcontrol\t55\t\tB\ty\tu\t10\th
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "participants.tsv"
    path.write_text(TEXT)
    return read_participants(path)


def test_groups_are_sorted_and_the_effect_says_which_way(table):
    plan = plan_contrast(table, "group", [], SUBJECTS)
    assert plan.words == "patient minus control"
    np.testing.assert_array_equal(plan.design(SUBJECTS).effect, [1] * 4 + [0] * 4)
    assert plan.group_sizes(SUBJECTS) == {"control": 4, "patient": 4}


def test_numbers_are_a_slope_and_two_numbers_are_groups(table):
    plan = plan_contrast(table, "score", [], SUBJECTS)
    assert plan.words == "slope per unit of score"
    assert plan.missing("sub-8") == "no value of score in participants.tsv"
    np.testing.assert_array_equal(plan.design(["sub-1", "sub-3"]).effect, [1.5, 7])
    assert plan_contrast(table, "code", [], SUBJECTS).words == "10 minus 1"


def test_covariates_of_numbers_and_of_groups(table):
    plan = plan_contrast(table, "group", ["age", "site"], SUBJECTS)
    assert plan.missing("sub-4") == "no value of age in participants.tsv"
    np.testing.assert_array_equal(
        plan.design(["sub-1", "sub-3", "sub-5"]).covariates, [[20, 0, 0], [25, 1, 0], [41, 0, 1]]
    )


def test_subjects_without_derivatives_do_not_count(table):
    with pytest.raises(InputError, match=r"a group of 1.*control: 1, patient: 4"):
        plan_contrast(table, "group", [], SUBJECTS[:5])


@pytest.mark.parametrize(
    ("contrast", "covariates", "words"),
    [
        ("grup", [], r"no column grup. Did you mean group\? It has: group, age, score, site, single, same, code, note"),
        ("group", ["agee"], r"no column agee. Did you mean age\?"),
        ("group", ["group"], "cannot be a covariate as well"),
        ("site", [], r"3 groups.*A \(3\), B \(3\), C \(2\)"),
        ("note", [], "8 groups"),
        ("single", [], "a group of 1, and 2 are needed at least.*x: 1, y: 7"),
        ("same", [], "all subjects have the same value"),
        ("group", ["code"], "covariates explain it in full"),
    ],
)
def test_what_cannot_be_estimated_is_refused(table, contrast, covariates, words):
    with pytest.raises(InputError, match=words):
        plan_contrast(table, contrast, covariates, SUBJECTS)


def test_subjects_that_the_table_does_not_know(table):
    with pytest.raises(InputError, match="no value for any of the subjects"):
        plan_contrast(table, "group", [], ["sub-x"])
    assert plan_contrast(table, "group", [], [*SUBJECTS, "sub-x"]).missing("sub-x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("subject\tgroup\n1\ta\n", "no column participant_id; it has subject, group"),
        ("participant_id\tg\nsub-1\ta\n1\tb\n", "several rows for sub-1"),
        ("", "cannot be read"),
    ],
)
def test_tables_that_are_none(tmp_path, text, words):
    path = tmp_path / "participants.tsv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_participants(path)
    with pytest.raises(InputError, match="does not exist"):
        read_participants(tmp_path / "nowhere.tsv")


def test_a_number_with_which_nothing_can_be_reckoned_is_told(tmp_path):
    (tmp_path / "participants.tsv").write_text(TEXT.replace("\t41\t", "\t1e308\t"))
    with pytest.raises(InputError, match="column age says 1e308 of sub-5"):
        plan_contrast(read_participants(tmp_path / "participants.tsv"), "group", ["age"], SUBJECTS)


def test_a_table_whose_line_ends_are_lost_is_told_at_once(tmp_path):
    (tmp_path / "participants.tsv").write_bytes(b"participant_id\tage\x85" + b"sub-1\t2\x85" * 30_000)
    with pytest.raises(InputError, match="has 30002 columns, and at most 20000 are read"):
        read_participants(tmp_path / "participants.tsv")
