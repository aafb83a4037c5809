"""The convolutional network of Neural Perturbational Inference, trained as released.

References
----------
Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x; ncclab-sustech/NPI (Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, Stackable, per_lag, windows
from bids_ai.surrogate.families.npi import npi_family

KERNEL = 2


class NPICNN(Stackable):
    """Two convolutions of two lags, which leave one place of the three, and a linear layer.

    | layer | shape |
    |---|---|
    | first | (2 * n_regions, 3 * n_regions) at 2 places, ReLU |
    | second | (2 * 3 * n_regions, n_regions) at 1 place |
    | output | (n_regions, n_regions) |
    """

    def __init__(self, n_regions: int) -> None:
        super().__init__()
        channels = 3 * n_regions
        self.first = Dense(KERNEL * n_regions, channels)
        self.second = Dense(KERNEL * channels, n_regions)
        self.output = Dense(n_regions, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Next frame: (..., n, 3, n_regions) -> (..., n, n_regions)."""
        features = torch.relu(per_lag(self.first, windows(history, KERNEL)))
        out: Tensor = self.output(self.second(features.flatten(-2)))
        return out


FAMILY = npi_family("npi-cnn", NPICNN)
