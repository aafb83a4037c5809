"""What cortex adds to its network before the scalp sees it: alpha that the eyes block, and a background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq
from scipy.signal import butter, sosfiltfilt

from bids_ai.simulate.eeg_forward import Leadfield

Array = NDArray[np.floating]

#: Dipole moment density of cortex that acts as one per mV of its columns' postsynaptic potentials, nAm/mm2: 1 to 2 at
#: most (Murakami & Okada 2015, doi:10.1016/j.neuroimage.2015.01.056), when Jansen-Rit columns discharge together and
#: swing by about 7 mV.
MOMENT_PER_MV = 0.2
#: Cortex that acts as one without the alpha rhythm, mm2. A region is many such patches, of which the network knows what
#: they have in common: their sum grows with the root of their number, and the scalp does not see how many regions
#: there are. With closed eyes the gain of alpha makes it 44 cm2 at the occiput; a rhythm that the scalp shows by eye
#: needs 6 cm2 and more (Nunez & Srinivasan 2006, doi:10.1093/acprof:oso/9780195050387.001.0001).
COHERENT_MM2 = 36.0
#: Band in which a region's gain changes, Hz.
ALPHA_HZ = (7.5, 13.0)
#: Gain of the alpha of the hindmost cortex while the eyes are closed, while they are open, and of all other cortex.
#: Alpha over the occiput falls to a half or less with open eyes: Barry et al. 2007, doi:10.1016/j.clinph.2007.07.028.
CLOSED_GAIN, OPEN_GAIN, OTHER_GAIN = 11.0, 2.5, 0.7
#: Alpha is blocked fast and comes back slowly: time constants after eyes open and after they close, s.
BLOCKING_S, RETURN_S = 0.25, 0.8
#: Cortex is posterior behind this (template y, mm; half the effect at the first, its width the second) and above the
#: tentorium (template z): the cerebellum has no alpha of its own.
_BEHIND_MM, _ABOVE_MM = (-76.0, 5.0), (-16.0, 4.0)

#: Background: patches of cortex of this area act independently of each other and of the network, mm2, with this
#: moment density (root mean square, nAm/mm2).
PATCH_MM2 = 1.0
BACKGROUND_NAM_PER_MM2 = 0.3
#: Power of the background falls with frequency to this exponent above the knee, Hz. He 2014,
#: doi:10.1016/j.tics.2014.04.003; Donoghue et al. 2020, doi:10.1038/s41593-020-00744-x.
BACKGROUND_EXPONENT, _KNEE_HZ = 1.6, 1.0


@dataclass(frozen=True)
class EyeBlock:
    """A stretch of the recording with the eyes open or closed, seconds."""

    onset_s: float
    duration_s: float
    closed: bool

    @property
    def name(self) -> str:
        """Its name in the events."""
        return "eyes_closed" if self.closed else "eyes_open"


def eye_blocks(duration_s: float, block_s: float) -> tuple[EyeBlock, ...]:
    """Blocks by turns, eyes closed first; the last may be shorter."""
    onsets = [float(onset) for onset in np.arange(0.0, duration_s - 1e-9, block_s)]
    return tuple(
        EyeBlock(onset, min(block_s, duration_s - onset), number % 2 == 0) for number, onset in enumerate(onsets)
    )


def posterior_weight(points_mm: Array) -> Array:
    """How far the alpha of a place is that of the occiput, 0..1.

    Parameters
    ----------
    points_mm : array, shape (n, 3)
        Template mm.
    """
    behind = 1.0 / (1.0 + np.exp((points_mm[:, 1] - _BEHIND_MM[0]) / _BEHIND_MM[1]))
    above = 1.0 / (1.0 + np.exp(-(points_mm[:, 2] - _ABOVE_MM[0]) / _ABOVE_MM[1]))
    weight: Array = behind * above
    return weight


def posterior_gain(blocks: tuple[EyeBlock, ...], n_times: int, sampling_hz: float) -> Array:
    """Gain of the alpha of the hindmost cortex over time, shape (n_times,).

    Parameters
    ----------
    blocks : tuple of EyeBlock
    n_times : int
    sampling_hz : float
    """
    times = np.arange(n_times) / sampling_hz
    course = np.empty(n_times)
    level = CLOSED_GAIN if blocks[0].closed else OPEN_GAIN
    for block in blocks:
        goal, constant = (CLOSED_GAIN, RETURN_S) if block.closed else (OPEN_GAIN, BLOCKING_S)
        within = times >= block.onset_s
        course[within] = goal + (level - goal) * np.exp(-(times[within] - block.onset_s) / constant)
        level = goal + (level - goal) * float(np.exp(-block.duration_s / constant))
    return course


@dataclass(frozen=True)
class Emission:
    """Dipole moment density that all patches of a region have in common, in two parts, nAm/mm2.

    A place of posterior weight w emits ``everywhere + w * posterior``.

    Attributes
    ----------
    everywhere, posterior : arrays, shape (n_times, n_regions)
    """

    everywhere: Array
    posterior: Array

    def potential_uv(self, field: Leadfield, weight: Array) -> Array:
        """At every site, shape (n_times, n_sites).

        Parameters
        ----------
        field : Leadfield
        weight : array, shape (n_dipoles,)
            `posterior_weight` of the dipoles of the sheet.
        """
        potential: Array = self.everywhere @ field.regions + self.posterior @ field.of_regions(weight)
        return potential


def emission(activity_mv: Array, gain: Array, area_mm2: Array, sampling_hz: float) -> Emission:
    """What regions emit when their columns are as active as the network says.

    The alpha band of a place is made larger or smaller as more or fewer columns join: ``q = k (x + (g - 1) alpha(x))``.
    The filter has no phase and acts on one region at a time, and the network does not see the gain: who drives whom,
    with which delay, stays as it was.

    Parameters
    ----------
    activity_mv : array, shape (n_times, n_regions)
    gain : array, shape (n_times,)
        `posterior_gain`.
    area_mm2 : array, shape (n_regions,)
        Cortex of every region.
    sampling_hz : float
    """
    sections = butter(2, ALPHA_HZ, btype="bandpass", fs=sampling_hz, output="sos")
    alpha = sosfiltfilt(sections, activity_mv, axis=0)
    joined = MOMENT_PER_MV * np.sqrt(COHERENT_MM2 / np.maximum(area_mm2, COHERENT_MM2))
    everywhere = joined * (activity_mv + (OTHER_GAIN - 1.0) * alpha)
    return Emission(everywhere, joined * (gain[:, None] - OTHER_GAIN) * alpha)


def background(field: Leadfield, n_times: int, sampling_hz: float, rng: np.random.Generator) -> Array:
    """Potential of cortex that is busy with itself: 1/f, alike at neighbouring electrodes, microvolts.

    The patches are independent, so that their sum over all cortex is Gaussian with a covariance that the leadfield
    gives; as many series as electrodes are drawn.

    Parameters
    ----------
    field : Leadfield
    n_times : int
    sampling_hz : float
    rng : numpy Generator

    Returns
    -------
    array, shape (n_times, n_channels)
    """
    # A dipole of vector area v stands for about |v| / PATCH patches that add up by chance.
    area = np.maximum(np.linalg.norm(field.sheet.vector_mm2, axis=1), PATCH_MM2)
    scaled = field.dipoles * (BACKGROUND_NAM_PER_MM2 * np.sqrt(PATCH_MM2 / area))[:, None]
    values, vectors = np.linalg.eigh(scaled.T @ scaled)
    # A factor whose signs do not hang on those of the eigenvectors.
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    noise = coloured_noise(n_times, root.shape[0], sampling_hz, rng, BACKGROUND_EXPONENT, _KNEE_HZ)
    series: Array = noise @ root
    return series


def coloured_noise(
    n_times: int, n_series: int, sampling_hz: float, rng: np.random.Generator, exponent: float, knee_hz: float
) -> Array:
    """Independent Gaussian series of unit variance whose power falls as ``1 / (knee^e + f^e)``.

    Parameters
    ----------
    n_times, n_series : int
    sampling_hz : float
    rng : numpy Generator
    exponent, knee_hz : float

    Returns
    -------
    array, shape (n_times, n_series)
    """
    # Longer than asked for: the ends of a Fourier series meet.
    length = next_fast_len(n_times + round(4.0 * sampling_hz / knee_hz), real=True)
    frequency = rfftfreq(length, 1.0 / sampling_hz)
    amplitude = (knee_hz**exponent + frequency**exponent) ** -0.5
    amplitude[0] = 0.0
    shaped = irfft(rfft(rng.standard_normal((length, n_series)), axis=0) * amplitude[:, None], length, axis=0)
    scale = np.sqrt(2.0 * (amplitude**2).sum() / length)
    series: Array = shaped[:n_times] / scale
    return series
