"""What the stages of EEG and iEEG share: opening a recording, writing a preprocessed one, telling what was odd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_table
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources, versions

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.findings import Finding
    from bids_ai.bids.electrophysiology.recording import OpenRecording
    from bids_ai.bids.electrophysiology.stimulation import Stimulation

_TO_UV = 1e6


def open_signal(entry: Recording) -> OpenRecording:
    """Open the raw signal of a recording."""
    from bids_ai.bids.electrophysiology.recording import open_recording

    return open_recording(Path(entry.source))


def stimulation_of(context: Context, entry: Recording, opened: OpenRecording) -> Stimulation:
    """Pulses of a recording; none where it has no events."""
    from bids_ai.bids.electrophysiology.stimulation import Stimulation, read_stimulation

    if entry.events is None:
        return Stimulation((), (), (), tuple(opened.channels.names))
    rate = float(opened.raw.info["sfreq"])
    return read_stimulation(
        Path(entry.events),
        opened.channels,
        current_unit=context.config.ccep.current_unit,
        duration_s=opened.raw.n_times / rate,
        sampling_hz=rate,
    )


def write_signal(
    context: Context,
    entry: Recording,
    pieces: Iterable[np.ndarray],
    channels: pd.DataFrame,
    sampling_hz: float,
    meta: dict[str, Any],
) -> None:
    """Write a preprocessed recording with its table of channels and its sidecar.

    Parameters
    ----------
    context : Context
    entry : Recording
    pieces : iterable of array (n_times, n_channels)
        Volts, one after the other.
    channels : pandas.DataFrame
        Rows of ``channels.tsv``, in the order of the columns of the pieces.
    sampling_hz : float
    meta : dict
        Further entries of the sidecar.
    """
    from bids_ai.bids.electrophysiology.brainvision import write_brainvision

    holes = {entry.modality: entry.item}
    path = context.names.path(entry.modality, **holes)
    write_table(context.names.path(f"{entry.modality}_channels", **holes), channels)

    def microvolts() -> Iterator[np.ndarray]:
        for piece in pieces:
            yield np.asarray(piece * _TO_UV, np.float32)

    n_times = write_brainvision(
        path.with_suffix(""),
        microvolts(),
        names=[str(name) for name in channels["name"]],
        sampling_hz=sampling_hz,
        reference="n/a",
        resolution_uv=1.0,
        floats=True,
    )
    description = {
        "TaskName": entry.task,
        "SamplingFrequency": sampling_hz,
        "RecordingDuration": n_times / sampling_hz,
        "Sources": sources(context, entry.source, entry.events),
        "PackageVersions": versions("mne", "numpy"),
    }
    write_json(sidecar(path), {key: value for key, value in (description | meta).items() if value is not None})


def told(findings: Iterable[Finding]) -> dict[str, list[str]]:
    """Findings for a sidecar: warnings, and what is good to know."""
    found = list(dict.fromkeys(findings))
    return {
        "warnings": [finding.message for finding in found if finding.severity == "warning"],
        "notes": [finding.message for finding in found if finding.severity == "note"],
    }
