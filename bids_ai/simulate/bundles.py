"""White-matter bundles of a virtual patient: curves through white matter between parcels, in template space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.connectome import Connectome
from bids_ai.simulate.head import TemplateBrain, sample
from bids_ai.simulate.packing import give_way
from bids_ai.simulate.parcels import Parcels
from bids_ai.simulate.routes import Routes, white_matter_routes
from bids_ai.simulate.short_fibres import short_strands
from bids_ai.simulate.strands import (
    WANTED_WHITE,
    WHITE,
    Draft,
    WhiteMatter,
    draft_strands,
    resampled,
    settle_drafts,
    settled,
    smoothed,
)
from bids_ai.simulate.territories import territories
from bids_ai.simulate.warp import SubjectWarp

Array = NDArray[np.floating]

#: Share of the white matter of the template that the bundles of the connectome fill, crossings counted twice, and the
#: share of short fibres within parcels.
FILL = 0.45
SHORT_FILL = 0.25
#: Mean length of short fibres, mm, before they are laid.
_SHORT_MM = 25.0
#: A strand stands for so much cross-section, mm2; a bundle has this many strands at least and at most.
_STRAND_MM2 = 1.5
_N_STRANDS = (10, 120)
#: Radius of a bundle relative to that of its fibres packed without gaps: bundles mix where they meet.
_LOOSENESS = 1.1
#: A bundle is no thinner, however weak: its fibres then lie less densely.
_LEAST_RADIUS_MM = 1.5
#: Points over which strands are smoothed when all is done: axons have no kinks.
_LAST_SMOOTH = 1.5


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
    short : array, shape (n_short, n_points, 3)
        Short fibres within regions, template mm.
    short_region : array of int, shape (n_short,)
    """

    pairs: NDArray[np.intp]
    strands: Array
    owner: NDArray[np.intp]
    radii_mm: Array
    short: Array
    short_region: NDArray[np.intp]

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
    white = WhiteMatter(brain)
    routes = white_matter_routes(brain, parcels)
    pairs = group.bundles
    volume = white_volume(brain)
    areas = _cross_sections(volume, group, pairs)
    radii = np.maximum(_LOOSENESS * np.sqrt(areas / np.pi), _LEAST_RADIUS_MM)
    counts = np.clip(np.rint(areas / _STRAND_MM2).astype(int), *_N_STRANDS)
    border = np.array([len(ends) for ends in routes.ends], float)
    # Each short fibre ends twice.
    short_areas = 2.0 * SHORT_FILL * volume / _SHORT_MM * border / border.sum()
    chances = territories(routes, pairs, areas, short_areas, rng)
    drafts = [
        _draft(routes, white, (int(first), int(second)), int(count), float(radius), places, rng)
        for (first, second), count, radius, places in zip(pairs, counts, radii, _places(pairs, chances), strict=True)
    ]
    owner = np.repeat(np.arange(len(pairs)), counts)
    short, short_region = short_strands(routes, white, [chance[-1] for chance in chances], rng)
    laid = np.concatenate([settle_drafts(white, drafts, rng), short])
    short_mm = np.linalg.norm(np.diff(short, axis=1), axis=-1).sum()
    area = np.concatenate([(areas / counts)[owner], np.full(len(short), SHORT_FILL * volume / max(short_mm, 1e-9))])
    packed = give_way(brain, laid, area, white.settled)
    packed = white.rescued(settled(smoothed(packed, 2.0), white, 4.0))
    # Where giving way led out of white matter it was too much.
    inside = white.thinnest(packed) >= np.minimum(WANTED_WHITE, white.thinnest(laid))
    packed = np.where(inside[:, None, None], packed, laid)
    # Even spacing first: on points that bunch, smoothing leaves kinks, and what it then moves must be rescued again.
    packed = smoothed(np.stack([resampled(strand) for strand in packed]), _LAST_SMOOTH)
    packed = smoothed(white.rescued(packed), 0.75 * _LAST_SMOOTH)
    n = len(owner)
    return Bundles(pairs, packed[:n], owner, radii, packed[n:], short_region)


def white_matter_share(brain: TemplateBrain, strands: Array) -> Array:
    """Share of the points of every strand (template mm) with more than half white matter, shape (n_strands,).

    The ends are left out: they lie at the border.
    """
    inner = sample(brain.tissues["WM"], brain.affine, strands[:, 1:-1])
    return (inner > WHITE).mean(axis=1)


def white_volume(brain: TemplateBrain) -> float:
    """White matter of the template, mm3."""
    return float(brain.tissues["WM"].sum()) * float(abs(np.linalg.det(brain.affine[:3, :3])))


def _cross_sections(white_mm3: float, group: Connectome, pairs: NDArray[np.intp]) -> Array:
    """Area of every bundle, mm2, in proportion to its weight; all together fill `FILL` of the white matter."""
    weights = group.bundle_weights[tuple(pairs.T)]
    lengths = group.lengths_mm[tuple(pairs.T)]
    return weights * (FILL * white_mm3 / float(weights @ lengths))


def _places(pairs: NDArray[np.intp], chances: list[dict[int, Array]]) -> list[tuple[Array, Array]]:
    """For both regions of every bundle, the chance of each of their ends."""
    return [(chances[int(first)][bundle], chances[int(second)][bundle]) for bundle, (first, second) in enumerate(pairs)]


def _draft(
    routes: Routes,
    white: WhiteMatter,
    pair: tuple[int, int],
    n_strands: int,
    radius_mm: float,
    places: tuple[Array, Array],
    rng: np.random.Generator,
) -> Draft:
    first, second = pair
    starts, ends = (rng.choice(len(chance), n_strands, p=chance) for chance in places)
    ways_out = np.stack([resampled(routes.path(node, first, second)) for node in starts])
    ways_in = np.stack([resampled(routes.path(node, second, first))[::-1] for node in ends])
    return draft_strands(white, ways_out, ways_in, radius_mm, rng)
