"""Whether positions of contacts can be looked up in an atlas: frames, and the way from one to the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.coordinates import Frame
from bids_ai.errors import InputError
from bids_ai.parcellation.contacts import ContactRegions, assign_contacts, contacts_without_regions
from bids_ai.parcellation.mni import canonical_space

Array = NDArray[np.floating]

#: From MNI305 (fsaverage) to MNI152, mm to mm: FreeSurfer wiki, CoordinateSystems, item 8; off by some millimetres.
MNI305_TO_MNI152 = np.array(
    [
        [0.9975, -0.0073, 0.0176, -0.0429],
        [0.0146, 1.0009, -0.0024, 1.5496],
        [-0.0130, -0.0093, 0.9971, 1.1840],
        [0.0, 0.0, 0.0, 1.0],
    ]
)


class Way(NamedTuple):
    """How positions get into the frame of an atlas.

    Attributes
    ----------
    matrix : array (4, 4) or None
        mm to mm; None where there is no way.
    note : str
        For the report: what was done, or why it cannot be.
    """

    matrix: Array | None
    note: str


def way_to_atlas(frame: Frame, atlas_space: str, *, transform: Array | None = None) -> Way:
    """Tell how positions of contacts get into the frame of an atlas.

    Nothing is guessed: coordinates in an unknown frame (``Other``) are never taken for MNI, and ACPC coordinates are
    turned against the scanner by an unknown angle.

    Parameters
    ----------
    frame : Frame
        Of the positions.
    atlas_space : str
        ``T1w`` for an atlas that was brought to the subject's image, or an MNI152 variant.
    transform : array (4, 4), optional
        From the frame of the positions to that of the atlas, RAS mm, supplied by the user.

    Returns
    -------
    Way
    """
    if transform is not None:
        matrix = np.asarray(transform, dtype=float)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-3:
            raise InputError(f"The transform of contacts must be an invertible 4 x 4 matrix, got shape {matrix.shape}.")
        return Way(matrix, f"Contacts were brought from {frame.label} to {atlas_space} by the transform supplied.")
    in_subject = atlas_space == "T1w"
    if in_subject and frame.scanner:
        return Way(np.eye(4), f"Contacts ({frame.label}) were looked up in the atlas in the subject's own space.")
    if frame.kind == "template" and not in_subject:
        return _between_templates(frame.label, atlas_space)
    advice = "Supply a transform, or use labels that the dataset has for its contacts."
    if frame.kind == "unknown":
        return Way(
            None, f"The coordinate system of the contacts ({frame.label}) is not known and was not guessed. {advice}"
        )
    return Way(None, f"Contacts are in {frame.label}, the atlas in {atlas_space}, with no known way between. {advice}")


def assign_in_frame(
    names: Sequence[str],
    positions_mm: Array,
    frame: Frame,
    labels: nib.Nifti1Image,
    nodes: pd.DataFrame,
    atlas_space: str,
    *,
    transform: Array | None = None,
) -> ContactRegions:
    """Share contacts out among regions, if their frame allows it.

    Parameters
    ----------
    names, positions_mm, labels, nodes
        See `contacts.assign_contacts`.
    frame : Frame
    atlas_space, transform
        See `way_to_atlas`.

    Returns
    -------
    ContactRegions
        At the level of contacts, with the reason in its notes, where there are no positions or there is no way.
    """
    positions = np.asarray(positions_mm, dtype=float)
    if not np.isfinite(positions).all(axis=1).any():
        return contacts_without_regions(names, "No contact has coordinates.")
    way = way_to_atlas(frame, atlas_space, transform=transform)
    if way.matrix is None:
        return contacts_without_regions(names, way.note)
    moved = positions @ way.matrix[:3, :3].T + way.matrix[:3, 3]
    found = assign_contacts(names, moved, labels, nodes)
    return ContactRegions(
        found.names,
        found.regions,
        found.weights,
        found.nearest,
        found.distance_mm,
        found.level,
        (way.note, *found.notes),
    )


def _between_templates(label: str, atlas_space: str) -> Way:
    if label.lower().startswith("fsaverage") or label == "MNI305":
        note = f"Contacts were brought from {label} (MNI305) to MNI152 by FreeSurfer's matrix: off by some millimetres."
        return Way(MNI305_TO_MNI152, note)
    target = canonical_space(atlas_space)
    try:
        source = canonical_space(label, where="the contacts")
    except InputError as error:
        return Way(None, str(error))
    if source == target:
        return Way(np.eye(4), f"Contacts and atlas are in {target}.")
    note = f"Contacts in {source} were looked up in an atlas in {target} by their coordinates: off by some millimetres."
    return Way(np.eye(4), note)
