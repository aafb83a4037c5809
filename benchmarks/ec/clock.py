"""Time of a call: of the process, which other jobs of the machine hardly change, and of the wall."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[T, float, float]:
    """Result, seconds of the process, seconds of the wall."""
    wall, process = time.perf_counter(), time.process_time()
    result = call()
    return result, time.process_time() - process, time.perf_counter() - wall


def fastest(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least seconds of the process and of the wall over several calls."""
    times = [timed(call)[1:] for _ in range(repeats)]
    return min(process for process, _ in times), min(wall for _, wall in times)
