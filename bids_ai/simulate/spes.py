"""Single-pulse electrical stimulation of a virtual patient: what is stimulated when, and what the current leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from bids_ai.errors import InputError
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.electrodes import Implantation, grey_voxels
from bids_ai.simulate.neural import Columns, pulse_responses, sewn
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.seeg import CONDUCTIVITY_S_PER_M, LOW_PASS, NETWORK_HZ, Montage

Array = NDArray[np.floating]

CURRENT_A = 0.004
#: Length of each of the two phases of a pulse, s.
PHASE_S = 0.0005
#: Share of the axons in grey matter around a contact that the pulse excites, at `CURRENT_A`.
FULL_DOSE = 0.3
#: SD of the excited volume around a contact, mm: at 4 mA tissue is excited within about half a centimetre.
#: Stoney et al. 1968, doi:10.1152/jn.1968.31.5.659 (distance grows with the root of the current).
REACH_MM = 4.0
#: The amplifier does not see a contact nearer to the current than this, mm: contacts have an extent.
_CONTACT_MM = 1.0
#: After a pulse electrodes are polarised and discharge with this time constant, s, from this share of the potential.
DISCHARGE_S, DISCHARGE = 0.004, 0.01
#: Stimulated contacts come back from the stimulator with a potential of so many microvolts, over so many seconds.
SWITCHED_UV, SWITCHED_S = 6000.0, 0.12
#: Artefacts are made at this multiple of the sampling rate, then filtered as the amplifier does.
_OVERSAMPLING = 40


@dataclass(frozen=True)
class SpesSize:
    """Stimulated sites, of these in white matter only, and times in seconds.

    Between pulses `interval_s`, more or less by up to `jitter_s`; `pause_s` more between sites, when cables are moved;
    before the first pulse and after the last `lead_s`.
    """

    n_sites: int
    n_white: int
    interval_s: float
    jitter_s: float
    pause_s: float = 2.0
    lead_s: float = 2.0


SPES_SIZES = {
    "tiny": SpesSize(4, 1, 1.0, 0.1, pause_s=0.2, lead_s=1.0),
    "small": SpesSize(15, 3, 3.2, 0.15),
    "full": SpesSize(40, 8, 5.0, 0.5),
}
#: Sites keep this distance to the reference contact, mm: it would hand on their artefact to every channel.
REFERENCE_MM = 12.0
#: Columns that are simulated side by side, over all pulses: more need memory and are not faster.
_COLUMNS_AT_ONCE = 4000
#: Pulses of a site in each polarity.
PULSES_PER_POLARITY = 5


@dataclass(frozen=True)
class SpesPlan:
    """Every pulse of a recording, in order.

    Attributes
    ----------
    sites : array of int, shape (n_sites, 2)
        Contacts of the bipoles.
    onsets_s : array, shape (n_pulses,)
    site : array of int, shape (n_pulses,)
    pairs : array of int, shape (n_pulses, 2)
        Contacts of a pulse: the first is positive in the first phase.
    current_a : float
    duration_s : float
        Of the recording.
    """

    sites: NDArray[np.intp]
    onsets_s: Array
    site: NDArray[np.intp]
    pairs: NDArray[np.intp]
    current_a: float
    duration_s: float

    def __len__(self) -> int:
        return len(self.onsets_s)


def plan_spes(contacts: Implantation, montage: Montage, rng: np.random.Generator, *, size: str = "small") -> SpesPlan:
    """Choose bipoles of neighbours, and when each is stimulated: five times A-B, then five times B-A.

    Parameters
    ----------
    contacts : Implantation
    montage : Montage
        Neither its reference nor bad contacts are stimulated.
    rng : numpy Generator
    size : str
        ``"tiny"``, ``"small"`` (3.2 s between pulses, to keep the record short) or ``"full"`` (5 s, as is usual).

    Returns
    -------
    SpesPlan

    Raises
    ------
    InputError
        When there is no such size.
    """
    if size not in SPES_SIZES:
        raise InputError(f"Size of the stimulation: one of {', '.join(SPES_SIZES)} is wanted, got {size!r}.")
    wanted = SPES_SIZES[size]
    sites = _choose_sites(contacts, montage, wanted, rng)
    gaps = wanted.interval_s + wanted.jitter_s * rng.uniform(-1.0, 1.0, (len(sites), 2 * PULSES_PER_POLARITY))
    gaps[0, 0], gaps[1:, 0] = wanted.lead_s, gaps[1:, 0] + wanted.pause_s
    # On the grid of the network, so that every sampling rate that is a multiple sees the pulse at a sample.
    onsets = np.rint(np.cumsum(gaps.ravel()) * NETWORK_HZ) / NETWORK_HZ
    site = np.repeat(np.arange(len(sites)), 2 * PULSES_PER_POLARITY)
    pairs = sites[site]
    reversed_ = np.tile(np.arange(2 * PULSES_PER_POLARITY) >= PULSES_PER_POLARITY, len(sites))
    pairs[reversed_] = pairs[reversed_, ::-1]
    return SpesPlan(sites, onsets, site, pairs, CURRENT_A, float(np.ceil(onsets[-1] + wanted.lead_s)))


def site_doses(patient: Patient, contacts: Implantation, sites: NDArray[np.intp], current_a: float) -> Array:
    """Share of the axons of every region that a pulse at each site excites, shape (n_sites, n_regions).

    The share of a site's surroundings that is grey matter of a region, times `FULL_DOSE`: parcels are the units of the
    network, so that a site within one speaks for all of it. Fibres that pass by in white matter are not excited.
    """
    points, grey, region = grey_voxels(patient)
    reach = REACH_MM * np.sqrt(current_a / CURRENT_A)
    volume = (2.0 * np.pi) ** 1.5 * reach**3 / patient.phantom.voxel_mm**3
    around = np.zeros((len(contacts), patient.n_regions))
    for contact in np.unique(sites):
        squared = ((points - contacts.positions_mm[contact]) ** 2).sum(axis=1)
        near = np.flatnonzero(squared < (4.0 * reach) ** 2)
        weight = grey[near] * np.exp(-0.5 * squared[near] / reach**2)
        around[contact] = np.bincount(region[near], weight, patient.n_regions) / volume
    doses: Array = FULL_DOSE * np.clip(around[sites].mean(axis=1), 0.0, 1.0)
    return doses


def stimulated_activity(
    connectome: Connectome, plan: SpesPlan, doses: Array, rng: np.random.Generator, columns: Columns
) -> Array:
    """Activity of every region during the recording, mV at `NETWORK_HZ`, shape (n_times, n_regions).

    Every pulse has a take of its own, from the middle of the interval before it to that of the next.

    Parameters
    ----------
    connectome : Connectome
    plan : SpesPlan
    doses : array, shape (n_sites, n_regions)
    rng : numpy Generator
    columns : Columns
    """
    n_times = round(plan.duration_s * NETWORK_HZ)
    onsets = np.rint(plan.onsets_s * NETWORK_HZ).astype(int)
    # Early in the interval before, so that a response is over before the next take fades in.
    edges = np.r_[0, np.rint(onsets[:-1] + 0.8 * np.diff(onsets)).astype(int), n_times]
    overlap = int(min(0.5 * NETWORK_HZ, 0.25 * np.diff(onsets).min()))
    length = int(np.diff(edges).max()) + overlap
    before = onsets - edges[:-1] + overlap // 2
    takes = np.zeros((len(plan), length, connectome.n_regions), np.float32)
    at_once = max(1, _COLUMNS_AT_ONCE // connectome.n_regions)
    for first in range(0, len(plan), at_once):
        group = slice(first, first + at_once)
        takes[group] = pulse_responses(
            connectome,
            doses[plan.site[group]][:, None],
            before[group, None] / NETWORK_HZ,
            length / NETWORK_HZ,
            NETWORK_HZ,
            rng,
            columns=columns,
        )
    return sewn(takes, edges, overlap)


def artefacts(
    contacts: Implantation, plan: SpesPlan, sampling_hz: float, rng: np.random.Generator
) -> Iterator[tuple[int, Array]]:
    """What the current itself leaves at the contacts: of every pulse the first sample, and microvolts from there on.

    The potential of two points of current falls with distance (`CONDUCTIVITY_S_PER_M`); the amplifier's low-pass makes
    a spike of some milliseconds of the biphasic pulse, polarised electrodes discharge after it, and the stimulated
    contacts themselves are off the scale. All turn over with polarity.

    Yields
    ------
    first : int
    potentials : array, shape (n_times, n_contacts)
    """
    after = np.arange(round(6.0 * SWITCHED_S * sampling_hz)) / sampling_hz
    tail = DISCHARGE * np.exp(-after / DISCHARGE_S)
    spike = _spike(sampling_hz)
    tail[: len(spike)] += spike
    for onset, pair in zip(plan.onsets_s, plan.pairs, strict=True):
        volts = bipole_potential(contacts.positions_mm, contacts.positions_mm[pair], plan.current_a)
        size = 1e6 * volts * (1.0 + 0.03 * rng.standard_normal())
        out = tail[:, None] * size
        returned = SWITCHED_UV * rng.uniform(0.7, 1.3, 2) * [1.0, -1.0]
        out[:, pair] += np.exp(-after / SWITCHED_S)[:, None] * returned
        yield round(float(onset) * sampling_hz), out


def bipole_potential(positions_mm: Array, bipole_mm: Array, current_a: float) -> Array:
    """Volts at points while current flows from the first to the second point of a bipole, shape (n_points,)."""
    metres = np.linalg.norm(positions_mm[:, None] - bipole_mm, axis=-1) / 1000.0
    near = np.maximum(metres, _CONTACT_MM / 1000.0)
    volts: Array = current_a / (4.0 * np.pi * CONDUCTIVITY_S_PER_M) * (1.0 / near[:, 0] - 1.0 / near[:, 1])
    return volts


def _choose_sites(
    contacts: Implantation, montage: Montage, wanted: SpesSize, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Bipoles in the order of the leads: most with grey matter at one contact, some in white matter only."""
    left_out = [montage.reference, *montage.bad]
    pairs = np.array([pair for pair in contacts.pairs if not np.isin(pair, left_out).any()])
    inside = np.array([all(contacts.tissue[contact] in ("GM", "WM") for contact in pair) for pair in pairs])
    middles = contacts.positions_mm[pairs].mean(axis=1)
    far = np.linalg.norm(middles - contacts.positions_mm[montage.reference], axis=1) > REFERENCE_MM
    # Few contacts may not leave enough sites in the brain and away from the reference.
    choices = (inside & far, inside, np.ones(len(pairs), bool))
    pairs = pairs[next((usable for usable in choices if usable.sum() >= wanted.n_sites), choices[-1])]
    grey = np.array([any(contacts.tissue[contact] == "GM" for contact in pair) for pair in pairs])
    n_sites = min(wanted.n_sites, len(pairs))
    n_white = int(np.clip(wanted.n_white, n_sites - grey.sum(), (~grey).sum()))
    chosen = np.r_[
        rng.choice(np.flatnonzero(grey), n_sites - n_white, replace=False),
        rng.choice(np.flatnonzero(~grey), n_white, replace=False),
    ]
    return pairs[np.sort(chosen)]


def _spike(sampling_hz: float) -> Array:
    """A biphasic pulse of size one behind the low-pass of the amplifier, from its onset on."""
    fine_hz = sampling_hz * _OVERSAMPLING
    n_phase = max(1, round(PHASE_S * fine_hz))
    pulse = np.zeros(round(0.02 * sampling_hz) * _OVERSAMPLING)
    pulse[:n_phase], pulse[n_phase : 2 * n_phase] = 1.0, -1.0
    low_pass = butter(4, LOW_PASS * sampling_hz, fs=fine_hz, output="sos")
    filtered: Array = sosfilt(low_pass, pulse)[::_OVERSAMPLING]
    return filtered
