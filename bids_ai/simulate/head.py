"""The tissues of a head: the template's brain, and around it CSF, dura, skull, scalp, eyes, face and neck.

Everything is placed in template space (mm RAS), so that one warp carries the whole head to a subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, map_coordinates

from bids_ai.simulate.shapes import Ripple, between, blend, capsule, ellipsoid, inside

Array = NDArray[np.floating]
#: Tissue, rows of the voxels that may bear it, and the share of each that does.
Layer = tuple[str, NDArray[np.intp], Array]

#: Sulci narrower than twice this are bridged by the skull, mm.
_HULL_CLOSING_MM = 10.0
#: Exponent that undoes part of the blur of an average of 152 brains: p**g / sum(p**g).
_SHARPEN = 2.0
#: Margin around the brain in the maps that are sampled.
_AIR_VOXELS = 6
#: Wavelengths over which thickness varies, mm.
_RIPPLE_MM = {"csf": 90.0, "skull": 110.0, "scalp": 120.0, "diploe": 45.0, "fascia": 38.0}
#: Template z above which there is nothing of the face, of the neck.
_FACE_TOP_MM, _NECK_TOP_MM = -8.0, -50.0


@dataclass(frozen=True)
class TemplateBrain:
    """The bundled MNI152NLin2009aSym brain, ready to be sampled.

    Attributes
    ----------
    affine : array, shape (4, 4)
        Voxel to mm of `tissues` and `mask`.
    tissues : mapping of str to array
        Fractions of ``GM``, ``WM`` and ``CSF``; they sum to one inside the mask.
    mask : array
        Brain mask, 0 or 1.
    hull_affine : array, shape (4, 4)
        Voxel to mm of `hull`.
    hull : array
        Signed distance (mm) to the hull of the brain, on which the skull rests.
    """

    affine: Array
    tissues: Mapping[str, Array]
    mask: Array
    hull_affine: Array
    hull: Array


def load_template_brain(voxel_mm: float = 1.0) -> TemplateBrain:
    """Read the skull-stripped template and the tissue maps bundled with nilearn (no network).

    Parameters
    ----------
    voxel_mm : float
        Voxel size of the images to be made: the tissue fractions are averaged over it.

    Returns
    -------
    TemplateBrain

    References
    ----------
    Fonov et al. 2011, doi:10.1016/j.neuroimage.2010.07.033.
    """
    from nilearn.datasets import (
        load_mni152_brain_mask,
        load_mni152_gm_template,
        load_mni152_wm_template,
    )

    mask_image = load_mni152_brain_mask(resolution=1)
    box = find_objects(np.asarray(mask_image.dataobj).astype(np.int8))[0]
    affine = mask_image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ np.array([side.start for side in box])
    # Only the brain, with air around it for the blur.
    mask, grey, white = (
        np.pad(np.asarray(image.dataobj[box], np.float32), _AIR_VOXELS)
        for image in (mask_image, load_mni152_gm_template(resolution=1), load_mni152_wm_template(resolution=1))
    )
    affine[:3, 3] -= affine[:3, :3] @ np.full(3, _AIR_VOXELS)
    # Average of a box of that size, less what linear interpolation of the 1 mm template blurs by itself.
    sigma = np.sqrt(max(voxel_mm**2 - 1.0, 0.0) / 12.0)
    tissues = {
        name: gaussian_filter(part, sigma, truncate=3.0) if sigma > 0 else part
        for name, part in _sharpened(grey * mask, white * mask, mask).items()
    }
    hull_affine, hull = _hull_distance(mask > 0, affine)
    return TemplateBrain(affine, tissues, mask, hull_affine, hull)


def sample(volume: Array, affine: Array, points: Array, *, order: int = 1, mode: str = "constant") -> Array:
    """Values of a volume at points (..., 3) in mm; zero outside, or the edge's value (``nearest``)."""
    inverse = np.linalg.inv(affine).astype(points.dtype)
    at = [points @ inverse[axis, :3] + inverse[axis, 3] for axis in range(3)]
    return map_coordinates(volume, at, order=order, mode=mode, output=points.dtype)


def brain_fractions(brain: TemplateBrain, points: Array) -> dict[str, Array]:
    """Fractions of GM, WM, CSF and of the brain mask in voxels centred at template points.

    Parameters
    ----------
    brain : TemplateBrain
    points : array, shape (..., 3)
        Template mm.

    Returns
    -------
    dict of str to array
        ``GM``, ``WM``, ``CSF`` (sum to ``brain``) and ``brain``, in 0..1.
    """
    fractions = {name: sample(part, brain.affine, points) for name, part in brain.tissues.items()}
    fractions["brain"] = fractions["GM"] + fractions["WM"] + fractions["CSF"]
    return fractions


def head_layers(brain: TemplateBrain, points: Array, voxel_mm: float, rng: np.random.Generator) -> Iterator[Layer]:
    """Tissues from the outside in: each covers what was painted before it.

    Parameters
    ----------
    brain : TemplateBrain
    points : array, shape (n_voxels, 3)
        Template mm of the voxel centres, float32 to save memory.
    voxel_mm : float
        Size of a voxel, for the partial volumes of thin layers.
    rng : numpy Generator
        Thickness of skull and scalp differ between subjects and over the head.

    Yields
    ------
    name : str
        A key of the signal tables in `phantom`.
    voxels : array of int, shape (n,)
        Rows of `points`.
    coverage : array, shape (n,)
        0..1.
    """
    ripple = {name: Ripple(rng, wavelength) for name, wavelength in _RIPPLE_MM.items()}
    cranium = _Cranium(sample(brain.hull, brain.hull_affine, points, mode="nearest"), points, ripple)
    body = _body_distance(points, cranium.scalp_distance)
    voxels = np.flatnonzero(body < voxel_mm)
    points, body, cranium = points[voxels], body[voxels], cranium.at(voxels)

    yield "muscle", voxels, inside(body, voxel_mm)
    yield "fat", voxels, inside(body, voxel_mm) * _fascia(points, voxel_mm, ripple["fascia"])
    yield "fat", voxels, inside(body, voxel_mm) * (1.0 - inside(body + cranium.scalp, voxel_mm))
    yield "skin", voxels, between(body, -1.5, 0.0, voxel_mm)
    yield from _within(voxels, points, points[:, 2] < _FACE_TOP_MM, _face, voxel_mm)
    yield from _within(voxels, points, points[:, 2] < _NECK_TOP_MM, _neck, voxel_mm)
    yield "bone", voxels, inside(cranium.hull - cranium.skull_inner - cranium.skull, voxel_mm)
    yield "marrow", voxels, _diploe(points, cranium, voxel_mm, ripple["diploe"])
    yield from _within(voxels, points, points[:, 2] < _NECK_TOP_MM, _spinal_canal, voxel_mm)
    yield "dura", voxels, inside(cranium.hull - cranium.skull_inner, voxel_mm)
    yield "CSF", voxels, inside(cranium.hull - cranium.csf, voxel_mm)


def paint(layers: Iterable[Layer], signals: Mapping[str, Mapping[str, float]], n_voxels: int) -> dict[str, Array]:
    """Images of several contrasts from one pass over the layers.

    Parameters
    ----------
    layers : iterable of (name, voxels, coverage)
    signals : mapping of contrast to mapping of tissue to signal
    n_voxels : int

    Returns
    -------
    dict of contrast to array, shape (n_voxels,)
    """
    images = {contrast: np.zeros(n_voxels, np.float32) for contrast in signals}
    for name, voxels, coverage in layers:
        for contrast, table in signals.items():
            before = images[contrast][voxels]
            images[contrast][voxels] = before + coverage * (np.float32(table[name]) - before)
    return images


@dataclass(frozen=True)
class _Cranium:
    """Distance to the hull of the brain, and how thick what lies on it is (mm), voxel by voxel."""

    hull: Array
    points: Array
    ripple: Mapping[str, Ripple]

    @cached_property
    def csf(self) -> Array:
        return np.maximum(2.2 + 0.6 * self.ripple["csf"](self.points), 0.8)

    @cached_property
    def skull_inner(self) -> Array:
        """Where dura ends and bone begins."""
        return self.csf + 1.0

    @cached_property
    def skull(self) -> Array:
        return np.maximum(6.5 + 1.3 * self.ripple["skull"](self.points), 3.5)

    @cached_property
    def scalp(self) -> Array:
        return np.maximum(5.0 + 1.2 * self.ripple["scalp"](self.points), 2.5)

    @property
    def scalp_distance(self) -> Array:
        """Signed distance to the outer surface over the skull."""
        return self.hull - (self.skull_inner + self.skull + self.scalp + _temporal_muscle(self.points))

    def at(self, voxels: NDArray[np.intp]) -> _Cranium:
        """The same for some voxels only."""
        return _Cranium(self.hull[voxels], self.points[voxels], self.ripple)


def _within(
    voxels: NDArray[np.intp],
    points: Array,
    region: NDArray[np.bool_],
    part: Callable[[Array, float], Iterator[tuple[str, Array]]],
    voxel_mm: float,
) -> Iterator[Layer]:
    """Layers of one part of the head, worked out only where it can be."""
    here = voxels[region]
    for name, coverage in part(points[region], voxel_mm):
        yield name, here, coverage


def _sharpened(grey: Array, white: Array, mask: Array) -> dict[str, Array]:
    fluid = np.clip(mask - grey - white, 0.0, 1.0)
    # The averaged template shows narrow sulci as thin grey matter: lift their fluid before sharpening.
    local = gaussian_filter(fluid, 3.0)
    fluid = np.clip(fluid + 1.2 * (fluid - local) * (local > 0.01), 0.0, 1.0) * mask
    parts = {"GM": grey**_SHARPEN, "WM": white**_SHARPEN, "CSF": fluid**_SHARPEN}
    total = np.maximum(parts["GM"] + parts["WM"] + parts["CSF"], 1e-6)
    return {name: (part / total * mask).astype(np.float32) for name, part in parts.items()}


def _hull_distance(mask: NDArray[np.bool_], affine: Array) -> tuple[Array, Array]:
    """Signed distance (mm) to the brain with its sulci closed, on a 2 mm grid with a margin.

    A closing is a dilation followed by an erosion; the two distance maps that make them also give the distance to
    the result: inside the dilated brain it is read from its border, outside from the brain itself.
    """
    margin = 16
    coarse = np.pad(mask[::2, ::2, ::2], margin)
    grid = affine.copy()
    grid[:3, :3] *= 2.0
    grid[:3, 3] -= grid[:3, :3] @ np.full(3, margin)
    reach = distance_transform_edt(~coarse) * 2.0
    dilated = reach <= _HULL_CLOSING_MM
    signed = np.where(dilated, _HULL_CLOSING_MM - distance_transform_edt(dilated) * 2.0, reach)
    return grid, gaussian_filter(signed.astype(np.float32), 1.0)


def _fascia(points: Array, voxel_mm: float, ripple: Ripple) -> Array:
    """Coverage by the thin sheets of fat between muscles, diluted in voxels that are thicker than they are."""
    sheet = np.abs(ripple(points))
    half_width = max(0.12, 0.1 * voxel_mm)
    return np.clip(1.0 - sheet / half_width, 0.0, 1.0) * np.float32(0.7 * 0.12 / half_width)


def _temporal_muscle(points: Array) -> Array:
    """Extra thickness (mm) between skull and scalp at the temples."""
    x, y, z = (points[..., axis] for axis in range(3))
    bump = np.exp(-(((y - 18.0) / 28.0) ** 2) - ((z + 18.0) / 24.0) ** 2)
    return 10.0 * bump * np.clip((np.abs(x) - 30.0) / 25.0, 0.0, 1.0)


def _body_distance(points: Array, cranium: Array) -> Array:
    """Signed distance (mm) to the outer surface: cranium, face, nose and neck in one skin."""
    face = ellipsoid(points, (0.0, 36.0, -62.0), (60.0, 62.0, 62.0))
    nose = capsule(points, (0.0, 88.0, -28.0), (0.0, 102.0, -62.0), 9.0)
    neck = capsule(points, (0.0, -38.0, -60.0), (0.0, -56.0, -260.0), 56.0, flatness=1.08)
    return blend(blend(blend(cranium, face, 16.0), nose, 12.0), neck, 30.0)


def _face(points: Array, voxel_mm: float) -> Iterator[tuple[str, Array]]:
    """Maxilla and jaw, orbits with eyes, the air of nose and sinuses, the tongue."""
    yield "bone", inside(ellipsoid(points, (0.0, 48.0, -62.0), (40.0, 38.0, 34.0)), voxel_mm)
    yield "marrow", inside(ellipsoid(points, (0.0, 50.0, -80.0), (30.0, 30.0, 10.0)), voxel_mm)
    yield "muscle", inside(ellipsoid(points, (0.0, 38.0, -98.0), (24.0, 34.0, 16.0)), voxel_mm)
    yield "air", inside(ellipsoid(points, (0.0, 62.0, -56.0), (13.0, 26.0, 17.0)), voxel_mm)
    yield "muscle", inside(ellipsoid(points, (0.0, 60.0, -56.0), (2.0, 26.0, 15.0)), voxel_mm)
    for side in (-1.0, 1.0):
        yield "air", inside(ellipsoid(points, (side * 28.0, 48.0, -66.0), (11.0, 14.0, 13.0)), voxel_mm)
        orbit = capsule(points, (side * 33.0, 62.0, -37.0), (side * 20.0, 30.0, -36.0), 14.0)
        yield "fat", inside(orbit, voxel_mm)
        nerve = capsule(points, (side * 32.0, 58.0, -37.0), (side * 14.0, 22.0, -32.0), 2.5)
        yield "muscle", inside(nerve, voxel_mm)
        yield "vitreous", inside(ellipsoid(points, (side * 33.0, 66.0, -37.0), (12.5,) * 3), voxel_mm)
        yield "muscle", inside(ellipsoid(points, (side * 33.0, 75.0, -37.0), (4.5, 2.0, 4.5)), voxel_mm)


def _neck(points: Array, voxel_mm: float) -> Iterator[tuple[str, Array]]:
    """Airway, vertebral bodies with discs, and the carotid arteries, bright by inflow."""
    z = points[..., 2]
    yield "air", inside(capsule(points, (0.0, 22.0, -72.0), (0.0, -2.0, -260.0), 8.0, flatness=1.4), voxel_mm)
    spine = capsule(points, (0.0, -22.0, -84.0), (0.0, -40.0, -260.0), 12.0)
    yield "bone", inside(spine, voxel_mm)
    disc = np.clip(np.cos(2.0 * np.pi * z / 17.0) * 3.0 - 1.6, 0.0, 1.0)
    yield "marrow", inside(spine + 2.0, voxel_mm) * (1.0 - disc)
    for side in (-1.0, 1.0):
        artery = capsule(points, (side * 22.0, -8.0, -70.0), (side * 27.0, -14.0, -260.0), 3.2)
        yield "vessel", inside(artery, voxel_mm)


def _spinal_canal(points: Array, voxel_mm: float) -> Iterator[tuple[str, Array]]:
    """The cord in its fluid, from the foramen magnum down."""
    ends = (0.0, -44.0, -68.0), (0.0, -62.0, -260.0)
    yield "bone", inside(capsule(points, *ends, 10.5, flatness=1.2), voxel_mm)
    yield "CSF", inside(capsule(points, *ends, 8.5, flatness=1.2), voxel_mm)
    yield "cord", inside(capsule(points, *ends, 4.8, flatness=1.2), voxel_mm)


def _diploe(points: Array, cranium: _Cranium, voxel_mm: float, ripple: Ripple) -> Array:
    """Marrow between the two tables of the skull, patchy, and absent in the thin temporal bone."""
    x, z = np.abs(points[..., 0]), points[..., 2]
    depth = cranium.hull - cranium.skull_inner
    shell = between(depth, 0.28 * cranium.skull, 0.75 * cranium.skull, voxel_mm)
    patches = np.clip(0.75 + 0.35 * ripple(points), 0.0, 1.0)
    temporal = np.clip((x - 50.0) / 10.0, 0.0, 1.0) * np.clip((10.0 - z) / 20.0, 0.0, 1.0)
    return shell * patches * (1.0 - temporal)
