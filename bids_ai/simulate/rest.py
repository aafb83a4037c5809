"""Resting BOLD of a virtual patient: the reduced Wong-Wang model on its connectome, and the true EC of that model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from torch import Tensor

from bids_ai.dynamics.wong_wang import WongWang
from bids_ai.simulate.plan import REPETITION_TIME_S
from bids_ai.simulate.systems.observation import KernelBold
from bids_ai.simulate.systems.system import Push, System
from bids_ai.simulate.threads import one_thread

Array = NDArray[np.floating]

#: Decay rate of the slowest mode of the network relative to that of a lone region: the global coupling of every subject
#: is such that this holds. Nearer to 0 all regions fluctuate as one, nearer to 1 they do not hear each other. At 0.35
#: FC grows with SC by r = .5 to .6 in runs of four minutes, as in recorded brains (Honey et al. 2009,
#: doi:10.1073/pnas.0811168106).
SLOWEST_MODE = 0.35
#: Noise of the gating variable per sqrt(ms). A fifth of that of Deco et al. 2013 (doi:10.1523/JNEUROSCI.1091-13.2013):
#: at this coupling theirs carries the strongest hubs over to the state of high activity within minutes.
SIGMA = 0.0002
#: Integration step, s: a twenty-fifth of the time constant of NMDA.
STEP_S = 0.004
#: Series are kept in bins of this width, s, far below what haemodynamics let through.
BIN_S = 0.04
#: Simulated time that is thrown away before the first frame, s: the network settles within seconds, the haemodynamics
#: remember 32 s.
SETTLING_S = 10.0
#: Percent signal change per unit of the gating variable, so that regions fluctuate by 1.4 % (median).
PERCENT_PER_GATING = 3800.0
#: The push of the true EC: a pulse of current in nA, small against what makes the network leave its working point.
PUSH = Push(size=0.002, duration_s=0.2, window_s=(0.0, 6.0), n_states=4)

_HAEMODYNAMICS = KernelBold("double-gamma")


class RestingWongWang(WongWang):
    """Reduced Wong-Wang model that starts at its resting state: from elsewhere, strong coupling leads to another."""

    def initial(self, batch: int, n_regions: int, generator: torch.Generator | None = None) -> Tensor:
        """All regions at `resting_gating`."""
        return torch.full((batch, n_regions, 1), resting_gating(), dtype=torch.float64)


@dataclass(frozen=True)
class MeanActivity:
    """The activity itself, as its mean over every frame."""

    memory_s: ClassVar[float] = 0.0
    linear: ClassVar[bool] = True

    def bins_per_frame(self, interval_s: float, steps_per_frame: int) -> int:
        """One value per frame."""
        return 1

    def signal(self, activity: Tensor, bin_s: float) -> Tensor:
        """Return the activity."""
        return activity


@dataclass(frozen=True)
class RestSeries:
    """One run of rest, in bins of `BIN_S` from `before_s` before its first frame.

    Attributes
    ----------
    gating : array, shape (n_bins, n_regions)
        Fraction of open NMDA channels, 0..1.
    percent : array, shape (n_bins, n_regions)
        BOLD, percent signal change from that of the resting state.
    before_s : float
    """

    gating: Array
    percent: Array
    before_s: float

    def at(self, series: Array, times_s: Array) -> Array:
        """Values of `gating` or `percent` at times, linearly between bins.

        Parameters
        ----------
        series : array, shape (n_bins, n_regions)
        times_s : array, any shape
            Seconds from the start of the first frame.

        Returns
        -------
        array, shape (*times_s.shape, n_regions)
        """
        # The mean of a bin stands for its middle.
        position = (np.asarray(times_s) + self.before_s) / BIN_S - 0.5
        first = np.clip(np.floor(position).astype(int), 0, len(series) - 2)
        part = (position - first)[..., None]
        return series[first] * (1.0 - part) + series[first + 1] * part


def rest_system(weights: Array) -> System:
    """The network of a subject at its working point, seen as BOLD.

    Feedback inhibition keeps the mean activity of every region at that of a lone one, however much comes in: its
    background current is lowered by what its sources send at rest (Deco et al. 2014,
    doi:10.1523/JNEUROSCI.5068-13.2014). The global coupling puts the slowest mode at `SLOWEST_MODE`. Conduction delays
    of some 10 ms are left out: BOLD does not see them.

    Parameters
    ----------
    weights : array, shape (n_regions, n_regions)
        Row = source, column = target.

    Returns
    -------
    System
        Frames of `REPETITION_TIME_S`; its true EC is in the unit of the gating variable per nA.
    """
    model = WongWang()
    own, heard = _slopes()
    largest = float(np.linalg.eigvals(weights).real.max())
    # Without a loop no coupling makes a mode slower; in-strength is then what there is to go by.
    reach = largest if largest > 1e-6 else max(float(weights.sum(axis=0).max()), 1e-6)
    gain = (1.0 - SLOWEST_MODE) * own / (heard * reach)
    background = model.I0 - gain * model.J * resting_gating() * weights.sum(axis=0)
    return System(
        "virtual-patient",
        RestingWongWang(I0=torch.as_tensor(background), sigma=SIGMA),
        np.asarray(weights, float),
        gain,
        interval_s=REPETITION_TIME_S,
        push=PUSH,
        observation=_HAEMODYNAMICS,
        burn_in_s=SETTLING_S,
        dt=STEP_S,
    )


@one_thread()
def simulate_rest(system: System, duration_s: float, seeds: Sequence[int]) -> list[RestSeries]:
    """Runs of rest of one subject.

    Parameters
    ----------
    system : System
        Of `rest_system`.
    duration_s : float
    seeds : sequence of int
        One per run.

    Returns
    -------
    list of RestSeries
    """
    before = _HAEMODYNAMICS.memory_s
    finely = replace(system, interval_s=BIN_S, observation=MeanActivity())
    n_bins = int(np.ceil((before + duration_s) / BIN_S))
    gating = finely.simulate(n_bins, seeds)
    change = torch.as_tensor(gating - resting_gating())
    percent = PERCENT_PER_GATING * _HAEMODYNAMICS.signal(change, BIN_S).numpy()
    return [RestSeries(*pair, before) for pair in zip(gating, percent, strict=True)]


@one_thread()
def true_effective_connectivity(system: System, seed: int) -> Array:
    """Change of BOLD after a push of every region, by runs with the same noise with and without it.

    Parameters
    ----------
    system : System
        Of `rest_system`.
    seed : int

    Returns
    -------
    array, shape (n_regions, n_regions)
        Percent signal change per nA, mean over the frames within the window of `PUSH`; row = pushed, column =
        responding; NaN diagonal.
    """
    return PERCENT_PER_GATING * system.true_effective_connectivity(seed)


@cache
def resting_gating() -> float:
    """Gating variable of a lone region at rest."""
    return float(brentq(lambda gating: _drift(gating, 0.0), 0.0, 0.2, xtol=1e-15))


@cache
def _slopes() -> tuple[float, float]:
    """Decay rate of a lone region about its rest (1/s), and how its drift grows with its input from others (1/s)."""
    rest, step = resting_gating(), 1e-5
    own = (_drift(rest + step, 0.0) - _drift(rest - step, 0.0)) / (2.0 * step)
    heard = (_drift(rest, step) - _drift(rest, -step)) / (2.0 * step)
    return -own, heard


def _drift(gating: float, coupling: float) -> float:
    return float(WongWang().drift(torch.tensor([[gating]], dtype=torch.float64), coupling, 0.0))
