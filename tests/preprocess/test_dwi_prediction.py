"""A volume is predicted from the others, itself left out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from bids_ai.bids.gradients import GradientTable, check_gradients
from bids_ai.connectome.harmonics import basis, orders
from bids_ai.preprocess.dwi_prediction import predictions, smoothers
from tests.diffusion_phantom import directions, fibre_signal, isotropic_signal, scheme

AXES = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 3, 3)))[0][:, :, 0]


def bundles(table: GradientTable) -> np.ndarray:
    return 1000 * fibre_signal(table.bvals, table.bvecs, AXES).T


def test_closed_form_is_the_fit_without_the_volume() -> None:
    table = scheme((1000, 20))
    signal = bundles(table)
    chosen = next(smoother for smoother in smoothers(table, signal) if len(smoother.volumes) == 20)
    order = int(chosen.name.split("order ")[1].split(",")[0])
    penalty = float(chosen.name.split("penalty ")[1])
    design, degree = basis(table.bvecs[chosen.volumes], order), orders(order)
    roughness = penalty * np.diag((degree * (degree + 1.0)) ** 2)
    predicted = chosen(signal)
    for left_out in (0, 7, 19):
        rest = np.delete(np.arange(20), left_out)
        normal = design[rest].T @ design[rest] + roughness
        fit = np.linalg.solve(normal, design[rest].T @ signal[chosen.volumes[rest]])
        assert_allclose(predicted[left_out], design[left_out] @ fit, rtol=1e-3)


def test_prediction_is_near_the_truth_and_does_not_see_its_own_volume() -> None:
    table = scheme((1000, 30))
    signal = bundles(table)
    spoilt = signal.copy()
    spoilt[10] = 5000
    for volume, values in predictions(smoothers(table, signal), spoilt):
        if volume == 10:
            assert np.abs(values - signal[10]).mean() < 0.05 * signal[10].mean()


def test_sharper_signal_takes_a_higher_order() -> None:
    noisy = scheme((1000, 30))
    sharp = scheme((4000, 60))
    low = next(s for s in smoothers(noisy, bundles(noisy)) if len(s.volumes) == 30)
    high = next(s for s in smoothers(sharp, bundles(sharp)) if len(s.volumes) == 60)
    orders_of = [int(s.name.split("order ")[1].split(",")[0]) for s in (low, high)]
    assert orders_of[1] > orders_of[0]


def test_volumes_on_no_shell_are_predicted_by_a_tensor() -> None:
    """A grid in q-space: 24 b-values of one direction each."""
    bvals = np.concatenate([[0], np.linspace(400, 2600, 24)])
    bvecs = np.concatenate([np.zeros((1, 3)), directions(24)])
    table = check_gradients(bvals, bvecs)
    signal = np.stack([1000 * isotropic_signal(table.bvals, d) for d in (0.7e-3, 0.9e-3)], axis=1)
    found = dict(predictions(smoothers(table, signal), signal))
    assert sorted(found) == list(range(1, 25))
    for volume, values in found.items():
        assert_allclose(values, signal[volume], rtol=0.02)


@pytest.mark.parametrize(("n", "predicted"), [(5, 5), (2, 0)])
def test_few_directions_are_predicted_by_their_mean_or_not_at_all(n: int, predicted: int) -> None:
    table = scheme((1000, n), n_b0=1)
    signal = bundles(table)
    found = dict(predictions(smoothers(table, signal), signal))
    assert len(found) == predicted
    for volume, values in found.items():
        others = [v for v in range(1, n + 1) if v != volume]
        assert_allclose(values, signal[others].mean(axis=0), rtol=1e-5)
