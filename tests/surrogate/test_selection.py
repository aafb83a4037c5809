"""What stands for itself in the choice among families, and what gives way to the model it fell back to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bids_ai.surrogate.base import FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.selection import MAX_LIKELIHOOD_REGIONS, NO_GAIN, SC_UNUSED, Candidate, candidates, select
from tests.surrogate.systems import coupling, linear_series

SETTINGS = FitSettings(ensemble=1, seed=1, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def fitted() -> tuple[PreparedRecording, FamilyFit]:
    series = linear_series(coupling(5, seed=0), 200, 1)
    recording = prepare(Recording("r", (series,), 2.0, tuple("abcde")), 2, 5)
    return recording, fit_ridge([recording], SETTINGS)[0]


@pytest.mark.parametrize(("contrast", "chosen", "note"), [(0.0, "ridge-var", SC_UNUSED), (0.5, "sc-ridge", "")])
def test_an_sc_that_is_not_used_does_not_stand_for_itself(fitted, contrast, chosen, note):
    """Both predict alike, so that the simpler one, sc-ridge, would be chosen."""
    recording, linear = fitted
    with_sc = Candidate("sc-ridge", replace(linear, details={"contrast": contrast}))
    winner, table = select(recording, [with_sc, Candidate("ridge-var", linear)], linear)
    assert winner.family == chosen
    assert [row["family"] for row in table if row["chosen"]] == [chosen]
    assert table[0]["note"] == note


def test_a_correction_that_stayed_at_zero_is_called_no_gain(fitted):
    recording, linear = fitted
    held = linear.heldout
    moved = replace(linear, heldout=HeldOut(held.positions, held.prediction + 1e-3))
    fits = [Candidate("ridge-var", linear), Candidate("almost-linear", linear), Candidate("mlp", moved)]
    _, table = select(recording, fits, linear)
    assert [row["note"] for row in table] == ["", NO_GAIN, ""]
    assert np.isfinite([row["heldout_r2"] for row in table]).all()


@pytest.mark.parametrize(
    ("n_regions", "modality", "with_sc", "left_out"),
    [
        (5, "bold", False, {"sc-ridge", "local-nonlinear"}),
        (5, "bold", True, {"local-nonlinear"}),
        (5, "eeg", True, {"state-space"}),
        (MAX_LIKELIHOOD_REGIONS + 1, "bold", True, {"state-space", "ou", "local-nonlinear"}),
    ],
)
def test_families_that_suit_a_recording_are_tried(n_regions, modality, with_sc, left_out):
    rng = np.random.default_rng(1)
    structural = rng.random((n_regions, n_regions)) * (1 - np.eye(n_regions)) if with_sc else None
    names = tuple(f"r{i}" for i in range(n_regions))
    series = rng.standard_normal((60, n_regions))
    recording = prepare(Recording("r", (series,), 2.0, names, structural=structural, modality=modality), 2, 5)
    every = {"state-space", "sc-ridge", "ou", "ridge-var", "local-nonlinear", "low-rank-rnn", "almost-linear", "mlp"}
    assert set(candidates(recording)) == every - left_out
