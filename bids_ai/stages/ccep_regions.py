"""Responses to stimulation between the regions of an atlas: probability with its interval, amplitude, latency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_relmat
from bids_ai.stages.ccep_responses import Responses, places_of
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import read_nodes
from bids_ai.stages.sidecars import atlas_identity, sources, versions

if TYPE_CHECKING:
    from bids_ai.ccep.matrices import PairMatrices

#: Measures of responses that are averaged between regions: column of the table -> name of the file, measure, unit.
_FEATURES = {
    "n1_uv": ("ccep_amplitude", "N1 amplitude", "microvolts, without sign"),
    "n1_latency_ms": ("ccep_latency", "N1 latency", "ms"),
}


def run(context: Context, ieeg: str, atlas: str) -> None:
    """Write the matrices of one recording in one atlas."""
    from bids_ai.ccep.matrices import pair_matrices

    entry = context.index.recording(ieeg)
    responses, nodes = Responses.read(context, entry), read_nodes(context, atlas)
    places = places_of(context, entry, atlas, responses)
    features = {name: np.abs(responses.grid(name)) for name in _FEATURES}
    found = pair_matrices(responses.grid("responder"), features, places.site_shares, places.channel_shares)
    meta = {
        "AtlasTransformation": places.method,
        "Notes": places.notes,
        "SitesInGreyMatter": sum(kind in ("GM", "GM-WM border") for kind in places.site_tissues),
        "Sites": len(responses.sites),
    }
    _publish(context, entry, atlas, nodes, found, meta)


def _publish(
    context: Context, entry: Recording, atlas: str, nodes: pd.DataFrame, found: PairMatrices, meta: dict[str, Any]
) -> None:
    names = [str(name) for name in nodes["name"]]
    features = context.names.path("ccep_features", ieeg=entry.item)
    common = meta | {
        "Directed": True,
        "ValidDiagonal": True,
        "NonNegative": True,
        "RowRole": "stimulated region",
        "ColumnRole": "recorded region",
        "Sources": sources(context, features, sidecar(features)),
        "PackageVersions": versions("numpy", "scipy"),
    }
    common |= atlas_identity(context, atlas)
    tested = np.where(found.tested > 0, found.tested, np.nan)
    matrices = {
        "ccep_count": (
            tested,
            "tested pairs of site and channel",
            "pairs, each shared out among the regions of its ends",
        ),
        "ccep_interval": (
            0.5 * (found.upper - found.lower),
            "half-width of the 95 % interval of the probability of a response (Agresti-Coull)",
            "1",
        ),
    }
    matrices |= {key: (found.features[name], measure, unit) for name, (key, measure, unit) in _FEATURES.items()}
    matrices["ccep_probability"] = (found.probability, "probability of a response", "1")
    _figure(context, entry, atlas, nodes, found)
    for key, (matrix, measure, unit) in matrices.items():
        path = context.names.path(key, ieeg=entry.item, atlas=atlas)
        write_relmat(path, matrix, names, common | {"RelationshipMeasure": measure, "MeasureUnits": unit})


def _figure(context: Context, entry: Recording, atlas: str, nodes: pd.DataFrame, found: PairMatrices) -> None:
    from bids_ai.report.figures.ccep_matrices import plot_ccep_regions

    if (found.tested > 0).any():
        path = context.names.figure("ccep_regions_figure", ephys=entry.item, atlas=atlas)
        plot_ccep_regions(found.probability, found.tested, nodes, path)
