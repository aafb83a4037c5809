"""Effective connectivity: the fitted surrogate is pushed, region by region, and its response is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat
from bids_ai.stages.context import Context
from bids_ai.stages.ec_jobs import default_horizon_s
from bids_ai.stages.ec_words import response_words
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions
from bids_ai.stages.surrogate import load_surrogate

if TYPE_CHECKING:
    import pandas as pd


def run(context: Context, series: str, atlas: str, model: str, pool: str = "") -> None:
    """Write EC by a finite push and by the Jacobian; all ``n/a`` where the surrogate could not be fitted."""
    from bids_ai.effective import perturbation

    holes = {"series": series, "atlas": atlas, "model": model, "pool": pool}
    fitted, description = load_surrogate(context, **holes)
    nodes = read_nodes(context, atlas)
    names = [str(name) for name in nodes["name"]]
    settings = context.config.effective_connectivity
    common = _common(context, holes)
    if fitted is None:
        empty = np.full((len(names), len(names)), np.nan)
        failed = common | {"Status": "failed", "Reason": description["Reason"]}
        matrices = {"jacobian": (empty, failed), "ec": (empty, failed)}
    else:
        modality = context.index.modality(context.index.fit(series, pool, atlas))
        horizon_s = settings.horizon_s or default_horizon_s(modality, fitted.tr)
        steps = perturbation.horizon_steps(horizon_s, fitted.tr)
        push = perturbation.push(fitted, size_sd=settings.push_sd, horizon_steps=steps)
        jacobian = perturbation.jacobian(fitted, horizon_steps=steps)
        common |= _fit_description(fitted, steps)
        matrices = {"jacobian": (jacobian, common), "ec": (push, common | {"PushSize": settings.push_sd})}
        _figures(context, holes, push, nodes, str(common["MeasureUnits"]))
    measures = {"jacobian": "effective connectivity (Jacobian)", "ec": "effective connectivity (push)"}
    for key, (matrix, meta) in matrices.items():
        meta = meta | {"RelationshipMeasure": measures[key], "Symmetry": _symmetry(matrix)}
        write_relmat(context.names.path(key, **holes), matrix, names, meta)


def _common(context: Context, holes: dict[str, str]) -> dict[str, Any]:
    weights = context.names.path("weights", **holes)
    return {
        "Directed": True,
        "Status": "fitted",
        "Sources": sources(context, weights, sidecar(weights)),
        "PackageVersions": versions("torch"),
    } | atlas_identity(context, holes["atlas"])


def _fit_description(fitted: Any, steps: int) -> dict[str, Any]:
    return {
        **response_words(fitted),
        "Model": fitted.family,
        "ModelRequested": fitted.requested,
        "HorizonSteps": steps,
        "HorizonSeconds": steps * fitted.tr,
        "Gate": {"Verdict": fitted.gate.verdict, "Reasons": list(fitted.gate.reasons)},
        "RegionsWithoutData": sorted(fitted.excluded),
    }


def _symmetry(matrix: np.ndarray) -> dict[str, Any]:
    """How much direction the matrix bears; r with its transpose near 1 means next to none."""
    from bids_ai.effective.symmetry import describe

    return dict(describe(matrix))


def _figures(context: Context, holes: dict[str, str], matrix: np.ndarray, nodes: pd.DataFrame, units: str) -> None:
    from bids_ai.report.figures.connectome import plot_glass_brain
    from bids_ai.report.figures.matrices import plot_relmat
    from bids_ai.report.figures.surrogate import plot_ec_direction

    figure = context.names.figure
    title = "Effective connectivity"
    plot_relmat(
        matrix,
        nodes,
        figure("ec_figure", **holes),
        title=title,
        label=units,
        directed=True,
    )
    plot_ec_direction(matrix, figure("ec_direction_figure", **holes), label="Effect")
    if nodes[["x", "y", "z"]].notna().all(axis=1).any():
        plot_glass_brain(matrix, nodes, figure("ec_glass_figure", **holes), title=title)
