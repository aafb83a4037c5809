"""White-matter bundles of a virtual patient: curves through white matter between parcels, in template space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, map_coordinates

from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.head import TemplateBrain, sample
from bids_ai.simulate.packing import give_way
from bids_ai.simulate.parcels import Parcels
from bids_ai.simulate.routes import Routes, white_matter_routes
from bids_ai.simulate.warp import SubjectWarp, apply_affine

Array = NDArray[np.floating]

#: Points of a strand, evenly spaced along it.
N_POINTS = 100
#: Share of the white matter of the template that bundles fill, crossings counted twice.
FILL = 0.45
#: A strand stands for so much cross-section, mm2; a bundle has this many strands at least and at most.
_STRAND_MM2 = 1.5
_N_STRANDS = (10, 120)
#: Radius of a bundle relative to that of its fibres packed without gaps: bundles mix where they meet.
_LOOSENESS = 1.4
#: A bundle is no thinner, however weak: its fibres then lie less densely.
_LEAST_RADIUS_MM = 1.5
#: Strands are smoothed over this length.
_SMOOTH_MM = 4.0
#: Share of a strand that must lie in white matter, lest a simpler curve be taken.
_WANTED_SHARE = 0.9
#: Where a strand passes from the way of one of its ends to that of the other, as shares of its length.
_BLEND = (0.3, 0.7)
_WHITE = 0.5


@dataclass(frozen=True)
class Bundles:
    """The bundles of a group, in template space.

    Attributes
    ----------
    pairs : array of int, shape (n_bundles, 2)
        Regions that each joins, row < column.
    strands : array, shape (n_strands, n_points, 3)
        Curves in template mm, from the first region of the pair to the second; both ends at the border of grey and
        white matter.
    owner : array of int, shape (n_strands,)
        Row of `pairs`.
    radii_mm : array, shape (n_bundles,)
    """

    pairs: NDArray[np.intp]
    strands: Array
    owner: NDArray[np.intp]
    radii_mm: Array

    def in_subject(self, warp: SubjectWarp) -> Array:
        """Strands in the subject's T1w, mm, shape of `strands`."""
        return warp.to_subject(self.strands)

    def lengths_mm(self, strands: Array, n_regions: int) -> Array:
        """Mean length of every bundle as a symmetric matrix; NaN where there is none.

        Parameters
        ----------
        strands : array, shape of `strands`
            In the space wanted (`in_subject`).
        n_regions : int
        """
        steps = np.linalg.norm(np.diff(strands, axis=1), axis=-1).sum(axis=1)
        mean = np.bincount(self.owner, steps, len(self.pairs)) / np.bincount(self.owner, minlength=len(self.pairs))
        lengths = np.full((n_regions, n_regions), np.nan)
        rows, columns = self.pairs.T
        lengths[rows, columns] = lengths[columns, rows] = mean
        return lengths


def make_bundles(brain: TemplateBrain, parcels: Parcels, group: Connectome, rng: np.random.Generator) -> Bundles:
    """Lay every bundle of a group connectome through the white matter of the template.

    A strand takes the cheapest way through white matter from a place at the border of one parcel, and passes in its
    middle to the cheapest way from a place at the border of the other; a bundle's strands end in one patch of each
    parcel, and lie beside each other as far as white matter leaves room. Cross-section goes with weight.

    Parameters
    ----------
    brain : TemplateBrain
    parcels : Parcels
    group : Connectome
    rng : numpy Generator

    Returns
    -------
    Bundles

    Raises
    ------
    ValueError
        When a parcel does not touch the white matter.
    """
    white = _WhiteMatter(brain)
    routes = white_matter_routes(brain, parcels)
    pairs = group.bundles
    areas = _cross_sections(brain, group, pairs)
    radii = np.maximum(_LOOSENESS * np.sqrt(areas / np.pi), _LEAST_RADIUS_MM)
    counts = np.clip(np.rint(areas / _STRAND_MM2).astype(int), *_N_STRANDS)
    strands = [
        _lay_bundle(routes, white, (int(first), int(second)), int(count), float(radius), rng)
        for (first, second), count, radius in zip(pairs, counts, radii, strict=True)
    ]
    owner = np.repeat(np.arange(len(pairs)), counts)
    laid = np.concatenate(strands)
    packed = give_way(brain, laid, (areas / counts)[owner], white.settled)
    packed = _settled(_smoothed(packed, 3.0), white, 6.0)
    # Where giving way led out of white matter it was too much.
    inside = _share(white, packed) >= np.minimum(_WANTED_SHARE, _share(white, laid))
    packed = np.where(inside[:, None, None], packed, laid)
    return Bundles(pairs, packed, owner, radii)


def white_matter_share(brain: TemplateBrain, strands: Array) -> Array:
    """Share of the points of every strand (template mm) with more than half white matter, shape (n_strands,).

    The ends are left out: they lie at the border.
    """
    inner = sample(brain.tissues["WM"], brain.affine, strands[:, 1:-1])
    return (inner > _WHITE).mean(axis=1)


class _WhiteMatter:
    """White-matter fraction of the template, room around a point, and the way back into white matter."""

    def __init__(self, brain: TemplateBrain) -> None:
        self.brain = brain
        self.inverse = np.linalg.inv(brain.affine)
        smooth = gaussian_filter(brain.tissues["WM"], 1.5)
        self.towards = np.stack(np.gradient(smooth))
        self.clearance = distance_transform_edt(brain.tissues["WM"] > _WHITE).astype(np.float32)

    def fraction(self, points: Array) -> Array:
        return sample(self.brain.tissues["WM"], self.brain.affine, points)

    def room(self, points: Array) -> Array:
        """Distance to the border of white matter, mm; zero outside."""
        return sample(self.clearance, self.brain.affine, points)

    def pushed(self, points: Array) -> Array:
        """Points near or beyond the border moved half a millimetre inwards."""
        at = np.moveaxis(apply_affine(self.inverse, points), -1, 0)
        slope = np.stack([map_coordinates(part, at, order=1) for part in self.towards], axis=-1)
        norm = np.linalg.norm(slope, axis=-1, keepdims=True)
        outside = np.clip((0.75 - self.fraction(points)) / 0.25, 0.0, 1.0)[..., None]
        return points + 0.5 * outside * slope / np.maximum(norm, 1e-6)

    def settled(self, strands: Array, sigma: float = 1.0) -> Array:
        """Strands pushed inwards once and smoothed, ends in place."""
        pushed = self.pushed(strands)
        pushed[:, [0, -1]] = strands[:, [0, -1]]
        return _smoothed(pushed, sigma)


def _cross_sections(brain: TemplateBrain, group: Connectome, pairs: NDArray[np.intp]) -> Array:
    """Area of every bundle, mm2, in proportion to its weight; all together fill `FILL` of the white matter."""
    weights = group.bundle_weights[tuple(pairs.T)]
    lengths = group.lengths_mm[tuple(pairs.T)]
    voxel = abs(np.linalg.det(brain.affine[:3, :3]))
    volume = float(brain.tissues["WM"].sum()) * voxel
    return weights * (FILL * volume / float(weights @ lengths))


def _lay_bundle(
    routes: Routes,
    white: _WhiteMatter,
    pair: tuple[int, int],
    n_strands: int,
    radius_mm: float,
    rng: np.random.Generator,
) -> Array:
    """Strands of one bundle, shape (n_strands, N_POINTS, 3)."""
    first, second = pair
    starts = routes.patch(first, second, n_strands, radius_mm, rng)
    ends = routes.patch(second, first, n_strands, radius_mm, rng)
    way_out = np.stack([_resampled(routes.path(node, first, second)) for node in starts])
    way_in = np.stack([_resampled(routes.path(node, second, first))[::-1] for node in ends])
    share = np.clip((np.linspace(0.0, 1.0, N_POINTS) - _BLEND[0]) / (_BLEND[1] - _BLEND[0]), 0.0, 1.0)
    share = (share**2 * (3.0 - 2.0 * share))[:, None]
    joined = way_out * (1.0 - share) + way_in * share

    spacing = np.linalg.norm(np.diff(joined, axis=1), axis=-1).mean()
    sigma = _SMOOTH_MM / max(float(spacing), 1e-3)
    core = _smoothed(joined, sigma)
    spread = _smoothed(core + _offsets(core, white, radius_mm, rng), sigma / 2.0)
    best = _settled(spread, white, sigma)
    # Where strands beside each other leave the white matter, or both ways differ too much, simpler ones do.
    share_white = _share(white, best)
    for simpler in (core, _smoothed(way_out, sigma), _smoothed(way_in, sigma)):
        poor = np.flatnonzero(share_white < _WANTED_SHARE)
        if len(poor) == 0:
            break
        settled = _settled(simpler[poor], white, sigma)
        found = _share(white, settled)
        better = found > share_white[poor]
        best[poor[better]], share_white[poor[better]] = settled[better], found[better]
    return best


def _offsets(core: Array, white: _WhiteMatter, radius_mm: float, rng: np.random.Generator) -> Array:
    """Places beside the core of every strand: the bundle's own, and one in its cross-section; none at the ends."""
    n = len(core)
    tangent = np.gradient(core.mean(axis=0), axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-6)
    normal = _transported(tangent, rng)
    across = np.stack([normal, np.cross(tangent, normal)])
    turn, reach = rng.uniform(0.0, 2.0 * np.pi, n), np.sqrt(rng.random(n))
    disc = radius_mm * reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    aside = rng.uniform(0.0, 2.0 * np.pi)
    room = gaussian_filter1d(white.room(core), 3.0, axis=1)
    window = np.sin(np.pi * np.linspace(0.0, 1.0, N_POINTS)) ** 0.5
    # Many bundles share the cheapest way: each lies to one side of it, where there is room.
    own = 0.5 * room[..., None] * np.array([np.cos(aside), np.sin(aside)])
    flat = own + disc[:, None, :]
    size = np.linalg.norm(flat, axis=-1)
    flat *= (np.minimum(0.9 * room / np.maximum(size, 1e-6), 1.0) * window)[..., None]
    return np.einsum("snk,knd->snd", flat, across)


def _transported(tangent: Array, rng: np.random.Generator) -> Array:
    """Unit vectors across a curve that do not turn about it, shape of `tangent`."""
    normal = np.empty_like(tangent)
    current = rng.standard_normal(3)
    for index, direction in enumerate(tangent):
        current = current - (current @ direction) * direction
        current = current / max(float(np.linalg.norm(current)), 1e-6)
        normal[index] = current
    return normal


def _settled(strands: Array, white: _WhiteMatter, sigma: float) -> Array:
    """Strands pushed back into white matter, ends in place."""
    for _ in range(4):
        strands = white.settled(strands, sigma / 4.0)
    return strands


def _smoothed(strands: Array, sigma: float) -> Array:
    """Smooth along the curves; odd reflection keeps the ends where they are."""
    margin = min(int(np.ceil(4.0 * sigma)), N_POINTS - 1)
    wide = np.pad(strands, ((0, 0), (margin, margin), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(wide, sigma, axis=1)[:, margin : margin + N_POINTS]


def _share(white: _WhiteMatter, strands: Array) -> Array:
    return (white.fraction(strands[:, 1:-1]) > _WHITE).mean(axis=1)


def _resampled(path: Array) -> Array:
    """`N_POINTS` points evenly spaced along a path."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], N_POINTS)
    return np.stack([np.interp(wanted, along, path[:, axis]) for axis in range(3)], axis=1)
