from __future__ import annotations

import json
import math

import pytest

from bids_ai.errors import InputError
from bids_ai.report.files import write_atomic, write_text_atomic
from bids_ai.report.formatting import format_value
from bids_ai.report.model import ErrorRecord, RecordingSummary, Summary, SummaryRow, from_dict, to_dict


def test_records_survive_json():
    summary = Summary(
        dataset="d", rows=[SummaryRow("FD", 0.1, "mm")], recordings=[RecordingSummary("r", rows=[SummaryRow("n", 3)])]
    )
    assert from_dict(Summary, json.loads(json.dumps(to_dict(summary)))) == summary


def test_records_may_be_mixed_with_dicts():
    summary = from_dict(Summary, {"rows": [SummaryRow("a", 1), {"label": "b", "value": 2}]})
    assert [row.label for row in summary.rows] == ["a", "b"]
    assert summary is from_dict(Summary, summary)


def test_unknown_field_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'warnings'"):
        from_dict(Summary, {"warning": []})
    with pytest.raises(InputError, match="SummaryRow has no field"):
        from_dict(Summary, {"rows": [{"label": "a", "valeu": 1}]})


def test_missing_field_and_wrong_kind_are_said():
    with pytest.raises(InputError, match="stage"):
        from_dict(ErrorRecord, {"message": "x"})
    with pytest.raises(InputError, match="dict"):
        from_dict(Summary, [1])


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [
        (None, "mm", None, "n/a"),
        (math.nan, "mm", 2, "n/a"),
        (1532.25, "mL", 0, "1\u202f532\u00a0mL"),
        (0.08712, "mm", None, "0.0871\u00a0mm"),
        (0.61, "", None, "0.61"),
        (0.61, "", 3, "0.610"),
        (-0.5, "", 1, "−0.5"),
        (2.0, "s", None, "2\u00a0s"),
        (0.0, "", None, "0"),
        (156, "", None, "156"),
        (1234567, "", None, "1\u202f234\u202f567"),
        (1e-9, "", None, "1.00\u00a0×\u00a010^−9"),
        (math.inf, "", None, "∞"),
        (True, "", None, "yes"),
        (False, "", None, "no"),
        ("ridge-var", "", None, "ridge-var"),
    ],
)
def test_numbers_are_shown_with_unit_and_true_signs(value, unit, digits, text):
    assert format_value(value, unit, digits) == text


def test_interrupted_write_leaves_the_old_file_and_no_litter(tmp_path):
    out = write_text_atomic(tmp_path / "new" / "a.html", "old")

    def fail(path):
        path.write_text("half")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomic(out, fail)
    assert out.read_text() == "old"
    assert [path.name for path in out.parent.iterdir()] == ["a.html"]
    assert out.stat().st_mode & 0o444 == 0o444
