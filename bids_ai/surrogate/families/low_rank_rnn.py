"""Low-rank recurrence on top of ridge VAR: f(x) = linear(x) + phi(x) n m, of few nonlinear dimensions.

References
----------
Mastrogiuseppe & Ostojic 2018, Neuron, doi:10.1016/j.neuron.2018.07.003.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bids_ai.surrogate.families.layers import Dense, along, zero
from bids_ai.surrogate.families.residual import Correction, residual_family
from bids_ai.surrogate.prepare import PreparedRecording

VALUES_PER_WEIGHT = 4
MAX_RANK = 16

OPTIMISER = {"learning_rate": 1e-2, "weight_decay": 1e-2}
"""The product of two thin matrices, one of them zero at the start, is slow to leave it."""


class LowRank(Correction):
    """Sigmoid of every region, then connectivity of low rank.

    | name | shape | meaning |
    |---|---|---|
    | gain, threshold | (order * n_regions) | of the sigmoid of each region and lag |
    | selection | (order * n_regions, rank) | n: what the network responds to |
    | output | (rank, n_regions) | m: along which regions it responds |
    """

    def __init__(self, n_regions: int, order: int, rank: int) -> None:
        super().__init__()
        n_in = order * n_regions
        self.selection = Dense(n_in, rank)
        self.gain = nn.Parameter(1 + torch.rand(n_in))
        self.threshold = nn.Parameter(0.5 * torch.randn(n_in))
        self.output = zero(Dense(rank, n_regions))

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        rates = torch.tanh(along(self.gain) * history.flatten(-2) + along(self.threshold))
        out: Tensor = self.output(self.selection(rates))
        return out


def rank(recording: PreparedRecording, order: int) -> int:
    """Rank whose weights number below the training values / VALUES_PER_WEIGHT, at most that of a full matrix."""
    bound = recording.n_samples // (VALUES_PER_WEIGHT * (order + 1))
    return max(1, min(bound, MAX_RANK, recording.n_regions))


FAMILY = residual_family("low-rank-rnn", LowRank, width=rank, width_option="rank", defaults=OPTIMISER)
