"""Nonlinear dynamics within each region, linear coupling between them: a partly linear VAR, in closed form.

    x_j(t+1) = f_j(x_j(t), ..., x_j(t-p+1)) + sum_i sum_l x_i(t-l) C_l[i, j] + noise,

with f_j linear in the lags plus a sum of fixed nonlinear features of the region's own past (`own_past`). In neural-mass
models of EEG the nonlinearity sits within the column: rhythms and spikes that a linear model of the own past cannot
follow. Where regions are entrained, what it leaves over is common to them, and a VAR takes the past of other regions
for an explanation of it: coupling that is none. Once the own past is accounted for, the coupling is that of a partly
linear regression (Robinson 1988, doi:10.2307/1912705).

Features and coupling have a ridge penalty each, chosen by blocked cross-validation. The lags of the region itself are
hardly penalised: at 250 Hz a frame is nearly the one before, and shrinking that would spoil everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.own_past import N_FEATURES, own_features
from bids_ai.surrogate.partly_linear import CANDIDATES, Problem, Weights, heldout_mse, prepare_problem, solve_all
from bids_ai.surrogate.prepare import PreparedRecording

N_STATES = 64
"""Observed states that the response is averaged over, evenly spaced."""


class LocalNonlinear(SurrogateModel):
    """Own nonlinear features and linear coupling.

    | name | shape | meaning |
    |---|---|---|
    | coupling | (order, n_regions, n_regions) | C[l, source, target], 0 on the diagonal; newest lag last |
    | own_lags | (order, n_regions) | linear part of the own past |
    | directions, offsets | (order, n_features), (n_features,) | the basis of `own_past` |
    | weights | (n_features, n_regions) | of the features, in the equation of each region |
    | constant | (n_regions,) | |
    | lower, upper | (n_regions,) | observed range |
    | states | (n_states, order, n_regions) | observed histories, for the response |

    The own past enters clipped to the range that was observed. Within the data nothing changes; beyond, where linear
    part and features no longer balance, a free-running series is kept from running away.
    """

    def __init__(
        self, n_regions: int, order: int, n_features: int = N_FEATURES, n_states: int = N_STATES, n_inputs: int = 0
    ) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.n_features = n_features
        self.n_states = n_states
        shapes = {
            "coupling": (order, n_regions, n_regions),
            "own_lags": (order, n_regions),
            "directions": (order, n_features),
            "offsets": (n_features,),
            "weights": (n_features, n_regions),
            "constant": (n_regions,),
            "lower": (n_regions,),
            "upper": (n_regions,),
            "states": (n_states, order, n_regions),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self.coupling: Tensor
        self.own_lags: Tensor
        self.directions: Tensor
        self.offsets: Tensor
        self.weights: Tensor
        self.constant: Tensor
        self.lower: Tensor
        self.upper: Tensor
        self.states: Tensor
        self.input_weights = self.input_weights.double()

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        past = history.clamp(self.lower, self.upper)
        features = own_features(past.mT, self.directions, self.offsets)
        own = (past * self.own_lags).sum(-2) + (features * self.weights.T).sum(-1) + self.constant
        return own + history.flatten(-2) @ self.coupling.flatten(0, 1)

    def analytic_response(self, horizon: int) -> Tensor:
        """Mean derivative of the frames 1 ... horizon with respect to the newest one, over the observed states.

        A jump by one SD from frame to frame does not occur in signals that are sampled fast, and the features of the
        own past say nothing about it; the derivative stays where the data are. The size of a push plays no part.

        Returns
        -------
        (horizon, n_regions, n_regions) tensor
            SD per SD of the push.
        """
        n = self.n_regions
        history = self.states
        moved = self.states.new_zeros(n, *self.states.shape)
        moved[torch.arange(n), :, -1, torch.arange(n)] = 1.0
        coupling = self.coupling.flatten(0, 1)
        responses = []
        for _ in range(horizon):
            change = moved.flatten(-2) @ coupling + (moved * self._own_slopes(history)).sum(-2)
            responses.append(change.mean(1))
            history = torch.cat([history[:, 1:], self.step(history)[:, None]], dim=1)
            moved = torch.cat([moved[:, :, 1:], change[:, :, None]], dim=2)
        return torch.stack(responses)

    def _own_slopes(self, history: Tensor) -> Tensor:
        """Derivative of the own part with respect to the own past, (n_states, order, n_regions)."""
        past = history.clamp(self.lower, self.upper)
        features = own_features(past.mT, self.directions, self.offsets)
        slopes = ((1 - features.square()) * self.weights.T) @ self.directions.T
        return (slopes.mT + self.own_lags) * (past == history)

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "n_regions": self.n_regions,
            "order": self.order,
            "n_features": self.n_features,
            "n_states": self.n_states,
            "n_inputs": self.n_inputs,
        }


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    return [_fit_one(recording, settings) for recording in recordings]


def _fit_one(recording: PreparedRecording, settings: FitSettings) -> FamilyFit:
    problem = prepare_problem(recording, settings.device)
    errors = heldout_mse(problem)
    n_folds = len(recording.folds)
    # The least error: within one standard error of it, coupling that is weak but there is shrunk away, and the held-out
    # error of the blocks' own choices is higher.
    chosen = int(errors.mean(0).argmin())
    per_fold = [int(errors[np.arange(n_folds) != k].mean(0).argmin()) for k in range(n_folds)]
    solutions = solve_all(problem, chosen, per_fold)
    prediction = np.stack([solution.heldout for solution in solutions], axis=1)
    residual = np.stack([solution.residual for solution in solutions], axis=1)
    coupling_penalty, feature_penalty = CANDIDATES[chosen]
    return FamilyFit(
        models=(_model(problem, [solution.weights for solution in solutions]),),
        order=recording.order_max,
        penalty=coupling_penalty,
        selection=_table(errors, chosen, recording.order_max),
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean(residual**2)),
        details={"feature_penalty": feature_penalty, "n_features": N_FEATURES},
    )


def _model(problem: Problem, weights: list[Weights]) -> LocalNonlinear:
    n_samples, order, n = problem.histories.shape
    spaced = torch.linspace(0, n_samples - 1, min(N_STATES, n_samples)).round().long()
    model = LocalNonlinear(n, order, problem.basis.directions.shape[1], len(spaced))
    values = {
        "coupling": torch.stack([item.coupling for item in weights], dim=-1),
        "own_lags": torch.stack([item.own_lags for item in weights], dim=-1),
        "directions": problem.basis.directions,
        "offsets": problem.basis.offsets,
        "weights": torch.stack([item.features for item in weights], dim=-1),
        "constant": torch.stack([item.constant for item in weights]),
        "lower": problem.histories.amin((0, 1)),
        "upper": problem.histories.amax((0, 1)),
        "states": problem.histories[spaced.to(problem.histories.device)],
    }
    for name, value in values.items():
        # Contiguous, as it is after reading from a file: products of another layout round differently.
        setattr(model, name, value.detach().cpu().clone(memory_format=torch.contiguous_format))
    return model


def _table(errors: Tensor, chosen: int, order: int) -> list[dict[str, float]]:
    n_folds = len(errors)
    return [
        {
            "order": order,
            "penalty": coupling,
            "feature_penalty": feature,
            "heldout_mse": float(errors[:, k].mean()),
            "heldout_mse_se": float(errors[:, k].std() / n_folds**0.5),
            "selected": float(k == chosen),
        }
        for k, (coupling, feature) in enumerate(CANDIDATES)
    ]


FAMILY = Family(name="local-nonlinear", fit=_fit, build=LocalNonlinear)
