"""Named systems with known connectivity. A new system is one function and one line of `SYSTEMS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from bids_ai.dynamics.hopf import Hopf
from bids_ai.dynamics.jansen_rit import JansenRit
from bids_ai.dynamics.linear import LinearOU, LinearVar
from bids_ai.dynamics.lorenz96 import Lorenz96
from bids_ai.dynamics.rate import RateNetwork
from bids_ai.dynamics.wilson_cowan import WilsonCowan
from bids_ai.dynamics.wong_wang import WongWang
from bids_ai.errors import InputError
from bids_ai.simulate.systems.connectomes import (
    dense_gaussian,
    distance_dependent,
    random_lognormal,
    ring,
    sparse_signed,
)
from bids_ai.simulate.systems.observation import KernelBold
from bids_ai.simulate.systems.system import Push, System
from bids_ai.surrogate.seeds import member_seed


def _rng(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng(member_seed(seed, f"connectome of {name}"))


def rate_rnn(seed: int, n_regions: int = 20) -> System:
    """Rate network of Neural Perturbational Inference; truth: change one TR after a push of the state by 1."""
    weights = dense_gaussian(n_regions, _rng(seed, "rate-rnn"))
    push = Push(size=1.0, duration_s=0.0, window_s=(0.0, 1.0), n_states=256)
    return System("rate-rnn", RateNetwork(), weights, 1.0, interval_s=1.0, push=push, burn_in_s=30.0)


def jansen_rit(
    seed: int, n_regions: int = 16, gain: float = 30.0, method: str = "euler", window_s: float = 0.1
) -> System:
    """Jansen-Rit columns at 250 Hz (mV); truth: over the 100 ms from a 20 ms push of the input by 100 pulses/s.

    By default the map that Euler's scheme makes of the model at steps of 1 ms, in which the random input is drawn:
    a system of its own, whose truth is that of the map. It spikes at 4 Hz up to p = 160, where the differential
    equations stop at 137. With `method="heun"`, which is accurate at this step, nearly all columns keep to alpha;
    100 ms are then one whole cycle, in which the response cancels (two estimates of the truth over 256 states
    agree by r .71 to .97), so that a `window_s` of 0.048 is to be taken.
    """
    weights = random_lognormal(n_regions, _rng(seed, "jansen-rit"), density=0.2)
    push = Push(size=100.0, duration_s=0.02, window_s=(0.0, window_s), n_states=512)
    return System("jansen-rit", JansenRit(), weights, gain, interval_s=0.004, push=push, burn_in_s=2.0, method=method)


def wong_wang(
    seed: int, n_regions: int = 40, gain: float = 0.6, density: float = 0.35, noise_sd: float = 0.3
) -> System:
    """Reduced Wong-Wang with Boynton BOLD, TR 0.72 s; truth: BOLD over the 6 s from a 0.2 s push of 0.01 nA."""
    connectome = distance_dependent(n_regions, _rng(seed, "wong-wang"), density=density)
    return System(
        "wong-wang",
        WongWang(),
        connectome.weights,
        gain,
        interval_s=0.72,
        push=Push(size=0.01, duration_s=0.2, window_s=(0.0, 6.0), n_states=16),
        observation=KernelBold("boynton"),
        noise_sd=noise_sd,
        positions_mm=connectome.positions_mm,
        burn_in_s=5.0,
    )


def linear_var(seed: int, n_regions: int = 20, density: float = 0.2) -> System:
    """Sparse VAR(1), edges exactly absent; truth: change one step after a push of the state, that is the weights."""
    weights = sparse_signed(n_regions, _rng(seed, "linear-var"), density=density, radius=0.4)
    push = Push(size=1.0, duration_s=0.0, window_s=(0.0, 1.0), n_states=1)
    return System("linear-var", LinearVar(), weights, 1.0, interval_s=1.0, push=push, burn_in_s=100.0)


def linear_ou(seed: int, n_regions: int = 20, density: float = 0.2) -> System:
    """Sparse Ornstein-Uhlenbeck process sampled every time constant; truth: one sample after a push of the state."""
    weights = sparse_signed(n_regions, _rng(seed, "linear-ou"), density=density, radius=0.7)
    push = Push(size=1.0, duration_s=0.0, window_s=(0.0, 1.0), n_states=1)
    return System("linear-ou", LinearOU(), weights, 1.0, interval_s=1.0, push=push, burn_in_s=30.0)


def linear_ou_shared(seed: int, n_regions: int = 20, density: float = 0.2, shared_noise: float = 0.5) -> System:
    """`linear_ou` under noise of which half is common to all regions, as breathing or arousal would be."""
    system = linear_ou(seed, n_regions, density)
    return replace(system, name="linear-ou-shared", model=LinearOU(shared_noise=shared_noise))


def jansen_rit_brain(seed: int, n_regions: int = 40, gain: float = 10.0, speed_m_per_s: float = 6.0) -> System:
    """Jansen-Rit columns on a connectome with distance delays, 250 Hz; truth: over the 48 ms from a 20 ms push.

    At 6 m/s the median delay of the connections is about 12 ms; evoked potentials of stimulation gave a median of
    10.2 ms between cortical parcels (Lemarechal et al. 2022, doi:10.1093/brain/awab362).
    """
    connectome = distance_dependent(n_regions, _rng(seed, "jansen-rit-brain"), scaling=1.0)
    return System(
        "jansen-rit-brain",
        JansenRit(),
        connectome.weights,
        gain,
        interval_s=0.004,
        push=Push(size=100.0, duration_s=0.02, window_s=(0.0, 0.048), n_states=64),
        delays_s=connectome.delays_s(speed_m_per_s),
        positions_mm=connectome.positions_mm,
        burn_in_s=2.0,
    )


def wilson_cowan(seed: int, n_regions: int = 20, gain: float = 1.0) -> System:
    """Wilson-Cowan columns at 250 Hz below their limit cycle; truth: over 50 ms from a 10 ms push of the input."""
    weights = random_lognormal(n_regions, _rng(seed, "wilson-cowan"), density=0.2)
    push = Push(size=0.5, duration_s=0.01, window_s=(0.0, 0.05), n_states=256)
    return System("wilson-cowan", WilsonCowan(P=1.0), weights, gain, interval_s=0.004, push=push, burn_in_s=2.0)


def hopf(seed: int, n_regions: int = 40, gain: float = 0.1, a: float = -0.02) -> System:
    """Stuart-Landau oscillators below the bifurcation as BOLD, TR 2 s; truth: one TR after a push of x by 0.05."""
    connectome = distance_dependent(n_regions, _rng(seed, "hopf"))
    return System(
        "hopf",
        Hopf(a=a),
        connectome.weights,
        gain,
        interval_s=2.0,
        push=Push(size=0.05, duration_s=0.0, window_s=(0.0, 2.0), n_states=64),
        positions_mm=connectome.positions_mm,
        burn_in_s=200.0,
    )


def lorenz_96(seed: int, n_regions: int = 20, forcing: float = 8.0) -> System:
    """Chaotic ring without noise, sampled every 0.1 time units; truth: one sample after a push of the state by 0.5.

    The coupling is part of the equations: the connectivity names which regions drive which, and the seed plays
    no part in it.
    """
    push = Push(size=0.5, duration_s=0.0, window_s=(0.0, 0.1), n_states=512)
    model = Lorenz96(F=forcing)
    return System("lorenz-96", model, ring(n_regions, (-1, 1, 2)), 0.0, interval_s=0.1, push=push, burn_in_s=20.0)


def bistable_rate(seed: int, n_regions: int = 10, gain: float = 1.0) -> System:
    """Rate network of bistable regions, sampled every time constant; truth: one sample after a push by 1."""
    weights = sparse_signed(n_regions, _rng(seed, "bistable-rate"), density=0.3, radius=1.0)
    model = RateNetwork(self_coupling=2.5, sigma=0.8)
    push = Push(size=1.0, duration_s=0.0, window_s=(0.0, 1.0), n_states=512)
    return System("bistable-rate", model, weights, gain, interval_s=1.0, push=push, burn_in_s=50.0)


SYSTEMS: dict[str, Callable[..., System]] = {
    "rate-rnn": rate_rnn,
    "linear-var": linear_var,
    "linear-ou": linear_ou,
    "linear-ou-shared": linear_ou_shared,
    "jansen-rit": jansen_rit,
    "jansen-rit-brain": jansen_rit_brain,
    "wilson-cowan": wilson_cowan,
    "hopf": hopf,
    "wong-wang": wong_wang,
    "lorenz-96": lorenz_96,
    "bistable-rate": bistable_rate,
}
"""Name -> function of (seed of the connectome, sizes) that makes the system."""


def get_system(name: str, seed: int = 0, **sizes: float) -> System:
    """System by name.

    Parameters
    ----------
    name : str
    seed : int, default=0
        Of the connectome; the seeds of the noise are given to `System.simulate`.
    **sizes
        What the function of the system takes, such as n_regions.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    if name not in SYSTEMS:
        raise InputError(f"Unknown system {name!r}: choose one of {', '.join(SYSTEMS)}.")
    return SYSTEMS[name](seed, **sizes)
