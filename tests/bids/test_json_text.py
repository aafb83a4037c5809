import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_ai.bids.files import read_json, write_json
from bids_ai.bids.json_text import MOST_LEVELS, parse_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(VALUES)
def test_what_json_knows_comes_back(value):
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000])
def test_numbers_that_no_float_holds_are_missing(number):
    assert parse_json(f'{{"EchoTime": {number}, "x": 1}}') == {"EchoTime": None, "x": 1}


def test_the_largest_numbers_stay():
    assert parse_json("1.7e308") == 1.7e308
    assert math.isfinite(float(parse_json("9" * 300)))


@pytest.mark.parametrize("levels", [MOST_LEVELS + 1, 2000, 200_000])
@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"a":', "}")])
def test_deep_nesting_is_refused_like_any_text_that_is_no_json(levels, left, right):
    with pytest.raises(ValueError, match="nested"):
        parse_json(left * levels + "1" + right * levels)


def test_many_brackets_are_not_deep():
    assert len(parse_json("[" + "[1]," * 500 + "[]]")) == 501


def test_half_a_pair_of_surrogates_can_be_written_again(tmp_path):
    content = parse_json(r'{"Name": "\ud800x", "y\udc00": ["\ud83d\ude00", 1]}')
    assert content == {"Name": "?x", "y?": ["😀", 1]}
    write_json(tmp_path / "x.json", content)
    assert read_json(tmp_path / "x.json") == content
