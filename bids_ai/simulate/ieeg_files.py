"""SEEG of a virtual patient as BIDS files: at rest and under single-pulse electrical stimulation, and the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.brainvision import write_brainvision
from bids_ai.errors import InputError
from bids_ai.simulate import ieeg_sidecars as sidecars
from bids_ai.simulate import ieeg_truth
from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.electrodes import Implantation, implant
from bids_ai.simulate.folder import write_json, write_table
from bids_ai.simulate.neural import Columns, regional_columns, rest_activity, true_responses
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import entities, folder, stream
from bids_ai.simulate.seeg import (
    NETWORK_HZ,
    RESOLUTION_UV,
    Amplifier,
    Montage,
    Surroundings,
    choose_montage,
    contact_gains,
    upsampled,
)
from bids_ai.simulate.spes import FULL_DOSE, SpesPlan, artefacts, plan_spes, site_doses, stimulated_activity

Array = NDArray[np.floating]


@dataclass(frozen=True)
class IeegSize:
    """Sampling rate (a multiple of `NETWORK_HZ`), length of the rest recording, and contacts of high impedance.

    `take_s` and `n_states` are how finely the network is simulated: see `rest_activity` and `true_responses`.
    """

    sampling_hz: float
    rest_s: float
    n_bad: int
    take_s: float = 10.0
    n_states: int = 6


IEEG_SIZES = {
    "tiny": IeegSize(512.0, 8.0, 1, take_s=2.0, n_states=2),
    "small": IeegSize(512.0, 60.0, 1),
    "full": IeegSize(2048.0, 300.0, 2, n_states=16),
}

#: Seconds after a pulse that the truth covers.
TRUTH_S = 0.6
#: Seconds of a recording that are made at once.
_PIECE_S = 20.0


@dataclass(frozen=True)
class Implanted:
    """A patient with leads: everything that the recordings are made of.

    Attributes
    ----------
    contacts : Implantation
    montage : Montage
    gains : array, shape (n_contacts, n_regions)
        Microvolts for each mV of activity.
    connectome : Connectome
        Of the living regions: resected ones are cut off.
    columns : Columns
    """

    contacts: Implantation
    montage: Montage
    gains: Array
    connectome: Connectome
    columns: Columns


def write_ieeg(
    root: Path,
    patient: Patient,
    seed: int,
    *,
    size: str = "small",
    session: str | None = None,
    convention: str = "ds004080",
) -> Implanted:
    """Write SEEG at rest and under stimulation, and the truth of both.

    ``ieeg/*_task-rest_ieeg``, ``*_task-spes_ieeg`` (BrainVision) with channels and events, ``*_electrodes.tsv`` and
    ``*_coordsystem.json``; below ``sourcedata/truth`` contacts, doses, true responses and CCEP matrices.

    Parameters
    ----------
    root : Path
        The dataset.
    patient : Patient
    seed : int
        The same seed gives the same bytes.
    size : str
        ``"tiny"`` (10 contacts, 4 sites), ``"small"`` (about 40 contacts, 15 sites, 512 Hz) or ``"full"`` (about 120
        contacts, 40 sites, 2048 Hz).
    session : str, optional
    convention : str
        How events are written: ``"ds004080"`` (ampere, no status) or ``"ds004696"`` (``4.0 mA``, status).

    Returns
    -------
    Implanted
        What the recordings were made of.

    Raises
    ------
    InputError
        When there is no such size or convention.
    """
    if size not in IEEG_SIZES:
        raise InputError(f"Size of the SEEG: one of {', '.join(IEEG_SIZES)} is wanted, got {size!r}.")
    events = sidecars.event_convention(convention)
    wanted = IEEG_SIZES[size]
    person, stem = entities(patient.subject), entities(patient.subject, session)

    def own(*names: str) -> np.random.Generator:
        return stream(seed, stem, "ieeg", *names)

    # Leads stay in from session to session.
    leads, bad = stream(seed, person, "ieeg", "leads"), stream(seed, person, "ieeg", "bad contacts")
    implanted = _implanted(patient, seed, size, leads, bad)
    plan = plan_spes(implanted.contacts, implanted.montage, own("sites"), size=size)
    doses = site_doses(patient, implanted.contacts, plan.sites, plan.current_a)
    doses[:, patient.silent] = 0.0
    network = (implanted.connectome, implanted.columns)

    where = root / folder(patient.subject, session, "ieeg")
    sidecars.write_electrodes(where, stem, implanted.contacts, sidecars.t1w_of(root, patient.subject))
    rest = rest_activity(network[0], wanted.rest_s, NETWORK_HZ, own("rest"), columns=network[1], take_s=wanted.take_s)
    noise = Surroundings(implanted.contacts, implanted.montage, wanted.sampling_hz, own("rest", "surroundings"))
    pieces = recorded(implanted, rest, noise, wanted.sampling_hz)
    _write_recording(where, f"{stem}_task-rest", implanted, pieces, wanted.sampling_hz, stimulation=None)

    activity = stimulated_activity(network[0], plan, doses, own("spes"), network[1])
    noise = Surroundings(implanted.contacts, implanted.montage, wanted.sampling_hz, own("spes", "surroundings"))
    current = artefacts(implanted.contacts, plan, wanted.sampling_hz, own("artefacts"))
    pieces = recorded(implanted, activity, noise, wanted.sampling_hz, current)
    _write_recording(where, f"{stem}_task-spes", implanted, pieces, wanted.sampling_hz, stimulation=plan)
    rows = events.rows(plan, implanted.contacts.names, wanted.sampling_hz)
    write_table(where / f"{stem}_task-spes_events.tsv", events.columns, rows)
    write_json(where / f"{stem}_task-spes_events.json", events.sidecar)

    truth = root / "sourcedata" / "truth" / folder(patient.subject, session, "ieeg")
    _write_truth(truth, stem, patient, implanted, plan, doses, rest, own("truth"), wanted.n_states)
    return implanted


def recorded(
    implanted: Implanted,
    activity: Array,
    surroundings: Surroundings,
    sampling_hz: float,
    current: Iterable[tuple[int, Array]] = (),
) -> Iterator[NDArray[np.int16]]:
    """What the amplifier gives of the activity of regions, piece by piece.

    Parameters
    ----------
    implanted : Implanted
    activity : array, shape (n_times, n_regions)
        mV at `NETWORK_HZ`.
    surroundings : Surroundings
    sampling_hz : float
    current : iterable of (int, array)
        Artefacts in order: first sample and microvolts (`artefacts`).

    Yields
    ------
    array of int16, shape (n_times, n_channels)
    """
    factor = round(sampling_hz / NETWORK_HZ)
    step = round(_PIECE_S * NETWORK_HZ)
    # The interpolation looks to both sides.
    margin = 32 if factor > 1 else 0
    amplifier, spikes = Amplifier(implanted.montage, sampling_hz), _Spikes(current)
    for first in range(0, len(activity), step):
        begin, end = max(first - margin, 0), min(first + step, len(activity))
        potentials = activity[begin : end + margin] @ implanted.gains.T
        skip = (first - begin) * factor
        piece = upsampled(potentials, factor)[skip : skip + (end - first) * factor]
        piece = piece + surroundings.next(len(piece))
        spikes.add_to(piece, first * factor)
        yield amplifier.next(piece)


class _Spikes:
    """Artefacts that are made when their piece of the record comes, and kept until they are over."""

    def __init__(self, current: Iterable[tuple[int, Array]]) -> None:
        self.coming = iter(current)
        self.present: list[tuple[int, Array]] = []

    def add_to(self, piece: Array, start: int) -> None:
        """Add what falls into a piece that starts at a sample of the record; pieces follow each other."""
        end = start + len(piece)
        while not self.present or self.present[-1][0] < end:
            following = next(self.coming, None)
            if following is None:
                break
            self.present.append(following)
        for onset, potentials in self.present:
            first, last = max(onset, start), min(onset + len(potentials), end)
            if first < last:
                piece[first - start : last - start] += potentials[first - onset : last - onset]
        self.present = [(onset, part) for onset, part in self.present if onset + len(part) > end]


def _implanted(
    patient: Patient, seed: int, size: str, leads: np.random.Generator, bad: np.random.Generator
) -> Implanted:
    contacts = implant(patient, leads, size=size)
    gains = contact_gains(patient, contacts.positions_mm)
    montage = choose_montage(contacts, gains, bad, IEEG_SIZES[size].n_bad)
    # The columns are those of the patient, whatever they are recorded with.
    columns = regional_columns(
        patient.n_regions,
        stream(seed, f"sub-{patient.subject.label}", "columns"),
        centroids_mm=patient.parcels.centroids_mm,
    )
    gone = patient.silent
    weights = np.where(gone[:, None] | gone, 0.0, patient.connectome.weights)
    gains[:, gone] = 0.0
    return Implanted(contacts, montage, gains, replace(patient.connectome, weights=weights), columns)


def _write_recording(
    where: Path,
    stem: str,
    implanted: Implanted,
    pieces: Iterator[NDArray[np.int16]],
    sampling_hz: float,
    *,
    stimulation: SpesPlan | None,
) -> None:
    contacts, montage = implanted.contacts, implanted.montage
    reference = contacts.names[montage.reference]
    names = [contacts.names[contact] for contact in montage.channels]
    n_times = write_brainvision(
        where / f"{stem}_ieeg",
        pieces,
        names=names,
        sampling_hz=sampling_hz,
        reference=reference,
        resolution_uv=RESOLUTION_UV,
    )
    sidecars.write_channels(where / f"{stem}_channels.tsv", contacts, montage, sampling_hz)
    content = sidecars.recording(contacts, montage, sampling_hz, n_times / sampling_hz, stimulation)
    write_json(where / f"{stem}_ieeg.json", content)


def _write_truth(
    where: Path,
    stem: str,
    patient: Patient,
    implanted: Implanted,
    plan: SpesPlan,
    doses: Array,
    rest: Array,
    rng: np.random.Generator,
    n_states: int,
) -> None:
    every_region = FULL_DOSE * np.diag(np.where(patient.silent, 0.0, 1.0))
    both = true_responses(
        implanted.connectome,
        np.concatenate([doses, every_region]),
        TRUTH_S,
        NETWORK_HZ,
        rng,
        columns=implanted.columns,
        n_states=n_states,
    )
    ieeg_truth.write_contacts(where, stem, implanted.contacts, implanted.montage, implanted.gains, patient.names)
    ieeg_truth.write_columns(where, stem, implanted.columns, patient.names)
    ieeg_truth.write_rest(where, stem, rest, NETWORK_HZ, patient.names)
    responses = ieeg_truth.Responses(
        of_sites=both[: len(doses)], of_regions=both[len(doses) :], sampling_hz=NETWORK_HZ, gains=implanted.gains
    )
    ieeg_truth.write_responses(
        where, stem, responses, plan, doses, implanted.contacts, implanted.montage, patient.names
    )
