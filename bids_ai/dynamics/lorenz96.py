"""Lorenz-96: a ring of chaotic variables whose coupling is part of the equations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal


@dataclass(frozen=True)
class Lorenz96(Dynamics):
    """Lorenz-96 (Lorenz 1996; Lorenz and Emanuel 1998, doi:10.1175/1520-0469(1998)055<0399:OSFSWO>2.0.CO;2).

    dx_i = ((x_(i+1) - x_(i-2)) x_(i-1) - x_i + F + coupling_i + u_i) dt + sigma dW, on a ring of at least 4.

    Parameters
    ----------
    F : float, default=8.0
        Forcing; chaotic from about 8 on.
    sigma : float, default=0.0
        Noise, units of x per square root of the time unit.

    Notes
    -----
    State: x, without unit. The time unit stands for 5 days in the paper. External: added to F. Region i is
    driven by i + 1, i - 1 and i - 2 whatever the connectivity; a `coupling` is added to the forcing.
    """

    F: Value = 8.0
    sigma: Value = 0.0

    time_step_s = 0.01
    method = "heun"

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of x."""
        return (self.sigma,)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """About the unstable fixed point x = F."""
        return self.F + normal(batch, n_regions, generator)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Advection, damping and forcing."""
        x = state[..., 0]
        ring = torch.cat([x[..., -2:], x, x[..., :1]], dim=-1)
        advected = (ring[..., 3:] - ring[..., :-3]) * ring[..., 1:-2]
        return (advected - x + (self.F + external + coupling))[..., None]
