"""Confound table of a BOLD run, with the column names of fMRIPrep (doi:10.1038/s41592-018-0235-4).

All series are taken in the space of the run, after slice timing and head motion, before any change of grid
between people. Columns are described in `confounds_meta` (the JSON sidecar).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.preprocess.motion import framewise_displacement
from bids_ai.preprocess.noise_masks import NoiseMask

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOTION_COLUMNS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
GLOBAL_COLUMNS = ("csf", "white_matter", "global_signal")
HIGH_PASS_PERIOD = 128.0  # s, SPM's and fMRIPrep's cut
N_COMPONENTS = 5  # Behzadi et al. 2007, doi:10.1016/j.neuroimage.2007.04.042; Muschelli et al. 2014
CHUNK = 4096  # voxels held in memory at once


def cosine_basis(n_times: int, tr: float, period: float = HIGH_PASS_PERIOD) -> NDArray[np.float64]:
    """Discrete cosines of periods longer than `period` seconds, without the constant.

    Returns
    -------
    array of shape (n_times, n_cosines)
        Unit-norm orthogonal columns (DCT-II); as many as floor(2 n_times tr / period) - 1, as nipype and
        fMRIPrep have.
    """
    order = max(int(np.floor(2 * n_times * tr / period)), 1)
    moments = (np.arange(n_times) + 0.5) * np.pi / n_times
    return np.sqrt(2 / n_times) * np.cos(np.outer(moments, np.arange(1, order)))


def _chunks(series: NDArray[Any], chosen: NDArray[Any] | None = None) -> Iterator[NDArray[np.float64]]:
    """Voxel chunks of a series (n_times, n_voxels), so that a memory map is never held whole."""
    index = np.arange(series.shape[1]) if chosen is None else np.flatnonzero(chosen)
    for first in range(0, len(index), CHUNK):
        part = index[first : first + CHUNK]
        block = series[:, part[0] : part[-1] + 1]
        yield np.asarray(block[:, part - part[0]], dtype=float)


def mean_signal(series: NDArray[Any], voxels: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Mean over voxels at each time, (n_times,); NaN if there is no voxel."""
    if voxels is not None and not voxels.any():
        return np.full(len(series), np.nan)
    return np.array([np.mean(frame if voxels is None else frame[voxels], dtype=float) for frame in series], dtype=float)


def dvars(series: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """DVARS, plain and standardised.

    Parameters
    ----------
    series : array of shape (n_times, n_voxels)
        In-mask signal; scaled here to a median of 1000.

    Returns
    -------
    dvars, std_dvars : arrays of shape (n_times,)
        The first value is NaN. `std_dvars` is 1 for a stationary Gaussian AR(1) series of the same temporal
        variance.

    References
    ----------
    Power et al. 2012, doi:10.1016/j.neuroimage.2011.10.018; Nichols 2013 (standardisation), arXiv:1704.01469
    """
    # The median of frame-wise medians would differ from that of all values, which nipype takes: so of a fixed
    # thinning of all.
    scale = 1000.0 / max(float(np.median(series[:, :: max(1, series.shape[1] // 20_000)])), 1e-9)
    squares = np.zeros(len(series) - 1)
    predicted = 0.0
    for block in _chunks(series):
        values = block * scale
        low, high = np.percentile(values, [25, 75], axis=0, method="lower")
        centred = values - values.mean(axis=0)
        energy = (centred**2).sum(axis=0)
        ar1 = (centred[1:] * centred[:-1]).sum(axis=0) / np.where(energy > 0, energy, 1)
        predicted += float((np.sqrt(2 * (1 - ar1)) * (high - low) / 1.349).sum())
        squares += (np.diff(values, axis=0) ** 2).sum(axis=1)
    n_voxels = series.shape[1]
    plain = np.sqrt(squares / n_voxels)
    expected = predicted / n_voxels
    standard = plain / expected if expected > 0 else np.full_like(plain, np.nan)
    return np.concatenate([[np.nan], plain]), np.concatenate([[np.nan], standard])


def temporal_snr(series: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over standard deviation in time of each voxel, (n_voxels,), without detrending; NaN where nothing varies."""
    ratios = []
    for block in _chunks(series):
        deviation = block.std(axis=0)
        ratios.append(np.where(deviation > 0, block.mean(axis=0) / np.where(deviation > 0, deviation, 1), np.nan))
    return np.concatenate(ratios)


def compcor(
    series: NDArray[Any], voxels: NDArray[np.bool_], tr: float, *, n_components: int = N_COMPONENTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Anatomical CompCor: principal components of noise tissue after a high-pass, voxels of unit variance.

    Parameters
    ----------
    series : array of shape (n_times, n_voxels)
        Steady frames only.
    voxels : bool array of shape (n_voxels,)
    tr : float
        Seconds.
    n_components : int

    Returns
    -------
    components : array of shape (n_times, n_components)
        Unit norm, ordered; the largest entry of each is positive.
    variance : array
        Part of the variance of every component (all of them, not only those returned).

    References
    ----------
    Behzadi et al. 2007, doi:10.1016/j.neuroimage.2007.04.042
    """
    n_times = len(series)
    drift = np.column_stack([np.ones(n_times) / np.sqrt(n_times), cosine_basis(n_times, tr)])
    covariance = np.zeros((n_times, n_times))
    for block in _chunks(series, voxels):
        filtered = block - drift @ (drift.T @ block)
        deviation = filtered.std(axis=0)
        # Voxels without signal (outside the field of view) have a deviation of rounding noise only.
        good = deviation > 1e-6 * np.maximum(np.abs(block).mean(axis=0), 1e-12)
        standard = filtered[:, good] / deviation[good]
        covariance += standard @ standard.T
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = np.clip(values[::-1], 0, None), vectors[:, ::-1][:, :n_components]
    flip = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    total = values.sum()
    return vectors * np.where(flip == 0, 1, flip), values / total if total > 0 else values


def expand(table: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """Add backward differences and squares: name, _derivative1, _power2, _derivative1_power2 (Friston et al. 1996)."""
    parts = {}
    for name in columns:
        derivative = table[name].diff()
        parts[name] = table[name]
        parts[f"{name}_derivative1"] = derivative
        parts[f"{name}_power2"] = table[name] ** 2
        parts[f"{name}_derivative1_power2"] = derivative**2
    return pd.DataFrame(parts)


def confound_table(
    motion: NDArray[Any],
    series: NDArray[Any],
    masks: dict[str, NoiseMask],
    tr: float,
    *,
    n_dummy: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Build the confound table of a run.

    Parameters
    ----------
    motion : array of shape (n_times, 6)
        Translations (mm) and rotations (radians) from `motion.motion_parameters`.
    series : array of shape (n_times, n_voxels)
        In-mask signal after slice timing and head motion.
    masks : dict
        `csf` and `white_matter` from `noise_masks`; may be empty (no T1w): then no tissue signals and no
        aCompCor.
    tr : float
        Seconds.
    n_dummy : int
        Leading non-steady-state frames: marked, and left out of components and cosines (0 there, as fMRIPrep
        writes).

    Returns
    -------
    table : DataFrame of n_times rows
        NaN where undefined (first frame of differences).
    meta : dict
        Description of each column, with the variance each aCompCor component explains.
    """
    n_times = len(motion)
    base = pd.DataFrame(np.asarray(motion, float), columns=list(MOTION_COLUMNS))
    tissues = {name: mask for name, mask in masks.items() if mask.voxels.any()}
    for name in GLOBAL_COLUMNS:
        if name == "global_signal":
            base[name] = mean_signal(series)
        elif name in tissues:
            base[name] = mean_signal(series, tissues[name].voxels)
    signals = tuple(name for name in GLOBAL_COLUMNS if name in base)
    table = pd.concat([expand(base, signals), expand(base, MOTION_COLUMNS)], axis=1)
    table["dvars"], table["std_dvars"] = dvars(series)
    table["framewise_displacement"] = framewise_displacement(motion)
    meta = _describe(table, masks)
    extra: dict[str, NDArray[Any]] = {}
    steady = slice(n_dummy, n_times)
    if tissues:
        together = np.any([mask.voxels for mask in tissues.values()], axis=0)
        components, variance = compcor(series[steady], together, tr)
        for number in range(components.shape[1]):
            name = f"a_comp_cor_{number:02d}"
            extra[name] = _pad(components[:, number], n_dummy)
            meta[name] = {
                "Description": "Principal component of CSF and white matter together, after the high-pass",
                "Method": "aCompCor",
                "Mask": "combined",
                "VoxelsInMask": int(together.sum()),
                "VarianceExplained": float(variance[number]),
                "CumulativeVarianceExplained": float(variance[: number + 1].sum()),
                "Retained": True,
            }
    for number, cosine in enumerate(cosine_basis(n_times - n_dummy, tr).T):
        name = f"cosine{number:02d}"
        extra[name] = _pad(cosine, n_dummy)
        meta[name] = {"Description": f"Discrete cosine, periods above {HIGH_PASS_PERIOD:g} s", "Units": "arbitrary"}
    for frame in range(n_dummy):
        name = f"non_steady_state_outlier_{frame:02d}"
        extra[name] = (np.arange(n_times) == frame).astype(float)
        meta[name] = {"Description": f"1 in frame {frame}, before the steady state; 0 elsewhere"}
    return pd.concat([table, pd.DataFrame(extra, index=table.index)], axis=1), meta


def _pad(values: NDArray[Any], n_dummy: int) -> NDArray[np.float64]:
    return np.concatenate([np.zeros(n_dummy), values])


def _describe(table: pd.DataFrame, masks: dict[str, NoiseMask]) -> dict[str, Any]:
    texts = {
        "global_signal": ("Mean signal in the brain mask", "arbitrary"),
        "csf": ("Mean signal in ventricular CSF", "arbitrary"),
        "white_matter": ("Mean signal in deep white matter", "arbitrary"),
        "dvars": ("RMS change of the in-mask signal from the frame before, signal scaled to a median of 1000", "1"),
        "std_dvars": ("DVARS over its expectation for the same temporal variance (Nichols 2013)", "1"),
        "framewise_displacement": ("Sum of absolute displacements, rotations at 50 mm (Power 2012)", "mm"),
    }
    meta: dict[str, Any] = {}
    for column in table:
        name = str(column)
        stem = name.removesuffix("_power2").removesuffix("_derivative1")
        if stem in texts:
            text, unit = texts[stem]
        else:
            kind, axis = stem.split("_")
            text = f"Head {'translation' if kind == 'trans' else 'rotation'} relative to the reference, {axis} (RAS)"
            unit = "mm" if kind == "trans" else "rad"
        if "_derivative1" in name:
            text += "; backward difference"
        if name.endswith("_power2"):
            text, unit = text + "; squared", "1" if unit == "1" else f"{unit}^2"
        meta[name] = {"Description": text, "Units": unit}
        if name in masks:
            mask = masks[name]
            meta[name] |= {
                "VoxelsInMask": int(mask.voxels.sum()),
                "DistanceFromOtherTissue_mm": mask.margin_mm,
                "MinTissueFraction": mask.min_fraction,
            }
    return meta
