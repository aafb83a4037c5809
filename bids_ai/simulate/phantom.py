"""A T1-weighted image of a whole head with known anatomy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.simulate.head import TemplateBrain, brain_fractions, head_layers, paint
from bids_ai.simulate.lesion import Resection
from bids_ai.simulate.shapes import Ripple
from bids_ai.simulate.warp import SubjectWarp, apply_affine

Array = NDArray[np.floating]

#: Signal relative to white matter in a 3 T MPRAGE.
T1W_SIGNAL = {
    "air": 0.0, "WM": 1.0, "GM": 0.66, "CSF": 0.2, "dura": 0.38, "bone": 0.06, "marrow": 0.7, "fat": 1.2,
    "skin": 0.55, "muscle": 0.45, "vitreous": 0.16, "cord": 0.9, "vessel": 1.35,
}  # fmt: skip
#: Signal relative to grey matter in a fat-suppressed gradient-echo EPI at 3 T, TE 30 ms.
EPI_SIGNAL = {
    "air": 0.0, "WM": 0.8, "GM": 1.0, "CSF": 1.3, "dura": 0.35, "bone": 0.04, "marrow": 0.12, "fat": 0.16,
    "skin": 0.3, "muscle": 0.32, "vitreous": 1.2, "cord": 0.75, "vessel": 0.5,
}  # fmt: skip

#: Grey value of white matter, so that the noise spans several integers.
_WM_LEVEL = 800.0
#: White-matter signal over the standard deviation of the noise in one channel.
_SNR = 45.0
#: Standard deviation of the logarithm of the receive field over the head.
_BIAS_LOG_SD = 0.12


@dataclass(frozen=True)
class Phantom:
    """One subject's head on the grid of its T1w image.

    Attributes
    ----------
    affine : array, shape (4, 4)
        Voxel to scanner mm.
    fractions : dict of str to array, shape (nx, ny, nz)
        ``GM``, ``WM``, ``CSF`` (brain only) and ``brain``, 0..1.
    t1w : array, shape (nx, ny, nz), int16
        The image as a scanner would give it.
    epi : array, shape (nx, ny, nz), float32
        EPI signal (grey matter = 1) of the still head, without noise or bias.
    template_points : array, shape (nx, ny, nz, 3), float32
        Template mm of every voxel.
    """

    affine: Array
    fractions: dict[str, Array]
    t1w: NDArray[np.int16]
    epi: Array
    template_points: Array

    @property
    def voxel_mm(self) -> float:
        """Edge of the isotropic voxels."""
        return float(np.linalg.norm(self.affine[:3, 0]))

    @property
    def brain_mask(self) -> NDArray[np.bool_]:
        """Voxels that are brain for more than half."""
        return self.fractions["brain"] > 0.5


def make_phantom(
    brain: TemplateBrain,
    warp: SubjectWarp,
    affine: Array,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    *,
    resection: Resection | None = None,
) -> Phantom:
    """Image the warped head on a grid.

    Parameters
    ----------
    brain : TemplateBrain
    warp : SubjectWarp
    affine : array, shape (4, 4)
        Voxel to scanner mm of the T1w image, isotropic; it may be oblique, in any axis order.
    shape : 3 ints
    rng : numpy Generator
    resection : Resection, optional
        What of the brain was taken out: fluid fills its place, which still counts as ``brain``.

    Returns
    -------
    Phantom

    References
    ----------
    Gudbjartsson & Patz 1995, doi:10.1002/mrm.1910340618 (Rician noise).
    """
    voxel_mm = float(np.linalg.norm(affine[:3, 0]))
    subject_points = voxel_centres(affine, shape)
    points = warp.to_template(subject_points)
    fractions = brain_fractions(brain, points)
    if resection is not None:
        left = 1.0 - resection.share(points, voxel_mm)
        fractions = {name: part * left if name in ("GM", "WM") else part for name, part in fractions.items()}
        fractions["CSF"] = fractions["brain"] - fractions["GM"] - fractions["WM"]
    flat = points.reshape(-1, 3)
    signals = {"T1w": T1W_SIGNAL, "EPI": EPI_SIGNAL}
    painted = paint(head_layers(brain, flat, voxel_mm, rng), signals, len(flat))
    images = {contrast: image.reshape(shape) for contrast, image in painted.items()}
    for contrast, table in signals.items():
        images[contrast] *= 1.0 - fractions["brain"]
        for tissue in ("GM", "WM", "CSF"):
            images[contrast] += np.float32(table[tissue]) * fractions[tissue]
    bias = np.exp(_BIAS_LOG_SD * Ripple(rng, 260.0)(subject_points))
    t1w = rician(_WM_LEVEL * images["T1w"] * bias, _WM_LEVEL / _SNR, rng)
    return Phantom(affine, fractions, np.rint(t1w).astype(np.int16), images["EPI"], points)


def voxel_centres(affine: Array, shape: tuple[int, ...]) -> Array:
    """Scanner mm of all voxels, shape (nx, ny, nz, 3), float32."""
    index = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape[:3]], indexing="ij"), -1)
    return apply_affine(affine, index)


def rician(signal: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Magnitude of a signal with complex Gaussian noise of standard deviation `sigma` per channel."""
    real = signal + np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(sigma) * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.sqrt(real**2 + imaginary**2)
