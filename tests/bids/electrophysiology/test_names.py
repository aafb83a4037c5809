import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_ai.bids.electrophysiology.names import LEVELS, NameList, split_site
from bids_ai.errors import InputError


@pytest.mark.parametrize(
    ("site", "names", "expected", "how"),
    [
        ("A1-A2", ["A1", "A2"], ("A1", "A2"), "exact"),
        ("A2-A1", ["A1", "A2"], ("A2", "A1"), "exact"),
        ("RB-M1-RB-M2", ["RB-M1", "RB-M2", "RB"], ("RB-M1", "RB-M2"), "exact"),
        ("A'1-A'2", ["A'1", "A'2", "A1", "A2"], ("A'1", "A'2"), "exact"),
        ("A’1-A’2", ["A'1", "A'2"], ("A'1", "A'2"), "signs"),
        ("sOC4-sOc5", ["sOc4", "sOc5"], ("sOc4", "sOc5"), "case"),
        ("-RV1--RV2", ["RV1", "RV2"], ("RV1", "RV2"), "signs"),
        ("FC01-FC2", ["FC1", "FC02"], ("FC1", "FC02"), "leading zeros"),
        ("25-26", ["24", "25", "26"], ("25", "26"), "exact"),
        ("A1 – A2", ["A1", "A2"], ("A1", "A2"), "exact"),
        ("A1_A2", ["A1", "A2"], ("A1", "A2"), "exact"),
        ("FC47-FC39", ["FC39", "FC47"], ("FC47", "FC39"), "exact"),
    ],
)
def test_sites_are_split_where_both_halves_are_channels(site, names, expected, how):
    pair = split_site(site, NameList(names))
    assert (pair.first, pair.second) == expected
    assert LEVELS[pair.level][0] == how


def test_exact_spelling_goes_before_others():
    pair = split_site("a1-A2", NameList(["a1", "A1", "A2"]))
    assert (pair.first, pair.second) == ("a1", "A2")


@pytest.mark.parametrize("site", ["A1-A9", "A1", "A1-A1", "n/a", "", "A1-A2-A3"])
def test_a_site_that_is_no_pair_is_refused(site):
    with pytest.raises(InputError, match="names no two channels: wanted 'A1-A2'"):
        split_site(site, NameList(["A1", "A2", "A3"]))


def test_two_readings_are_refused():
    with pytest.raises(InputError, match="can be read as A and B-C or A-B and C"):
        split_site("A-B-C", NameList(["A", "B-C", "A-B", "C"]))


def test_a_name_that_fits_two_is_not_found():
    names = NameList(["Oc1", "OC1"])
    assert names.find("oc1") is None
    assert names.find("OC1").name == "OC1"


def test_what_amplifiers_add_is_overlooked():
    names = NameList(["Fp1", "A1", "LA2"])
    assert names.find("EEG Fp1-Ref").name == "Fp1"
    assert names.find("POL A1").how == "prefix"
    assert names.find("SEEG LA02").name == "LA2"
    assert names.find("EEG Fp2") is None


labels = st.from_regex(r"[A-Za-z]{1,3}(-[A-Za-z]{1,2})?'?[1-9][0-9]?", fullmatch=True)


@given(st.lists(labels, min_size=2, max_size=12, unique_by=lambda name: name.casefold()), st.data())
def test_a_site_gives_back_its_contacts_or_is_refused(names, data):
    """Never two other channels than those it was made of."""
    first, second = data.draw(st.permutations(names))[:2]
    given_back: set[str] = {first, second}
    with contextlib.suppress(InputError):  # two readings
        pair = split_site(f"{first}-{second}", NameList(names))
        given_back = {pair.first, pair.second}
    assert given_back == {first, second}
