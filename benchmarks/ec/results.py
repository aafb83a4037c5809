"""Results, one small JSON file each, by which an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
TIMING = "timing"
"""Part whose results are of one machine."""


class Results:
    """Folder of results, `FOLDER/part/setting/name.json`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = 0

    def path(self, part: str, group: str, name: str) -> Path:
        """File of a result."""
        return self.folder / part / group / f"{name}.json"

    def get(self, part: str, group: str, name: str, make: Callable[[], Result]) -> Result:
        """Read a result, or make and keep it."""
        path = self.path(part, group, name)
        if path.is_file():
            return read(path)
        result = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".part")
        temporary.write_text(json.dumps(_storable(result), indent=1, sort_keys=True), encoding="utf-8")
        temporary.replace(path)
        self.made += 1
        return read(path)

    def all(self, part: str) -> list[Result]:
        """Every result of a part, in the order of their names."""
        return [read(path) for path in sorted((self.folder / part).glob("*/*.json"))]

    def read_table(self, table: Path) -> int:
        """Take over the results of a table that are not there yet, and return how many."""
        taken = 0
        for line in table.read_text(encoding="utf-8").splitlines()[1:]:
            part, group, name, content = line.split("\t", 3)
            path = self.path(part, group, name)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
                taken += 1
        return taken

    def write_table(self, table: Path) -> int:
        """Write all results but the times of this machine to one table, a line each, and return how many."""
        lines = ["part\tsetting\tname\tresult"]
        for path in sorted(self.folder.glob("*/*/*.json")):
            part, group = path.parts[-3:-1]
            if part == TIMING:
                continue
            content = json.dumps(_short(json.loads(path.read_text(encoding="utf-8"))), sort_keys=True)
            lines.append("\t".join((part, group, path.stem, content)))
        temporary = table.with_suffix(".part")
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(table)
        return len(lines) - 1

    def remove(self, names: Sequence[str]) -> int:
        """Delete the results of methods or systems and return how many there were."""
        gone = 0
        for path in self.folder.glob("*/*/*.json"):
            result = read(path)
            if result.get("method") in names or result.get("system") in names:
                path.unlink()
                gone += 1
        return gone


def read(path: Path) -> Result:
    """Read a result; null is NaN."""
    result: Result = json.loads(path.read_text(encoding="utf-8"))
    return {key: float("nan") if value is None else value for key, value in result.items()}


def _short(result: Result) -> Result:
    """Six digits of each number: beyond they depend on the machine."""
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in result.items()}


def _storable(result: Result) -> Result:
    """NaN is no JSON."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in result.items()}
