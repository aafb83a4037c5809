"""One surrogate out of its batch: weights, description and figure among the derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.files import copy, read_json, write_json
from bids_ai.bids.index import Fit
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import atlas_identity, sources, versions
from bids_ai.stages.surrogate_fit import batch_folder

if TYPE_CHECKING:
    from bids_ai.surrogate.fitted import FittedSurrogate


def run(context: Context, series: str, atlas: str, model: str, pool: str = "") -> None:
    """Publish one fit; a failed one is published too, with its reason and empty weights."""
    fit = context.index.fit(series, pool, atlas)
    folder = batch_folder(context, atlas, model, context.batch_of(atlas, series, pool))
    result = read_json(folder / f"{fit.name}.json")
    weights = context.names.path("weights", series=series, atlas=atlas, model=model, pool=pool)
    if result["Status"] == "fitted":
        source = folder / f"{fit.name}.safetensors"
        _figure(context, source, result["Fit"], series=series, atlas=atlas, model=model, pool=pool)
        copy(source, weights)
    else:
        _write_empty(weights)
    inputs = [context.names.timeseries(name, atlas) for name in fit.recordings]
    structural = context.structural_of(fit, atlas)
    description = {
        "Sources": sources(context, *inputs, structural),
        "StructuralConnectivity": _structural_words(context, fit, structural),
        "RandomSeed": context.config.random_seed,
        "PackageVersions": versions("torch", "numpy"),
    }
    path = context.names.path("surrogate", series=series, atlas=atlas, model=model, pool=pool)
    write_json(path, result | description | atlas_identity(context, atlas))


def _structural_words(context: Context, fit: Fit, path: Path | None) -> str:
    if path is None:
        return "none"
    return "of the group" if context.index.structural_source(fit) is None else "of the subject"


def load_surrogate(context: Context, **holes: str) -> tuple[FittedSurrogate | None, dict[str, Any]]:
    """Read a published surrogate; None where it could not be fitted."""
    from bids_ai.surrogate import io

    description = read_json(context.names.path("surrogate", **holes))
    if description["Status"] != "fitted":
        return None, description
    return io.load(context.names.path("weights", **holes), description["Fit"]), description


def _write_empty(weights: Path) -> None:
    from safetensors.numpy import save_file

    from bids_ai.bids.files import atomic

    with atomic(weights) as temporary:
        save_file({}, temporary)


def _figure(context: Context, weights: Path, meta: dict[str, Any], **holes: str) -> None:
    from bids_ai.connectome.functional import pearson
    from bids_ai.report.figures.surrogate import plot_surrogate_fit
    from bids_ai.surrogate import io

    fitted = io.load(weights, meta)
    simulated = fitted.simulate(max(1000, len(fitted.series)))[0]
    stable = np.isfinite(simulated).all()
    plot_surrogate_fit(
        fitted.evaluation,
        pearson(fitted.series),
        pearson(simulated) if stable else None,
        context.names.figure("fit_figure", **holes),
        gate={"verdict": fitted.gate.verdict, "reasons": fitted.gate.reasons},
        model=fitted.family,
    )
