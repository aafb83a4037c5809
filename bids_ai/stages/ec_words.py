"""What a value of effective connectivity means, in words: the push acts on signals or on neural states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bids_ai.surrogate.fitted import FittedSurrogate

SIGNAL_UNITS = "SD of the target per SD of the source"
NEURAL_UNITS = "neural units of the target per neural unit of the source"

SHORT_UNITS = {SIGNAL_UNITS: "SD per SD", NEURAL_UNITS: "neural units"}
"""Units for the axes of figures."""


def acts_on_neural_states(fitted: FittedSurrogate) -> bool:
    """Whether the model has neural states beneath its signals, which the push moves."""
    from bids_ai.surrogate.families.latent import LatentLinear

    return isinstance(fitted.models[0], LatentLinear)


def response_words(fitted: FittedSurrogate) -> dict[str, Any]:
    """Return the fields of a sidecar that say what was pushed, and in which units the response is."""
    if acts_on_neural_states(fitted):
        return {
            "PushActsOn": "neural states, before the haemodynamic response",
            "PushUnits": "neural units: one, if it lasted, would move the BOLD of its region by one SD",
            "MeasureUnits": NEURAL_UNITS,
            "MeasureDescription": (
                "Signed mean change of the neural state of the target over the horizon, after a push of the neural "
                "state of the source in the fitted surrogate; the haemodynamic response is part of the model and not "
                "of this response"
            ),
        }
    return {
        "PushActsOn": "signals, at the newest lag",
        "PushUnits": "SD of the source",
        "MeasureUnits": SIGNAL_UNITS,
        "MeasureDescription": (
            "Signed mean change of the target, averaged over the horizon and over observed states, after the source "
            "was pushed in the fitted surrogate at its newest lag (Neural Perturbational Inference)"
        ),
    }


def edge_words(intervals: Mapping[str, Any]) -> str:
    """Say how many edges are beyond chance; ``Intervals`` is that of the sidecar."""
    if intervals["EdgesBelowQ"] is None:
        return "no test of single edges"
    return f"{intervals['EdgesBelowQ']} of {intervals['EdgesTested']} edges with q < {intervals['Q']:g}"
