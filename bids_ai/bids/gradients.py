"""Gradient tables of diffusion images: the two text files, their faults, shells, and the way to world axes.

A table holds b-values (s/mm2) and b-vectors as the files have them: FSL's convention, which BIDS prescribes. The
vectors lie along the axes of the voxel grid, and x is turned around where the affine has a positive determinant.
Science works in world axes (RAS+), see `GradientTable.world`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.bids.files import write_text
from bids_ai.errors import InputError

FloatArray = npt.NDArray[np.float64]

B0_LIMIT = 100.0
"""A volume of at most this b-value counts as unweighted, s/mm2. As in FSL eddy and QSIPrep: scanners write 5 to 70."""

SHELL_GAP = 80.0
"""A gap between sorted b-values that is larger starts a new shell, s/mm2 (as MRtrix3; scanners round by up to 15)."""

_UNIT_TOLERANCE = 0.05
#: Two directions nearer than this, or antipodal ones, measure the same; cosine of one degree.
_SAME_DIRECTION = float(np.cos(np.deg2rad(1.0)))


@dataclass(frozen=True)
class Shell:
    """Volumes of one b-value.

    Attributes
    ----------
    b : float
        Mean b-value, s/mm2.
    volumes : (n,) int array
    n_directions : int
        Distinct ones; a repeated or antipodal direction counts once.
    """

    b: float
    volumes: npt.NDArray[np.intp]
    n_directions: int


@dataclass(frozen=True)
class GradientTable:
    """Gradients of a diffusion series.

    Attributes
    ----------
    bvals : (n_volumes,) array
        s/mm2.
    bvecs : (n_volumes, 3) array
        Unit vectors in FSL's convention; zero where unweighted.
    notes : tuple of str
        What was mended on reading.
    """

    bvals: FloatArray
    bvecs: FloatArray
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.bvals)

    @property
    def unweighted(self) -> npt.NDArray[np.bool_]:
        """Which volumes are b0."""
        return self.bvals <= B0_LIMIT

    @property
    def shells(self) -> tuple[Shell, ...]:
        """Shells of the weighted volumes, by rising b-value."""
        return tuple(
            Shell(float(self.bvals[volumes].mean()), volumes, count_directions(self.bvecs[volumes]))
            for volumes in group_shells(self.bvals)
        )

    @property
    def n_directions(self) -> int:
        """Distinct directions over all shells."""
        return count_directions(self.bvecs[~self.unweighted])

    def world(self, affine: npt.NDArray[Any]) -> FloatArray:
        """b-vectors along the world axes (RAS+), shape (n_volumes, 3)."""
        return self.bvecs @ fsl_to_world(affine).T

    def with_world(self, directions: npt.NDArray[Any], affine: npt.NDArray[Any], *notes: str) -> GradientTable:
        """Return the same b-values with other directions, given along the world axes."""
        return GradientTable(self.bvals, np.asarray(directions) @ fsl_to_world(affine), (*self.notes, *notes))


def fsl_to_world(affine: npt.NDArray[Any]) -> FloatArray:
    """Orthogonal matrix that turns an FSL b-vector into world axes.

    The nearest rotation to the axes of the affine (polar decomposition), after x is turned around where the determinant
    is positive.
    """
    axes = np.asarray(affine, dtype=float)[:3, :3]
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    rotation = left @ right
    if np.linalg.det(rotation) > 0:
        rotation = rotation @ np.diag([-1.0, 1.0, 1.0])
    return np.asarray(rotation, dtype=np.float64)


def group_shells(bvals: npt.NDArray[Any]) -> list[npt.NDArray[np.intp]]:
    """Volumes of each shell by rising b-value; unweighted ones are left out."""
    weighted = np.flatnonzero(np.asarray(bvals) > B0_LIMIT)
    order = weighted[np.argsort(np.asarray(bvals)[weighted], kind="stable")]
    breaks = np.flatnonzero(np.diff(np.asarray(bvals)[order]) > SHELL_GAP) + 1
    return [np.sort(volumes) for volumes in np.split(order, breaks) if len(volumes)]


def count_directions(directions: npt.NDArray[Any]) -> int:
    """Count distinct axes among unit vectors (n, 3)."""
    cosines = np.abs(directions @ directions.T)
    # A direction is new if no earlier one is the same.
    return int((~np.any(np.tril(cosines, -1) > _SAME_DIRECTION, axis=1)).sum())


def read_gradients(bval: Path, bvec: Path, n_volumes: int) -> GradientTable:
    """Read and check the table of a diffusion series.

    Parameters
    ----------
    bval, bvec : Path
        FSL text files; b-vectors as three rows, or, with a note, as three columns.
    n_volumes : int
        Of the image.

    Returns
    -------
    GradientTable

    Raises
    ------
    InputError
        A file is missing or not numeric, the lengths disagree, a b-value is NaN or negative, no volume is unweighted,
        none is weighted, or a weighted volume has a b-vector that is missing or not of unit length.
    """
    bvals = np.atleast_1d(_numbers(bval, "b-values")).ravel()
    raw = np.atleast_2d(_numbers(bvec, "b-vectors"))
    notes: list[str] = []
    if raw.shape[0] == 3:
        vectors = raw.T
    elif raw.shape[1] == 3:
        vectors = raw
        notes.append(f"{Path(bvec).name} holds one b-vector per row instead of per column; it was transposed.")
    else:
        raise InputError(
            f"{bvec}: expected three rows of b-vectors, got {raw.shape[0]} rows of {raw.shape[1]} numbers."
        )
    for path, count, what in ((bval, len(bvals), "b-values"), (bvec, len(vectors), "b-vectors")):
        if count != n_volumes:
            raise InputError(
                f"{path}: {count} {what} for {n_volumes} volumes. The table belongs to another image, or volumes were "
                "removed from only one of them."
            )
    return check_gradients(bvals, vectors, notes=tuple(notes), source=str(bval))


def write_gradients(table: GradientTable, bval: Path, bvec: Path) -> None:
    """Write a table as FSL's two text files, b-vectors as three rows.

    Parameters
    ----------
    table : GradientTable
        Vectors in FSL's convention for the grid of the image.
    bval, bvec : Path
    """
    # Adding zero turns a negative zero into a plain one.
    rows = np.round(table.bvecs, 8).T + 0.0
    for path, numbers in ((bval, table.bvals[None]), (bvec, rows)):
        text = "\n".join(" ".join(f"{value:.8g}" for value in row) for row in numbers)
        write_text(Path(path), text + "\n")


def check_gradients(
    bvals: npt.NDArray[Any], bvecs: npt.NDArray[Any], *, notes: tuple[str, ...] = (), source: str = "Gradient table"
) -> GradientTable:
    """Check arrays and make a table of them; raises and mends as `read_gradients`."""
    bvals = np.asarray(bvals, dtype=float)
    bvecs = np.array(bvecs, dtype=float)
    bad = np.flatnonzero(~np.isfinite(bvals) | (bvals < 0))
    if len(bad):
        raise InputError(f"{source}: b-value of {_volumes(bad)} is not a number of at least 0.")
    weighted = bvals > B0_LIMIT
    if not weighted.any():
        raise InputError(f"{source}: no volume is diffusion-weighted (largest b-value {bvals.max():g} s/mm2).")
    if weighted.all():
        raise InputError(
            f"{source}: no unweighted volume (smallest b-value {bvals.min():g} s/mm2, b0 is at most {B0_LIMIT:g}). "
            "Every model needs the signal without weighting; add the b0 volumes of the scan to the series."
        )
    # What a b0 volume has as direction means nothing; scanners write zeros, NaN or a unit vector.
    bvecs[~weighted] = 0.0
    lengths = np.linalg.norm(bvecs, axis=1)
    missing = np.flatnonzero(weighted & ~(lengths > 0))
    if len(missing):
        raise InputError(f"{source}: {_volumes(missing)} is diffusion-weighted but has no b-vector (zero or NaN).")
    uneven = np.flatnonzero(weighted & (np.abs(lengths - 1) > _UNIT_TOLERANCE))
    if len(uneven):
        raise InputError(
            f"{source}: the b-vector of {_volumes(uneven)} is not of unit length (lengths {lengths[uneven].min():.3g} "
            f"to {lengths[uneven].max():.3g}). If its length scales the b-value (b |g|^2, as some scanners export), "
            "write unit vectors and the effective b-values."
        )
    bvecs[weighted] /= lengths[weighted, None]
    return GradientTable(bvals, bvecs, notes)


def _numbers(path: Path, what: str) -> FloatArray:
    if not Path(path).is_file():
        raise InputError(f"No {what}: {path} is not a file. A diffusion series needs its .bval and .bvec beside it.")
    text = Path(path).read_text(encoding="utf-8", errors="replace")
    rows = [line.replace(",", " ").split() for line in text.splitlines() if line.strip()]
    try:
        numbers = [[float(number) for number in row] for row in rows]
    except ValueError as error:
        raise InputError(f"{path}: not a table of numbers ({error}).") from error
    if not numbers or len({len(row) for row in numbers}) != 1:
        raise InputError(f"{path}: expected rows of equal length, got {[len(row) for row in numbers] or 'none'}.")
    return np.array(numbers)


def _volumes(index: npt.NDArray[Any]) -> str:
    named = ", ".join(str(volume) for volume in index[:6]) + (", ..." if len(index) > 6 else "")
    return f"volume{'s' if len(index) > 1 else ''} {named} (from 0)"
