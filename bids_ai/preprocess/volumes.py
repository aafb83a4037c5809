"""Small operations on 3-D arrays with an affine: grids, distances, normalised mutual information."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]
#: A Gaussian of this full width at half maximum, in voxels of the coarser grid, goes before downsampling.
_FWHM_TO_SIGMA = 1 / 2.3548


def voxel_sizes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges of the voxels, mm."""
    return np.sqrt((affine[:3, :3] ** 2).sum(axis=0))


def otsu_threshold(values: NDArray[np.floating], n_bins: int = 256) -> float:
    """Threshold between two classes of intensities (Otsu 1979, doi 10.1109/TSMC.1979.4310076)."""
    counts, edges = np.histogram(values, n_bins)
    centres = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    total = np.cumsum(counts * centres)
    above = below[-1] - below
    mean_below = total / np.maximum(below, 1)
    mean_above = (total[-1] - total) / np.maximum(above, 1)
    between = below * above * (mean_below - mean_above) ** 2
    # Any value in an empty gap is as good: its middle is taken.
    return float(centres[between >= between.max() * (1 - 1e-12)].mean())


def isotropic(data: Array, affine: NDArray[np.float64], mm: float) -> tuple[Array, NDArray[np.float64]]:
    """Resample to cubic voxels along the same axes, smoothed against aliasing.

    Parameters
    ----------
    data : (nx, ny, nz) array
    affine : (4, 4) array
    mm : float
        Edge of the new voxels.

    Returns
    -------
    data, affine
    """
    sizes = voxel_sizes(affine)
    step = mm / sizes
    shape = np.maximum(1, np.ceil(np.array(data.shape) / step)).astype(int)
    # Both grids have the same outer corner, so that no half voxel is lost.
    offset = (step - 1) / 2
    sigma = np.where(step > 1, np.sqrt(np.maximum(step**2 - 1, 0)) * _FWHM_TO_SIGMA, 0.0)
    smooth = ndimage.gaussian_filter(np.asarray(data, np.float32), sigma)
    out = ndimage.affine_transform(smooth, np.diag(step), offset, output_shape=tuple(shape), order=1, mode="nearest")
    change = np.eye(4)
    change[:3, :3] = np.diag(step)
    change[:3, 3] = offset
    return out.astype(np.float32), affine @ change


def resample(
    data: Array,
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    target_affine: NDArray[np.float64],
    *,
    moved: NDArray[np.float64] | None = None,
    order: int = 1,
    cval: float = 0.0,
) -> Array:
    """Sample a volume on another grid.

    Parameters
    ----------
    data : (nx, ny, nz) array
    affine : (4, 4) array
        Voxels of `data` to its world, mm.
    shape, target_affine
        The other grid.
    moved : (4, 4) array, optional
        Takes world coordinates of `data` to world coordinates of the target; identity if None.
    order : int
        0 nearest, 1 linear.
    cval : float
        Value outside `data`.
    """
    world = np.eye(4) if moved is None else moved
    matrix = np.linalg.inv(affine) @ np.linalg.inv(world) @ target_affine
    out = ndimage.affine_transform(
        np.asarray(data, np.float32), matrix[:3, :3], matrix[:3, 3], output_shape=shape, order=order, cval=cval
    )
    return np.asarray(out, np.float32)


def signed_distance(mask: Mask, mm: float, smooth_mm: float = 1.5) -> Array:
    """Distance to the surface of a mask, mm: negative inside, smoothed so that its gradient gives normals."""
    outside = ndimage.distance_transform_edt(~mask, sampling=mm)
    inside = ndimage.distance_transform_edt(mask, sampling=mm)
    # These are distances between centres of voxels; the surface lies half a voxel before the other centre.
    distance = np.where(mask, mm / 2 - inside, outside - mm / 2)
    return np.asarray(ndimage.gaussian_filter(distance, smooth_mm / mm), np.float32)


def ball(radius_mm: float, mm: float) -> Mask:
    """Structuring element: the voxels within a radius."""
    n = int(np.ceil(radius_mm / mm))
    grid = np.mgrid[-n : n + 1, -n : n + 1, -n : n + 1] * mm
    return np.asarray((grid**2).sum(axis=0) <= radius_mm**2 + 1e-6)


def closing(mask: Mask, radius_mm: float, mm: float) -> Mask:
    """Morphological closing by a ball; the border of the volume is no obstacle."""
    n = int(np.ceil(radius_mm / mm)) + 1
    # By distances: the time does not grow with the ball.
    grown = ndimage.distance_transform_edt(~np.pad(mask, n), sampling=mm) <= radius_mm + 1e-6
    closed = ndimage.distance_transform_edt(grown, sampling=mm) > radius_mm + 1e-6
    return np.asarray(closed[n:-n, n:-n, n:-n]) | mask


def largest_component(mask: Mask) -> Mask:
    """Keep the largest face-connected component."""
    labels, n = ndimage.label(mask)
    if n == 0:
        return mask
    return np.asarray(labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1)


def dice(a: Mask, b: Mask) -> float:
    """Overlap 2|A and B| / (|A| + |B|)."""
    total = int(a.sum()) + int(b.sum())
    return float(2 * np.logical_and(a, b).sum() / total) if total else float("nan")


def normalised_mutual_information(a: NDArray[np.floating], b: NDArray[np.floating], n_bins: int = 64) -> float:
    """Mutual information (H(a) + H(b)) / H(a, b): 1 for independent, 2 for identical images.

    Studholme et al. 1999, doi 10.1016/S0031-3203(98)00091-0. NaN where one of the images is constant.

    Parameters
    ----------
    a, b : (n,) arrays
        Intensities of the same voxels.
    n_bins : int
        Bins of each image between its 0.5th and 99.5th percentile.
    """
    if a.size == 0 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    codes = []
    for values in (a, b):
        low, high = np.percentile(values, [0.5, 99.5])
        scaled = (values - low) / max(high - low, 1e-12)
        codes.append(np.clip(scaled * n_bins, 0, n_bins - 1).astype(int))
    joint = np.bincount(codes[0] * n_bins + codes[1], minlength=n_bins**2).reshape(n_bins, n_bins) / a.size

    def entropy(p: NDArray[np.floating]) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    return (entropy(joint.sum(axis=0)) + entropy(joint.sum(axis=1))) / entropy(joint)
