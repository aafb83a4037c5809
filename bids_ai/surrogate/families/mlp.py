"""A small multilayer perceptron on top of ridge VAR: f(x) = linear(x) + tanh(x U + b) V.

References
----------
The perceptron as a surrogate brain: Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x. The residual
on a linear model is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, newest_unit_start, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between


class Perceptron(Correction):
    """One hidden layer over the flattened history.

    | layer | shape |
    |---|---|
    | hidden | (order * n_regions, hidden), tanh |
    | output | (hidden, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, hidden: int) -> None:
        super().__init__()
        self.hidden = Dense(order * n_regions, hidden)
        self.output = zero(Dense(hidden, n_regions))
        newest_unit_start(self.hidden, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        out: Tensor = self.output(torch.tanh(self.hidden(history.flatten(-2))))
        return out


FAMILY = residual_family("mlp", Perceptron, width=width_between(8, 256))
