"""Taking the stimulation artefact out before any filter can smear it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Spans = NDArray[np.int64]

#: Blanked before and after the onset of a pulse (s). The pulse and the recovery of the amplifier are over after 9 ms;
#: amplifiers switch back at 9.3 ms in ds004080, so that responses are looked for from 11 ms on.
BEFORE_S = 0.002
AFTER_S = 0.009


def blank_spans(
    onsets_s: Sequence[float] | Array,
    sampling_hz: float,
    n_times: int,
    *,
    before_s: float = BEFORE_S,
    after_s: float = AFTER_S,
) -> Spans:
    """Samples to blank around pulses.

    Parameters
    ----------
    onsets_s : sequence of float, (n_pulses,)
        In any order; all pulses that were given, used or not.
    sampling_hz : float
    n_times : int
        Length of the recording in samples.
    before_s, after_s : float
        Seconds before and after each onset.

    Returns
    -------
    int array (n_spans, 2)
        First sample and the one after the last; sorted, apart, within the recording.
    """
    onsets = np.sort(np.asarray(onsets_s, dtype=float))
    onsets = onsets[np.isfinite(onsets)]
    # A sample that lies within the span by rounding error only is blanked, too.
    starts = np.floor((onsets - before_s) * sampling_hz + 1e-6).astype(np.int64)
    ends = np.ceil((onsets + after_s) * sampling_hz - 1e-6).astype(np.int64) + 1
    merged: list[list[int]] = []
    for start, end in zip(np.clip(starts, 0, n_times), np.clip(ends, 0, n_times), strict=True):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], int(end))
        else:
            merged.append([int(start), int(end)])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)


def interpolate_spans(data: Array, spans: Spans) -> Array:
    """Replace spans by straight lines between the samples beside them.

    Parameters
    ----------
    data : array (n_times, n_channels)
    spans : int array (n_spans, 2)
        Those that reach over an end of the data are held at the one sample there is.

    Returns
    -------
    array (n_times, n_channels)
        A copy; NaN where a span covers everything.
    """
    out = np.array(data, dtype=float)
    for start, end in spans:
        first, last = max(int(start), 0), min(int(end), len(out))
        if first >= last:
            continue
        before = out[first - 1] if first > 0 else None
        after = data[last] if last < len(out) else None
        if before is None and after is None:
            out[first:last] = np.nan
            continue
        left = before if before is not None else after
        right = after if after is not None else before
        weight = (np.arange(first, last) - first + 1)[:, None] / (last - first + 1)
        out[first:last] = (1 - weight) * np.asarray(left) + weight * np.asarray(right)
    return out


@dataclass(frozen=True)
class Blanking:
    """Blanking as a step of `ieeg_stream.stream`.

    Attributes
    ----------
    spans : int array (n_spans, 2)
        Of the whole recording (`blank_spans`).
    sampling_hz : float
    """

    spans: Spans
    sampling_hz: float

    @property
    def margin_s(self) -> float:
        """The longest span, so that both of its ends are seen."""
        longest = int(np.diff(self.spans, axis=1).max()) if len(self.spans) else 0
        return (longest + 1) / self.sampling_hz

    def __call__(self, data: Array, start: int) -> Array:
        """Blank what falls into a stretch."""
        inside = (self.spans[:, 1] > start) & (self.spans[:, 0] < start + len(data))
        return interpolate_spans(data, self.spans[inside] - start)


def blanked_mask(spans: Spans, n_times: int) -> NDArray[np.bool_]:
    """Samples that were interpolated, shape (n_times,)."""
    mask = np.zeros(n_times, dtype=bool)
    for start, end in spans:
        mask[start:end] = True
    return mask
