"""The file of region series of an EEG or iEEG recording."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import write_timeseries
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions


def publish_series(
    context: Context, entry: Recording, atlas: str, series: np.ndarray, sampling_hz: float, meta: dict[str, Any]
) -> None:
    """Write region series (n_times, n_regions) with their sidecar."""
    path = context.names.path(entry.modality, **{entry.modality: entry.item})
    common = {
        "SamplingFrequency": sampling_hz,
        "StartTime": 0.0,
        "NumberOfFramesCensored": int((~np.isfinite(series).any(axis=1)).sum()),
        "Sources": sources(context, path, entry.events),
        "PackageVersions": versions("mne", "numpy", "scipy"),
    }
    names = [str(name) for name in read_nodes(context, atlas)["name"]]
    target = context.names.timeseries(entry.series, atlas)
    write_timeseries(target, series, names, common | meta | atlas_identity(context, atlas))
