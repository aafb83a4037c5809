"""64 electrodes of the extended 10-20 system on a subject's own scalp."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate import grids
from bids_ai.simulate.eeg_head import skin_distance
from bids_ai.simulate.phantom import Phantom
from bids_ai.simulate.warp import SubjectWarp, apply_affine

Array = NDArray[np.floating]

#: The channels are those of this montage, their places on the head those of a head in MNI space (Colin27), whose name
#: changed in MNE 1.13. Oostenveld & Praamstra 2001, doi:10.1016/S1388-2457(00)00527-7.
CHANNEL_MONTAGE = "biosemi64"
PLACE_MONTAGES = ("colin27_1005", "standard_1005")
#: What the amplifier subtracts: the mean of both mastoids.
REFERENCE_SITES = ("M1", "M2")
LANDMARKS = ("NAS", "LPA", "RPA")
#: Root of the nose of the heads of `simulate.head`, template mm: theirs begins higher than Colin's.
_NASION_MM = (0.0, 90.0, -19.0)


@dataclass(frozen=True)
class Cap:
    """Where electrodes and landmarks lie on a head.

    Attributes
    ----------
    names : tuple of str
        64 channels, in the order of the montage.
    positions_mm : array, shape (64, 3)
        On the skin, T1w RAS.
    reference_mm : array, shape (2, 3)
        Mastoids.
    landmarks_mm : dict of str to array, shape (3,)
        ``NAS``, ``LPA``, ``RPA``.
    """

    names: tuple[str, ...]
    positions_mm: Array
    reference_mm: Array
    landmarks_mm: dict[str, Array]

    @property
    def to_captrak(self) -> Array:
        """Affine from T1w RAS to CapTrak, both in mm, shape (4, 4).

        x from LPA through RPA, y through the nasion, z upwards, the origin where y meets x.
        """
        nasion, left, right = (self.landmarks_mm[name] for name in LANDMARKS)
        x = (right - left) / np.linalg.norm(right - left)
        origin = left + x * float((nasion - left) @ x)
        y = (nasion - origin) / np.linalg.norm(nasion - origin)
        affine = np.eye(4)
        affine[:3, :3] = np.stack([x, y, np.cross(x, y)])
        affine[:3, 3] = -affine[:3, :3] @ origin
        return affine

    def in_captrak(self, points_mm: Array) -> Array:
        """Points of shape (..., 3) in CapTrak, mm."""
        return apply_affine(self.to_captrak, np.asarray(points_mm, float))


def fit_cap(phantom: Phantom, warp: SubjectWarp) -> Cap:
    """Put the cap on a head: template places go with the subject's warp and settle on its skin.

    Parameters
    ----------
    phantom : Phantom
    warp : SubjectWarp

    Returns
    -------
    Cap
    """
    names, places, landmarks = template_places()
    centre = grids.brain_centre(phantom.brain_mask, phantom.affine)
    points = np.stack([*places.values(), *landmarks.values()])
    offset = warp.to_subject(points) - centre
    directions = offset / np.linalg.norm(offset, axis=1, keepdims=True)
    settled = centre + directions * skin_distance(phantom, centre, directions)[:, None]
    n = len(names)
    on_head = dict(zip(LANDMARKS, settled[-3:], strict=True))
    return Cap(names, settled[:n], settled[n : n + len(REFERENCE_SITES)], on_head)


def template_places() -> tuple[tuple[str, ...], dict[str, Array], dict[str, Array]]:
    """Names of the channels, and template mm (MNI) of channels, then mastoids, and of the landmarks."""
    import mne

    known = mne.channels.get_builtin_montages()
    name = next(montage for montage in PLACE_MONTAGES if montage in known)
    places = mne.channels.make_standard_montage(name).get_positions()
    names = tuple(mne.channels.make_standard_montage(CHANNEL_MONTAGE).ch_names)
    at = {site: places["ch_pos"][site] * 1000.0 for site in (*names, *REFERENCE_SITES)}
    marks = (np.array(_NASION_MM), places["lpa"] * 1000.0, places["rpa"] * 1000.0)
    return names, at, dict(zip(LANDMARKS, marks, strict=True))
