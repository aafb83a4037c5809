"""Region series of one EEG recording: minimum norm in the head of the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.bids.electrophysiology.inputs import LEAST_REST_S
from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table, write_table
from bids_ai.errors import InputError
from bids_ai.stages.context import Context
from bids_ai.stages.ephys_series import publish_series
from bids_ai.stages.inputs import atlas_in_template, read_nodes
from bids_ai.stages.signals import open_signal


def write_sources(context: Context, entry: Recording, atlas: str) -> None:
    """Write the region series of a recording in an atlas."""
    from bids_ai.preprocess.eeg_sources import eeg_sources

    nodes = read_nodes(context, atlas)
    labels, affine, method = _atlas(context, atlas, nodes)
    assert entry.tr is not None
    clean = _clean(context, entry)
    _check_length(entry, clean)
    names = [str(name) for name in nodes["name"]]
    made = eeg_sources(clean, labels, affine, len(nodes), sampling_hz=1 / entry.tr, regions=names)
    reasons = made.resolution.reasons
    lost = np.asarray(np.isnan(made.series).all(axis=0))
    if lost.all():
        absent = [one.message for one in open_signal(entry).findings if one.code in ("only-in-file", "only-in-table")]
        raise InputError(
            f"None of {len(nodes)} regions can be told from the others with {made.quality['n_channels']} good channels "
            f"that have a position. {' '.join(absent)} Correct channels.tsv, or choose an atlas of fewer regions."
        )
    coverage = pd.DataFrame(
        {
            "index": nodes["index"],
            "name": nodes["name"],
            "own_share": made.resolution.own_share,
            "coverage": (~lost).astype(float),
            "kept": ~lost,
            "reason": [reasons.get(row, "no source") if gone else None for row, gone in enumerate(lost)],
        }
    )
    write_table(context.names.path("coverage", series=entry.series, atlas=atlas), coverage)
    _power_figure(context, entry, atlas, nodes, made)
    meta = {
        "Description": "Source series of each region: eLORETA, mean over its dipoles along the outward normal",
        "AtlasTransformation": method,
        "HeadModel": made.quality,
        "RegionsWithoutData": [str(name) for name, gone in zip(nodes["name"], lost, strict=True) if gone],
    }
    publish_series(context, entry, atlas, made.series, made.sampling_hz, meta)


def _check_length(entry: Recording, clean: Any) -> None:
    """Refuse a recording of which too little is good: what follows would say so in other words, one after the other."""
    from bids_ai.preprocess.eeg_segments import good_frames

    rate = float(clean.info["sfreq"])
    good = float(good_frames(clean).sum()) / rate
    if good < LEAST_REST_S:
        raise InputError(
            f"{good:.3g} of {clean.n_times / rate:.3g} s are good, and {LEAST_REST_S:g} s are wanted; the others lie "
            f"in bad segments ({Path(entry.item).name}_desc-preproc_events.tsv). Leave the recording out, or see "
            "whether its unit or its channels are wrong."
        )


def _atlas(context: Context, atlas: str, nodes: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, str]:
    """Labels 1..n in the order of the nodes, in the space of the bundled template."""
    image, method = atlas_in_template(context, atlas)
    given = np.asanyarray(image.dataobj)
    lookup = np.zeros(max(int(given.max()), int(nodes["index"].max())) + 1, int)
    lookup[nodes["index"].to_numpy(int)] = np.arange(1, len(nodes) + 1)
    return lookup[given.astype(int)], np.asarray(image.affine), method


def _clean(context: Context, entry: Recording) -> Any:
    """The preprocessed recording with positions, bad channels and bad segments."""
    import mne

    from bids_ai.preprocess.eeg_positions import give_positions

    raw = mne.io.read_raw_brainvision(context.names.path("eeg", eeg=entry.item), preload=True, verbose="error")
    raw.set_annotations(None)
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "eeg"), verbose="error")
    given = open_signal(entry).raw.get_montage()
    if given is not None:
        raw.set_montage(given, on_missing="ignore", verbose="error")
    give_positions(raw)
    table = read_table(context.names.path("eeg_channels", eeg=entry.item))
    raw.info["bads"] = [str(name) for name in table["name"][table["status"] == "bad"]]
    bad = read_table(context.names.path("eeg_segments", eeg=entry.item))
    raw.set_annotations(mne.Annotations(bad["onset"], bad["duration"], bad["trial_type"]), verbose="error")
    return raw


def _power_figure(context: Context, entry: Recording, atlas: str, nodes: pd.DataFrame, made: Any) -> None:
    from scipy.signal import welch

    from bids_ai.connectome.spectral import BANDS_HZ
    from bids_ai.report.figures.bands import plot_source_power

    good = np.isfinite(made.series).any(axis=1)
    kept = np.isfinite(made.series[good]).all(axis=0)
    if not kept.any():
        return
    bands = {name: band for name, band in BANDS_HZ.items() if band[1] < made.sampling_hz / 2}
    power = np.full((len(nodes), len(bands)), np.nan)
    frequencies, density = welch(
        made.series[good][:, kept], made.sampling_hz, nperseg=round(2 * made.sampling_hz), axis=0
    )
    for column, (low, high) in enumerate(bands.values()):
        power[kept, column] = density[(frequencies >= low) & (frequencies < high)].mean(axis=0)
    path = context.names.figure("source_power_figure", series=entry.series, atlas=atlas)
    plot_source_power(power, nodes, bands, path, unit="a.u./Hz")
