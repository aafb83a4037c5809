"""Slice mosaics of volumes in world coordinates, written as one small SVG.

Slices are cut on the axes of the world (RAS, mm), whatever the grid of the image: an oblique or flipped image, or
two images on different grids, come out side by side as they lie in space, and left is left by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError

if TYPE_CHECKING:
    import nibabel as nib

    Image = nib.spatialimages.SpatialImage | Path | str
else:
    Image = Any

Array = NDArray[Any]

AXIS_NAMES = ("x", "y", "z")
PLANE_NAMES = {2: "Axial", 1: "Coronal", 0: "Sagittal"}
#: Axes drawn to the right and upwards, for a cut along each axis. Right of the picture is right of the brain.
IN_PLANE = {0: (1, 2), 1: (0, 2), 2: (0, 1)}
#: Finest sampling of a mosaic, mm per pixel: below that a report of a 0.5 mm image would weigh megabytes.
MIN_PIXEL_MM = 0.9


@dataclass(frozen=True)
class Volume:
    """A 3-D image in memory: values and the affine from voxel to world mm."""

    data: Array
    affine: Array

    @property
    def pixel_mm(self) -> float:
        """Return the smallest voxel edge in mm."""
        return float(np.sqrt((self.affine[:3, :3] ** 2).sum(0)).min())


@dataclass(frozen=True)
class Cut:
    """One slice plane: world axis it is normal to, position (mm), extent (mm) and pixel size (mm)."""

    axis: int
    position: float
    bounds: tuple[tuple[float, float], tuple[float, float]]
    pixel: float

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns) of the picture."""
        (a0, a1), (b0, b1) = self.bounds
        return np.arange(b0, b1, self.pixel).size, np.arange(a0, a1, self.pixel).size

    def points(self) -> Array:
        """Return world coordinates, shape (3, rows, columns); the first row is the top of the picture."""
        (right, up), ((a0, a1), (b0, b1)) = IN_PLANE[self.axis], self.bounds
        across = np.arange(a0, a1, self.pixel)
        upwards = np.arange(b0, b1, self.pixel)[::-1]
        points = np.empty((3, upwards.size, across.size))
        points[self.axis] = self.position
        points[right] = across[None, :]
        points[up] = upwards[:, None]
        return points


def load_volume(image: Image, name: str = "image") -> Volume:
    """Load a 3-D image (nibabel object or path); a trailing axis of length 1 is dropped.

    Raises
    ------
    InputError
        When the image is not 3-D.
    """
    import nibabel as nib

    loaded: Any = nib.load(image) if isinstance(image, str | Path) else image
    data = np.asanyarray(loaded.dataobj)
    if data.ndim == 4 and data.shape[3] == 1:
        data = data[..., 0]
    if data.ndim != 3:
        raise InputError(f"{name}: a 3-D image is needed for a mosaic, this one has shape {data.shape}.")
    return Volume(np.nan_to_num(data.astype(np.float32, copy=False)), np.asarray(loaded.affine, float))


def sample(volume: Volume, cut: Cut, order: int = 1) -> Array:
    """Sample a volume on a cut (nearest for order 0, linear for order 1); 0 outside the image."""
    from scipy.ndimage import map_coordinates

    points = cut.points()
    inverse = np.linalg.inv(volume.affine)
    voxels = np.tensordot(inverse[:3, :3], points, axes=1) + inverse[:3, 3][:, None, None]
    return np.asarray(map_coordinates(volume.data, voxels, order=order, mode="constant", cval=0.0))


def world_extent(mask: Volume) -> Array:
    """Return the box of the non-zero voxels, shape (3, 2) mm; of the whole image if all is zero."""
    inside = np.argwhere(mask.data != 0)
    if inside.size == 0:
        inside = np.array([[0, 0, 0], np.array(mask.data.shape) - 1])
    corners = np.array(np.meshgrid(*[(lo, hi) for lo, hi in zip(inside.min(0), inside.max(0), strict=True)])).reshape(
        3, -1
    )
    world = mask.affine[:3, :3] @ corners + mask.affine[:3, 3:]
    return np.stack([world.min(1), world.max(1)], axis=1)


def plan_cuts(
    extent: Array, pixel: float, *, n_cuts: int = 7, margin: float = 8.0, axes: Sequence[int] = (2, 1, 0)
) -> list[list[Cut]]:
    """Lay `n_cuts` slices per axis evenly through a box; one row per axis.

    Parameters
    ----------
    extent : array (3, 2)
        The box, mm.
    pixel : float
        Size of a pixel, mm.
    n_cuts : int
        Slices per row. The outer tenth of the box on either side is left out: it holds the tips of the cortex only.
    margin : float
        What the pictures show around the box, mm.
    axes : sequence of int
        World axes, one row each.
    """
    pixel = max(pixel, MIN_PIXEL_MM)
    rows = []
    for axis in axes:
        low, high = extent[axis]
        inset = (high - low) / 10
        right, up = ((float(extent[a, 0]) - margin, float(extent[a, 1]) + margin) for a in IN_PLANE[axis])
        positions = np.linspace(low + inset, high - inset, n_cuts)
        rows.append([Cut(axis, float(round(p)), (right, up), pixel) for p in positions])
    return rows


def window(volume: Volume, within: Array | None = None, low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
    """Return the grey-level window (percentiles of the voxels within a mask, or of the non-zero ones)."""
    values = volume.data[within] if within is not None and within.any() else volume.data[volume.data != 0]
    if values.size == 0:
        return 0.0, 1.0
    bottom, top = np.percentile(values, [low, high])
    # Headroom at both ends: the darkest tissue must not sink into the background, nor outlines into the brightest.
    span = float(top - bottom) or 1.0
    return float(bottom) - 0.1 * span, float(top) + 0.1 * span


def grey(values: Array, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Map values to 8-bit grey between the limits."""
    scaled = (values - limits[0]) / (limits[1] - limits[0])
    return (np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def outline(values: Array, level: float = 0.5) -> list[Array]:
    """Return iso-lines of a 2-D field in pixel units (column, row), each of shape (n_points, 2)."""
    from contourpy import LineType, contour_generator

    if min(values.shape) < 2 or not (values > level).any():
        return []
    generator = contour_generator(z=values, line_type=LineType.Separate)
    lines = generator.lines(level)
    return [simplify(np.asarray(line)) for line in lines if len(line) > 4]


def simplify(line: Array, tolerance: float = 0.2) -> Array:
    """Drop the points of a line that lie within `tolerance` (pixels) of it (Ramer, Douglas and Peucker)."""
    keep = np.zeros(len(line), bool)
    keep[[0, -1]] = True
    pending = [(0, len(line) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        distance = _distance_to_chord(line[first + 1 : last], line[first], line[last])
        farthest = int(distance.argmax())
        if distance[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return line[keep]


def _distance_to_chord(points: Array, start: Array, end: Array) -> Array:
    chord, offset = end - start, points - start
    length = float(np.hypot(*chord))
    if length == 0:  # a closed line: measure from its end point
        return np.asarray(np.hypot(offset[:, 0], offset[:, 1]))
    return np.asarray(np.abs(chord[0] * offset[:, 1] - chord[1] * offset[:, 0]) / length)
