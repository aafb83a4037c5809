"""Series of regions from a scalp EEG by a minimum norm, and which regions it cannot tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_head_model
from bids_ai.preprocess.eeg_head_model import Conductor, HeadAnatomy, HeadModel
from bids_ai.preprocess.eeg_positions import has_position
from bids_ai.preprocess.eeg_segments import good_frames

Array = NDArray[np.floating]
Method = Literal["eLORETA", "dSPM", "sLORETA", "MNE"]
Summary = Literal["mean_flip", "pca_flip"]

#: Amplitude of the brain over that of the noise which the regularisation stands for: 3 is MNE's value for evoked
#: fields; rest has no average to take, and single windows of it are as noisy as they are large.
SNR = 3.0
#: Depth weighting of dSPM, sLORETA and MNE. Lin et al. 2006, doi:10.1016/j.neuroimage.2005.11.054. eLORETA has its own.
DEPTH = 0.8
#: A region is told apart when no other region contributes as much to its series as this share of what it does itself.
MOST_CROSSTALK = 1.0
#: Two regions whose series would correlate above this if all cortex were independent are one.
MOST_OVERLAP = 0.9
#: Regions are given at most at this rate, Hz.
MOST_HZ = 250.0


@dataclass(frozen=True)
class Resolution:
    """What an inverse operator can tell apart, whatever the data.

    Attributes
    ----------
    crosstalk : array, shape (n_regions, n_regions)
        Row: the region that contributes; column: the region whose series it is. Amplitude relative to what the region
        itself contributes, when all cortex has independent dipoles of the same moment density. Diagonal 1.
    own_share : array, shape (n_regions,)
        Share of the power of a region's series that comes from it.
    overlap : array, shape (n_regions, n_regions)
        Absolute correlation of the series in that case. Diagonal 1.
    reasons : dict of int to str
        Rows (from 0) of the regions that cannot be told from others, or are not seen; others are named in the text.
    """

    crosstalk: Array
    own_share: Array
    overlap: Array
    reasons: dict[int, str]


@dataclass(frozen=True)
class RegionSources:
    """Series of regions.

    Attributes
    ----------
    series : array, shape (n_times, n_regions)
        nAm/mm2 for MNE and eLORETA up to the unknown extent of what is active, no units for dSPM and sLORETA; NaN rows
        where the recording is bad, NaN columns of regions that cannot be told apart unless they were asked for.
    sampling_hz : float
    resolution : Resolution
    operator : array, shape (n_channels, n_regions)
        ``series = eeg @ operator``, eeg in volts, average reference.
    names : tuple of str
        Channels.
    quality : dict
        What was done, with counts and reasons.
    """

    series: Array
    sampling_hz: float
    resolution: Resolution
    operator: Array
    names: tuple[str, ...]
    quality: dict[str, Any]


def eeg_sources(
    raw: Any,
    labels: NDArray[np.integer],
    affine: Array,
    n_regions: int,
    *,
    anatomy: HeadAnatomy | None = None,
    electrodes_mm: Array | None = None,
    conductor: Conductor = "bem",
    method: Method = "eLORETA",
    summary: Summary = "mean_flip",
    snr: float = SNR,
    sampling_hz: float = MOST_HZ,
    keep_unresolved: bool = False,
    regions: Sequence[str] | None = None,
) -> RegionSources:
    """Series of the regions of an atlas from a clean EEG.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        From `eeg.preprocess_eeg`: bad channels in ``info["bads"]`` and bad segments are left out.
    labels : array of int, shape (nx, ny, nz)
        1..n_regions, 0 outside; in MNI space, or in that of `anatomy`.
    affine : array, shape (4, 4)
        Voxel to mm RAS of the labels.
    n_regions : int
    anatomy : HeadAnatomy, optional
        The subject's own tissues; by default the template's.
    electrodes_mm : array, shape (n_channels, 3), optional
        In mm RAS of `anatomy`, of all channels of `raw` in order; needed with it.
    conductor : {"bem", "sphere"}
    method : {"eLORETA", "dSPM", "sLORETA", "MNE"}
    summary : {"mean_flip", "pca_flip"}
        Mean over the dipoles of a region along the cortex's normal, or their first principal component, which in a
        region beside a stronger one is what leaks from there.
    snr : float
        Of the regularisation (`lambda2 = 1 / snr**2`).
    sampling_hz : float
        Highest rate of the series.
    keep_unresolved : bool
        Give the series of regions that cannot be told apart, which are listed in any case.
    regions : sequence of str, (n_regions,), optional
        Names for what is said of regions; by default "region" and the label, from 1.

    Returns
    -------
    RegionSources

    Raises
    ------
    InputError
        Without positions, with fewer than three good channels, for unknown methods, or when an anatomy comes without
        electrodes.
    """
    if anatomy is not None and electrodes_mm is None:
        raise InputError("With an anatomy of the subject, electrodes_mm in its space is wanted; got none.")
    clean = raw.copy().pick("eeg", exclude="bads")
    placed = has_position(clean.info)
    left_out = [name for name, there in zip(clean.ch_names, placed, strict=True) if not there]
    if anatomy is None and left_out:
        clean.pick([name for name in clean.ch_names if name not in left_out])
    if len(clean.ch_names) < 3:
        raise InputError(
            f"Three good EEG channels with a position are wanted for sources, got {len(clean.ch_names)} of "
            f"{len(raw.ch_names)}. Give positions (electrodes.tsv) or names of the 10-20 system."
        )
    if anatomy is None or electrodes_mm is None:
        anatomy = eeg_head_model.template_anatomy()
        places, fit = eeg_head_model.electrodes_on_template(clean.info)
    else:
        rows = [raw.ch_names.index(name) for name in clean.ch_names]
        places, fit = np.asarray(electrodes_mm, float)[rows], "given in the space of the anatomy"
    on_grid = eeg_head_model.labels_on(anatomy, labels, affine)
    model = eeg_head_model.head_model(
        tuple(clean.ch_names), places, anatomy, on_grid, n_regions, conductor=conductor, fit=fit
    )
    data, rate = _sampled(clean, sampling_hz)
    found = region_sources(
        model,
        data,
        rate,
        method=method,
        summary=summary,
        snr=snr,
        keep_unresolved=keep_unresolved,
        regions=regions,
    )
    found.quality.update(
        anatomy=anatomy.origin, conductor=conductor, electrodes=fit, channels_without_position=left_out
    )
    return found


def region_sources(
    model: HeadModel,
    data: Array,
    sampling_hz: float,
    *,
    method: Method = "eLORETA",
    summary: Summary = "mean_flip",
    snr: float = SNR,
    keep_unresolved: bool = False,
    regions: Sequence[str] | None = None,
) -> RegionSources:
    """Series of regions from the series of channels.

    Parameters
    ----------
    model : HeadModel
    data : array, shape (n_times, n_channels)
        Volts, any reference; NaN rows are bad.
    sampling_hz : float
    method, summary, snr, keep_unresolved, regions
        As in `eeg_sources`.

    Returns
    -------
    RegionSources
    """
    good = np.isfinite(data).all(axis=1)
    if good.sum() < 2:
        raise InputError(
            f"Two good samples or more are wanted for sources; {int(good.sum())} of {len(data)} "
            f"({len(data) / sampling_hz:.3g} s) are, the others lie in bad segments (listed beside the "
            "preprocessed recording, *_desc-preproc_events.tsv). Leave the recording out, or give a longer one."
        )
    centred = data - data.mean(axis=1, keepdims=True)
    kernel = inverse_kernel(model, method, snr)
    covariance = np.cov(centred[good].T)
    operator = region_operator(model, kernel, covariance, summary)
    named = _names(regions, model.n_regions)
    resolution = resolve(model, operator, named)
    series = centred @ operator
    if not keep_unresolved:
        series[:, list(resolution.reasons)] = np.nan
    quality = {
        "method": method,
        "summary": summary,
        "snr": snr,
        "n_channels": len(model.names),
        "n_dipoles": len(model.sheet.region),
        "sampling_hz": sampling_hz,
        "n_regions": model.n_regions,
        "n_resolved": model.n_regions - len(resolution.reasons),
        "unresolved": {named[row]: why for row, why in resolution.reasons.items()},
        "unresolved_given": keep_unresolved,
        "median_own_share": round(float(np.nanmedian(resolution.own_share)), 3),
        "bad_samples": int((~good).sum()),
    }
    return RegionSources(series, sampling_hz, resolution, operator, model.names, quality)


def inverse_kernel(model: HeadModel, method: Method = "eLORETA", snr: float = SNR) -> Array:
    """The linear map from channels to dipoles of a minimum norm with free orientation.

    Parameters
    ----------
    model : HeadModel
    method : {"eLORETA", "dSPM", "sLORETA", "MNE"}
    snr : float

    Returns
    -------
    array, shape (n_dipoles, 3, n_channels)

    Raises
    ------
    InputError
        For another method, or an SNR that is not positive.

    References
    ----------
    Hamalainen & Ilmoniemi 1994, doi:10.1007/BF02512476; Dale et al. 2000, doi:10.1016/S0896-6273(00)81138-1 (dSPM);
    Pascual-Marqui 2007, arXiv:0710.3341 (eLORETA).
    """
    if method not in ("eLORETA", "dSPM", "sLORETA", "MNE"):
        raise InputError(f"Inverse: 'eLORETA', 'dSPM', 'sLORETA' or 'MNE' is wanted, got {method!r}.")
    if not snr > 0.0:
        raise InputError(f"Inverse: a positive SNR is wanted, got {snr!r}.")
    import mne

    n_channels = len(model.names)
    # The map is linear: what it makes of unit vectors is the map itself.
    unit = mne.EvokedArray(np.eye(n_channels), model.info.copy(), verbose="error")
    unit.set_eeg_reference(projection=True, verbose="error")
    noise = mne.make_ad_hoc_cov(unit.info, verbose="error")
    depth = None if method == "eLORETA" else DEPTH
    inverse = mne.minimum_norm.make_inverse_operator(
        unit.info, model.forward, noise, loose=1.0, depth=depth, verbose="error"
    )
    estimate = mne.minimum_norm.apply_inverse(
        unit, inverse, lambda2=snr**-2, method=method, pick_ori="vector", verbose="error"
    )
    kernel: Array = np.asarray(estimate.data, float)
    return kernel


def region_operator(model: HeadModel, kernel: Array, covariance: Array, summary: Summary = "mean_flip") -> Array:
    """From channels to regions.

    Parameters
    ----------
    model : HeadModel
    kernel : array, shape (n_dipoles, 3, n_channels)
    covariance : array, shape (n_channels, n_channels)
        Of the data, average reference.
    summary : {"mean_flip", "pca_flip"}

    Returns
    -------
    array, shape (n_channels, n_regions)
        NaN columns of regions without a dipole. The sign is that of current out of the cortex.

    Raises
    ------
    InputError
        For another summary.
    """
    if summary not in ("pca_flip", "mean_flip"):
        raise InputError(f"Summary of a region: 'pca_flip' or 'mean_flip' is wanted, got {summary!r}.")
    sheet = model.sheet
    operator = np.full((len(model.names), model.n_regions), np.nan)
    for region in range(model.n_regions):
        rows = np.flatnonzero(sheet.region == region)
        if not len(rows):
            continue
        area = np.linalg.norm(sheet.vector_mm2[rows], axis=1)
        outward = np.einsum("dk,dkc->c", sheet.vector_mm2[rows], kernel[rows]) / max(float(area.sum()), 1e-12)
        if summary == "mean_flip":
            operator[:, region] = outward
            continue
        # Principal component over dipoles and directions, through the covariance of the channels: (n, n), not (n, t).
        parts = kernel[rows].reshape(-1, kernel.shape[2]) * np.repeat(np.sqrt(np.maximum(area, 1e-12)), 3)[:, None]
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        weight = np.linalg.svd(parts @ root, full_matrices=False)[0][:, 0]
        first = weight @ parts / np.sqrt(max(float(area.sum()), 1e-12))
        sign = float(first @ covariance @ outward)
        operator[:, region] = first if sign >= 0.0 else -first
    return operator


def _names(regions: Sequence[str] | None, n_regions: int) -> list[str]:
    names = [f"region {label}" for label in range(1, n_regions + 1)] if regions is None else list(regions)
    if len(set(names)) != n_regions:
        raise InputError(f"Sources: {n_regions} different names of regions are wanted, got {len(set(names))}.")
    return names


def resolve(model: HeadModel, operator: Array, regions: Sequence[str] | None = None) -> Resolution:
    """Crosstalk of regions through an operator.

    Parameters
    ----------
    model : HeadModel
    operator : array, shape (n_channels, n_regions)
    regions : sequence of str, (n_regions,), optional
        As in `eeg_sources`.

    Returns
    -------
    Resolution

    References
    ----------
    Hauk, Stenroos & Treder 2022, doi:10.1016/j.neuroimage.2022.119177 (resolution of inverse operators).
    """
    sheet, n = model.sheet, model.n_regions
    # Independent patches: the power of a dipole grows with its cortex.
    area = np.linalg.norm(sheet.vector_mm2, axis=1)
    scaled = model.gain * np.sqrt(area)[None, :, None]
    seen = np.asarray(np.isfinite(operator).all(axis=0))
    known = np.nan_to_num(operator)
    reach = np.einsum("cr,cdk->rdk", known, scaled)
    power = np.zeros((n, n))
    for region in range(n):
        power[region] = (reach[:, sheet.region == region] ** 2).sum(axis=(1, 2))
    flat = reach.reshape(n, -1)
    cross = flat @ flat.T
    scale = np.sqrt(np.maximum(np.diag(cross), 1e-300))
    overlap = np.abs(cross) / np.outer(scale, scale)
    own = np.diag(power)
    with np.errstate(invalid="ignore", divide="ignore"):
        crosstalk = np.sqrt(power / own)
        share = own / power.sum(axis=0)
    for table in (crosstalk, overlap):
        table[~seen], table[:, ~seen] = np.nan, np.nan
        np.fill_diagonal(table, 1.0)
    share[~seen] = np.nan
    return Resolution(crosstalk, share, overlap, _reasons(crosstalk, overlap, seen, _names(regions, n)))


def _reasons(crosstalk: Array, overlap: Array, seen: NDArray[np.bool_], names: list[str]) -> dict[int, str]:
    reasons: dict[int, str] = {}
    off = ~np.eye(len(seen), dtype=bool)
    for region in range(len(seen)):
        if not seen[region]:
            reasons[region] = "no grey matter in the head model"
            continue
        others = np.where(off[region] & seen, crosstalk[:, region], 0.0)
        worst = int(others.argmax())
        alike = np.where(off[region] & seen, overlap[region], 0.0)
        twin = int(alike.argmax())
        if others[worst] > MOST_CROSSTALK:
            reasons[region] = f"{names[worst]} contributes {others[worst]:.1f} times what it does itself"
        elif alike[twin] > MOST_OVERLAP:
            reasons[region] = f"its series is that of {names[twin]} (overlap {alike[twin]:.2f})"
    return reasons


def _sampled(raw: Any, highest_hz: float) -> tuple[Array, float]:
    """Data (n_times, n_channels) at no more than a rate, bad samples NaN."""
    rate = float(raw.info["sfreq"])
    data = raw.get_data().T
    good = good_frames(raw)
    if rate > highest_hz:
        ratio = Fraction(highest_hz / rate).limit_denominator(1000)
        n_times = len(data)
        data = resample_poly(data, ratio.numerator, ratio.denominator, axis=0)
        rate *= ratio.numerator / ratio.denominator
        # A sample is good when all that it stands for are.
        edges = np.minimum(np.floor(np.arange(len(data) + 1) * n_times / len(data)).astype(int), n_times)
        bad = np.r_[0, np.cumsum(~good)]
        good = bad[np.maximum(edges[1:], edges[:-1] + 1)] == bad[edges[:-1]]
    data[~good] = np.nan
    return data, rate
