"""Recurrence with Dale's law on top of ridge VAR: every unit excites all that it reaches, or inhibits it.

References
----------
Song, Yang & Wang 2016, PLoS Computational Biology, doi:10.1371/journal.pcbi.1004792.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bids_ai.surrogate.families.layers import Dense, along, newest_unit_start, per_lag
from bids_ai.surrogate.families.residual import Correction, residual_family, width_between

START = 0.02
"""Largest strength of a connection at the start; the derivative of a magnitude is undefined at zero."""


class Magnitudes(nn.Module):
    """Strengths of connections, without sign: (..., n, n_in) -> (..., n, n_out).

    | name | shape |
    |---|---|
    | weight | (n_in, n_out), read as its absolute value |
    """

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(START * torch.rand(n_in, n_out))

    def forward(self, rates: Tensor) -> Tensor:
        """Sum what arrives."""
        return rates @ self.weight.abs()


class ExcitatoryInhibitory(Correction):
    """Pairs of an excitatory and an inhibitory unit that start alike and cancel, so that g starts at zero.

    r <- S(x U + r_E |W_E| - r_I |W_I|) from the oldest lag to the newest, from r = 0, and
    g = r_E |V_E| - r_I |V_I| + b. Rates are between 0 and 1. Reading strengths as magnitudes fixes the sign of
    all that leaves a unit; what arrives from outside (U) has either sign.

    | layer | shape |
    |---|---|
    | drive | (n_regions, 2 * pairs), excitatory units first |
    | excitatory, inhibitory | (pairs, 2 * pairs), magnitudes |
    | excitatory_output, inhibitory_output | (pairs, n_regions), magnitudes |
    | bias | (n_regions) |
    """

    def __init__(self, n_regions: int, order: int, pairs: int) -> None:
        super().__init__()
        self.drive = Dense(n_regions, 2 * pairs)
        self.excitatory, self.inhibitory = Magnitudes(pairs, 2 * pairs), Magnitudes(pairs, 2 * pairs)
        self.excitatory_output, self.inhibitory_output = Magnitudes(pairs, n_regions), Magnitudes(pairs, n_regions)
        self.bias = nn.Parameter(torch.zeros(n_regions))
        newest_unit_start(self.drive, n_regions)
        self._balance(pairs)

    @torch.no_grad()
    def _balance(self, pairs: int) -> None:
        """Give the two units of every pair the same inputs and strengths."""
        self.drive.weight[:, pairs:] = self.drive.weight[:, :pairs]
        self.drive.bias[pairs:] = self.drive.bias[:pairs]
        for strengths in (self.excitatory, self.inhibitory):
            strengths.weight[:, pairs:] = strengths.weight[:, :pairs]
        self.inhibitory.weight.copy_(self.excitatory.weight)
        self.inhibitory_output.weight.copy_(self.excitatory_output.weight)

    def rescale(self, factor: float) -> None:
        """Multiply what the network gives; a positive factor keeps all signs."""
        with torch.no_grad():
            for parameter in (self.excitatory_output.weight, self.inhibitory_output.weight, self.bias):
                parameter.mul_(factor)

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        drive = per_lag(self.drive, history)
        excited, inhibited = torch.sigmoid(2 * drive[..., 0, :]).chunk(2, dim=-1)
        for lag in range(1, history.shape[-2]):
            arriving = drive[..., lag, :] + self.excitatory(excited) - self.inhibitory(inhibited)
            excited, inhibited = torch.sigmoid(2 * arriving).chunk(2, dim=-1)
        out = self.excitatory_output(excited) - self.inhibitory_output(inhibited)
        return out + along(self.bias)


FAMILY = residual_family(
    "ei-rnn", ExcitatoryInhibitory, width=width_between(8, 64), width_option="pairs", all_lags=True
)
