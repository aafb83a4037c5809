"""An atlas: labels, node table, space and identity, loaded by name or from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.parcellation.fetched import fetched_atlas
from bids_ai.parcellation.files import load_atlas_file
from bids_ai.parcellation.nodes import validate_nodes
from bids_ai.parcellation.published import published
from bids_ai.parcellation.registry import build_registered, registered_names


@dataclass(frozen=True)
class Atlas:
    """A label volume with all that identifies it.

    Attributes
    ----------
    entities : dict of str
        BIDS entities in order, such as ``{"atlas": "Schaefer2018", "seg": "7Networks", "scale": "100"}``.
    image : nibabel.Nifti1Image
        int16 or int32 labels; 0 is background.
    nodes : pandas.DataFrame
        Node table (`bids_ai.parcellation.nodes`); centroids in mm RAS of `space`.
    space : str
        MNI152 variant, such as ``MNI152NLin2009cAsym``.
    sha256 : str
        Of the file; of the labels and their affine for an embedded atlas.
    origin, licence, citation : str
        Where it comes from.
    notes : tuple of str
        What a reader of the report should know (regions without voxels, an inferred space).
    """

    entities: dict[str, str]
    image: nib.Nifti1Image
    nodes: pd.DataFrame
    space: str
    sha256: str
    origin: str
    licence: str
    citation: str
    notes: tuple[str, ...] = field(default=())

    @property
    def label(self) -> str:
        """BIDS name, such as ``atlas-Schaefer2018_seg-7Networks_scale-100``."""
        return "_".join(f"{key}-{value}" for key, value in self.entities.items())


def load_atlas(
    spec: str, *, cache_dir: Path, table: Path | None = None, space: str | None = None, atlas_dir: Path | None = None
) -> Atlas:
    """Load an atlas by its registered name, by the name of a published one that was fetched, or from a file.

    Parameters
    ----------
    spec : str
        Registered name (``EqualVolume:100``, ``GrownSeitzman2018``, `registered_names`), name of a fetched atlas
        (``Schaefer2018:100``), or path of a label volume (``.nii``, ``.nii.gz``).
    cache_dir : pathlib.Path
        Folder in which embedded atlases are kept once made.
    table : pathlib.Path, optional
        Region table of a file; otherwise looked for beside it.
    space : str, optional
        MNI152 variant of a file that does not state it. Embedded and fetched atlases know theirs.
    atlas_dir : pathlib.Path, optional
        Folder of fetched atlases (`bids_ai.parcellation.fetched.default_folder`).

    Returns
    -------
    Atlas

    Raises
    ------
    InputError
        If there is no such atlas, or its file, table or space cannot be used.
    """
    embedded = build_registered(spec, Path(cache_dir))
    if embedded is not None:
        return Atlas(**embedded)
    path = Path(spec)
    if not str(spec).endswith((".nii", ".nii.gz")):
        fetched = fetched_atlas(spec, atlas_dir)
        if fetched is None:
            raise InputError(
                f"There is no atlas {spec!r}. Registered are {', '.join(registered_names())}; to be fetched are "
                f"{', '.join(work.name for work in published().works)} (bids-ai fetch --list); or give the path of a "
                "label volume (.nii, .nii.gz)."
            )
        path, table, space = fetched, None, None  # those are of the user's own files
    entities, image, nodes, where, facts, notes = load_atlas_file(path, table=table, space=space)
    return Atlas(entities, image, validate_nodes(nodes), where, **facts, notes=tuple(notes))
