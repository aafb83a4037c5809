"""Training of many small networks at once: all folds, initialisations and recordings in one stack.

The networks share an architecture. Those made of stackable layers run on stacked weights as they are, one batched
product per layer; any other `nn.Module` runs through `torch.func.vmap`. Each network has its own data, its own
order of batches and its own early stopping, and Adam works element by element, so that a network does not depend
on its neighbours.

The loss is the error of the next frame, or that of several steps with generalised teacher forcing.

References
----------
Hess et al. 2023, Generalized teacher forcing for learning chaotic dynamics, ICML, arXiv:2306.04406.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bids_ai.errors import InputError
from bids_ai.surrogate.adam import Adam
from bids_ai.surrogate.device import memory_budget
from bids_ai.surrogate.families.layers import Stackable

CPU_STACK_BYTES = 2**26
"""What a stack on a CPU touches in a step: beyond the caches a larger stack is slower, not faster."""

STEPS_AHEAD = 32
"""Steps whose batches are drawn at once: a draw per network and step costs more than the step."""


@dataclass(frozen=True)
class TrainingTask:
    """One network to train.

    Parameters
    ----------
    network : nn.Module
        Maps (n, order, n_regions) to (n, n_regions); its weights are the initialisation.
    frames : (n_times, n_regions) tensor
        Where histories are read from; unusable rows may hold anything finite, they are never read. Tasks that
        share the tensor share its memory.
    targets : (n_samples,) tensor
        Frame index of every sample, increasing; its history are the `order` frames before.
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
    linear : (order * n_regions, n_regions) tensor, optional
        Linear part of the next frame, which is history @ linear + scale * network(history). Needed to go on from
        predictions, that is where `TrainingSettings.unroll` is above 1; then goal has to be the rest that the
        linear part leaves, over the scale.
    scale : float
        See `linear`.
    """

    network: nn.Module
    frames: Tensor
    targets: Tensor
    goal: Tensor
    train: Tensor
    validation: Tensor | None
    n_steps: int
    seed: int
    linear: Tensor | None = None
    scale: float = 1.0


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
    unroll : int
        Steps predicted from every sample in training. Sequences end where the next frame is no sample to train
        on: at a censored frame, a boundary between runs, a held-out block.
    forcing : float
        Share of the observed frame in the state that the next step of a sequence starts from; the rest is the
        prediction (generalised teacher forcing, alpha in Hess et al. 2023). 1 forces wholly, 0 runs free.
    """

    order: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    decoupled: bool = True
    check_every: int = 25
    patience: int = 12
    averaging: float = 0.0
    unroll: int = 1
    forcing: float = 1.0


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

    Raises
    ------
    InputError
        Where a single network does not fit the memory of the GPU.
    """
    out: list[Trained] = []
    size = _stack_size(tasks, settings, device)
    while len(out) < len(tasks):
        trained = _try_stack(tasks[len(out) : len(out) + size], settings, device)
        if trained is not None:
            out += trained
        elif size == 1:
            raise InputError(
                "The GPU has too little free memory for one network: free it, use a smaller batch_size, or fit with "
                "--device cpu."
            )
        else:
            size = -(-min(size, len(tasks) - len(out)) // 2)
            torch.cuda.empty_cache()
    return out


def _try_stack(tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device) -> list[Trained] | None:
    """Train a stack; None where the memory of the GPU was smaller than estimated (others may have taken it)."""
    try:
        return _Stack(tasks, settings, device).run()
    except torch.cuda.OutOfMemoryError:
        return None


def _stack_size(tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device) -> int:
    """Count the networks whose data, weights, optimiser state and activations fit the memory."""
    per_task, per_step = max(_bytes(task, settings) for task in tasks)
    size = memory_budget(device) // per_task
    if device.type == "cpu":
        size = min(size, CPU_STACK_BYTES // per_step)
    return max(1, size)


def _bytes(task: TrainingTask, settings: TrainingSettings) -> tuple[int, int]:
    """Memory of one network in all, and what a step of it touches."""
    shapes = [parameter.shape for parameter in task.network.parameters()]
    width = sum(shape[-1] for shape in shapes if len(shape) > 1) + task.goal.shape[1]
    n_validation = 0 if task.validation is None else len(task.validation)
    per_sample = 4 * 3 * settings.order * width  # a value, its derivative, a temporary
    # Weights, gradient, two moments, running mean.
    weights = 4 * 5 * sum(shape.numel() for shape in shapes)
    batch = per_sample * settings.unroll * min(settings.batch_size, len(task.train))
    data = 4 * (task.frames.numel() + task.goal.numel())
    return data + weights + max(batch, per_sample * n_validation), weights + batch


class _Stack:
    """A stack of networks in training; those that have stopped leave it."""

    def __init__(self, tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device):
        self.tasks, self.settings, self.device = tasks, settings, device
        self.active = torch.arange(len(tasks))
        self.data = _Data(tasks, settings, device)
        self.call = _Stacked(tasks, device)
        self.mean = self._means()
        self.optimiser = Adam(
            list(self.call.params.values()), settings.learning_rate, settings.weight_decay, settings.decoupled
        )
        self.feed = _Feed(tasks, settings.batch_size, device)
        self.best = {key: value.detach().cpu().clone() for key, value in self.call.params.items()}
        self.best_step = [0] * len(tasks)
        self.losses: list[list[float]] = [[] for _ in tasks]

    def _means(self) -> dict[str, Tensor]:
        """Running mean of the weights: without averaging, the weights themselves."""
        own = {key: value.detach() for key, value in self.call.params.items()}
        return {key: value.clone() for key, value in own.items()} if self.settings.averaging else own

    def run(self) -> list[Trained]:
        """Train until every network has stopped."""
        buffers = {key: value.cpu() for key, value in self.call.buffers.items()}
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
            if done.any():
                self._keep(done, step)
                self._leave(done)

    def _run_stopped(self) -> None:
        settings = self.settings
        validation = self.data.batch(self.active, *_index([task.validation for task in self.tasks], self.device))
        lowest = self._validate(validation)
        waited = torch.zeros(len(self.tasks), dtype=torch.int64)
        limit = max(task.n_steps for task in self.tasks)
        for step in range(1, limit + 1):
            self._step()
            if step % settings.check_every:
                continue
            errors = self._validate(validation)
            better = errors < lowest[self.active]
            lowest[self.active] = torch.where(better, errors, lowest[self.active])
            waited[self.active] = torch.where(better, 0, waited[self.active] + 1)
            self._keep(better, step)
            stopped = waited[self.active] >= settings.patience
            if stopped.any():
                validation = validation.select((~stopped).nonzero()[:, 0].to(self.device))
                self._leave(stopped)
            if not len(self.active):
                break

    def _step(self) -> None:
        params = list(self.call.params.values())
        batch = self.feed.next(self.data, self.active)
        # The sum over networks leaves each with the gradient of its own loss.
        if self.settings.unroll > 1:
            loss = self._sequence_errors(batch).sum()
            gradients = torch.autograd.grad(loss, params, allow_unused=True, materialize_grads=True)
        else:
            predicted = self.call(batch.history)
            slope = (predicted.detach() - batch.goal) * (2 / predicted.shape[-1] * batch.weights)[..., None]
            gradients = torch.autograd.grad(predicted, params, slope, allow_unused=True, materialize_grads=True)
        self.optimiser.step(gradients)
        if self.settings.averaging:
            current = [value.detach() for value in params]
            torch._foreach_lerp_(list(self.mean.values()), current, 1 - self.settings.averaging)

    def _sequence_errors(self, batch: _Batch) -> Tensor:
        """Mean squared error of each network over several steps, with generalised teacher forcing."""
        forcing, history = self.settings.forcing, batch.history
        linear, scale, truth, counted = self.data.sequences(self.active, batch.positions, batch.weights)
        total = history.new_zeros(len(self.active))
        for step in range(self.settings.unroll):
            rest = scale * self.call(history)
            predicted = history.flatten(-2) @ linear + rest
            errors = ((predicted - truth[:, :, step]) / scale).square().mean(-1)
            total = total + (errors * counted[:, :, step]).sum(1)
            state = forcing * truth[:, :, step] + (1 - forcing) * predicted
            history = torch.cat([history[:, :, 1:], state[:, :, None]], dim=2)
        return total

    def _validate(self, batch: _Batch) -> Tensor:
        with torch.no_grad():
            predicted = self.call.with_params(self.mean, batch.history)
            errors = ((predicted - batch.goal).square().mean(-1) * batch.weights).sum(1).cpu()
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
        averaged = {key: value[rows] for key, value in self.mean.items()}
        self.call.select(rows)
        self.mean = averaged if self.settings.averaging else self._means()
        self.optimiser.select(rows, list(self.call.params.values()))
        self.feed.select(staying)


class _Stacked:
    """The networks of a stack as one function of their stacked weights."""

    def __init__(self, tasks: Sequence[TrainingTask], device: torch.device) -> None:
        stacked, buffers = torch.func.stack_module_state([task.network for task in tasks])
        self.params = {key: value.detach().to(device).requires_grad_() for key, value in stacked.items()}
        self.buffers = {key: value.detach().to(device) for key, value in buffers.items()}
        self.network = copy.deepcopy(tasks[0].network)
        self.native = isinstance(self.network, Stackable) and not self.buffers
        self.slots = [(self.network.get_submodule(key.rpartition(".")[0]), key) for key in self.params]
        if self.native:
            self._fill(self.params)

        def one(params: dict[str, Tensor], buffers: dict[str, Tensor], history: Tensor) -> Tensor:
            out: Tensor = torch.func.functional_call(self.network, (params, buffers), (history,))
            return out

        self.mapped: Callable[..., Tensor] = torch.func.vmap(one)

    def _fill(self, params: dict[str, Tensor]) -> None:
        """Put stacked weights where the layers read theirs."""
        for module, key in self.slots:
            module._parameters[key.rpartition(".")[2]] = params[key]  # type: ignore[assignment]

    def __call__(self, history: Tensor) -> Tensor:
        """(n_networks, n, order, n_regions) -> (n_networks, n, n_regions)."""
        out: Tensor = self.network(history) if self.native else self.mapped(self.params, self.buffers, history)
        return out

    def with_params(self, params: dict[str, Tensor], history: Tensor) -> Tensor:
        """Predict with other weights."""
        if not self.native:
            return self.mapped(params, self.buffers, history)
        self._fill(params)
        out = self(history)
        self._fill(self.params)
        return out

    def select(self, rows: Tensor) -> None:
        """Go on with some of the networks."""
        self.params = {key: value.detach()[rows].requires_grad_() for key, value in self.params.items()}
        self.buffers = {key: value[rows] for key, value in self.buffers.items()}
        if self.native:
            self._fill(self.params)


@dataclass(frozen=True)
class _Batch:
    """What the active networks read in one step; the weights of a network sum to 1 over its samples."""

    history: Tensor
    goal: Tensor
    weights: Tensor
    positions: Tensor

    def select(self, rows: Tensor) -> _Batch:
        """Go on with some of the networks."""
        return _Batch(self.history[rows], self.goal[rows], self.weights[rows], self.positions[rows])


class _Data:
    """Frames and goals of a stack; networks of the same recording share its frames."""

    def __init__(self, tasks: Sequence[TrainingTask], settings: TrainingSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device
        unique = {id(task.frames): task.frames for task in tasks}
        place = {key: row for row, key in enumerate(unique)}
        frames = _padded(list(unique.values()), device)
        goal = _padded([task.goal for task in tasks], device)
        self.n_samples = goal.shape[1]
        self.frames, self.goal = frames.flatten(0, 1), goal.flatten(0, 1)
        first = torch.tensor([place[id(task.frames)] * frames.shape[1] for task in tasks])
        targets = _padded([task.targets for task in tasks], torch.device("cpu"))
        self.where = (targets + first[:, None]).flatten().to(device)
        self.lags = torch.arange(-settings.order, 0, device=device)
        if settings.unroll > 1:
            self.linear = torch.stack([_linear(task) for task in tasks]).to(device)
            self.scale = torch.tensor([task.scale for task in tasks], device=device)
            self.reach = _padded([_reach(task, settings.unroll) for task in tasks], device).flatten()

    def _rows(self, active: Tensor, positions: Tensor) -> Tensor:
        return (active.to(self.device)[:, None] * self.n_samples + positions).flatten()

    def _read(self, frames: Tensor, shape: tuple[int, ...]) -> Tensor:
        return self.frames.index_select(0, frames.flatten()).view(*shape, -1)

    def batch(self, active: Tensor, positions: Tensor, weights: Tensor) -> _Batch:
        """Histories and goals of samples, positions (n_networks, n) with their weights."""
        rows, shape = self._rows(active, positions), tuple(positions.shape)
        history = self._read(self.where[rows][:, None] + self.lags, (*shape, len(self.lags)))
        goal = self.goal.index_select(0, rows).view(*shape, -1)
        return _Batch(history, goal, weights / weights.sum(1, keepdim=True), positions)

    def sequences(self, active: Tensor, positions: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Linear part, scale, true frames (n_networks, n, unroll, n_regions), and the weight of every step."""
        steps = torch.arange(self.settings.unroll, device=self.device)
        rows, on = self._rows(active, positions), active.to(self.device)
        shape = (*positions.shape, len(steps))
        within = (steps < self.reach[rows][:, None]).view(shape)
        frames = self.where[rows][:, None] + steps.minimum(self.reach[rows][:, None] - 1)
        counted = within * weights[..., None]
        return (
            self.linear[on],
            self.scale[on][:, None, None],
            self._read(frames, shape),
            counted / counted.sum((1, 2), keepdim=True),
        )


class _Feed:
    """Batches of the active networks, drawn many steps ahead; those that hold all samples are read only once."""

    def __init__(self, tasks: Sequence[TrainingTask], batch_size: int, device: torch.device) -> None:
        self.device = device
        self.whole: _Batch | None = None
        self.all_samples: tuple[Tensor, Tensor] | None = None
        if all(len(task.train) <= batch_size for task in tasks):
            self.all_samples = _index([task.train for task in tasks], device)
        self.streams = [_batches(task, batch_size) for task in tasks]
        self.ahead: list[tuple[Tensor, Tensor]] = []

    def next(self, data: _Data, active: Tensor) -> _Batch:
        """Batch of the next step."""
        if self.all_samples is None:
            if not self.ahead:
                self._draw()
            return data.batch(active, *self.ahead.pop())
        if self.whole is None:
            self.whole = data.batch(active, *self.all_samples)
        return self.whole

    def _draw(self) -> None:
        drawn = [[next(stream) for _ in range(STEPS_AHEAD)] for stream in self.streams]
        positions, weights = (
            torch.stack([item[part] for stream in drawn for item in stream])
            .unflatten(0, (len(drawn), STEPS_AHEAD))
            .transpose(0, 1)
            .to(self.device)
            for part in (0, 1)
        )
        self.ahead = list(zip(positions.flip(0), weights.flip(0), strict=True))

    def select(self, rows: Tensor) -> None:
        """Go on with some of the networks."""
        self.streams = [self.streams[row] for row in rows.tolist()]
        rows = rows.to(self.device)
        self.ahead = [(positions[rows], weights[rows]) for positions, weights in self.ahead]
        if self.all_samples is not None:
            self.all_samples = (self.all_samples[0][rows], self.all_samples[1][rows])
            self.whole = None if self.whole is None else self.whole.select(rows)


def _batches(task: TrainingTask, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless epochs of shuffled batches; the last of an epoch is padded by samples of weight zero."""
    generator = torch.Generator().manual_seed(task.seed)
    n = len(task.train)
    n_batches = -(-n // batch_size)
    weights = torch.zeros(n_batches * batch_size)
    weights[:n] = 1
    parts = weights.view(n_batches, batch_size).unbind()
    while True:
        shuffled = task.train[torch.randperm(n, generator=generator)]
        padding = shuffled[:1].expand(n_batches * batch_size - n)
        yield from zip(torch.cat([shuffled, padding]).view(n_batches, batch_size).unbind(), parts, strict=True)


def _linear(task: TrainingTask) -> Tensor:
    if task.linear is None:
        raise ValueError("Training over several steps needs the linear part of every task.")
    return task.linear


def _reach(task: TrainingTask, n_steps: int) -> Tensor:
    """Steps (1 ... n_steps) that can be scored from every sample on: all of them samples to train on."""
    trained = torch.zeros(len(task.targets), dtype=torch.bool)
    trained[task.train] = True
    linked = trained[1:] & (task.targets.diff() == 1)
    reach = torch.ones(len(task.targets), dtype=torch.int64)
    going = torch.ones(len(task.targets), dtype=torch.bool)
    for step in range(1, n_steps):
        ahead = torch.zeros_like(going)
        ahead[:-step] = linked[step - 1 :]
        going &= ahead
        reach += going
    return reach


def _padded(tensors: Sequence[Tensor], device: torch.device) -> Tensor:
    return nn.utils.rnn.pad_sequence(list(tensors), batch_first=True).to(device)


def _index(positions: Sequence[Tensor | None], device: torch.device) -> tuple[Tensor, Tensor]:
    known = [position for position in positions if position is not None]
    weights = [torch.ones(len(position)) for position in known]
    return _padded(known, device), _padded(weights, device)
