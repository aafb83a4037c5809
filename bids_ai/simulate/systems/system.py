"""A system with known connectivity: its series, and its true effective connectivity by paired-noise pushes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bids_ai.dynamics.base import Dynamics
from bids_ai.dynamics.integrate import Snapshot, Stimulation, integrate
from bids_ai.errors import InputError
from bids_ai.simulate.systems.observation import Direct, Observation
from bids_ai.surrogate.seeds import member_seed

FloatArray = npt.NDArray[np.float64]

CHUNK_VALUES = 2**17
"""State variables that are integrated at once: more than the caches hold is not faster."""

RECORD_BYTES = 2**28
"""Memory of the activity recorded at once."""

SERIES, PUSHES = 0, 1
"""What the noise of a seed is for: a series and the truth do not share any."""


@dataclass(frozen=True)
class Push:
    """Perturbation that defines the true effective connectivity.

    Parameters
    ----------
    size : float
        Unit of the model's external input; for an instantaneous push, of its observed state variable.
    duration_s : float
        How long the external input lasts; 0 moves the state itself at onset.
    window_s : (float, float)
        The response is averaged over the frames that end within (start, end] after onset. Frames are taken
        every sampling interval from onset on.
    n_states : int, default=64
        Independent states that the push is given in.
    """

    size: float
    duration_s: float
    window_s: tuple[float, float]
    n_states: int = 64


@dataclass(frozen=True)
class System:
    """A model on a network, how it is observed, and the push that defines its effective connectivity.

    Parameters
    ----------
    name : str
    model : Dynamics
    connectivity : (n_regions, n_regions) array
        Row = source, column = target, zero diagonal.
    gain : float
        Global coupling; 0 for models whose coupling is part of their equations (Lorenz-96).
    interval_s : float
        Sampling interval, in the time unit of the model (seconds; steps for the discrete VAR).
    push : Push
    observation : Observation
    noise_sd : float, default=0.0
        Observation noise, as a share of the SD of each region's series.
    delays_s : (n_regions, n_regions) array, optional
        Conduction delays.
    burn_in_s : float, default=10.0
        Left out before the first frame and before a push (what the observation remembers is added).
    dt : float, optional
        Integration step; default that of the model.
    method : {"euler", "heun"}, optional
        Scheme of integration; default that of the model.
    positions_mm : (n_regions, 3) array, optional
        Where the regions lie.
    """

    name: str
    model: Dynamics
    connectivity: FloatArray
    gain: float
    interval_s: float
    push: Push
    observation: Observation = dataclasses.field(default_factory=Direct)
    noise_sd: float = 0.0
    delays_s: FloatArray | None = None
    burn_in_s: float = 10.0
    dt: float | None = None
    method: str | None = None
    positions_mm: FloatArray | None = None

    def __post_init__(self) -> None:
        n = len(self.connectivity)
        for label, matrix in (("connectivity", self.connectivity), ("delays", self.delays_s)):
            if matrix is not None and (matrix.shape != (n, n) or not np.isfinite(matrix).all()):
                raise InputError(f"{self.name}: the {label} must be a finite ({n}, {n}) matrix.")
        if abs(self.steps_per_frame * self.step_s - self.interval_s) > 1e-6 * self.interval_s:
            raise InputError(
                f"{self.name}: the sampling interval {self.interval_s} is no multiple of the step {self.step_s}."
            )
        if not self.push.window_s[1] >= self.interval_s:
            raise InputError(f"{self.name}: the window of the response must hold a frame of {self.interval_s}.")

    @property
    def n_regions(self) -> int:
        """Number of regions."""
        return len(self.connectivity)

    @property
    def step_s(self) -> float:
        """Integration step."""
        return self.model.time_step_s if self.dt is None else self.dt

    @property
    def steps_per_frame(self) -> int:
        """Integration steps between two frames."""
        return max(1, round(self.interval_s / self.step_s))

    def simulate(self, n_frames: int, seeds: Sequence[int], *, device: str = "cpu") -> FloatArray:
        """Series of independent recordings of this system.

        Parameters
        ----------
        n_frames : int
        seeds : sequence of int
            One per recording: initial state, noise, and observation noise.
        device : str, default="cpu"

        Returns
        -------
        (n_seeds, n_frames, n_regions) array
            In the unit that the model observes (BOLD: see the observation).
        """
        return simulate_batch([self] * len(seeds), n_frames, seeds, device=device)

    def true_effective_connectivity(
        self, seed: int = 0, *, n_states: int | None = None, device: str = "cpu"
    ) -> FloatArray:
        """Mean response to the push of each region, with the same noise with and without it.

        Parameters
        ----------
        seed : int, default=0
            Of the states that are pushed and of the noise.
        n_states : int, optional
            Default that of the push.
        device : str, default="cpu"

        Returns
        -------
        (n_regions, n_regions) array
            Row = pushed source, column = responding target. Change of the observed signal, averaged over window
            and states, per unit of the push. Diagonal NaN. Observation noise has no part in it.
        """
        return self.response_course(seed, n_states=n_states, device=device)[1]

    def response_course(
        self, seed: int = 0, *, n_states: int | None = None, device: str = "cpu"
    ) -> tuple[FloatArray, FloatArray]:
        """Response per frame up to the end of the window, and its mean over the window.

        Returns
        -------
        course : (n_frames, n_regions, n_regions) array
            Own responses on the diagonal included.
        effective : (n_regions, n_regions) array
            As `true_effective_connectivity`.
        """
        total = self.push.n_states if n_states is None else n_states
        chunk = self._states_per_chunk()
        course = np.zeros(())
        with torch.inference_mode():
            for first in range(0, total, chunk):
                numbers = range(first, min(first + chunk, total))
                course = course + _pushed(self, [_generator(self, seed, PUSHES, k) for k in numbers], device)
        course = course / (total * self.push.size)
        ends = (np.arange(len(course)) + 1) * self.interval_s
        after, until = self.push.window_s
        inside = (ends > after + 1e-9) & (ends <= until + 1e-9)
        effective = course[inside].mean(axis=0)
        np.fill_diagonal(effective, np.nan)
        return course, effective

    def bins_per_frame(self) -> int:
        """Bins of activity that one frame is observed from."""
        return self.observation.bins_per_frame(self.interval_s, self.steps_per_frame)

    def _states_per_chunk(self) -> int:
        n = self.n_regions
        one = (n + 1) * n
        seconds = self.push.window_s[1] + (0.0 if self.observation.linear else self.observation.memory_s)
        recorded = 8 * one * seconds / self.interval_s * self.bins_per_frame()
        return max(1, min(CHUNK_VALUES // (one * self.model.n_variables), int(RECORD_BYTES // recorded)))


def simulate_batch(
    systems: Sequence[System], n_frames: int, seeds: Sequence[int], *, device: str = "cpu"
) -> FloatArray:
    """Series of several systems that differ in connectivity and delays only, integrated together.

    Parameters
    ----------
    systems : sequence of System
    n_frames : int
    seeds : sequence of int
        One per system. A series depends on its own system and seed, not on the batch.
    device : str, default="cpu"

    Returns
    -------
    (n_systems, n_frames, n_regions) array

    Raises
    ------
    InputError
        For systems that differ in anything else, or a simulation that diverges.
    """
    if not systems or len(systems) != len(seeds):
        raise InputError(f"Give one seed per system: got {len(systems)} systems and {len(seeds)} seeds.")
    if n_frames < 1:
        raise InputError(f"At least one frame must be asked for, got {n_frames}.")
    system = systems[0]
    _check_alike(systems)
    generators = [_generator(one, seed, SERIES, 0) for one, seed in zip(systems, seeds, strict=True)]
    with torch.inference_mode():
        begin = _settled(systems, generators, device)
        n_before = _frames(system.observation.memory_s, system)
        activity, _ = _activity(systems, begin, n_before + n_frames, device)
        frames = _observe(system, activity)[:, 0, n_before:]
    series: FloatArray = frames.cpu().numpy()
    if not np.isfinite(series).all():
        raise InputError(
            f"{system.name}: the simulation diverged; take a smaller step than {system.step_s} or less gain."
        )
    return _with_noise(system, series, generators)


def _check_alike(systems: Sequence[System]) -> None:
    free = {"connectivity", "delays_s", "positions_mm"}
    names = [field.name for field in dataclasses.fields(System) if field.name not in free]
    first = systems[0]
    for other in systems[1:]:
        if other is first:
            continue
        different = [name for name in names if getattr(other, name) != getattr(first, name)]
        if other.n_regions != first.n_regions:
            different.append("number of regions")
        if (other.delays_s is None) != (first.delays_s is None):
            different.append("delays_s")
        if different:
            raise InputError(
                f"Systems of a batch may differ in connectivity only; these differ in {', '.join(different)}."
            )


def _generator(system: System, seed: int, purpose: int, number: int) -> torch.Generator:
    return torch.Generator().manual_seed(member_seed(seed, system.name, purpose, number))


def _with_noise(system: System, series: FloatArray, generators: Sequence[torch.Generator]) -> FloatArray:
    if system.noise_sd == 0:
        return series
    shape = series.shape[1:]
    white = np.stack([torch.randn(shape, generator=g, dtype=torch.float64).numpy() for g in generators])
    return series + system.noise_sd * series.std(axis=1, keepdims=True) * white


def _network(systems: Sequence[System], device: str) -> dict[str, Any]:
    """Arguments of `integrate` that describe the network."""
    same = all(system is systems[0] for system in systems)
    chosen = systems[:1] if same else systems
    steps = [np.rint(s.delays_s / s.step_s).astype(np.int64) for s in chosen if s.delays_s is not None]
    return {
        "connectivity": torch.as_tensor(np.stack([s.connectivity for s in chosen]), device=device),
        "coupling_gain": systems[0].gain,
        "dt": systems[0].step_s,
        "method": systems[0].method,
        "delays_steps": torch.as_tensor(np.stack(steps), device=device) if steps else None,
    }


def _settled(systems: Sequence[System], generators: Sequence[torch.Generator], device: str) -> Snapshot:
    """States after the burn-in."""
    system = systems[0]
    n_steps = max(1, round(system.burn_in_s / system.step_s))
    network = _network(systems, device)
    return integrate(system.model, n_steps=n_steps, generators=generators, record_every=n_steps, **network).final


def _frames(seconds: float, system: System) -> int:
    return int(np.ceil(seconds / system.interval_s - 1e-9))


def _activity(
    systems: Sequence[System], begin: Snapshot, n_frames: int, device: str, stimulation: Stimulation | None = None
) -> tuple[Tensor, Snapshot]:
    """Activity in bins, (n_systems, n_copies, n_bins, n_regions), and where the simulation stands after it."""
    system = systems[0]
    per_bin = system.steps_per_frame // system.bins_per_frame()
    trajectory = integrate(
        system.model,
        n_steps=n_frames * system.steps_per_frame,
        begin=begin,
        stimulation=stimulation,
        record_every=per_bin,
        record_mean=not isinstance(system.observation, Direct),
        **_network(systems, device),
    )
    return trajectory.record, trajectory.final


def _observe(system: System, activity: Tensor) -> Tensor:
    """Frames (..., n_frames, n_regions) from activity in bins."""
    n_bins = system.bins_per_frame()
    signal = system.observation.signal(activity, system.interval_s / n_bins)
    return signal[..., n_bins - 1 :: n_bins, :]


def _pushed(system: System, generators: Sequence[torch.Generator], device: str) -> FloatArray:
    """Sum over states of the response to the push of each region, (n_frames, n_sources, n_targets)."""
    n = system.n_regions
    systems = [system] * len(generators)
    begin = _settled(systems, generators, device)
    before = None
    if not system.observation.linear:
        before, begin = _activity(systems, begin, _frames(system.observation.memory_s, system), device)
    # The first copy is the reference, copy 1 + i is pushed at region i.
    which = torch.zeros(1, n + 1, n, dtype=torch.float64, device=device)
    which[0, 1:] = torch.eye(n) * system.push.size
    begin = begin.copies(n + 1)
    stimulation = None
    if system.push.duration_s == 0:
        begin = begin.shifted(system.model.pushed, which)
    else:
        until = round(system.push.duration_s / system.step_s)

        def stimulation(step: int) -> Tensor | float:
            return which if step < until else 0.0

    n_frames = int(system.push.window_s[1] / system.interval_s + 1e-9)
    activity, _ = _activity(systems, begin, n_frames, device, stimulation)
    if before is not None:
        activity = torch.cat([before.expand(-1, n + 1, -1, -1), activity], dim=2)
    frames = _observe(system, activity)[:, :, -n_frames:]
    change = (frames[:, 1:] - frames[:, :1]).sum(0).transpose(0, 1)
    out: FloatArray = change.cpu().numpy()
    if not np.isfinite(out).all():
        raise InputError(f"{system.name}: the pushed simulation diverged; take a smaller step or a smaller push.")
    return out
