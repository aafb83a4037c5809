"""Where channels of an intracranial recording lie: positions, regions of an atlas, tissue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table
from bids_ai.errors import InputError
from bids_ai.stages.contact_files import read_contact_transform
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import atlas_in_template, atlas_volume, read_nodes

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.electrodes import ElectrodeTable
    from bids_ai.parcellation.contacts import ContactRegions


@dataclass(frozen=True)
class Channels:
    """Channels of a preprocessed recording and the contacts that they are made of.

    Attributes
    ----------
    table : pandas.DataFrame
        ``*_desc-preproc_channels.tsv``.
    electrodes : ElectrodeTable or None
    """

    table: pd.DataFrame
    electrodes: ElectrodeTable | None

    @classmethod
    def read(cls, context: Context, entry: Recording) -> Channels:
        """Read the channels of a preprocessed recording."""
        from bids_ai.bids.electrophysiology.electrodes import choose_electrodes

        table = read_table(context.names.path("ieeg_channels", ieeg=entry.item))
        electrodes = choose_electrodes(Path(entry.source))
        if electrodes is not None and entry.contacts_to_t1w is not None:
            electrodes = electrodes.moved(read_contact_transform(Path(entry.contacts_to_t1w)), "T1w")
        return cls(table, electrodes)

    @property
    def names(self) -> list[str]:
        """Names, (n_channels,)."""
        return [str(name) for name in self.table["name"]]

    @cached_property
    def members(self) -> list[list[str]]:
        """Contacts of every channel."""
        pairs = zip(self.table["contact_1"], self.table["contact_2"], strict=True)
        return [[name for name in pair if isinstance(name, str)] for pair in pairs]

    def members_of(self, names: Sequence[str]) -> list[list[str]]:
        """Contacts of channels by their names; a name that is no channel is a contact."""
        own = dict(zip(self.names, self.members, strict=True))
        return [own.get(name, [name]) for name in names]

    @cached_property
    def positions_mm(self) -> np.ndarray:
        """Middles of the contacts, (n_channels, 3), in the frame of the electrodes; NaN where not known."""
        return np.array([self.middle(members) for members in self.members]).reshape(-1, 3)

    def middle(self, contacts: Sequence[str]) -> np.ndarray:
        """Middle of some contacts, mm in the frame of the electrodes, shape (3,)."""
        if self.electrodes is None:
            return np.full(3, np.nan)
        return np.asarray(self.electrodes.positions_of(contacts).mean(axis=0))

    @property
    def frame(self) -> str:
        """Label of the frame, for sidecars."""
        return self.electrodes.frame.label if self.electrodes else "n/a"


@dataclass(frozen=True)
class Brain:
    """An atlas, and grey and white matter, where electrodes are looked up.

    Attributes
    ----------
    labels : nibabel image
    space : str
        ``T1w``, or the atlas's own.
    method : str
        How the atlas came there.
    tissue : tuple of bool arrays and an affine, or None
        Grey and white matter.
    """

    labels: Any
    space: str
    method: str
    tissue: tuple[np.ndarray, np.ndarray, np.ndarray] | None


def regions_of(
    context: Context,
    entry: Recording,
    atlas: str,
    names: Sequence[str],
    positions_mm: np.ndarray,
    channels: Channels,
    members: Sequence[Sequence[str]] | None = None,
) -> tuple[ContactRegions, list[str], str]:
    """Regions of an atlas that some points lie in.

    Parameters
    ----------
    context : Context
    entry : Recording
    atlas : str
        Label.
    names : sequence of str, (n_points,)
    positions_mm : array (n_points, 3)
        In the frame of the electrodes.
    channels : Channels
    members : sequence of sequences of str, (n_points,), optional
        Contacts that each point is the middle of; by default the names are those of channels and contacts.

    Returns
    -------
    regions : ContactRegions
    tissue : list of str
        Of each point (`parcellation.contacts.tissue_of_contacts`).
    method : str
        How the atlas came to the electrodes.
    """
    from bids_ai.parcellation.contact_frames import assign_in_frame
    from bids_ai.parcellation.contacts import UNKNOWN, contacts_without_regions, tissue_of_contacts

    electrodes, nodes = channels.electrodes, read_nodes(context, atlas)
    if electrodes is None:
        return contacts_without_regions(names, "There is no electrodes.tsv."), [UNKNOWN] * len(names), "none"
    own = channels.members_of(names) if members is None else members
    named = atlas in entry.named_in
    if named and entry.segmentation is not None:
        return _in_segmentation(Path(entry.segmentation), nodes, names, positions_mm)
    if named and entry.label_column is not None:
        return _labelled(electrodes, entry.label_column, nodes, names, own)
    brain = _brain(context, entry, atlas, electrodes)
    regions = assign_in_frame(names, positions_mm, electrodes.frame, brain.labels, nodes, brain.space)
    tissue = tissue_of_contacts(positions_mm, *brain.tissue) if brain.tissue else [UNKNOWN] * len(names)
    if entry.contacts_to_t1w is not None:
        _check_inside(tissue, Path(entry.contacts_to_t1w))
    if entry.label_column is not None and regions.level == "region":
        regions = _compared(regions, electrodes, entry.label_column, nodes, own)
    return regions, tissue, brain.method


def _in_segmentation(
    path: Path, nodes: pd.DataFrame, names: Sequence[str], positions_mm: np.ndarray
) -> tuple[ContactRegions, list[str], str]:
    from bids_ai.parcellation.contacts import assign_contacts, freesurfer_tissue, tissue_of_contacts
    from bids_ai.parcellation.segmentation import read_segmentation, segmentation_in_atlas

    labels, affine = read_segmentation(path)
    image, how = segmentation_in_atlas(labels, affine, nodes)
    tissue = tissue_of_contacts(positions_mm, *freesurfer_tissue(labels), affine)
    _check_inside(tissue, path)
    return assign_contacts(names, positions_mm, image, nodes), tissue, how


def _labelled(
    electrodes: ElectrodeTable, column: str, nodes: pd.DataFrame, names: Sequence[str], members: Sequence[Sequence[str]]
) -> tuple[ContactRegions, list[str], str]:
    from bids_ai.parcellation.contact_labels import regions_of_members, tissue_of_members
    from bids_ai.parcellation.contacts import regions_from_labels

    contacts = list(dict.fromkeys(name for own in members for name in own))
    rows, _ = electrodes.rows_of(contacts)
    labels, sides = (
        [None if row is None else cells[row] for row in rows]
        for cells in (electrodes.column(column), electrodes.column("hemisphere"))
    )
    single = regions_from_labels(contacts, labels, nodes, hemispheres=sides)
    tissue = tissue_of_members(dict(zip(contacts, labels, strict=True)), members)
    how = f"Regions are those that the column {column} of electrodes.tsv names; coordinates were not used."
    return regions_of_members(names, single, members), tissue, how


def _compared(
    regions: ContactRegions,
    electrodes: ElectrodeTable,
    column: str,
    nodes: pd.DataFrame,
    members: Sequence[Sequence[str]],
) -> ContactRegions:
    """Add to the notes how often coordinates and labels say the same."""
    from bids_ai.parcellation.contact_labels import agreement

    by_label, _, _ = _labelled(electrodes, column, nodes, regions.names, members)
    note = agreement(regions, by_label)
    return replace(regions, notes=(*regions.notes, f"Column {column}: {note}")) if note else regions


def _check_inside(tissue: Sequence[str], path: Path) -> None:
    """Refuse positions that are outside of the brain: a transform that goes the other way, or another frame."""
    from bids_ai.parcellation.contacts import OUT, UNKNOWN

    known = [kind for kind in tissue if kind != UNKNOWN]
    outside = sum(kind == OUT for kind in known)
    if outside > len(known) / 2:
        raise InputError(
            f"{outside} of {len(known)} channels and sites lie outside of the brain by {path}: is it of this subject, "
            "in the coordinates of the contacts (mm, RAS of the scanner), and does the transform go to the T1w?"
        )


def _brain(context: Context, entry: Recording, atlas: str, electrodes: ElectrodeTable) -> Brain:
    if electrodes.frame.scanner and entry.anat is not None:
        return _own_brain(context, entry, atlas)
    volume = atlas_volume(context, atlas)
    return Brain(volume.image, volume.space, f"{volume.label} in its own space, {volume.space}", None)


def _own_brain(context: Context, entry: Recording, atlas: str) -> Brain:
    """Bring the atlas to the T1w: native coordinates are those of its scanner."""
    from bids_ai.parcellation.spaces import warp_labels

    path, anat = context.names.path, entry.anat or ""
    labels, method = atlas_in_template(context, atlas)
    reference = nib.Nifti1Image.from_filename(path("t1w", anat=anat))
    own = warp_labels(labels, reference, [path("template_to_t1w", anat=anat)])
    grey, white = (np.asarray(nib.load(path(key, anat=anat)).dataobj) > 0.5 for key in ("gm", "wm"))  # type: ignore[attr-defined]
    sentence = f"{method} Then moved to the T1w of the subject, in whose coordinates the contacts are."
    return Brain(own, "T1w", sentence, (grey, white, np.asarray(reference.affine)))
