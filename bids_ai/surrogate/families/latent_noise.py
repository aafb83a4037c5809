"""What drives the neural states of a latent process, and what is added to their BOLD: each region's own, and shared.

Neural noise has covariance Q = diag(q) + L L', observation noise R = diag(r) + C C'. Shared neural noise (L) is input
that reaches several regions at once without being part of the recording: arousal, subcortical drive. Shared observation
noise (C) is what reaches BOLD past the neurons: motion, breathing. Left out, both are taken for coupling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.cross_spectra import Observed

NOISE_LOG_SD = 1.0
"""Spread of the variances of neural noise over regions."""
FLOOR_LOG_SD = 0.3
"""Spread of the variances of observation noise over regions."""
START_NOISE, START_FLOOR = 1.0, 0.1
"""Variances at which the descent begins: BOLD of unit variance, a tenth of it noise."""
START_SHARED, START_COMMON = 0.3, 0.2
"""Root mean square of the loadings at which it begins."""


@dataclass(frozen=True)
class LatentNoise:
    """Layout, prior and start of the parameters: log q (n), log r (n), L (n, neural), C (n, observed).

    Parameters
    ----------
    n_regions : int
    neural, observed : int
        Number of shared sources.
    """

    n_regions: int
    neural: int = 0
    observed: int = 0

    @property
    def size(self) -> int:
        """Number of parameters."""
        return self.n_regions * (2 + self.neural + self.observed)

    def start(self, spectra: Observed) -> Tensor:
        """Start of the descent, (batch, size): shared sources along the leading components of the spectra.

        Neural noise is looked for in the lower third of the frequencies, which the haemodynamic response passes,
        observation noise in the upper third.
        """
        n, third = self.n_regions, max(1, len(spectra.omega) // 3)
        own = torch.tensor([np.log(START_NOISE)] * n + [np.log(START_FLOOR)] * n, dtype=torch.float64)
        parts = [own.expand(len(spectra.n), -1)]
        for count, bins, size in (
            (self.neural, slice(None, third), START_SHARED),
            (self.observed, slice(-third, None), START_COMMON),
        ):
            _, vectors = torch.linalg.eigh(spectra.density[:, bins].real.mean(1))
            parts.append((size * n**0.5 * vectors[:, :, n - count :]).flatten(1))
        return torch.cat(parts, dim=1)

    def split(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log q, log r, L and C of a batch of vectors."""
        n = self.n_regions
        own, floor, neural, observed = parameters.split([n, n, n * self.neural, n * self.observed], dim=1)
        return own, floor, neural.unflatten(1, (n, self.neural)), observed.unflatten(1, (n, self.observed))

    def covariances(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """Q and R, both (batch, n, n)."""
        own, floor, neural, observed = self.split(parameters)
        shared, common = neural @ neural.mT, observed @ observed.mT
        return torch.diag_embed(own.exp()) + shared, torch.diag_embed(floor.exp()) + common

    def cost(self, parameters: Tensor) -> Tensor:
        """Twice the negative logarithm of the prior density, (batch,); loadings are standard normal."""
        own, floor, neural, observed = self.split(parameters)
        spread = _spread(own, NOISE_LOG_SD) + _spread(floor, FLOOR_LOG_SD)
        return spread + neural.square().sum((-2, -1)) + observed.square().sum((-2, -1))


def _spread(values: Tensor, sd: float) -> Tensor:
    return ((values - values.mean(1, keepdim=True)) / sd).square().sum(1)
