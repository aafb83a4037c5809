"""Effective connectivity of a method on a case: the response that the truth of the system is defined by.

- A surrogate is pushed by 1 SD at its newest frame, and the response is averaged over the frames of the window of the
  truth. Where the truth is BOLD after a push of neural activity, a model with neural states (`LatentLinear`) is pushed
  there, for as long as the system was; a model without any can only be pushed at the BOLD.
- The Jacobian is the second read-out, where it differs: in nonlinear models.
- Responses are in units of the signal, as the truth is.
"""

from __future__ import annotations

import numpy as np

from benchmarks.ec.cases import Case
from benchmarks.ec.methods import Method
from bids_ai.effective.baselines.registry import get_baseline
from bids_ai.effective.perturbation import jacobian, push
from bids_ai.surrogate.families.latent import LatentLinear
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.usable import FloatArray

MAX_STATES = 256
"""States that a nonlinear model is pushed in; all states give the same matrix (r > .999, `npi-mlp` on `rate-rnn`)."""


def baseline_matrix(case: Case, method: Method, structural: str) -> FloatArray:
    """Matrix of a baseline; couplings of standardised signals in units of the signals."""
    matrix = get_baseline(method.name).estimate(case.recording(structural))
    if not method.coupling:
        return matrix
    sd = case.series.std(axis=0)
    scaled: FloatArray = matrix * sd[None, :] / sd[:, None]
    return scaled


def surrogate_matrices(case: Case, fit: FittedSurrogate) -> dict[str, FloatArray]:
    """Read-outs of a surrogate by name, units of the signal."""
    target = case.target
    model = fit.models[0]
    if target.haemodynamic and isinstance(model, LatentLinear):
        return {"neural push": fit.signal_units(bold_after_neural_push(fit, target.window_s, target.push_s))}
    steps = target.horizon_steps
    out = {"push": push(fit, horizon_steps=steps, max_states=MAX_STATES)}
    if model.analytic_response(1) is None:
        out["jacobian"] = jacobian(fit, horizon_steps=steps, max_states=MAX_STATES)
    return {name: fit.signal_units(matrix) for name, matrix in out.items()}


def bold_after_neural_push(fit: FittedSurrogate, window_s: float, push_s: float) -> FloatArray:
    """Mean BOLD over the window after a push of the neural input of each region, SD units; diagonal NaN."""
    n = len(fit.regions)
    full = np.full((n, n), np.nan)
    rows = np.flatnonzero(fit.kept)
    responses = [model.bold_response(window_s, push_s) for model in fit.models if isinstance(model, LatentLinear)]
    full[np.ix_(rows, rows)] = np.mean([response.numpy() for response in responses], axis=0)
    np.fill_diagonal(full, np.nan)
    return full
