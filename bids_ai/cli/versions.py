"""What a run was made with: Python and every installed distribution, as ``pip freeze`` would have it."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import distributions
from pathlib import Path

#: What these choose, sums and products are rounded by.
_KERNELS = ("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "NPY_DISABLE_CPU_FEATURES")


def installed_versions() -> str:
    """One line ``name==version`` each, sorted; Python, and the system it runs on, before them as comments."""
    found = {one.metadata["Name"]: one.version for one in distributions() if one.metadata["Name"]}
    lines = [f"# Python {platform.python_version()}", f"# {platform.platform()}, {platform.machine()}", *_arithmetic()]
    return "\n".join([*lines, *(f"{name}=={found[name]}" for name in sorted(found, key=str.lower))]) + "\n"


def _arithmetic() -> list[str]:
    """Processor, and settings that choose kernels for it: results of others differ by rounding."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    model = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    lines = [f"# processor: {model[1].strip()}"] if model else []
    return lines + [f"# {name}={os.environ[name]}" for name in _KERNELS if os.environ.get(name)]
