"""Preprocessing of one EEG recording: mains, bad channels and segments, independent components, band, reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import write_table
from bids_ai.stages.context import Context
from bids_ai.stages.signals import open_signal, told, write_signal

if TYPE_CHECKING:
    from bids_ai.preprocess.eeg import EegOutputs

#: Spectra are drawn up to here, Hz.
_HIGHEST_HZ = 100.0
#: Fewer electrodes make no map of the scalp.
_LEAST_PLACED = 8


def run(context: Context, eeg: str) -> None:
    """Write the preprocessed recording, its channels, bad segments and components."""
    from bids_ai.preprocess.eeg import EegSettings, preprocess_eeg

    entry = context.index.recording(eeg)
    opened = open_signal(entry)
    raw = opened.raw.load_data(verbose="error")
    own = context.config.eeg
    settings = EegSettings(
        high_pass_hz=own.high_pass_hz,
        low_pass_hz=own.low_pass_hz,
        line_hz=opened.line_hz,
        line_method="notch" if own.line_noise == "notch" else "spectrum_fit",
        find_bad_channels=own.find_bad_channels,
        ica=own.ica,
        probability=own.probability,
        seed=context.config.random_seed,
    )
    made = preprocess_eeg(raw, settings)
    names = context.names
    write_table(names.path("eeg_components", eeg=eeg), made.components)
    write_table(names.path("eeg_segments", eeg=eeg), _segments(made))
    _figures(context, entry, raw, made, opened.line_hz)
    channels = _channels(made, float(raw.info["sfreq"]))
    quality = {**made.quality, **told(opened.findings)}
    meta = {
        "EEGReference": made.quality["reference"],
        "PowerLineFrequency": made.quality["line_noise"]["frequency_hz"] or "n/a",
        "SoftwareFilters": {
            "high-pass": {"cut-off": made.quality["high_pass"]},
            "low-pass": {"cut-off": made.quality["low_pass"]},
        },
        "QualityControl": quality,
    }
    write_signal(context, entry, [made.raw.get_data().T], channels, float(made.raw.info["sfreq"]), meta)


def _channels(made: EegOutputs, sampling_hz: float) -> pd.DataFrame:
    """Rows of ``channels.tsv``: an interpolated channel is good, and says what it is."""
    record = made.quality["bad_channels"]
    reasons = {name: ["bad in channels.tsv"] for name in record["given"]} | record["found"]
    interpolated = set(record["interpolated"])
    rows = []
    for name in made.raw.ch_names:
        why = ", ".join(reasons.get(name, []))
        said = f"interpolated: {why}" if name in interpolated else why
        status = "bad" if name in made.raw.info["bads"] else "good"
        rows.append([name, "EEG", "uV", sampling_hz, status, said or None])
    columns = ["name", "type", "units", "sampling_frequency", "status", "status_description"]
    return pd.DataFrame(rows, columns=columns)


def _segments(made: EegOutputs) -> pd.DataFrame:
    """Bad stretches as rows of ``events.tsv``, s from the first sample."""
    found = made.raw.annotations
    bad = [one for one in found if str(one["description"]).upper().startswith("BAD")]
    first = made.raw.first_time if found.orig_time is not None else 0.0
    return pd.DataFrame(
        {
            "onset": [float(one["onset"]) - first for one in bad],
            "duration": [float(one["duration"]) for one in bad],
            "trial_type": [str(one["description"]) for one in bad],
        }
    )


def _figures(context: Context, entry: Recording, raw: Any, made: EegOutputs, line_hz: float | None) -> None:
    from scipy.signal import welch

    from bids_ai.report.figures.eeg import plot_bads, scalp_groups
    from bids_ai.report.figures.spectra import plot_spectra

    def figure(key: str) -> Any:
        return context.names.figure(key, ephys=entry.item)

    names, rate = list(made.raw.ch_names), float(raw.info["sfreq"])
    length = min(raw.n_times, round(2 * rate))
    frequencies, before = welch(np.nan_to_num(raw.get_data(picks=names)), rate, nperseg=length)
    after = welch(made.raw.get_data(), rate, nperseg=length)[1]
    shown = frequencies <= _HIGHEST_HZ
    _draw_components(made, figure("eeg_components_figure"))
    record = made.quality["bad_channels"]
    bad = np.array([name in record["given"] or name in record["found"] for name in names])
    plot_spectra(
        frequencies[shown], before[:, shown], after[:, shown], figure("eeg_spectra_figure"), line_hz=line_hz, bad=bad
    )
    reasons = {name: "in channels.tsv" for name in record["given"] if name in names}
    reasons |= {name: ", ".join(why) for name, why in record["found"].items()}
    segments = _segments(made).rename(columns={"trial_type": "description"})
    plot_bads(
        names,
        scalp_groups(names),
        reasons,
        segments,
        made.raw.n_times / rate,
        figure("eeg_bads_figure"),
        interpolated=bool(record["interpolated"]),
    )


def _draw_components(made: EegOutputs, path: Path) -> None:
    from bids_ai.preprocess.eeg_positions import has_position
    from bids_ai.report.figures.eeg import plot_components

    seen = np.isfinite(made.maps).all(axis=0)
    placed = has_position(made.raw.info) & seen
    if len(made.maps) and placed.sum() >= _LEAST_PLACED:
        places = np.array([channel["loc"][:3] for channel in made.raw.info["chs"]])
        plot_components(made.maps[:, placed], places[placed], made.components, path)
