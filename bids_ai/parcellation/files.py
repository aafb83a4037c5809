"""An atlas from a file: the volume, its table, its space and its name, each checked."""

from __future__ import annotations

import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai.bids.files import read_json
from bids_ai.errors import InputError
from bids_ai.parcellation.importers import XCP_SUFFIXES, is_label_json, read_region_table, read_xcp_layout
from bids_ai.parcellation.mni import MNI152_SPACES, canonical_space
from bids_ai.parcellation.names import listed
from bids_ai.parcellation.nodes import complete_nodes
from bids_ai.parcellation.volumes import read_label_image

_TABLE_ENDINGS = (".tsv", ".csv", ".json", ".txt", ".lut", ".ctab", ".xml")
_TABLE_TAILS = ("", "_dseg", "_label", "_labels", "_order", "_LUT", "_lut")
_NOISE = re.compile(
    r"[_\-](space-[A-Za-z0-9]+|res-[A-Za-z0-9]+|FSLMNI152|MNI152[A-Za-z0-9]*|MNI|2009[abc](?:Asym|Sym)"
    r"|NLin6(?:Asym|Sym)?|\d+(?:\.\d+)?mm)(?=[_\-.]|$)"
)
_SPACE_WORD = re.compile(r"[_\-](FSLMNI152|MNI152[A-Za-z0-9]*|2009[abc](?:Asym|Sym)|NLin6(?:Asym|Sym)?)(?=[_\-.]|$)")
_SCHAEFER = re.compile(r"schaefer(?:2018)?_?(\d+)(?:x|parcels_)(7|17)(?:networks)?", re.IGNORECASE)
_TIAN = re.compile(r"tian_subcortex_s([1-4])", re.IGNORECASE)
_ENTITIES = ("atlas", "seg", "scale")

# What is known of atlases that users bring; (licence, citation).
_KNOWN: dict[str, tuple[str, str]] = {
    "Schaefer2018": ("MIT", "Schaefer et al. 2018, Cerebral Cortex, doi:10.1093/cercor/bhx179"),
    "Tian2020": (
        "Melbourne Subcortex Atlas License",
        "Tian et al. 2020, Nature Neuroscience, doi:10.1038/s41593-020-00711-6",
    ),
    "Yeo": ("free to use with citation", "Yeo et al. 2011, J Neurophysiol, doi:10.1152/jn.00338.2011"),
    "desikankilliany": ("not stated", "Desikan et al. 2006, NeuroImage, doi:10.1016/j.neuroimage.2006.01.021"),
}


def load_atlas_file(
    path: Path, *, table: Path | None, space: str | None
) -> tuple[dict[str, str], nib.Nifti1Image, pd.DataFrame, str, dict[str, str], list[str]]:
    """Load a label volume with its table, space and name.

    Parameters
    ----------
    path : pathlib.Path
        Label volume.
    table : pathlib.Path, optional
        Region table; found beside the volume if not given (`find_table`).
    space : str, optional
        Space, where the file and its sidecar do not state it.

    Returns
    -------
    entities : dict of str
    image : nibabel.Nifti1Image
    nodes : pandas.DataFrame
    space : str
    facts : dict of str
        ``sha256``, ``origin``, ``licence``, ``citation``.
    notes : list of str

    Raises
    ------
    InputError
    """
    path = Path(path)
    image = read_label_image(path)
    found = Path(table) if table else find_table(path)
    if found is None:
        raise InputError(
            f"No region table for {path}. Put one beside it with the same beginning of its name "
            f"({_stem(path)}.tsv with the columns index and name), or name it (--atlas-table)."
        )
    nodes = read_region_table(found) if table or found.exists() else read_xcp_layout(found)
    where, space_notes = atlas_space(path, space, xcp_layout=not (table or found.exists()))
    nodes, match_notes = match_labels(nodes, image, path, found)
    nodes, place_notes = complete_nodes(nodes, image)
    entities = atlas_entities(path)
    facts = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "origin": f"{path.name} with {found.name}",
        **_licence(entities, path),
    }
    return entities, image, nodes, where, facts, [*space_notes, *match_notes, *place_notes]


def find_table(path: Path) -> Path | None:
    """Find the region table beside a label volume.

    Looked for, in this order: the same stem with a table's ending; the stem without its space and resolution; a
    ``_dseg.tsv`` whose entities are among those of the volume (BIDS inheritance); the xcpEngine layout.

    Returns
    -------
    pathlib.Path or None
        For the xcpEngine layout the common stem of its files (which is itself no file).
    """
    stem = _stem(path)
    bare = _NOISE.sub("", stem)
    stems = dict.fromkeys([stem, bare, stem.removesuffix("_dseg"), bare.removesuffix("_dseg")])
    for candidate in stems:
        for tail in _TABLE_TAILS:
            for ending in _TABLE_ENDINGS:
                file = path.with_name(candidate + tail + ending)
                if file.is_file() and (ending != ".json" or is_label_json(file)):
                    return file
    entities = set(re.findall(r"[a-z]+-[A-Za-z0-9]+", stem))
    inherited = [
        (len(parts), file)
        for file in sorted(path.parent.glob("*_dseg.tsv"))
        if (parts := re.findall(r"[a-z]+-[A-Za-z0-9]+", file.name)) and set(parts) <= entities
    ]
    if inherited:
        return max(inherited, key=lambda pair: pair[0])[1]
    xcp = path.with_name(re.sub(r"_?MNI$", "", stem))
    return xcp if xcp.with_name(xcp.name + XCP_SUFFIXES[0]).is_file() else None


def atlas_space(path: Path, given: str | None, *, xcp_layout: bool = False) -> tuple[str, list[str]]:
    """Say in which MNI152 space a label volume is.

    Parameters
    ----------
    path : pathlib.Path
        Label volume; the JSON beside it (``Space``, ``SpatialReference``) and its name are read.
    given : str, optional
        The user's word; needed where the file does not say, an error where it says otherwise.
    xcp_layout : bool
        The volume is part of the xcpEngine layout, whose ``MNI`` is MNI152NLin2009cAsym.

    Returns
    -------
    space : str
        One of `MNI152_SPACES`.
    notes : list of str

    Raises
    ------
    InputError
        Unknown, ambiguous, contradictory or unsupported space.
    """
    name = path.name
    stated = _space_in_sidecar(path) or _space_in_name(name)
    wanted = canonical_space(given, where=name) if given else None
    if stated is None:
        if wanted:
            return wanted, []
        if xcp_layout and _stem(path).endswith("MNI"):
            return "MNI152NLin2009cAsym", [f"{name}: xcpEngine's MNI is taken as MNI152NLin2009cAsym."]
        raise InputError(
            f"The space of {name} is unknown: neither a JSON beside it (Space) nor its name (space-..., tpl-...) "
            f"says it. State it (--atlas-space): {', '.join(MNI152_SPACES)}."
        )
    try:
        own = canonical_space(stated, where=name)
    except InputError:
        if wanted and canonical_family(stated):
            return wanted, []
        raise
    if wanted and wanted != own:
        raise InputError(
            f"{name} states the space {own}, but {wanted} was asked for. "
            "Leave out --atlas-space, or correct the file's JSON."
        )
    return own, []


def canonical_family(text: str) -> bool:
    """Tell whether a space is named only by its family (MNI152), so that the user's word may complete it."""
    try:
        canonical_space(text)
    except InputError as fault:
        return "family" in str(fault)
    return False


def match_labels(
    nodes: pd.DataFrame, image: nib.Nifti1Image, path: Path, table: Path
) -> tuple[pd.DataFrame, list[str]]:
    """Check that volume and table speak of the same regions.

    Returns
    -------
    nodes : pandas.DataFrame
        A colour table that lists mostly other regions (FreeSurfer's own) is cut to those of the volume.
    notes : list of str
        Regions of the table without a voxel; they stay in the table, as missing.

    Raises
    ------
    InputError
        Labels of the volume that the table lacks.
    """
    present = np.unique(np.asanyarray(image.dataobj))
    present = present[present > 0]
    lacking = np.setdiff1d(present, nodes["index"])
    if len(lacking):
        raise InputError(
            f"{len(lacking)} of {len(present)} labels in {path.name} are missing in {table.name}: {listed(lacking)}. "
            "Complete the table, or give the one that belongs to this volume."
        )
    absent = ~nodes["index"].isin(present)
    if nodes.attrs.get("lookup") and absent.mean() > 0.5:
        return nodes[~absent].reset_index(drop=True), []
    if not absent.any():
        return nodes, []
    names = listed(nodes["name"][absent])
    note = f"{int(absent.sum())} regions of {table.name} have no voxel in {path.name} and are missing: {names}."
    warnings.warn(note, stacklevel=2)
    return nodes, [note]


def atlas_entities(path: Path) -> dict[str, str]:
    """Read the BIDS entities of an atlas (``atlas``, ``seg``, ``scale``) from a file name of any kind.

    TemplateFlow's ``desc-100Parcels7Networks``, xcpEngine's ``schaefer100x7``, CBIG's
    ``Schaefer2018_100Parcels_7Networks`` and Tian's names become the entities that BIDS uses.
    """
    stem = _stem(path)
    schaefer, tian = _SCHAEFER.search(stem), _TIAN.search(stem)
    if schaefer:
        return {"atlas": "Schaefer2018", "seg": f"{schaefer[2]}Networks", "scale": schaefer[1]}
    if tian:
        return {"atlas": "Tian2020", "seg": "Subcortex", "scale": tian[1]}
    parts = dict(re.findall(r"(?:^|_)([a-z]+)-([A-Za-z0-9]+)", stem))
    if "atlas" in parts:
        parcels = re.fullmatch(r"(\d+)Parcels(?:(\d+)Networks)?", parts.get("desc", ""))
        if parcels:
            parts.setdefault("scale", parcels[1])
            if parcels[2]:
                parts.setdefault("seg", f"{parcels[2]}Networks")
        elif "desc" in parts and "seg" not in parts:
            parts["seg"] = parts["desc"]
        return {key: parts[key] for key in _ENTITIES if key in parts}
    bare = re.sub(r"[^A-Za-z0-9]", "", _NOISE.sub("", stem).removesuffix("_dseg"))
    return {"atlas": bare or "custom"}


def _licence(entities: dict[str, str], path: Path) -> dict[str, str]:
    """Take licence and citation from the JSON or BIDS description beside the volume, else from what is known."""
    atlas = entities["atlas"]
    known = next((facts for name, facts in _KNOWN.items() if atlas.lower().startswith(name.lower())), None)
    licence, citation = known or ("not stated", "not stated")
    for description in (path.with_name(f"{_stem(path)}.json"), path.with_name(f"atlas-{atlas}_description.json")):
        if not description.is_file():
            continue
        content = _json_object(description)
        if isinstance(content, dict):
            licence = str(content.get("License") or licence)
            references = content.get("ReferencesAndLinks") or citation
            citation = "; ".join(map(str, references)) if isinstance(references, list) else str(references)
    return {"licence": licence, "citation": citation}


def _space_in_sidecar(path: Path) -> str | None:
    file = path.with_name(_stem(path) + ".json")
    if not file.is_file():
        return None
    content = _json_object(file)
    for key in ("Space", "space", "SpatialReference"):
        value = content.get(key)
        if isinstance(value, dict):
            value = next(iter(value.values()), None)
        if isinstance(value, str) and value.strip():
            return _space_in_name(Path(value).name) or value
    return None


def _json_object(file: Path) -> dict[str, Any]:
    """Content of a JSON file; nothing where it is no object."""
    try:
        content = read_json(file)
    except (ValueError, OSError) as fault:
        raise InputError(f"{file} is not valid JSON: {fault}.") from fault
    return content if isinstance(content, dict) else {}


def _space_in_name(name: str) -> str | None:
    entity = re.search(r"(?:^|_)(?:space|tpl)-([A-Za-z0-9]+)", name)
    word = entity or _SPACE_WORD.search(name)
    return word.group(1) if word else None


def _stem(path: Path) -> str:
    return re.sub(r"\.nii(\.gz)?$", "", Path(path).name)
