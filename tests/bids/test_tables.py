import gzip
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import (
    check_names,
    read_relmat,
    read_table,
    read_timeseries,
    write_relmat,
    write_table,
    write_timeseries,
)
from bids_ai.errors import InputError

META = {"RelationshipMeasure": "Pearson correlation", "Directed": False}


def test_relmat_is_written_as_it_is_read(tmp_path):
    path = tmp_path / "x_relmat.tsv"
    names = ["LH_Vis_1", "NA", "nan"]
    matrix = np.array([[np.nan, 0.25, -1.0], [1e-12, np.nan, 3.0], [np.nan, 0.1, np.nan]])
    write_relmat(path, matrix, names, META)
    assert path.read_text() == (
        "node\tLH_Vis_1\tNA\tnan\nLH_Vis_1\tn/a\t0.25\t-1\nNA\t1e-12\tn/a\t3\nnan\tn/a\t0.1\tn/a\n"
    )
    back, columns = read_relmat(path)
    np.testing.assert_array_equal(back, matrix)
    assert columns == names


@pytest.mark.parametrize("names", [["1", "2"], ["001", "002"], ["1.0", "2.50"], ["True", "False"], ["é ß", "a/b"]])
def test_names_that_look_like_something_else_stay_text(tmp_path, names):
    write_relmat(tmp_path / "x_relmat.tsv", np.eye(2), names, META)
    assert read_relmat(tmp_path / "x_relmat.tsv")[1] == names
    write_table(tmp_path / "nodes.tsv", pd.DataFrame({"index": [1, 2], "name": names}))
    assert list(read_table(tmp_path / "nodes.tsv")["name"]) == names


@given(arrays(np.float32, (3, 3), elements=st.floats(width=32, allow_infinity=False)))
@settings(max_examples=30, deadline=None)
def test_every_float32_survives(tmp_path_factory, matrix):
    path = tmp_path_factory.mktemp("relmat") / "x_relmat.tsv"
    write_relmat(path, matrix, ["a", "b", "c"], META)
    np.testing.assert_array_equal(read_relmat(path)[0].astype(np.float32), matrix)


@pytest.mark.parametrize(("directed", "row", "column"), [(True, "source", "target"), (False, "node", "node")])
def test_sidecar_says_the_direction(tmp_path, directed, row, column):
    path = tmp_path / "x_relmat.tsv"
    write_relmat(path, np.eye(2), ["a", "b"], {"RelationshipMeasure": "EC", "Directed": directed, "Units": "SD"})
    meta = json.loads(sidecar(path).read_text())
    assert (meta["RowRole"], meta["ColumnRole"], meta["Directed"]) == (row, column, directed)
    assert meta["Units"] == "SD"
    assert meta["ValidDiagonal"] is False


def test_row_is_source(tmp_path):
    """Entry [0, 1] goes from the first region to the second: first line, second column."""
    path = tmp_path / "x_relmat.tsv"
    write_relmat(path, np.array([[0.0, 7.0], [0.0, 0.0]]), ["from", "to"], META | {"Directed": True})
    table = pd.read_csv(path, sep="\t", index_col="node")
    assert table.loc["from", "to"] == 7
    assert table.loc["to", "from"] == 0


def test_shape_and_names_must_agree(tmp_path):
    with pytest.raises(InputError, match=r"\(2, 2\).*3 region names"):
        write_relmat(tmp_path / "x_relmat.tsv", np.eye(2), ["a", "b", "c"], META)
    assert list(tmp_path.iterdir()) == []


def test_rows_in_another_order_are_refused(tmp_path):
    (tmp_path / "x.tsv").write_text("node\ta\tb\nb\t1\t2\na\t3\t4\n")
    with pytest.raises(InputError, match="same names in the same order"):
        read_relmat(tmp_path / "x.tsv")


def test_timeseries_keep_censored_frames_and_regions_without_data(tmp_path):
    series = np.array([[0.5, np.nan], [np.nan, np.nan], [1.25, np.nan]])
    write_timeseries(tmp_path / "x_timeseries.tsv", series, ["A", "NA"], {"RepetitionTime": 2.0})
    assert (tmp_path / "x_timeseries.tsv").read_text() == "A\tNA\n0.5\tn/a\nn/a\tn/a\n1.25\tn/a\n"
    back, names = read_timeseries(tmp_path / "x_timeseries.tsv")
    np.testing.assert_array_equal(back, series)
    assert names == ["A", "NA"]
    assert json.loads((tmp_path / "x_timeseries.json").read_text()) == {"RepetitionTime": 2.0}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"a\tb\n1\tx\n", "column of numbers per region"),
        (b"a\tb\n1\t2\n1\t2\t3\n", "cannot be read"),
        (b"a\tb\n\xff\xfe\t2\n", "cannot be read"),
    ],
)
def test_tables_that_are_none_are_refused_in_words(tmp_path, content, words):
    (tmp_path / "x.tsv").write_bytes(content)
    with pytest.raises(InputError, match=words):
        read_timeseries(tmp_path / "x.tsv")


def test_byte_order_mark_is_no_part_of_a_name(tmp_path):
    (tmp_path / "x.tsv").write_bytes(b"\xef\xbb\xbfa\tb\n1\t2\n")
    assert read_timeseries(tmp_path / "x.tsv")[1] == ["a", "b"]


def test_only_na_with_a_slash_is_missing(tmp_path):
    (tmp_path / "x.tsv").write_text("name\tvalue\nNA\t1\nNone\tn/a\nnull\t\n")
    table = read_table(tmp_path / "x.tsv")
    assert list(table["name"]) == ["NA", "None", "null"]
    assert list(table["value"].isna()) == [False, True, True]


def test_other_regions_are_refused_and_never_reordered():
    check_names(["a", "b"], ["a", "b"], "x")
    with pytest.raises(InputError, match="another order"):
        check_names(["a", "b"], ["b", "a"], "x")
    with pytest.raises(InputError, match=r"EC of sub-01.*missing: \['b'\], unknown: \['c'\]"):
        check_names(["a", "b"], ["a", "c"], "EC of sub-01")
    with pytest.raises(InputError, match="2 expected, 1 came"):
        check_names(["a", "b"], ["a"], "x")
    with pytest.raises(InputError, match="2 expected, 3 came"):
        check_names(["a", "b"], ["a", "b", "b"], "x")


def test_series_of_many_samples_are_compressed_and_named_by_their_sidecar(tmp_path):
    path = tmp_path / "x_timeseries.tsv.gz"
    series = np.random.default_rng(0).standard_normal((50, 3))
    series[3] = np.nan
    write_timeseries(path, series, ["A", "NA", "3"], {"SamplingFrequency": 250.0})
    first = path.read_bytes()
    back, names = read_timeseries(path)
    assert names == ["A", "NA", "3"]
    np.testing.assert_allclose(back, series, rtol=1e-5)
    assert len(gzip.decompress(first).splitlines()) == 50
    assert json.loads((tmp_path / "x_timeseries.json").read_text())["Columns"] == names
    write_timeseries(path, series, names, {})
    assert path.read_bytes() == first


@pytest.mark.parametrize("cell", ["é", "0.1\x00", "[]"])
def test_a_matrix_with_text_in_place_of_numbers_is_told(tmp_path, cell):
    path = tmp_path / "x_relmat.tsv"
    path.write_text(f"node\tA\tB\nA\tn/a\t{cell}\nB\t0.5\tn/a\n")
    with pytest.raises(InputError, match=r"x_relmat.tsv"):
        read_relmat(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\t\t", gzip.compress(b"1\t2\n", mtime=0)[:-9], gzip.compress(b"1\t2\n", mtime=0)[:12] + b"x" * 20],
)
def test_a_packed_table_that_is_damaged_is_told(tmp_path, content):
    (tmp_path / "x.tsv.gz").write_bytes(content)
    (tmp_path / "x.json").write_text('{"Columns": ["a", "b"]}')
    with pytest.raises(InputError, match=r"x.tsv.gz"):
        read_timeseries(tmp_path / "x.tsv.gz")


@pytest.mark.parametrize(
    "sidecar", ["", "[", "[]", "{}", '{"Columns": 3}', '{"Columns": []}', '{"Columns": ["a", "a"]}']
)
def test_a_packed_table_whose_sidecar_names_no_columns_is_told(tmp_path, sidecar):
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(b"1\t2\n", mtime=0))
    (tmp_path / "x.json").write_text(sidecar)
    with pytest.raises(InputError, match=r"x.json"):
        read_timeseries(tmp_path / "x.tsv.gz")


def test_an_integer_that_no_float_holds_is_text(tmp_path):
    (tmp_path / "events.tsv").write_text("onset\tname\n" + "9" * 400 + "\tx\n1\ty\n")
    table = read_table(tmp_path / "events.tsv")
    assert [str(cell) for cell in table["onset"]] == ["9" * 400, "1"]
    assert [type(cell) for cell in table["onset"]] == [str, int]


def test_a_table_whose_line_ends_are_lost_is_told_at_once(tmp_path):
    (tmp_path / "x.tsv").write_bytes(b"A\tB\x851\t2\x85" * 30_000)
    with pytest.raises(InputError, match=r"has 60001 columns, and at most 20000 are read"):
        read_table(tmp_path / "x.tsv")
