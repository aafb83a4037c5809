"""One resting EEG as an amplifier gives it, with everything it was made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfiltfilt

from bids_ai.errors import InputError
from bids_ai.simulate import eeg_artefacts as artefacts
from bids_ai.simulate import eeg_rhythm as rhythm
from bids_ai.simulate.eeg_artefacts import Artefact, Clock
from bids_ai.simulate.eeg_forward import Leadfield, cortical_sheet, leadfield
from bids_ai.simulate.eeg_head import head_shells
from bids_ai.simulate.eeg_montage import Cap, fit_cap
from bids_ai.simulate.eeg_topographies import Topographies, extracerebral_topographies, referenced
from bids_ai.simulate.neural import regional_columns, rest_activity
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import entities, stream

Array = NDArray[np.floating]

#: The amplifier: a first-order high-pass, Hz, and a low-pass without phase at this share of the sampling rate.
HIGH_PASS_HZ, LOW_PASS_SHARE = 0.1, 0.4
#: Beyond this, microvolts, it saturates: what 16 bits hold at a tenth of a microvolt.
RANGE_UV = 3276.0
#: What is wrong with the bad channel.
BAD_KINDS = ("flat", "noisy")


@dataclass(frozen=True)
class EegSize:
    """How long and how fine a recording is.

    Attributes
    ----------
    duration_s, sampling_hz : float
    block_s : float
        Eyes are closed, then open, for this long each.
    n_vertices : int
        Of each shell of the head.
    block_mm : float
        Dipoles of one region within a block of this edge are one.
    """

    duration_s: float
    sampling_hz: float
    block_s: float
    n_vertices: int
    block_mm: float


EEG_SIZES = {
    "tiny": EegSize(20.0, 100.0, 10.0, 162, 10.0),
    "small": EegSize(120.0, 250.0, 30.0, 400, 8.0),
    "full": EegSize(300.0, 500.0, 30.0, 642, 6.0),
}


@dataclass(frozen=True)
class EegHead:
    """What all EEGs of one subject share.

    Attributes
    ----------
    cap : Cap
    field : Leadfield
    posterior : array, shape (n_dipoles,)
        How far the alpha of a dipole is that of the occiput.
    topographies : Topographies
        Of eyes and muscles.
    """

    cap: Cap
    field: Leadfield
    posterior: Array
    topographies: Topographies


@dataclass(frozen=True)
class EegRecording:
    """A recording and its truth; series are referenced and as the amplifier passes them, microvolts, unless said.

    Attributes
    ----------
    clock : Clock
    signal_uv : array, shape (n_times, n_channels)
        What is recorded.
    brain_uv : array, shape (n_times, n_channels)
        The part of the brain in it, with a good electrode in place of the bad one.
    activity_mv : array, shape (n_times, n_regions)
        Of the network.
    emission : Emission
        Of regions.
    artefacts : tuple of Artefact
        Before reference and amplifier.
    bad_channel : int
    bad_kind : str
    """

    clock: Clock
    signal_uv: Array
    brain_uv: Array
    activity_mv: Array
    emission: rhythm.Emission
    artefacts: tuple[Artefact, ...]
    bad_channel: int
    bad_kind: str


def eeg_size(name: str) -> EegSize:
    """The size of that name.

    Raises
    ------
    InputError
        When there is none.
    """
    if name not in EEG_SIZES:
        raise InputError(f"Size of the EEG: one of {', '.join(EEG_SIZES)} is wanted, got {name!r}.")
    return EEG_SIZES[name]


def eeg_head(patient: Patient, seed: int, size: EegSize) -> EegHead:
    """Cap, leadfield and the places of eyes and muscles of one subject.

    Parameters
    ----------
    patient : Patient
    seed : int
    size : EegSize
    """
    shells = head_shells(patient.phantom, size.n_vertices)
    cap = fit_cap(patient.phantom, patient.warp)
    sheet = cortical_sheet(patient.phantom, patient.labels, patient.n_regions, shells, size.block_mm)
    field = leadfield(sheet, cap, shells)
    posterior = rhythm.posterior_weight(patient.warp.to_template(sheet.positions_mm))
    rng = stream(seed, f"sub-{patient.subject.label}", "eeg", "topographies")
    return EegHead(cap, field, posterior, extracerebral_topographies(patient.phantom, patient.warp, cap, rng))


def record_eeg(
    patient: Patient, head: EegHead, seed: int, size: EegSize, *, session: str | None = None
) -> EegRecording:
    """Record a resting EEG with closed and open eyes.

    Parameters
    ----------
    patient : Patient
    head : EegHead
    seed : int
    size : EegSize
    session : str, optional
        Sessions differ in everything but the head and its network.

    Returns
    -------
    EegRecording
    """

    def own(name: str) -> np.random.Generator:
        return stream(seed, entities(patient.subject, session), "eeg", name)

    n_times = round(size.duration_s * size.sampling_hz)
    clock = Clock(n_times, size.sampling_hz, rhythm.eye_blocks(size.duration_s, size.block_s))
    activity = network_activity(patient, seed, size, own("rest"))
    gain = rhythm.posterior_gain(clock.blocks, n_times, size.sampling_hz)
    emission = rhythm.emission(activity, gain, head.field.sheet.region_mm2, size.sampling_hz)
    brain = emission.potential_uv(head.field, head.posterior)
    brain += rhythm.background(head.field, n_times, size.sampling_hz, own("background"))

    others = _artefacts(clock, head.topographies, own)
    n_channels, n_sites = len(head.cap.names), head.field.regions.shape[1]
    picked_up = brain + sum(other.potential_uv for other in others)
    picked_up += sum(artefacts.electrode_noise(clock, n_sites, own("electrodes")).values())
    rng = own("bad_channel")
    bad_channel, bad_kind = int(rng.integers(n_channels)), str(rng.choice(BAD_KINDS))
    signal = artefacts.spoiled(referenced(picked_up, n_channels), bad_channel, bad_kind, clock, rng)
    return EegRecording(
        clock,
        amplified(signal, size.sampling_hz),
        amplified(referenced(brain, n_channels), size.sampling_hz),
        activity,
        emission,
        others,
        bad_channel,
        bad_kind,
    )


def amplified(series_uv: Array, sampling_hz: float) -> Array:
    """What an amplifier passes, settled at its first sample; shape (n_times, n_channels)."""
    sections = butter(4, LOW_PASS_SHARE * sampling_hz, fs=sampling_hz, output="sos")
    smooth = sosfiltfilt(sections, series_uv - series_uv[:1], axis=0)
    b, a = butter(1, HIGH_PASS_HZ, btype="highpass", fs=sampling_hz)
    passed: Array = np.clip(lfilter(b, a, smooth, axis=0), -RANGE_UV, RANGE_UV)
    return passed


def network_activity(patient: Patient, seed: int, size: EegSize, rng: np.random.Generator) -> Array:
    """Activity of the network, mV; silent where the cortex is gone."""
    columns = regional_columns(
        patient.n_regions,
        stream(seed, f"sub-{patient.subject.label}", "columns"),
        centroids_mm=patient.parcels.centroids_mm,
    )
    gone = patient.silent
    weights = np.where(gone[:, None] | gone, 0.0, patient.connectome.weights)
    rest = replace(patient.connectome, weights=weights)
    activity = rest_activity(rest, size.duration_s, size.sampling_hz, rng, columns=columns)
    activity[:, gone] = 0.0
    return activity


def _artefacts(
    clock: Clock, topographies: Topographies, own: Callable[[str], np.random.Generator]
) -> tuple[Artefact, ...]:
    return (
        artefacts.blinks(clock, topographies.blink, own("blinks")),
        artefacts.eye_movements(clock, topographies.sideways, topographies.upwards, own("eye_movements")),
        artefacts.muscle(clock, topographies.muscle, topographies.muscle_side, own("muscle")),
    )
