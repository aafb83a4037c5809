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
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bids_ai.dynamics.wong_wang import WongWang
from bids_ai.errors import InputError
from bids_ai.surrogate.base import Family, FamilyFit, FitSettings
from bids_ai.surrogate.cross_spectra import Observed
from bids_ai.surrogate.families.latent import LatentLinear
from bids_ai.surrogate.families.latent_noise import LatentNoise
from bids_ai.surrogate.families.spectral_fit import Process, fit_spectral
from bids_ai.surrogate.families.state_space import DELAY_SD_S, HRF_TAU_LOG_SD, HRF_TAU_S, NOISE_POWER_S
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
    """The vector of parameters holds log haemodynamic scale, log gain, log recurrence, delays (n), and the noise."""

    strengths = (1.0,)

    def __init__(self, noise: LatentNoise, delays: bool, structural: FloatArray) -> None:
        self.noise, self.delays = noise, delays
        self.connectivity = torch.as_tensor(structural / structural.sum(0).mean())

    def start(self, spectra: Observed) -> Tensor:
        """Weak coupling and the published recurrence."""
        delays = [0.0] * self.noise.n_regions
        first = torch.tensor([0.0, np.log(START_GAIN), 0.0, *delays], dtype=torch.float64)
        return torch.cat([first.expand(len(spectra.n), -1), self.noise.start(spectra)], dim=1)

    def process(self, parameters: Tensor) -> Process:
        """Linearisation about the fixed point of each vector."""
        (scale, gain, recurrence), delay, rest = self._split(parameters)
        model = replace(WongWang(), w=WongWang().w * recurrence.exp()[:, None])
        coupling = gain.exp()[:, None, None] * self.connectivity
        drift = linearised(model, coupling, resting_state(model, coupling))
        own = -drift.diagonal(dim1=-2, dim2=-1).mean(-1)
        noise, floor = self.noise.covariances(rest)
        delay = delay * (DELAY_SD_S if self.delays else 0.0)
        return Process(
            drift, noise * NOISE_POWER_S * own.square()[:, None, None], HRF_TAU_S * scale.exp(), floor, delay
        )

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density."""
        (scale, gain, recurrence), delay, rest = self._split(parameters)
        shift = ((gain - np.log(START_GAIN)) / GAIN_LOG_SD).square() + (recurrence / RECURRENCE_LOG_SD).square()
        shift = shift + delay.square().sum(1)
        out: Tensor = 0.5 * (self.noise.cost(rest) + shift + (scale / HRF_TAU_LOG_SD).square())
        return out

    def _split(self, parameters: Tensor) -> tuple[tuple[Tensor, ...], Tensor, Tensor]:
        """Log haemodynamic scale, log gain and log recurrence; delays, in units of their prior; noise."""
        first, delay, rest = parameters.tensor_split((3, 3 + self.noise.n_regions), dim=1)
        return first.unbind(1), delay, rest


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
        fits.append(fit_spectral(recording, partial(_MassPrior, structural=structural)))
    return fits


FAMILY = Family(name="neural-mass", fit=_fit, build=LatentLinear, fallback_to_linear=False)
