"""A step of the methods text, and what it is told from: sidecars of derivatives, versions of tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json
from bids_ai.bids.names import sidecar
from bids_ai.stages.sidecars import versions

Step = dict[str, Any]


def step(name: str, package: str | None = None, **parameters: Any) -> Step:
    """Step as `bids_ai.report.methods.methods_text` takes it, with the version of a package that did it."""
    given = {key: value for key, value in parameters.items() if value is not None}
    return {"step": name, "parameters": given} | (tool(package) if package else {}) | {"step": name}


def tool(package: str) -> Step:
    """A package by itself, for the table of software."""
    return {"step": "bids_ai", "tool": package, "version": versions(package)[package]}


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Sidecar of a derivative, or None where there is none."""
    beside = sidecar(path)
    if not path.is_file() or not beside.is_file():
        return None
    content: dict[str, Any] = read_json(beside)
    return content


def tool_version(folder: str | None) -> str | None:
    """Version of the tool that made a derivative dataset, as its description says."""
    try:
        tools = read_json(Path(folder or "") / "dataset_description.json").get("GeneratedBy", [])
        return str(tools[0].get("Version")) if tools and tools[0].get("Version") else None
    except (OSError, ValueError, AttributeError):
        return None
