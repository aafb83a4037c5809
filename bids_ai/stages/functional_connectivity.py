"""Functional connectivity of one recording: Pearson and partial correlation."""

from __future__ import annotations

from typing import Any

import numpy as np

from bids_ai.bids.tables import write_relmat
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_series
from bids_ai.stages.sidecars import atlas_identity, sources, versions


def run(context: Context, series: str, atlas: str) -> None:
    """Write both matrices of one recording in one atlas."""
    from bids_ai.connectome import functional

    values, nodes = read_series(context, series, atlas)
    names = [str(name) for name in nodes["name"]]
    shrinkage = context.config.functional_connectivity.shrinkage
    pearson = functional.pearson(values)
    partial = functional.partial_correlation(values, shrinkage)
    effective_n = functional.effective_sample_size(values)
    common = _describe(context, series, atlas, values, effective_n) | _homotopic(pearson, nodes)

    _figure(context, series, atlas, pearson, nodes)
    partial_path = context.names.path("partial", series=series, atlas=atlas)
    write_relmat(
        partial_path,
        partial,
        names,
        common
        | {
            "RelationshipMeasure": "partial correlation",
            "MeasureDescription": f"Partial correlation of the shrunken covariance ({shrinkage})",
        },
    )
    pearson_path = context.names.path("pearson", series=series, atlas=atlas)
    write_relmat(
        pearson_path,
        pearson,
        names,
        common
        | {
            "RelationshipMeasure": "Pearson correlation",
            "MeasureDescription": "Pearson product-moment correlation over the frames that were not censored",
        },
    )


def _describe(context: Context, series: str, atlas: str, values: np.ndarray, effective_n: np.ndarray) -> dict[str, Any]:
    off_diagonal = ~np.eye(len(effective_n), dtype=bool)
    return {
        "Directed": False,
        "MeasureUnits": "correlation coefficient; Fisher z is its artanh, with standard error 1/sqrt(n_eff - 3)",
        "NumberOfFrames": int(np.isfinite(values).any(axis=1).sum()),
        "EffectiveSampleSize": float(np.nanmedian(effective_n[off_diagonal])) if effective_n.size > 1 else None,
        "Sources": sources(context, context.names.timeseries(series, atlas)),
        "PackageVersions": versions("numpy", "scikit-learn"),
    } | atlas_identity(context, atlas)


def _homotopic(matrix: np.ndarray, nodes: Any) -> dict[str, Any]:
    """Median connectivity of left regions with their right counterparts: a check that labels are in place."""
    from bids_ai.connectome.functional import homotopic_fc
    from bids_ai.parcellation.names import homotopic_partners

    row = {int(label): position for position, label in enumerate(nodes["index"])}
    partners = homotopic_partners(nodes).dropna().astype(int)
    labels = zip(partners.index.astype(int), partners, strict=True)
    pairs = [(row[label], row[other]) for label, other in labels if label < other]
    values = homotopic_fc(matrix, pairs) if pairs else np.array([])
    values = values[np.isfinite(values)]
    return {"HomotopicMedian": float(np.median(values)) if values.size else None, "HomotopicPairs": int(values.size)}


def _figure(context: Context, series: str, atlas: str, matrix: np.ndarray, nodes: Any) -> None:
    from bids_ai.report.figures.matrices import plot_relmat

    plot_relmat(
        matrix,
        nodes,
        context.names.figure("fc_figure", series=series, atlas=atlas),
        title="Functional connectivity",
        label="Pearson correlation",
        directed=False,
        vmax=1.0,
    )
