"""Neural mass on the structural connectivity: the reduced Wong-Wang model, fitted by gradient through its fixed point.

Three numbers are free: the global coupling G, the local recurrence w and the haemodynamic time constant, besides the
noise of each region. The model rests at a fixed point; its linearisation there is a linear neural process whose
spectra are compared with those of the recording (`bids_ai.surrogate.whittle`). Every direction in the result is one of
the SC, weighed by how excitable the target is at its working point.

References
----------
Deco et al. 2013, doi:10.1523/JNEUROSCI.1091-13.2013 (the model and the linearisation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from bids_ai.dynamics.wong_wang import WongWang
from bids_ai.errors import InputError
from bids_ai.surrogate.base import Family, FamilyFit, FitSettings
from bids_ai.surrogate.families.latent import LatentLinear
from bids_ai.surrogate.families.spectral_fit import Process, fit_spectral
from bids_ai.surrogate.families.state_space import HRF_TAU_LOG_SD, HRF_TAU_S, NOISE_LOG_SD
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

START_GAIN, GAIN_LOG_SD = 0.3, 1.0
"""Global coupling of an SC with mean input 1 at which the descent begins, and the spread of its prior. The low state of
the model is lost somewhere between 0.6 and 0.8."""
RECURRENCE_LOG_SD = 0.1
"""Spread of the local recurrence about its published value."""
REST_STEPS, REST_STEP_S = 400, 0.01
"""Relaxation to the fixed point: 4 s, forty synaptic time constants."""


class _MassPrior:
    """The vector of parameters holds log noise (n), log floor, log haemodynamic scale, log gain, log recurrence."""

    strengths = (1.0,)

    def __init__(self, structural: FloatArray) -> None:
        self.connectivity = torch.as_tensor(structural / structural.sum(0).mean())
        self.n = len(structural)

    def start(self) -> Tensor:
        """Weak coupling and the published recurrence."""
        rest = torch.tensor([np.log(0.1), 0.0, np.log(START_GAIN), 0.0], dtype=torch.float64)
        return torch.cat([torch.zeros(self.n, dtype=torch.float64), rest])

    def process(self, parameters: Tensor) -> Process:
        """Linearisation about the fixed point of each vector."""
        noise, rest = parameters.split([self.n, 4], dim=1)
        floor, scale, gain, recurrence = rest.unbind(1)
        model = replace(WongWang(), w=WongWang().w * recurrence.exp()[:, None])
        coupling = gain.exp()[:, None, None] * self.connectivity
        drift = linearised(model, coupling, resting_state(model, coupling))
        own = -drift.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
        return Process(drift, noise.exp() * 10 * own.square(), HRF_TAU_S * scale.exp(), floor.exp())

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density."""
        noise, rest = parameters.split([self.n, 4], dim=1)
        _, scale, gain, recurrence = rest.unbind(1)
        spread = ((noise - noise.mean(1, keepdim=True)) / NOISE_LOG_SD).square().sum(1)
        shift = ((gain - np.log(START_GAIN)) / GAIN_LOG_SD).square() + (recurrence / RECURRENCE_LOG_SD).square()
        out: Tensor = 0.5 * (spread + shift + (scale / HRF_TAU_LOG_SD).square())
        return out


def resting_state(model: WongWang, coupling: Tensor) -> Tensor:
    """Fixed point of low activity, (batch, n), differentiable by the implicit function theorem.

    Parameters
    ----------
    model : WongWang
        Its parameters may be tensors (batch, 1).
    coupling : (batch, n, n) tensor
        Row = source.
    """
    with torch.no_grad():
        state = torch.full(coupling.shape[:2], 0.03, dtype=coupling.dtype)
        for _ in range(REST_STEPS):
            state = (state + REST_STEP_S * _drift(model, coupling, state)).clamp(0, 1)
        jacobian = linearised(model, coupling, state)
    # One Newton step: its value is the fixed point to second order, its derivative that of the fixed point.
    return state - torch.linalg.solve(jacobian.mT, _drift(model, coupling, state)[..., None])[..., 0]


def _drift(model: WongWang, coupling: Tensor, state: Tensor) -> Tensor:
    received = (state[:, None, :] @ coupling)[:, 0]
    return model.drift(state[..., None], received, 0.0)[..., 0]


def linearised(model: WongWang, coupling: Tensor, state: Tensor) -> Tensor:
    """Derivative of the drift of region j by the state of region i, (batch, n, n), 1/s."""
    received = (state[:, None, :] @ coupling)[:, 0]
    u = model.d * (model.b - model.a * (model.w * model.J * state + model.J * received + model.I0))
    grown = torch.expm1(u)
    # Rate H = u / (d expm1(u)) and its derivative by the current.
    rate = u / (model.d * grown)
    slope = model.a * (u * (grown + 1) - grown) / grown.square()
    excitability = (1 - state) * model.gamma * slope * model.J
    own = -1 / model.tau_s - model.gamma * rate + excitability * model.w
    return coupling * excitability[:, None, :] + torch.diag_embed(own)


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    fits = []
    for recording in recordings:
        structural = recording.kept_structural
        if structural is None:
            raise InputError(
                f"{recording.name}: neural-mass needs a structural connectivity, and the recording has none; "
                "give one, or choose a model that goes without, such as state-space."
            )
        fits.append(fit_spectral(recording, _MassPrior(structural)))
    return fits


FAMILY = Family(name="neural-mass", fit=_fit, build=LatentLinear, fallback_to_linear=False)
