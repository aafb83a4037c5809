"""The shells of a subject's head that a boundary-element model needs, read from its own phantom."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.preprocess.eeg_shells import (
    SMOOTH_DEG,
    HeadShells,
    hull,
    outermost,
    shells_of_radii,
    smoothed,
    sphere_directions,
    sphere_triangles,
)
from bids_ai.simulate import grids
from bids_ai.simulate.phantom import Phantom

__all__ = ["HeadShells", "head_shells", "skin_distance", "sphere_directions", "sphere_triangles"]

Array = NDArray[np.floating]

#: From the hull of the brain to the inner skull (fluid and dura) and through the skull, mm: the means of
#: `head.head_layers` in template space, times the scale of a subject's brain (about 0.93).
_MENINGES_MM, _SKULL_MM = 3.0, 6.0
#: Nothing of the scalp thinner than this; where a ray leaves through the neck or the face, the shell ends this far out.
_LEAST_SCALP_MM, _MOST_SCALP_MM = 2.5, 25.0
#: Signal of the skin's surface relative to white matter: half of what fat and skin under one voxel give at 4 mm.
_SKIN_LEVEL = 0.2


def head_shells(phantom: Phantom, n_vertices: int = 642) -> HeadShells:
    """Inner skull, outer skull and skin of a phantom.

    The inner skull lies on the hull of the brain, the skull has its mean thickness, the skin is where the T1w begins.
    Below the head the skin is closed through neck and face.

    Parameters
    ----------
    phantom : Phantom
    n_vertices : int
        Of each surface; 642 are as many as in an icosahedron divided three times.

    Returns
    -------
    HeadShells
    """
    centre = grids.brain_centre(phantom.brain_mask, phantom.affine)
    directions = sphere_directions(n_vertices)
    brain = outermost(phantom.fractions["brain"], phantom.affine, centre, directions, 0.5)
    inner = np.maximum(hull(brain, directions), brain) + _MENINGES_MM
    outer = inner + _SKULL_MM
    skin = np.clip(skin_distance(phantom, centre, directions), outer + _LEAST_SCALP_MM, outer + _MOST_SCALP_MM)
    # Rays that leave through the neck jump; the shell does not.
    skin = np.maximum(smoothed(skin, directions, SMOOTH_DEG), outer + _LEAST_SCALP_MM)
    return shells_of_radii(centre, directions, inner, outer, skin)


def skin_distance(phantom: Phantom, centre_mm: Array, directions: Array) -> Array:
    """Distance (mm) from a centre to where the T1w ends in given directions, shape (n,).

    Parameters
    ----------
    phantom : Phantom
    centre_mm : array, shape (3,)
    directions : array, shape (n, 3)
        Of unit length.

    Raises
    ------
    InputError
        When a ray meets nothing, as where the image holds no white matter to compare with.
    """
    white = phantom.fractions["WM"] > 0.9
    if not white.any():
        raise InputError("A T1w with white matter is wanted to find the skin; the phantom has none.")
    level = _SKIN_LEVEL * float(np.median(phantom.t1w[white]))
    return outermost(phantom.t1w.astype(np.float32), phantom.affine, centre_mm, directions, level)
