"""Sidecars of a BIDS dataset with the inheritance principle, read only for the files that are chosen."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json
from bids_ai.errors import InputError


def split_name(name: str) -> tuple[dict[str, str], str, str]:
    """Split a BIDS file name into its entities (short names), suffix and extension.

    Unlike pybids, which knows a fixed list, this keeps every entity (`scale`, `stat`, `model`).

    Examples
    --------
    >>> split_name("sub-01_task-rest_bold.nii.gz")
    ({'sub': '01', 'task': 'rest'}, 'bold', '.nii.gz')
    """
    base, dot, extension = name.partition(".")
    *pairs, suffix = base.split("_")
    entities = dict(pair.split("-", 1) for pair in pairs if "-" in pair)
    return entities, suffix, dot + extension


def read_metadata(path: Path, root: Path) -> dict[str, Any]:
    """Metadata of a file: all JSON files that apply to it, from the root of the dataset down to its folder.

    Parameters
    ----------
    path : Path
        A file of the dataset.
    root : Path
        The dataset.

    Raises
    ------
    InputError
        If a sidecar is not valid JSON.
    """
    entities, suffix, _ = split_name(path.name)
    merged: dict[str, Any] = {}
    for folder in _folders(path.parent, root):
        candidates = []
        for sidecar_entities, sidecar_suffix, sidecar in _sidecars(folder):
            if sidecar_suffix == suffix and sidecar_entities.items() <= entities.items():
                candidates.append((len(sidecar_entities), sidecar))
        for _, sidecar in sorted(candidates):
            merged |= _read(sidecar)
    return merged


def _folders(folder: Path, root: Path) -> list[Path]:
    inside = folder.relative_to(root).parts
    return [root.joinpath(*inside[:depth]) for depth in range(len(inside) + 1)]


@lru_cache(maxsize=4096)
def _sidecars(folder: Path) -> list[tuple[dict[str, str], str, Path]]:
    return [(*split_name(path.name)[:2], path) for path in sorted(folder.glob("*.json"))]


@lru_cache(maxsize=4096)
def _read(sidecar: Path) -> dict[str, Any]:
    try:
        content = read_json(sidecar)
    except (ValueError, OSError) as error:
        raise InputError(f"The sidecar {sidecar} cannot be read as JSON ({error}); correct or remove it.") from None
    return content if isinstance(content, dict) else {}
