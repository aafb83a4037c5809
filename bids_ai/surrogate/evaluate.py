"""Evaluation of a fit: held-out, free-running, stability, sample size, spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bids_ai.surrogate.autocorrelation import effective_sample_sizes
from bids_ai.surrogate.base import FamilyFit, SurrogateModel
from bids_ai.surrogate.fitted import model_dtype
from bids_ai.surrogate.lags import histories
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.response import derivative_response
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.spectrum import high_frequency_ratio
from bids_ai.surrogate.usable import FloatArray

N_CHAINS = 16
BURN_IN = 100
"""Frames dropped at the start of every free-running chain, so that the observed start is forgotten."""
MIN_STEPS = 100
DIVERGED_SD = 1e3
"""A free-running state beyond this many SD has left the data for good."""
STABILITY_STATES = 128
"""Observed states over which the Jacobians of the ensemble members are compared."""


def innovation_covariance(recording: PreparedRecording, fit: FamilyFit) -> FloatArray:
    """Covariance of the held-out prediction errors, shape (n_regions, n_regions), SD units squared."""
    residual = recording.next_frames()[fit.heldout.positions] - fit.heldout.prediction
    covariance: FloatArray = residual.T @ residual / len(residual)
    return covariance


def evaluate(
    recording: PreparedRecording, fit: FamilyFit, scores: dict[str, Any], seed: int, device: torch.device
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

    Returns
    -------
    dict
        Keys `heldout`, `training`, `free_running`, `stability`, `sample`, `spectrum`, `fit`.
    """
    runs = [recording.series]
    return {
        "heldout": scores,
        "training": {"mse": fit.train_mse, "heldout_over_train": scores["mse"] / max(fit.train_mse, 1e-12)},
        "free_running": free_running(recording, fit, seed, device),
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


def free_running(recording: PreparedRecording, fit: FamilyFit, seed: int, device: torch.device) -> dict[str, Any]:
    """Compare free-running trajectories with the recording: FC and lag-one cross-correlation.

    Every member runs `N_CHAINS` chains from observed states with the innovation covariance; the first
    `BURN_IN` frames are dropped. The comparison is in-sample, over off-diagonal entries. `innovation_fc_r` is
    what the innovations alone would score: where it is as high as `fc_r`, the dynamics explain no FC.
    """
    n_steps = max(MIN_STEPS, int(np.ceil(2 * recording.n_samples / N_CHAINS)))
    innovations = innovation_covariance(recording, fit)
    covariance = torch.as_tensor(innovations, device=device)
    start = recording.targets[np.linspace(0, recording.n_samples - 1, N_CHAINS).round().astype(int)]
    initial = histories(recording.series, start, fit.order)
    observed = _zero_and_one_lag(recording.series[recording.targets - 1], recording.series[recording.targets])
    scores = []
    for member, model in enumerate(fit.models):
        generator = torch.Generator().manual_seed(member_seed(seed, recording.name, 1000 + member))
        on_device = model.to(device)
        first = torch.as_tensor(initial, dtype=model_dtype(model), device=device)
        chains = on_device.simulate(BURN_IN + n_steps, first, covariance, generator)[:, BURN_IN:]
        frames = chains.double().cpu().numpy()
        model.to("cpu")
        if not np.isfinite(frames).all() or np.abs(frames).max() > DIVERGED_SD:
            scores.append((np.nan, np.nan))
            continue
        n = frames.shape[-1]
        simulated = _zero_and_one_lag(frames[:, :-1].reshape(-1, n), frames[:, 1:].reshape(-1, n))
        scores.append((_offdiagonal_r(observed[0], simulated[0]), _offdiagonal_r(observed[1], simulated[1])))
    fc, lagged = np.mean(scores, axis=0)
    sd = np.sqrt(np.diag(innovations))
    return {
        "fc_r": float(fc),
        "innovation_fc_r": _offdiagonal_r(observed[0], innovations / np.outer(sd, sd)),
        "lagged_covariance_r": float(lagged),
        "diverged": bool(np.isnan(fc)),
        "n_steps": n_steps * N_CHAINS,
        "burn_in": BURN_IN,
    }


def _zero_and_one_lag(before: FloatArray, after: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Correlation of the frames, and cross-correlation from each frame to the next."""
    both = np.corrcoef(before.T, after.T, dtype=np.float64)
    n = before.shape[1]
    return both[n:, n:], both[:n, n:]


def _offdiagonal_r(a: FloatArray, b: FloatArray) -> float:
    off = ~np.eye(len(a), dtype=bool)
    x, y = a[off], b[off]
    if len(x) < 3 or x.std() < 1e-12 or y.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def initialisation_stability(
    recording: PreparedRecording, models: tuple[SurrogateModel, ...], order: int, device: torch.device
) -> float | None:
    """Mean correlation of the off-diagonal Jacobians between ensemble members; None for a closed form."""
    if len(models) < 2:
        return None
    chosen = np.linspace(0, recording.n_samples - 1, min(STABILITY_STATES, recording.n_samples)).round()
    states = histories(recording.series, recording.targets[chosen.astype(int)], order)
    matrices = []
    for model in models:
        on_device = model.to(device)
        block = torch.as_tensor(states, dtype=model_dtype(model), device=device)
        matrices.append(derivative_response(on_device, block, horizon=1)[0].cpu().numpy())
        model.to("cpu")
    pairs = [_offdiagonal_r(matrices[a], matrices[b]) for a in range(len(matrices)) for b in range(a)]
    return float(np.mean(pairs))
