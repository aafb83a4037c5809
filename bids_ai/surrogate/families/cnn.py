"""Convolution over the lags on top of ridge VAR: features of neighbouring frames, weighted by where they occur.

References
----------
The convolutional surrogate of Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x, in one layer and as
a residual.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.families.layers import Dense, newest_unit_start, per_lag, windows, zero
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between

KERNEL = 2
"""Neighbouring lags that a feature sees."""


class Convolution(Correction):
    """One convolution of `KERNEL` lags (fewer where the history is shorter), the same at every lag.

    | layer | shape |
    |---|---|
    | features | (kernel * n_regions, channels) at each of order - kernel + 1 places, tanh |
    | output | ((order - kernel + 1) * channels, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, channels: int) -> None:
        super().__init__()
        self.kernel = min(KERNEL, order)
        self.features = Dense(self.kernel * n_regions, channels)
        self.output = zero(Dense((order - self.kernel + 1) * channels, n_regions))
        newest_unit_start(self.features, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        features = torch.tanh(per_lag(self.features, windows(history, self.kernel)))
        out: Tensor = self.output(features.flatten(-2))
        return out


FAMILY = residual_family("cnn", Convolution, width=width_between(8, 64), width_option="channels", all_lags=True)
