"""Depth leads (SEEG) in the brain of a virtual patient: where their contacts lie, in which tissue and region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.simulate.head import sample
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: Contacts of a depth lead: length, diameter and the distance between their middles, mm. Usual leads have 5 to 18
#: contacts of this size; Cossu et al. 2005, doi:10.1227/01.NEU.0000176656.33523.1e.
CONTACT_MM = 2.0
DIAMETER_MM = 0.8
SPACING_MM = 3.5
#: Surface of a contact, mm2.
SURFACE_MM2 = round(float(np.pi * DIAMETER_MM * CONTACT_MM), 2)
#: The surgeon misses a planned target by so much, mm (SD), and its direction by so much (SD of each component).
_TARGET_SD_MM, _DIRECTION_SD = 1.5, 0.04
#: Regions of a contact: a Gaussian of this SD, cut off, mm. Farther than the cut a contact belongs to none.
SHARE_SD_MM, SHARE_CUT_MM = 4.0, 10.0
TISSUES = ("GM", "WM", "CSF")
#: A lead that has crossed less brain than this is no depth lead.
_LEAST_CONTACTS = 5


@dataclass(frozen=True)
class Trajectory:
    """A planned lead of the right hemisphere; mirrored for the left.

    Attributes
    ----------
    name : str
        Letters after those of the side.
    target_mm : tuple of float
        Template mm.
    outwards : tuple of float
        Direction from the target to the entry.
    """

    name: str
    target_mm: tuple[float, float, float]
    outwards: tuple[float, float, float]


#: Usual targets, from the lateral side (orthogonal implantation after Talairach); mm in MNI space.
TRAJECTORIES = (
    Trajectory("A", (22.0, -4.0, -19.0), (1.0, 0.0, 0.05)),  # amygdala
    Trajectory("B", (27.0, -18.0, -18.0), (1.0, 0.0, 0.08)),  # head of the hippocampus
    Trajectory("CA", (6.0, 34.0, 20.0), (1.0, 0.0, 0.15)),  # anterior cingulate
    Trajectory("CP", (6.0, -46.0, 28.0), (1.0, 0.0, 0.05)),  # posterior cingulate
    Trajectory("OF", (14.0, 36.0, -14.0), (1.0, 0.15, 0.2)),  # orbitofrontal
    Trajectory("C", (28.0, -33.0, -7.0), (1.0, 0.0, 0.0)),  # tail of the hippocampus
    Trajectory("V", (10.0, -78.0, 4.0), (1.0, -0.1, 0.05)),  # calcarine
    Trajectory("I", (37.0, 4.0, 2.0), (1.0, 0.1, 0.2)),  # insula
    Trajectory("P", (8.0, -62.0, 42.0), (1.0, -0.05, 0.25)),  # precuneus
    Trajectory("M", (7.0, -4.0, 58.0), (1.0, 0.0, 0.45)),  # supplementary motor
    Trajectory("H", (40.0, -20.0, 8.0), (1.0, -0.05, 0.15)),  # Heschl
    Trajectory("TP", (33.0, 12.0, -30.0), (1.0, 0.1, 0.1)),  # temporal pole
)


@dataclass(frozen=True)
class ImplantationSize:
    """How much is implanted: leads, of these on the other side, and the fewest and most contacts of a lead."""

    n_leads: int
    n_opposite: int
    contacts: tuple[int, int]


IMPLANTATIONS = {
    "tiny": ImplantationSize(2, 0, (5, 5)),
    "small": ImplantationSize(4, 1, (8, 12)),
    "full": ImplantationSize(12, 4, (8, 12)),
}


@dataclass(frozen=True)
class Implantation:
    """The contacts of a patient, lead by lead, the deepest first.

    Attributes
    ----------
    names : list of str
        ``LA1``: side, lead, number from the tip.
    lead : list of str
        Name of the lead of every contact.
    positions_mm, template_mm : array, shape (n_contacts, 3)
        Middles of the contacts: scanner mm (RAS) of the T1w, and mm of the template.
    outwards : array, shape (n_contacts, 3)
        Direction of the lead, T1w.
    fractions : array, shape (n_contacts, 3)
        Share of grey matter, white matter and fluid along the contact.
    tissue : list of str
        The largest of them; ``outside`` where less than half is brain.
    region : array of int, shape (n_contacts,)
        Row of the region of the nearest grey matter; -1 where there is none within `SHARE_CUT_MM`.
    region_distance_mm : array, shape (n_contacts,)
        Distance to it; NaN where there is none.
    shares : array, shape (n_contacts, n_regions)
        Of the grey matter around a contact, by a Gaussian of its distance; rows sum to one, or are zero.
    """

    names: list[str]
    lead: list[str]
    positions_mm: Array
    template_mm: Array
    outwards: Array
    fractions: Array
    tissue: list[str]
    region: NDArray[np.intp]
    region_distance_mm: Array
    shares: Array

    def __len__(self) -> int:
        return len(self.names)

    @property
    def hemisphere(self) -> list[str]:
        """``L`` or ``R`` of every contact."""
        return [name[0] for name in self.names]

    @property
    def pairs(self) -> NDArray[np.intp]:
        """Neighbours on one lead, shape (n_pairs, 2): the bipoles."""
        return np.array([(k, k + 1) for k in range(len(self) - 1) if self.lead[k] == self.lead[k + 1]])


def implant(patient: Patient, rng: np.random.Generator, *, size: str = "small") -> Implantation:
    """Implant depth leads.

    Parameters
    ----------
    patient : Patient
    rng : numpy Generator
    size : str
        ``"tiny"`` (2 leads of 5 contacts), ``"small"`` (4 leads, about 40 contacts), ``"full"`` (12 leads, about 120).

    Returns
    -------
    Implantation

    Raises
    ------
    InputError
        When there is no such size.
    """
    if size not in IMPLANTATIONS:
        raise InputError(f"Size of the implantation: one of {', '.join(IMPLANTATIONS)} is wanted, got {size!r}.")
    plan = IMPLANTATIONS[size]
    main = int(rng.choice([-1, 1]))
    chosen = rng.permutation(len(TRAJECTORIES))[: plan.n_leads]
    sides = [main] * (plan.n_leads - plan.n_opposite) + [-main] * plan.n_opposite
    leads = [
        _lead(patient, TRAJECTORIES[which], side, plan.contacts, rng) for which, side in zip(chosen, sides, strict=True)
    ]
    names = [f"{name}{number + 1}" for name, points, _ in leads for number in range(len(points))]
    positions = np.concatenate([points for _, points, _ in leads])
    outwards = np.concatenate([np.tile(direction, (len(points), 1)) for _, points, direction in leads])
    fractions = tissue_fractions(patient, positions, outwards)
    region, distance, shares = regions_near(patient, positions)
    return Implantation(
        names,
        [name for name, points, _ in leads for _ in points],
        positions,
        patient.warp.to_template(positions),
        outwards,
        fractions,
        [TISSUES[row.argmax()] if row.sum() >= 0.5 else "outside" for row in fractions],
        region,
        distance,
        shares,
    )


def tissue_fractions(patient: Patient, positions_mm: Array, outwards: Array) -> Array:
    """Mean share of GM, WM and CSF along the contacts, shape (n_contacts, 3)."""
    along = np.linspace(-0.5, 0.5, 5)[:, None, None] * CONTACT_MM * outwards
    points = positions_mm + along
    maps = [sample(patient.phantom.fractions[name], patient.phantom.affine, points) for name in TISSUES]
    return np.stack([part.mean(axis=0) for part in maps], axis=-1)


def regions_near(patient: Patient, positions_mm: Array) -> tuple[NDArray[np.intp], Array, Array]:
    """Nearest region, its distance, and the shares of regions around every contact (see `Implantation`)."""
    points, grey, region = grey_voxels(patient)
    nearest = np.full(len(positions_mm), -1)
    distance = np.full(len(positions_mm), np.nan)
    shares = np.zeros((len(positions_mm), patient.n_regions))
    for number, position in enumerate(positions_mm):
        apart = np.linalg.norm(points - position, axis=1)
        near = np.flatnonzero(apart <= SHARE_CUT_MM)
        # Of voxels that are grey for less than half the nearest says little.
        mostly = near[grey[near] > 0.5]
        if len(mostly):
            closest = mostly[apart[mostly].argmin()]
            nearest[number], distance[number] = region[closest], apart[closest]
        weight = grey[near] * np.exp(-0.5 * (apart[near] / SHARE_SD_MM) ** 2)
        share = np.bincount(region[near], weight, patient.n_regions)
        shares[number] = share / max(share.sum(), 1e-12)
    return nearest, distance, shares


def grey_voxels(patient: Patient) -> tuple[Array, Array, NDArray[np.intp]]:
    """Labelled voxels with grey matter: places in scanner mm, grey share, and row of the region."""
    grey = patient.phantom.fractions["GM"]
    voxels = np.argwhere((patient.labels > 0) & (grey > 0.05))
    at = tuple(voxels.T)
    points = apply_affine(patient.phantom.affine, voxels.astype(float))
    return points, grey[at].astype(float), patient.labels[at].astype(np.intp) - 1


def _lead(
    patient: Patient, planned: Trajectory, side: int, contacts: tuple[int, int], rng: np.random.Generator
) -> tuple[str, Array, Array]:
    """Name, middles of the contacts (T1w mm) and direction of a lead; it is straight in the patient's own head."""
    mirror = np.array([side, 1.0, 1.0])
    target = np.array(planned.target_mm) * mirror + _TARGET_SD_MM * rng.standard_normal(3)
    direction = np.array(planned.outwards) * mirror + _DIRECTION_SD * rng.standard_normal(3)
    tip, ahead = patient.warp.to_subject(np.stack([target, target + 30.0 * direction]))
    outwards = (ahead - tip) / np.linalg.norm(ahead - tip)
    fewest, most = contacts
    room = int(_brain_along(patient, tip, outwards) // SPACING_MM) + 1
    if room < _LEAST_CONTACTS:
        raise InputError(
            f"Lead {planned.name}: {_LEAST_CONTACTS} contacts are wanted between target and surface of the brain, "
            f"{room} find room. Give the phantom of the same patient, or another seed."
        )
    number = min(max(room, fewest), most)
    points = tip + SPACING_MM * np.arange(number)[:, None] * outwards
    return ("L" if side < 0 else "R") + planned.name, points, outwards


def _brain_along(patient: Patient, tip: Array, outwards: Array) -> float:
    """Length of the brain from a point to where a ray leaves it for the skull, mm."""
    reach = np.arange(0.0, 100.0, 0.5)
    inside = sample(patient.phantom.fractions["brain"], patient.phantom.affine, tip + reach[:, None] * outwards) > 0.5
    return float(reach[np.flatnonzero(inside)[-1]]) if inside.any() else 0.0
