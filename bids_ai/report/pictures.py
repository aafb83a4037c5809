"""How large a figure is shown."""

from __future__ import annotations

import re
from pathlib import Path

#: A picture taller than this share of its width is shown narrower, so that it fits a screen.
TALL = 0.78


def is_tall(path: Path) -> bool:
    """Whether an SVG is taller than fits a screen, from the head of the file; False where it does not say."""
    if path.suffix != ".svg":
        return False
    with path.open(encoding="utf-8", errors="replace") as handle:
        head = handle.read(2000)
    found = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', head)
    if found is None or float(found.group(1)) == 0:
        return False
    return float(found.group(2)) / float(found.group(1)) > TALL
