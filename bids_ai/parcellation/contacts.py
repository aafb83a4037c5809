"""Contacts of depth and surface electrodes to regions and tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed, name_key, side_of_name

Array = NDArray[np.floating]

#: SD and reach of what a contact hears of the cortex around it (mm): local field potentials come from within some
#: millimetres (Parvizi and Kastner 2018, doi:10.1038/s41593-018-0108-2).
SIGMA_MM = 4.0
CUT_MM = 10.0
#: Nearer than this to the other tissue is the border of grey and white matter (mm): localisation errs by as much
#: (Mercier et al. 2022, doi:10.1016/j.neuroimage.2022.119438).
BORDER_MM = 1.0
#: Farther than this from grey and white matter is out of the brain (mm). Grids lie on the pia, and brains shift.
OUT_MM = 5.0

GREY, BORDER, WHITE, OUT, UNKNOWN = "GM", "GM-WM border", "WM", "out", "unknown"

#: White and grey labels of FreeSurfer's aseg and aparc+aseg volumes.
FREESURFER_WHITE = (2, 41, 77, 251, 252, 253, 254, 255, 7, 46)
FREESURFER_GREY = (3, 42, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58, 28, 60)


@dataclass(frozen=True)
class ContactRegions:
    """Which regions contacts (or the middles of bipoles) lie in.

    Attributes
    ----------
    names : tuple of str
        Of the contacts, (n_contacts,).
    regions : tuple of str
        (n_regions,).
    weights : array (n_contacts, n_regions)
        Share of each region; rows sum to 1, or to 0 for a contact without a region.
    nearest : int array (n_contacts,)
        Column of the nearest region within reach; -1 where there is none.
    distance_mm : array (n_contacts,)
        To the middle of its nearest voxel; NaN where there is none, or where labels were supplied.
    level : {"region", "contact"}
        ``contact``: no region could be told for any contact, and only analyses of contacts are possible.
    notes : tuple of str
        What a reader of the report should know.
    """

    names: tuple[str, ...]
    regions: tuple[str, ...]
    weights: Array
    nearest: NDArray[np.intp]
    distance_mm: Array
    level: str
    notes: tuple[str, ...] = ()

    def nearest_names(self) -> list[str | None]:
        """Nearest region of every contact, None where there is none."""
        return [self.regions[column] if column >= 0 else None for column in self.nearest]

    def one_each(self) -> Array:
        """Weights of the simple rule: 1 for the nearest region, shape (n_contacts, n_regions)."""
        weights = np.zeros_like(self.weights)
        inside = np.flatnonzero(self.nearest >= 0)
        weights[inside, self.nearest[inside]] = 1.0
        return weights

    def table(self) -> pd.DataFrame:
        """One row for each contact: ``name region distance share`` (of the region with the largest weight)."""
        largest = self.weights.max(axis=1) if self.weights.shape[1] else np.zeros(len(self.names))
        columns = {"name": list(self.names), "region": self.nearest_names(), "distance": self.distance_mm}
        return pd.DataFrame(columns | {"share": np.where(largest > 0, largest, np.nan)})


def assign_contacts(
    names: Sequence[str],
    positions_mm: Array,
    labels: nib.Nifti1Image,
    nodes: pd.DataFrame,
    *,
    sigma_mm: float = SIGMA_MM,
    cut_mm: float = CUT_MM,
) -> ContactRegions:
    """Share contacts out among the regions around them.

    The weight of a region is the sum of exp(-d^2 / (2 sigma^2)) over its voxels within reach, divided by that over all
    regions.

    Parameters
    ----------
    names : sequence of str, (n_contacts,)
    positions_mm : array (n_contacts, 3)
        RAS in the frame of `labels`; NaN where not known. Of a bipole, its middle.
    labels : nibabel image
        Integer labels; 0 is background.
    nodes : pandas.DataFrame
        Node table; other labels of the volume (white matter) do not count.
    sigma_mm, cut_mm : float

    Returns
    -------
    ContactRegions

    Raises
    ------
    InputError
        If names and positions do not agree, or the widths are not positive.
    """
    positions = np.asarray(positions_mm, dtype=float)
    if positions.shape != (len(names), 3):
        raise InputError(f"Positions of {len(names)} contacts: shape ({len(names)}, 3) wanted, got {positions.shape}.")
    if sigma_mm <= 0 or cut_mm <= 0:
        raise InputError(f"Widths of the assignment must be positive, got sigma {sigma_mm:g} and cut {cut_mm:g} mm.")
    regions = tuple(str(name) for name in nodes["name"])
    volume = _columns(np.asanyarray(labels.dataobj), nodes["index"].to_numpy())
    weights, distance = np.zeros((len(names), len(regions))), np.full(len(names), np.nan)
    nearest = np.full(len(names), -1, dtype=np.intp)
    for contact in np.flatnonzero(np.isfinite(positions).all(axis=1)):
        found, apart = _around(volume, np.asarray(labels.affine), positions[contact], cut_mm)
        inside = found >= 0
        found, apart = found[inside], apart[inside]
        if not len(found):
            continue
        share = np.bincount(found, np.exp(-0.5 * (apart / sigma_mm) ** 2), len(regions))
        weights[contact] = share / share.sum()
        closest = int(np.argmin(apart))
        nearest[contact], distance[contact] = found[closest], apart[closest]
    notes = _notes(names, positions, nearest, cut_mm)
    level = "region" if (nearest >= 0).any() else "contact"
    return ContactRegions(tuple(names), regions, weights, nearest, distance, level, notes)


def contacts_without_regions(names: Sequence[str], reason: str) -> ContactRegions:
    """Contacts whose regions cannot be told: only analyses at their own level are possible.

    Parameters
    ----------
    names : sequence of str
    reason : str
        Why, as a sentence.

    Returns
    -------
    ContactRegions
        No regions, ``level`` is ``contact``.
    """
    n = len(names)
    note = f"{reason} {n} contacts have no region: analyses stay at the level of contacts."
    none = np.full(n, -1, dtype=np.intp)
    return ContactRegions(tuple(names), (), np.zeros((n, 0)), none, np.full(n, np.nan), "contact", (note,))


def regions_from_labels(
    names: Sequence[str],
    supplied: Sequence[str | None],
    nodes: pd.DataFrame | None = None,
    *,
    hemispheres: Sequence[str | None] | None = None,
) -> ContactRegions:
    """Take the regions that a dataset supplies (such as the column ``Destrieux_label_text``).

    Parameters
    ----------
    names : sequence of str, (n_contacts,)
    supplied : sequence of str or None, (n_contacts,)
        White matter and unknown are no region.
    nodes : pandas.DataFrame, optional
        Node table to bring them to, by names and their aliases or by labels; by default every supplied label is a
        region, in alphabetical order.
    hemispheres : sequence of str or None, optional
        ``L`` or ``R``, for labels that name no side: those of ds004080 are the same on both, and become ``lh_`` or
        ``rh_`` and the label.

    Returns
    -------
    ContactRegions
        With weights of 0 and 1.

    Raises
    ------
    InputError
        If not one of the labels is in the node table, or labels are numbers of which nobody can tell what they count:
        41 is white matter in FreeSurfer's volumes, and a sulcus in the list of Destrieux's regions.
    """
    _check_numbers(supplied, nodes)
    labels = _grey_labels(supplied, hemispheres)
    if nodes is None:
        regions = tuple(sorted({label for label in labels if label}))
        column = {label: position for position, label in enumerate(regions)}
        rows = [column[label] if label else -1 for label in labels]
    else:
        regions = tuple(str(name) for name in nodes["name"])
        rows = [-1 if row is None else row for row in labels_in_atlas(supplied, nodes, hemispheres)]
    nearest = np.array(rows, dtype=np.intp)
    lost = sorted({str(label) for label, row in zip(labels, rows, strict=True) if label and row < 0})
    if lost and not (nearest >= 0).any():
        raise InputError(
            f"None of the {len(lost)} supplied labels ({listed(lost, 4)}) is a region of the atlas "
            f"({listed(regions, 4)}). "
            "Choose the atlas that they come from, or assign contacts by their positions."
        )
    weights = np.zeros((len(names), len(regions)))
    inside = np.flatnonzero(nearest >= 0)
    weights[inside, nearest[inside]] = 1.0
    notes = [f"Regions of {len(inside)} of {len(names)} contacts were taken from labels that the dataset supplies."]
    if lost:
        notes.append(f"Supplied labels that are no region of the atlas: {listed(lost)}.")
    level = "region" if len(inside) else "contact"
    return ContactRegions(tuple(names), regions, weights, nearest, np.full(len(names), np.nan), level, tuple(notes))


def labels_in_atlas(
    supplied: Sequence[str | None], nodes: pd.DataFrame, hemispheres: Sequence[str | None] | None = None
) -> list[int | None]:
    """Rows of a node table that labels name, by names, their aliases, or numbers.

    Parameters
    ----------
    supplied, nodes, hemispheres
        See `regions_from_labels`.

    Returns
    -------
    list of int or None, (n_contacts,)
        None where the label names no grey matter, -1 where it is no region of the atlas.
    """
    return [_column_of(label, nodes) if label else None for label in _grey_labels(supplied, hemispheres)]


def tissue_of_contacts(
    positions_mm: Array, grey: NDArray[np.bool_], white: NDArray[np.bool_], affine: Array
) -> list[str]:
    """Tissue that contacts lie in.

    Parameters
    ----------
    positions_mm : array (n_contacts, 3)
        RAS in the frame of the masks; NaN where not known.
    grey, white : bool array (i, j, k)
    affine : array (4, 4)
        Voxel to mm.

    Returns
    -------
    list of str
        ``GM``, ``WM``, ``GM-WM border`` where both are equally near (within 1 mm), ``out`` where both are more than
        5 mm away, ``unknown`` without a position.
    """
    volume = np.where(grey, 0, np.where(white, 1, -1))
    reach = OUT_MM + BORDER_MM
    tissues = []
    for position in np.asarray(positions_mm, dtype=float):
        if not np.isfinite(position).all():
            tissues.append(UNKNOWN)
            continue
        kinds, apart = _around(volume, np.asarray(affine), position, reach)
        to_grey, to_white = (float(apart[kinds == kind].min(initial=np.inf)) for kind in (0, 1))
        if min(to_grey, to_white) > OUT_MM:
            tissues.append(OUT)
        elif abs(to_grey - to_white) <= BORDER_MM:
            tissues.append(BORDER)
        else:
            tissues.append(GREY if to_grey < to_white else WHITE)
    return tissues


def freesurfer_tissue(labels: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Grey and white matter of an aseg or aparc+aseg volume.

    Parameters
    ----------
    labels : int array (i, j, k)

    Returns
    -------
    grey, white : bool array (i, j, k)
    """
    white = np.isin(labels, FREESURFER_WHITE) | ((labels >= 3000) & (labels < 5003))
    cortex = ((labels >= 1000) & (labels < 3000)) | ((labels >= 11100) & (labels < 13000))
    return np.isin(labels, FREESURFER_GREY) | cortex, white


def tissue_of_label(label: str) -> str:
    """Tissue that a label names: FreeSurfer's numbers, or words.

    Parameters
    ----------
    label : str
        Such as ``Right_Cerebral_White_Matter``, ``41``, ``lh_G_cuneus``, ``Unknown``.

    Returns
    -------
    {"GM", "WM", "out"}
        A label that names neither white matter nor nothing is a grey region.
    """
    text = label.strip().lower().replace("-", "_").replace(" ", "_")
    if text.isdigit():
        number = int(text)
        return WHITE if number in FREESURFER_WHITE or 3000 <= number < 5003 else OUT if number == 0 else GREY
    if any(word in text for word in ("white_matter", "wm_", "corpuscallosum", "hypointensit", "cc_")):
        return WHITE
    nowhere = ("unknown", "n/a", "none", "csf", "medial_wall", "ventricle", "inf_lat_vent", "outside", "vessel")
    return OUT if not text or any(word in text for word in nowhere) else GREY


def _check_numbers(supplied: Sequence[str | None], nodes: pd.DataFrame | None) -> None:
    numbers = [int(label) for label in supplied if label and label.strip().isdigit()]
    # FreeSurfer's cortical labels are above 1000, positions in a list of regions are not.
    if numbers and max(numbers) < 1000 and nodes is None:
        raise InputError(
            f"The supplied labels are numbers from {min(numbers)} to {max(numbers)}, which may be FreeSurfer's or "
            "positions in a list of regions. Use the column with names (such as Destrieux_label_text)."
        )


def _grey_labels(supplied: Sequence[str | None], hemispheres: Sequence[str | None] | None) -> list[str | None]:
    """Labels with their side; None for white matter and what is no region."""
    sided = _with_side(supplied, hemispheres or [None] * len(supplied))
    return [None if label is None or tissue_of_label(label) in (WHITE, OUT) else label.strip() for label in sided]


def _with_side(supplied: Sequence[str | None], hemispheres: Sequence[str | None]) -> list[str | None]:
    sides = {"L": "lh_", "R": "rh_"}
    return [
        f"{sides[side.upper()]}{label.strip()}"
        if label and side and side.upper() in sides and not label.strip().isdigit() and side_of_name(label) is None
        else label
        for label, side in zip(supplied, hemispheres, strict=True)
    ]


def _columns(volume: NDArray[np.integer], index: NDArray[np.integer]) -> NDArray[np.integer]:
    """Row of the node table for every voxel; -1 for the others."""
    lookup = np.full(max(int(volume.max()), int(index.max())) + 1, -1, dtype=np.int32)
    lookup[index] = np.arange(len(index))
    lookup[0] = -1
    columns: NDArray[np.integer] = lookup[np.maximum(volume.astype(np.int64), 0)]
    return columns


def _around(
    volume: NDArray[np.integer], affine: Array, position: Array, reach_mm: float
) -> tuple[NDArray[np.integer], Array]:
    """Values and distances (mm) of the voxels whose middles are within reach of a position."""
    inverse = np.linalg.inv(affine)
    centre = inverse[:3, :3] @ position + inverse[:3, 3]
    # The sphere reaches so many voxels along each axis of the grid.
    half = reach_mm * np.linalg.norm(inverse[:3, :3], axis=1)
    first = np.maximum(np.ceil(centre - half), 0).astype(int)
    last = np.minimum(np.floor(centre + half), np.array(volume.shape[:3]) - 1).astype(int)
    if (last < first).any():
        return np.zeros(0, dtype=int), np.zeros(0)
    part = volume[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))]
    grid = np.argwhere(np.ones(part.shape, dtype=bool)) + first
    apart = np.linalg.norm((grid - centre) @ affine[:3, :3].T, axis=1)
    near = apart <= reach_mm
    return part.reshape(-1)[near], apart[near]


def _column_of(label: str, nodes: pd.DataFrame) -> int:
    """Row of a region by its name, an alias, or its number; -1 where there is none or not one."""
    names = nodes["name"].tolist()
    if label in names:
        return names.index(label)
    alike = [row for row, name in enumerate(names) if name_key(name) == name_key(label)]
    if not alike and label.isdigit():
        alike = np.flatnonzero(nodes["index"].to_numpy() == int(label)).tolist()
    return alike[0] if len(alike) == 1 else -1


def _notes(names: Sequence[str], positions: Array, nearest: NDArray[np.intp], cut_mm: float) -> tuple[str, ...]:
    known = [bool(np.isfinite(place).all()) for place in positions]
    notes = []
    if not all(known):
        which = [name for name, fine in zip(names, known, strict=True) if not fine]
        notes.append(f"Contacts without coordinates, and so without a region: {listed(which)}.")
    far = [name for name, fine, column in zip(names, known, nearest, strict=True) if fine and column < 0]
    if far:
        notes.append(f"Contacts with no region within {cut_mm:g} mm: {listed(far)}.")
    return tuple(notes)
