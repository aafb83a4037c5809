"""A small multilayer perceptron on top of ridge VAR: f(x) = linear(x) + g(x).

g starts at zero and is kept only as far as it lowers the error on held-out blocks, so that the surrogate is
never far worse than the linear one. All folds, initialisations and recordings are trained in one stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.families.ridge_var import LinearVAR, ridge_weights
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.training import Trained, TrainingSettings, TrainingTask, train
from bids_ai.surrogate.usable import FloatArray

DEFAULTS = {"learning_rate": 3e-3, "weight_decay": 1e-2, "batch_size": 256, "max_steps": 3000, "hidden": 0}
"""`hidden` 0 lets the width follow the data."""

MIN_HIDDEN, MAX_HIDDEN = 8, 128
VALUES_PER_WEIGHT = 4
"""Training values (samples x regions) per weight of the network: bounds the width for short scans."""

AVERAGING = 0.98
"""Decay of the running mean of the weights: the last 50 steps or so."""

FOLD_SEED, MEMBER_SEED = 0, 1
"""First element of the seed path: networks of the folds, and of the ensemble."""


class Correction(nn.Module):
    """The nonlinear part g: (n, order, n_regions) -> (n, n_regions), zero at the start.

    | layer | shape |
    |---|---|
    | hidden | (order * n_regions, hidden), tanh |
    | output | (hidden, n_regions) |
    """

    def __init__(self, n_regions: int, order: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(order * n_regions, hidden)
        self.output = nn.Linear(hidden, n_regions)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self._start_at_regions(n_regions, hidden)

    @torch.no_grad()
    def _start_at_regions(self, n_regions: int, hidden: int) -> None:
        """Let every hidden unit start as a sigmoid of the newest frame of one region.

        Brains are networks of saturating regions, x(t+1) = S(x) W; from a dense random start the network
        first fits noise, and stops before it has found the regions.
        """
        units = torch.arange(hidden)
        region = torch.randperm(n_regions).repeat(hidden // n_regions + 1)[:hidden]
        gain = (1 + torch.rand(hidden)) * torch.where(torch.rand(hidden) > 0.5, 1.0, -1.0)
        self.hidden.weight.mul_(0.1)
        self.hidden.weight[units, self.hidden.in_features - n_regions + region] += gain
        self.hidden.bias.copy_(0.5 * torch.randn(hidden))

    def forward(self, history: Tensor) -> Tensor:
        """Correction of the linear prediction."""
        out: Tensor = self.output(torch.tanh(self.hidden(history.flatten(-2))))
        return out


class ResidualMLP(SurrogateModel):
    """Ridge VAR plus a perceptron with one hidden layer (tanh), float32."""

    def __init__(self, n_regions: int, order: int, hidden: int, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.linear = LinearVAR(n_regions, order, dtype=torch.float32)
        self.correction = Correction(n_regions, order, hidden)

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        out: Tensor = self.linear.step(history) + self.correction(history)
        return out

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "n_regions": self.n_regions,
            "order": self.order,
            "hidden": self.correction.hidden.out_features,
            "n_inputs": self.n_inputs,
        }


def hidden_width(recording: PreparedRecording, order: int) -> int:
    """Width that keeps the number of weights below the number of training values / VALUES_PER_WEIGHT."""
    width = recording.n_samples / (VALUES_PER_WEIGHT * (order + 1))
    return int(np.clip(width, MIN_HIDDEN, MAX_HIDDEN))


def initialised(build: Any, seed: int) -> Any:
    """Build a module from a seed without touching the global random state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def _fit(
    recordings: Sequence[PreparedRecording], linear: Sequence[FamilyFit], settings: FitSettings
) -> list[FamilyFit]:
    """Fit recordings that share order and width together; others in turn."""
    options: dict[str, Any] = {**DEFAULTS, **settings.options}
    groups: dict[tuple[int, int], list[int]] = {}
    for position, (recording, base) in enumerate(zip(recordings, linear, strict=True)):
        hidden = int(options["hidden"]) or hidden_width(recording, base.order)
        groups.setdefault((base.order, hidden), []).append(position)
    fits: dict[int, FamilyFit] = {}
    for (order, hidden), members in groups.items():
        jobs = [_Job(recordings[i], linear[i], order, hidden, options, settings) for i in members]
        fits.update(zip(members, _fit_jobs(jobs), strict=True))
    return [fits[position] for position in range(len(recordings))]


class _Job:
    """One recording, its linear fit, and what its networks are trained with."""

    def __init__(
        self,
        recording: PreparedRecording,
        linear: FamilyFit,
        order: int,
        hidden: int,
        options: dict[str, Any],
        settings: FitSettings,
    ) -> None:
        self.recording, self.linear, self.order, self.hidden = recording, linear, order, hidden
        self.options, self.settings = options, settings
        self.design = recording.histories(order).reshape(recording.n_samples, -1)
        self.frames = torch.as_tensor(np.nan_to_num(recording.series), dtype=torch.float32)
        self.targets = torch.as_tensor(recording.targets)
        # The network is trained on residuals of SD 1, whatever share of the signal is left to explain.
        self.scale = np.sqrt(linear.train_mse)

    def task(
        self, weights: FloatArray, samples: IntArray, stop: IntArray | None, n_steps: int, *path: int
    ) -> TrainingTask:
        """Network to train on what the linear weights leave unexplained."""
        recording, settings = self.recording, self.settings
        seed = member_seed(settings.seed, recording.name, *path)
        network = initialised(lambda: Correction(recording.n_regions, self.order, self.hidden), seed)
        residual = (recording.next_frames() - self.design @ weights) / self.scale
        return TrainingTask(
            network=network,
            frames=self.frames,
            targets=self.targets,
            goal=torch.as_tensor(residual, dtype=torch.float32),
            train=torch.as_tensor(samples),
            validation=None if stop is None else torch.as_tensor(stop),
            n_steps=n_steps,
            seed=seed,
        )

    def fold_weights(self, k: int) -> FloatArray:
        """Ridge coefficients trained without fold k."""
        train_on = self.recording.folds[k].train(self.recording.n_samples)
        assert self.linear.penalty is not None
        return ridge_weights(self.recording, train_on, self.order, self.linear.penalty)

    def fold_task(self, k: int) -> TrainingTask:
        """Network of fold k: tested there, stopped on the next fold, trained on the rest."""
        folds, n = self.recording.folds, self.recording.n_samples
        stopping = folds[(k + 1) % len(folds)]
        outer = folds[k].train(n)
        samples = np.intersect1d(outer, stopping.train(n))
        stop = np.intersect1d(outer, np.arange(stopping.test.start, stopping.test.stop))
        return self.task(self.fold_weights(k), samples, stop, int(self.options["max_steps"]), FOLD_SEED, k)

    def member_task(self, member: int, n_steps: int) -> TrainingTask:
        """Network of the ensemble, trained on everything for as long as the folds found useful."""
        weights = self.linear_coefficients().reshape(-1, self.recording.n_regions)
        everything = np.arange(self.recording.n_samples)
        return self.task(weights, everything, None, n_steps, MEMBER_SEED, member)

    def linear_coefficients(self) -> FloatArray:
        model = self.linear.models[0]
        assert isinstance(model, LinearVAR)
        coefficients: FloatArray = model.coefficients.numpy()
        return coefficients


def _fit_jobs(jobs: Sequence[_Job]) -> list[FamilyFit]:
    first = jobs[0]
    how = TrainingSettings(
        order=first.order,
        batch_size=int(first.options["batch_size"]),
        learning_rate=first.options["learning_rate"],
        weight_decay=first.options["weight_decay"],
        averaging=AVERAGING,
    )
    device, n_folds = first.settings.device, len(first.recording.folds)
    ensemble = first.settings.ensemble
    folds = train([job.fold_task(k) for job in jobs for k in range(n_folds)], how, device)
    by_job = [folds[i * n_folds : (i + 1) * n_folds] for i in range(len(jobs))]
    steps = [int(np.median([trained.step for trained in trained_folds])) for trained_folds in by_job]
    tasks = [job.member_task(member, n) for job, n in zip(jobs, steps, strict=True) for member in range(ensemble)]
    members = train(tasks, how, device)
    return [
        _family_fit(job, by_job[i], members[i * ensemble : (i + 1) * ensemble], steps[i]) for i, job in enumerate(jobs)
    ]


def _model(job: _Job, coefficients: FloatArray, state: dict[str, Tensor]) -> ResidualMLP:
    model = ResidualMLP(job.recording.n_regions, job.order, job.hidden)
    shape = (job.order, job.recording.n_regions, job.recording.n_regions)
    model.linear.coefficients = torch.as_tensor(coefficients.reshape(shape), dtype=torch.float32)
    model.correction = _correction(job, state)
    return model.eval()


def _correction(job: _Job, state: dict[str, Tensor]) -> Correction:
    """Trained correction, its output in SD units again."""
    correction = Correction(job.recording.n_regions, job.order, job.hidden)
    correction.load_state_dict(state)
    with torch.no_grad():
        correction.output.weight.mul_(job.scale)
        correction.output.bias.mul_(job.scale)
    return correction


def _family_fit(job: _Job, folds: list[Trained], members: list[Trained], n_steps: int) -> FamilyFit:
    recording = job.recording
    history = torch.as_tensor(recording.histories(job.order), dtype=torch.float32)
    # The correction is added to the held-out predictions of the linear model as it was judged, so that the
    # gain over it is the gain of the correction and nothing else.
    prediction = job.linear.heldout.prediction.copy()
    with torch.no_grad():
        for fold, trained in zip(recording.folds, folds, strict=True):
            prediction[fold.test] += _correction(job, trained.state)(history[fold.test]).double().numpy()
        models = tuple(_model(job, job.linear_coefficients(), trained.state) for trained in members)
        fitted = torch.stack([model.predict(history) for model in models]).mean(0).double().numpy()
    return FamilyFit(
        models=models,
        order=job.order,
        penalty=job.linear.penalty,
        selection=job.linear.selection,
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean((recording.next_frames() - fitted) ** 2)),
        details={
            "hidden": job.hidden,
            "n_steps": n_steps,
            "fold_steps": [trained.step for trained in folds],
            "fold_validation_losses": [list(trained.validation_losses) for trained in folds],
        },
        split_half_r=None,
    )


FAMILY = Family(name="mlp", fit=_fit, build=ResidualMLP, defaults=DEFAULTS)
