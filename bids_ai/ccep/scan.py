"""What a response may look like to the responder test: means over windows of many lengths against baselines.

A response is a deflection of unknown time, sign and duration. Every window mean is a linear function of the trial, so
that the average over trials is all that is needed, and the largest of them in SDs of stimulation-free averages is a
test of all at once (a multiscale scan: Duembgen & Spokoiny 2001, doi:10.1214/aos/996986504). Short windows see an N1,
long ones an N2 and slower waves. In SDs, a window that the channel's own spectrum makes noisy counts for less.

Three baselines, because noise differs: the long one averages fast noise away; one just before the pulse, as long as
the window, takes off slow drift, which the long one cannot follow; that one together with a window behind takes off a
steady rise as well. In noise of 1/f2 and steeper the last finds slow waves that the others miss.
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
#: Windows up to this length, s, are also compared with one behind them, half a length away.
FLANKED_S = 0.050


@dataclass(frozen=True)
class Scan:
    """Windows and baselines in samples from the pulse on.

    Attributes
    ----------
    start, stop : array of int, shape (n_windows,)
        Of each window.
    base_start, base_stop : array of int, shape (n_windows, 2)
        Of the two halves of its baseline, which count alike; twice the same where there is one.
    first, last : int
        Samples that an epoch must hold: from first to last, the latter not included.
    fine : array of bool, shape (n_windows,)
        The shortest windows: the average itself, as an eye sees it.
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
        base = self._mean(total, self.base_start, self.base_stop).mean(axis=-1)
        out: NDArray[np.float64] = self._mean(total, self.start, self.stop) - base
        return out

    def _mean(self, total: Array, start: IntArray, stop: IntArray) -> Array:
        return (total[..., stop - self.first] - total[..., start - self.first]) / (stop - start)


def make_scan(sampling_hz: float) -> Scan:
    """Windows and baselines for a sampling rate."""
    end, near_stop = round(END_S * sampling_hz), round(NEAR_END_S * sampling_hz)
    long = tuple(round(edge * sampling_hz) for edge in BASELINE_S)
    rows = []
    for number, length_s in enumerate(LENGTHS_S):
        length = max(1, round(length_s * sampling_hz))
        near = (near_stop - max(length, round(NEAR_S * sampling_hz)), near_stop)
        stride = max(1, round((2.0 * STRIDE if number == 0 else STRIDE) * length))
        behind = length + max(1, length // 2)
        for start in range(int(np.ceil(RESPONSE_START_S * sampling_hz)), end - length + 1, stride):
            window, flank = (start, start + length, number == 0), (start + behind, start + behind + length)
            rows += [(*window, *base, *base) for base in (long, near)]
            if length_s <= FLANKED_S and flank[1] <= end:
                rows.append((*window, *near, *flank))
    table = np.array(rows)
    return Scan(
        start=table[:, 0],
        stop=table[:, 1],
        base_start=table[:, [3, 5]],
        base_stop=table[:, [4, 6]],
        first=int(table[:, 3].min()),
        last=int(table[:, 1].max()),
        fine=table[:, 2].astype(bool),
        sampling_hz=sampling_hz,
    )
