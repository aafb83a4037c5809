"""A grid under stimulation through the command line: one mean of quiet channels for all sites, and a report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.files import read_json
from bids_ai.bids.tables import read_relmat, read_table
from tests.conftest import call_bids_ai
from tests.stages.test_electrophysiology import ITEM, NAMES, write_recording

from .conftest import QUICK

pytestmark = [pytest.mark.workflow, pytest.mark.slow]


def test_a_grid_ends_with_its_responses_and_says_its_reference(tmp_path: Path, shared_work: Path) -> None:
    data = write_recording(tmp_path / "data", kind="ECOG", n_pulses=(9, 9, 9), names=[*NAMES, "A7"], bad=("A7",))
    (tmp_path / "settings.yaml").write_text("ccep:\n  n_draws: 1000\n")
    call = ["ccep", data, tmp_path / "out", "-w", shared_work, "--config-file", tmp_path / "settings.yaml"]
    answer = call_bids_ai(*call, *QUICK, "--nprocs", "1", timeout=600)
    assert answer.code == 0, answer.text[-3000:]
    out = tmp_path / "out"
    quality = read_json(out / f"{ITEM}_desc-ccep_features.json")["QualityControl"]
    assert quality["Reference"] == "mean of the 7 of 12 surface channels that respond least (CARLA)"
    page = (out / "sub-01.html").read_text()
    assert quality["Reference"] in page
    # The bad contact that the table counts is in the figure.
    figure = (out / "sub-01/figures/sub-01_task-ccep_run-1_desc-contacts_ieeg.svg").read_text()
    assert "1 of 13 contacts bad" in figure
    table = read_table(out / f"{ITEM}_desc-ccep_features.tsv")
    found = table[table["responder"] == 1]
    assert found["channel"].isin(["A3", "A4", "B3", "B4"]).sum() == 6
    assert len(found) <= 7  # six are true; one channel too many in the mean would put its response into all others
    probability, names = read_relmat(out / f"{ITEM}_atlas-EqualVolume_scale-20_stat-ccepprobability_relmat.tsv")
    assert probability.shape == (20, 20)
    assert len(names) == 20
    assert np.nanmax(probability) > 0
