"""State space with haemodynamics: linear neural dynamics under a common haemodynamic response, for BOLD.

The likelihood is spectral (`bids_ai.surrogate.whittle`). Where held-out blocks support it, each region has a delay of
its own, since haemodynamics and slices differ and a VAR would take that for coupling, and noise comes also from a few
sources that regions share (`latent_noise`). Coupling is excitatory between regions,
as long-range connections are, and decay is that of synapses (`SYNAPTIC_TAU_S`); BOLD is too slow to tell that time
constant. Two priors:

- without structural connectivity (SC): weights are half-normal, their width chosen by blocked cross-validation;
- with SC: weights are SC times one gain, times log-normal deviations whose width is chosen likewise. With no width the
  weights are those of the SC; a wrong SC is corrected as far as held-out blocks support it.

On BOLD the signals bear next to no evidence on direction: synapses are some ten times faster than a TR. What direction
the estimate has comes from the SC, if that has any.

References
----------
Friston et al. 2014, doi:10.1016/j.neuroimage.2013.12.009 (spectral observation model); Deco et al. 2013,
doi:10.1523/JNEUROSCI.1091-13.2013 (linear dynamics about the resting state); Markov et al. 2014,
doi:10.1093/cercor/bhs270 (log-normal weights).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings
from bids_ai.surrogate.cross_spectra import Observed
from bids_ai.surrogate.families.latent import LatentLinear
from bids_ai.surrogate.families.latent_noise import LatentNoise
from bids_ai.surrogate.families.spectral_fit import Process, fit_spectral
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

SYNAPTIC_TAU_S = 0.1
"""NMDA time constant (Deco et al. 2013), s."""
HRF_TAU_S, HRF_TAU_LOG_SD = 1.25, 0.2
"""Time constant of the haemodynamic kernel (Boynton et al. 1996), s, and the spread of its prior."""
DELAY_SD_S = 0.5
"""Spread of the delays over regions, s: haemodynamic responses peak earlier or later by about as much (Handwerker et
al. 2004, doi:10.1016/j.neuroimage.2003.11.029), and slices are taken at different times."""
DECAY_LOG_SD = 0.2
"""Spread of the rates of decay over regions."""
NOISE_POWER_S = 10.0
"""Neural noise, in units of the decay, that gives BOLD at a TR of about 1 s a variance of order one."""
START_ROOT = 0.3
"""Square root of n times the weights at which the descent begins: a summed input of 0.09, in units of the decay."""
START_GAIN = 0.3
"""Gain of the SC at which it begins."""
WIDTHS = (0.1, 0.2, 0.4)
"""Without SC: summed input of a region, in units of its decay, that the prior expects from independent weights (SD);
narrowest first."""
DEVIATIONS = (0.03, 0.1, 0.3, 1.0)
"""With SC: SD of the logarithm of a weight about the SC; narrowest first."""
SC_FLOOR = 0.01
"""Weight of an absent connection, as a share of the mean weight: an SC misses some."""


class _WeightPrior:
    """Free weights, or weights about an SC.

    The vector of parameters holds weights (n * n), log decay (n), delays (n, in units of their prior), log haemodynamic
    scale, log gain of the SC, and the noise.
    """

    def __init__(self, noise: LatentNoise, delays: bool, structural: FloatArray | None) -> None:
        self.noise, self.delays = noise, delays
        self.n = noise.n_regions
        self.off = 1 - torch.eye(self.n, dtype=torch.float64)
        self.structural: Tensor | None = None
        if structural is not None:
            weights = structural + SC_FLOOR * structural.sum() / self.off.sum().item()
            self.structural = torch.as_tensor(weights / weights.sum(0).mean()) * self.off

    @property
    def strengths(self) -> list[float]:
        """Precisions of the prior of the weights, strongest first."""
        if self.structural is None:
            return [self.n / width**2 for width in WIDTHS]
        return [1 / sd**2 for sd in DEVIATIONS]

    def start(self, spectra: Observed) -> Tensor:
        """Weakly coupled regions of equal decay."""
        n, raw = self.n, START_ROOT if self.structural is None else 0.0
        first = torch.tensor([*[raw] * n**2, *[0.0] * 2 * n, 0.0, np.log(START_GAIN)], dtype=torch.float64)
        return torch.cat([first.expand(len(spectra.n), -1), self.noise.start(spectra)], dim=1)

    def split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """Weights (raw), log decay, delays, log haemodynamic scale, log gain, noise."""
        n, m = self.n, self.n**2
        ends = (m, m + n, m + 2 * n, m + 2 * n + 1, m + 2 * n + 2)
        raw, decay, delay, scale, gain, noise = parameters.tensor_split(ends, dim=1)
        return raw.unflatten(1, (n, n)), decay, delay, scale[:, 0], gain[:, 0], noise

    def weights(self, raw: Tensor, log_gain: Tensor) -> Tensor:
        """Coupling in units of the decay, row = source."""
        if self.structural is None:
            # Squares keep weights positive and let L-BFGS reach in 60 steps what exponentials do not in 200.
            return raw.square() / self.n * self.off
        return log_gain.exp()[:, None, None] * raw.exp() * self.structural

    def process(self, parameters: Tensor) -> Process:
        """Processes of a batch of vectors."""
        raw, decay, delay, scale, log_gain, rest = self.split(parameters)
        drift = (self.weights(raw, log_gain) - torch.diag_embed(decay.exp())) / SYNAPTIC_TAU_S
        noise, floor = self.noise.covariances(rest)
        power = noise * (NOISE_POWER_S / SYNAPTIC_TAU_S**2)
        return Process(drift, power, HRF_TAU_S * scale.exp(), floor, delay * (DELAY_SD_S if self.delays else 0.0))

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density."""
        raw, decay, delay, scale, log_gain, rest = self.split(parameters)
        weights = self.weights(raw, log_gain)
        free = weights if self.structural is None else raw * self.off
        out = strength * free.square().sum((-2, -1)) + (decay / DECAY_LOG_SD).square().sum(1)
        out = out + delay.square().sum(1)
        # A density proportional to det(-J) vanishes where the process stops to be stable.
        stability = torch.linalg.slogdet(torch.diag_embed(decay.exp()) - weights)[1]
        return 0.5 * (out + (scale / HRF_TAU_LOG_SD).square() + self.noise.cost(rest)) - stability


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    fits = []
    for recording in recordings:
        structural = recording.kept_structural
        fits.append(fit_spectral(recording, partial(_WeightPrior, structural=structural)))
        fits[-1].details["structural"] = structural is not None
    return fits


FAMILY = Family(name="state-space", fit=_fit, build=LatentLinear, fallback_to_linear=False)
