"""The perceptron of Neural Perturbational Inference, trained as released (see `bids_ai.surrogate.families.npi`).

References
----------
Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x; ncclab-sustech/NPI (Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, Stackable
from bids_ai.surrogate.families.npi import DEFAULTS, ORDER, TRAIN_SHARE, npi_family

__all__ = ["DEFAULTS", "FAMILY", "NPIMLP", "TRAIN_SHARE"]


class NPIMLP(Stackable):
    """Two hidden layers over the flattened lags, (..., n, 3, n_regions) -> (..., n, n_regions).

    | layer | shape |
    |---|---|
    | wide | (3 * n_regions, 2 * n_regions), ReLU |
    | narrow | (2 * n_regions, 0.8 * n_regions), ReLU |
    | output | (0.8 * n_regions, n_regions) |
    """

    def __init__(self, n_regions: int) -> None:
        super().__init__()
        wide, narrow = 2 * n_regions, int(0.8 * n_regions)
        self.wide = Dense(ORDER * n_regions, wide)
        self.narrow = Dense(wide, narrow)
        self.output = Dense(narrow, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Next frame."""
        out: Tensor = self.output(torch.relu(self.narrow(torch.relu(self.wide(history.flatten(-2))))))
        return out


FAMILY = npi_family("npi-mlp", NPIMLP)
