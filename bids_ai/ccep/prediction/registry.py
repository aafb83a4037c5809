"""Predictors by name. A new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from bids_ai.ccep.prediction.base import Predictor
from bids_ai.errors import InputError

_PACKAGE = "bids_ai.ccep.prediction"

PREDICTORS = {
    "prevalence": ("prevalence", "Prevalence"),
    "channel-mean": ("channel_prevalence", "ChannelPrevalence"),
    "distance": ("distance", "Distance"),
    "distance-covariates": ("distance_covariates", "DistanceCovariates"),
    "sc": ("structural", "structural"),
    "communicability": ("communicability", "communicating"),
    "shortest-path": ("shortest_path", "shortest_path"),
    "diffusion": ("diffusion", "diffusion"),
    "fc": ("functional", "functional"),
    "ec": ("effective", "effective"),
    "ec-multistep": ("effective_multistep", "effective_multistep"),
    "ec-transposed": ("effective_transposed", "effective_transposed"),
    "ec-symmetrised": ("effective_symmetrised", "effective_symmetrised"),
    "rest-amplitude": ("rest_amplitude", "RestAmplitude"),
    "ec-ieeg": ("effective_ieeg", "EffectiveIeeg"),
    "impulse-response": ("impulse_response", "ImpulseResponse"),
    "impulse-refined": ("impulse_refined", "ImpulseRefined"),
    "jansen-rit": ("jansen_rit", "JansenRit"),
    "group-prior": ("group_prior", "group_prior"),
    "nearest-site": ("nearest_site", "NearestSite"),
    "reverse-edge": ("reverse_edge", "ReverseEdge"),
    "distance+sc+fc": ("combination", "combination"),
    "distance+sc+fc+ec": ("combination_effective", "combination_effective"),
    "distance+rest": ("distance_rest", "distance_rest"),
    "distance+rest+sc+fc": ("combination_rest", "combination_rest"),
    "distance+rest+sc+fc+ec": ("combination_rest_effective", "combination_rest_effective"),
    "evoked-kernel": ("evoked_kernel", "EvokedKernel"),
}
"""Name -> module and what makes a predictor in it; imported when asked for."""


def get_predictor(name: str) -> Predictor:
    """Make a new predictor, by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in PREDICTORS:
        raise InputError(f"Unknown predictor of CCEP {name!r}: choose one of {', '.join(PREDICTORS)}.")
    module, maker = PREDICTORS[name]
    make: Callable[[], Predictor] = getattr(import_module(f"{_PACKAGE}.{module}"), maker)
    return make()
