"""Mean responses in files of MNE: one `Evoked` for each stimulated pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bids_ai.bids.files import atomic

#: Words that tell the halves of the pulses apart in the comment of an `Evoked`.
HALVES = ("odd", "even")


class Mean(NamedTuple):
    """A mean over pulses.

    Attributes
    ----------
    comment : str
        Such as the name of the site.
    data : array, shape (n_channels, n_times)
        Volts.
    n_pulses : int
    """

    comment: str
    data: np.ndarray
    n_pulses: int


def write_evoked(
    path: Path, means: Sequence[Mean], channels: Sequence[str], sampling_hz: float, start_s: float
) -> None:
    """Write means over the same channels and times; channels without data stay NaN.

    Parameters
    ----------
    path : Path
        Ends in ``_ave.fif``.
    means : sequence of Mean
    channels : sequence of str, (n_channels,)
    sampling_hz : float
    start_s : float
        Time of the first sample after the pulse.
    """
    import mne

    info = mne.create_info(list(channels), sampling_hz, "seeg")
    evokeds = [
        mne.EvokedArray(one.data.astype(float), info, tmin=start_s, nave=one.n_pulses, comment=one.comment)
        for one in means
    ]
    with atomic(path) as temporary:
        # MNE asks for the ending that the final name has.
        working = temporary.with_name(f"{temporary.name}_ave.fif")
        mne.write_evokeds(working, evokeds, overwrite=True, verbose="error")
        working.replace(temporary)


def read_evoked(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Read means by their comment.

    Returns
    -------
    means : dict of str to array, shape (n_channels, n_times)
        Volts.
    times_s : array, shape (n_times,)
    """
    import mne

    evokeds = mne.read_evokeds(path, verbose="error")
    return {str(one.comment): np.asarray(one.data, float) for one in evokeds}, np.asarray(evokeds[0].times)
