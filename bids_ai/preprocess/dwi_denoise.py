"""Thermal noise of a diffusion series: removal without external programs, and how large it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Fewer volumes do not tell noise from signal, whichever the method.
LEAST_VOLUMES = 10
#: A patch has at least 5 x 5 x 5 voxels, as in MRtrix3, and no fewer than there are volumes.
_LEAST_RADIUS = 2
_NORMAL_MAD = 1.4826


def mppca(data: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Denoise by the principal components of patches that noise alone would not make, with dipy.

    Patch2Self, which dipy has as well and which is quicker, is not used: it makes each volume from the others, and with
    the 30 to 90 directions of clinical scans that bends directions and takes anisotropy away.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
        As scanned: interpolation would make the noise of neighbours alike.
    where : (nx, ny, nz) bool array
        Voxels to denoise; the others are left as they are.

    Returns
    -------
    array of the shape of `data`

    References
    ----------
    Veraart et al. 2016, doi:10.1016/j.neuroimage.2016.08.016.
    """
    from dipy.denoise.localpca import mppca as run

    data = np.asarray(data, np.float32)
    radius = _LEAST_RADIUS
    while (2 * radius + 1) ** 3 < data.shape[3]:
        radius += 1
    with np.errstate(divide="ignore", invalid="ignore"):  # voxels outside the mask
        clean = np.asarray(run(data, mask=where, patch_radius=radius, suppress_warning=True), np.float32)
    usable = where & np.isfinite(clean).all(axis=-1)
    return np.where(usable[..., None], np.maximum(clean, 0), data)


def residual_map(before: NDArray[Any], after: NDArray[Any]) -> NDArray[np.float32]:
    """Standard deviation over volumes of what was taken out, by voxel."""
    return np.asarray(np.std(np.asarray(before, np.float32) - after, axis=-1), np.float32)


def noise_figures(
    before: NDArray[Any], residual: NDArray[Any], mask: NDArray[np.bool_], unweighted: NDArray[np.bool_]
) -> dict[str, float]:
    """Size of the noise.

    Parameters
    ----------
    before : (nx, ny, nz, n_volumes) array
    residual : (nx, ny, nz) array
        Of `residual_map`, or the noise level of another method.
    mask : bool array
        Rough brain.
    unweighted : (n_volumes,) bool array

    Returns
    -------
    dict
        `sd`: median standard deviation in the brain, image units; `snr_b0`, `snr_weighted`: median signal over it.
    """
    noise = float(np.median(residual[mask])) or float("nan")
    signal = {
        "snr_b0": before[..., unweighted][mask].mean(axis=-1),
        "snr_weighted": before[..., ~unweighted][mask].mean(axis=-1),
    }
    return {"sd": noise, **{name: float(np.median(values) / noise) for name, values in signal.items()}}


def difference_snr(data: NDArray[Any], mask: NDArray[np.bool_], unweighted: NDArray[np.bool_]) -> float:
    """Median signal over noise of the b0 volumes, the noise from differences between them; NaN for a single one."""
    volumes = np.flatnonzero(unweighted)
    if len(volumes) < 2:
        return float("nan")
    inside = np.asarray(data[..., volumes][mask], float)
    spread = _NORMAL_MAD * np.median(np.abs(np.diff(inside, axis=1)), axis=1) / np.sqrt(2)
    return float(np.median(inside.mean(axis=1) / np.maximum(spread, 1e-9)))
