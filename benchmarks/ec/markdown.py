"""Numbers and tables as markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.ec.statistics import Mean


def number(value: float, digits: int = 2) -> str:
    """Number without the zero before the point, as in the other pages; empty for NaN."""
    if not math.isfinite(value):
        return ""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if abs(value) < 1 and text.lstrip("-").startswith("0.") else text


def interval(mean: Mean, digits: int = 2) -> str:
    """Mean and interval: .93 (.91 to .95)."""
    if not math.isfinite(mean.lower):
        return number(mean.value, digits)
    return f"{number(mean.value, digits)} ({number(mean.lower, digits)} to {number(mean.upper, digits)})"


def seconds(value: float) -> str:
    """Seconds with two or three significant digits."""
    if not math.isfinite(value):
        return ""
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Table; "Nothing was run." without rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return "Nothing was run.\n"
    return "\n".join([f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *body]) + "\n"
