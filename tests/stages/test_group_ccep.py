"""The responses of a group, on matrices as the participant level leaves them."""

import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_relmat, write_relmat, write_table
from bids_ai.errors import InputError
from bids_ai.stages.group_ccep import write_group_responses

NAMES = ["LA", "LB", "RA", "RB"]
ATLAS = "atlas-Four"


@pytest.fixture
def out(tmp_path):
    write_table(tmp_path / f"{ATLAS}_dseg.tsv", pd.DataFrame({"index": [1, 2, 3, 4], "name": NAMES}))
    return tmp_path


def patient(out, label: str, cells: dict[tuple[int, int], tuple[float, float]], *, run: str = "1", names=NAMES) -> None:
    """Cells: stimulated, recorded -> tested pairs, share of responses."""
    count, share = np.full((4, 4), np.nan), np.full((4, 4), np.nan)
    for cell, (tested, probability) in cells.items():
        count[cell], share[cell] = tested, probability
    stem = out / f"sub-{label}" / "ieeg" / f"sub-{label}_task-ccep_run-{run}_{ATLAS}_stat"
    for measure, matrix in (("ccepcount", count), ("ccepprobability", share)):
        write_relmat(stem.with_name(f"{stem.name}-{measure}_relmat.tsv"), matrix, names, {"Directed": True})


def pooled(out, measure: str) -> np.ndarray:
    matrix, names = read_relmat(out / f"{ATLAS}_stat-{measure}_desc-group_relmat.tsv")
    assert names == NAMES
    return matrix


def test_patients_are_pooled_with_their_number_and_what_can_be_relied_upon(out):
    for label, share in (("01", 0.95), ("02", 0.9), ("03", 0.9)):
        patient(out, label, {(0, 1): (20.0, share)})
    patient(out, "04", {(2, 3): (4.0, 0.5)})
    assert len(write_group_responses(out)) == 5
    probability = pooled(out, "ccepprobability")
    assert 0.9 < probability[0, 1] < 0.95
    assert probability[2, 3] == pytest.approx(0.5)
    assert np.isnan(probability[1, 0])
    np.testing.assert_array_equal(pooled(out, "patientcount")[[0, 2, 1], [1, 3, 0]], [3, 1, 0])
    reliable = pooled(out, "ccepreliable")
    np.testing.assert_array_equal(reliable[[0, 2, 1], [1, 3, 0]], [1, 0, np.nan])
    assert pooled(out, "ccepcount")[0, 1] == pytest.approx(60)
    assert pooled(out, "ccepci")[0, 1] < 0.2
    meta = read_json(out / f"{ATLAS}_stat-ccepprobability_desc-group_relmat.json")
    assert meta["Subjects"] == ["sub-01", "sub-02", "sub-03", "sub-04"]
    assert (meta["TestedCells"], meta["ReliableCells"]) == (2, 1)


def test_runs_of_a_patient_are_one_patient(out):
    patient(out, "01", {(0, 1): (2.0, 1.0)})
    patient(out, "01", {(0, 1): (6.0, 0.0)}, run="2")
    patient(out, "02", {(0, 1): (8.0, 0.25)})
    write_group_responses(out)
    assert pooled(out, "patientcount")[0, 1] == 2
    assert pooled(out, "ccepprobability")[0, 1] == pytest.approx(0.25)


def test_patients_without_places_of_contacts_do_not_make_a_group(out):
    patient(out, "01", {(0, 1): (2.0, 1.0)})
    patient(out, "02", {})
    assert write_group_responses(out) == []


def test_names_that_are_not_those_of_the_atlas_are_refused(out):
    patient(out, "01", {(0, 1): (2.0, 1.0)})
    patient(out, "02", {(0, 1): (2.0, 1.0)}, names=["A", "B", "C", "D"])
    with pytest.raises(InputError, match="region names differ"):
        write_group_responses(out)
