"""Layers of small networks that run alone or stacked: the same forward with one more dimension in the weights.

A stack of K networks has weights (K, in, out) and histories (K, n, order, n_regions); one network has weights
(in, out) and histories (..., n, order, n_regions). Every dense layer is then one batched product, without the
overhead of a function transform per call.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Stackable(nn.Module):
    """A network whose forward also takes parameters with a leading dimension of networks.

    All its parameters have to be read through `dense` or `along`.
    """


class Dense(nn.Module):
    """Affine map of the last dimension: (..., n, n_in) -> (..., n, n_out).

    | name | shape |
    |---|---|
    | weight | (n_in, n_out); with a leading n_networks in a stack |
    | bias | (n_out); with a leading n_networks in a stack |

    The start is that of `torch.nn.Linear`: uniform within 1 / sqrt(n_in).
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(n_in)
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-bound, bound).T.contiguous())
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound))

    @property
    def n_out(self) -> int:
        """Width of the output."""
        return self.weight.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Apply the map."""
        return dense(x, self.weight, self.bias)


def dense(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """X @ weight + bias for one network or for a stack, (..., n, n_in) -> (..., n, n_out)."""
    if weight.ndim == 2:
        return nn.functional.linear(x, weight.mT, bias)
    return torch.baddbmm(bias[:, None, :], x, weight)


def along(parameter: Tensor) -> Tensor:
    """Shape a vector per network, ([n_networks,] n_features), so that it meets (..., n, n_features)."""
    return parameter[..., None, :]


def windows(history: Tensor, size: int) -> Tensor:
    """Neighbouring lags side by side, (..., n, order, n_in) -> (..., n, order - size + 1, size * n_in)."""
    n_windows = history.shape[-2] - size + 1
    return torch.cat([history[..., first : first + n_windows, :] for first in range(size)], dim=-1)


def per_lag(layer: Dense, history: Tensor) -> Tensor:
    """Apply a layer to every lag, (..., n, order, n_in) -> (..., n, order, n_out)."""
    order = history.shape[-2]
    return layer(history.flatten(-3, -2)).unflatten(-2, (-1, order))


def newest_unit_start(layer: Dense, n_regions: int) -> None:
    """Let every unit start as a sigmoid of the newest frame of one region.

    Brains are networks of saturating regions, x(t+1) = S(x) W; from a dense random start a network first fits
    noise, and stops before it has found the regions. The inputs of the layer end with the newest frame.
    """
    n_in, width = layer.weight.shape
    with torch.no_grad():
        region = torch.randperm(n_regions).repeat(width // n_regions + 1)[:width]
        gain = (1 + torch.rand(width)) * torch.where(torch.rand(width) > 0.5, 1.0, -1.0)
        layer.weight.mul_(0.1)
        layer.weight[n_in - n_regions + region, torch.arange(width)] += gain
        layer.bias.copy_(0.5 * torch.randn(width))


def zero(layer: Dense) -> Dense:
    """Return a layer that gives zero at the start."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
