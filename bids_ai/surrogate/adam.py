"""Adam on stacked weights, in one pass over each tensor.

The optimiser class of torch runs the same kernel, but importing it loads the compiler of torch: seconds at the
start of every job, more than many fits take.

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
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.update = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self.first = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.second = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.n_steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]

    def select(self, rows: Tensor, parameters: Sequence[Tensor]) -> None:
        """Go on with some rows (networks) of every parameter, given anew as leaves."""
        self.parameters = list(parameters)
        self.first = [moment[rows] for moment in self.first]
        self.second = [moment[rows] for moment in self.second]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Update the parameters in place."""
        torch._foreach_add_(self.n_steps, 1.0)
        self.update(
            self.parameters,
            [gradient.contiguous() for gradient in gradients],
            self.first,
            self.second,
            [],
            self.n_steps,
            lr=self.learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=self.weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )
