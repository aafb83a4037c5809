"""Effective connectivity of a fitted surrogate: finite push, Jacobian, and multi-step impulse response.

EC[i, j] is the signed mean change of region j over the steps 1 ... h after region i was pushed at the newest
lag of an observed state, averaged over states and over the ensemble. Row = source, column = target; the
diagonal and regions without data are NaN. Units: SD of the target per SD of the push.

After Neural Perturbational Inference (Luo et al. 2025, doi:10.1038/s41592-025-02654-x), which reads the raw
response one step after a push of one signal unit.
"""

from __future__ import annotations

import numpy as np
import torch

from bids_ai.errors import InputError
from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.device import resolve_device
from bids_ai.surrogate.fitted import FittedSurrogate, model_dtype
from bids_ai.surrogate.response import derivative_response, push_response
from bids_ai.surrogate.usable import FloatArray

MAX_STATES = 1024
"""Observed states averaged over by default, evenly spaced; their neighbours in time add next to nothing."""


def push(
    fitted: FittedSurrogate,
    *,
    size_sd: float = 1.0,
    horizon_steps: int = 1,
    states: FloatArray | None = None,
    max_states: int | None = MAX_STATES,
    device: str = "cpu",
) -> FloatArray:
    """Effective connectivity by a finite push.

    Parameters
    ----------
    fitted : FittedSurrogate
    size_sd : float, default=1.0
        Size of the push in SD of the source; may be negative. The response is divided by it, so that sizes
        compare; in a linear model it makes no difference.
    horizon_steps : int, default=1
        The response is averaged over the frames 1 ... horizon_steps after the push.
    states : (n_states, order, n_kept) array, optional
        Histories to push from, SD units, newest lag last; default the observed ones.
    max_states : int or None
        At most so many observed states, evenly spaced; None takes all.
    device : {"cpu", "auto", "cuda"}

    Returns
    -------
    (n_regions, n_regions) array
    """
    return push_members(
        fitted,
        size_sd=size_sd,
        horizon_steps=horizon_steps,
        states=states,
        max_states=max_states,
        device=device,
    ).mean(axis=0)


def push_members(
    fitted: FittedSurrogate,
    *,
    size_sd: float = 1.0,
    horizon_steps: int = 1,
    states: FloatArray | None = None,
    max_states: int | None = MAX_STATES,
    device: str = "cpu",
) -> FloatArray:
    """Compute `push` for every ensemble member, shape (n_members, n_regions, n_regions)."""
    responses = _responses(fitted, size_sd, horizon_steps, states, max_states, device)
    return _expand(fitted, responses.mean(axis=1), diagonal=False)


def jacobian(
    fitted: FittedSurrogate,
    *,
    horizon_steps: int = 1,
    states: FloatArray | None = None,
    max_states: int | None = MAX_STATES,
    device: str = "cpu",
) -> FloatArray:
    """Effective connectivity by the mean derivative: the limit of `push` for small sizes.

    Parameters and returns are those of `push`; forward-mode derivatives of the model, in closed form where
    it is linear.
    """
    responses = _responses(fitted, None, horizon_steps, states, max_states, device)
    return _expand(fitted, responses.mean(axis=(0, 1)), diagonal=False)


def impulse_response(
    fitted: FittedSurrogate,
    *,
    size_sd: float = 1.0,
    horizon_steps: int = 10,
    states: FloatArray | None = None,
    max_states: int | None = MAX_STATES,
    device: str = "cpu",
    diagonal: bool = False,
) -> FloatArray:
    """Response at each step after a push, shape (horizon_steps, n_regions, n_regions).

    As `push`, without the average over steps. `diagonal=True` keeps a region's response to its own push,
    which is no connectivity but is needed to draw a response.
    """
    responses = _responses(fitted, size_sd, horizon_steps, states, max_states, device)
    return _expand(fitted, responses.mean(axis=0), diagonal=diagonal)


def horizon_steps(horizon_s: float, tr: float) -> int:
    """Steps of a horizon given in seconds; never less than one.

    Raises
    ------
    InputError
        For a horizon or a TR that is not positive.
    """
    if not (np.isfinite(horizon_s) and horizon_s > 0 and np.isfinite(tr) and tr > 0):
        raise InputError(f"Horizon and sampling interval must be positive seconds, got {horizon_s} and {tr}.")
    return max(1, round(horizon_s / tr))


def _responses(
    fitted: FittedSurrogate,
    size_sd: float | None,
    n_steps: int,
    states: FloatArray | None,
    max_states: int | None,
    device: str,
) -> FloatArray:
    """Responses per member and step (n_members, n_steps, n_kept, n_kept); size None is the derivative."""
    if size_sd is not None and (not np.isfinite(size_sd) or size_sd == 0):
        raise InputError(f"The push must be a finite size in SD other than zero, got {size_sd!r}.")
    if n_steps < 1:
        raise InputError(f"The horizon must be at least one step, got {n_steps!r}.")
    where = resolve_device(device)
    observed = fitted.states(max_states) if states is None else _checked_states(fitted, states)
    return np.stack([_member_response(model, observed, n_steps, size_sd, where) for model in fitted.models])


def _checked_states(fitted: FittedSurrogate, states: FloatArray) -> FloatArray:
    wanted = (fitted.order, int(fitted.kept.sum()))
    if states.ndim != 3 or states.shape[1:] != wanted or len(states) == 0:
        raise InputError(f"{fitted.name}: states must be (n_states, {wanted[0]}, {wanted[1]}), got {states.shape}.")
    if not np.isfinite(states).all():
        raise InputError(f"{fitted.name}: states contain missing or infinite values.")
    return states


def _member_response(
    model: SurrogateModel, states: FloatArray, n_steps: int, size_sd: float | None, device: torch.device
) -> FloatArray:
    response = model.analytic_response(n_steps)
    if response is None:
        block = torch.as_tensor(states, dtype=model_dtype(model), device=device)
        model.to(device)
        if size_sd is None:
            response = derivative_response(model, block, n_steps)
        else:
            response = push_response(model, block, n_steps, size_sd) / size_sd
        model.to("cpu")
    out: FloatArray = response.detach().double().cpu().numpy()
    return out


def _expand(fitted: FittedSurrogate, matrices: FloatArray, diagonal: bool) -> FloatArray:
    """From the kept regions to all: NaN rows and columns for those left out, NaN on the diagonal."""
    n = len(fitted.regions)
    full = np.full((*matrices.shape[:-2], n, n), np.nan)
    rows = np.flatnonzero(fitted.kept)
    full[..., rows[:, None], rows[None, :]] = matrices
    if not diagonal:
        full[..., np.arange(n), np.arange(n)] = np.nan
    return full
