"""Wilson-Cowan model: an excitatory and an inhibitory population per region."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value, normal, stack_variables


@dataclass(frozen=True)
class WilsonCowan(Dynamics):
    """Wilson-Cowan model (Wilson and Cowan 1972, doi:10.1016/S0006-3495(72)86068-5).

    tau dE = (-E + (k_e - r E) S_e(c1 E - c2 I + P + coupling + u)) dt + tau sigma dW
    tau dI = (-I + (k_i - r I) S_i(c3 E - c4 I + Q)) dt + tau sigma dW'
    S(x) = 1 / (1 + exp(-s (x - theta))) - 1 / (1 + exp(s theta)), k = the largest value of S.

    The defaults are those of the limit cycle in the paper (Fig. 11); without input (P = 0) the region rests, and
    between the two it is a damped oscillator.

    Parameters
    ----------
    c1, c2, c3, c4 : float, default=16, 12, 15, 3
        Coupling E to E, I to E, E to I, I to I.
    s_e, theta_e : float, default=1.3, 4
        Slope and threshold of the excitatory population.
    s_i, theta_i : float, default=2, 3.7
        Those of the inhibitory one.
    r : float, default=1.0
        Refractoriness.
    P, Q : float, default=1.25, 0
        Constant input to E and to I.
    tau_s : float, default=0.01
        Time constant, s.
    sigma : float, default=0.05
        Noise of E and I, 1 per sqrt(s).

    Notes
    -----
    State: E, I, the active share of each population above rest. Output and observed: E. External: added to P,
    without unit.
    """

    c1: Value = 16.0
    c2: Value = 12.0
    c3: Value = 15.0
    c4: Value = 3.0
    s_e: Value = 1.3
    theta_e: Value = 4.0
    s_i: Value = 2.0
    theta_i: Value = 3.7
    r: Value = 1.0
    P: Value = 1.25
    Q: Value = 0.0
    tau_s: Value = 0.01
    sigma: Value = 0.05

    n_variables = 2
    time_step_s = 0.001
    method = "heun"

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of E and of I."""
        return (self.sigma, self.sigma)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Activity about 0.1."""
        return 0.1 + 0.03 * normal(batch, n_regions, generator, 2)

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Relaxation of both populations to their input."""
        E, I = state.unbind(-1)  # noqa: E741 - the field's names
        excited = self.c1 * E - self.c2 * I + (self.P + external + coupling)
        inhibited = self.c3 * E - self.c4 * I + self.Q
        largest_e, response_e = _response(excited, self.s_e, self.theta_e)
        largest_i, response_i = _response(inhibited, self.s_i, self.theta_i)
        return stack_variables(
            ((largest_e - self.r * E) * response_e - E) / self.tau_s,
            ((largest_i - self.r * I) * response_i - I) / self.tau_s,
        )


def _response(x: Tensor, slope: Value, threshold: Value) -> tuple[Value, Tensor]:
    """Largest value of the response function, and the function, which is zero without input."""
    argument = slope * threshold
    at_zero = torch.sigmoid(-argument) if isinstance(argument, Tensor) else 1 / (1 + exp(argument))
    return 1 - at_zero, torch.sigmoid(slope * (x - threshold)) - at_zero
