"""Real spherical harmonics of even order: evaluated, counted, and turned into another frame.

The basis is that of Descoteaux et al. (2007, doi:10.1002/mrm.21277) as dipy has it with ``legacy=False``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def n_coefficients(order: int) -> int:
    """Coefficients up to an even order."""
    return (order + 1) * (order + 2) // 2


def largest_order(n_directions: int, *, at_most: int = 8) -> int:
    """Largest even order with no more coefficients than directions; 0 for fewer than 6."""
    order = 0
    while order + 2 <= at_most and n_coefficients(order + 2) <= n_directions:
        order += 2
    return order


def orders(order: int) -> npt.NDArray[np.intp]:
    """Order l of each coefficient."""
    return np.concatenate([np.full(2 * degree + 1, degree) for degree in range(0, order + 1, 2)])


def basis(directions: npt.NDArray[Any], order: int) -> FloatArray:
    """Values of the harmonics at unit vectors (n, 3): (n, n_coefficients)."""
    from dipy.core.geometry import cart2sphere
    from dipy.reconst.shm import real_sh_descoteaux

    _, theta, phi = cart2sphere(*np.asarray(directions, dtype=float).T)
    return np.asarray(real_sh_descoteaux(order, theta, phi, legacy=False)[0], dtype=np.float64)


def zonal(cosines: npt.NDArray[Any], order: int) -> FloatArray:
    """Harmonics with m = 0 at the cosines of the polar angle: (n, order / 2 + 1)."""
    from scipy.special import eval_legendre

    degrees = np.arange(0, order + 1, 2)
    return np.asarray(np.sqrt((2 * degrees + 1) / (4 * np.pi)) * eval_legendre(degrees, np.asarray(cosines)[:, None]))


@lru_cache(maxsize=4)
def axes_on_sphere(name: str = "repulsion724") -> FloatArray:
    """Evenly spread axes: one vertex of each antipodal pair of a sphere of dipy, (n, 3)."""
    from dipy.data import get_sphere

    vertices = np.asarray(get_sphere(name=name).vertices, dtype=np.float64)
    chosen = [0]
    for index in range(1, len(vertices)):
        if np.abs(vertices[chosen] @ vertices[index]).max() < 1 - 1e-4:
            chosen.append(index)
    return vertices[chosen]


def into_frame(order: int, rotation: npt.NDArray[Any]) -> FloatArray:
    """Matrix that turns coefficients of a function of u into those of the function of `rotation` u.

    With the rotation of a voxel grid (columns: its axes in the world) it gives a function of directions on the grid.
    """
    directions = axes_on_sphere()
    return np.asarray(np.linalg.pinv(basis(directions, order)) @ basis(directions @ np.asarray(rotation).T, order))
