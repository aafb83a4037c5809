"""What stages write beside every file: where it came from, with which settings and versions."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bids_ai.bids.description import bids_uri
from bids_ai.stages.context import Context


def sources(context: Context, *paths: Path | str | None) -> list[str]:
    """BIDS URIs of input files; those that are None are left out."""
    index = context.index
    links = {"raw": index.bids_dir} if index.bids_dir not in index.derivatives.values() else {}
    links |= index.derivatives
    return [bids_uri(path, links, context.output_dir) for path in paths if path]


def versions(*packages: str) -> dict[str, str]:
    """Versions of installed packages, and our own."""
    found = {}
    for package in ("bids-ai", *packages):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "n/a"
    return found


def atlas_identity(context: Context, label: str) -> dict[str, Any]:
    """Name, space and hash of an atlas, as its own sidecar has them."""
    from bids_ai.bids.files import read_json
    from bids_ai.bids.names import sidecar

    table = context.names.path("atlas_table", atlas=label)
    description = read_json(sidecar(table))
    keys = ("Name", "Space", "SHA256", "Origin", "License")
    return {"Atlas": {key: description.get(key) for key in keys}, "NodeFiles": sources(context, table)}
