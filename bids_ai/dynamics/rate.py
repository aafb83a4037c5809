"""Rate networks: that of Neural Perturbational Inference, and one whose regions are bistable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal


@dataclass(frozen=True)
class RateNetwork(Dynamics):
    """Rate network dx = (-x + self_coupling tanh(x) + W' tanh(x) + u) dt / tau + sigma dW.

    With the defaults, the recurrent network on which Neural Perturbational Inference was tested (Luo et al. 2025,
    doi:10.1038/s41592-025-02654-x; after Sompolinsky et al. 1988, doi:10.1103/PhysRevLett.61.259). A
    `self_coupling` above 1 gives each region two stable states +-x with x = self_coupling tanh(x).

    Parameters
    ----------
    tau_s : float, default=1.0
        Time constant, s.
    sigma : float, default=1.0
        Noise, activity units per sqrt(s).
    self_coupling : float, default=0.0
        Recurrent weight of a region on itself.

    Notes
    -----
    State: x, dimensionless. Output: tanh(x). External: added to the input, dimensionless.
    """

    tau_s: Value = 1.0
    sigma: Value = 1.0
    self_coupling: Value = 0.0

    time_step_s = 0.01

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of x."""
        return (self.sigma,)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Standard normal activity."""
        return normal(batch, n_regions, generator)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Leak plus input."""
        x = state[..., 0]
        received = coupling + external - x
        if isinstance(self.self_coupling, Tensor) or self.self_coupling != 0:
            received = received + self.self_coupling * torch.tanh(x)
        return (received / self.tau_s)[..., None]

    def output(self, state: Tensor) -> Tensor:
        """Firing rate tanh(x)."""
        return torch.tanh(state[..., 0])
