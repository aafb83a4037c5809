"""How sure is each edge: spread over the ensemble, and block bootstrap of a linear surrogate."""

from __future__ import annotations

import numpy as np
import torch

from bids_ai.effective.perturbation import push_members
from bids_ai.errors import InputError
from bids_ai.surrogate.families.ridge_var import LinearVAR
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.response import linear_response
from bids_ai.surrogate.ridge_path import solve
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.usable import FloatArray


def ensemble_standard_error(fitted: FittedSurrogate, *, size_sd: float = 1.0, horizon_steps: int = 1) -> FloatArray:
    """Standard error of each edge over the initialisations, shape (n_regions, n_regions).

    It covers the training of the network, not the sampling of the scan. NaN everywhere for a closed form,
    which has one member.
    """
    members = push_members(fitted, size_sd=size_sd, horizon_steps=horizon_steps)
    if len(members) < 2:
        return np.full(members.shape[1:], np.nan)
    error: FloatArray = members.std(axis=0, ddof=1) / np.sqrt(len(members))
    return error


def bootstrap_standard_error(
    fitted: FittedSurrogate, *, n_resamples: int = 100, n_blocks: int = 20, horizon_steps: int = 1
) -> FloatArray:
    """Standard error of each edge over resampled blocks of the recording (linear surrogates).

    The samples are cut into contiguous blocks; every resample draws as many blocks with replacement and fits
    the ridge VAR again with the order and penalty chosen. Sums of block Gram matrices make a resample one
    Cholesky solution.

    Parameters
    ----------
    fitted : FittedSurrogate
        With a linear model.
    n_resamples, n_blocks : int
    horizon_steps : int

    Returns
    -------
    (n_regions, n_regions) array
        Of the shrunken estimate: its bias toward zero is not in it.

    Raises
    ------
    InputError
        For a nonlinear surrogate, or fewer samples than blocks.
    """
    model = fitted.models[0]
    if not isinstance(model, LinearVAR) or fitted.penalty is None:
        raise InputError(f"{fitted.name}: the block bootstrap is for linear surrogates, not {fitted.family}.")
    if len(fitted.targets) < n_blocks:
        raise InputError(f"{fitted.name}: {len(fitted.targets)} samples do not make {n_blocks} blocks.")
    x = fitted.states().reshape(len(fitted.targets), -1)
    y = fitted.series[fitted.targets]
    pieces = np.array_split(np.arange(len(x)), n_blocks)
    xx = torch.as_tensor(np.stack([x[piece].T @ x[piece] for piece in pieces]))
    xy = torch.as_tensor(np.stack([x[piece].T @ y[piece] for piece in pieces]))
    rng = np.random.default_rng(member_seed(fitted.seed, fitted.name, 2000))
    n = y.shape[1]
    edges = np.empty((n_resamples, n, n))
    for resample in range(n_resamples):
        counts = torch.as_tensor(rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks)), dtype=xx.dtype)
        weights = solve(torch.tensordot(counts, xx, 1), torch.tensordot(counts, xy, 1), fitted.penalty)
        response = linear_response(weights.reshape(fitted.order, n, n), horizon_steps)
        edges[resample] = response.mean(0).numpy()
    full = np.full((len(fitted.regions),) * 2, np.nan)
    rows = np.flatnonzero(fitted.kept)
    full[rows[:, None], rows[None, :]] = edges.std(axis=0, ddof=1)
    np.fill_diagonal(full, np.nan)
    return full
