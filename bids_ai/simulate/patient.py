"""A virtual patient: the anatomy and the connectome from which every modality of one subject is made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import grids
from bids_ai.simulate.bundles import Bundles
from bids_ai.simulate.connectome import DETOUR, Connectome, individual_connectome
from bids_ai.simulate.head import TemplateBrain
from bids_ai.simulate.lesion import random_resection
from bids_ai.simulate.parcels import Parcels, in_phantom
from bids_ai.simulate.phantom import Phantom, make_phantom
from bids_ai.simulate.plan import Subject, stream
from bids_ai.simulate.warp import SubjectWarp, random_warp

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Patient:
    """What all modalities of one subject have in common.

    Attributes
    ----------
    subject : Subject
        Label, sessions and runs.
    phantom : Phantom
        The head on the grid of its T1w image.
    warp : SubjectWarp
        Between template mm and scanner mm of the T1w.
    parcels : Parcels
        Regions, in template space.
    labels : array of int16, shape of the phantom
        Regions on the grid of the T1w: 1..n_regions, 0 outside.
    names : list of str
        Of the regions, in the order of the connectome.
    connectome : Connectome
        Of the subject, without the bundles of regions that were taken out (`silent`). Lengths are those of its bundles
        in its own brain where bundles are laid, else straight lines between the centroids there times a detour.
    bundles : Bundles, optional
        Of the group, in template space; laid only where something needs their course.
    lesion : array of bool, shape of the phantom, optional
        Resected tissue; a cavity of fluid in the images.
    """

    subject: Subject
    phantom: Phantom
    warp: SubjectWarp
    parcels: Parcels
    labels: NDArray[np.int16]
    names: list[str]
    connectome: Connectome
    bundles: Bundles | None = None
    lesion: NDArray[np.bool_] | None = None

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return self.connectome.n_regions

    @property
    def centroids_mm(self) -> Array:
        """Centroids of the regions in scanner mm of the T1w, shape (n_regions, 3)."""
        return self.warp.to_subject(self.parcels.centroids_mm)

    @property
    def silent(self) -> NDArray[np.bool_]:
        """Regions with more than half of their voxels resected: no activity of their own, shape (n_regions,)."""
        if self.lesion is None:
            return np.zeros(self.n_regions, bool)
        whole = np.bincount(self.labels.ravel(), minlength=self.n_regions + 1)[1:]
        lost = np.bincount(self.labels[self.lesion], minlength=self.n_regions + 1)[1:]
        return lost > whole / 2.0


def make_patient(
    subject: Subject,
    brain: TemplateBrain,
    parcels: Parcels,
    group: Connectome,
    seed: int,
    *,
    t1w_mm: float,
    bundles: Bundles | None = None,
) -> Patient:
    """Draw the anatomy and the connectome of one subject.

    Parameters
    ----------
    subject : Subject
    brain : TemplateBrain
        Averaged over voxels of `t1w_mm`.
    parcels : Parcels
    group : Connectome
        What subjects share, over the regions of `parcels`.
    seed : int
        Of the cohort; the subject draws from streams that bear its label.
    t1w_mm : float
        Edge of the voxels of its T1w.
    bundles : Bundles, optional
        Those of `group`; lengths are measured on them.

    Returns
    -------
    Patient
    """

    def own(name: str) -> np.random.Generator:
        return stream(seed, f"sub-{subject.label}", name)

    warp = random_warp(own("warp"))
    resection = random_resection(own("resection")) if subject.resected else None
    affine, shape = grids.t1w_grid(t1w_mm, oblique=subject.oblique)
    phantom = make_phantom(brain, warp, affine, shape, own("T1w"), resection=resection)
    lesion = None
    if resection is not None:
        lesion = (resection.share(phantom.template_points, t1w_mm) > 0.5) & phantom.brain_mask
    patient = Patient(
        subject,
        phantom,
        warp,
        parcels,
        in_phantom(parcels, phantom),
        [str(name) for name in parcels.nodes["name"]],
        individual_connectome(group, own("network")),
        bundles,
        lesion,
    )
    return replace(patient, connectome=_in_head(patient))


def _in_head(patient: Patient) -> Connectome:
    """The connectome without the regions that were taken out, with the lengths that it has in the subject's brain."""
    alive = ~patient.silent
    weights = np.where(alive[:, None] & alive, patient.connectome.weights, 0.0)
    return replace(patient.connectome, weights=weights).with_lengths(_lengths_mm(patient))


def _lengths_mm(patient: Patient) -> Array:
    """Lengths between all regions, shape (n_regions, n_regions)."""
    if patient.bundles is not None:
        return patient.bundles.lengths_mm(patient.bundles.in_subject(patient.warp), patient.n_regions)
    places = patient.centroids_mm
    return DETOUR * np.linalg.norm(places[:, None] - places[None], axis=-1)
