"""Free-running trajectories of a fitted model: many chains from observed states, with innovations."""

from __future__ import annotations

import numpy as np
import torch

from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.fitted import model_dtype
from bids_ai.surrogate.lags import IntArray, histories
from bids_ai.surrogate.usable import FloatArray

N_CHAINS = 16
BURN_IN = 100
"""Frames dropped at the start of every free-running chain, so that the observed start is forgotten."""
MIN_STEPS = 100
DIVERGED_SD = 1e3
"""A free-running state beyond this many SD has left the data for good."""


def chain_starts(series: FloatArray, targets: IntArray, order: int) -> FloatArray:
    """Observed histories to start the chains from, evenly spaced, shape (n_chains, order, n_regions)."""
    chosen = targets[np.linspace(0, len(targets) - 1, N_CHAINS).round().astype(int)]
    return histories(series, chosen, order)


def chain_length(n_samples: int, window: int) -> int:
    """Steps per chain: all chains together twice the recording; a window of the dynamic FC, unless that is too long."""
    return max(MIN_STEPS, int(np.ceil(2 * n_samples / N_CHAINS)), window if 3 * window <= n_samples else 0)


def free_run(
    model: SurrogateModel,
    initial: FloatArray,
    covariance: FloatArray,
    n_steps: int,
    seed: int,
    device: torch.device,
) -> FloatArray | None:
    """Chains without their burn-in, shape (n_chains, n_steps, n_regions), SD units; None where they diverge.

    Parameters
    ----------
    model : SurrogateModel
        On the CPU, where it is again afterwards.
    initial : (n_chains, order, n_regions) array
    covariance : (n_regions, n_regions) array
        Of the innovations.
    n_steps, seed : int
    device : torch.device
    """
    generator = torch.Generator().manual_seed(seed)
    on_device = model.to(device)
    first = torch.as_tensor(initial, dtype=model_dtype(model), device=device)
    noise = torch.as_tensor(covariance, device=device)
    chains = on_device.simulate(BURN_IN + n_steps, first, noise, generator)[:, BURN_IN:]
    frames: FloatArray = chains.double().cpu().numpy()
    model.to("cpu")
    if not np.isfinite(frames).all() or np.abs(frames).max() > DIVERGED_SD:
        return None
    return frames
