"""What an effective connectivity rests on: edges beyond chance, repeatability, use of the structure, spectrum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.effective.repeatability import similarity
from bids_ai.surrogate.lags import lag_targets
from bids_ai.surrogate.registry import STRUCTURAL
from bids_ai.surrogate.usable import FloatArray, usable_frames

if TYPE_CHECKING:
    from bids_ai.effective.inference import EdgeInference
    from bids_ai.surrogate.fitted import FittedSurrogate
    from bids_ai.surrogate.recording import Recording

Q_LEVEL = 0.05
"""False discovery rate below which an edge is counted and marked."""
NEURAL_BAND_HZ = 0.1
"""Haemodynamics low-pass: most power of resting BOLD lies below (Cordes et al. 2001, AJNR 22:1326)."""
FAST_SHARE = 0.5
"""Share of power above that band from which BOLD is more noise than haemodynamics."""
SEGMENT_S = 100.0
"""Length of the segments of the averaged periodogram: ten periods of the edge of the band."""
MIN_SEGMENT = 16


def edge_counts(fitted: FittedSurrogate, edges: EdgeInference) -> dict[str, Any]:
    """Count edges beyond chance, and say what the count rests on.

    Returns
    -------
    dict
        ``EdgesTested``, ``EdgesBelowQ`` (None where there are no tests), ``Q``, ``Order``, ``SamplesPerCoefficient``.
    """
    tested = int(np.isfinite(edges.q).sum())
    n_coefficients = edges.order * int(fitted.kept.sum())
    n_samples = len(lag_targets(usable_frames(fitted.series), edges.order))
    return {
        "EdgesTested": tested,
        "EdgesBelowQ": int((edges.q < Q_LEVEL).sum()) if tested else None,
        "Q": Q_LEVEL,
        "Order": edges.order,
        "SamplesPerCoefficient": round(n_samples / n_coefficients, 2),
    }


def repeatability(fitted: FittedSurrogate) -> dict[str, Any]:
    """Correlation of the coefficients of both halves of the recording.

    Returns
    -------
    dict
        ``SplitHalfR``; ``Of``: the family it is of, ridge VAR where the one kept is dear to fit twice; and
        ``WholeRecording``, the reliability of the whole by Spearman and Brown, 2 r / (1 + r).
    """
    stability = fitted.evaluation["stability"]
    own, linear = stability.get("split_half_r"), stability.get("linear_split_half_r")
    value, of = (own, fitted.family) if own is not None else (linear, "ridge-var")
    known = value is not None and math.isfinite(value)
    return {
        "SplitHalfR": float(value) if known else None,
        "Of": of,
        "WholeRecording": 2 * value / (1 + value) if known and value > 0 else None,
    }


def structural_used(fitted: FittedSurrogate, recording: Recording) -> bool | None:
    """Whether the structural connectivity shapes the fit; None where none was given."""
    if recording.structural is None:
        return None
    if fitted.family == "sc-ridge":
        return bool(fitted.evaluation["fit"].get("contrast"))
    return fitted.family in STRUCTURAL


def structural_words(fitted: FittedSurrogate, used: bool | None) -> str:
    """Say what became of the structural connectivity; empty where none was given."""
    if used is None:
        return ""
    if used:
        contrast = fitted.evaluation["fit"].get("contrast")
        how = f" (contrast {contrast:g} of its prior, chosen by cross-validation)" if contrast else ""
        return f"The structural connectivity given was used{how}."
    tried = any(row["family"] == "sc-ridge" for row in fitted.evaluation["heldout"].get("families") or [])
    if tried or fitted.family == "sc-ridge":
        return (
            "The structural connectivity given was tried and not used: it does not help to predict this recording. The "
            "effective connectivity is what it would be without."
        )
    return f"The structural connectivity given was not used: {fitted.family} does not read one."


def fast_share(series: FloatArray, tr: float) -> float:
    """Share of the power above 0.1 Hz, median over regions.

    Parameters
    ----------
    series : array (n_times, n_regions)
        NaN rows where censored.
    tr : float
        Seconds.

    Returns
    -------
    float
        NaN where the sampling shows nothing above 0.1 Hz, or no stretch is long enough.
    """
    length = min(max(MIN_SEGMENT, round(SEGMENT_S / tr)), len(series))
    frequencies = np.fft.rfftfreq(length, tr)
    if length < MIN_SEGMENT or frequencies[-1] <= NEURAL_BAND_HZ:
        return float("nan")
    window, usable = np.hanning(length)[:, None], usable_frames(series)
    power = [
        np.abs(np.fft.rfft((piece - piece.mean(0)) * window, axis=0)) ** 2
        for start in range(0, len(series) - length + 1, max(1, length // 2))
        if usable[start : start + length].all()
        for piece in (series[start : start + length],)
    ]
    if not power:
        return float("nan")
    mean = np.mean(power, axis=0)[1:]  # without the constant
    return float(np.median(mean[frequencies[1:] > NEURAL_BAND_HZ].sum(0) / mean.sum(0)))


def spectrum_warnings(fitted: FittedSurrogate, recording: Recording) -> tuple[str, ...]:
    """Warn where BOLD is mostly faster than haemodynamics are."""
    if recording.modality != "bold":
        return ()
    share = fast_share(fitted.series, recording.tr)
    if not share > FAST_SHARE:
        return ()
    return (
        f"{share:.0%} of the power lies above {NEURAL_BAND_HZ:g} Hz, faster than the haemodynamic response lets most "
        "neural activity through. Respiration, motion and thermal noise live there, and without slice timing "
        "correction the order in which slices were taken looks like directed coupling. Correct for slice timing and "
        "respiration before the fit, or read the directions as doubtful.",
    )


def between_recordings(
    matrices: dict[str, FloatArray], names: dict[str, tuple[str, ...]]
) -> tuple[list[str], FloatArray]:
    """Correlate the effective connectivity of recordings with each other.

    Parameters
    ----------
    matrices : dict of (n_regions, n_regions) arrays
        By the name of the recording.
    names : dict of tuple of str
        Regions of each, in the order of its matrix.

    Returns
    -------
    list of str
        Recordings, in their order.
    array (n_recordings, n_recordings)
        Pearson correlation over the edges that both have, matched by the names of the regions; NaN where fewer than
        3 regions are shared.
    """
    recordings = list(matrices)
    found = np.full((len(recordings),) * 2, np.nan)
    for i, one in enumerate(recordings):
        for j, other in enumerate(recordings[:i]):
            place = {region: k for k, region in enumerate(names[other])}
            shared = [(k, place[region]) for k, region in enumerate(names[one]) if region in place]
            if len(shared) < 3:
                continue
            first, second = (np.array(index) for index in zip(*shared, strict=True))
            a, b = matrices[one][np.ix_(first, first)], matrices[other][np.ix_(second, second)]
            found[i, j] = found[j, i] = similarity(a, b)
    return recordings, found
