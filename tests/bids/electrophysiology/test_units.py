import math

import pytest

from bids_ai.bids.electrophysiology.units import column_unit, parse_current, unit_scale
from bids_ai.errors import InputError


@pytest.mark.parametrize(
    ("text", "base", "scale"),
    [
        ("µV", "V", 1e-6),
        ("μV", "V", 1e-6),
        ("uV", "V", 1e-6),
        ("microV", "V", 1e-6),
        ("microvolts", "V", 1e-6),
        ("ÂµV", "V", 1e-6),
        ("mV", "V", 1e-3),
        ("V", "V", 1.0),
        ("milliampere", "A", 1e-3),
        ("Ampere", "A", 1.0),
        ("ms", "s", 1e-3),
        ("mm", "m", 1e-3),
        ("cm", "m", 1e-2),
        ("n/a", "V", None),
        ("Adim.", "V", None),
        ("MV", "V", None),
        ("mV", "A", None),
        (None, "V", None),
    ],
)
def test_scales(text, base, scale):
    found = unit_scale(text, base)
    assert found == scale if scale is None else found == pytest.approx(scale)


@pytest.mark.parametrize(
    ("cell", "unit", "ampere"),
    [
        ("6.0 mA", None, 0.006),
        ("6.0mA", "A", 0.006),  # what the cell says goes before what the column says
        ("6,0 mA", None, 0.006),
        ("0.006", "A", 0.006),
        ("0.006", "Ampere", 0.006),
        ("6", "mA", 0.006),
        ("6000 µA", None, 0.006),
        ("-4 mA", None, 0.004),
        ("0", "mA", 0.0),
    ],
)
def test_currents(cell, unit, ampere):
    assert parse_current(cell, unit) == pytest.approx(ampere)


def test_no_current_is_nan():
    assert math.isnan(parse_current("n/a", None))


@pytest.mark.parametrize(
    ("cell", "unit", "message"),
    [
        ("0.006", None, 'no unit, and the JSON sidecar gives none. Add "Units": "A"'),
        ("8", "A", "8 A, where 0.01 to 50 mA can be: the unit is wrong"),
        ("0.006", "mA", "the unit is wrong"),
        ("6 mV", None, "wanted a current in A, mA or µA, got the unit 'mV'"),
        ("high", None, "wanted a number such as '6.0 mA'"),
        ("4 mA, 6 mA", None, "got the unit 'mA, 6 mA'"),
    ],
)
def test_what_is_ambiguous_is_refused(cell, unit, message):
    with pytest.raises(InputError) as error:
        parse_current(cell, unit)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("entry", "unit"),
    [
        ({"Units": "A"}, "A"),
        ({"description": "electrical stimulation current in Ampere"}, "Ampere"),
        ({"Description": "stimulation current in mA"}, "mA"),
        ({"Description": "current (mA)"}, "mA"),
        ({"Description": "A current given to us"}, None),
        ({"Description": "in mA, formerly in A"}, None),
        ({"Units": "n/a", "Description": "Current, a number and its unit"}, None),
        ("text", None),
    ],
)
def test_unit_of_a_column(entry, unit):
    assert column_unit({"current": entry}, "current", "A") == unit


@pytest.mark.parametrize("text", [3, 1.5, ["mm"], {"a": 1}, True])
def test_what_is_no_text_is_no_unit(text):
    assert unit_scale(text, "m") is None
