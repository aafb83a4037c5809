"""Reduced Wong-Wang model: synaptic gating of one excitatory population per region."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value

NEVER_ZERO = 1e-12
"""Shift of the argument of u / (exp(u) - 1), whose limit at 0 is 1 but whose quotient is not defined there."""


@dataclass(frozen=True)
class WongWang(Dynamics):
    """Reduced Wong-Wang model (dynamic mean field).

    dS = (-S / tau + (1 - S) gamma H(x)) dt + sigma dW, H(x) = (a x - b) / (1 - exp(-d (a x - b))),
    x = w J S + J coupling + I0 + external.

    Parameters of Deco et al. 2013 (doi:10.1523/JNEUROSCI.1091-13.2013), after Wong and Wang 2006
    (doi:10.1523/JNEUROSCI.3733-05.2006).

    Parameters
    ----------
    a : float, default=270.0
        Slope of the rate, Hz/nA.
    b : float, default=108.0
        Threshold of the rate, Hz.
    d : float, default=0.154
        Curvature of the rate, s.
    gamma : float, default=0.641
        Opening of synapses per spike; 0.641/1000 in the paper, where rates are in Hz and time in ms.
    tau_s : float, default=0.1
        NMDA time constant, s.
    w : float, default=0.9
        Local recurrence.
    J : float, default=0.2609
        Synaptic coupling, nA.
    I0 : float, default=0.3
        Background input, nA.
    sigma : float, default=0.001
        Noise of S per sqrt(ms), as in the paper; `noise_sd` gives it per sqrt(s).

    Notes
    -----
    State: S, the fraction of open channels in [0, 1]. Output: S. External: a current, nA.
    """

    a: Value = 270.0
    b: Value = 108.0
    d: Value = 0.154
    gamma: Value = 0.641
    tau_s: Value = 0.1
    w: Value = 0.9
    J: Value = 0.2609
    I0: Value = 0.3
    sigma: Value = 0.001

    time_step_s = 0.001

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of S per sqrt(s)."""
        return (self.sigma * 1000**0.5,)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Low activity: S between 0.001 and 0.1."""
        return 0.001 + 0.099 * torch.rand(batch, n_regions, 1, generator=generator, dtype=torch.float64)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Decay and opening of synapses."""
        S = state[..., 0]
        # u = -d (a x - b), and d H = u / expm1(u). Constants are merged: this runs a million times.
        per_current = -self.d * self.a
        u = S * (per_current * self.w * self.J) + coupling * (per_current * self.J)
        u = u + (per_current * (self.I0 + external) + (self.d * self.b + NEVER_ZERO))
        opening = u / torch.expm1(u) * (self.gamma / self.d)
        return torch.addcmul(opening, S, opening + 1 / self.tau_s, value=-1.0)[..., None]

    def rate(self, current: Tensor) -> Tensor:
        """Firing rate H in Hz for an input current in nA."""
        u = self.d * (self.b - self.a * current) + NEVER_ZERO
        return u / torch.expm1(u) / self.d

    def bounded(self, state: Tensor) -> Tensor:
        """S within [0, 1]."""
        return state.clamp(0.0, 1.0)
