"""Jansen-Rit neural mass: a cortical column of pyramidal cells and two interneuron populations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal, stack_variables


@dataclass(frozen=True)
class JansenRit(Dynamics):
    """Jansen-Rit model of EEG (Jansen and Rit 1995, doi:10.1007/BF00199471), columns coupled by firing rates.

    y0'' = A a S(y1 - y2) - 2 a y0' - a^2 y0
    y1'' = A a (p + u + coupling + C2 S(C1 y0)) - 2 a y1' - a^2 y1
    y2'' = B b C4 S(C3 y0) - 2 b y2' - b^2 y2
    S(v) = 2 e0 / (1 + exp(r (v0 - v))), C1 = C, C2 = .8 C, C3 = C4 = .25 C.

    Parameters
    ----------
    A, B : float, default=3.25, 22.0
        Excitatory and inhibitory synaptic gain, mV.
    a, b : float, default=100.0, 50.0
        Inverse time constants, 1/s.
    C : float, default=135.0
        Contacts within a column.
    e0 : float, default=2.5
        Half of the largest firing rate, 1/s.
    v0 : float, default=6.0
        Potential at half of the largest rate, mV.
    r : float, default=0.56
        Steepness, 1/mV.
    p : float, default=120.0
        Mean input, pulses/s; 120 to 320 in the paper.
    p_sd : float, default=60.0
        SD of the input, pulses/s, when it is drawn anew every `p_step_s`. It enters as white noise of the same
        power, so that it does not change with the integration step.
    p_step_s : float, default=0.001
        s.

    Notes
    -----
    State: y0, y1, y2 (mV) and their derivatives (mV/s). Output: firing rate of the pyramidal cells S(y1 - y2),
    pulses/s. Observed: y1 - y2, mV. External: added to the input p, pulses/s.
    """

    A: Value = 3.25
    B: Value = 22.0
    a: Value = 100.0
    b: Value = 50.0
    C: Value = 135.0
    e0: Value = 2.5
    v0: Value = 6.0
    r: Value = 0.56
    p: Value = 120.0
    p_sd: Value = 60.0
    p_step_s: float = 0.001

    n_variables = 6
    time_step_s = 0.001
    method = "heun"  # Euler's scheme at 1 ms keeps the slow spiking cycle alive up to p = 160 instead of 137
    pushed = 1

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of the derivative of y1, mV/s per sqrt(s)."""
        return (0.0, 0.0, 0.0, 0.0, self.A * self.a * self.p_sd * self.p_step_s**0.5, 0.0)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Potentials of some mV about the working point, at rest."""
        potentials = normal(batch, n_regions, generator, 3) * 0.5
        centre = torch.tensor([0.1, 20.0, 15.0], dtype=torch.float64)
        return stack_variables(*(potentials + centre).unbind(-1), *torch.zeros_like(potentials).unbind(-1))

    def rate(self, potential: Tensor) -> Tensor:
        """Firing rate in pulses/s for a mean membrane potential in mV."""
        return 2 * self.e0 * torch.sigmoid(self.r * (potential - self.v0))

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Second-order synaptic responses to the rates of the three populations."""
        y0, y1, y2, v0, v1, v2 = state.unbind(-1)
        excitatory = self.A * self.a * self.rate(y1 - y2)
        pulses = self.rate(self.C * y0) * (0.8 * self.C) + (self.p + external + coupling)
        inhibitory = self.rate(0.25 * self.C * y0) * (0.25 * self.C * self.B * self.b)
        return stack_variables(
            v0,
            v1,
            v2,
            excitatory - (2 * self.a) * v0 - self.a**2 * y0,
            self.A * self.a * pulses - (2 * self.a) * v1 - self.a**2 * y1,
            inhibitory - (2 * self.b) * v2 - self.b**2 * y2,
        )

    def output(self, state: Tensor) -> Tensor:
        """Firing rate of the pyramidal cells, pulses/s."""
        return self.rate(self.observe(state))

    def observe(self, state: Tensor) -> Tensor:
        """Membrane potential of the pyramidal cells, mV: the EEG of the column."""
        return state[..., 1] - state[..., 2]
