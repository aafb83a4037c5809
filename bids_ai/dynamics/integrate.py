"""Batched integration of stochastic network models (Euler-Maruyama, or Heun for the drift).

Shapes: state (n_systems, n_copies, n_regions, n_variables). Systems have noise of their own; the copies of a
system share it, so that a perturbed copy differs from its reference by the perturbation alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value
from bids_ai.dynamics.coupling import DelayLine, InstantCoupling, effective_weights
from bids_ai.dynamics.noise import NoiseStream
from bids_ai.errors import InputError

Stimulation = Callable[[int], Value] | Tensor
"""External input of a step: a function of the step, or a tensor (n_steps, ...) of what broadcasts over
(n_systems, n_copies, n_regions)."""


@dataclass(frozen=True)
class Snapshot:
    """Where a simulation stands.

    Parameters
    ----------
    state : (n_systems, n_copies, n_regions, n_variables) tensor
    noise : NoiseStream
        Goes on where it was left; a snapshot can therefore be continued once.
    past : tensor or None
        Outputs of the last steps, (n_systems, n_copies, [n_outputs,] n_lags, n_regions), oldest first; None
        without delays.
    """

    state: Tensor
    noise: NoiseStream
    past: Tensor | None = None

    def copies(self, n_copies: int) -> Snapshot:
        """Return the same situation `n_copies` times, to be perturbed."""
        past = None if self.past is None else self.past.repeat_interleave(n_copies, dim=1)
        # Contiguous variables: see `stack_variables`.
        state = self.state.movedim(-1, 0).repeat_interleave(n_copies, dim=2).movedim(0, -1)
        return replace(self, state=state, past=past)

    def shifted(self, variable: int, shift: Tensor) -> Snapshot:
        """Return the situation with one state variable moved by (n_systems or 1, n_copies, n_regions)."""
        variables = list(self.state.movedim(-1, 0).unbind(0))
        variables[variable] = variables[variable] + shift
        return replace(self, state=torch.stack(variables).movedim(0, -1))


@dataclass(frozen=True)
class Trajectory:
    """Result of an integration.

    Parameters
    ----------
    record : (n_systems, n_copies, n_records, n_regions) tensor
        Mean of the observed signal over each `record_every` steps, or its value at their end.
    final : Snapshot
        To go on from.
    """

    record: Tensor
    final: Snapshot


def start(
    model: Dynamics,
    generators: Sequence[torch.Generator],
    n_regions: int,
    dt: float,
    *,
    max_delay_steps: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Snapshot:
    """Random initial states, one per generator; before the start, outputs were those of the initial state."""
    initial = [model.initial(1, n_regions, generator) for generator in generators]
    state = torch.stack([one[0].movedim(-1, 0) for one in initial], dim=1)[:, :, None].movedim(0, -1)
    state = state.to(device=device, dtype=dtype)
    past = None
    if max_delay_steps is not None:
        output = model.output(state)
        past = output[..., None, :].expand(*output.shape[:-1], max_delay_steps + 1, n_regions)
    return Snapshot(state, NoiseStream(model, generators, n_regions, dt, state), past)


def integrate(
    model: Dynamics,
    connectivity: Tensor,
    *,
    n_steps: int,
    generators: Sequence[torch.Generator] | None = None,
    begin: Snapshot | None = None,
    coupling_gain: Value = 1.0,
    dt: float | None = None,
    method: str | None = None,
    stimulation: Stimulation | None = None,
    delays_steps: Tensor | None = None,
    record_every: int = 1,
    record_mean: bool = False,
    signal: Callable[[Tensor], Tensor] | None = None,
) -> Trajectory:
    """Integrate a batch of systems.

    Parameters
    ----------
    model : Dynamics
    connectivity : (n_regions, n_regions) or (n_systems, n_regions, n_regions) tensor
        Row = source, column = target; no diagonal. Device and type are those of the simulation.
    n_steps : int
        A multiple of `record_every`.
    generators : sequence of torch.Generator, optional
        One per system, on the CPU; they give initial states and noise.
    begin : Snapshot, optional
        Where to go on from, instead of `generators`.
    coupling_gain : float or tensor, default=1.0
        Global gain; 0 leaves the coupling out.
    dt : float, optional
        Step; default that of the model.
    method : {"euler", "heun"}, optional
        Scheme of the drift; default that of the model.
    stimulation : callable or tensor, optional
        External input per step.
    delays_steps : integer tensor (n_regions, n_regions) or (n_systems, n_regions, n_regions), optional
        Delay of every connection. With delays the coupling is held within a step of Heun's scheme.
    record_every : int, default=1
    record_mean : bool, default=False
        Record the mean over the steps rather than their last.
    signal : callable, optional
        state -> (..., n_regions); default `model.observe`.

    Returns
    -------
    Trajectory

    Notes
    -----
    Differentiable in all parameters, the gain and the connectivity. A run that nothing is fitted to is faster
    under `torch.inference_mode()`.
    """
    step_s = model.time_step_s if dt is None else dt
    _check(n_steps, record_every, step_s)
    if begin is None:
        if not generators:
            raise InputError("Give one generator per system, or a snapshot to begin from.")
        longest = None if delays_steps is None else int(delays_steps.max())
        begin = start(
            model,
            generators,
            connectivity.shape[-1],
            step_s,
            max_delay_steps=longest,
            device=connectivity.device,
            dtype=connectivity.dtype,
        )
    signal = model.observe if signal is None else signal
    coupling = _coupling(model, connectivity, coupling_gain, delays_steps, begin)
    held = isinstance(coupling, DelayLine)
    heun = _scheme(model, method) == "heun"
    drive = _drive(stimulation, n_steps)
    state = begin.state
    records: list[Tensor] = []
    seen: list[Tensor] = []
    for step, noise in enumerate(begin.noise.steps(n_steps)):
        external = drive(step)
        received = coupling(model.output(state)) if coupling else 0.0
        slope = model.drift(state, received, external)
        if heun:
            ahead = state + step_s * slope if noise is None else state + step_s * slope + noise
            if coupling and not held:
                received = coupling(model.output(ahead))
            slope = 0.5 * (slope + model.drift(ahead, received, external))
        state = torch.add(state, slope, alpha=step_s)
        state = model.bounded(state if noise is None else state + noise)
        at_end = (step + 1) % record_every == 0
        if record_mean or at_end:
            seen.append(signal(state))
        if at_end:
            records.append(seen[0] if len(seen) == 1 else torch.stack(seen).mean(0))
            seen = []
    past = coupling.snapshot() if isinstance(coupling, DelayLine) else None
    return Trajectory(torch.stack(records, dim=2), Snapshot(state, begin.noise, past))


def _check(n_steps: int, record_every: int, dt: float) -> None:
    if n_steps < 1 or record_every < 1 or n_steps % record_every:
        raise InputError(f"n_steps must be a multiple of record_every, both at least 1; got {n_steps}, {record_every}.")
    if not dt > 0:
        raise InputError(f"The time step must be positive, got {dt!r}.")


def _scheme(model: Dynamics, method: str | None) -> str:
    chosen = model.method if method is None else method
    if chosen not in ("euler", "heun"):
        raise InputError(f"Unknown scheme of integration {chosen!r}: choose euler or heun.")
    return chosen


def _coupling(
    model: Dynamics, connectivity: Tensor, gain: Value, delays_steps: Tensor | None, begin: Snapshot
) -> InstantCoupling | DelayLine | None:
    if not isinstance(gain, Tensor) and gain == 0:
        return None
    weights = effective_weights(model, connectivity, gain)
    if delays_steps is None:
        return InstantCoupling(weights, model.n_outputs)
    if begin.past is None or begin.past.shape[-2] <= int(delays_steps.max()):
        raise InputError("The snapshot does not reach back as far as the longest delay: start with max_delay_steps.")
    return DelayLine(weights, delays_steps, begin.past)


def _drive(stimulation: Stimulation | None, n_steps: int) -> Callable[[int], Value]:
    if stimulation is None:
        return lambda step: 0.0
    if isinstance(stimulation, Tensor):
        if len(stimulation) != n_steps:
            raise InputError(f"The stimulation has {len(stimulation)} steps, the simulation {n_steps}.")
        return lambda step: stimulation[step]
    return stimulation
