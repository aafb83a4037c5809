"""Thermal noise of a diffusion series: removal without external programs, and how large it was."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.gradients import B0_LIMIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Fewer volumes do not tell noise from signal, whichever the method.
LEAST_VOLUMES = 10
_NORMAL_MAD = 1.4826


def patch2self(data: NDArray[Any], bvals: NDArray[Any], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Self-supervised denoising (Fadnavis et al. 2020, doi:10.48550/arXiv.2011.01355), with dipy.

    Each volume is replaced by its regression on all others. Of a series that is not realigned, every volume would come
    out in a mixture of the positions of the others, and its own could no longer be found.

    Parameters
    ----------
    data : (nx, ny, nz, n_volumes) array
        Realigned.
    bvals : (n_volumes,) array
        s/mm2.
    where : (nx, ny, nz) bool array
        Voxels to learn from and to denoise; the others are left as they are.

    Returns
    -------
    array of the shape of `data`
    """
    from dipy.denoise.patch2self import patch2self as run

    n_unweighted = int((np.asarray(bvals) <= B0_LIMIT).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clean = run(
            np.asarray(data[where], np.float32)[:, None, None],
            np.asarray(bvals, float),
            model="ols",
            b0_threshold=B0_LIMIT,
            # One b0 volume cannot be learnt from the others.
            b0_denoising=n_unweighted > 1,
            shift_intensity=False,
            clip_negative_vals=False,
            out_dtype=np.float32,
            verbose=False,
        )
    out = np.array(data, np.float32)
    out[where] = np.maximum(clean[:, 0, 0], 0)
    return out


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
