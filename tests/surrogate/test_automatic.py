"""The race of the automatic choice: who leaves it, who stays, and that nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.surrogate import automatic, selection
from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.registry import FAMILIES, get_family
from bids_ai.surrogate.selection import LEFT, Candidate, falls_behind, select
from tests.surrogate.systems import coupling, linear_series
from tests.surrogate.test_local_nonlinear import electric, limit_cycles

TRAINED = ("low-rank-rnn", "almost-linear", "mlp")
SETTINGS = FitSettings(1, 1, torch.device("cpu"), {})


def short_training(name: str) -> Family:
    """Family whose networks are trained for few steps, in large batches."""
    family = get_family(name)
    few = {"max_steps": 150, "batch_size": 256} if family.trained else {}
    return replace(family, defaults={**family.defaults, **few})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(automatic, "get_family", short_training)
    monkeypatch.setattr(selection, "MAX_LIKELIHOOD_REGIONS", 0)  # state-space and ou play no part here


def even_coupling(n_times: int, seed: int, n: int = 4) -> np.ndarray:
    """Regions driven by an even function of their neighbour, x(t+1) = 0.3 x + cos(2 neighbour) + noise."""
    rng = np.random.default_rng(seed)
    state, out = rng.standard_normal(n), []
    for _ in range(n_times + 50):
        state = 0.3 * state + np.cos(2 * np.roll(state, 1)) + 0.3 * rng.standard_normal(n)
        out.append(state)
    return np.array(out[50:])


def chosen(series: np.ndarray, modality: str = "eeg", order_max: int = 2) -> FittedSurrogate:
    recording = electric(series, modality=modality)
    fit = fit_recordings([recording], model="auto", ensemble=1, order_max=order_max)[0]
    assert isinstance(fit, FittedSurrogate)
    return fit


def left(fit: FittedSurrogate) -> list[str]:
    return [row["family"] for row in fit.evaluation["heldout"]["families"] if row["note"] == LEFT]


def test_trained_families_leave_where_the_closed_form_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    series = limit_cycles(1000, 0, n=4)[1]
    raced = chosen(series)
    assert raced.family == "local-nonlinear"
    assert left(raced) == list(TRAINED)
    monkeypatch.setattr(automatic, "falls_behind", lambda *_: False)
    whole = chosen(series)
    assert (whole.family, left(whole)) == ("local-nonlinear", [])
    for name, value in whole.models[0].state_dict().items():
        assert_array_equal(raced.models[0].state_dict()[name].numpy(), value.numpy())
    both = [{row["family"]: row for row in fit.evaluation["heldout"]["families"]} for fit in (raced, whole)]
    assert list(both[0]) == list(both[1])
    assert {name: row for name, row in both[0].items() if name not in TRAINED} == {
        name: row for name, row in both[1].items() if name not in TRAINED
    }


def test_a_trained_family_that_is_better_is_trained_and_chosen() -> None:
    # The closed form is linear between regions, and has nothing for an even function.
    fit = chosen(even_coupling(800, 0), order_max=1)
    assert fit.family == "mlp"
    assert "mlp" not in left(fit)
    (row,) = [row for row in fit.evaluation["heldout"]["families"] if row["chosen"]]
    assert row["heldout_r2"] == pytest.approx(fit.evaluation["heldout"]["r2"])


def test_bold_has_no_race_whoever_is_in_the_batch() -> None:
    series = limit_cycles(1000, 0, n=4)[1]
    recordings = [electric(series, name=name, modality=name) for name in ("bold", "eeg")]
    together = fit_recordings(recordings, model="auto", ensemble=1, order_max=2)
    alone = [fit_recordings([one], model="auto", ensemble=1, order_max=2)[0] for one in recordings]
    for one, other in zip(alone, together, strict=True):
        assert isinstance(one, FittedSurrogate)
        assert isinstance(other, FittedSurrogate)
        rows = [fit.evaluation["heldout"]["families"] for fit in (one, other)]
        assert [(row["family"], row["note"]) for row in rows[0]] == [(row["family"], row["note"]) for row in rows[1]]
        assert one.family == other.family
    assert [left(fit) for fit in together if isinstance(fit, FittedSurrogate)] == [[], list(TRAINED)]


def test_a_scout_that_fails_is_told_and_the_race_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[FamilyFit]:
        raise ArithmeticError("no number")

    def with_a_broken_scout(name: str) -> Family:
        return replace(short_training(name), scout=broken) if name == "mlp" else short_training(name)

    monkeypatch.setattr(automatic, "get_family", with_a_broken_scout)
    fit = chosen(limit_cycles(300, 0, n=4)[1])
    assert [warning for warning in fit.warnings if "mlp" in warning] == [
        "mlp could not be fitted and was left out: no number"
    ]
    assert "mlp" not in [row["family"] for row in fit.evaluation["heldout"]["families"]]


@pytest.mark.parametrize("name", [name for name in FAMILIES if get_family(name).scout])
def test_a_scout_predicts_the_first_block_as_the_whole_fit_does(name: str) -> None:
    prepared = [prepare(electric(limit_cycles(250, seed, n=3)[1], name=f"r{seed}"), 2, 4) for seed in range(2)]
    linear, family = fit_ridge(prepared, SETTINGS), get_family(name)
    assert family.scout is not None
    settings = replace(SETTINGS, options={"max_steps": 50})
    scouts, fits = family.scout(prepared, linear, settings), family.fit(prepared, linear, settings)
    for recording, scout, fit in zip(prepared, scouts, fits, strict=True):
        test = recording.folds[0].test
        assert_array_equal(scout.heldout.positions, np.arange(test.start, test.stop))
        # Stacks of other sizes may round differently.
        assert_allclose(scout.heldout.prediction, fit.heldout.prediction[test], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def fitted() -> tuple[PreparedRecording, FamilyFit]:
    recording = prepare(electric(linear_series(coupling(5, seed=0), 400, 1)), 2, 5)
    return recording, fit_ridge([recording], SETTINGS)[0]


def scout_of(recording: PreparedRecording, fit: FamilyFit, noise: float) -> FamilyFit:
    """Predictions of the first block, some noise added."""
    test = recording.folds[0].test
    added = noise * np.random.default_rng(0).standard_normal((test.stop - test.start, recording.n_regions))
    return replace(fit, heldout=HeldOut(np.arange(test.start, test.stop), fit.heldout.prediction[test] + added))


@pytest.mark.parametrize(("noise", "behind"), [(0.0, False), (0.01, False), (0.5, True)])
def test_only_what_is_clearly_worse_than_the_best_falls_behind(fitted, noise, behind):
    recording, linear = fitted
    worse = replace(linear, heldout=HeldOut(linear.heldout.positions, np.zeros_like(linear.heldout.prediction)))
    gone = Candidate("almost-linear", scout_of(recording, linear, 0.0), left=True)
    so_far = [Candidate("ou", worse), Candidate("ridge-var", linear), gone]
    assert falls_behind(recording, scout_of(recording, linear, noise), so_far) is behind
    # As good as the worst is not good enough.
    assert falls_behind(recording, scout_of(recording, worse, 0.0), so_far)


def test_a_family_that_left_is_in_the_table_and_cannot_be_chosen(fitted):
    recording, linear = fitted
    truth = recording.next_frames()
    perfect = scout_of(recording, replace(linear, heldout=HeldOut(linear.heldout.positions, truth)), 0.0)
    fits = [Candidate("ridge-var", linear), Candidate("mlp", perfect, left=True)]
    winner, table = select(recording, fits, linear)
    assert winner.family == "ridge-var"
    assert (table[1]["heldout_r2"], table[1]["heldout_r2_se"], table[1]["chosen"]) == (None, None, False)
    assert table[1]["note"] == LEFT
    assert table[1]["loss_against_best"] < 0  # over the block that it predicted
