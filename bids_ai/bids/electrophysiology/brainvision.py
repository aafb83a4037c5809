"""A recording as BrainVision files, written piece by piece, so that a long one needs no memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def write_brainvision(
    stem: Path,
    pieces: Iterable[NDArray[np.int16] | NDArray[np.float32]],
    *,
    names: list[str],
    sampling_hz: float,
    reference: str,
    resolution_uv: float,
    floats: bool = False,
) -> int:
    """Write ``.vhdr``, ``.vmrk`` and ``.eeg`` (channels interleaved), without dates.

    Parameters
    ----------
    stem : Path
        File name without extension.
    pieces : iterable of array, shape (n_times, n_channels)
        One after the other; one unit is `resolution_uv`.
    names : list of str
        Of the channels.
    sampling_hz : float
    reference : str
        Name of the contact that all channels refer to.
    resolution_uv : float
        Microvolts.
    floats : bool
        As 32-bit floats instead of 16-bit integers.

    Returns
    -------
    int
        Samples written.
    """
    from pybv import write_brainvision as pybv_write

    stem.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=stem.parent, prefix=".brainvision-") as folder:
        working = Path(folder)
        # The headers do not say how long the data are: pybv makes them of one sample, the data follow in pieces.
        pybv_write(
            data=np.zeros((len(names), 1)),
            sfreq=float(sampling_hz),
            ch_names=names,
            ref_ch_names=reference,
            fname_base=stem.name,
            folder_out=working,
            overwrite=True,
            resolution=resolution_uv,
            fmt="binary_float32" if floats else "binary_int16",
        )
        n_times, kind = 0, "<f4" if floats else "<i2"
        with (working / f"{stem.name}.eeg").open("wb") as out:
            for piece in pieces:
                out.write(np.ascontiguousarray(piece, dtype=kind).tobytes())
                n_times += len(piece)
        for suffix in (".eeg", ".vmrk", ".vhdr"):
            (working / f"{stem.name}{suffix}").replace(stem.with_name(stem.name + suffix))
    return n_times
