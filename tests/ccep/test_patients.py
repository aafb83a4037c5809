"""Patients predicted from the other patients: nothing of a patient's own responses gets into its prediction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bids_ai.ccep.prediction.base import region_pairs
from bids_ai.ccep.prediction.patients import SPLIT, predict_patients
from bids_ai.ccep.scoring.recorded import Recorded
from bids_ai.ccep.scoring.table import score_table
from bids_ai.ccep.scoring.verdict import verdict
from bids_ai.errors import InputError
from tests.ccep.worlds import network_world


def patients(n: int = 4, given: tuple[str, ...] = ("sc", "fc", "ec")) -> list[Recorded]:
    """Patients with connections of their own."""
    found = []
    for number in range(n):
        one = network_world(20 + number, patient=f"{number:02d}").recorded
        pairs = {name: np.abs(region_pairs(one.layout, one.layout.matrices[name])) for name in given}
        # Waveforms are not at hand at the group level.
        bare = replace(one.layout, pairs=pairs, matrices={}, impulses=None, impulse_times_s=None)
        found.append(Recorded(bare, one.amplitude, one.responder, one.odd, one.even, one.latency_s))
    return found


def test_responses_of_the_patient_itself_do_not_count():
    recorded = patients()
    before = predict_patients(recorded)
    first = recorded[0]
    other = replace(first, amplitude=first.amplitude[::-1], responder=1 - first.responder, odd=None, even=None)
    after = predict_patients([other, *recorded[1:]])
    for model, by_split in before.items():
        assert list(by_split) == [SPLIT]
        for what in ("score", "probability"):
            one, two = (getattr(found[model][SPLIT], what) for found in (before, after))
            if one is not None:
                np.testing.assert_allclose(one[0], two[0], err_msg=model)


def test_what_is_in_the_world_is_found_in_patients_not_seen():
    recorded = patients()
    scores = score_table(recorded, predict_patients(recorded), n_permutations=0, n_bootstrap=300)
    rows = scores[scores["metric"] == "spearman"].set_index("model")
    assert rows.loc["distance+sc+fc+ec", "gain_over_combination"] > 0.02
    assert rows.loc["distance+sc+fc+ec", "n_patients"] == 4
    found = verdict(scores, split=SPLIT, where="these patients")
    assert found.adds is True
    assert "in these patients" in found.text
    # The networks of these patients have nothing in common.
    assert abs(rows.loc["patient-prior", "value"]) < 0.25


def test_patients_who_lack_something_are_left_out_of_what_needs_it():
    recorded = patients()
    poor = replace(recorded[0], layout=replace(recorded[0].layout, pairs={}))
    found = predict_patients([poor, *recorded[1:]])
    assert np.isnan(found["distance+sc+fc"][SPLIT].score[0]).all()
    assert np.isfinite(found["distance+sc+fc"][SPLIT].score[1]).any()
    assert np.isfinite(found["distance"][SPLIT].score[0]).any()
    alone = predict_patients([poor, recorded[1]])
    assert alone["ec"][SPLIT].reason == "1 of 2 patients with ec: two are wanted"


def test_responses_between_the_same_regions_are_remembered():
    recorded = patients(3)
    shared = [replace(one, layout=replace(one.layout, patient=f"{k:02d}")) for k, one in enumerate([recorded[0]] * 3)]
    found = predict_patients(shared)["patient-prior"][SPLIT]
    pairs = shared[0].beyond(13.0) & np.isfinite(found.score[0])
    responding = shared[0].responder == 1
    assert found.score[0][pairs & responding].mean() > 1.3 * found.score[0][pairs & ~responding].mean()


def test_scores_of_another_shape_are_refused():
    one = patients(1)[0]
    with pytest.raises(InputError, match="pairs are wanted"):
        replace(one.layout, pairs={"ec": np.zeros((2, 2))})
