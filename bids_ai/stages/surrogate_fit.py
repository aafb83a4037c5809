"""Surrogates of a batch of recordings, fitted in one job on one device; results go to the work folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bids_ai.bids.files import write_json
from bids_ai.bids.index import Fit
from bids_ai.errors import InputError
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_series, read_structural

if TYPE_CHECKING:
    from bids_ai.surrogate.recording import Recording


def run(context: Context, atlas: str, model: str, batch: str) -> None:
    """Fit a batch; one that cannot be fitted leaves word of it, and does not stop the others."""
    from bids_ai.surrogate import io
    from bids_ai.surrogate.fit import fit_recordings
    from bids_ai.surrogate.fitted import FailedFit

    fits = context.batches[atlas][batch]
    folder = batch_folder(context, atlas, model, batch)
    folder.mkdir(parents=True, exist_ok=True)
    recordings: list[Recording] = []
    for fit in fits:
        try:
            recordings.append(_recording(context, fit, atlas))
        except InputError as error:
            write_json(folder / f"{fit.name}.json", {"Status": "failed", "Reason": str(error)})
    settings = context.config.surrogate
    results = fit_recordings(
        recordings,
        model=settings.model,
        order_max=settings.order_max,
        ensemble=settings.ensemble,
        seed=context.config.random_seed,
        device=context.config.device,
    )
    for result in results:
        if isinstance(result, FailedFit):
            write_json(folder / f"{result.name}.json", {"Status": "failed", "Reason": result.reason})
        else:
            meta = io.save(result, folder / f"{result.name}.safetensors")
            write_json(folder / f"{result.name}.json", {"Status": "fitted", "Fit": meta})


def batch_folder(context: Context, atlas: str, model: str, batch: str) -> Path:
    """Folder in which a batch leaves its fits."""
    return context.work_dir / "surrogate" / f"{atlas}_model-{model}" / f"batch-{batch}"


def _recording(context: Context, fit: Fit, atlas: str) -> Recording:
    from bids_ai.surrogate.recording import Recording

    tables = [read_series(context, series, atlas) for series in fit.recordings]
    nodes = tables[0][1]  # the same in all: each was checked against the node table of the atlas
    regions = [str(name) for name in nodes["name"]]
    first = context.index.recording(fit.recordings[0], fit.atlas)
    assert first.tr is not None
    return Recording(
        name=fit.name,
        runs=tuple(values for values, _ in tables),
        tr=first.tr,
        regions=tuple(regions),
        structural=read_structural(context, fit, atlas, regions),
        modality=first.modality,
    )
