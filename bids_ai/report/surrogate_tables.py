"""Tables about surrogates, from what a fit says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bids_ai.report.formatting import format_value
from bids_ai.report.model import Scalar, Table

CHOICE = (
    "The simplest linear family whose held-out error is within one standard error of the best of them is kept; a "
    "nonlinear one has to beat it by two. From simple to complex: {order}. Standard errors (SE) are of the paired "
    "difference over contiguous blocks."
)
REJECTED = "A nonlinear family is kept only where its held-out gain over ridge VAR is above one standard error."


def families_table(heldout: Mapping[str, Any], title: str, *, section: str = "surrogate") -> Table | None:
    """Return the families that were compared by held-out prediction, the one kept first, then by their score.

    None where one alone was fitted.

    Parameters
    ----------
    heldout : mapping
        ``evaluation["heldout"]`` of a fit: ``families`` where the choice was automatic, ``rejected`` where a family
        that was asked for gave way to ridge VAR.
    title : str
    section : str
        Of the report.
    """
    if heldout.get("families"):
        families = heldout["families"]
        ranked = sorted(families, key=lambda row: (not row["chosen"], -(row["heldout_r2"] or 0)))
        order = ", ".join(str(row["family"]) for row in families)
        return Table(title, _COLUMNS, [_family(row) for row in ranked], section, CHOICE.format(order=order))
    if heldout.get("rejected"):
        lost = heldout["rejected"]
        rows: list[list[Scalar]] = [
            ["ridge-var", KEPT, "linear", _with_error(heldout.get("r2"), heldout.get("r2_se")), "n/a", ""],
            [
                str(lost["family"]),
                "no",
                "nonlinear",
                _with_error(lost.get("r2"), lost.get("r2_se")),
                _with_error(_minus(lost.get("gain_over_linear")), lost.get("gain_over_linear_se")),
                "no gain over the linear part" if not lost.get("gain_over_linear") else "",
            ],
        ]
        return Table(title, _COLUMNS, rows, section, REJECTED)
    return None


_COLUMNS = ["Family", "Kept", "Kind", "Held-out R² (SE)", "Behind the best (SE)", "Remark"]
KEPT = "kept"
"""In the second column of the row that was kept."""


def _family(row: Mapping[str, Any]) -> list[Scalar]:
    return [
        str(row["family"]),
        KEPT if row["chosen"] else "no",
        "linear" if row["linear"] else "nonlinear",
        _with_error(row["heldout_r2"], row["heldout_r2_se"]),
        _with_error(row["loss_against_best"], row["loss_against_best_se"]) if row["loss_against_best"] else "0",
        str(row.get("note") or ""),
    ]


def _with_error(value: float | None, error: float | None) -> str:
    if value is None:
        return "n/a"
    # A rapidly sampled signal is predicted nearly perfectly: what tells families apart is in the fourth decimal.
    digits = 3 if error is None or error >= 0.001 or error == 0 else 1 - math.floor(math.log10(error))
    return f"{format_value(value, digits=digits)} ({format_value(error, digits=digits)})"


def _minus(value: float | None) -> float | None:
    return None if value is None else -value
