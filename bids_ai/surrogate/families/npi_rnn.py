"""The recurrent network of Neural Perturbational Inference, trained as released: it reads the newest lag only.

References
----------
Luo et al. 2025, Nature Methods, doi:10.1038/s41592-025-02654-x; ncclab-sustech/NPI (Apache-2.0).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bids_ai.surrogate.families.layers import Dense, Stackable, along
from bids_ai.surrogate.families.npi import npi_family


class NPIRNN(Stackable):
    """Encoder of the newest frame, one step of an Elman network without input, linear read-out.

    The released network feeds zeros to the recurrent layer; the weights that would multiply them are left out,
    their bias is not.

    | layer | shape |
    |---|---|
    | encoder | (n_regions, 2.5 * n_regions), ReLU |
    | latent | (2.5 * n_regions, 2.5 * n_regions) |
    | recurrent | (2.5 * n_regions, 2.5 * n_regions), tanh |
    | input_bias | (2.5 * n_regions) |
    | output | (2.5 * n_regions, n_regions) |
    """

    def __init__(self, n_regions: int) -> None:
        super().__init__()
        width = int(2.5 * n_regions)
        self.encoder = Dense(n_regions, width)
        self.latent = Dense(width, width)
        self.recurrent = Dense(width, width)
        self.input_bias = nn.Parameter((2 * torch.rand(width) - 1) / width**0.5)
        self.output = Dense(width, n_regions)

    def forward(self, history: Tensor) -> Tensor:
        """Next frame: (..., n, 3, n_regions) -> (..., n, n_regions)."""
        state = self.latent(torch.relu(self.encoder(history[..., -1, :])))
        out: Tensor = self.output(torch.tanh(self.recurrent(state) + along(self.input_bias)))
        return out


FAMILY = npi_family("npi-rnn", NPIRNN)
