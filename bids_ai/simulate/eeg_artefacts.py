"""What an EEG records beside the brain: eyes, muscle, mains, electrodes that drift, and one that is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt

from bids_ai.simulate.eeg_rhythm import EyeBlock, coloured_noise

Array = NDArray[np.floating]
Fields = dict[str, Array]

#: Blinks per minute with open eyes at rest. Bentivoglio et al. 1997, doi:10.1002/mds.870120629.
BLINKS_PER_MIN = 17.0
#: Between one blink and the next, at least, s.
_BLINK_PAUSE_S = 0.8
#: Height of a blink where it is highest, microvolts; the lid falls in the first time and rises in the second, s
#: (VanderWerf et al. 2003, doi:10.1152/jn.00557.2002).
_BLINK_UV, _BLINK_S = (100.0, 200.0), ((0.07, 0.11), (0.16, 0.28))
#: Closing the eyes turns them up and the lid over them: a step of this size, microvolts, within this time, s.
_LID_UV, _LID_S = (60.0, 110.0), 0.12
#: Jumps of the open eyes per minute, their size where they are highest, and how long one takes (SD of its course).
_SACCADES_PER_MIN, _SACCADE_UV, _SACCADE_S = 20.0, (12.0, 55.0), 0.012
#: Closed eyes roll slowly: standard deviation where it is highest, microvolts, and band, Hz.
_ROLL_UV, _ROLL_HZ = 14.0, (0.15, 0.5)
#: Bursts of the temporal muscles per minute, of both sides together; duration, s; root mean square where highest.
_BURSTS_PER_MIN, _BURST_S, _BURST_UV = 8.0, (0.4, 2.5), (15.0, 50.0)
#: What the muscle keeps up all the time, microvolts.
_TONUS_UV = 1.2
#: Band of the surface electromyogram, Hz. Goncharova et al. 2003, doi:10.1016/S1388-2457(03)00093-2.
_MUSCLE_HZ = (20.0, 200.0)
MAINS_HZ = 50.0
#: Median over electrodes, SD of its logarithm, share of the third harmonic.
_MAINS_UV, _MAINS_LOG_SD, _THIRD = 1.5, 0.6, 0.15
#: Drift of an electrode (median, microvolts), and the white noise of its amplifier.
_DRIFT_UV, _SENSOR_UV = 12.0, 0.6
#: A flat electrode keeps this share; a noisy one adds this, microvolts.
_FLAT_SHARE, _NOISY_UV = 0.01, 45.0


@dataclass(frozen=True)
class Occurrence:
    """One artefact: when, what, and how high (microvolts where it is highest)."""

    onset_s: float
    duration_s: float
    name: str
    height_uv: float


@dataclass(frozen=True)
class Artefact:
    """Sources of one kind.

    Attributes
    ----------
    kind : str
    courses : array, shape (n_times, n_sources)
        Microvolts where the source is highest.
    topographies : array, shape (n_sources, n_sites)
        Relative to that place; sites are channels, then references.
    occurrences : tuple of Occurrence
        Empty for what never ends.
    """

    kind: str
    courses: Array
    topographies: Array
    occurrences: tuple[Occurrence, ...] = ()

    @property
    def potential_uv(self) -> Array:
        """At every site, before any reference, shape (n_times, n_sites)."""
        potential: Array = self.courses @ self.topographies
        return potential


@dataclass(frozen=True)
class Clock:
    """Sampling of a recording, and when its eyes are open."""

    n_times: int
    sampling_hz: float
    blocks: tuple[EyeBlock, ...]

    @property
    def times_s(self) -> Array:
        """Of every sample."""
        return np.arange(self.n_times) / self.sampling_hz

    def stretches(self, *, closed: bool) -> list[EyeBlock]:
        """Blocks with the eyes like that."""
        return [block for block in self.blocks if block.closed == closed]


def blinks(clock: Clock, topography: Array, rng: np.random.Generator) -> Artefact:
    """Blinks of open eyes, and the lid's step when they close and open.

    Parameters
    ----------
    clock : Clock
    topography : array, shape (n_sites,)
        Of the eyes turned up.
    rng : numpy Generator
    """
    course = np.zeros(clock.n_times)
    found: list[Occurrence] = []
    for block in clock.stretches(closed=False):
        for onset in _onsets(block, 60.0 / BLINKS_PER_MIN, _BLINK_PAUSE_S, rng):
            height = float(rng.uniform(*_BLINK_UV))
            fall, rise = (float(rng.uniform(*limits)) for limits in _BLINK_S)
            course += height * _bump(clock.times_s - onset, fall, rise)
            found.append(Occurrence(onset, fall + rise, "blink", height))
    for before, block in zip((None, *clock.blocks), clock.blocks, strict=False):
        if before is not None:
            height = float(rng.uniform(*_LID_UV))
            late = (clock.times_s - block.onset_s) / _LID_S
            course += height * (1.0 if block.closed else -1.0) / (1.0 + np.exp(np.clip(-4.0 * late, -60.0, 60.0)))
            name = "lid_closing" if block.closed else "lid_opening"
            found.append(Occurrence(block.onset_s, 2.0 * _LID_S, name, height))
    return Artefact("blink", course[:, None], topography[None], _in_order(found))


def eye_movements(clock: Clock, sideways: Array, upwards: Array, rng: np.random.Generator) -> Artefact:
    """Jumps of open eyes to a place and back, mostly sideways, and slow rolling of closed ones.

    Parameters
    ----------
    clock : Clock
    sideways, upwards : arrays, shape (n_sites,)
        Topographies of the eyes turned right and up.
    rng : numpy Generator
    """
    courses = np.zeros((clock.n_times, 2))
    found: list[Occurrence] = []
    for block in clock.stretches(closed=False):
        for onset in _onsets(block, 60.0 / _SACCADES_PER_MIN, 0.9, rng):
            stay = float(rng.uniform(0.25, 0.8))
            height = float(rng.uniform(*_SACCADE_UV))
            angle = rng.choice([0.0, np.pi]) + rng.normal(0.0, 0.35)
            step = _step(clock.times_s - onset) - _step(clock.times_s - onset - stay)
            courses += height * step[:, None] * np.array([np.cos(angle), np.sin(angle)])
            found.append(Occurrence(onset, stay, "saccade", height))
    rolling = butter(2, _ROLL_HZ, btype="bandpass", fs=clock.sampling_hz, output="sos")
    slow = sosfiltfilt(rolling, rng.standard_normal(clock.n_times))
    closed = gaussian_filter1d(_when(clock, closed=True), 0.5 * clock.sampling_hz)
    courses[:, 0] += _ROLL_UV * closed * slow / slow.std()
    return Artefact("eye_movement", courses, np.stack([sideways, upwards]), _in_order(found))


def muscle(clock: Clock, topographies: Array, sides: Sequence[int], rng: np.random.Generator) -> Artefact:
    """Bursts of the temporal muscles of one side at a time, over a low tonus.

    Parameters
    ----------
    clock : Clock
    topographies : array, shape (n_fibres, n_sites)
        Of bundles of fibres, each firing for itself.
    sides : sequence of int, length n_fibres
        Equal numbers belong to one muscle.
    rng : numpy Generator
    """
    top = min(_MUSCLE_HZ[1], 0.45 * clock.sampling_hz)
    sections = butter(2, (_MUSCLE_HZ[0], top), btype="bandpass", fs=clock.sampling_hz, output="sos")
    firing = sosfiltfilt(sections, rng.standard_normal((clock.n_times, len(topographies))), axis=0)
    firing /= firing.std(axis=0)
    envelope = np.full_like(firing, _TONUS_UV)
    found: list[Occurrence] = []
    whole = EyeBlock(0.0, clock.n_times / clock.sampling_hz, closed=False)
    for onset in _onsets(whole, 60.0 / _BURSTS_PER_MIN, _BURST_S[1] + 0.3, rng):
        side = int(rng.choice(np.unique(sides)))
        duration, height = float(rng.uniform(*_BURST_S)), float(rng.uniform(*_BURST_UV))
        swell = height * _bump(clock.times_s - onset, 0.3 * duration, 0.7 * duration) ** 0.5
        envelope[:, np.asarray(sides) == side] += swell[:, None]
        found.append(Occurrence(onset, duration, "muscle_left" if side < 0 else "muscle_right", height))
    # Bundles of one muscle add up by chance.
    share = np.sqrt(np.mean([np.sum(np.asarray(sides) == side) for side in np.unique(sides)]))
    return Artefact("muscle", firing * envelope / share, topographies, _in_order(found))


def electrode_noise(clock: Clock, n_sites: int, rng: np.random.Generator) -> Fields:
    """Mains, drift and amplifier noise of every site, microvolts, each of shape (n_times, n_sites).

    Mains is left out where the sampling cannot hold it.
    """
    drift = coloured_noise(clock.n_times, n_sites, clock.sampling_hz, rng, exponent=2.0, knee_hz=0.02)
    size = _DRIFT_UV * rng.lognormal(0.0, 0.5, n_sites)
    sensor = _SENSOR_UV * rng.lognormal(0.0, 0.15, n_sites) * rng.standard_normal((clock.n_times, n_sites))
    return {"mains": _mains(clock, n_sites, rng), "drift": drift * size, "sensor": sensor}


def spoiled(series_uv: Array, channel: int, kind: str, clock: Clock, rng: np.random.Generator) -> Array:
    """A copy in which one channel is bad.

    Parameters
    ----------
    series_uv : array, shape (n_times, n_channels)
    channel : int
    kind : str
        ``"flat"``: hardly anything arrives. ``"noisy"``: loose contact, with broad noise and jumps.
    clock : Clock
    rng : numpy Generator
    """
    out = series_uv.copy()
    if kind == "flat":
        out[:, channel] *= _FLAT_SHARE
        out[:, channel] += 0.2 * rng.standard_normal(clock.n_times)
        return out
    jumps = np.where(rng.random(clock.n_times) < 0.4 / clock.sampling_hz, rng.normal(0.0, 2.0, clock.n_times), 0.0)
    crackle = coloured_noise(clock.n_times, 1, clock.sampling_hz, rng, exponent=0.6, knee_hz=1.0)[:, 0]
    wax = np.exp(0.6 * coloured_noise(clock.n_times, 1, clock.sampling_hz, rng, exponent=2.0, knee_hz=0.1)[:, 0])
    out[:, channel] += _NOISY_UV * (crackle * wax + np.cumsum(jumps))
    return out


def _mains(clock: Clock, n_sites: int, rng: np.random.Generator) -> Array:
    """One source in the room; loops of wire differ in size and, a little, in phase."""
    out = np.zeros((clock.n_times, n_sites))
    for harmonic, share in ((1, 1.0), (3, _THIRD)):
        size = _MAINS_UV * np.sqrt(2.0) * share * rng.lognormal(0.0, _MAINS_LOG_SD, n_sites)
        phase = rng.uniform(0.0, 2.0 * np.pi) + rng.normal(0.0, 0.5, n_sites)
        swell = 1.0 + 0.15 * coloured_noise(clock.n_times, 1, clock.sampling_hz, rng, exponent=2.0, knee_hz=0.05)
        frequency = harmonic * MAINS_HZ
        if frequency < 0.4 * clock.sampling_hz:
            out += size * swell * np.sin(2.0 * np.pi * frequency * clock.times_s[:, None] + phase)
    return out


def _onsets(block: EyeBlock, mean_s: float, pause_s: float, rng: np.random.Generator) -> list[float]:
    """Random times within a block at a mean distance, never nearer than a pause to each other or to its ends."""
    onsets: list[float] = []
    at = block.onset_s + pause_s
    while True:
        at += float(rng.exponential(mean_s - pause_s))
        if at > block.onset_s + block.duration_s - pause_s:
            return onsets
        onsets.append(at)
        at += pause_s


def _bump(late_s: Array, rise_s: float, fall_s: float) -> Array:
    """A hill of height one: up within one time, down within the other, level at both ends."""
    up = np.clip(late_s / rise_s, 0.0, 1.0)
    down = np.clip((late_s - rise_s) / fall_s, 0.0, 1.0)
    hill: Array = 0.5 * (1.0 - np.cos(np.pi * up)) * 0.5 * (1.0 + np.cos(np.pi * down))
    return hill


def _step(late_s: Array) -> Array:
    """From zero to one within the time of a saccade."""
    step: Array = 1.0 / (1.0 + np.exp(np.clip(-1.7 * late_s / _SACCADE_S, -60.0, 60.0)))
    return step


def _when(clock: Clock, *, closed: bool) -> Array:
    """One while the eyes are like that."""
    times = clock.times_s
    out = np.zeros(clock.n_times)
    for block in clock.stretches(closed=closed):
        out[(times >= block.onset_s) & (times < block.onset_s + block.duration_s)] = 1.0
    return out


def _in_order(found: list[Occurrence]) -> tuple[Occurrence, ...]:
    return tuple(sorted(found, key=lambda one: one.onset_s))
