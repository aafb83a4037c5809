"""Segmentations of FreeSurfer (aparc+aseg and its kin) as the regions of an atlas, in the subject's own brain."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.images import HEADER_ERRORS, volume_fault
from bids_ai.errors import InputError
from bids_ai.parcellation.names import listed, name_key


@lru_cache(maxsize=1)
def freesurfer_names() -> dict[int, str]:
    """Names of FreeSurfer's labels, from the table that MNE bundles."""
    import mne

    table, _ = mne.read_freesurfer_lut()
    return {int(label): str(name) for name, label in table.items()}


def known_share(nodes: pd.DataFrame) -> float:
    """Share of the regions of an atlas that FreeSurfer has a label for, by name.

    Parameters
    ----------
    nodes : DataFrame
        Node table.
    """
    known = {_key(name) for name in freesurfer_names().values()}
    return float(np.mean([_key(str(name)) in known for name in nodes["name"]]))


def read_segmentation(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Read the labels of a segmentation.

    Parameters
    ----------
    path : Path
        ``.mgz`` or NIfTI.

    Returns
    -------
    labels : int array (i, j, k)
    affine : array (4, 4)
        Voxel to mm, RAS of the scanner.

    Raises
    ------
    InputError
        If the file cannot be read, or holds no whole numbers.
    """
    fault = volume_fault(path)
    if fault:
        raise InputError(f"The segmentation {path} cannot be read: {fault}.")
    try:
        image: Any = nib.load(path)
        values = np.asanyarray(image.dataobj)
    except HEADER_ERRORS as error:
        raise InputError(f"The segmentation {path} cannot be read ({error}).") from None
    labels = np.squeeze(values)
    whole = labels.ndim == 3 and np.issubdtype(labels.dtype, np.number) and not np.iscomplexobj(labels)
    if not whole or not np.array_equal(labels, np.round(labels)):
        raise InputError(f"The segmentation {path} holds no whole numbers in three dimensions; give aparc+aseg.")
    return labels.astype(np.int32), np.asarray(image.affine, np.float64)


def segmentation_in_atlas(
    labels: NDArray[np.integer], affine: NDArray[np.floating], nodes: pd.DataFrame
) -> tuple[nib.Nifti1Image, str]:
    """Number a segmentation as an atlas numbers its regions of the same names.

    Parameters
    ----------
    labels : int array (i, j, k)
        FreeSurfer's.
    affine : array (4, 4)
    nodes : DataFrame
        Node table.

    Returns
    -------
    image : nibabel.Nifti1Image
        0 where the label is no region of the atlas.
    how : str
        A sentence, with the regions that the segmentation does not have.

    Raises
    ------
    InputError
        If it has none of the regions.
    """
    names = freesurfer_names()
    by_key: dict[tuple[str | None, str], list[int]] = {}
    for label in np.unique(labels):
        if int(label) in names:
            by_key.setdefault(_key(names[int(label)]), []).append(int(label))
    lookup = np.zeros(int(labels.max()) + 1, np.int32)
    lost = []
    for index, name in zip(nodes["index"], nodes["name"], strict=True):
        own = by_key.get(_key(str(name)), [])
        lookup[own] = int(index)
        lost += [] if own else [str(name)]
    if len(lost) == len(nodes):
        raise InputError(
            f"None of the regions of the atlas ({listed(nodes['name'], 4)}) is a label of the segmentation. Choose the "
            "atlas that it was made with, such as that of Desikan and Killiany for aparc+aseg."
        )
    how = (
        f"{len(nodes) - len(lost)} of {len(nodes)} regions were taken from the segmentation of the subject's own brain"
    )
    how += f"; it does not have {listed(lost, 6)}." if lost else "."
    return nib.Nifti1Image(lookup[np.maximum(labels, 0)], affine), how


def _key(name: str) -> tuple[str | None, str]:
    """Side and letters: ``Left-Accumbens-area`` and ``LH_accumbensarea`` are one region."""
    side, rest = name_key(name)
    return side, re.sub(r"[^a-z0-9]", "", rest)
