"""Stretches of a stimulation recording that are free of stimulation: rest with gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

#: Kept clear before and after a pulse (s): responses to single pulses, the late ones included, are over within 2 s.
BEFORE_S = 0.1
AFTER_S = 2.0
#: Shorter pieces are left out (s).
SHORTEST_S = 1.0


def stimulation_free_mask(
    n_times: int,
    sampling_hz: float,
    onsets_s: Sequence[float] | Array,
    *,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
    spoiled_s: Sequence[tuple[float, float]] = (),
    shortest_s: float = SHORTEST_S,
) -> NDArray[np.bool_]:
    """Samples at rest in a stimulation recording.

    Parameters
    ----------
    n_times : int
    sampling_hz : float
    onsets_s : sequence of float
        Of all pulses, used or not: a dropped pulse stimulates, too.
    before_s, after_s : float
        Kept clear around each pulse.
    spoiled_s : sequence of (float, float)
        Start and end of artefacts and seizures.
    shortest_s : float
        Shorter pieces are left out.

    Returns
    -------
    bool array (n_times,)
        True where at rest.
    """
    mask = np.ones(n_times, dtype=bool)
    onsets = np.asarray(onsets_s, dtype=float)
    spans = [(onset - before_s, onset + after_s) for onset in onsets[np.isfinite(onsets)]]
    for start, end in (*spans, *spoiled_s):
        first = max(int(np.floor(start * sampling_hz + 1e-6)), 0)
        mask[first : max(int(np.ceil(end * sampling_hz - 1e-6)) + 1, 0)] = False
    for first, last in segments(mask):
        if last - first < shortest_s * sampling_hz - 1e-6:
            mask[first:last] = False
    return mask


def segments(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Stretches of True: first sample and the one after the last."""
    edges = np.flatnonzero(np.diff(np.r_[False, mask, False].astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


def rest_with_gaps(data: Array, mask: NDArray[np.bool_]) -> Array:
    """Series at rest, with NaN in the gaps, so that no lag ever crosses one unnoticed.

    Parameters
    ----------
    data : array (n_times, n_channels)
    mask : bool array (n_times,)
        True where at rest.

    Returns
    -------
    array (n_times, n_channels)
        A copy.
    """
    return np.where(mask[:, None], data, np.nan)
