"""Evaluation of a fit: held-out, forecasts, free-running, stability, sample size, spectrum.

Everything here is cheap enough for every recording of a batch; what is dearer is in `evaluate_dynamics`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from bids_ai.surrogate.autocorrelation import effective_sample_sizes
from bids_ai.surrogate.base import FamilyFit, SurrogateModel
from bids_ai.surrogate.families.ridge_var import LinearVAR
from bids_ai.surrogate.fitted import model_dtype
from bids_ai.surrogate.forecast import forecast_scores
from bids_ai.surrogate.free_run import BURN_IN, N_CHAINS, chain_length, chain_starts, free_run
from bids_ai.surrogate.lags import histories
from bids_ai.surrogate.metrics.connectivity import offdiagonal_r
from bids_ai.surrogate.metrics.dynamics import SCORE_NAMES, Recorded, Scores, mean_scores
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.response import push_response
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.spectrum import high_frequency_ratio
from bids_ai.surrogate.usable import FloatArray

STABILITY_STATES = 128
"""Observed states over which the connectivity of the ensemble members is compared."""


def innovation_covariance(recording: PreparedRecording, fit: FamilyFit) -> FloatArray:
    """Covariance of the held-out prediction errors, shape (n_regions, n_regions), SD units squared."""
    residual = recording.next_frames()[fit.heldout.positions] - fit.heldout.prediction
    covariance: FloatArray = residual.T @ residual / len(residual)
    return covariance


def evaluate(
    recording: PreparedRecording,
    fit: FamilyFit,
    scores: dict[str, Any],
    seed: int,
    device: torch.device,
    linear: FamilyFit | None = None,
) -> dict[str, Any]:
    """Everything that is reported about a fit, JSON-able (NaN allowed).

    Parameters
    ----------
    recording : PreparedRecording
    fit : FamilyFit
    scores : dict
        From `heldout_scores`.
    seed : int
    device : torch.device
    linear : FamilyFit, optional
        The ridge VAR of the same recording, to be a reference; not needed where `fit` is one.

    Returns
    -------
    dict
        Keys `heldout`, `training`, `forecast`, `free_running`, `stability`, `sample`, `spectrum`, `fit`; see
        docs/evaluation.md.
    """
    runs = [recording.series]
    return {
        "heldout": scores,
        "training": {"mse": fit.train_mse, "heldout_over_train": scores["mse"] / max(fit.train_mse, 1e-12)},
        "forecast": forecast_scores(recording, fit, linear, scores["r2"], device),
        "free_running": free_running(recording, fit, seed, device, linear),
        "stability": {
            "initialisation_r": initialisation_stability(recording, fit.models, fit.order, device),
            "split_half_r": fit.split_half_r,
            "n_members": len(fit.models),
        },
        "sample": sample_size(recording, fit.order),
        "spectrum": {"high_frequency_ratio": high_frequency_ratio(runs)},
        "fit": fit.details,
    }


def sample_size(recording: PreparedRecording, order: int) -> dict[str, float]:
    """Frames, samples, and the effective sample size of a typical pair of regions."""
    sizes = effective_sample_sizes([recording.series])
    off = ~np.eye(len(sizes), dtype=bool)
    return {
        "n_frames": recording.recording.n_frames,
        "n_samples": recording.n_samples,
        "n_regions": recording.n_regions,
        "effective_sample_size": float(np.median(sizes[off])),
        "weights_per_target": order * recording.n_regions,
    }


def free_running(
    recording: PreparedRecording,
    fit: FamilyFit,
    seed: int,
    device: torch.device,
    linear: FamilyFit | None = None,
) -> dict[str, Any]:
    """Compare free-running trajectories with the recording, and with what references score.

    Every member runs chains from observed states with the innovation covariance; the scores are means over the
    members. The comparison is in-sample. `innovation_fc_r` is what the innovations alone would score: where it is as
    high as `fc_r`, the dynamics explain no FC.

    Returns
    -------
    dict
        The scores of `Recorded.compare`; `innovation_fc_r`, `diverged`, `n_steps`, `burn_in`; and `references`: the
        same scores for `linear` (ridge VAR), `other_half`, `phase_randomised` and `phase_randomised_apart`.
        `fc_r` and `lagged_covariance_r` are NaN where there are none, all others None.
    """
    recorded = Recorded(recording.series, recording.recording.tr, member_seed(seed, recording.name, 3000))
    n_steps = chain_length(recording.n_samples, recorded.window)
    innovations = innovation_covariance(recording, fit)
    model = _chain_scores(recorded, recording, fit, n_steps, seed, device)
    if isinstance(fit.models[0], LinearVAR):
        ridge: Scores | None = model
    else:
        ridge = None if linear is None else _chain_scores(recorded, recording, linear, n_steps, seed, device)
    sd = np.sqrt(np.diag(innovations))
    fc, lagged = (math.nan if model is None else model[name] for name in ("fc_r", "lagged_covariance_r"))
    scores = model if model is not None else dict.fromkeys(SCORE_NAMES)
    return {
        **scores,
        "fc_r": math.nan if fc is None else fc,
        "lagged_covariance_r": math.nan if lagged is None else lagged,
        "innovation_fc_r": offdiagonal_r(recorded.moments.zero_lag, innovations / np.outer(sd, sd)),
        "diverged": model is None,
        "n_steps": n_steps * N_CHAINS,
        "burn_in": BURN_IN,
        "references": {"linear": ridge, **recorded.references()},
    }


def _chain_scores(
    recorded: Recorded, recording: PreparedRecording, fit: FamilyFit, n_steps: int, seed: int, device: torch.device
) -> Scores | None:
    """Mean scores over the members; None where any of them diverges."""
    covariance = innovation_covariance(recording, fit)
    initial = chain_starts(recording.series, recording.targets, fit.order)
    scores = []
    for member, model in enumerate(fit.models):
        chains = free_run(model, initial, covariance, n_steps, member_seed(seed, recording.name, 1000 + member), device)
        if chains is None:
            return None
        scores.append(recorded.compare(list(chains)))
    return mean_scores(scores)


def initialisation_stability(
    recording: PreparedRecording, models: tuple[SurrogateModel, ...], order: int, device: torch.device
) -> float | None:
    """Mean correlation of the off-diagonal connectivity between ensemble members; None for a closed form.

    Connectivity is the response to a push of 1 SD. A derivative says the same, but the first one in a process imports
    the compiler of torch: seconds.
    """
    if len(models) < 2:
        return None
    chosen = np.linspace(0, recording.n_samples - 1, min(STABILITY_STATES, recording.n_samples)).round()
    states = histories(recording.series, recording.targets[chosen.astype(int)], order)
    matrices = []
    for model in models:
        on_device = model.to(device)
        block = torch.as_tensor(states, dtype=model_dtype(model), device=device)
        matrices.append(push_response(on_device, block, horizon=1, size=1.0)[0].cpu().numpy())
        model.to("cpu")
    pairs = [offdiagonal_r(matrices[a], matrices[b]) for a in range(len(matrices)) for b in range(a)]
    return float(np.mean(pairs))
