"""Cross-spectra of a recording, block by block: what a spectral likelihood needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.usable import FloatArray, usable_frames

ComplexArray = npt.NDArray[np.complex128]

N_TAPERS = 3
"""Sine tapers (Riedel & Sidorenko 1995, doi:10.1109/78.365298): little leakage of slow drifts at little loss of
data."""
MIN_FREQUENCY_HZ = 0.01
"""Below this, BOLD has been high-passed or drifts."""
CROWDING = 1.5
"""Exponent by which bins crowd at low frequencies, where haemodynamics pass and spectra bend."""
MIN_BLOCK_FRAMES = 16


@dataclass(frozen=True)
class CrossSpectra:
    """Cross-spectral density of each block of a recording.

    Parameters
    ----------
    frequency : (n_bins,) array
        Centres of the bins, Hz.
    density : (n_blocks, n_bins, n_regions, n_regions) complex array
        Two-sided, per Hz times TR, so that white noise of variance 1 has density 1. Entry (i, j) is the mean of
        F_i conj(F_j).
    weight : (n_blocks, n_bins) array
        Independent Fourier coefficients behind each.
    """

    frequency: FloatArray
    density: ComplexArray
    weight: FloatArray


@dataclass(frozen=True)
class Observed:
    """Cross-spectra of a batch of selections of blocks.

    Parameters
    ----------
    omega : (n_bins,) tensor
        Angular frequencies, 1/s.
    density : (batch, n_bins, n_regions, n_regions) complex tensor
    weight : (batch, n_bins) tensor
        Shares of the Fourier coefficients.
    n : (batch,) tensor
        Number of Fourier coefficients.
    """

    omega: Tensor
    density: Tensor
    weight: Tensor
    n: Tensor

    def take(self, rows: Tensor) -> Observed:
        """Some of the batch."""
        return Observed(self.omega, self.density[rows], self.weight[rows], self.n[rows])

    @classmethod
    def of(cls, spectra: CrossSpectra, selections: list[list[int]]) -> Observed:
        """Mean over each selection of blocks."""
        densities, weights = [], []
        for blocks in selections:
            weight = spectra.weight[blocks]
            total = weight.sum(0)
            mean = (weight[:, :, None, None] * spectra.density[blocks]).sum(0) / np.maximum(total, 1)[:, None, None]
            densities.append(mean)
            weights.append(total)
        stacked = torch.as_tensor(np.stack(weights))
        n = stacked.sum(1)
        omega = torch.as_tensor(2 * np.pi * spectra.frequency)
        return cls(omega, torch.as_tensor(np.stack(densities)), stacked / n[:, None], n)


def block_spectra(series: FloatArray, bounds: IntArray, tr: float, n_bins: int) -> CrossSpectra:
    """Cross-spectra of contiguous blocks.

    Parameters
    ----------
    series : (n_times, n_regions) array
        Standardised; censored frames are NaN rows, and are bridged by straight lines within a stretch of the recording.
    bounds : (n_blocks + 1,) int
        Frames at which blocks begin and end.
    tr : float
        Seconds.
    n_bins : int
        Bins between `MIN_FREQUENCY_HZ` and the Nyquist frequency, narrower at the low end; those into which no block
        has a Fourier frequency are dropped.
    """
    lowest, nyquist = min(MIN_FREQUENCY_HZ, 0.1 / tr), 0.5 / tr
    edges = lowest + (nyquist - lowest) * np.linspace(0, 1, n_bins + 1) ** CROWDING
    n = series.shape[1]
    density = np.zeros((len(bounds) - 1, n_bins, n, n), dtype=np.complex128)
    weight = np.zeros((len(bounds) - 1, n_bins))
    for b, (start, stop) in enumerate(pairwise(bounds)):
        for piece in _stretches(series[start:stop]):
            _add(piece, tr, edges, density[b], weight[b])
        density[b] /= np.maximum(weight[b], 1)[:, None, None]
    used = weight.sum(0) > 0
    return CrossSpectra(((edges[:-1] + edges[1:]) / 2)[used], density[:, used], weight[:, used])


def _stretches(block: FloatArray) -> list[FloatArray]:
    """Cut at gaps of more than two frames (run boundaries), bridge shorter ones."""
    usable = np.flatnonzero(usable_frames(block))
    if not len(usable):
        return []
    pieces = np.split(usable, np.flatnonzero(np.diff(usable) > 3) + 1)
    out = []
    for piece in pieces:
        if len(piece) < MIN_BLOCK_FRAMES:
            continue
        frames = np.arange(piece[0], piece[-1] + 1)
        columns = [np.interp(frames, piece, column) for column in block[piece].T]
        out.append(np.stack(columns, axis=1))
    return out


def _add(piece: FloatArray, tr: float, edges: FloatArray, density: ComplexArray, weight: FloatArray) -> None:
    """Sum the tapered periodograms of a stretch into its bins."""
    n_times = len(piece)
    rows = np.arange(1, n_times + 1)
    tapers = np.sqrt(2 / (n_times + 1)) * np.sin(np.pi * np.outer(np.arange(1, N_TAPERS + 1), rows) / (n_times + 1))
    spectrum = np.fft.rfft(tapers[:, :, None] * (piece - piece.mean(0)), axis=1)  # (taper, frequency, region)
    position = np.digitize(np.fft.rfftfreq(n_times, tr), edges) - 1
    for k in range(len(weight)):
        rows_k = position == k
        count = int(rows_k.sum())
        if count:
            chosen = spectrum[:, rows_k].reshape(-1, spectrum.shape[2])
            density[k] += chosen.T @ chosen.conj() / N_TAPERS
            weight[k] += count
