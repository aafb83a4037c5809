"""Region series of one EEG or iEEG recording in one atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import write_table
from bids_ai.errors import InputError
from bids_ai.stages.contact_places import Channels, regions_of
from bids_ai.stages.context import Context
from bids_ai.stages.ephys_series import publish_series
from bids_ai.stages.ieeg_rest import resting_signal
from bids_ai.stages.inputs import read_nodes

if TYPE_CHECKING:
    from bids_ai.parcellation.contact_series import ContactSeries


def run(context: Context, series: str, atlas: str) -> None:
    """Write the region series of one recording."""
    entry = context.index.recording(series)
    if entry.modality == "eeg":
        from bids_ai.stages.eeg_sources import write_sources

        write_sources(context, entry, atlas)
    else:
        _contacts(context, entry, atlas)


def _contacts(context: Context, entry: Recording, atlas: str) -> None:
    from bids_ai.parcellation.contact_series import series_of_contacts

    nodes = read_nodes(context, atlas)
    channels = Channels.read(context, entry)
    assert entry.tr is not None
    data, sampling_hz, used = resting_signal(context, entry, channels, 1 / entry.tr)
    regions, tissue, method = regions_of(context, entry, atlas, channels.names, channels.positions_mm, channels)
    if regions.level != "region":
        raise InputError(f"{entry.item}: {' '.join(regions.notes)}")
    made = series_of_contacts(data, regions, used)
    write_table(context.names.path("contacts", ieeg=entry.item, atlas=atlas), regions.table().assign(tissue=tissue))
    write_table(context.names.path("coverage", series=entry.series, atlas=atlas), _coverage(nodes, made))
    meta = {
        "Description": "First principal component of the channels of each region, in standard deviations",
        "AtlasTransformation": method,
        "Notes": list(regions.notes),
        "SecondsUsed": float(used.sum() / sampling_hz),
        "RegionsWithoutData": [str(name) for name, n in zip(nodes["name"], made.n_channels, strict=True) if not n],
    }
    publish_series(context, entry, atlas, made.series, sampling_hz, meta)


def _coverage(nodes: pd.DataFrame, made: ContactSeries) -> pd.DataFrame:
    kept = made.n_channels > 0
    return pd.DataFrame(
        {
            "index": nodes["index"],
            "name": nodes["name"],
            "n_channels": made.n_channels,
            "explained": made.explained,
            "coverage": kept.astype(float),
            "kept": kept,
            "reason": [None if there else "no contact" for there in kept],
        }
    )
