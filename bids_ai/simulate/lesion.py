"""A resected temporal lobe: which part of every voxel was taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.shapes import Ripple, ellipsoid, inside

Array = NDArray[np.floating]

#: An anterior temporal lobectomy: the pole and some 4.5 cm behind it, with amygdala and the head of the hippocampus;
#: template mm.
_CENTRE_MM = (42.0, 0.0, -26.0)
_RADII_MM = (24.0, 26.0, 21.0)
#: The wall of the cavity is uneven: standard deviation and wavelength, mm.
_UNEVEN_MM, _WAVE_MM = 1.5, 30.0


@dataclass(frozen=True)
class Resection:
    """What a surgeon took out, in template space.

    Attributes
    ----------
    side : int
        -1 left, 1 right.
    wall : Ripple
        Unevenness of the wall.
    """

    side: int
    wall: Ripple

    def share(self, points: Array, voxel_mm: float) -> Array:
        """Share of voxels centred at template points (..., 3) that lies in the cavity, 0..1.

        Where there was no brain nothing was taken out; that is left to who asks.
        """
        x, y, z = _CENTRE_MM
        distance = ellipsoid(points, (self.side * x, y, z), _RADII_MM)
        return inside(distance + points.dtype.type(_UNEVEN_MM) * self.wall(points), voxel_mm)


def random_resection(rng: np.random.Generator) -> Resection:
    """An anterior temporal lobectomy on the left or the right."""
    return Resection(int(rng.choice([-1, 1])), Ripple(rng, _WAVE_MM))
