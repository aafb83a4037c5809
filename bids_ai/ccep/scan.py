"""What a response may look like to the responder test: means over windows of many lengths, against two baselines.

A response is a deflection of unknown time, sign and duration. Every window mean is a linear function of the trial, so
that the average over trials is all that is needed, and the largest of them in SDs of stimulation-free averages is a test
of all at once (a multiscale scan: Duembgen & Spokoiny 2001, doi:10.1214/aos/996986504). Short windows see an N1, long ones
an N2 and slower waves. In SDs, a window that the channel's own spectrum makes noisy counts for less.

Two baselines, because noise has two kinds: the long one averages fast noise away; one just before the pulse, as long as
the window, takes off slow drift, which the long one cannot follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_ai.ccep.epochs import BASELINE_S
from bids_ai.ccep.trials import RESPONSE_START_S, Array, BoolArray, IntArray

#: Lengths of the windows, s: half an N1 to slow waves, each 2.5 times the one before.
LENGTHS_S = (0.008, 0.020, 0.050, 0.120, 0.250)
#: Windows of one length begin this share of it after each other; half of it for the shortest.
STRIDE = 0.25
#: Windows end here, s.
END_S = 0.5
#: The near baseline ends here, s: ahead of the blanked artefact. It is never shorter than `NEAR_S`.
NEAR_END_S, NEAR_S = -0.005, 0.020


@dataclass(frozen=True)
class Scan:
    """Windows and baselines in samples from the pulse on.

    Attributes
    ----------
    start, stop : array of int, shape (n_windows,)
        Of each window.
    base_start, base_stop : array of int, shape (n_windows,)
        Of its baseline.
    first, last : int
        Samples that an epoch must hold: from first to last, the latter not included.
    fine : array of bool, shape (n_windows,)
        The shortest windows against the long baseline: the average itself, as an eye sees it.
    sampling_hz : float
    """

    start: IntArray
    stop: IntArray
    base_start: IntArray
    base_stop: IntArray
    first: int
    last: int
    fine: BoolArray
    sampling_hz: float

    def __len__(self) -> int:
        return len(self.start)

    def apply(self, epoch: Array, onset: int) -> NDArray[np.float64]:
        """Window means less their baselines.

        Parameters
        ----------
        epoch : array, shape (..., n_times)
        onset : int
            Sample of the pulse in it.

        Returns
        -------
        array, shape (..., n_windows)
        """
        part = epoch[..., onset + self.first : onset + self.last]
        total = np.zeros((*part.shape[:-1], part.shape[-1] + 1))
        # Of a large offset the running sum would lose digits.
        np.cumsum(part - part[..., :1], axis=-1, out=total[..., 1:], dtype=float)
        mean = self._mean(total, self.start, self.stop)
        out: NDArray[np.float64] = mean - self._mean(total, self.base_start, self.base_stop)
        return out

    def _mean(self, total: Array, start: IntArray, stop: IntArray) -> Array:
        return (total[..., stop - self.first] - total[..., start - self.first]) / (stop - start)


def make_scan(sampling_hz: float) -> Scan:
    """Windows and baselines for a sampling rate."""
    rows = []
    for number, length_s in enumerate(LENGTHS_S):
        length = max(1, round(length_s * sampling_hz))
        stride = max(1, round((2.0 * STRIDE if number == 0 else STRIDE) * length))
        starts = np.arange(int(np.ceil(RESPONSE_START_S * sampling_hz)), round(END_S * sampling_hz) - length + 1, stride)
        near_stop = round(NEAR_END_S * sampling_hz)
        near = (near_stop - max(length, round(NEAR_S * sampling_hz)), near_stop)
        long = tuple(round(edge * sampling_hz) for edge in BASELINE_S)
        for base, fine in ((long, number == 0), (near, False)):
            rows += [(start, start + length, *base, fine) for start in starts]
    table = np.array(rows)
    start, stop, base_start, base_stop = table[:, :4].T
    return Scan(
        start,
        stop,
        base_start,
        base_stop,
        int(base_start.min()),
        int(stop.max()),
        table[:, 4].astype(bool),
        sampling_hz,
    )
