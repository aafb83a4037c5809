"""Adam on stacked weights.

The optimiser of torch is the same formula, but importing it loads the compiler of torch: seven seconds at the
start of every job, more than most fits take.

References
----------
Kingma & Ba 2015, arXiv:1412.6980; decoupled decay: Loshchilov & Hutter 2019, arXiv:1711.05101.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam with an L2 penalty in the loss, or with decoupled weight decay (AdamW).

    Parameters
    ----------
    parameters : sequence of Tensor
        Leaves that require gradients.
    learning_rate, weight_decay : float
    decoupled : bool
    """

    def __init__(
        self, parameters: Sequence[Tensor], learning_rate: float, weight_decay: float, decoupled: bool
    ) -> None:
        self.parameters = list(parameters)
        self.learning_rate, self.weight_decay, self.decoupled = learning_rate, weight_decay, decoupled
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.n_steps = 0

    def select(self, rows: Tensor, parameters: Sequence[Tensor]) -> None:
        """Go on with some rows (networks) of every parameter, given anew as leaves."""
        self.parameters = list(parameters)
        self.first = [moment[rows] for moment in self.first]
        self.second = [moment[rows] for moment in self.second]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place."""
        self.n_steps += 1
        scale = self.learning_rate / (1 - BETA_1**self.n_steps)
        root = (1 - BETA_2**self.n_steps) ** 0.5
        for parameter, gradient, first, second in zip(self.parameters, gradients, self.first, self.second, strict=True):
            if self.decoupled:
                parameter.mul_(1 - self.learning_rate * self.weight_decay)
            elif self.weight_decay:
                gradient = gradient.add(parameter, alpha=self.weight_decay)
            first.lerp_(gradient, 1 - BETA_1)
            second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
            parameter.addcdiv_(first, second.sqrt().div_(root).add_(EPSILON), value=-scale)
