"""A small transformer over the lags on top of ridge VAR.

Only the newest place is read out, and it attends to itself and to what was before: the attention is causal.

References
----------
Vaswani et al. 2017, Attention is all you need, arXiv:1706.03762.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bids_ai.surrogate.families.layers import Dense, newest_unit_start, per_lag, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between

HEADS = 4
"""Of the attention; fewer where the number of features is no multiple."""


class CausalAttention(Correction):
    """One block: lags as tokens, attention of the newest to all, then a perceptron.

    | layer | shape |
    |---|---|
    | embedding | (n_regions, features), tanh |
    | place | (order * features): of the lag |
    | query | (features, features), of the newest lag |
    | key_value | (features, 2 * features), of every lag |
    | mix | (features, 2 * features), tanh |
    | output | (3 * features, n_regions), from the perceptron and the residual stream |
    """

    def __init__(self, n_regions: int, order: int, features: int) -> None:
        super().__init__()
        self.features, self.heads = features, math.gcd(features, HEADS)
        self.embedding = Dense(n_regions, features)
        self.place = nn.Parameter(0.1 * torch.randn(order * features))
        self.query = Dense(features, features)
        self.key_value = Dense(features, 2 * features)
        self.mix = Dense(features, 2 * features)
        self.output = zero(Dense(3 * features, n_regions))
        newest_unit_start(self.embedding, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        order = history.shape[-2]
        place = self.place.unflatten(-1, (order, self.features)).unsqueeze(-3)
        tokens = torch.tanh(per_lag(self.embedding, history) + place)
        newest = tokens[..., -1, :]
        query = self.query(newest).unflatten(-1, (self.heads, -1))  # (..., n, heads, per_head)
        key, value = per_lag(self.key_value, tokens).unflatten(-1, (2, self.heads, -1)).unbind(-3)
        scores = (key * query.unsqueeze(-3)).sum(-1) / math.sqrt(self.features // self.heads)  # (..., n, order, heads)
        attended = (scores.softmax(-2).unsqueeze(-1) * value).sum(-3).flatten(-2)
        stream = newest + attended
        out: Tensor = self.output(torch.cat([torch.tanh(self.mix(stream)), stream], dim=-1))
        return out


FAMILY = residual_family(
    "transformer", CausalAttention, width=width_between(8, 32), width_option="features", all_lags=True
)
