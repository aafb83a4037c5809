"""Phase-randomised series: the null that keeps the spectrum and forgets the rest."""

from __future__ import annotations

import numpy as np

from bids_ai.surrogate.metrics.series import Series, stretches
from bids_ai.surrogate.usable import FloatArray


def phase_randomised(series: Series, seed: int, *, common: bool) -> list[FloatArray]:
    """Series with the amplitude spectrum of the original and random phases, stretch by stretch.

    Parameters
    ----------
    series : Series
    seed : int
    common : bool
        Whether all regions are turned by the same phases. Then all cross-correlations stay as they are (Prichard &
        Theiler 1994, doi:10.1103/PhysRevLett.73.951), and only what is not linear, Gaussian and stationary is lost.
        Otherwise each region keeps its own spectrum (Theiler et al. 1992, doi:10.1016/0167-2789(92)90102-S), and
        all coupling is lost.

    Returns
    -------
    list of (n_times, n_regions) arrays
        One per usable stretch, of the same length.
    """
    rng = np.random.default_rng(seed)
    return [_randomised(piece, rng, common) for piece in stretches(series)]


def _randomised(piece: FloatArray, rng: np.random.Generator, common: bool) -> FloatArray:
    n_times, n_regions = piece.shape
    spectrum = np.fft.rfft(piece, axis=0)
    phases = rng.uniform(0, 2 * np.pi, (len(spectrum), 1 if common else n_regions))
    phases[0] = 0.0
    if n_times % 2 == 0:
        phases[-1] = 0.0  # the Nyquist frequency of an even length has to stay real
    out: FloatArray = np.fft.irfft(spectrum * np.exp(1j * phases), n=n_times, axis=0)
    return out
