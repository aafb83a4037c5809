"""What every dynamical model is: the drift of a network of regions, and what regions send and show.

A model is a frozen dataclass of its parameters. Every parameter may be a float or a tensor that broadcasts over
(..., n_regions), for instance one value per region that is fitted by gradient (`dataclasses.replace`).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

Value = float | Tensor
"""A parameter, or an input: one number, or a tensor that broadcasts over (..., n_regions)."""


class Dynamics:
    """Base of all models: dx = drift(x, coupling, external) dt + noise_sd dW.

    Subclasses are frozen dataclasses and implement `drift`, `initial` and `noise_sd`.

    Attributes
    ----------
    n_variables : int
        State variables per region.
    n_outputs : int
        Quantities that regions exchange. With one, `output` and `coupling` are (..., n_regions); with more they
        are (..., n_outputs, n_regions).
    diffusive : bool
        Whether regions are coupled by the difference sum_i C[i, j] (output_i - output_j) rather than by the sum
        sum_i C[i, j] output_i.
    time_step_s : float
        Recommended step of the integration, in the time unit of the model (seconds, unless it says otherwise).
    method : {"euler", "heun"}
        Recommended scheme for the drift.
    pushed : int
        The state variable that an instantaneous push moves: the one that is observed and driven.
    shared_noise : float
        Share of the variance of the noise that comes from one source common to all regions, 0 ... 1.
    """

    n_variables: ClassVar[int] = 1
    n_outputs: ClassVar[int] = 1
    diffusive: ClassVar[bool] = False
    time_step_s: ClassVar[float] = 0.001
    method: ClassVar[str] = "euler"
    pushed: ClassVar[int] = 0
    shared_noise: float = 0.0

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Noise of each state variable: unit of the variable per square root of the time unit; 0 draws none."""
        raise NotImplementedError

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Random states to start from, shape (batch, n_regions, n_variables)."""
        raise NotImplementedError

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Deterministic part of the time derivative.

        Parameters
        ----------
        state : (..., n_regions, n_variables) tensor
        coupling : (..., n_regions) tensor or float
            Summed input from the other regions, gain included.
        external : (..., n_regions) tensor or float
            Stimulation u(t), zero at rest; its unit is named by each model.

        Returns
        -------
        (..., n_regions, n_variables) tensor
        """
        raise NotImplementedError

    def output(self, state: Tensor) -> Tensor:
        """What other regions receive (see `n_outputs`); the first state variable unless a model says otherwise."""
        return state[..., 0]

    def observe(self, state: Tensor) -> Tensor:
        """Observed signal (..., n_regions); the first state variable unless a model says otherwise."""
        return state[..., 0]

    def bounded(self, state: Tensor) -> Tensor:
        """Return the state within the range it is defined on; noise may carry it out of it in a finite step."""
        return state


def stack_variables(*variables: Tensor) -> Tensor:
    """Put state variables (..., n_regions) on the last axis, in memory one after the other.

    Every variable is then contiguous, so that the element-wise operations of a drift do not stride.
    """
    return torch.stack(torch.broadcast_tensors(*variables)).movedim(0, -1)


def normal(batch: int, n_regions: int, generator: torch.Generator | None, n_variables: int = 1) -> Tensor:
    """Standard normal states in double precision, shape (batch, n_regions, n_variables)."""
    return torch.randn(n_variables, batch, n_regions, generator=generator, dtype=torch.float64).movedim(0, -1)
