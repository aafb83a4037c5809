"""State space with haemodynamics: linear neural dynamics under a common haemodynamic response, for BOLD.

The likelihood is spectral (`bids_ai.surrogate.whittle`). Coupling is excitatory between regions, as long-range
connections are, and decay is that of synapses (`SYNAPTIC_TAU_S`); BOLD is too slow to tell that time constant. Two
priors:

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

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings
from bids_ai.surrogate.families.latent import LatentLinear
from bids_ai.surrogate.families.spectral_fit import Process, fit_spectral
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

SYNAPTIC_TAU_S = 0.1
"""NMDA time constant (Deco et al. 2013), s."""
HRF_TAU_S, HRF_TAU_LOG_SD = 1.25, 0.2
"""Time constant of the haemodynamic kernel (Boynton et al. 1996), s, and the spread of its prior."""
DECAY_LOG_SD = 0.2
"""Spread of the rates of decay over regions."""
NOISE_LOG_SD = 1.0
"""Spread of the variances of neural noise over regions."""
WIDTHS = (0.05, 0.1, 0.2, 0.4)
"""Without SC: summed input of a region, in units of its decay, that the prior expects from independent weights (SD);
narrowest first."""
DEVIATIONS = (0.03, 0.1, 0.3, 1.0)
"""With SC: SD of the logarithm of a weight about the SC; narrowest first."""
SC_FLOOR = 0.01
"""Weight of an absent connection, as a share of the mean weight: an SC misses some."""


class _WeightPrior:
    """Free weights, or weights about an SC.

    The vector of parameters holds weights (n * n), decay (n), noise (n), observation noise, haemodynamic time
    constant, gain of the SC.
    """

    def __init__(self, n_regions: int, structural: FloatArray | None) -> None:
        self.n = n_regions
        self.off = 1 - torch.eye(n_regions, dtype=torch.float64)
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

    def start(self) -> Tensor:
        """Weakly coupled regions with the variance of standardised BOLD."""
        n = self.n
        weights = torch.full((n * n,), -5.0 if self.structural is None else 0.0, dtype=torch.float64)
        # log of: decay 1, noise, floor, haemodynamic time constant (of HRF_TAU_S), gain
        rest = torch.tensor([*[0.0] * n, *[0.0] * n, np.log(0.1), 0.0, np.log(0.3)], dtype=torch.float64)
        return torch.cat([weights, rest])

    def split(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """Weights (raw), log decay, log noise, log floor, log haemodynamic scale, log gain."""
        n = self.n
        raw, decay, noise, rest = parameters.split([n * n, n, n, 3], dim=1)
        return raw.unflatten(1, (n, n)), decay, noise, *rest.unbind(1)

    def weights(self, raw: Tensor, log_gain: Tensor) -> Tensor:
        """Coupling in units of the decay, row = source."""
        if self.structural is None:
            return torch.nn.functional.softplus(raw) * self.off
        return log_gain.exp()[:, None, None] * raw.exp() * self.structural

    def process(self, parameters: Tensor) -> Process:
        """Processes of a batch of vectors."""
        raw, decay, noise, floor, scale, log_gain = self.split(parameters)
        drift = (self.weights(raw, log_gain) - torch.diag_embed(decay.exp())) / SYNAPTIC_TAU_S
        # Neural noise that gives BOLD at TR of about 1 s a variance of order one.
        power = noise.exp() * 10 / SYNAPTIC_TAU_S**2
        return Process(drift, power, HRF_TAU_S * scale.exp(), floor.exp())

    def cost(self, parameters: Tensor, strength: float) -> Tensor:
        """Negative logarithm of the prior density."""
        raw, decay, noise, _, scale, log_gain = self.split(parameters)
        free = self.weights(raw, log_gain) if self.structural is None else raw * self.off
        out = strength * free.square().sum((-2, -1)) + (decay / DECAY_LOG_SD).square().sum(1)
        spread = noise - noise.mean(1, keepdim=True)
        out = out + (spread / NOISE_LOG_SD).square().sum(1) + (scale / HRF_TAU_LOG_SD).square()
        return 0.5 * (out + 1e-3 * raw.square().sum((-2, -1)) / self.n)


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    fits = []
    for recording in recordings:
        structural = recording.kept_structural
        fits.append(fit_spectral(recording, _WeightPrior(recording.n_regions, structural)))
        fits[-1].details["structural"] = structural is not None
    return fits


FAMILY = Family(name="state-space", fit=_fit, build=LatentLinear, fallback_to_linear=False)
