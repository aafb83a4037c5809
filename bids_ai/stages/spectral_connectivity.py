"""Functional connectivity of one EEG or iEEG recording by frequency band: envelopes, and imaginary coherence."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_ai.bids.tables import write_relmat
from bids_ai.errors import InputError
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_series
from bids_ai.stages.sidecars import atlas_identity, sources, versions

_MEASURES = {
    "envelope": (
        "amplitude envelope correlation",
        "Correlation of amplitude envelopes, of each pair of regions after what they share without delay was taken out",
    ),
    "imcoh": ("imaginary coherence", "Absolute imaginary part of coherency, mean over the frequencies of the band"),
}


def run(context: Context, series: str, atlas: str) -> None:
    """Write one matrix for each measure and band; all ``n/a``, with the reason, where a band cannot be had."""
    from bids_ai.connectome.spectral import BANDS_HZ

    entry = context.index.recording(series)
    assert entry.tr is not None
    values, nodes = read_series(context, series, atlas)
    names = [str(name) for name in nodes["name"]]
    shown = {}
    for band, limits in BANDS_HZ.items():
        for key, (measure, description) in _MEASURES.items():
            matrix, reason = _matrix(key, values, 1 / entry.tr, band)
            meta: dict[str, Any] = {
                "RelationshipMeasure": measure,
                "MeasureDescription": description,
                "FrequencyBand": list(limits),
                "MeasureUnits": "1",
                "Directed": False,
                "Sources": sources(context, context.names.timeseries(series, atlas)),
                "PackageVersions": versions("mne-connectivity", "numpy"),
            }
            meta |= {"Reason": reason} if reason else {}
            path = context.names.path(key, series=series, atlas=atlas, band=band)
            write_relmat(path, matrix, names, meta | atlas_identity(context, atlas))
            if key == "envelope" and not reason:
                shown[band] = matrix
    if shown:
        from bids_ai.report.figures.bands import plot_fc_bands

        bands = {band: BANDS_HZ[band] for band in shown}
        path = context.names.figure("fc_bands_figure", series=series, atlas=atlas)
        plot_fc_bands(np.stack(list(shown.values())), nodes, bands, path)


def _matrix(key: str, values: np.ndarray, sampling_hz: float, band: str) -> tuple[np.ndarray, str]:
    from bids_ai.connectome.spectral import envelope_correlation, spectral_connectivity

    try:
        if key == "envelope":
            return envelope_correlation(values, sampling_hz, band, orthogonalise="pairwise"), ""
        return spectral_connectivity(values, sampling_hz, band, "imcoh"), ""
    except InputError as error:
        return np.full((values.shape[1], values.shape[1]), np.nan), str(error)
