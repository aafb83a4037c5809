"""Stacked training against the optimiser and the sequential loop it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bids_ai.errors import InputError
from bids_ai.surrogate.adam import Adam
from bids_ai.surrogate.families.mlp import Perceptron
from bids_ai.surrogate.families.residual import batch_size, initialised, width_between
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.training import TrainingSettings, TrainingTask, _batches, _reach, train
from tests.surrogate.systems import recording

CPU = torch.device("cpu")


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_is_that_of_torch(decoupled: bool) -> None:
    torch.manual_seed(0)
    start = torch.randn(4, 3)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    kind = torch.optim.AdamW if decoupled else torch.optim.Adam
    reference = kind([theirs], lr=0.01, weight_decay=0.1)
    adam = Adam([ours], 0.01, 0.1, decoupled)
    for step in range(20):
        gradient = torch.sin(torch.arange(12.0).reshape(4, 3) + step)
        theirs.grad = gradient.clone()
        reference.step()
        adam.step([gradient])
    torch.testing.assert_close(ours, theirs.detach())


class Linear(nn.Module):
    """One layer over the flattened history."""

    def __init__(self, order: int, n: int) -> None:
        super().__init__()
        self.layer = nn.Linear(order * n, n)

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(history.flatten(-2))
        return out


def task(seed: int, n_times: int = 80, validation: bool = False, n_steps: int = 60) -> TrainingTask:
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(n_times, 3, generator=generator)
    targets = torch.arange(2, n_times)
    goal = frames[targets - 1].roll(1, 1) - 0.5 * frames[targets - 2]
    n = len(targets)
    return TrainingTask(
        network=initialised(lambda: Linear(2, 3), seed),
        frames=frames,
        targets=targets,
        goal=goal,
        train=torch.arange(0, n - 20),
        validation=torch.arange(n - 20, n) if validation else None,
        n_steps=n_steps,
        seed=seed,
    )


def test_stacked_training_equals_training_one_by_one_with_torch() -> None:
    # Two networks of different lengths, in one stack, against a plain loop with the same batches.
    tasks = [task(0), task(1, n_times=57)]
    settings = TrainingSettings(2, batch_size=16, learning_rate=0.01, weight_decay=0.0, decoupled=False)
    for job, trained in zip(tasks, train(tasks, settings, CPU), strict=True):
        network = initialised(lambda: Linear(2, 3), job.seed)
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        stream = _batches(job, 16)
        for _ in range(job.n_steps):
            positions, weights = next(stream)
            positions = positions[weights > 0]
            history = torch.stack([job.frames[job.targets[positions] - 2], job.frames[job.targets[positions] - 1]], 1)
            loss = nn.functional.mse_loss(network(history), job.goal[positions])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert trained.step == job.n_steps
        for key, value in network.state_dict().items():
            torch.testing.assert_close(trained.state[key], value, rtol=1e-4, atol=1e-5)


def test_an_epoch_sees_every_sample_once() -> None:
    stream = _batches(task(0), 16)
    n = 58
    drawn = [next(stream) for _ in range(2 * -(-n // 16))]
    seen = torch.cat([positions[weights > 0] for positions, weights in drawn[:4]])
    assert sorted(seen.tolist()) == list(range(n))
    again = torch.cat([positions[weights > 0] for positions, weights in drawn[4:]])
    assert sorted(again.tolist()) == list(range(n))
    assert not torch.equal(seen, again)


def test_stops_at_the_best_validation() -> None:
    # A goal of noise can only be overfitted: the start is the best.
    noisy = task(3, validation=True, n_steps=2000)
    noise = TrainingTask(
        **{**noisy.__dict__, "goal": torch.randn(noisy.goal.shape, generator=torch.Generator().manual_seed(9)) * 3}
    )
    nn.init.zeros_(noise.network.layer.weight)  # type: ignore[union-attr, arg-type]
    nn.init.zeros_(noise.network.layer.bias)  # type: ignore[union-attr, arg-type]
    settings = TrainingSettings(2, 16, 0.05, 0.0, check_every=10, patience=3)
    overfitted, learned = train([noise, task(4, validation=True, n_steps=2000)], settings, CPU)
    for trained in (overfitted, learned):
        best = trained.step // 10
        losses = np.array(trained.validation_losses)
        stopped = min(len(losses), best + 4)
        assert losses[best] == losses[:stopped].min()
    assert overfitted.step <= 50
    assert min(learned.validation_losses) < 0.01 * learned.validation_losses[0]


def test_fixed_steps_are_exact_for_each_network() -> None:
    settings = TrainingSettings(2, 16, 0.01, 0.0)
    short, long = train([task(0, n_steps=5), task(0, n_steps=40)], settings, CPU)
    assert (short.step, long.step) == (5, 40)
    alone = train([task(0, n_steps=5)], settings, CPU)[0]
    for key in alone.state:
        torch.testing.assert_close(alone.state[key], short.state[key])


def test_zero_steps_give_the_start() -> None:
    trained = train([task(0, n_steps=0)], TrainingSettings(2, 16, 0.01, 0.0), CPU)[0]
    start = initialised(lambda: Linear(2, 3), 0).state_dict()
    for key, value in trained.state.items():
        assert torch.equal(value, start[key])


def test_memory_bound_splits_the_stack_without_changing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from bids_ai.surrogate import training

    settings = TrainingSettings(2, 16, 0.01, 0.0)
    together = train([task(seed) for seed in range(3)], settings, CPU)
    monkeypatch.setattr(training, "memory_budget", lambda device: 1)
    apart = train([task(seed) for seed in range(3)], settings, CPU)
    for one, other in zip(together, apart, strict=True):
        for key in one.state:
            torch.testing.assert_close(one.state[key], other.state[key], rtol=1e-4, atol=1e-6)


def test_initialisation_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = initialised(lambda: Perceptron(4, 2, 8), 1)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first.hidden.weight, initialised(lambda: Perceptron(4, 2, 8), 1).hidden.weight)
    assert first(torch.randn(5, 2, 4)).abs().max() == 0


def test_width_follows_the_data() -> None:
    widths = [
        width_between(8, 128)(prepare(recording(np.random.default_rng(0).standard_normal((n, 3))), 1, 5), 1)
        for n in (60, 400, 20000)
    ]
    assert widths == [8, 48, 128]


def broken_task(n_steps: int) -> TrainingTask:
    """Residual task whose samples are interrupted: a boundary between runs, and a held-out stretch."""
    whole = task(6, n_steps=n_steps)
    targets = torch.cat([torch.arange(2, 30), torch.arange(33, 60)])
    weights = 0.3 * torch.randn(6, 3, generator=torch.Generator().manual_seed(7))
    history = torch.stack([whole.frames[targets - 2], whole.frames[targets - 1]], 1)
    fields = whole.__dict__ | {
        "targets": targets,
        "goal": (whole.frames[targets] - history.flatten(-2) @ weights) / 0.8,
        "train": torch.cat([torch.arange(12), torch.arange(18, len(targets))]),
        "linear": weights,
        "scale": 0.8,
    }
    return TrainingTask(**fields)


def test_sequences_end_at_boundaries_and_at_heldout_samples() -> None:
    reach = _reach(broken_task(1), 4)
    # Samples 12 ... 17 are held out; the run ends with sample 27, the next begins at 28 and ends at 54.
    assert reach[[0, 8, 9, 10, 11]].tolist() == [4, 4, 3, 2, 1]
    assert reach[[23, 24, 25, 26, 27, 28]].tolist() == [4, 4, 3, 2, 1, 4]
    assert reach[[51, 52, 53, 54]].tolist() == [4, 3, 2, 1]


def test_generalised_teacher_forcing_is_the_recursion_it_says() -> None:
    # Against a loop over single samples: x <- forcing * observed + (1 - forcing) * predicted.
    job, unroll, forcing = broken_task(5), 3, 0.4
    settings = TrainingSettings(2, 64, 0.01, 0.0, decoupled=False, unroll=unroll, forcing=forcing)
    trained = train([job, broken_task(2)], settings, CPU)[0]
    network = initialised(lambda: Linear(2, 3), job.seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    assert job.linear is not None
    sample_of = {int(job.targets[p]): int(p) for p in job.train}
    for _ in range(job.n_steps):
        errors = []
        for start in sample_of:
            history = job.frames[start - 2 : start]
            for frame in range(start, start + unroll):
                if frame not in sample_of:
                    break
                predicted = history.flatten() @ job.linear + job.scale * network(history)
                errors.append(((predicted - job.frames[frame]) / job.scale).square().mean())
                state = forcing * job.frames[frame] + (1 - forcing) * predicted
                history = torch.stack([history[1], state])
        optimiser.zero_grad()
        torch.stack(errors).mean().backward()
        optimiser.step()
    for key, value in network.state_dict().items():
        torch.testing.assert_close(trained.state[key], value, rtol=1e-4, atol=1e-5)


class Greedy(Linear):
    """Runs out of memory where more networks than its limit are stacked."""

    limit = 2

    def forward(self, history: torch.Tensor) -> torch.Tensor:
        if torch._C._functorch.is_batchedtensor(history):
            n_networks = torch._C._functorch.get_unwrapped(history).shape[0]
            if n_networks > self.limit:
                raise torch.cuda.OutOfMemoryError
        return super().forward(history)


def test_out_of_memory_halves_the_stack() -> None:
    settings = TrainingSettings(2, 16, 0.01, 0.0)
    fits = [TrainingTask(**(task(seed).__dict__ | {"network": Greedy(2, 3)})) for seed in range(7)]
    trained = train(fits, settings, CPU)
    for job, one in zip(fits, trained, strict=True):
        plain = Linear(2, 3)
        plain.load_state_dict(job.network.state_dict())
        alone = train([TrainingTask(**(job.__dict__ | {"network": plain}))], settings, CPU)[0]
        for key in alone.state:
            torch.testing.assert_close(one.state[key], alone.state[key], rtol=1e-4, atol=1e-6)


def test_too_little_memory_for_one_network_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Greedy, "limit", 0)
    with pytest.raises(InputError, match="too little free memory"):
        train([TrainingTask(**(task(0).__dict__ | {"network": Greedy(2, 3)}))], TrainingSettings(2, 16, 0.01, 0.0), CPU)


@pytest.mark.parametrize(("n_times", "samples"), [(60, 64), (3000, 64), (4200, 128), (100000, 256)])
def test_batches_follow_the_data(n_times: int, samples: int) -> None:
    series = np.random.default_rng(0).standard_normal((n_times, 2))
    assert batch_size(prepare(recording(series), 1, 5)) == samples
