"""Linear systems, whose effective connectivity is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal


@dataclass(frozen=True)
class LinearVar(Dynamics):
    """First-order vector autoregression x(t+1) = persistence x(t) + W' x(t) + u(t) + sigma N(0, 1).

    Its time unit is the step: integrated with a step of 1, Euler-Maruyama is the autoregression itself. The mean
    response k steps after a unit push of the state is (persistence I + W)^k, row = source.

    Parameters
    ----------
    persistence : float, default=0.5
        Coefficient of a region on itself.
    sigma : float, default=1.0
        SD of the innovations.

    Notes
    -----
    State, output, external: x, without unit.
    """

    persistence: Value = 0.5
    sigma: Value = 1.0

    time_step_s = 1.0

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Innovations per step."""
        return (self.sigma,)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal."""
        return normal(batch, n_regions, generator)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Change in one step."""
        return (state[..., 0] * (self.persistence - 1) + coupling + external)[..., None]


@dataclass(frozen=True)
class LinearOU(Dynamics):
    """Multivariate Ornstein-Uhlenbeck process dx = (-x + W' x + u) dt / tau + sigma dW.

    The model of MOU-EC (Gilson et al. 2016, doi:10.1371/journal.pcbi.1004762). The mean response a time t after a
    unit push of the state is expm((W - I) t / tau), row = source.

    Parameters
    ----------
    tau_s : float, default=1.0
        Time constant, s.
    sigma : float, default=1.0
        Noise, units of x per sqrt(s).
    shared_noise : float, default=0.0
        Share of its variance that is common to all regions.

    Notes
    -----
    State, output, external: x, without unit.
    """

    tau_s: Value = 1.0
    sigma: Value = 1.0
    shared_noise: float = 0.0

    time_step_s = 0.01

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of x."""
        return (self.sigma,)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal."""
        return normal(batch, n_regions, generator)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Leak plus input."""
        return ((coupling + external - state[..., 0]) / self.tau_s)[..., None]
