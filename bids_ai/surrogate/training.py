"""Training of many small networks at once: all folds, initialisations and recordings in one stack.

The networks share an architecture; their weights are stacked and run by `torch.func.vmap`, which turns every
linear layer into one batched product. Each network has its own data, its own order of batches and its own
early stopping, and Adam works element by element, so that a network does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bids_ai.surrogate.adam import Adam
from bids_ai.surrogate.device import memory_budget


@dataclass(frozen=True)
class TrainingTask:
    """One network to train.

    Parameters
    ----------
    network : nn.Module
        Maps (n, order, n_regions) to (n, n_regions); its weights are the initialisation.
    frames : (n_times, n_regions) tensor
        Where histories are read from; unusable rows may hold anything finite, they are never read.
    targets : (n_samples,) tensor
        Frame index of every sample; its history are the `order` frames before.
    goal : (n_samples, n_regions) tensor
        What the network has to give.
    train : (n_train,) tensor
        Positions of the samples to train on.
    validation : (n_validation,) tensor or None
        Positions to stop on. None trains for `n_steps`.
    n_steps : int
        Largest (with validation) or exact (without) number of steps.
    seed : int
        Of the order of the batches.
    """

    network: nn.Module
    frames: Tensor
    targets: Tensor
    goal: Tensor
    train: Tensor
    validation: Tensor | None
    n_steps: int
    seed: int


@dataclass(frozen=True)
class TrainingSettings:
    """Optimiser and stopping rule.

    Parameters
    ----------
    order : int
        Lags.
    batch_size : int
    learning_rate : float
    weight_decay : float
    decoupled : bool
        AdamW instead of Adam with an L2 penalty.
    check_every : int
        Steps between validations.
    patience : int
        Validations without improvement after which a network stops.
    averaging : float
        Decay per step of the running mean of the weights (Polyak averaging), which is what is validated and
        kept; 0 keeps the weights themselves. It takes the noise of single batches out of small corrections.
    """

    order: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    decoupled: bool = True
    check_every: int = 25
    patience: int = 12
    averaging: float = 0.0


@dataclass(frozen=True)
class Trained:
    """State of a network at its best (or last) step, and its validation losses at every check."""

    state: dict[str, Tensor]
    step: int
    validation_losses: tuple[float, ...]


def train(tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device) -> list[Trained]:
    """Train all tasks; as many at a time as the memory holds.

    Returns
    -------
    list of Trained
        On the CPU, in the order of the tasks.
    """
    out: list[Trained] = []
    size = _stack_size(tasks, settings, device)
    for start in range(0, len(tasks), size):
        out += _Stack(tasks[start : start + size], settings, device).run()
    return out


def _stack_size(tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device) -> int:
    """Count the networks whose data, weights, optimiser state and activations fit the memory."""
    per_task = max(
        4 * (task.frames.numel() + task.goal.numel())
        # weights, gradient, two moments, best state; activations of a validation or a batch
        + 4 * 5 * sum(parameter.numel() for parameter in task.network.parameters())
        + 4 * 4 * settings.order * task.goal.shape[1] * max(settings.batch_size, len(task.goal) // 4)
        for task in tasks
    )
    return max(1, memory_budget(device) // per_task)


class _Stack:
    """A stack of networks in training; those that have stopped leave it."""

    def __init__(self, tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device):
        self.tasks, self.settings, self.device = tasks, settings, device
        base = tasks[0].network
        stacked, buffers = torch.func.stack_module_state([task.network for task in tasks])
        self.params = {key: value.detach().to(device).requires_grad_() for key, value in stacked.items()}
        self.buffers = {key: value.detach().to(device) for key, value in buffers.items()}
        self.mean = {key: value.detach().clone() for key, value in self.params.items()}
        self.active = torch.arange(len(tasks))
        self.optimiser = Adam(
            list(self.params.values()), settings.learning_rate, settings.weight_decay, settings.decoupled
        )
        self.streams = [_batches(task, settings.batch_size) for task in tasks]
        self.frames = _padded([task.frames for task in tasks], device)
        self.goal = _padded([task.goal for task in tasks], device)
        self.targets = _padded([task.targets for task in tasks], device)
        self.lags = torch.arange(-settings.order, 0, device=device)
        self.best = {key: value.detach().cpu().clone() for key, value in self.params.items()}
        self.best_step = [0] * len(tasks)
        self.losses: list[list[float]] = [[] for _ in tasks]

        def one(params: dict[str, Tensor], buffers: dict[str, Tensor], history: Tensor) -> Tensor:
            out: Tensor = torch.func.functional_call(base, (params, buffers), (history,))
            return out

        self.call: Callable[..., Tensor] = torch.func.vmap(one)

    def run(self) -> list[Trained]:
        """Train until every network has stopped."""
        buffers = {key: value.cpu() for key, value in self.buffers.items()}
        if self.tasks[0].validation is None:
            self._run_fixed()
        else:
            self._run_stopped()
        return [
            Trained(
                {key: value[m].clone() for key, value in {**self.best, **buffers}.items()},
                self.best_step[m],
                tuple(self.losses[m]),
            )
            for m in range(len(self.tasks))
        ]

    def _run_fixed(self) -> None:
        wanted = torch.tensor([task.n_steps for task in self.tasks])
        self._leave(wanted == 0)
        step = 0
        while len(self.active):
            self._step()
            step += 1
            done = wanted[self.active] == step
            self._keep(done, step)
            self._leave(done)

    def _run_stopped(self) -> None:
        settings = self.settings
        positions, weights = _index([task.validation for task in self.tasks], self.device)
        lowest = self._validate(positions, weights)
        waited = torch.zeros(len(self.tasks), dtype=torch.int64)
        limit = max(task.n_steps for task in self.tasks)
        for step in range(1, limit + 1):
            self._step()
            if step % settings.check_every:
                continue
            errors = self._validate(positions[self.active], weights[self.active])
            better = errors < lowest[self.active]
            lowest[self.active] = torch.where(better, errors, lowest[self.active])
            waited[self.active] = torch.where(better, 0, waited[self.active] + 1)
            self._keep(better, step)
            self._leave(waited[self.active] >= settings.patience)
            if not len(self.active):
                break

    def _step(self) -> None:
        drawn = [next(stream) for stream in self.streams]
        positions = torch.stack([item[0] for item in drawn]).to(self.device)
        weights = torch.stack([item[1] for item in drawn]).to(self.device)
        # The sum over networks leaves each with the gradient of its own loss.
        loss = self._squared_errors(self.params, positions, weights).sum()
        self.optimiser.step(torch.autograd.grad(loss, list(self.params.values())))
        for key, value in self.params.items():
            self.mean[key].lerp_(value.detach(), 1 - self.settings.averaging)

    def _squared_errors(self, params: dict[str, Tensor], positions: Tensor, weights: Tensor) -> Tensor:
        """Mean squared error of each active network over its samples."""
        rows = self.active.to(self.device)[:, None]
        frames = self.targets[rows, positions]
        history = self.frames[rows[..., None], frames[..., None] + self.lags]
        predicted = self.call(params, self.buffers, history)
        errors = (predicted - self.goal[rows, positions]).square().mean(-1)
        return (errors * weights).sum(1) / weights.sum(1)

    def _validate(self, positions: Tensor, weights: Tensor) -> Tensor:
        with torch.no_grad():
            errors = self._squared_errors(self.mean, positions, weights).cpu()
        for m, error in zip(self.active.tolist(), errors.tolist(), strict=True):
            self.losses[m].append(error)
        return errors

    def _keep(self, chosen: Tensor, step: int) -> None:
        """Store the present weights of the chosen among the active networks."""
        rows = chosen.nonzero()[:, 0]
        for m in self.active[rows].tolist():
            self.best_step[m] = step
        for key, value in self.mean.items():
            self.best[key][self.active[rows]] = value[rows.to(self.device)].cpu()

    def _leave(self, done: Tensor) -> None:
        """Take networks out of the stack."""
        if not done.any():
            return
        staying = (~done).nonzero()[:, 0]
        rows = staying.to(self.device)
        self.active = self.active[staying]
        self.params = {key: value.detach()[rows].requires_grad_() for key, value in self.params.items()}
        self.mean = {key: value[rows] for key, value in self.mean.items()}
        self.buffers = {key: value[rows] for key, value in self.buffers.items()}
        self.streams = [self.streams[row] for row in staying.tolist()]
        self.optimiser.select(rows, list(self.params.values()))


def _batches(task: TrainingTask, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless epochs of shuffled batches; the last of an epoch is padded by samples of weight zero."""
    generator = torch.Generator().manual_seed(task.seed)
    n = len(task.train)
    while True:
        shuffled = task.train[torch.randperm(n, generator=generator)]
        for start in range(0, n, batch_size):
            batch = shuffled[start : start + batch_size]
            padding = batch_size - len(batch)
            yield (
                torch.cat([batch, batch[:1].expand(padding)]),
                torch.cat([torch.ones(len(batch)), torch.zeros(padding)]),
            )


def _padded(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    return nn.utils.rnn.pad_sequence(list(tensors), batch_first=True).to(device)


def _index(positions: Sequence[Tensor | None], device: torch.device) -> tuple[Tensor, Tensor]:
    known = [position for position in positions if position is not None]
    weights = [torch.ones(len(position)) for position in known]
    return _padded(known, device), _padded(weights, device)
