"""Input of every region from the others: instantaneous, or with a delay per connection."""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics
from bids_ai.errors import InputError


def effective_weights(model: Dynamics, connectivity: Tensor, gain: float | Tensor) -> Tensor:
    """Weights W with coupling_j = sum_i output_i W[i, j], of shape (n_systems or 1, n_regions, n_regions).

    Diffusive coupling sum_i C[i, j] (output_i - output_j) is a weight of minus the in-strength on the diagonal.

    Raises
    ------
    InputError
        For a matrix that is not square, not finite, or has a diagonal.
    """
    matrix = connectivity if connectivity.ndim == 3 else connectivity[None]
    if matrix.ndim != 3 or matrix.shape[-1] != matrix.shape[-2]:
        raise InputError(f"The connectivity must be (n, n) or (n_systems, n, n), got {tuple(connectivity.shape)}.")
    if not torch.isfinite(matrix).all():
        raise InputError("The connectivity has missing or infinite values; write 0 where there is no connection.")
    if (torch.diagonal(matrix, dim1=-2, dim2=-1) != 0).any():
        raise InputError("The connectivity has a diagonal: what a region does to itself belongs to the model; write 0.")
    if model.diffusive:
        matrix = matrix - torch.diag_embed(matrix.sum(-2))
    return matrix * gain


class InstantCoupling:
    """Coupling without delay: outputs (n_systems, n_copies, [n_outputs,] n_regions) times weights."""

    def __init__(self, weights: Tensor, n_outputs: int = 1) -> None:
        self.weights = weights[0] if len(weights) == 1 else weights
        if n_outputs > 1 and self.weights.ndim == 3:
            self.weights = self.weights[:, None]

    def __call__(self, output: Tensor) -> Tensor:
        """Return the input of every region, shape of `output`."""
        return output @ self.weights


class DelayLine:
    """Coupling with a delay per connection, in steps.

    Outputs of the last steps lie in a buffer of twice their length, written at two places, so that the window of
    the past is always one contiguous piece, oldest first. Where gradients are asked for, the window is a new
    tensor at each step instead: slower, but nothing that a gradient needs is overwritten.

    Parameters
    ----------
    weights : (n_systems or 1, n_regions, n_regions) tensor
    delays_steps : (n_regions, n_regions) or (n_systems, n_regions, n_regions) integer tensor
        Row = source; 0 is no delay.
    past : (n_systems, n_copies, [n_outputs,] n_lags, n_regions) tensor
        Outputs before the run, oldest first; n_lags at least the largest delay plus one.
    """

    def __init__(self, weights: Tensor, delays_steps: Tensor, past: Tensor) -> None:
        *self.lead, self.length, self.n_regions = past.shape
        self.buffer = torch.cat([past, past], dim=-2).flatten(0, -3)
        self.position = 0
        self.differentiable = False
        delays = delays_steps if delays_steps.ndim == 3 else delays_steps[None]
        source = torch.arange(self.n_regions, device=past.device)[:, None]
        index = ((self.length - 1 - delays) * self.n_regions + source).flatten(1)
        rows = torch.arange(len(self.buffer), device=past.device) * len(delays) // len(self.buffer)
        self.index = index[rows]
        extra = (1,) * (len(self.lead) - 1)
        self.weights = weights.reshape(len(weights), *extra, self.n_regions, self.n_regions)

    def __call__(self, output: Tensor) -> Tensor:
        """Take the present output, and return the input of every region at this step."""
        rows = output.reshape(-1, self.n_regions)
        if rows.requires_grad and not self.differentiable:
            self.buffer, self.differentiable = self.past().clone(), True
        if self.differentiable:
            self.buffer = torch.cat([self.past()[:, 1:], rows[:, None]], dim=1)
        else:
            self.buffer[:, self.position] = rows
            self.buffer[:, self.position + self.length] = rows
            self.position = (self.position + 1) % self.length
        arrived = self.past().flatten(1).gather(1, self.index)
        return (arrived.view(*self.lead, self.n_regions, self.n_regions) * self.weights).sum(-2)

    def past(self) -> Tensor:
        """Outputs of the last steps, newest last, shape (rows, n_lags, n_regions)."""
        if self.differentiable:
            return self.buffer
        # After a write the position points at the oldest output.
        return self.buffer[:, self.position : self.position + self.length]

    def snapshot(self) -> Tensor:
        """Outputs of the last steps in the shape of `past`, to go on from."""
        return self.past().reshape(*self.lead, self.length, self.n_regions).clone()
