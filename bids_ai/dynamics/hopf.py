"""Stuart-Landau oscillators: the normal form of a Hopf bifurcation, as a whole-brain model of BOLD."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal, stack_variables


@dataclass(frozen=True)
class Hopf(Dynamics):
    """Normal form of a Hopf bifurcation with diffusive coupling (Deco et al. 2017, doi:10.1038/s41598-017-03073-5).

    dx = ((a - x^2 - y^2) x - omega y + G sum_i C[i, j] (x_i - x_j) + u) dt + beta dW
    dy = ((a - x^2 - y^2) y + omega x + G sum_i C[i, j] (y_i - y_j)) dt + beta dW'

    For a < 0 a region decays to noise about the fixed point, for a > 0 it runs on a cycle of radius sqrt(a).

    Parameters
    ----------
    a : float, default=0.0
        Bifurcation parameter, 1/s; the brain was found to work near 0.
    frequency_hz : float, default=0.05
        Within the band 0.04 to 0.07 Hz from which the paper takes one value per region.
    beta : float, default=0.02
        Noise, units of x per sqrt(s).

    Notes
    -----
    State: x, y, without unit. Observed: x, which stands for BOLD. Regions exchange x and y. External: added to
    dx/dt, 1/s.
    """

    a: Value = 0.0
    frequency_hz: Value = 0.05
    beta: Value = 0.02

    n_variables = 2
    n_outputs = 2
    diffusive = True
    time_step_s = 0.1
    method = "heun"

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of x and of y."""
        return (self.beta, self.beta)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Small amplitudes, random phases."""
        return 0.1 * normal(batch, n_regions, generator, 2)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Rotation, growth or decay, and coupling."""
        x, y = state.unbind(-1)
        to_x, to_y = coupling.unbind(-2) if isinstance(coupling, Tensor) else (coupling, coupling)
        growth = self.a - x * x - y * y
        omega = 2 * pi * self.frequency_hz
        return stack_variables(growth * x - omega * y + to_x + external, growth * y + omega * x + to_y)

    def output(self, state: Tensor) -> Tensor:
        """X and y, shape (..., 2, n_regions)."""
        return state.movedim(-1, -2)
