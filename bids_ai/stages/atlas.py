"""Atlas: its node table and identity, at the root of the derivatives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_ai.bids.derivatives import series_names
from bids_ai.bids.files import write_json
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_table
from bids_ai.stages.context import Context
from bids_ai.stages.inputs import atlas_volume
from bids_ai.stages.sidecars import versions

_COLUMNS = {
    "hemisphere": {"Description": "Side of the brain", "Levels": {"L": "left", "R": "right", "B": "both"}},
    "network": {"Description": "Functional network or class of the region, as the atlas names it"},
    "x": {"Description": "Centroid, to the right, in the space of the atlas", "Units": "mm"},
    "y": {"Description": "Centroid, to the front, in the space of the atlas", "Units": "mm"},
    "z": {"Description": "Centroid, upwards, in the space of the atlas", "Units": "mm"},
}


def run(context: Context, atlas: str) -> None:
    """Write the node table of one atlas, its sidecar, and the description that BIDS asks of an atlas."""
    entry = context.index.atlas(atlas)
    nodes, description = _from_series(context, atlas) if entry.kind == "series" else _from_volume(context, atlas)
    table = context.names.path("atlas_table", atlas=atlas)
    name = atlas.split("_")[0]
    known = {key: description[key] for key in ("License", "HowToAcknowledge") if description[key]}
    write_json(context.output_dir / f"{name}_description.json", {"Name": name.removeprefix("atlas-")} | known)
    write_json(sidecar(table), description | _COLUMNS | {"PackageVersions": versions()})
    write_table(table, nodes)


def _from_volume(context: Context, label: str) -> tuple[Any, dict[str, Any]]:
    atlas = atlas_volume(context, label)
    return atlas.nodes, {
        "Name": label,
        "Space": atlas.space,
        "SHA256": atlas.sha256,
        "Origin": atlas.origin,
        "License": atlas.licence,
        "HowToAcknowledge": atlas.citation,
        "Notes": list(atlas.notes),
    }


def _from_series(context: Context, label: str) -> tuple[Any, dict[str, Any]]:
    """Node table of an atlas of which only the names of the series are known; there are no coordinates."""
    from bids_ai.parcellation.nodes import build_nodes

    source = next(entry.source for entry in context.index.recordings if entry.atlas == label)
    names = series_names(Path(source))
    return build_nodes(range(1, len(names) + 1), names), {
        "Name": label,
        "Space": None,
        "SHA256": None,
        "Origin": "Region names of series that another tool made; volume and coordinates are not known here.",
        "License": None,
        "HowToAcknowledge": None,
        "Notes": [],
    }
