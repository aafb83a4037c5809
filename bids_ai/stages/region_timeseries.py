"""Region series: atlas onto the grid of the BOLD, mean per region, confounds and drift taken out, censoring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai.bids.files import atomic, read_json, write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_table, read_timeseries, write_table, write_timeseries
from bids_ai.errors import InputError
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import atlas_volume, read_nodes, template_of
from bids_ai.stages.sidecars import atlas_identity, sources, versions
from bids_ai.stages.templates import load_template


@dataclass(frozen=True)
class _Bold:
    """Preprocessed BOLD of any engine."""

    image: Path
    mask: Path
    confounds: Path
    space: str


def run(context: Context, series: str, atlas: str) -> None:
    """Make the region series of one recording in one atlas."""
    recording = context.index.recording(series, atlas)
    if recording.engine == "timeseries":
        _adopt(context, recording, atlas)
    else:
        _extract(context, recording, atlas)


def _adopt(context: Context, recording: Recording, atlas: str) -> None:
    """Take over the series that another tool made; regions without variation have no data."""
    values, names = read_timeseries(Path(recording.source))
    empty = ~(np.nanstd(values, axis=0) > 0)
    values[:, empty] = np.nan
    coverage = pd.DataFrame(
        {
            "index": np.arange(1, len(names) + 1),
            "name": names,
            "n_voxels": np.nan,
            "n_covered": np.nan,
            "coverage": np.nan,
            "kept": ~empty,
            "reason": ["constant or without data" if lost else None for lost in empty],
        }
    )
    meta = _describe(context, recording, atlas, [recording.source]) | {
        "Description": "Region series of another tool, as they came",
        "NumberOfFramesCensored": int(np.isnan(values[:, ~empty]).all(axis=1).sum()) if not empty.all() else 0,
    }
    _publish(context, recording, atlas, values, names, coverage, meta)


def _extract(context: Context, recording: Recording, atlas: str) -> None:
    from bids_ai.parcellation.apply import region_series

    bold = _inputs(context, recording)
    image = nib.Nifti1Image.from_filename(bold.image)
    labels, method = _labels_on_grid(context, atlas, bold, image)
    nodes = read_nodes(context, atlas)
    raw = region_series(
        image,
        labels,
        nodes,
        mask=nib.Nifti1Image.from_filename(bold.mask),
        min_coverage=context.config.parcellation.min_coverage,
    )
    confounds = read_table(bold.confounds)
    cleaned, keep, removed = _denoise(context, recording, raw.series, confounds)
    parcellation = context.names.path("parcellation", series=recording.series, atlas=atlas)
    write_json(sidecar(parcellation), {"Manual": False, "Method": method} | _identity(context, bold, atlas))
    with atomic(parcellation) as temporary:
        nib.save(labels, temporary)
    _figures(context, recording, atlas, nodes, raw.coverage, cleaned, confounds, keep)
    meta = _describe(context, recording, atlas, [bold.image, bold.confounds, recording.events]) | {
        "Description": "Mean over the covered voxels of each region; confounds, drift and mean removed in one model",
        "AtlasTransformation": method,
        "ConfoundRegressors": removed,
        "HighPassHz": context.config.func.high_pass_hz,
        "LowPassHz": None,
        "CensoringThresholdFD": context.config.func.fd_threshold_mm,
        "NumberOfFramesCensored": int((~keep).sum()),
        "RegionsWithoutData": raw.coverage.loc[~raw.coverage["kept"].astype(bool), "name"].tolist(),
    }
    names = [str(name) for name in nodes["name"]]
    _publish(context, recording, atlas, cleaned, names, raw.coverage, meta)


def _inputs(context: Context, recording: Recording) -> _Bold:
    if recording.engine == "builtin":
        path = context.names.path
        item = recording.item
        bold, mask, confounds = (path(key, bold=item) for key in ("bold", "bold_mask", "confounds"))
        return _Bold(bold, mask, confounds, context.index.space)
    assert recording.mask is not None
    assert recording.confounds is not None
    assert recording.space is not None
    return _Bold(Path(recording.source), Path(recording.mask), Path(recording.confounds), recording.space)


def _labels_on_grid(context: Context, label: str, bold: _Bold, image: Any) -> tuple[Any, str]:
    """Atlas on the grid of the BOLD, and a sentence on how it came there."""
    from bids_ai.parcellation.spaces import bring_to_template

    template = load_template(context)
    atlas = atlas_volume(context, label)
    # Without an image of both templates, data of another tool in another space, and atlases of another space, are
    # matched by their coordinates, and the sentence says so.
    here = bold.space == template.space
    return bring_to_template(
        atlas,
        template.t1w if here else None,
        bold.space,
        grid=image,
        moving_template=template_of(context, atlas.space),
        cache_dir=context.cache_dir,
        template_mask=template.mask if here else None,
    )


def _denoise(
    context: Context, recording: Recording, series: np.ndarray, confounds: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    from bids_ai.preprocess import denoise

    settings = context.config.func
    assert recording.tr is not None
    if len(confounds) != len(series):
        raise InputError(f"{len(confounds)} rows of confounds do not fit {len(series)} volumes of {recording.item}.")
    keep = denoise.censor_mask(confounds, fd_threshold_mm=settings.fd_threshold_mm)
    design, names = denoise.confound_matrix(confounds, settings.confounds, global_signal=settings.global_signal)
    task = None
    if settings.regress_task and recording.events:
        events = read_table(Path(recording.events))
        start = _start_time(context, recording)
        task = denoise.task_regressors(events, recording.tr, len(series), start_time=start)
        names = [*names, *(f"task: {column}" for column in task.columns)]
    cleaned = denoise.denoise(
        series, design, tr=recording.tr, high_pass_hz=settings.high_pass_hz, keep=keep, extra=task
    )
    return cleaned, keep, names


def _start_time(context: Context, recording: Recording) -> float:
    """Time of the first frame, s: where slices were interpolated to."""
    if recording.engine != "builtin":
        return recording.start_time
    return float(read_json(sidecar(context.names.path("bold", bold=recording.item)))["StartTime"])


def _identity(context: Context, bold: _Bold, atlas: str) -> dict[str, Any]:
    return {"SpatialReference": bold.space} | atlas_identity(context, atlas)


def _describe(context: Context, recording: Recording, atlas: str, inputs: list[Any]) -> dict[str, Any]:
    tr = recording.tr
    assert tr is not None
    return {
        "Sources": sources(context, *inputs),
        "RepetitionTime": tr,
        "SamplingFrequency": 1 / tr,
        "StartTime": _start_time(context, recording),
        "PackageVersions": versions("nilearn", "numpy"),
    } | atlas_identity(context, atlas)


def _publish(
    context: Context,
    recording: Recording,
    atlas: str,
    values: np.ndarray,
    names: list[str],
    coverage: pd.DataFrame,
    meta: dict[str, Any],
) -> None:
    path = context.names.path
    write_table(path("coverage", series=recording.series, atlas=atlas), coverage)
    write_timeseries(path("timeseries", series=recording.series, atlas=atlas), values, names, meta)


def _figures(
    context: Context,
    recording: Recording,
    atlas: str,
    nodes: pd.DataFrame,
    coverage: pd.DataFrame,
    cleaned: np.ndarray,
    confounds: pd.DataFrame,
    keep: np.ndarray,
) -> None:
    from bids_ai.report.figures.func import plot_carpet
    from bids_ai.report.figures.parcellation import plot_coverage, plot_parcellation

    def figure(key: str) -> Path:
        return context.names.figure(key, series=recording.series, atlas=atlas)

    parcellation = context.names.path("parcellation", series=recording.series, atlas=atlas)
    background = load_template(context).t1w
    plot_parcellation(parcellation, background, nodes, figure("parcellation_figure"))
    plot_coverage(coverage, nodes, figure("coverage_figure"), minimum=context.config.parcellation.min_coverage)
    networks = [str(network) if isinstance(network, str) else "all regions" for network in nodes["network"]]
    assert recording.tr is not None
    plot_carpet(
        cleaned,
        networks,
        confounds,
        recording.tr,
        figure("carpet_figure"),
        fd_threshold=context.config.func.fd_threshold_mm,
        censored=~keep,
    )
