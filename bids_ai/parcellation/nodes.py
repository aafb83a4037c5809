"""The node table: one row per region, the same everywhere in the package.

Columns are exactly `NODE_COLUMNS`: ``index`` (label in the volume, >= 1), ``name`` (unique), ``hemisphere``
(``L``, ``R``, ``B`` for both, or None), ``network`` (or None), ``x y z`` (centroid, mm RAS in the atlas's own
space, NaN where unknown) and ``color`` (``#rrggbb``).
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.parcellation.names import (
    find_regions,
    homotopic_partners,
    listed,
    mirror_name,
    name_key,
    side_of_name,
)

__all__ = [
    "NODE_COLUMNS",
    "build_nodes",
    "complete_nodes",
    "find_regions",
    "homotopic_partners",
    "label_geometry",
    "mirror_name",
    "name_key",
    "network_colors",
    "side_of_name",
    "validate_nodes",
]

NODE_COLUMNS = ["index", "name", "hemisphere", "network", "x", "y", "z", "color"]

LATERAL_FRACTION = 0.9
"""Share of a region's voxels on one side of x = 0 from which it counts as a region of that side."""

# Colours of the seven cortical networks as published with Yeo et al. 2011, doi:10.1152/jn.00338.2011
_KNOWN_NETWORKS = {
    r"^vis": "#781286",
    r"^(sommot|somatomotor|sensorimotor)": "#4682b4",
    r"^(dorsattn|dorsalattention|dorsal)": "#00760e",
    r"^(salvent|salience|ventralattention|ventral)": "#c43afa",
    r"^limbic": "#a3b86c",
    r"^(cont|frontoparietal)": "#e69422",
    r"^default": "#cd3e4e",
}
_GREY = "#9e9e9e"
_GOLDEN_ANGLE = 0.381966  # fraction of the hue circle: neighbours in the list get distant hues


def build_nodes(
    index: Sequence[int],
    names: Sequence[str],
    *,
    hemisphere: Sequence[str | None] | None = None,
    network: Sequence[str | None] | None = None,
    xyz: np.ndarray | None = None,
    color: Sequence[str | None] | None = None,
) -> pd.DataFrame:
    """Build a valid node table.

    Parameters
    ----------
    index : sequence of int, (n_regions,)
        Labels of the regions in the volume.
    names : sequence of str, (n_regions,)
    hemisphere, network, color : sequence of (n_regions,), optional
        A hemisphere that is not given is read from the names; a colour that is not given follows the network.
    xyz : array (n_regions, 3), optional
        Centroids, mm RAS.

    Returns
    -------
    pandas.DataFrame
        Sorted by ``index``.

    Raises
    ------
    InputError
        If the table would not be valid (`validate_nodes`).
    """
    n = len(names)
    if xyz is None:
        xyz = np.full((n, 3), np.nan)
    networks = _objects(network, n)
    given = _objects(color, n)
    fallback = network_colors(networks)
    nodes = pd.DataFrame(
        {
            "index": list(index),
            "name": list(names),
            "hemisphere": [
                side or side_of_name(str(name)) for side, name in zip(_objects(hemisphere, n), names, strict=True)
            ],
            "network": networks,
            "x": xyz[:, 0],
            "y": xyz[:, 1],
            "z": xyz[:, 2],
            "color": [a or b for a, b in zip(given, fallback, strict=True)],
        },
        columns=NODE_COLUMNS,
    )
    for column in ("hemisphere", "network"):
        nodes[column] = pd.Series(list(nodes[column]), dtype=object).where(lambda s: s.notna(), None)
    return validate_nodes(nodes).sort_values("index", ignore_index=True)


def validate_nodes(nodes: pd.DataFrame) -> pd.DataFrame:
    """Check a node table and return it with the right dtypes.

    Parameters
    ----------
    nodes : pandas.DataFrame
        Table with the columns `NODE_COLUMNS`.

    Returns
    -------
    pandas.DataFrame
        A copy; ``index`` int64, coordinates float64.

    Raises
    ------
    InputError
        Naming the fault: columns, no region, a label that is not an integer >= 1, labels or names that occur
        twice, an empty name, a hemisphere other than L, R, B, or a colour that is not ``#rrggbb``.
    """
    if list(nodes.columns) != NODE_COLUMNS:
        raise InputError(f"A node table has the columns {NODE_COLUMNS}, got {list(nodes.columns)}.")
    if not len(nodes):
        raise InputError("The node table has no region.")
    nodes = nodes.copy()
    nodes["index"] = _integer_labels(nodes["index"])
    names = nodes["name"]
    nameless = names.isna() | names.astype(str).str.strip().eq("")
    if nameless.any():
        raise InputError(f"Regions without a name: labels {listed(nodes['index'][nameless])}.")
    nodes["name"] = names.astype(str).str.strip().astype(object)
    for column, what in (("index", "Labels"), ("name", "Names")):
        twice = nodes[column][nodes[column].duplicated()].unique()
        if len(twice):
            raise InputError(f"{what} that occur more than once in the node table: {listed(twice)}.")
    sides = nodes["hemisphere"]
    strange = sides[sides.notna() & ~sides.isin(["L", "R", "B"])]
    if len(strange):
        raise InputError(f"Hemispheres must be L, R or B, got {listed(strange.unique())}.")
    for axis in "xyz":
        nodes[axis] = nodes[axis].astype(float)
    bad = nodes["color"][~nodes["color"].astype(str).str.fullmatch(r"#[0-9a-fA-F]{6}")]
    if len(bad):
        raise InputError(f"Colours must read #rrggbb, got {listed(bad.unique())}.")
    return nodes


def label_geometry(labels: np.ndarray, affine: np.ndarray) -> pd.DataFrame:
    """Measure the regions of a label volume.

    Parameters
    ----------
    labels : int array (i, j, k)
        0 is background.
    affine : array (4, 4)
        Voxel to mm RAS.

    Returns
    -------
    pandas.DataFrame
        Indexed by label: ``n_voxels``, ``x y z`` (centroid, mm) and ``left`` (share of voxels at x < 0; voxels
        on the midline count half).
    """
    where = np.nonzero(labels)
    values = labels[where].astype(np.int64)
    mm = np.column_stack(where) @ affine[:3, :3].T + affine[:3, 3]
    found, position = np.unique(values, return_inverse=True)
    n = np.bincount(position, minlength=len(found))
    columns = {axis: np.bincount(position, mm[:, k], minlength=len(found)) / n for k, axis in enumerate("xyz")}
    left = np.bincount(position, 0.5 - 0.5 * np.sign(np.round(mm[:, 0], 3)), minlength=len(found)) / n
    return pd.DataFrame({"n_voxels": n, **columns, "left": left}, index=pd.Index(found, name="index"))


def complete_nodes(nodes: pd.DataFrame, image: nib.Nifti1Image) -> tuple[pd.DataFrame, list[str]]:
    """Fill centroids and hemispheres of a node table from its label volume.

    Parameters
    ----------
    nodes : pandas.DataFrame
        Valid node table; its centroids are replaced by those of the volume.
    image : nibabel image
        Integer labels.

    Returns
    -------
    nodes : pandas.DataFrame
    notes : list of str
        What a reader of the report should know, one sentence each.

    Raises
    ------
    InputError
        If most regions lie on the side that their name denies: the volume is flipped left to right.
    """
    geometry = label_geometry(np.asanyarray(image.dataobj), image.affine).reindex(nodes["index"])
    nodes = nodes.copy()
    for axis in "xyz":
        nodes[axis] = geometry[axis].to_numpy()
    left = geometry["left"].to_numpy()
    stated = nodes["hemisphere"].to_numpy(object)
    wrong = ((stated == "L") & (left < 0.5)) | ((stated == "R") & (left > 0.5))
    lateral = np.isin(stated, ["L", "R"]) & np.isfinite(left)
    notes: list[str] = []
    if wrong.sum() * 2 > lateral.sum() and wrong.sum() > 1:
        raise InputError(
            f"{wrong.sum()} of {lateral.sum()} regions lie in the hemisphere opposite to their name "
            f"(first: {listed(nodes['name'][wrong])}). The volume is flipped left to right, or the table belongs "
            "to another volume: check the orientation in the NIfTI header (sform)."
        )
    if wrong.any():
        notes.append(f"Regions lying in the hemisphere opposite to their name: {listed(nodes['name'][wrong])}.")
    measured = np.where(left >= LATERAL_FRACTION, "L", np.where(left <= 1 - LATERAL_FRACTION, "R", "B"))
    nodes["hemisphere"] = pd.Series(
        [
            side if isinstance(side, str) else (None if np.isnan(share) else str(guess))
            for side, share, guess in zip(stated, left, measured, strict=True)
        ],
        index=nodes.index,
        dtype=object,
    )
    return nodes, notes


def network_colors(networks: Sequence[str | None]) -> list[str]:
    """Give every network a colour: the published one of the cortical networks, a distant hue for others.

    Parameters
    ----------
    networks : sequence of str or None, (n_regions,)

    Returns
    -------
    list of str
        ``#rrggbb``; grey where there is no network. The same networks give the same colours in any order.
    """
    colors: dict[str, str] = {}
    used: set[str] = set()
    for name in sorted({n for n in networks if n}):
        key = re.sub(r"[^a-z]", "", name.lower())
        known = next((c for pattern, c in _KNOWN_NETWORKS.items() if re.search(pattern, key)), None)
        if key in {"unassigned", "uncertain", "none"}:
            known = _GREY
        if known is None or (known in used and known != _GREY):
            hue = (len(colors) * _GOLDEN_ANGLE + 0.08) % 1.0
            known = "#" + "".join(f"{round(255 * c):02x}" for c in colorsys.hsv_to_rgb(hue, 0.65, 0.8))
        colors[name] = known
        used.add(known)
    return [colors[n] if n else _GREY for n in networks]


def _objects(values: Sequence[str | None] | None, n: int) -> list[str | None]:
    """Return n strings, None for anything empty or n/a."""
    if values is None:
        return [None] * n
    return [None if v is None or pd.isna(v) or str(v).strip() in {"", "n/a"} else str(v).strip() for v in values]


def _integer_labels(values: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(values, errors="coerce")
    bad = values[numbers.isna() | (numbers % 1 != 0) | (numbers < 1)]
    if len(bad):
        raise InputError(f"Labels must be integers from 1 up, got {listed(bad)}.")
    return numbers.astype(np.int64)
