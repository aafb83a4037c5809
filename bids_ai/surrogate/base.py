"""What every fitted surrogate is: a torch module that predicts the next frame from a history.

Units inside are standardised (SD of each region). Histories are (n_samples, order, n_regions), oldest lag
first and the NEWEST LAG LAST. Inputs u(t) are (n_samples, n_inputs) and zero at rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bids_ai.errors import InputError
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray

NOISE_STEPS = 64
"""Steps whose innovations are drawn at once: a draw per step costs more than the step."""


class SurrogateModel(nn.Module):
    """Base of all families: subclasses implement `step` and `hyperparameters`.

    Parameters
    ----------
    n_regions, order : int
        Number of (kept) regions and of lags.
    n_inputs : int, default=0
        Number of inputs u(t). A model fitted at rest has none; a linear pathway into every region can be set
        through the buffer `input_weights` (n_inputs, n_regions). Families with their own pathway override
        `predict`.
    """

    def __init__(self, n_regions: int, order: int, n_inputs: int = 0) -> None:
        super().__init__()
        self.n_regions = n_regions
        self.order = order
        self.n_inputs = n_inputs
        self.register_buffer("input_weights", torch.zeros(n_inputs, n_regions))
        self.input_weights: Tensor

    def step(self, history: Tensor) -> Tensor:
        """Next frame without input: (..., order, n_regions) -> (..., n_regions)."""
        raise NotImplementedError

    def analytic_response(self, horizon: int) -> Tensor | None:
        """Response to a unit push of each region, known without simulation.

        Returns
        -------
        (horizon, n_regions, n_regions) tensor or None
            Entry (k, i, j): change of region j, k + 1 steps after region i was pushed by 1 SD. None where the
            response depends on the state, and has to be simulated.
        """
        return None

    def hyperparameters(self) -> dict[str, Any]:
        """Return JSON-able arguments from which the family builds the same architecture again."""
        raise NotImplementedError

    def predict(self, history: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Expected next frame.

        Parameters
        ----------
        history : (n_samples, order, n_regions) tensor
            SD units, newest lag last.
        inputs : (n_samples, n_inputs) tensor, optional
            u(t); None is rest, that is zero.

        Returns
        -------
        (n_samples, n_regions) tensor
        """
        following = self.step(history)
        if inputs is None:
            return following
        if inputs.shape[-1] != self.n_inputs:
            raise InputError(f"The model takes {self.n_inputs} inputs, got {inputs.shape[-1]}.")
        return following + inputs @ self.input_weights

    def forward(self, history: Tensor, inputs: Tensor | None = None) -> Tensor:
        """Alias of `predict`, for torch."""
        return self.predict(history, inputs)

    def simulate(
        self,
        n_steps: int,
        initial: Tensor,
        noise_cov: Tensor | None = None,
        generator: torch.Generator | None = None,
        inputs: Tensor | None = None,
    ) -> Tensor:
        """Free-running trajectories: each prediction, plus an innovation, becomes part of the next history.

        Parameters
        ----------
        n_steps : int
        initial : (n_chains, order, n_regions) tensor
            Histories to start from.
        noise_cov : (n_regions, n_regions) tensor, optional
            Innovation covariance (SD units); None runs without noise.
        generator : torch.Generator, optional
            On the CPU, so that a trajectory does not depend on the device.
        inputs : (n_steps, n_chains, n_inputs) tensor, optional

        Returns
        -------
        (n_chains, n_steps, n_regions) tensor
        """
        history = initial
        factor = None if noise_cov is None else covariance_factor(noise_cov).to(initial)
        shape = (NOISE_STEPS, len(initial), self.n_regions)
        frames = []
        with torch.no_grad():
            for step in range(n_steps):
                following = self.predict(history, None if inputs is None else inputs[step])
                if factor is not None:
                    if step % NOISE_STEPS == 0:
                        white = torch.randn(shape, generator=generator, dtype=torch.float64)
                        noise = white.to(initial) @ factor.T
                    following = following + noise[step % NOISE_STEPS]
                history = torch.cat([history[:, 1:], following[:, None]], dim=1)
                frames.append(following)
        return torch.stack(frames, dim=1)


def covariance_factor(covariance: Tensor) -> Tensor:
    """Symmetric square root of a covariance; unlike Cholesky it takes a singular one."""
    values, vectors = torch.linalg.eigh(covariance.double())
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T


@dataclass(frozen=True)
class FitSettings:
    """Settings that all families share.

    Parameters
    ----------
    ensemble : int
        Initialisations of a family that has any.
    seed : int
    device : torch.device
    options : mapping
        Options of the family, over its defaults.
    """

    ensemble: int
    seed: int
    device: torch.device
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HeldOut:
    """Predictions of frames that were not seen in training.

    Parameters
    ----------
    positions : (n_heldout,) int
        Which samples (positions in the targets), increasing.
    prediction : (n_heldout, n_regions) array
        SD units.
    """

    positions: IntArray
    prediction: FloatArray


@dataclass(frozen=True)
class FamilyFit:
    """What a family returns for one recording.

    Parameters
    ----------
    models : tuple of SurrogateModel
        The ensemble; one model for a closed form.
    order : int
    penalty : float or None
    selection : list of dict
        The table the choice was made from, one row per candidate.
    heldout : HeldOut
    train_mse : float
        Mean squared error on the training frames of the final model(s), SD units squared.
    details : dict
        JSON-able: steps taken, widths, losses.
    split_half_r : float or None
        Correlation of the off-diagonal coefficients of the two halves, where that is cheap.
    """

    models: tuple[SurrogateModel, ...]
    order: int
    penalty: float | None
    selection: list[dict[str, float]]
    heldout: HeldOut
    train_mse: float
    details: dict[str, Any] = field(default_factory=dict)
    split_half_r: float | None = None


class FitFunction(Protocol):
    """Fit of a batch of recordings that all have the same number of kept regions."""

    def __call__(
        self,
        recordings: Sequence[PreparedRecording],
        linear: Sequence[FamilyFit],
        settings: FitSettings,
    ) -> list[FamilyFit]:
        """Return one fit per recording, independent of the others in the batch."""
        ...


@dataclass(frozen=True)
class Family:
    """A surrogate family: one file, one line in the registry.

    Parameters
    ----------
    name : str
    fit : FitFunction
        Takes the prepared recordings and the ridge VAR fits they are compared with (and may build upon).
    build : callable
        Hyperparameters -> untrained model of the same architecture.
    defaults : mapping
        Options and their defaults.
    min_order : int
        Number of lags that it reads at least.
    fallback_to_linear : bool
        Whether the linear model replaces one that does not predict better. False for the linear family
        itself and for presets that exist to be compared with.
    trained : bool
        Whether it is trained step by step, from initialisations.
    scout : FitFunction, optional
        Trains for the first held-out block only: fits without models, whose held-out predictions are of that block.
        With it a family can leave the race of `auto` before it is trained in full.
    """

    name: str
    fit: FitFunction
    build: Callable[..., SurrogateModel]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    min_order: int = 1
    fallback_to_linear: bool = True
    trained: bool = False
    scout: FitFunction | None = None
