"""L-BFGS for many independent problems at once, each with its own curvature and its own line search.

The problems share their shape and are evaluated together; a step of one never depends on the others, so that a result
does not depend on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor, Tensor], Tensor]

ARMIJO = 1e-4
"""Share of the promised decrease that a step has to bring (Nocedal & Wright 2006, section 3.1)."""
SHRINK = 0.4
"""Factor of the step length after a step that did not."""
MAX_HALVINGS = 20
MIN_STEPS = 5
"""Steps before a problem may be called converged: the first ones, along plain gradients, may be far too short."""


@dataclass(frozen=True)
class Solution:
    """Where the descent ended.

    Parameters
    ----------
    parameters : (n_problems, n_parameters) tensor
    value : (n_problems,) tensor
    converged : (n_problems,) bool tensor
    """

    parameters: Tensor
    value: Tensor
    converged: Tensor


def minimise(
    objective: Objective,
    start: Tensor,
    *,
    precondition: Callable[[Tensor], Tensor] | None = None,
    max_steps: int = 100,
    memory: int = 10,
    tolerance: float = 1e-7,
) -> Solution:
    """Minimise a batch of smooth functions.

    Parameters
    ----------
    objective : callable
        Points (n_rows, n_parameters) of some of the problems, and which these are (n_rows,), to values (n_rows,). Where
        a point is outside its domain it returns infinity or NaN. Only problems that still need a value are asked for.
    start : (n_problems, n_parameters) tensor
        Inside the domain.
    precondition : callable, optional
        Approximate inverse Hessian, applied to gradients (n_problems, n_parameters); symmetric and positive definite.
    max_steps : int
    memory : int
        Pairs of steps and changes of gradient that are kept.
    tolerance : float
        A problem has converged when a step lowers it by less than this, relative to its value.

    Returns
    -------
    Solution

    References
    ----------
    Liu & Nocedal 1989, doi:10.1007/BF01589116.
    """
    point = start.clone()
    value, gradient = _evaluate(objective, point, torch.arange(len(point)))
    steps: list[Tensor] = []
    changes: list[Tensor] = []
    done = ~torch.isfinite(value)
    small = torch.zeros_like(done, dtype=torch.int64)
    for number in range(max_steps):
        direction = -_inverse_hessian(gradient, steps, changes, precondition)
        slope = (direction * gradient).sum(1)
        uphill = slope >= 0
        direction = torch.where(uphill[:, None], -gradient, direction)
        slope = torch.where(uphill, -gradient.square().sum(1), slope)
        new_point, new_value, new_gradient = _line_search(objective, point, value, gradient, direction, slope, done)
        decrease = value - new_value
        steps.append(new_point - point)
        changes.append(new_gradient - gradient)
        steps, changes = steps[-memory:], changes[-memory:]
        point, value, gradient = new_point, new_value, new_gradient
        # Two small steps in a row: one may be an unlucky direction.
        small = torch.where(decrease <= tolerance * (1 + value.abs()), small + 1, 0)
        done = done | ((small >= 2) & (number + 1 >= MIN_STEPS))
        if bool(done.all()):
            break
    return Solution(point, value, done)


def _evaluate(objective: Objective, point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    inside = point.detach().requires_grad_()
    with torch.enable_grad():
        value = objective(inside, rows)
        finite = torch.isfinite(value)
        (gradient,) = torch.autograd.grad(torch.where(finite, value, torch.zeros_like(value)).sum(), inside)
    value = torch.where(finite, value.detach(), torch.full_like(value.detach(), torch.inf))
    return value, torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)


def _inverse_hessian(
    gradient: Tensor,
    steps: list[Tensor],
    changes: list[Tensor],
    precondition: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Two-loop recursion; a pair without positive curvature is passed over by its own problem only."""
    q = gradient.clone()
    stack = []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        curvature = (step * change).sum(1)
        usable = curvature > 1e-10 * change.square().sum(1).clamp(min=1e-300)
        rho = torch.where(usable, 1 / torch.where(usable, curvature, torch.ones_like(curvature)), 0.0)
        alpha = rho * (step * q).sum(1)
        q = q - alpha[:, None] * change
        stack.append((rho, alpha))
    q = q if precondition is None else precondition(q)
    if steps:
        last = changes[-1] if precondition is None else precondition(changes[-1])
        curvature, size = (steps[-1] * changes[-1]).sum(1), (last * changes[-1]).sum(1)
        usable = (curvature > 0) & (size > 0)
        q = torch.where(usable, curvature / torch.where(usable, size, torch.ones_like(size)), 1.0)[:, None] * q
    for step, change, (rho, alpha) in zip(steps, changes, reversed(stack), strict=True):
        beta = rho * (change * q).sum(1)
        q = q + (alpha - beta)[:, None] * step
    return q


def _line_search(
    objective: Objective,
    point: Tensor,
    value: Tensor,
    gradient: Tensor,
    direction: Tensor,
    slope: Tensor,
    done: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Backtrack each problem until its decrease is sufficient; one that finds none stays where it is."""
    new_point, new_value, new_gradient = point.clone(), value.clone(), gradient.clone()
    length = 1.0
    waiting = (~done).nonzero()[:, 0]
    for _ in range(MAX_HALVINGS):
        if not len(waiting):
            break
        trial = point[waiting] + length * direction[waiting]
        trial_value, trial_gradient = _evaluate(objective, trial, waiting)
        good = trial_value <= value[waiting] + ARMIJO * length * slope[waiting]
        rows = waiting[good]
        new_point[rows], new_value[rows], new_gradient[rows] = trial[good], trial_value[good], trial_gradient[good]
        waiting = waiting[~good]
        length *= SHRINK
    return new_point, new_value, new_gradient
