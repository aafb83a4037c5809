"""A surrogate whose dynamics are neural and whose observation is haemodynamic.

Neural states follow dx = x J dt + dW; BOLD is their convolution with a gamma kernel, plus white noise. The next frame
of BOLD is predicted by the best linear predictor that this process implies; a push acts on the neural states.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bids_ai.dynamics.haemodynamics import boynton_kernel
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.cross_spectra import MIN_FREQUENCY_HZ

HRF_ORDER = 3
"""Order of the gamma kernel (Boynton et al. 1996, doi:10.1523/JNEUROSCI.16-13-04207.1996)."""
GRID_STEP_HZ = 0.01
"""Frequencies at which the spectrum is integrated: well below the width of the haemodynamic pass band, 0.1 Hz."""
MAX_FREQUENCY_HZ = 0.7
"""The haemodynamic response passes less than 1e-4 of the power beyond."""


def haemodynamic_gain(omega: Tensor, hrf_tau_s: Tensor) -> Tensor:
    """|H|^2 of the gamma kernel at angular frequencies (n,) for time constants (batch,), shape (batch, n)."""
    return (1 + (omega * hrf_tau_s[:, None]).square()) ** -HRF_ORDER


def neural_response(drift: Tensor, tr: float, n_steps: int) -> Tensor:
    """Mean of exp(J t) over each of the intervals ((k - 1) TR, k TR], shape (n_steps, n, n)."""
    n = len(drift)
    # exp of [[J, 1], [0, 0]] TR holds exp(J TR) and the integral of exp(J t) over one TR.
    block = drift.new_zeros(2 * n, 2 * n)
    block[:n, :n], block[:n, n:] = drift * tr, torch.eye(n, dtype=drift.dtype) * tr
    both = torch.linalg.matrix_exp(block)
    step, mean = both[:n, :n], both[:n, n:] / tr
    out = [mean]
    for _ in range(n_steps - 1):
        out.append(step @ out[-1])
    return torch.stack(out)


class LatentLinear(SurrogateModel):
    """Linear neural dynamics under a haemodynamic response.

    | name | shape | meaning |
    |---|---|---|
    | drift | (n_regions, n_regions) | J, 1/s; row = source |
    | noise | (n_regions, n_regions) | covariance of the neural noise, 1/s |
    | hrf_tau_s | () | time constant of the gamma kernel, s |
    | floor | (n_regions, n_regions) | covariance of the observation noise, SD units squared |
    | delay_s | (n_regions,) | delay of each region beyond that of the kernel, s |
    | coefficients | (order, n_regions, n_regions) | predictor of the next frame from the last `order`, newest last |
    """

    def __init__(self, n_regions: int, order: int, tr: float, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.tr = tr
        shapes = {
            "drift": (n_regions, n_regions),
            "noise": (n_regions, n_regions),
            "hrf_tau_s": (),
            "floor": (n_regions, n_regions),
            "delay_s": (n_regions,),
            "coefficients": (order, n_regions, n_regions),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.drift: Tensor
        self.noise: Tensor
        self.hrf_tau_s: Tensor
        self.floor: Tensor
        self.delay_s: Tensor
        self.coefficients: Tensor
        self.input_weights = self.input_weights.double()

    def set_parameters(
        self, drift: Tensor, noise: Tensor, hrf_tau_s: Tensor, floor: Tensor, delay_s: Tensor
    ) -> LatentLinear:
        """Take the parameters of the process and derive the predictor from them."""
        self.drift, self.noise = drift.clone(), noise.clone()
        self.hrf_tau_s, self.floor, self.delay_s = hrf_tau_s.clone(), floor.clone(), delay_s.clone()
        self.coefficients = self._predictor()
        return self

    def step(self, history: Tensor) -> Tensor:
        """Next frame of BOLD: (..., order, n_regions) -> (..., n_regions)."""
        return history.flatten(-2) @ self.coefficients.flatten(0, 1)

    def analytic_response(self, horizon: int) -> Tensor:
        """Neural response to a push of a neural state, averaged within each TR, (horizon, n_regions, n_regions).

        Neural states have no scale of their own: they are in units whose lasting change moves the BOLD of the region
        by one SD.
        """
        return neural_response(self.drift, self.tr, horizon)

    def bold_response(self, horizon_s: float, push_s: float, step_s: float = 0.05) -> Tensor:
        """Mean change of BOLD over a horizon after a push of the neural input that lasts push_s, (n, n).

        Kernel and delay are Boynton's, with the fitted time constant.
        """
        n_steps = max(1, round(horizon_s / step_s))
        activity = neural_response(self.drift, step_s, n_steps)
        times = (torch.arange(n_steps, dtype=torch.float64) + 0.5) * step_s
        kernel = boynton_kernel(times, tau_s=float(self.hrf_tau_s)) * step_s
        # Activity in bin k weighs by the part of its response that falls within the horizon; a push of several bins is
        # several pushes, each a bin later and with a bin less of the horizon left.
        left = kernel.cumsum(0).flip(0)
        weights = torch.zeros_like(left)
        for delay in range(min(n_steps, max(1, round(push_s / step_s)))):
            weights[: n_steps - delay] += left[delay:] * step_s
        return torch.tensordot(weights, activity, 1) / n_steps

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"n_regions": self.n_regions, "order": self.order, "tr": self.tr, "n_inputs": self.n_inputs}

    def _predictor(self) -> Tensor:
        """Coefficients of the best linear predictor from the last `order` frames (Yule-Walker)."""
        p, n = self.order, self.n_regions
        r = self._autocovariance(p)
        rows = [torch.cat([r[a - b] if a >= b else r[b - a].mT for b in range(p)], dim=1) for a in range(p)]
        left = torch.cat(rows)
        # r[k][i, j] = E x_i(t + k) x_j(t): the frame to predict lies p - a steps after the a-th of the history.
        right = torch.cat([r[p - a].mT for a in range(p)])
        ridge = 1e-9 * torch.eye(p * n, dtype=left.dtype)
        return torch.linalg.solve(left + ridge, right).unflatten(0, (p, n)).contiguous()

    def _autocovariance(self, n_lags: int) -> Tensor:
        """E x_i(t + k TR) x_j(t) for k = 0 ... n_lags, from the spectrum above the high-pass, (n_lags + 1, n, n)."""
        n = self.n_regions
        top = max(MAX_FREQUENCY_HZ, 0.5 / self.tr)
        n_grid = int((top - MIN_FREQUENCY_HZ) / GRID_STEP_HZ) + 1
        frequency = MIN_FREQUENCY_HZ + (torch.arange(n_grid, dtype=torch.float64) + 0.5) * GRID_STEP_HZ
        omega = 2 * torch.pi * frequency
        eye = torch.eye(n, dtype=torch.complex128)
        transfer = torch.linalg.inv(1j * omega[:, None, None] * eye - self.drift.mT.to(torch.complex128))
        gain = haemodynamic_gain(omega, self.hrf_tau_s[None])[0]
        behind = torch.exp(-1j * omega[:, None] * self.delay_s)
        density = gain[:, None, None] * (transfer @ self.noise.to(torch.complex128) @ transfer.mH)
        density = behind[:, :, None] * density * behind.conj()[:, None, :]
        lags = torch.arange(n_lags + 1, dtype=torch.float64)
        phase = torch.exp(1j * omega * self.tr * lags[:, None])
        out = 2 * self.tr * GRID_STEP_HZ * torch.tensordot(phase, density, 1).real
        # White noise up to the Nyquist frequency, with the same delays.
        apart = lags[:, None, None] + (self.delay_s - self.delay_s[:, None]) / self.tr
        return out + self.floor * torch.sinc(apart)
