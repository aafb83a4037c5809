"""The cortex of a virtual patient as one network of Jansen-Rit columns, ready to be integrated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bids_ai.dynamics.base import Dynamics, Value
from bids_ai.dynamics.integrate import Snapshot, Trajectory, integrate
from bids_ai.dynamics.jansen_rit import JansenRit
from bids_ai.errors import InputError
from bids_ai.simulate.connectome import Connectome

Array = NDArray[np.floating]

#: Mean input of every column, pulses/s, what comes from other columns included: the middle of the 120 to 320 that
#: Jansen and Rit drew it from (1995, doi:10.1007/BF00199471).
INPUT_PER_S = 220.0
#: Contacts within a column. At 135 the published column is a limit cycle, which a pulse can only shift in phase; at
#: 128 and less, which the paper also shows, it is a stable focus that noise keeps alight and from which responses die
#: away: within 60 ms at 102, within 170 ms at 121. Below 100 a second resting state appears.
CONTACTS = (102.0, 121.0)
#: SD of the contacts between regions of the same place.
CONTACTS_SD = 2.5
#: Speed of the kinetics of the foremost relative to the hindmost regions: natural frequencies rise from alpha at the
#: occiput to beta in front. Rosanova et al. 2009, doi:10.1523/JNEUROSCI.0445-09.2009; Frauscher et al. 2018,
#: doi:10.1093/brain/awy035.
SPEED = (1.05, 1.6)
#: SD of the logarithm of the speed between regions of the same place.
SPEED_LOG_SD = 0.08
#: Cells with slow kinetics in the same cortex: their share of what a region sends, their weight in its potential, their
#: contacts (lowest and highest), and their speed relative to the fast ones. Mixed kinetics give a region both its
#: rhythms and slow waves (David & Friston 2003); the slow cells make the second wave of a response, which peaks 100 to
#: 250 ms after a pulse.
SLOW_SHARE, SLOW_WEIGHT, SLOW_CONTACTS, SLOW_SPEED = 0.3, 2.0, (104.0, 114.0), 0.25
#: Random input of fast and slow cells relative to the published SD (58 pulses/s, drawn at every step of a length that
#: is not given; taken as 1 ms). Half of it leaves responses to a pulse as large beside the rhythms as are recorded.
NOISE, SLOW_NOISE = 0.5, 0.1
#: Share of the variance of that input that comes from other regions (median over regions): what cells of a region fire
#: by chance reaches their own column and, by the same axons as a volley, the others. Of the cells that project to a
#: place in the cortex of monkeys 80 % lie in its own area. Markov et al. 2011, doi:10.1093/cercor/bhq201.
EXTRINSIC = 0.2
#: Time constant of that firing, s: cells that hear the same fire together within some milliseconds.
BACKGROUND_S = 0.003
#: Pulses/s at a column for each pulse/s of columns whose weights sum to one.
COUPLING = 20.0
#: Input that all of a column's own cells give it when every axon fires once: its recurrent contacts, pulses.
LOCAL_PULSES = 6.0
#: SD of the arrival of a volley relative to its delay: axons of one bundle differ in diameter and so in speed.
#: Caminiti et al. 2013, doi:10.1523/JNEUROSCI.0761-13.2013.
DISPERSION = 0.2
#: SD of a volley at its origin, s: fibres fire within a millisecond or two of the pulse.
JITTER_S = 0.001
#: Longest step of the integration, s. Responses at this step differ from those at 0.2 ms by 2 % (RMS).
STEP_S = 0.002
#: Left out before the record, s: twelve times the slowest decay.
BURN_IN_S = 2.0


@dataclass(frozen=True)
class Columns:
    """What the column of each region is like: two populations of other kinetics that share input and output.

    Attributes
    ----------
    contacts, slow_contacts : array, shape (n_regions,)
        The C of Jansen and Rit of the fast and the slow cells: how near they are to a sustained rhythm.
    speed, slow_speed : array, shape (n_regions,)
        Of both synaptic kinetics, relative to the published. Gains grow with it, so that the column does the same in a
        shorter time (David & Friston 2003, doi:10.1016/j.neuroimage.2003.07.015).
    """

    contacts: Array
    speed: Array
    slow_contacts: Array
    slow_speed: Array


def regional_columns(n_regions: int, rng: np.random.Generator, *, centroids_mm: Array | None = None) -> Columns:
    """Columns that differ from region to region: strong alpha behind, faster and less regular activity in front.

    Parameters
    ----------
    n_regions : int
    rng : numpy Generator
    centroids_mm : array, shape (n_regions, 3), optional
        RAS. Without it the regions take their places on the way from back to front by chance.
    """
    front = rng.random(n_regions) if centroids_mm is None else np.asarray(centroids_mm, float)[:, 1]
    front = (front - front.min()) / max(float(np.ptp(front)), 1e-9)
    low, high = CONTACTS
    contacts = high + (low - high) * front + CONTACTS_SD * rng.standard_normal(n_regions)
    speed = SPEED[0] * (SPEED[1] / SPEED[0]) ** front * np.exp(SPEED_LOG_SD * rng.standard_normal(n_regions))
    slow = SLOW_SPEED * np.exp(SPEED_LOG_SD * rng.standard_normal(n_regions))
    return Columns(np.clip(contacts, low, high), speed, rng.uniform(*SLOW_CONTACTS, n_regions), slow * speed)


@dataclass(frozen=True)
class MixedColumns(Dynamics):
    """Jansen-Rit columns with fast and slow cells that share what comes in and what goes out.

    Parameters
    ----------
    cells : JansenRit
        Parameters of shape (n_regions, 2): fast, slow.
    background_sd : tensor, shape (n_regions,)
        SD of the integral of the background firing over a second, pulses.
    local : tensor, shape (n_regions, 2)
        Input of the fast and of the slow cells for each pulse/s of their own region's background firing.

    Notes
    -----
    State: the six variables of Jansen and Rit, each of the fast and of the slow cells; background firing, pulses/s. It
    is the only noise.
    """

    cells: JansenRit
    background_sd: Tensor
    local: Tensor

    n_variables = 2 * JansenRit.n_variables + 1
    method = "heun"

    @property
    def noise_sd(self) -> tuple[Value, ...]:
        """Of the background firing."""
        return (*[0.0] * (self.n_variables - 1), self.background_sd / BACKGROUND_S)

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """Potentials of some mV about the working point."""
        state = self.cells.initial(batch, 2 * n_regions, generator)
        return self._flat(state.unflatten(1, (n_regions, 2)), state.new_zeros(batch, n_regions))

    def drift(self, state: Tensor, coupling: Value, external: Value) -> Tensor:
        """Both populations receive the same, but for what fires in their own region."""
        background = state[..., -1]
        received = (coupling + external)[..., None] + background[..., None] * self.local  # type: ignore[index]
        return self._flat(self.cells.drift(self._cells(state), received, 0.0), -background / BACKGROUND_S)

    def output(self, state: Tensor) -> Tensor:
        """Firing rate of the pyramidal cells of a region, pulses/s."""
        fast, slow = self.cells.output(self._cells(state)).unbind(-1)
        return (1.0 - SLOW_SHARE) * fast + SLOW_SHARE * slow + state[..., -1]

    def observe(self, state: Tensor) -> Tensor:
        """Potential of a region, mV."""
        fast, slow = self.cells.observe(self._cells(state)).unbind(-1)
        return fast + SLOW_WEIGHT * slow

    def _cells(self, state: Tensor) -> Tensor:
        """State as (..., n_regions, 2, 6)."""
        return state[..., :-1].unflatten(-1, (JansenRit.n_variables, 2)).movedim(-2, -1)

    def _flat(self, cells: Tensor, background: Tensor) -> Tensor:
        """State as (..., n_regions, 13), in memory one variable after the other (`stack_variables`)."""
        variables = cells.movedim((-1, -2), (0, 1)).flatten(0, 1)
        return torch.cat([variables, background[None]]).movedim(0, -1)


class Network:
    """The columns of a connectome, ready to be integrated.

    Parameters
    ----------
    connectome : Connectome
    columns : Columns
    sampling_hz : float
        Of the record.
    """

    def __init__(self, connectome: Connectome, columns: Columns, sampling_hz: float) -> None:
        if not sampling_hz > 0:
            raise InputError(f"The sampling rate must be positive, got {sampling_hz!r} Hz.")
        self.per_sample = int(np.ceil(1.0 / (sampling_hz * STEP_S) - 1e-9))
        self.step_s = 1.0 / (sampling_hz * self.per_sample)
        self.weights = np.asarray(connectome.weights, float) * COUPLING
        self.delays_s = np.where(self.weights > 0.0, np.nan_to_num(connectome.delays_s), 0.0)
        contacts = np.stack([columns.contacts, columns.slow_contacts], axis=1)
        level, rate = _working_point(contacts)
        self.level = torch.as_tensor(level @ [1.0, SLOW_WEIGHT])
        # What other columns send on average is part of the input, as homeostasis would have it: every column works at
        # the same point, whatever its place in the network. Hubs then have an input below zero: tonic inhibition.
        own_input = INPUT_PER_S - (rate @ [1.0 - SLOW_SHARE, SLOW_SHARE]) @ self.weights
        speed = torch.as_tensor(np.stack([columns.speed, columns.slow_speed], axis=1))
        cells = JansenRit(
            A=JansenRit.A * speed,
            B=JansenRit.B * speed,
            a=JansenRit.a * speed,
            b=JansenRit.b * speed,
            C=torch.as_tensor(contacts),
            p=torch.as_tensor(own_input)[:, None],
            p_sd=0.0,
        )
        # White noise of the same power per unit of the column's own time.
        noise = JansenRit.p_sd * JansenRit.p_step_s**0.5 * torch.tensor([NOISE, SLOW_NOISE]) * speed**-0.5
        self.model = MixedColumns(cells, *_background(self.weights, noise))

    def settled(self, n_takes: int, rng: np.random.Generator) -> Snapshot:
        """Independent situations after the burn-in."""
        generators = [torch.Generator().manual_seed(int(s)) for s in rng.integers(2**62, size=n_takes)]
        n_steps = round(BURN_IN_S / self.step_s)
        return self._integrate(n_steps, generators=generators, record_every=n_steps).final

    def run(self, begin: Snapshot, n_times: int, drive: Callable[[int], Value] | None = None) -> Trajectory:
        """Record `n_times` samples, mV from the working point, shape (n_takes, n_copies, n_times, n_regions)."""
        return self._integrate(n_times * self.per_sample, begin=begin, stimulation=drive, record_every=self.per_sample)

    def volleys(self, doses: Array, pulse_times_s: Array) -> Callable[[int], Tensor]:
        """Input by step, shape (n_takes, 1, n_regions), of pulses that make axons fire.

        Every axon that is excited fires once. The volley reaches the targets by the weights of the network after its
        delays, and the region itself through its recurrent contacts. Stimulation excites axons rather than cell
        bodies (Nowak & Bullier 1998, doi:10.1007/s002210050304), and the rate of a Jansen-Rit population, 5/s at most,
        could not say that all fire in one millisecond.

        Parameters
        ----------
        doses : array, shape (n_takes, n_pulses, n_regions)
        pulse_times_s : array, shape (n_takes, n_pulses)
        """
        if doses.ndim != 3 or doses.shape[:2] != pulse_times_s.shape or doses.shape[2] != len(self.weights):
            raise InputError(
                f"Doses must be (n_takes, n_pulses, {len(self.weights)}) and the times (n_takes, n_pulses); "
                f"got {doses.shape} and {pulse_times_s.shape}."
            )
        arrivals: dict[int, Array] = {}
        for take, pulse in np.argwhere(doses.any(axis=2)):
            first = round(float(pulse_times_s[take, pulse]) / self.step_s)
            for offset, pulses in enumerate(self._arrivals(doses[take, pulse])):
                if pulses.any():
                    at = arrivals.setdefault(first + offset, np.zeros((len(doses), len(self.weights))))
                    at[take] += pulses
        steps = {step: torch.as_tensor(at / self.step_s)[:, None] for step, at in arrivals.items()}
        nothing = torch.zeros(len(doses), 1, len(self.weights), dtype=torch.float64)
        return lambda step: steps.get(step, nothing)

    def _arrivals(self, dose: Array) -> Array:
        """Pulses that reach every region in the steps after a pulse, shape (n_steps, n_regions)."""
        sources = np.flatnonzero(dose)
        delay, weight = self.delays_s[sources], self.weights[sources] * dose[sources, None]
        # The region itself, at once.
        weight[np.arange(len(sources)), sources] = LOCAL_PULSES * dose[sources]
        spread = np.hypot(JITTER_S, DISPERSION * delay)
        late = delay + 3.0 * spread + 3.0 * JITTER_S
        # An input is held for a step: what it stands for is the middle of that.
        steps = (np.arange(int(np.ceil(late.max() / self.step_s)) + 1) + 0.5) * self.step_s
        # No axon conducts before the pulse: the middle of the shortest volleys lies three SD after it.
        middle = np.maximum(delay, 3.0 * spread)
        shape = np.exp(-0.5 * ((steps[:, None, None] - middle) / spread) ** 2)
        shape /= shape.sum(axis=0, keepdims=True)
        arrived: Array = (shape * weight).sum(axis=1)
        return arrived

    def _integrate(self, n_steps: int, **kwargs: object) -> Trajectory:
        delays = torch.as_tensor(np.rint(self.delays_s / self.step_s).astype(np.int64))
        with torch.inference_mode():
            return integrate(
                self.model,
                torch.as_tensor(self.weights),
                n_steps=n_steps,
                dt=self.step_s,
                delays_steps=delays,
                signal=lambda state: self.model.observe(state) - self.level,
                **kwargs,  # type: ignore[arg-type]
            )


def _background(weights: Array, noise: Tensor) -> tuple[Tensor, Tensor]:
    """SD of the background firing, and what it does to the own column, see `MixedColumns`.

    Parameters
    ----------
    weights : array, shape (n_regions, n_regions)
        Pulses/s at a column for each pulse/s of another one.
    noise : tensor, shape (n_regions, 2)
        SD of the integral of the input of the fast and of the slow cells over a second, pulses.
    """
    from_others = torch.as_tensor((weights**2).sum(axis=0))
    heard = from_others > 0
    # All regions fire alike, so that those with strong bundles hear more of the others. Without any bundle there is
    # nothing to share.
    ratio = (noise[heard, 0] ** 2 / from_others[heard]).median() if heard.any() else noise[:, 0].median() ** 2
    sd = (EXTRINSIC * ratio) ** 0.5
    return sd.expand(len(noise)), (1.0 - EXTRINSIC) ** 0.5 * noise / sd


def _working_point(contacts: Array) -> tuple[Array, Array]:
    """Potential (mV) and rate (1/s) of populations at rest under the mean input."""
    model = JansenRit()

    def rate(potential: Array) -> Array:
        return 2 * float(model.e0) / (1 + np.exp(float(model.r) * (float(model.v0) - potential)))

    # For every potential there is one input that holds it; between these contacts only one potential fits an input.
    potential = np.linspace(-5.0, 25.0, 30001)
    excitatory = float(model.A) / float(model.a) * rate(potential)
    level = np.empty(contacts.shape)
    for which, c in np.ndenumerate(contacts):
        held = potential + float(model.B) / float(model.b) * 0.25 * c * rate(0.25 * c * excitatory)
        needed = held * float(model.a) / float(model.A) - 0.8 * c * rate(c * excitatory)
        level[which] = np.interp(INPUT_PER_S, *_rising(needed, potential))
    return level, rate(level)


def _rising(needed: Array, potential: Array) -> tuple[Array, Array]:
    """The part of the curve after its last fall, where the input that is needed grows with the potential."""
    falls = np.flatnonzero(np.diff(needed) <= 0.0)
    first = falls[-1] + 1 if len(falls) else 0
    return needed[first:], potential[first:]
