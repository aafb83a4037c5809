"""The group level, on matrices as the participant level leaves them."""

import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.tables import read_relmat, write_relmat, write_table
from bids_ai.errors import InputError
from bids_ai.stages.group_structural import write_consensus

NAMES = ["LA", "LB", "RA", "RB"]
ATLAS = "atlas-Four"


@pytest.fixture
def out(tmp_path):
    places = {"x": [-10.0, -40.0, 10.0, 40.0], "y": [0.0] * 4, "z": [0.0] * 4}
    nodes = pd.DataFrame({"index": [1, 2, 3, 4], "name": NAMES, "hemisphere": ["L", "L", "R", "R"]} | places)
    write_table(tmp_path / f"{ATLAS}_dseg.tsv", nodes)
    return tmp_path


def subject(out, label: str, edges: dict[tuple[int, int], float], *, session: str = "", names=NAMES) -> None:
    matrix = np.zeros((4, 4))
    for (i, j), value in edges.items():
        matrix[i, j] = matrix[j, i] = value
    np.fill_diagonal(matrix, np.nan)
    folder = f"sub-{label}/ses-{session}" if session else f"sub-{label}"
    path = out / folder / "dwi" / f"sub-{label}_space-T1w_{ATLAS}_stat-sift2sum_relmat.tsv"
    write_relmat(path, matrix, names, {"Directed": False})


def test_subjects_count_alike_whatever_the_scale_and_the_number_of_their_series(out):
    subject(out, "01", {(0, 1): 1.0, (0, 2): 3.0}, session="1")
    subject(out, "01", {(0, 1): 10.0, (0, 2): 30.0}, session="2")
    subject(out, "02", {(0, 1): 300.0, (0, 2): 100.0})
    [path] = write_consensus(out)
    assert path == out / f"{ATLAS}_stat-sift2sum_desc-consensus_relmat.tsv"
    matrix, names = read_relmat(path)
    assert names == NAMES
    assert matrix[0, 1] == pytest.approx((0.5 + 1.5) / 2)
    assert matrix[2, 0] == pytest.approx((1.5 + 0.5) / 2)
    assert matrix[1, 3] == 0
    assert np.isnan(np.diag(matrix)).all()


def test_one_subject_is_no_group(out):
    subject(out, "01", {(0, 1): 1.0})
    assert write_consensus(out) == []


def test_names_that_are_not_those_of_the_atlas_are_refused(out):
    subject(out, "01", {(0, 1): 1.0})
    subject(out, "02", {(0, 1): 1.0}, names=["A", "B", "C", "D"])
    with pytest.raises(InputError, match="region names differ"):
        write_consensus(out)
