"""From a fitted surrogate to the waveforms at stimulated contacts: the conventions of both rooms fit together."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose

from bids_ai.ccep.prediction.impulse_response import contact_impulses
from bids_ai.effective.perturbation import impulse_response
from tests.surrogate.systems import coupling, fitted, linear_series


def test_bipolar_push_through_a_fitted_model_is_that_of_the_system() -> None:
    weights = coupling(6, 0)
    fit = fitted(linear_series(weights, 4000, 0))
    steps = fit.signal_units(impulse_response(fit, horizon_steps=4, diagonal=True))
    contacts = np.array([[k, k + 1] for k in range(6)])
    found = contact_impulses(steps, contacts, 7)
    # x(t + 1) = x(t) W: a push of contact 3 moves channel 3-4 up and channel 2-3 down.
    push = np.zeros(6)
    push[3], push[2] = 1.0, -1.0
    truth = np.stack([push @ np.linalg.matrix_power(weights, k) for k in range(1, 5)], axis=-1)
    # 4000 frames: coefficients have standard errors of about .016, and there are two of them in each number.
    assert_allclose(found[3], truth, atol=0.1)
