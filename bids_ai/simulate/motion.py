"""Head motion with known parameters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.floating]

#: Columns of a motion table: mm and rad, as in fMRIPrep's confounds.
MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
#: Radius of the sphere on which rotations are turned into mm.
#: Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018.
FD_RADIUS_MM = 50.0
#: Frame-to-frame jitter of a still subject: mm per axis, and rad about each axis.
_JITTER = np.array([0.016, 0.018, 0.026, 2.2e-4, 1.4e-4, 1.4e-4])
#: Slow wander over a run, as above.
_WANDER = np.array([0.12, 0.18, 0.3, 4e-3, 2.0e-3, 2.0e-3])


def head_motion(n_frames: int, rng: np.random.Generator, *, n_spikes: int = 2) -> Array:
    """A smooth wander with a few jerks.

    Parameters
    ----------
    n_frames : int
    rng : numpy Generator
    n_spikes : int
        Jerks of more than 0.5 mm framewise displacement, away from both ends of the run.

    Returns
    -------
    array, shape (n_frames, 6)
        `MOTION_COLUMNS`; pose of the head relative to the first frame.
    """
    walk = np.cumsum(rng.standard_normal((n_frames, 6)), axis=0)
    walk = gaussian_filter1d(walk, 4.0, axis=0, mode="nearest")
    walk -= walk[0]
    span = np.maximum(np.abs(walk).max(axis=0), 1e-9)
    motion = walk / span * _WANDER * rng.uniform(0.6, 1.4, 6)
    motion += _JITTER * rng.standard_normal((n_frames, 6))
    for frame in _spike_frames(n_frames, n_spikes, rng):
        jerk = _jerk(rng)
        motion[frame] += jerk
        # The head comes back, but not all the way.
        motion[frame + 1 :] += 0.15 * jerk
    return motion - motion[0]


def framewise_displacement(motion: Array) -> Array:
    """Framewise displacement after Power et al. 2012, mm; NaN in the first frame."""
    steps = np.abs(np.diff(motion, axis=0))
    displacement = steps[:, :3].sum(axis=1) + FD_RADIUS_MM * steps[:, 3:].sum(axis=1)
    return np.concatenate([[np.nan], displacement])


def _spike_frames(n_frames: int, n_spikes: int, rng: np.random.Generator) -> list[int]:
    """Frames of the jerks, one in each equal part of the run's middle, so that they do not touch.

    A run too short to keep them apart has none.
    """
    edges = np.linspace(0.15, 0.9, n_spikes + 1) * n_frames
    return [int(rng.uniform(low, high - 3.0)) for low, high in pairwise(edges) if high - low > 4.0]


def _jerk(rng: np.random.Generator) -> Array:
    """A nod: mostly along z and about x, 0.8 to 1.4 mm of framewise displacement."""
    shape = np.array([0.1, 0.2, 0.45, 0.004, 0.001, 0.001]) * rng.choice([-1.0, 1.0], 6)
    size = np.abs(shape[:3]).sum() + FD_RADIUS_MM * np.abs(shape[3:]).sum()
    return shape * (rng.uniform(0.8, 1.4) / size)
