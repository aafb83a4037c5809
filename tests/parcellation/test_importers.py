from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_ai.errors import InputError
from bids_ai.parcellation.importers import is_label_json, read_region_table


def _write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_bids_tsv_with_byte_order_mark_background_and_na(tmp_path: Path) -> None:
    header, background = "index\tname\themisphere\tnetwork\tcolor\n", "0\tbackground\tn/a\tn/a\tn/a\n"
    text = header + background + "2\tb\tright\tn/a\t#00ff00\n1\ta\tL\tVis\tn/a\n"
    nodes = read_region_table(_write(tmp_path, "t.tsv", text, "utf-8-sig"))
    assert nodes["index"].tolist() == [1, 2]
    assert nodes["name"].tolist() == ["a", "b"]
    assert nodes["hemisphere"].tolist() == ["L", "R"]
    assert nodes["network"].tolist() == ["Vis", None]
    assert nodes["color"].tolist() == ["#781286", "#00ff00"]


def test_utf16_and_latin1_tables_are_read(tmp_path: Path) -> None:
    for encoding in ("utf-16", "latin-1"):
        nodes = read_region_table(_write(tmp_path, "t.csv", "index;name\n1;Gyrus précentral\n", encoding))
        assert nodes["name"].tolist() == ["Gyrus précentral"]


def test_abagen_csv_gives_sides_to_names_that_occur_twice(tmp_path: Path) -> None:
    text = "id,label,hemisphere,structure\n1,insula,L,cortex\n2,insula,R,cortex\n3,brainstem,B,subcortex/brainstem\n"
    nodes = read_region_table(_write(tmp_path, "t.csv", text))
    assert nodes["name"].tolist() == ["LH_insula", "RH_insula", "brainstem"]
    assert nodes["hemisphere"].tolist() == ["L", "R", "B"]


def test_label_column_of_numbers_is_the_index(tmp_path: Path) -> None:
    nodes = read_region_table(_write(tmp_path, "t.tsv", "label\tregion\tr\tg\tb\n5\tx\t255\t0\t16\n"))
    assert nodes[["index", "name", "color"]].to_numpy().tolist() == [[5, "x", "#ff0010"]]


def test_freesurfer_lut(tmp_path: Path) -> None:
    text = "#No. Label R G B A\n0 Unknown 0 0 0 0\n\n10 Left-Thalamus 0 118 14 0\n49 Right-Thalamus 0 118 14 0\n"
    nodes = read_region_table(_write(tmp_path, "lut.txt", text))
    assert nodes["index"].tolist() == [10, 49]
    assert nodes["hemisphere"].tolist() == ["L", "R"]
    assert nodes["color"].tolist() == ["#00760e"] * 2
    assert nodes.attrs["lookup"] is True


def test_list_of_names_and_list_of_numbers_with_names(tmp_path: Path) -> None:
    plain = read_region_table(_write(tmp_path, "a.txt", "HIP-rh\nHIP-lh\n"))
    assert plain[["index", "name"]].to_numpy().tolist() == [[1, "HIP-rh"], [2, "HIP-lh"]]
    numbered = read_region_table(_write(tmp_path, "b.txt", "2001 Precentral_L 1\n2002 Precentral_R 2\n"))
    assert numbered["index"].tolist() == [2001, 2002]


def test_networks_are_read_from_schaefers_names_only(tmp_path: Path) -> None:
    nodes = read_region_table(
        _write(tmp_path, "t.txt", "7Networks_LH_DorsAttn_Post_1\n17Networks_RH_ContA_IPS_1\nLH_superior_frontal_1\n")
    )
    assert nodes["network"].tolist() == ["DorsAttn", "ContA", None]


def test_neuroparc_json_loses_empty_and_numbers(tmp_path: Path) -> None:
    content = {"MetaData": {}, "rois": {"0": {"label": "empty"}, "1": {"label": "1_Vis"}, "2": {"label": None}}}
    path = _write(tmp_path, "t.json", json.dumps(content))
    assert is_label_json(path)
    assert read_region_table(path)["name"].tolist() == ["Vis", "region2"]


def test_xml_of_aal(tmp_path: Path) -> None:
    labels = "".join(f"<label><index>{k}</index><name> {n} </name></label>" for k, n in ((2001, "A_L"), (3, "A_R")))
    text = f'<?xml version="1.0" encoding="ISO-8859-1"?><atlas version="1.0"><data>{labels}</data></atlas>'
    nodes = read_region_table(_write(tmp_path, "AAL3v1.xml", text))
    assert nodes["index"].tolist() == [3, 2001]
    assert nodes["name"].tolist() == ["A_R", "A_L"]
    assert nodes["hemisphere"].tolist() == ["R", "L"]


def test_a_sidecar_is_no_table(tmp_path: Path) -> None:
    path = _write(tmp_path, "t.json", '{"Space": "MNI152NLin6Asym", "Resolution": "2 mm"}')
    assert not is_label_json(path)
    with pytest.raises(InputError, match="lists no regions"):
        read_region_table(path)


def test_xcp_layout(tmp_path: Path) -> None:
    _write(tmp_path, "sNodeNames.txt", "LH_a\nRH_a\n")
    _write(tmp_path, "sNodeIndex.1D", "3\n7\n")
    _write(tmp_path, "sCommunityAffiliation.1D", "2\n1\n")
    _write(tmp_path, "sCommunityNames.txt", "visual\nlimbic\n")
    nodes = read_region_table(tmp_path / "sNodeIndex.1D")
    assert nodes["index"].tolist() == [3, 7]
    assert nodes["network"].tolist() == ["limbic", "visual"]
    _write(tmp_path, "sCommunityAffiliation.1D", "2\n3\n")
    with pytest.raises(InputError, match="network 3, of which"):
        read_region_table(tmp_path / "sNodeNames.txt")
    _write(tmp_path, "sNodeIndex.1D", "3\n")
    with pytest.raises(InputError, match="1 lines for 2 names"):
        read_region_table(tmp_path / "sNodeNames.txt")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.tsv", "", "empty"),
        ("t.tsv", "index\tvalue\n1\t2\n", "needs a column of labels"),
        ("t.tsv", "index\tname\n1\ta\textra\n", "Line 2 .* another number of columns"),
        ("t.tsv", "index\tname\nx\ta\n", "integers from 1 up, got x"),
        ("t.tsv", "index\tname\n1\ta\n2\ta\n", "Names that occur more than once"),
        ("t.json", "{", "not valid JSON"),
        ("t.1D", "1\n2\n", "numbers, not names"),
        ("t.xlsx", "x", "unknown ending"),
        ("t.xml", "<atlas>", "not valid XML"),
        ("t.xml", "<atlas/>", "lists no regions"),
        ("t.xml", "<a><label><index>x</index><name>A</name></label></a>", "lists no regions"),
        ("t.xml", '<!DOCTYPE a [<!ENTITY x "y">]><a/>', "declares entities"),
    ],
)
def test_unusable_tables_are_refused_with_the_reason(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_region_table(_write(tmp_path, name, text))


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_region_table(tmp_path / "none.tsv")


def test_tables_that_no_reader_of_tables_reads_are_told(tmp_path):
    (tmp_path / "x.tsv").write_text("index\tname\n1\t" + "a" * 200_000 + "\n")
    with pytest.raises(InputError, match="cannot be read as a table: field larger"):
        read_region_table(tmp_path / "x.tsv")
    (tmp_path / "x.json").write_text("[" * 50_000 + "]" * 50_000)
    with pytest.raises(InputError, match="not valid JSON"):
        read_region_table(tmp_path / "x.json")
    assert not is_label_json(tmp_path / "x.json")


def test_labels_of_the_xcp_layout_that_are_no_numbers_are_told(tmp_path):
    (tmp_path / "aNodeNames.txt").write_text("A\nB\n")
    (tmp_path / "aNodeIndex.1D").write_text("1\n--\n")
    with pytest.raises(InputError, match="integers from 1 up, got --"):
        read_region_table(tmp_path / "aNodeNames.txt")


@pytest.mark.parametrize("red", ["9" * 5000, "²", "-1", "256"])
def test_what_is_no_byte_is_no_colour(tmp_path, red):
    (tmp_path / "x.lut").write_text(f"1 A {red} 20 30 0\n2 B 10 20 30 0\n")
    nodes = read_region_table(tmp_path / "x.lut")
    assert list(nodes["name"]) == ["A", "B"]
    assert not nodes.attrs["lookup"]
