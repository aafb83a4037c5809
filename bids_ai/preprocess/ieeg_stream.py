"""Long recordings block by block, so that an hour of a hundred channels is never whole in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.files import atomic
from bids_ai.errors import InputError

if TYPE_CHECKING:
    import mne

Array = NDArray[np.floating]

#: What is read at once (s): 100 channels at 2048 Hz make 49 MB.
BLOCK_S = 30.0


class Step(Protocol):
    """A step of preprocessing that works on a stretch of a recording.

    Attributes
    ----------
    margin_s : float
        How far a sample's result depends on its surroundings, s.
    """

    @property
    def margin_s(self) -> float:
        """Seconds."""
        ...

    def __call__(self, data: Array, start: int) -> Array:
        """Process a stretch (n_times, n_in) that begins at sample `start`; gives (n_times, n_out)."""
        ...


def stream(
    raw: mne.io.BaseRaw, names: Sequence[str], steps: Sequence[Step], *, block_s: float = BLOCK_S
) -> Iterator[tuple[int, Array]]:
    """Process a recording block by block.

    Every block is read with a margin on both sides that covers all steps and is cut off afterwards, so that the result
    does not depend on where blocks begin.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        Not preloaded.
    names : sequence of str
        Channels, in the order in which steps get them.
    steps : sequence of Step
        In their order.
    block_s : float

    Yields
    ------
    start : int
        First sample of the block, from 0.
    data : array (n_times, n_out)
        Volts.

    Raises
    ------
    InputError
        If a channel is not in the recording.
    """
    lost = [name for name in names if name not in raw.ch_names]
    if lost or not names:
        raise InputError(
            f"Channels to process: {len(names)} wanted, {len(lost)} of them not in the recording {lost[:3]}."
        )
    rate = float(raw.info["sfreq"])
    margin = int(np.ceil(sum(step.margin_s for step in steps) * rate))
    length = max(1, round(block_s * rate))
    # What is left at the end goes with the last block: steps may need a stretch of some length.
    starts = range(0, max(raw.n_times - length, 0) + 1, length)
    for start in starts:
        end = raw.n_times if start == starts[-1] else start + length
        first, last = max(start - margin, 0), min(end + margin, raw.n_times)
        data: Array = raw.get_data(picks=list(names), start=first, stop=last).T
        for step in steps:
            data = step(data, first)
        yield start, data[start - first : end - first]


def write_stream(path: Path, raw: mne.io.BaseRaw, names: Sequence[str], steps: Sequence[Step]) -> NDArray[np.float32]:
    """Process a recording into a file that is mapped, not read.

    Parameters
    ----------
    path : Path
        ``.npy``.
    raw, names, steps
        See `stream`.

    Returns
    -------
    array (n_times, n_out), float32
        Volts; mapped from the file.
    """
    with atomic(path) as temporary:
        out = None
        for start, data in stream(raw, names, steps):
            if out is None:
                shape = (int(raw.n_times), data.shape[1])
                out = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
            out[start : start + len(data)] = data
        if out is not None:
            out.flush()
        del out
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return mapped
