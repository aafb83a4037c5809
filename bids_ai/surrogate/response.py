"""Response of a model to a push of its newest frame: by simulation, by derivative, in closed form.

Rows are sources, columns are targets; SD units; kept regions only. `bids_ai.effective` turns these into
effective connectivity; the evaluation uses them for the stability of the ensemble.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bids_ai.surrogate.base import SurrogateModel
from bids_ai.surrogate.device import memory_budget

CHUNK_BYTES = 2**28
"""Memory of the pushed histories that are in flight at once (activations take a small multiple of it)."""
BUDGET_SHARE = 16
"""They take at most this part of the memory of a batch, which on a GPU is a share of what is free."""


def linear_response(coefficients: Tensor, horizon: int) -> Tensor:
    """Impulse response of a VAR(p), shape (horizon, n_regions, n_regions).

    With x(t+1) = sum_l x(t-l+1) A_l, the response to a unit push of x(t) is P_0 = I,
    P_k = sum_l P_(k-l) A_l. The newest lag A_1 is `coefficients[-1]`.
    """
    order, n_regions, _ = coefficients.shape
    responses = [torch.eye(n_regions, dtype=coefficients.dtype, device=coefficients.device)]
    for k in range(1, horizon + 1):
        terms = [responses[k - lag] @ coefficients[-lag] for lag in range(1, min(order, k) + 1)]
        responses.append(torch.stack(terms).sum(0))
    return torch.stack(responses[1:])


def rollout(model: SurrogateModel, history: Tensor, horizon: int) -> Tensor:
    """Noise-free predictions 1 ... horizon steps ahead, shape (n_states, horizon, n_regions)."""
    frames = []
    for _ in range(horizon):
        following = model.predict(history)
        history = torch.cat([history[:, 1:], following[:, None]], dim=1)
        frames.append(following)
    return torch.stack(frames, dim=1)


def push_response(model: SurrogateModel, states: Tensor, horizon: int, size: float) -> Tensor:
    """Mean change over the states after a push of `size` SD, shape (horizon, n_regions, n_regions)."""
    n_states, _, n_regions = states.shape
    total = states.new_zeros(horizon, n_regions, n_regions, dtype=torch.float64)
    state_chunk, source_chunk = _chunks(states)
    with torch.no_grad():
        for start in range(0, n_states, state_chunk):
            block = states[start : start + state_chunk]
            at_rest = rollout(model, block, horizon)
            for first in range(0, n_regions, source_chunk):
                sources = torch.arange(first, min(first + source_chunk, n_regions), device=states.device)
                pushed = block.expand(len(sources), *block.shape).clone()
                pushed[torch.arange(len(sources), device=states.device), :, -1, sources] += size
                moved = rollout(model, pushed.flatten(0, 1), horizon)
                change = moved.reshape(len(sources), len(block), horizon, n_regions) - at_rest
                total[:, sources] += change.double().sum(1).transpose(0, 1)
    return total / n_states


def derivative_response(model: SurrogateModel, states: Tensor, horizon: int) -> Tensor:
    """Mean Jacobian of steps 1 ... horizon with respect to the newest frame, by forward-mode derivatives.

    Returns
    -------
    (horizon, n_regions, n_regions) tensor
        Entry (k, i, j) is the mean over states of d x_j(t+k+1) / d x_i(t).
    """
    n_states, _, n_regions = states.shape
    total = states.new_zeros(n_regions, horizon, n_regions, dtype=torch.float64)
    state_chunk, source_chunk = _chunks(states)
    directions = torch.eye(n_regions, dtype=states.dtype, device=states.device)
    with torch.no_grad():
        for start in range(0, n_states, state_chunk):
            block = states[start : start + state_chunk]

            def slope(direction: Tensor, block: Tensor = block) -> Tensor:
                tangent = torch.zeros_like(block)
                tangent = torch.cat([tangent[:, :-1], direction.expand(len(block), 1, n_regions)], dim=1)
                derivative = torch.func.jvp(lambda h: rollout(model, h, horizon), (block,), (tangent,))[1]
                summed: Tensor = derivative.sum(0)
                return summed

            total += torch.func.vmap(slope, chunk_size=source_chunk)(directions).double()
    return total.transpose(0, 1) / n_states


def _chunks(states: Tensor) -> tuple[int, int]:
    """States and sources per pass, so that the pushed histories fit the memory."""
    n_states, order, n_regions = states.shape
    one = order * n_regions * states.element_size()
    size = min(CHUNK_BYTES, memory_budget(states.device) // BUDGET_SHARE)
    state_chunk = max(1, min(n_states, size // (8 * one)))
    source_chunk = max(1, min(n_regions, size // (one * state_chunk)))
    return state_chunk, source_chunk
