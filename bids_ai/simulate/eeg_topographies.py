"""How eyes and temporal muscles look on the scalp: dipoles in front of and outside the skull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import grids
from bids_ai.simulate.eeg_head import skin_distance
from bids_ai.simulate.eeg_montage import Cap
from bids_ai.simulate.phantom import Phantom
from bids_ai.simulate.warp import SubjectWarp

Array = NDArray[np.floating]

#: Middle of the eyeballs, template mm, as `simulate.head` places them.
_EYES_MM = ((-33.0, 66.0, -37.0), (33.0, 66.0, -37.0))
#: Where the positive cornea turns to (right, front, up in CapTrak): under a falling lid, sideways, upwards. Berg &
#: Scherg 1991, doi:10.1016/0013-4694(91)90154-V, for eyes as dipoles.
_LID, _SIDEWAYS, _UPWARDS = (0.0, 0.5, 0.87), (1.0, 0.15, 0.0), (0.0, 0.3, 0.95)
#: An eye with its lid and orbit is no point but as wide as this, mm.
_EYE_WIDTH_MM = 22.0
#: The temporal muscle of the right side: middle and half extent, template mm; how deep its fibres lie, mm.
_MUSCLE_MM, _MUSCLE_HALF_MM = (70.0, 4.0, -16.0), (0.0, 26.0, 16.0)
_FIBRE_DEPTH_MM = (5.0, 11.0)
_BUNDLES_PER_SIDE = 5


@dataclass(frozen=True)
class Topographies:
    """Potentials of sources outside the brain at channels, then references, of the cap.

    Each is scaled so that the largest of its channels, referenced, is one.

    Attributes
    ----------
    blink, sideways, upwards : arrays, shape (n_sites,)
    muscle : array, shape (n_bundles, n_sites)
    muscle_side : tuple of int, length n_bundles
        -1 left, 1 right.
    """

    blink: Array
    sideways: Array
    upwards: Array
    muscle: Array
    muscle_side: tuple[int, ...]


def extracerebral_topographies(phantom: Phantom, warp: SubjectWarp, cap: Cap, rng: np.random.Generator) -> Topographies:
    """Topographies of eyes and muscles of one head.

    The sources lie outside the skull, whose shells they hardly meet: the medium is taken as uniform.

    Parameters
    ----------
    phantom : Phantom
    warp : SubjectWarp
    cap : Cap
    rng : numpy Generator
        Bundles of muscle lie differently in every head.
    """
    eyes = warp.to_subject(np.array(_EYES_MM))
    axes = cap.to_captrak[:3, :3]

    def both_eyes(direction: tuple[float, float, float]) -> Array:
        turned = np.array(direction) @ axes
        both = [dipole_potential(_sites(cap), eye, turned, _EYE_WIDTH_MM) for eye in eyes]
        return _scaled(np.sum(both, axis=0), cap)

    bundles, sides = _muscle_bundles(phantom, warp, rng)
    muscle = [_scaled(dipole_potential(_sites(cap), at, along), cap) for at, along in bundles]
    return Topographies(both_eyes(_LID), both_eyes(_SIDEWAYS), both_eyes(_UPWARDS), np.stack(muscle), sides)


def referenced(potential: Array, n_channels: int) -> Array:
    """Channels less the mean of the reference sites that follow them on the last axis."""
    against: Array = potential[..., :n_channels] - potential[..., n_channels:].mean(axis=-1, keepdims=True)
    return against


def dipole_potential(sites_mm: Array, at_mm: Array, moment: Array, width_mm: float = 0.0) -> Array:
    """Potential of a dipole of some width in a uniform medium, up to a factor, shape (n_sites,)."""
    offset = sites_mm - at_mm
    potential: Array = offset @ moment / (np.sum(offset**2, axis=1) + width_mm**2) ** 1.5
    return potential


def _sites(cap: Cap) -> Array:
    return np.concatenate([cap.positions_mm, cap.reference_mm])


def _scaled(potential: Array, cap: Cap) -> Array:
    largest = float(np.abs(referenced(potential, len(cap.names))).max())
    scaled: Array = potential / largest
    return scaled


def _muscle_bundles(
    phantom: Phantom, warp: SubjectWarp, rng: np.random.Generator
) -> tuple[list[tuple[Array, Array]], tuple[int, ...]]:
    """Place and direction of every bundle, and its side; fibres run along the skin, mostly downwards."""
    centre = grids.brain_centre(phantom.brain_mask, phantom.affine)
    bundles: list[tuple[Array, Array]] = []
    sides: list[int] = []
    for side in (-1, 1):
        for _ in range(_BUNDLES_PER_SIDE):
            place = np.array(_MUSCLE_MM) + np.array(_MUSCLE_HALF_MM) * rng.uniform(-1.0, 1.0, 3)
            along = np.array([0.0, 0.5 * rng.standard_normal(), 1.0])
            tip, end = warp.to_subject(np.stack([place, place + along]) * np.array([side, 1.0, 1.0]))
            outwards = (tip - centre) / np.linalg.norm(tip - centre)
            skin = float(skin_distance(phantom, centre, outwards[None])[0])
            direction = (end - tip) - outwards * float((end - tip) @ outwards)
            at = centre + outwards * (skin - float(rng.uniform(*_FIBRE_DEPTH_MM)))
            bundles.append((at, direction / np.linalg.norm(direction)))
            sides.append(side)
    return bundles, tuple(sides)
