"""Noise of a batch of systems: one stream per system, the same for all copies of a system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics

BLOCK = 64
"""Steps drawn at once: a draw per step costs more than the step. Always whole blocks, so that the stream of a
system depends neither on the length of the run nor on the batch."""


class NoiseStream:
    """Increments noise_sd sqrt(dt) N(0, 1) of every step, shape (n_systems, 1, n_regions, n_variables).

    Parameters
    ----------
    model : Dynamics
    generators : sequence of torch.Generator
        One per system, on the CPU, so that the noise does not depend on the device.
    n_regions : int
    dt : float
        Step, in the time unit of the model.
    like : tensor
        Gives device and floating-point type; numbers are drawn in double precision.

    Notes
    -----
    The stream goes on where it was left: two runs one after the other see the noise of one long run.
    """

    def __init__(
        self, model: Dynamics, generators: Sequence[torch.Generator], n_regions: int, dt: float, like: Tensor
    ) -> None:
        self.scales = [sd * dt**0.5 for sd in model.noise_sd]
        self.noisy = [v for v, sd in enumerate(model.noise_sd) if isinstance(sd, Tensor) or sd != 0]
        self.shared = model.shared_noise
        self.generators = tuple(generators)
        self.n_regions = n_regions
        self.like = like
        self._rest: list[Tensor] = []

    def steps(self, n_steps: int) -> Iterator[Tensor | None]:
        """Yield the increments of the next steps; None for a model without noise."""
        if not self.noisy:
            yield from [None] * n_steps
            return
        for _ in range(n_steps):
            if not self._rest:
                self._rest = self._block()
            yield self._rest.pop()

    def _block(self) -> list[Tensor]:
        """Increments of the next steps, last one first."""
        shape = (BLOCK, len(self.noisy), self.n_regions + (self.shared > 0))
        drawn = torch.stack([torch.randn(shape, generator=g, dtype=torch.float64) for g in self.generators], dim=2)
        drawn = drawn.to(self.like)
        if self.shared > 0:
            own, common = drawn[..., :-1], drawn[..., -1:]
            drawn = (1 - self.shared) ** 0.5 * own + self.shared**0.5 * common
        # Variables outermost in memory, as `stack_variables` lays out states.
        increments = drawn.new_zeros(BLOCK, len(self.scales), len(self.generators), self.n_regions)
        for column, variable in enumerate(self.noisy):
            increments[:, variable] = drawn[:, column] * self.scales[variable]
        return list(increments.movedim(1, -1)[:, :, None].unbind(0))[::-1]
