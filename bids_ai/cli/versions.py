"""What a run was made with: Python and every installed distribution, as ``pip freeze`` would have it."""

from __future__ import annotations

import platform
from importlib.metadata import distributions


def installed_versions() -> str:
    """One line ``name==version`` each, sorted; Python, and the system it runs on, before them as comments."""
    found = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    lines = [f"# Python {platform.python_version()}", f"# {platform.platform()}, {platform.machine()}"]
    return "\n".join([*lines, *(f"{name}=={found[name]}" for name in sorted(found, key=str.lower))]) + "\n"
