"""D_stsp: Kullback-Leibler divergence of the distributions of states, recorded against generated.

With up to three dimensions by histograms, with more by Gaussian mixtures and Monte Carlo sampling, after
Koppe et al. 2019 (doi:10.1371/journal.pcbi.1007263), Mikhaeil, Monfared & Durstewitz 2022 (NeurIPS 35) and Brenner
et al. 2022 (ICML, PMLR 162:2292). Three points differ from those works, because region series are short and noisy:

- Bins and bandwidths follow the number of frames. With 30 bins per axis or a fixed bandwidth, two halves of one
  recording of a thousand frames would be nats apart.
- The mixture of the recorded states is evaluated without the centres near in time to the state that a sample was
  drawn from (Theiler 1986, doi:10.1103/PhysRevA.34.2427). Its own centre would always be close, and the divergence
  would not vanish for two samples of one distribution.
- Samples without density are not left out. Both distributions have a pseudo-count (half a frame per bin; half a centre
  with a wide, heavy-tailed density), so that a burst which is seen once counts as such, and neither makes the
  divergence infinite nor, by its missing neighbours, negative.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from bids_ai.surrogate.metrics.series import Series, check_regions, frames, frames_and_times, thinned
from bids_ai.surrogate.usable import BoolArray, FloatArray

MAX_HISTOGRAM_DIMENSIONS = 3
FRAMES_PER_BIN = 10
MAX_BINS = 30
PSEUDO_COUNT = 0.5
"""Added to every bin of both histograms, and to both mixtures as a density as wide as the recording: a state that is
visited once does not make the divergence infinite."""
MAX_COMPONENTS = 5
MAX_CENTRES = 1000
N_SAMPLES = 1000
THEILER = 10
"""Frames; centres nearer in time than this to a sample's origin are left out."""
MIN_CENTRES = 20


class Divergence(NamedTuple):
    """A divergence in nats, and the share of what could not be counted.

    For histograms that is the share of generated frames outside the range of the recording; for mixtures that of
    the samples which no generated state is near to, so that the pseudo-count decides. Where it is not small, the
    divergence is a lower bound.
    """

    nats: float
    dropped: float


def d_stsp(truth: Series, generated: Series, *, n_components: int = MAX_COMPONENTS, seed: int = 0) -> Divergence:
    """KL(truth || generated) of the distributions of states, on the leading principal components of both together.

    Components are scaled to SD 1; the divergence does not depend on such a scaling.

    Parameters
    ----------
    truth, generated : Series
    n_components : int, default=5
        At most. With 5 the estimate is within a few hundredths of the true divergence of Gaussians of 300 frames;
        with 10 and more the bias of the densities is as large as the divergences of interest.
    seed : int
        Of the Monte Carlo samples.

    Returns
    -------
    Divergence
        0 nats is perfect (the estimate may be slightly negative), no upper bound.
    """
    check_regions(truth, generated)
    true, times = frames_and_times(truth, gap=THEILER)
    other = frames(generated)
    if min(len(true), len(other)) < MIN_CENTRES:
        return Divergence(float("nan"), float("nan"))
    true, other = _components(true, other, n_components)
    if true.shape[1] <= MAX_HISTOGRAM_DIMENSIONS:
        return histogram_divergence(true, other)
    return mixture_divergence(true, other, times=times, seed=seed)


def _components(truth: FloatArray, generated: FloatArray, at_most: int) -> tuple[FloatArray, FloatArray]:
    mean = truth.mean(axis=0)
    # The components of the truth alone would fit its noise: along them any other sample of the same process has
    # less variance, and would seem to diverge.
    pooled = (np.atleast_2d(np.cov(truth.T)) + np.atleast_2d(np.cov(generated.T))) / 2
    values, vectors = np.linalg.eigh(pooled)
    order = np.argsort(values)[::-1][:at_most]
    order = order[values[order] > 1e-10 * values.max()]
    basis = vectors[:, order] / np.sqrt(values[order])
    return (truth - mean) @ basis, (generated - mean) @ basis


def histogram_divergence(truth: FloatArray, generated: FloatArray, n_bins: int | None = None) -> Divergence:
    """KL(truth || generated) of histograms over the box that the truth fills.

    Parameters
    ----------
    truth, generated : (n_frames, n_dimensions) arrays
    n_bins : int, optional
        Per axis. The default gives 10 recorded frames to a bin on average, and at most 30 bins.
    """
    n, d = truth.shape
    if n_bins is None:
        n_bins = int(np.clip(np.floor((min(n, len(generated)) / FRAMES_PER_BIN) ** (1 / d)), 2, MAX_BINS))
    low, high = truth.min(axis=0), truth.max(axis=0)
    inside = ((generated >= low) & (generated <= high)).all(axis=1)
    p = _counts(truth, low, high, n_bins)
    q = _counts(generated[inside], low, high, n_bins)
    return Divergence(float((p * np.log(p / q)).sum()), float(1 - inside.mean()))


def _counts(points: FloatArray, low: FloatArray, high: FloatArray, n_bins: int) -> FloatArray:
    cells = np.clip(((points - low) / (high - low) * n_bins).astype(np.int64), 0, n_bins - 1)
    flat = np.ravel_multi_index(tuple(cells.T), (n_bins,) * points.shape[1])
    counts = np.bincount(flat, minlength=n_bins ** points.shape[1]) + PSEUDO_COUNT
    frequencies: FloatArray = counts / counts.sum()
    return frequencies


def mixture_divergence(
    truth: FloatArray,
    generated: FloatArray,
    *,
    times: np.ndarray | None = None,
    bandwidth: float | None = None,
    n_samples: int = N_SAMPLES,
    seed: int = 0,
) -> Divergence:
    """KL(truth || generated) of mixtures with one isotropic Gaussian per state, by Monte Carlo.

    Parameters
    ----------
    truth, generated : (n_frames, n_dimensions) arrays
        Of comparable scale along every axis. At most 1000 states of either are centres, as many of one as of the
        other, evenly spaced.
    times : (n_frames,) int, optional
        When the recorded states were; default, one after the other.
    bandwidth : float, optional
        SD of the Gaussians. Default: Scott's rule, s * n ** (-1 / (d + 4)), with s the smaller of the SD and the
        interquartile range over 1.349 of the truth (Silverman 1986), since bursts make the SD say little of where
        the states are. The divergence is that of the smoothed distributions, and the smaller the larger the bandwidth.
    n_samples : int
        Drawn from the mixture of the truth.
    seed : int
    """
    n_centres = min(len(truth), len(generated), MAX_CENTRES)
    times = np.arange(len(truth)) if times is None else times
    chosen = thinned(len(truth), n_centres)
    centres, times = truth[chosen], times[chosen]
    d = truth.shape[1]
    if bandwidth is None:
        bandwidth = _scale(truth) * n_centres ** (-1 / (d + 4))
    rng = np.random.default_rng(seed)
    origin = rng.integers(n_centres, size=n_samples)
    samples = centres[origin] + bandwidth * rng.standard_normal((n_samples, d))
    apart = np.abs(times[origin][:, None] - times[None, :]) > THEILER
    background = _log_background(samples, truth, bandwidth)
    p = _log_kernels(samples, centres, bandwidth, apart)
    q = _log_kernels(samples, generated[thinned(len(generated), n_centres)], bandwidth, None)
    ratio = _mixed(p, background, apart.sum(axis=1)) - _mixed(q, background, np.full(n_samples, n_centres))
    return Divergence(float(ratio.mean()), float((q < background).mean()))


def _scale(points: FloatArray) -> float:
    """Root mean square over the axes of the SD, or of the robust one where that is smaller."""
    quartiles = np.percentile(points, [25, 75], axis=0)
    robust = (quartiles[1] - quartiles[0]) / 1.349
    sd = points.std(axis=0)
    return float(np.sqrt(np.mean(np.where(robust > 0, np.minimum(sd, robust), sd) ** 2)))


def _log_background(samples: FloatArray, truth: FloatArray, bandwidth: float) -> FloatArray:
    """Log of a pseudo-count of a Cauchy density as wide as the truth, in units of the peak of a kernel."""
    d = truth.shape[1]
    variance = truth.var(axis=0).mean()
    distance = ((samples - truth.mean(axis=0)) ** 2).sum(axis=1) / variance
    normalisation = gammaln((1 + d) / 2) - gammaln(0.5) - d / 2 * np.log(np.pi * variance)
    kernel_peak = -d / 2 * np.log(2 * np.pi * bandwidth**2)
    log_density: FloatArray = normalisation - (1 + d) / 2 * np.log1p(distance) - kernel_peak
    return np.log(PSEUDO_COUNT) + log_density


def _log_kernels(samples: FloatArray, centres: FloatArray, bandwidth: float, allowed: BoolArray | None) -> FloatArray:
    """Log of the sum of the kernels in units of their peak, shape (n_samples,)."""
    exponents = samples @ centres.T
    exponents -= (centres**2).sum(axis=1) / 2
    exponents -= (samples**2).sum(axis=1)[:, None] / 2
    exponents /= bandwidth**2
    if allowed is not None:
        exponents[~allowed] = -np.inf
    largest = exponents.max(axis=1)
    largest = np.where(np.isfinite(largest), largest, 0.0)
    exponents -= largest[:, None]
    np.exp(exponents, out=exponents)
    with np.errstate(divide="ignore"):
        total: FloatArray = largest + np.log(exponents.sum(axis=1))
    return total


def _mixed(kernels: FloatArray, background: FloatArray, counts: FloatArray) -> FloatArray:
    """Log density of kernels and background, in units of the peak of a kernel."""
    mixed: FloatArray = np.logaddexp(kernels, background) - np.log(counts + PSEUDO_COUNT)
    return mixed
