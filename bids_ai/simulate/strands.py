"""Strands of one bundle: curves through white matter that keep their neighbours from end to end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, gaussian_filter1d, map_coordinates, uniform_filter1d
from scipy.optimize import linear_sum_assignment

from bids_ai.simulate.head import TemplateBrain, sample
from bids_ai.simulate.warp import apply_affine

Array = NDArray[np.floating]

#: Points of a strand, evenly spaced along it.
N_POINTS = 60
#: White-matter fraction above which a point lies in white matter.
WHITE = 0.5
#: Strands are smoothed over this length.
_SMOOTH_MM = 4.0
#: Points over which they are smoothed while they are pushed back into white matter.
_SETTLE_SIGMA = 2.5
#: Least white-matter fraction on the way (mean over a few millimetres), ends apart: fibres do not cross grey matter.
WANTED_WHITE = 0.65
#: Share of a strand at either end that is left out there, and points over which the mean is taken.
_END_SHARE = 0.05
_MEAN_OVER = 3
#: Where a strand passes from the way of one of its ends to that of the other, as shares of its length.
_BLEND = (0.3, 0.7)
#: Share of its length over which a bundle gathers from its territory into a stem, at either end.
_GATHER = 0.3


class WhiteMatter:
    """White-matter fraction of the template, room around a point, and the way back into white matter.

    Parameters
    ----------
    brain : TemplateBrain
    """

    def __init__(self, brain: TemplateBrain) -> None:
        self.brain = brain
        self.inverse = np.linalg.inv(brain.affine)
        smooth = gaussian_filter(brain.tissues["WM"], 1.5)
        self.towards = np.stack(np.gradient(smooth))
        self.clearance = distance_transform_edt(brain.tissues["WM"] > WHITE).astype(np.float32)

    def fraction(self, points: Array) -> Array:
        """White-matter fraction at template points (..., 3)."""
        return sample(self.brain.tissues["WM"], self.brain.affine, points)

    def room(self, points: Array) -> Array:
        """Distance to the border of white matter, mm; zero outside."""
        return sample(self.clearance, self.brain.affine, points)

    def thinnest(self, strands: Array) -> Array:
        """White-matter fraction where each strand has least of it, ends left out, shape (n_strands,)."""
        margin = round(_END_SHARE * strands.shape[1])
        return uniform_filter1d(self.fraction(strands), _MEAN_OVER, axis=1)[:, margin:-margin].min(axis=1)

    def rescued(self, strands: Array, rounds: int = 16) -> Array:
        """Strands that cross grey matter pushed on until they do not, as far as that helps."""
        best, reached = strands.copy(), self.thinnest(strands)
        rows = np.flatnonzero(reached < WANTED_WHITE)
        current = strands[rows]
        for _ in range(rounds):
            if len(rows) == 0:
                break
            current = self.settled(current, 0.7)
            found = self.thinnest(current)
            better = found > reached[rows]
            best[rows[better]], reached[rows[better]] = current[better], found[better]
            left = found < WANTED_WHITE
            rows, current = rows[left], current[left]
        return best

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
        return smoothed(pushed, sigma)


@dataclass(frozen=True)
class Draft:
    """Strands of a bundle before they are settled in white matter.

    Attributes
    ----------
    strands : array, shape (n_strands, N_POINTS, 3)
    simpler : tuple of arrays, shape of `strands`
        Curves to fall back on, in this order, where a strand cannot be kept in white matter.
    """

    strands: Array
    simpler: tuple[Array, ...]


def draft_strands(
    white: WhiteMatter, ways_out: Array, ways_in: Array, radius_mm: float, rng: np.random.Generator
) -> Draft:
    """Strands of one bundle.

    They fan out of two territories, run side by side in a stem, and keep the order in which they began: neighbours in
    one territory are neighbours in the stem and in the other territory (the topography of projections; Jbabdi,
    Sotiropoulos & Behrens 2013, doi:10.1016/j.conb.2012.12.004).

    Parameters
    ----------
    white : WhiteMatter
    ways_out, ways_in : arrays, shape (n_strands, N_POINTS, 3)
        The way from each place of the first territory towards the second region, and from the first region to each
        place of the second territory. Rows need not match.
    radius_mm : float
        Of the stem, where there is room.
    rng : numpy Generator

    Returns
    -------
    Draft
    """
    share = _step(np.linspace(0.0, 1.0, N_POINTS), *_BLEND)[:, None]
    middle = _medoid(ways_out) * (1.0 - share) + _medoid(ways_in) * share
    sigma = _SMOOTH_MM / max(float(np.linalg.norm(np.diff(middle, axis=0), axis=-1).mean()), 1e-3)
    stem = settled(smoothed(middle[None], sigma), white, sigma)[0]
    across = _across(stem, rng)
    place_out = _unit_spread(np.einsum("sd,kd->sk", ways_out[:, 0] - stem[0], across[:, _at(_GATHER)]))
    place_in = _unit_spread(np.einsum("sd,kd->sk", ways_in[:, -1] - stem[-1], across[:, _at(1.0 - _GATHER)]))
    apart = ((place_out[:, None] - place_in[None]) ** 2).sum(axis=-1)
    partner = linear_sum_assignment(apart)[1]
    joined = smoothed(ways_out * (1.0 - share) + ways_in[partner] * share, sigma)
    beside = stem + _offsets(stem, across, _disc(place_out + place_in[partner]), white, radius_mm, rng)
    along = np.linspace(0.0, 1.0, N_POINTS)
    gathered = (_step(along, 0.0, _GATHER) * _step(1.0 - along, 0.0, _GATHER))[:, None]
    spread = smoothed(joined * (1.0 - gathered) + beside * gathered, sigma / 2.0)
    return Draft(spread, (joined, smoothed(ways_out, sigma / 2.0), smoothed(ways_in[partner], sigma / 2.0)))


def settle_drafts(white: WhiteMatter, drafts: list[Draft], rng: np.random.Generator) -> Array:
    """Strands of many bundles, one bundle after the other, in white matter, shape (n_strands, N_POINTS, 3).

    Where strands beside each other leave white matter, or the ways of both ends differ too much, simpler curves are
    taken; a strand that crosses grey matter even so is replaced by another of its bundle, whose cross-section is kept.
    """
    best = white.rescued(settled(np.concatenate([draft.strands for draft in drafts]), white, _SETTLE_SIGMA))
    reached = white.thinnest(best)
    for simpler in zip(*(draft.simpler for draft in drafts), strict=True):
        poor = np.flatnonzero(reached < WANTED_WHITE)
        if len(poor) == 0:
            break
        tried = white.rescued(settled(np.concatenate(simpler)[poor], white, _SETTLE_SIGMA))
        found = white.thinnest(tried)
        better = found > reached[poor]
        best[poor[better]], reached[poor[better]] = tried[better], found[better]
    stops = np.cumsum([len(draft.strands) for draft in drafts])
    for start, stop in zip([0, *stops[:-1]], stops, strict=True):
        own = reached[start:stop]
        stray = own < np.minimum(WANTED_WHITE, own.max())
        others = rng.choice(np.flatnonzero(~stray), int(stray.sum()))
        best[start:stop][stray] = best[start:stop][others]
    return best


def settled(strands: Array, white: WhiteMatter, sigma: float) -> Array:
    """Strands pushed back into white matter, ends in place."""
    for _ in range(4):
        strands = white.settled(strands, sigma / 4.0)
    return strands


def smoothed(strands: Array, sigma: float) -> Array:
    """Smooth along the curves; odd reflection keeps the ends where they are."""
    margin = min(int(np.ceil(4.0 * sigma)), N_POINTS - 1)
    wide = np.pad(strands, ((0, 0), (margin, margin), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(wide, sigma, axis=1)[:, margin : margin + N_POINTS]


def resampled(path: Array) -> Array:
    """`N_POINTS` points evenly spaced along a path."""
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0.0, along[-1], N_POINTS)
    return np.stack([np.interp(wanted, along, path[:, axis]) for axis in range(3)], axis=1)


def _offsets(
    stem: Array, across: Array, disc: Array, white: WhiteMatter, radius_mm: float, rng: np.random.Generator
) -> Array:
    """Place of every strand beside the stem: the bundle's own side, and its place in the cross-section."""
    room = gaussian_filter1d(white.room(stem), 3.0)
    aside = rng.uniform(0.0, 2.0 * np.pi)
    # Many bundles share the cheapest way: each lies to one side of it, where there is room.
    own = 0.5 * room[:, None] * np.array([np.cos(aside), np.sin(aside)])
    flat = own + radius_mm * disc[:, None, :]
    size = np.linalg.norm(flat, axis=-1)
    flat *= np.minimum(0.9 * room / np.maximum(size, 1e-6), 1.0)[..., None]
    return np.einsum("snk,knd->snd", flat, across)


def _medoid(strands: Array) -> Array:
    """The strand nearest to all others."""
    few = strands[:, :: N_POINTS // 10].reshape(len(strands), -1)
    return strands[np.linalg.norm(few[:, None] - few[None], axis=-1).sum(axis=1).argmin()]


def _across(curve: Array, rng: np.random.Generator) -> Array:
    """Two unit vectors across a curve that do not turn about it, shape (2, n_points, 3)."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=-1, keepdims=True), 1e-6)
    normal = np.empty_like(tangent)
    current = rng.standard_normal(3)
    for index, direction in enumerate(tangent):
        current = current - (current @ direction) * direction
        current = current / max(float(np.linalg.norm(current)), 1e-6)
        normal[index] = current
    return np.stack([normal, np.cross(tangent, normal)])


def _unit_spread(places: Array) -> Array:
    centred = places - places.mean(axis=0)
    return centred / np.maximum(centred.std(axis=0), 1e-6)


def _disc(places: Array) -> Array:
    """The same order in a disc of unit radius, evenly filled."""
    reach = np.linalg.norm(places, axis=1)
    rank = np.argsort(np.argsort(reach))
    even = np.sqrt((rank + 0.5) / len(places))
    return places * (even / np.maximum(reach, 1e-6))[:, None]


def _step(values: Array, low: float, high: float) -> Array:
    """From 0 to 1 between two values, without a corner."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return share**2 * (3.0 - 2.0 * share)


def _at(share: float) -> int:
    return round(share * (N_POINTS - 1))
