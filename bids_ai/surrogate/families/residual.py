"""Residual families: f(x) = linear(x) + g(x), a trained correction g on top of ridge VAR.

g starts at zero and is kept only as far as it lowers the error on held-out blocks, so that the surrogate is
never far worse than the linear one. All folds, initialisations and recordings are trained in one stack. A family
gives the network g and a rule by which its width follows the data; the rest is here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bids_ai.surrogate.base import Family, FamilyFit, FitSettings, HeldOut, SurrogateModel
from bids_ai.surrogate.families.layers import Dense, Stackable
from bids_ai.surrogate.families.ridge_var import LinearVAR, ridge_weights
from bids_ai.surrogate.lags import IntArray
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.seeds import member_seed
from bids_ai.surrogate.training import Trained, TrainingSettings, TrainingTask, train
from bids_ai.surrogate.usable import FloatArray

DEFAULTS = {"learning_rate": 3e-3, "weight_decay": 0.1, "batch_size": 0, "max_steps": 10000}
"""A batch size of 0 follows the data (`batch_size`)."""

SMALLEST_BATCH, LARGEST_BATCH, BATCHES_PER_EPOCH = 64, 256, 32
"""Of up to 3000 frames of bistable, chaotic and saturating networks, batches of 64 left a smaller held-out error than
256 in half the time; of 10 000 frames of a chaotic one, they did not come as far in the steps there are."""

VALUES_PER_WEIGHT = 4
"""Training values (samples x regions) per weight of the network: bounds the width for short scans."""

WIDTH_STEP = 8
"""Widths are multiples of this, so that scans of nearly the same length share a stack."""

AVERAGING = 0.98
"""Decay of the running mean of the weights: the last 50 steps or so."""

FOLD_SEED, MEMBER_SEED = 0, 1
"""First element of the seed path: networks of the folds, and of the ensemble."""


class Correction(Stackable):
    """The nonlinear part g: (..., n, order, n_regions) -> (..., n, n_regions), zero at the start.

    Subclasses take (n_regions, order, width) and end in the dense layer `output`.
    """

    output: Dense

    def rescale(self, factor: float) -> None:
        """Multiply what the network gives."""
        with torch.no_grad():
            self.output.weight.mul_(factor)
            self.output.bias.mul_(factor)


BuildCorrection = Callable[[int, int, int], Correction]
WidthRule = Callable[[PreparedRecording, int], int]


def width_between(least: int, most: int) -> WidthRule:
    """Rule that keeps the number of weights below the number of training values / VALUES_PER_WEIGHT.

    Returns
    -------
    callable
        (recording, order) -> width within the limits. Counted for a network of one hidden layer.
    """

    def rule(recording: PreparedRecording, order: int) -> int:
        width = recording.n_samples / (VALUES_PER_WEIGHT * (order + 1))
        return int(np.clip(width // WIDTH_STEP * WIDTH_STEP, least, most))

    return rule


def batch_size(recording: PreparedRecording) -> int:
    """Samples per step: a share of the recording, in multiples of the smallest so that near lengths share a stack."""
    multiple = recording.n_samples // (BATCHES_PER_EPOCH * SMALLEST_BATCH)
    return int(np.clip(multiple * SMALLEST_BATCH, SMALLEST_BATCH, LARGEST_BATCH))


class ResidualModel(SurrogateModel):
    """Ridge VAR plus a correction, float32."""

    def __init__(self, build: BuildCorrection, n_regions: int, order: int, width: int, n_inputs: int = 0) -> None:
        super().__init__(n_regions, order, n_inputs)
        self.width = width
        self.linear = LinearVAR(n_regions, order, dtype=torch.float32)
        self.correction = build(n_regions, order, width)

    def step(self, history: Tensor) -> Tensor:
        """Next frame: (..., order, n_regions) -> (..., n_regions)."""
        out: Tensor = self.linear.step(history) + self.correction(history)
        return out

    def hyperparameters(self) -> dict[str, Any]:
        """Return the arguments of the constructor, less the family's own."""
        return {"n_regions": self.n_regions, "order": self.order, "width": self.width, "n_inputs": self.n_inputs}


Network = TypeVar("Network", bound=nn.Module)


def initialised(build: Callable[[], Network], seed: int) -> Network:
    """Build a module from a seed without touching the global random state."""
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)  # that of torch as a whole would reseed every device, slowly
        return build()
    finally:
        torch.set_rng_state(before)


@dataclass(frozen=True)
class _Plan:
    """What a residual family is made of."""

    build: BuildCorrection
    width: WidthRule
    width_option: str
    all_lags: bool
    defaults: Mapping[str, Any]


def residual_family(
    name: str,
    build: BuildCorrection,
    *,
    width: WidthRule,
    width_option: str = "hidden",
    all_lags: bool = False,
    defaults: Mapping[str, Any] | None = None,
) -> Family:
    """Make a family from a correction.

    Parameters
    ----------
    name : str
    build : callable
        (n_regions, order, width) -> untrained Correction.
    width : callable
        (recording, order) -> width, from `width_between` or of the family's own.
    width_option : str, default="hidden"
        Name of the option that sets the width; its default 0 lets the width follow the data.
    all_lags : bool, default=False
        Read all `order_max` lags (families that work along them), not only those that ridge VAR chose.
    defaults : mapping, optional
        Options over `DEFAULTS`; "unroll" and "forcing" train over several steps.
    """
    filled = {**DEFAULTS, width_option: 0, **(defaults or {})}
    plan = _Plan(build, width, width_option, all_lags, filled)
    model = partial(ResidualModel, build)
    return Family(
        name=name,
        fit=partial(_by_stack, plan, _fit_jobs),
        build=model,
        defaults=filled,
        trained=True,
        scout=partial(_by_stack, plan, _scout_jobs),
    )


def _by_stack(
    plan: _Plan,
    fit_jobs: Callable[[Sequence[_Job]], list[FamilyFit]],
    recordings: Sequence[PreparedRecording],
    linear: Sequence[FamilyFit],
    settings: FitSettings,
) -> list[FamilyFit]:
    """Fit recordings that share order, width and batch size together; others in turn."""
    options: dict[str, Any] = {**plan.defaults, **settings.options}
    groups: dict[tuple[int, int, int], list[int]] = {}
    for position, (recording, base) in enumerate(zip(recordings, linear, strict=True)):
        order = recording.order_max if plan.all_lags else base.order
        width = int(options[plan.width_option]) or plan.width(recording, order)
        batch = int(options["batch_size"]) or batch_size(recording)
        groups.setdefault((order, width, batch), []).append(position)
    fits: dict[int, FamilyFit] = {}
    for (order, width, batch), members in groups.items():
        own = {**options, "batch_size": batch}
        jobs = [_Job(plan, recordings[i], linear[i], order, width, own, settings) for i in members]
        fits.update(zip(members, fit_jobs(jobs), strict=True))
    return [fits[position] for position in range(len(recordings))]


class _Job:
    """One recording, its linear fit, and what its networks are trained with."""

    def __init__(
        self,
        plan: _Plan,
        recording: PreparedRecording,
        linear: FamilyFit,
        order: int,
        width: int,
        options: dict[str, Any],
        settings: FitSettings,
    ) -> None:
        self.plan, self.recording, self.linear, self.order, self.width = plan, recording, linear, order, width
        self.options, self.settings = options, settings
        self.unroll = int(options.get("unroll", 1))
        self.design = recording.histories(order).reshape(recording.n_samples, -1)
        self.frames = torch.as_tensor(np.nan_to_num(recording.series), dtype=torch.float32)
        self.targets = torch.as_tensor(recording.targets)
        # The network is trained on residuals of SD 1, whatever share of the signal is left to explain.
        self.scale = float(np.sqrt(linear.train_mse))
        self.template = self.network(settings.seed)

    def training(self) -> TrainingSettings:
        """How the networks are trained; the same for all jobs of a stack."""
        return TrainingSettings(
            order=self.order,
            batch_size=int(self.options["batch_size"]),
            learning_rate=self.options["learning_rate"],
            weight_decay=self.options["weight_decay"],
            averaging=AVERAGING,
            unroll=self.unroll,
            forcing=self.options.get("forcing", 1.0),
        )

    def network(self, seed: int) -> Correction:
        """Untrained correction from a seed."""
        return initialised(lambda: self.plan.build(self.recording.n_regions, self.order, self.width), seed)

    def task(
        self, weights: FloatArray, samples: IntArray, stop: IntArray | None, n_steps: int, *path: int
    ) -> TrainingTask:
        """Network to train on what the linear weights leave unexplained."""
        seed = member_seed(self.settings.seed, self.recording.name, *path)
        residual = (self.recording.next_frames() - self.design @ weights) / self.scale
        return TrainingTask(
            network=self.network(seed),
            frames=self.frames,
            targets=self.targets,
            goal=torch.as_tensor(residual, dtype=torch.float32),
            train=torch.as_tensor(samples),
            validation=None if stop is None else torch.as_tensor(stop),
            n_steps=n_steps,
            seed=seed,
            linear=torch.as_tensor(weights, dtype=torch.float32) if self.unroll > 1 else None,
            scale=self.scale,
        )

    def fold_weights(self, k: int) -> FloatArray:
        """Ridge coefficients trained without fold k, zero at lags that ridge VAR did not choose."""
        train_on = self.recording.folds[k].train(self.recording.n_samples)
        assert self.linear.penalty is not None
        return self._over_all_lags(ridge_weights(self.recording, train_on, self.linear.order, self.linear.penalty))

    def linear_weights(self) -> FloatArray:
        """Ridge coefficients of the final model, (order * n_regions, n_regions)."""
        model = self.linear.models[0]
        assert isinstance(model, LinearVAR)
        return self._over_all_lags(model.coefficients.flatten(0, 1).numpy())

    def _over_all_lags(self, weights: FloatArray) -> FloatArray:
        missing = self.order * self.recording.n_regions - len(weights)
        return np.pad(weights, ((missing, 0), (0, 0)))

    def fold_task(self, k: int) -> TrainingTask:
        """Network of fold k: tested there, stopped on the next fold, trained on the rest."""
        folds, n = self.recording.folds, self.recording.n_samples
        stopping = folds[(k + 1) % len(folds)]
        outer = folds[k].train(n)
        samples = np.intersect1d(outer, stopping.train(n))
        stop = np.intersect1d(outer, np.arange(stopping.test.start, stopping.test.stop))
        return self.task(self.fold_weights(k), samples, stop, int(self.options["max_steps"]), FOLD_SEED, k)

    def heldout(self, trained: Trained, k: int) -> FloatArray:
        """Prediction of fold k by the linear model and the network that was trained without it.

        The correction is added to the held-out predictions of the linear model as it was judged, so that the gain over
        it is the gain of the correction and nothing else.
        """
        test = self.recording.folds[k].test
        prediction: FloatArray = self.linear.heldout.prediction[test].copy()
        if trained.step > 0:  # else zero but for rounding, which must not pass for a gain
            history = torch.as_tensor(self.design[test], dtype=torch.float32).unflatten(1, (self.order, -1))
            with torch.no_grad():
                prediction += self.correction(trained.state)(history).double().numpy()
        return prediction

    def member_task(self, member: int, n_steps: int) -> TrainingTask:
        """Network of the ensemble, trained on everything for as long as the folds found useful."""
        everything = np.arange(self.recording.n_samples)
        return self.task(self.linear_weights(), everything, None, n_steps, MEMBER_SEED, member)

    def correction(self, state: dict[str, Tensor]) -> Correction:
        """Trained correction, its output in SD units again."""
        correction = copy.deepcopy(self.template)
        correction.load_state_dict(state)
        correction.rescale(self.scale)
        return correction

    def model(self, state: dict[str, Tensor]) -> ResidualModel:
        """Linear part and trained correction."""
        n_regions = self.recording.n_regions
        model = ResidualModel(lambda *_: self.correction(state), n_regions, self.order, self.width)
        coefficients = self.linear_weights().reshape(self.order, n_regions, n_regions)
        model.linear.coefficients = torch.as_tensor(coefficients, dtype=torch.float32)
        return model.eval()


def _scout_jobs(jobs: Sequence[_Job]) -> list[FamilyFit]:
    """Train the networks of the first fold only."""
    trained = train([job.fold_task(0) for job in jobs], jobs[0].training(), jobs[0].settings.device)
    return [_scout_fit(job, network) for job, network in zip(jobs, trained, strict=True)]


def _scout_fit(job: _Job, trained: Trained) -> FamilyFit:
    test = job.recording.folds[0].test
    return FamilyFit(
        models=(),
        order=job.order,
        penalty=job.linear.penalty,
        selection=job.linear.selection,
        heldout=HeldOut(np.arange(test.start, test.stop), job.heldout(trained, 0)),
        train_mse=float("nan"),
    )


def _fit_jobs(jobs: Sequence[_Job]) -> list[FamilyFit]:
    how, device = jobs[0].training(), jobs[0].settings.device
    n_folds, ensemble = len(jobs[0].recording.folds), jobs[0].settings.ensemble
    folds = train([job.fold_task(k) for job in jobs for k in range(n_folds)], how, device)
    by_job = [folds[i * n_folds : (i + 1) * n_folds] for i in range(len(jobs))]
    steps = [int(np.median([trained.step for trained in trained_folds])) for trained_folds in by_job]
    tasks = [job.member_task(member, n) for job, n in zip(jobs, steps, strict=True) for member in range(ensemble)]
    members = train(tasks, how, device)
    return [
        _family_fit(job, by_job[i], members[i * ensemble : (i + 1) * ensemble], steps[i]) for i, job in enumerate(jobs)
    ]


def _family_fit(job: _Job, folds: list[Trained], members: list[Trained], n_steps: int) -> FamilyFit:
    recording = job.recording
    history = torch.as_tensor(recording.histories(job.order), dtype=torch.float32)
    prediction = np.concatenate([job.heldout(trained, k) for k, trained in enumerate(folds)])
    with torch.no_grad():
        models = tuple(job.model(trained.state) for trained in members)
        fitted = torch.stack([model.predict(history) for model in models]).mean(0).double().numpy()
    return FamilyFit(
        models=models,
        order=job.order,
        penalty=job.linear.penalty,
        selection=job.linear.selection,
        heldout=HeldOut(np.arange(recording.n_samples), prediction),
        train_mse=float(np.mean((recording.next_frames() - fitted) ** 2)),
        details={
            job.plan.width_option: job.width,
            "n_steps": n_steps,
            "fold_steps": [trained.step for trained in folds],
            "fold_validation_losses": [list(trained.validation_losses) for trained in folds],
        },
        split_half_r=None,
    )
