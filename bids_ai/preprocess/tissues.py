"""Segmentation of a brain into grey matter, white matter and CSF by ANTs' Atropos.

Avants et al. 2011, doi 10.1007/s12021-011-9109-y.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_ai.preprocess import normalisation, volumes
from bids_ai.preprocess.volumes import Array, Mask

#: Values of the discrete segmentation, in the order of `Tissues.probabilities`.
DSEG_LABELS = {"GM": 1, "WM": 2, "CSF": 3}
#: Atropos takes minutes on 1 mm voxels. Finer images than this are segmented on it, and the result is the prior of one
#: more expectation step on the image's own voxels.
_GRID_MM = 1.5
_MARGIN = 2
#: No tissue is impossible anywhere in the brain.
_LEAST_PRIOR = 0.02


@dataclass(frozen=True)
class Tissues:
    """Result of `segment_tissues`: arrays on the grid of the image, zero outside the brain mask.

    Attributes
    ----------
    dseg : (nx, ny, nz) array of uint8
        0 background, 1 GM, 2 WM, 3 CSF.
    gm, wm, csf : (nx, ny, nz) arrays
        Posterior probabilities; they add up to 1 inside the mask.
    method : str
        For the report.
    """

    dseg: NDArray[np.uint8]
    gm: Array
    wm: Array
    csf: Array
    method: str


def segment_tissues(
    t1w: Array,
    affine: NDArray[np.float64],
    mask: Mask,
    *,
    gm_prior: Array | None = None,
    wm_prior: Array | None = None,
    sloppy: bool = False,
) -> Tissues:
    """Segment a bias-corrected T1w image.

    Parameters
    ----------
    t1w : (nx, ny, nz) array
    affine : (4, 4) array
    mask : (nx, ny, nz) array of bool
        Brain.
    gm_prior, wm_prior : (nx, ny, nz) arrays, optional
        Template's maps in the space of the image; what is left in the mask is the prior of CSF. Without them the
        classes start from k-means and are told apart by their brightness.
    sloppy : bool
        Fewer iterations, for tests.
    """
    import ants

    box = _bounding_box(mask)
    corner = affine.copy()
    corner[:3, 3] = affine[:3, :3] @ np.array([axis.start for axis in box]) + affine[:3, 3]
    fine = float(volumes.voxel_sizes(affine).min()) < _GRID_MM

    def crop(data: NDArray[np.floating]) -> tuple[Array, NDArray[np.float64]]:
        part = np.asarray(data[box], np.float32)
        return volumes.isotropic(part, corner, _GRID_MM) if fine else (part, corner)

    image, grid = crop(t1w)
    # Atropos reads priors from files, whose origin has 32 bits, and refuses images that are 2e-6 mm apart.
    grid[:3, 3] = grid[:3, 3].astype(np.float32)
    inside = crop(mask.astype(np.float32))[0] > 0.5
    # Vessels and remains of fat would take a class for themselves.
    image = np.clip(image, 0, np.percentile(image[inside], 99.5)).astype(np.float32)
    brain = normalisation.to_ants(inside, grid)
    if gm_prior is not None and wm_prior is not None:
        grey, white = crop(gm_prior)[0], crop(wm_prior)[0]
        priors = np.clip(np.stack([1 - grey - white, grey, white]), _LEAST_PRIOR, 1)
        priors /= priors.sum(axis=0)
        start: Any = [normalisation.to_ants(prior * inside, grid) for prior in priors]
        method = "Atropos with the template's grey- and white-matter maps as priors"
    else:
        start = "Kmeans[3]"
        method = "Atropos started by k-means"
    result = ants.atropos(
        a=normalisation.to_ants(image, grid),
        x=brain,
        i=start,
        m="[0.1,1x1x1]",
        c="[2,0]" if sloppy else "[5,0]",
        priorweight=0.25,
        r=0,  # its random numbers from a constant seed; the default is the clock
    )
    posteriors = np.stack([p.numpy() for p in result["probabilityimages"]])
    if isinstance(start, str):
        posteriors = posteriors[_by_brightness(posteriors, image)]
    if fine:
        native = np.asarray(t1w[box], np.float32)
        posteriors = _sharpen(native, corner, image, posteriors, grid)
    full = np.zeros((3, *t1w.shape), np.float32)
    for target, posterior in zip(full, posteriors, strict=True):
        target[box] = posterior
    return _assemble(full, mask, method)


def _bounding_box(mask: Mask) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, int(axis.min()) - _MARGIN), min(n, int(axis.max()) + 1 + _MARGIN))
        for axis, n in zip(np.nonzero(mask), mask.shape, strict=True)
    )


def _by_brightness(posteriors: Array, image: Array) -> NDArray[np.intp]:
    means = [(p * image).sum() / max(float(p.sum()), 1e-12) for p in posteriors]
    return np.argsort(means)


def _sharpen(
    native: Array, affine: NDArray[np.float64], image: Array, posteriors: Array, grid: NDArray[np.float64]
) -> Array:
    """One expectation step on finer voxels: coarse posteriors are the prior, the classes are those found there."""
    sharp = []
    for posterior in posteriors:
        weight = float(posterior.sum())
        mean = float((posterior * image).sum()) / weight
        sd = float(np.sqrt((posterior * (image - mean) ** 2).sum() / weight))
        prior = volumes.resample(posterior, grid, native.shape, affine)
        sharp.append(prior * np.exp(-0.5 * ((native - mean) / sd) ** 2) / sd + 1e-6 * prior)
    stacked = np.stack(sharp)
    return np.asarray(stacked / np.maximum(stacked.sum(axis=0), 1e-12), np.float32)


def _assemble(posteriors: Array, mask: Mask, method: str) -> Tissues:
    """From CSF, GM, WM posteriors to the outputs; voxels of the mask that got none are CSF (its rim)."""
    csf, grey, white = np.clip(posteriors, 0, 1) * mask
    total = csf + grey + white
    csf = np.where(mask & (total < 1e-3), 1.0, csf)
    total = np.where(mask, csf + grey + white, 1.0)
    gm, wm, rest = (np.asarray(p / total, np.float32) for p in (grey, white, csf))
    dseg = (np.argmax(np.stack([gm, wm, rest]), axis=0) + 1) * mask
    return Tissues(dseg.astype(np.uint8), gm, wm, rest, method)
