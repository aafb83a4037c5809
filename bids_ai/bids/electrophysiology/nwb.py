"""NWB files as lazy recordings: the electrical series is read from HDF5 piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.electrophysiology.findings import Finding
from bids_ai.errors import InputError

if TYPE_CHECKING:
    import mne

_CHUNK_SAMPLES = 65536


def open_nwb(path: Path) -> tuple[mne.io.BaseRaw, list[Finding]]:
    """Open the electrical series of an NWB file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    raw : mne.io.BaseRaw
        Volts, not preloaded; channels bear the names of the electrodes.
    findings : list of Finding

    Raises
    ------
    InputError
        If it cannot be read, holds no electrical series, or several.
    """
    import pynwb

    try:
        file = pynwb.NWBHDF5IO(str(path), mode="r", load_namespaces=True)
        series = [
            entry for entry in file.read().acquisition.values() if isinstance(entry, pynwb.ecephys.ElectricalSeries)
        ]
    except Exception as error:  # h5py, hdmf and pynwb each raise their own
        raise InputError(f"{path} cannot be read as NWB ({type(error).__name__}: {error}).") from error
    if len(series) != 1:
        names = ", ".join(entry.name for entry in series) or "none"
        raise InputError(f"{path}: one ElectricalSeries in its acquisition is wanted, got {len(series)} ({names}).")
    return _raw(path, series[0], file)


def _raw(path: Path, series: Any, file: Any) -> tuple[mne.io.BaseRaw, list[Finding]]:
    import mne

    findings = []
    rate = series.rate
    if rate is None:
        times = np.asarray(series.timestamps[: min(len(series.timestamps), _CHUNK_SAMPLES)])
        steps = np.diff(times)
        if not len(steps) or np.ptp(steps) > 0.01 * np.median(steps):
            raise InputError(f"{path}: samples are not evenly spaced in time; a regular recording is wanted.")
        rate = 1.0 / float(np.median(steps))
        findings.append(Finding("nwb-timestamps", f"{path.name} gives times, no rate; {rate:g} Hz was reckoned."))
    table = series.electrodes.to_dataframe()
    column = next((name for name in ("label", "channel_name", "name", "group_name") if name in table), None)
    names = [str(name) for name in (table.index if column is None else table[column])]
    if len(set(names)) != len(names):
        names = [f"{name}{position + 1}" for position, name in enumerate(names)]
    info = mne.create_info(names, float(rate), "misc", verbose="error")
    scale = np.asarray(series.channel_conversion) if series.channel_conversion is not None else np.ones(len(names))

    class RawNwb(mne.io.BaseRaw):
        """Samples of an NWB file, (n_times, n_channels) on disk."""

        def _read_segment_file(  # type: ignore[no-untyped-def]
            self, data, idx, fi, start, stop, cals, mult
        ) -> None:
            for first in range(start, stop, _CHUNK_SAMPLES):
                last = min(first + _CHUNK_SAMPLES, stop)
                block = np.asarray(series.data[first:last], dtype=np.float64).reshape(last - first, -1).T
                block = block * (series.conversion * scale)[:, None] + series.offset
                part = block[idx] * cals if mult is None else mult @ block
                data[:, first - start : last - start] = part

    raw = RawNwb(
        info, preload=False, filenames=[path], first_samps=[0], last_samps=[len(series.data) - 1], verbose="error"
    )
    raw._nwb_file = file  # an open file is closed when nothing refers to it
    return raw, findings
