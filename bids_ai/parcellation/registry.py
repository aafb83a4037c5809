"""The registered atlases: made here, from what the installed packages bundle, without network.

A new atlas is one function that gives labels and node table, and one line in `_REGISTERED`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai import __version__
from bids_ai.bids.files import atomic
from bids_ai.errors import InputError
from bids_ai.parcellation.nodes import build_nodes, label_geometry, validate_nodes
from bids_ai.parcellation.volumes import label_image, load_volume

_RECIPE = ("greymatter.py", "equal_volume.py", "grow.py", "seeds.py")
"""Modules that decide the labels: a cached atlas is used only by the code that would make the same."""

_TEMPLATE = "Fonov et al. 2011, NeuroImage, doi:10.1016/j.neuroimage.2010.07.033"
_SPACE = "MNI152NLin2009aSym"  # of the bundled template; greymatter.TEMPLATE_SPACE, without its imports


@dataclass(frozen=True)
class Registered:
    """One entry of the registry.

    Attributes
    ----------
    build : callable
        Takes the voxel size (mm) and the number of regions (None for atlases of one size); gives labels, affine
        and node table.
    aliases : tuple of str
    any_size : bool
        Takes a number of regions.
    origin, citation : str
    """

    build: Callable[[int, int | None], tuple[np.ndarray, np.ndarray, pd.DataFrame]]
    aliases: tuple[str, ...]
    any_size: bool
    origin: str
    citation: str


def _equal_volume(resolution: int, n_regions: int | None) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    from bids_ai.parcellation.equal_volume import equal_volume
    from bids_ai.parcellation.greymatter import template_grey_matter

    assert n_regions is not None
    grey = template_grey_matter(resolution)
    labels, names = equal_volume(grey, n_regions)
    xyz = label_geometry(labels, grey.affine)[["x", "y", "z"]].to_numpy()
    return labels, grey.affine, build_nodes(range(1, n_regions + 1), names, xyz=xyz)


def _grown(coordinates: str) -> Callable[[int, int | None], tuple[np.ndarray, np.ndarray, pd.DataFrame]]:
    def build(resolution: int, n_regions: int | None) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
        from bids_ai.parcellation import seeds
        from bids_ai.parcellation.greymatter import template_grey_matter
        from bids_ai.parcellation.grow import grow_parcels

        table = seeds.SEEDS[coordinates]()
        grey = template_grey_matter(resolution)
        labels, _ = grow_parcels(grey, table[["x", "y", "z"]].to_numpy(), table["compartment"].to_numpy())
        xyz = label_geometry(labels, grey.affine)[["x", "y", "z"]].to_numpy()
        nodes = build_nodes(
            range(1, len(table) + 1),
            list(table["name"]),
            hemisphere=list(table["hemisphere"]),
            network=list(table["network"]),
            xyz=xyz,
        )
        return labels, grey.affine, nodes

    return build


_REGISTERED: dict[str, Registered] = {
    "GrownSeitzman2018": Registered(
        _grown("seitzman"),
        ("Seitzman300", "Seitzman2018", "GrownSeitzman300"),
        False,
        "parcels grown around the 300 coordinates of Seitzman et al.",
        f"Seitzman et al. 2020, NeuroImage, doi:10.1016/j.neuroimage.2019.116290; {_TEMPLATE}",
    ),
    "GrownPower2011": Registered(
        _grown("power"),
        ("Power264", "Power2011", "GrownPower264"),
        False,
        "parcels grown around the 264 coordinates of Power et al., networks of the same places in Seitzman et al.",
        f"Power et al. 2011, Neuron, doi:10.1016/j.neuron.2011.09.006; {_TEMPLATE}",
    ),
    "GrownDosenbach2010": Registered(
        _grown("dosenbach"),
        ("Dosenbach160", "Dosenbach2010", "GrownDosenbach160"),
        False,
        "parcels grown around the 160 coordinates of Dosenbach et al.",
        f"Dosenbach et al. 2010, Science, doi:10.1126/science.1194144; {_TEMPLATE}",
    ),
    "EqualVolume": Registered(_equal_volume, (), True, "grey matter divided into regions of equal volume", _TEMPLATE),
}


def registered_names() -> list[str]:
    """Return the specs under which atlases are registered, as a user writes them."""
    return [f"{name}:N" if entry.any_size else name for name, entry in _REGISTERED.items()]


def is_registered(spec: str) -> bool:
    """Tell whether a spec names an atlas that is made here."""
    try:
        return _resolve(spec) is not None
    except InputError:  # one of any size, without its size
        return True


def build_registered(spec: str, cache_dir: Path, *, resolution: int = 2) -> dict[str, Any] | None:
    """Make a registered atlas, or take it from the cache.

    Parameters
    ----------
    spec : str
        ``EqualVolume:100`` (or ``EqualVolume100``), ``GrownSeitzman2018``, an alias; case does not matter.
    cache_dir : pathlib.Path
        Made if needed. Files are written under another name and then renamed, so that jobs may share it.
    resolution : {1, 2}
        Voxel size, mm.

    Returns
    -------
    dict or None
        Fields of `bids_ai.parcellation.atlas.Atlas`; None if no atlas of this name is registered.

    Raises
    ------
    InputError
        For an impossible number of regions.
    """
    resolved = _resolve(spec)
    if resolved is None:
        return None
    name, n_regions = resolved
    entry = _REGISTERED[name]
    entities = {"atlas": name} | ({"scale": str(n_regions)} if n_regions else {})
    image, nodes = _cached(entry, entities, n_regions, resolution, Path(cache_dir))
    return {
        "entities": entities,
        "image": image,
        "nodes": nodes,
        "space": _SPACE,
        "sha256": labels_sha256(image),
        "origin": f"embedded: {entry.origin} (bids_ai {__version__}, template and coordinates of nilearn "
        f"{version('nilearn')}, {resolution} mm)",
        "licence": "Apache-2.0; template under the permissive notice of the ICBM 152 templates",
        "citation": entry.citation,
    }


def labels_sha256(image: nib.Nifti1Image) -> str:
    """Hash labels and affine, whatever the compression and header of the file."""
    labels = np.ascontiguousarray(np.asanyarray(image.dataobj), dtype="<i4")
    affine = np.ascontiguousarray(image.affine, dtype="<f8")
    return hashlib.sha256(labels.tobytes() + affine.tobytes()).hexdigest()


def _resolve(spec: str) -> tuple[str, int | None] | None:
    wanted = str(spec).strip().lower()
    for name, entry in _REGISTERED.items():
        if entry.any_size:
            match = re.fullmatch(rf"{name.lower()}(?::?(-?\d*))?", wanted)
            if match and not (match[1] or "").lstrip("-"):
                raise InputError(f"{name} needs its number of regions, as in {name}:100.")
            if match:
                return name, int(match[1])
        elif wanted in {name.lower(), *(alias.lower() for alias in entry.aliases)}:
            return name, None
    return None


def _cached(
    entry: Registered, entities: dict[str, str], n_regions: int | None, resolution: int, cache_dir: Path
) -> tuple[nib.Nifti1Image, pd.DataFrame]:
    key = hashlib.sha256(f"{__version__}|{version('nilearn')}|{version('scipy')}|{resolution}".encode())
    for module in _RECIPE:
        key.update(Path(__file__).with_name(module).read_bytes())
    stem = "_".join(f"{k}-{v}" for k, v in entities.items()) + f"_res-{resolution}_{key.hexdigest()[:10]}"
    volume, table = cache_dir / f"{stem}.nii.gz", cache_dir / f"{stem}.tsv"
    if volume.is_file() and table.is_file():
        try:
            return _read_cache(volume, table)
        except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError):
            pass  # damaged by a full disk or a killed copy: made again below
    labels, affine, nodes = entry.build(resolution, n_regions)
    cache_dir.mkdir(parents=True, exist_ok=True)
    image = label_image(labels, affine)
    _write(table, lambda file: nodes.to_csv(file, sep="\t", index=False, na_rep="n/a"))
    _write(volume, lambda file: nib.save(image, file))
    return _read_cache(volume, table)  # so that the first run sees what later ones do


def _read_cache(volume: Path, table: Path) -> tuple[nib.Nifti1Image, pd.DataFrame]:
    stored = load_volume(volume)
    image = label_image(np.asanyarray(stored.dataobj), stored.affine)
    nodes = pd.read_csv(table, sep="\t", keep_default_na=False, na_values={c: ["n/a"] for c in "xyz"})
    for column in ("hemisphere", "network"):
        nodes[column] = nodes[column].astype(object).where(nodes[column] != "n/a", None)
    if int(np.asanyarray(image.dataobj).max()) != int(nodes["index"].max()):
        raise ValueError("volume and table disagree")
    return image, validate_nodes(nodes)


def _write(path: Path, save: Callable[[Path], object]) -> None:
    with atomic(path) as temporary:
        save(temporary)
