"""Region names: sides, aliases, and the partner in the other hemisphere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from bids_ai.errors import InputError

# Words for a side first; single capitals count only where no word does ("HIP-head-l-rh": l is lateral).
_SIDE_WORD = re.compile(r"(?:(?<=^)|(?<=[_\-. ]))(LH|RH|lh|rh|Lh|Rh|left|right|Left|Right|LEFT|RIGHT)(?=$|[_\-. ])")
_SIDE_LETTER = re.compile(r"(?:(?<=^)|(?<=[_\-. ]))([LR])(?=$|[_\-. ])")
_MIRROR = {
    "LH": "RH", "lh": "rh", "Lh": "Rh", "left": "right", "Left": "Right", "LEFT": "RIGHT", "L": "R",
}  # fmt: skip
_MIRROR |= {right: left for left, right in _MIRROR.items()}
_RUNNING_NUMBER = re.compile(r"[_\-]\d+$")
_SCHAEFER_PREFIX = re.compile(r"^\d+Networks_")

MIRROR_TOLERANCE_MM = 15.0
"""Largest distance (mm) between a mirrored centroid and that of a homotopic partner; about one parcel's width."""


def _side_match(name: str) -> re.Match[str] | None:
    for pattern in (_SIDE_WORD, _SIDE_LETTER):
        found = list(pattern.finditer(name))
        if len({match.group(1)[0].upper() for match in found}) == 1:
            return found[0]
    return None


def side_of_name(name: str) -> str | None:
    """Return the hemisphere that a region's name states.

    Parameters
    ----------
    name : str
        Such as ``LH_Vis_1``, ``HIP-rh``, ``Precentral_L``, ``ctx-lh-bankssts``, ``Left-Thalamus``.

    Returns
    -------
    {"L", "R"} or None
        None where the name states no side, or both.
    """
    match = _side_match(name)
    return match.group(1)[0].upper() if match else None


def mirror_name(name: str) -> str | None:
    """Return the name with its side exchanged (``HIP-rh`` gives ``HIP-lh``), or None without a side."""
    match = _side_match(name)
    if match is None:
        return None
    return name[: match.start(1)] + _MIRROR[match.group(1)] + name[match.end(1) :]


def name_key(name: str) -> tuple[str | None, str]:
    """Return what two spellings of one region have in common: side, and the rest in lower case.

    ``7Networks_LH_Vis_1`` and ``LH_Vis_1``, or ``HIP-rh`` and ``RH_HIP``, have the same key.
    """
    bare = re.sub(r"^ctx[-_]", "", _SCHAEFER_PREFIX.sub("", name.strip()))
    match = _side_match(bare)
    rest = bare if match is None else bare[: match.start(1)] + bare[match.end(1) :]
    return (
        match.group(1)[0].upper() if match else None,
        re.sub(r"[\s_\-.]+", "_", rest).strip("_").lower(),
    )


def find_regions(names: Iterable[str], nodes: pd.DataFrame) -> list[int]:
    """Find regions by name, by alias, or by label.

    Parameters
    ----------
    names : iterable of str
        Exact names, other spellings of them (`name_key`), or labels as text.
    nodes : pandas.DataFrame
        Node table.

    Returns
    -------
    list of int
        Labels (column ``index``), in the order asked for.

    Raises
    ------
    InputError
        For a name that no region, or more than one, answers to.
    """
    exact = dict(zip(nodes["name"], nodes["index"], strict=True))
    by_key: dict[tuple[str | None, str], list[int]] = {}
    for name, label in exact.items():
        by_key.setdefault(name_key(name), []).append(int(label))
    labels = {str(label): int(label) for label in nodes["index"]}
    found: list[int] = []
    for name in names:
        candidates = [int(exact[name])] if name in exact else by_key.get(name_key(name)) or [labels.get(name, 0)]
        if len(candidates) > 1 or candidates[0] == 0:
            near = difflib.get_close_matches(name, list(exact), n=3, cutoff=0.4)
            fault = "names several regions" if len(candidates) > 1 else "names no region"
            raise InputError(
                f"{name!r} {fault} of this atlas. "
                + (f"Did you mean {', '.join(near)}?" if near else f"It has {len(exact)} regions.")
            )
        found.append(candidates[0])
    return found


def homotopic_partners(nodes: pd.DataFrame) -> pd.Series:
    """Find the partner of each region in the other hemisphere.

    A name that differs in its side alone makes a pair (``HIP-lh``, ``HIP-rh``), unless it ends in a running
    number: numbers are counted per hemisphere (``LH_Vis_3`` need not face ``RH_Vis_3``). Those, and names without
    a partner, are paired where each centroid is the nearest to the other's mirror image, within
    `MIRROR_TOLERANCE_MM`. Without centroids, numbered names are trusted.

    Parameters
    ----------
    nodes : pandas.DataFrame
        Node table with hemispheres.

    Returns
    -------
    pandas.Series of Int64
        Label of the partner, indexed by label; ``<NA>`` where there is none.
    """
    partner: dict[int, int] = {}
    xyz = nodes[["x", "y", "z"]].to_numpy(float)
    located = bool(np.isfinite(xyz).all(axis=1).any())
    label_of = dict(zip(nodes["name"], nodes["index"], strict=True))
    for name, label in label_of.items():
        if located and _RUNNING_NUMBER.search(name):
            continue
        other = label_of.get(mirror_name(name) or "")
        if other is not None:
            partner[int(label)] = int(other)
    if located:
        partner |= _partners_by_mirror(nodes, xyz, taken=set(partner))
    index = nodes["index"].astype(int)
    return pd.Series([partner.get(label, pd.NA) for label in index], index=index, dtype="Int64", name="homotopic")


def _partners_by_mirror(nodes: pd.DataFrame, xyz: np.ndarray, taken: set[int]) -> dict[int, int]:
    index = nodes["index"].to_numpy(int)
    free = np.isfinite(xyz).all(axis=1) & ~np.isin(index, list(taken))
    side = nodes["hemisphere"].to_numpy(object)
    left, right = np.flatnonzero(free & (side == "L")), np.flatnonzero(free & (side == "R"))
    if not len(left) or not len(right):
        return {}
    distance = np.linalg.norm(xyz[left][:, None] * [-1, 1, 1] - xyz[right][None], axis=-1)
    partner: dict[int, int] = {}
    for row, column in enumerate(distance.argmin(axis=1)):
        mutual = distance[:, column].argmin() == row
        if mutual and distance[row, column] <= MIRROR_TOLERANCE_MM:
            a, b = int(index[left[row]]), int(index[right[column]])
            partner |= {a: b, b: a}
    return partner


def listed(values: Iterable[object], most: int = 10) -> str:
    """Write the first values out, and how many more there are."""
    items = [str(v) for v in values]
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")
