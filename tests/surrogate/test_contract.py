"""What every registered family keeps: a new one is picked up by its line in the registry."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from bids_ai.effective.perturbation import jacobian, push
from bids_ai.errors import InputError
from bids_ai.surrogate.base import FamilyFit, FitSettings
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FailedFit, FittedSurrogate, model_dtype
from bids_ai.surrogate.io import load, save
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.registry import FAMILIES, STRUCTURAL, get_family
from tests.surrogate.systems import recording, saturating_series

# Short training: the contract is about form, not about accuracy.
RESIDUAL = ("mlp", "cnn", "rnn", "low-rank-rnn", "ei-rnn", "almost-linear", "neural-ode", "transformer")
NPI = ("npi-mlp", "npi-cnn", "npi-rnn")
OPTIONS: dict[str, dict[str, float]] = {
    **{name: {"max_steps": 100} for name in RESIDUAL},
    **{name: {"epochs": 3} for name in NPI},
}

families = pytest.mark.parametrize("name", list(FAMILIES))


def series(seed: int = 0, n_times: int = 260) -> np.ndarray:
    out = saturating_series(5, n_times, seed)
    out[[20, 21, 90]] = np.nan
    return np.column_stack([out, np.full(n_times, np.nan)])  # the last region has no data


def with_structure(plain: Recording) -> Recording:
    """Give a recording a structural connectivity, which some families need and the others pass over."""
    structural = np.random.default_rng(7).lognormal(size=(len(plain.regions),) * 2)
    return replace(plain, structural=structural)


def raw_fit(name: str, *names_and_seeds: tuple[str, int, int]) -> list[FamilyFit]:
    """Fit without the fallback, so that the family itself is seen."""
    settings = FitSettings(2, 1, torch.device("cpu"), OPTIONS.get(name, {}))
    prepared = [
        prepare(with_structure(recording(series(seed, n_times), name=label)), order_max=3, n_folds=4)
        for label, seed, n_times in names_and_seeds
    ]
    return get_family(name).fit(prepared, fit_ridge(prepared, settings), settings)


@families
def test_predicts_frames_from_histories(name: str) -> None:
    fit = raw_fit(name, ("a", 0, 260))[0]
    for model in fit.models:
        history = torch.randn(7, fit.order, 5, dtype=model_dtype(model))
        following = model.predict(history)
        assert following.shape == (7, 5)
        assert torch.isfinite(following).all()
        torch.testing.assert_close(model.predict(history[2:3]), following[2:3])
        assert not torch.equal(model.predict(history.flip(1) + 1), following)


@families
def test_inputs_are_part_of_the_model_and_zero_at_rest(name: str) -> None:
    fit = raw_fit(name, ("a", 0, 260))[0]
    hyperparameters = fit.models[0].hyperparameters() | {"n_inputs": 2}
    model = get_family(name).build(**hyperparameters)
    history = torch.randn(3, fit.order, 5, dtype=model_dtype(model))
    at_rest = model.predict(history)
    assert torch.equal(model.predict(history, torch.zeros(3, 2, dtype=history.dtype)), at_rest)
    model.input_weights[1, 3] = 0.5
    pushed = model.predict(history, torch.tensor([[0.0, 2.0]] * 3, dtype=history.dtype))
    torch.testing.assert_close(pushed[:, 3] - at_rest[:, 3], torch.ones(3, dtype=history.dtype))
    with pytest.raises(InputError, match="takes 2 inputs"):
        model.predict(history, torch.zeros(3, 1, dtype=history.dtype))


@families
def test_simulation_starts_at_the_history_and_is_seeded(name: str) -> None:
    fit = raw_fit(name, ("a", 0, 260))[0]
    model = fit.models[0]
    initial = torch.randn(4, fit.order, 5, dtype=model_dtype(model))
    quiet = model.simulate(3, initial)
    assert quiet.shape == (4, 3, 5)
    torch.testing.assert_close(quiet[:, 0], model.predict(initial))
    noise = torch.eye(5, dtype=torch.float64)
    runs = [model.simulate(3, initial, noise, torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@families
def test_reads_the_structural_connectivity_as_the_registry_says(name: str) -> None:
    plain = recording(series(), name="a")
    settings = FitSettings(1, 1, torch.device("cpu"), OPTIONS.get(name, {}))

    def predicted(given: Recording) -> np.ndarray:
        prepared = [prepare(given, order_max=3, n_folds=4)]
        return get_family(name).fit(prepared, fit_ridge(prepared, settings), settings)[0].heldout.prediction

    if STRUCTURAL.get(name):
        with pytest.raises(InputError, match="structural connectivity"):
            predicted(plain)
    elif name in STRUCTURAL:
        assert not np.allclose(predicted(plain), predicted(with_structure(plain)))
    else:
        assert_array_equal(predicted(plain), predicted(with_structure(plain)))


@families
def test_heldout_frames_are_not_seen(name: str) -> None:
    # White noise cannot be predicted where it was not seen, whatever the capacity.
    # 900 frames: among 60 held-out ones a chance correlation may look like 3 % of the variance.
    noise = np.random.default_rng(0).standard_normal((900, 6))
    settings = FitSettings(1, 1, torch.device("cpu"), {"epochs": 60} if name in NPI else {})
    prepared = [prepare(with_structure(recording(noise)), order_max=3, n_folds=4)]
    fit = get_family(name).fit(prepared, fit_ridge(prepared, settings), settings)[0]
    error = prepared[0].next_frames()[fit.heldout.positions] - fit.heldout.prediction
    assert np.mean(error**2) > 0.97 * np.mean(prepared[0].next_frames()[fit.heldout.positions] ** 2)


@families
def test_independent_of_the_batch(name: str) -> None:
    # Float32 products of differently stacked networks may round differently; 100 steps keep that small.
    alone = raw_fit(name, ("b", 1, 300))[0]
    together = raw_fit(name, ("a", 0, 260), ("b", 1, 300), ("c", 2, 200))[1]
    history = torch.randn(50, alone.order, 5, dtype=model_dtype(alone.models[0]))
    for one, other in zip(alone.models, together.models, strict=True):
        torch.testing.assert_close(one.predict(history), other.predict(history), rtol=1e-4, atol=1e-5)
    assert_allclose(alone.heldout.prediction, together.heldout.prediction, rtol=1e-4, atol=1e-5)


@families
def test_initialisations_differ_between_members_and_between_recordings(name: str) -> None:
    first, second = raw_fit(name, ("a", 0, 260), ("b", 0, 260))  # the same data under two names
    history = torch.randn(20, first.order, 5, dtype=model_dtype(first.models[0]))
    if len(first.models) == 1:  # a closed form
        assert len(first.models) == 1
        torch.testing.assert_close(first.models[0].predict(history), second.models[0].predict(history))
    else:
        outputs = [model.predict(history) for model in (*first.models, *second.models)]
        assert len(outputs) == 4
        hidden = [
            next(p for key, p in model.named_parameters() if p.ndim == 2) for model in (*first.models, *second.models)
        ]
        for i in range(4):
            for j in range(i):
                assert not torch.equal(hidden[i], hidden[j])


@families
def test_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    fit = fit_recordings(
        [with_structure(recording(series(), name="a"))], model=name, ensemble=2, options=OPTIONS.get(name)
    )[0]
    assert isinstance(fit, FittedSurrogate)
    path = tmp_path / "räume mit leer" / "x.safetensors"
    path.parent.mkdir()
    meta = json.loads(json.dumps(save(fit, path), allow_nan=False))
    back = load(path, meta)
    assert [item.name for item in path.parent.iterdir()] == ["x.safetensors"]
    assert_array_equal(push(back), push(fit))
    assert_array_equal(back.simulate(5, 3), fit.simulate(5, 3))
    for field in ("name", "family", "requested", "regions", "excluded", "tr", "order", "penalty", "gate", "warnings"):
        assert getattr(back, field) == getattr(fit, field), field
    assert_array_equal(back.scaler.sd, fit.scaler.sd)


@families
def test_missing_regions_are_nan_in_connectivity(name: str) -> None:
    fit = fit_recordings(
        [with_structure(recording(series(), name="a"))], model=name, ensemble=1, options=OPTIONS.get(name)
    )[0]
    assert isinstance(fit, FittedSurrogate)
    for matrix in (push(fit), jacobian(fit)):
        assert matrix.shape == (6, 6)
        assert np.isnan(matrix[5]).all()
        assert np.isnan(matrix[:, 5]).all()
        assert np.isfinite(matrix[:5, :5][~np.eye(5, dtype=bool)]).all()


@families
def test_small_pushes_approach_the_derivative(name: str) -> None:
    import dataclasses

    fit = fit_recordings([recording(series(), name="a")], ensemble=1)[0]
    assert isinstance(fit, FittedSurrogate)
    raw = raw_fit(name, ("a", 0, 260))[0]
    double = tuple(model.double() for model in raw.models)
    fit = dataclasses.replace(fit, models=double, order=raw.order)
    for horizon in (1, 3):
        small = push(fit, size_sd=1e-4, horizon_steps=horizon, max_states=40)
        assert_allclose(small, jacobian(fit, horizon_steps=horizon, max_states=40), atol=2e-4)


@families
def test_unknown_options_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="has no option 'epoch'"):
        fit_recordings([], model=name, options={"epoch": 3})


def test_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"choose one of ridge-var, .*mlp, .*npi-rnn"):
        fit_recordings([], model="rigde")


def test_wrong_option_values_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="non-negative number"):
        fit_recordings([], model="mlp", options={"max_steps": "many"})
    with pytest.raises(InputError, match="Did you mean 'learning_rate'"):
        fit_recordings([], model="mlp", options={"learnig_rate": 0.1})


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    def stored(n: int, name: str) -> tuple[Path, dict]:
        fit = fit_recordings([recording(saturating_series(n, 200, 0))])[0]
        assert isinstance(fit, FittedSurrogate)
        return tmp_path / name, save(fit, tmp_path / name)

    small, meta_small = stored(4, "small.safetensors")
    large, meta_large = stored(5, "large.safetensors")
    with pytest.raises(InputError, match="5 regions, the sidecar names 4"):
        load(large, meta_small)
    with pytest.raises(InputError, match="do not belong together"):
        load(large, meta_large | {"models": meta_small["models"]})
    with pytest.raises(InputError, match=r"2 differ \(weights / sidecar\): r1 / Vis, r3 / Mot"):
        load(small, meta_small | {"regions": ["r0", "Vis", "r2", "Mot"]})
    with pytest.raises(InputError, match="format 0"):
        load(small, meta_small | {"format_version": 0})
    small.write_bytes(small.read_bytes()[:100])
    with pytest.raises(InputError, match="not a readable safetensors"):
        load(small, meta_small)
    with pytest.raises(InputError, match="not a readable safetensors"):
        load(tmp_path / "absent.safetensors", meta_small)


def test_a_batch_too_large_for_the_memory_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    from bids_ai.surrogate import fit

    recordings = [recording(saturating_series(4, 200, seed), name=f"rec{seed}") for seed in range(5)]
    alone = [fit_recordings([one])[0] for one in recordings]
    sizes = []

    def limited(chunk: list, settings: FitSettings) -> list[FamilyFit]:
        sizes.append(len(chunk))
        if len(chunk) > 2:
            raise torch.cuda.OutOfMemoryError
        return fit_ridge(chunk, settings)

    monkeypatch.setattr(fit, "fit_ridge", limited)
    batch = fit_recordings(recordings)
    assert sizes == [5, 2, 3, 1, 2]
    for one, other in zip(alone, batch, strict=True):
        assert isinstance(one, FittedSurrogate)
        assert isinstance(other, FittedSurrogate)
        assert_allclose(other.models[0].coefficients, one.models[0].coefficients, atol=1e-10)

    def never(chunk: list, settings: FitSettings) -> list[FamilyFit]:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(fit, "fit_ridge", never)
    failed = fit_recordings(recordings[:1])[0]
    assert isinstance(failed, FailedFit)
    assert "too little free memory" in failed.reason


def test_batches_on_a_gpu_follow_its_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    from bids_ai.surrogate import fit

    group = [prepare(recording(saturating_series(4, 200, seed), name=f"rec{seed}"), 2, 5) for seed in range(7)]
    # 5 folds of 6 matrices of 8 lagged regions, and three designs of 198 samples, in float64.
    one = 8 * (6 * 5 * 8**2 + 3 * 198 * 8)
    for budget, sizes in ((0, [1] * 7), (3 * one, [3, 3, 1]), (100 * one, [7])):
        monkeypatch.setattr(fit, "memory_budget", lambda device, budget=budget: budget)
        assert [len(chunk) for chunk in fit._chunks(group, torch.device("cuda"))] == sizes
