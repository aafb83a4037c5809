"""Diffusion gradients: what the scanner sets, and how FSL files write it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

Array = NDArray[np.floating]

#: Steps of the repulsion of directions, and the angle (rad) of the largest first step.
_REPULSIONS = 400
_FIRST_STEP = 0.1


@dataclass(frozen=True)
class DwiScheme:
    """How a diffusion series is acquired.

    Attributes
    ----------
    voxel_mm : float
        Edge of the isotropic voxels.
    shells : tuple of (float, int)
        b-value (s/mm2) and number of directions.
    n_b0 : int
        Volumes without diffusion weighting, spread over the series.
    echo_spacing_s : float
        Effective echo spacing: parallel imaging already taken off.
    snr : float
        White-matter signal at b = 0 over the noise of one channel.
    repetition_time_s, echo_time_s : float
    """

    voxel_mm: float
    shells: tuple[tuple[float, int], ...]
    n_b0: int
    echo_spacing_s: float
    snr: float
    repetition_time_s: float = 8.0
    echo_time_s: float = 0.085


DWI_SIZES = {
    "tiny": DwiScheme(4.0, ((1000.0, 20),), n_b0=2, echo_spacing_s=0.0006, snr=30.0),
    "small": DwiScheme(3.0, ((1000.0, 32),), n_b0=4, echo_spacing_s=0.00052, snr=28.0),
    "full": DwiScheme(2.0, ((1000.0, 30), (2000.0, 60)), n_b0=9, echo_spacing_s=0.00034, snr=20.0),
}


def dwi_scheme(name: str) -> DwiScheme:
    """The scheme of that name.

    Raises
    ------
    InputError
        When there is none.
    """
    if name not in DWI_SIZES:
        raise InputError(f"Size of the DWI: one of {', '.join(DWI_SIZES)} is wanted, got {name!r}.")
    return DWI_SIZES[name]


@dataclass(frozen=True)
class ScannerGradients:
    """What the scanner sets, volume by volume.

    Attributes
    ----------
    b_values : array, shape (n_volumes,)
        s/mm2.
    directions : array, shape (n_volumes, 3)
        Unit vectors along the axes of the scanner (RAS); zero where b = 0.
    """

    b_values: Array
    directions: Array

    def __len__(self) -> int:
        """Number of volumes."""
        return len(self.b_values)


def gradient_table(scheme: DwiScheme, rng: np.random.Generator) -> ScannerGradients:
    """Volumes of a scheme in an order that spreads shells and b = 0 over the series; the first is b = 0.

    Parameters
    ----------
    scheme : DwiScheme
    rng : numpy Generator

    Returns
    -------
    ScannerGradients
    """
    weighted = [(b, vector) for b, n in scheme.shells for vector in even_directions(n, rng)]
    order = rng.permutation(len(weighted))
    rows = [weighted[position] for position in order]
    total = len(rows) + scheme.n_b0
    at = np.floor(np.arange(scheme.n_b0) * total / max(scheme.n_b0, 1)).astype(int)
    b_values, directions = np.zeros(total), np.zeros((total, 3))
    rest = np.setdiff1d(np.arange(total), at)
    b_values[rest] = [b for b, _ in rows]
    directions[rest] = np.stack([vector for _, vector in rows])
    return ScannerGradients(b_values, directions)


def even_directions(n: int, rng: np.random.Generator) -> Array:
    """Unit vectors spread evenly over axes: charges, each with its opposite, that repel each other.

    Vectors lie in both half-spheres by chance, so that eddy currents would not add up.

    Parameters
    ----------
    n : int
    rng : numpy Generator

    Returns
    -------
    array, shape (n, 3)

    References
    ----------
    Jones et al. 1999, doi:10.1002/(SICI)1522-2594(199909)42:3<515::AID-MRM14>3.0.CO;2-Q.
    """
    vectors = _unit(rng.standard_normal((n, 3)))
    for step in np.linspace(_FIRST_STEP, 0.0, _REPULSIONS, endpoint=False):
        force = np.zeros_like(vectors)
        for sign in (1.0, -1.0):
            apart = vectors[:, None] - sign * vectors[None]
            distance = np.linalg.norm(apart, axis=-1, keepdims=True)
            # A charge does not act on itself; its opposite acts along itself only.
            force += (apart / np.maximum(distance, 1e-3) ** 3).sum(axis=1)
        force -= (force * vectors).sum(axis=1, keepdims=True) * vectors
        largest = np.linalg.norm(force, axis=1).max()
        vectors = _unit(vectors + step * force / max(largest, 1e-9))
    return vectors


def fsl_vectors(directions: Array, affine: Array) -> Array:
    """Directions as FSL writes them: along the voxel axes, the first negated where the determinant is positive.

    Written apart from the reader (`bids_ai.bids.gradients`), so that an error in the one does not hide in the other.

    Parameters
    ----------
    directions : array, shape (n_volumes, 3)
        Scanner axes, RAS.
    affine : array, shape (4, 4)
        Voxel to scanner mm.

    Returns
    -------
    array, shape (n_volumes, 3)

    References
    ----------
    Jenkinson et al. 2012, doi:10.1016/j.neuroimage.2011.09.015; FSL's user guide of FDT, "What conventions do the bvecs
    use?".
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    vectors = directions @ axes
    if np.linalg.det(axes) > 0.0:
        vectors = vectors * np.array([-1.0, 1.0, 1.0])
    return vectors


def write_gradients(stem: Path, table: ScannerGradients, affine: Array) -> None:
    """Write ``.bval`` and ``.bvec`` beside an image.

    Parameters
    ----------
    stem : Path
        Path of the image without its extension.
    table : ScannerGradients
    affine : array, shape (4, 4)
        Of the image.
    """
    b_line = " ".join(f"{b:g}" for b in table.b_values)
    stem.with_name(stem.name + ".bval").write_text(b_line + "\n", encoding="utf-8")
    # Adding zero turns a negative zero into a plain one.
    rows = np.round(fsl_vectors(table.directions, affine), 8).T + 0.0
    lines = [" ".join(f"{value:.8g}" for value in row) for row in rows]
    stem.with_name(stem.name + ".bvec").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _unit(vectors: Array) -> Array:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
