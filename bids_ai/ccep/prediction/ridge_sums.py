"""Products that a ridge over pairs of site and channel is made of, and its error where some are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bids_ai.ccep.matrices import EXCLUSION_MM
from bids_ai.ccep.scoring.recorded import Layout, Recorded, log_amplitude
from bids_ai.ccep.trials import Array, BoolArray, IntArray
from bids_ai.errors import InputError

#: Fewer training pairs than this for each column do not make a fit.
_PAIRS_PER_COLUMN = 10

Columns = Callable[[Layout], list[Array]]
"""Layout -> columns of the regression, each of shape (n_sites, n_channels)."""


@dataclass(frozen=True)
class Sums:
    """Products of standardised columns and log amplitudes, summed over the pairs of each site.

    Attributes
    ----------
    xx : array, shape (n_sites, n_columns, n_columns)
    xy : array, shape (n_sites, n_columns)
    n : array, shape (n_sites,)
        Pairs.
    scale : array, shape (n_columns,)
        What the columns were divided by.
    groups : array of int, shape (n_sites,)
        What is left out together: leads; sites, where there are fewer than three.
    """

    xx: Array
    xy: Array
    n: Array
    scale: Array
    groups: IntArray

    @classmethod
    def of(cls, training: Sequence[Recorded], columns: Columns, by_site: bool) -> Sums:
        """Of training sites.

        Raises
        ------
        InputError
            For too few training pairs.
        """
        blocks = [block for one in training for block in _site_blocks(one, columns, by_site)]
        n_columns = len(columns(training[0].layout)) if training else 0
        n_pairs = sum(block.n for block in blocks)
        least = _PAIRS_PER_COLUMN * max(n_columns, 1)
        if n_pairs < least:
            raise InputError(f"{least} training pairs with a value in all of the columns are wanted, got {n_pairs}.")
        xx = np.stack([block.xx for block in blocks])
        xy = np.stack([block.xy for block in blocks])
        scale = np.sqrt(np.diagonal(xx.sum(axis=0)) / n_pairs)
        # A column without variance explains nothing.
        scale = np.where(scale > 1e-12, scale, np.inf)
        leads = np.unique([block.lead for block in blocks], return_inverse=True)[1]
        groups = np.asarray(leads if leads.max() >= 2 else np.arange(len(blocks)))
        n = np.array([float(block.n) for block in blocks])
        return cls(xx / scale[:, None] / scale, xy / scale, n, scale, groups)

    def solve(self, penalties: Array, used: BoolArray | None = None) -> Array:
        """Coefficients of the standardised columns for every row of penalties, (n_rows, n_columns)."""
        used = np.ones(len(self.n), bool) if used is None else used
        xx, xy = self.xx[used].sum(axis=0), self.xy[used].sum(axis=0)
        weights = self.n[used].sum() * penalties[:, :, None] * np.eye(len(xx))
        return np.asarray(np.linalg.solve(xx + weights, xy[None, :, None])[..., 0])

    def errors(self, penalties: Array) -> Array:
        """Squared error of each group by a fit to the others, less that of no prediction, (n_groups, n_rows)."""
        out = np.zeros((self.groups.max() + 1, len(penalties)))
        for group in range(len(out)):
            left = self.groups == group
            b = self.solve(penalties, ~left)
            out[group] = ((b @ self.xx[left].sum(axis=0)) * b).sum(axis=1) - 2.0 * b @ self.xy[left].sum(axis=0)
        return out


class _Block(NamedTuple):
    """Sums over the pairs of one site."""

    xx: Array
    xy: Array
    n: int
    lead: str


def _site_blocks(recorded: Recorded, columns: Columns, by_site: bool) -> list[_Block]:
    layout = recorded.layout
    features = np.stack(columns(layout), axis=-1)
    values = log_amplitude(recorded, EXCLUSION_MM)
    known = np.isfinite(values) & np.isfinite(features).all(axis=-1)
    if not known.any():
        return []
    x_mean, y_mean = features[known].mean(axis=0), values[known].mean()
    out = []
    for site in np.flatnonzero(known.any(axis=1)):
        x, y = features[site, known[site]], values[site, known[site]]
        x, y = (x - x.mean(axis=0), y - y.mean()) if by_site else (x - x_mean, y - y_mean)
        lead = f"{layout.patient}\t{layout.contact_leads[layout.site_contacts[site, 0]]}"
        out.append(_Block(x.T @ x, x.T @ y, len(y), lead))
    return out
