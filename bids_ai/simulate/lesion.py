"""A resected temporal lobe: which part of every voxel was taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.shapes import Ripple, blend, inside

Array = NDArray[np.floating]

#: An anterior temporal lobectomy in template mm: from this y, some 4.5 cm behind the pole, to the pole, and lateral of
#: this x, so that amygdala and the head of the hippocampus go and the brain stem stays.
_BEHIND_MM, _POLE_MM, _MEDIAL_MM = -21.0, 25.0, 15.0
#: The Sylvian fissure is its roof: z at y = 0, and how it falls towards the front.
_ROOF_MM, _ROOF_SLOPE = -11.0, -0.35
#: Walls meet in an arc of this width, and are uneven: standard deviation and wavelength, mm.
_ROUND_MM = 12.0
_UNEVEN_MM, _WAVE_MM = 1.2, 40.0


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

        It reaches beyond the brain: where there was none nothing was taken out, which is left to who asks.
        """
        x, y, z = self.side * points[..., 0], points[..., 1], points[..., 2]
        roof = (z - (_ROOF_MM + _ROOF_SLOPE * y)) / np.float32(np.hypot(1.0, _ROOF_SLOPE))
        # The part of space on the inner side of all walls, with rounded edges; distances are negative there.
        outside = np.maximum(_BEHIND_MM - y, y - _POLE_MM)
        for wall in (_MEDIAL_MM - x, roof):
            outside = -blend(-outside, -wall, _ROUND_MM)
        return inside(outside + points.dtype.type(_UNEVEN_MM) * self.wall(points), voxel_mm)


def random_resection(rng: np.random.Generator) -> Resection:
    """An anterior temporal lobectomy on the left or the right."""
    return Resection(int(rng.choice([-1, 1])), Ripple(rng, _WAVE_MM))
