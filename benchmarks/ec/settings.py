"""What is run: settings of the systems (length, observation noise, coupling), and seeds of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bids_ai.simulate.systems.registry import SYSTEMS

NPI_DATA = "npi-released"
"""Name of the rate networks released with NPI, which stand beside the systems of the registry."""

LONG_FRAMES = 2000
"""Beyond, training takes minutes per recording."""


@dataclass(frozen=True)
class Setting:
    """A system under given conditions.

    Parameters
    ----------
    system : str
    frames : int
        Length of a recording.
    noise : float, default=0.0
        Observation noise, as a share of the SD of each region.
    gain : float, default=1.0
        Coupling, as a share of that of the registry (of the weights, where the model has no gain).
    """

    system: str
    frames: int
    noise: float = 0.0
    gain: float = 1.0

    @property
    def label(self) -> str:
        """Name of files and rows."""
        return f"{self.system}_frames-{self.frames}_noise-{self.noise:g}_gain-{self.gain:g}"


@dataclass(frozen=True)
class Plan:
    """How a system is run.

    Parameters
    ----------
    base : Setting
        All methods, with and without structural connectivity.
    lengths, noises, gains : tuples
        Values other than those of the base, one at a time.
    seeds : int
        Of the base.
    variation_seeds : int
        Of the others.
    trained_seeds : int
        Of the less usual trained families, which are run in the base setting only.
    long_seeds : int
        Of the usual trained families and the automatic choice in a base setting of more than `LONG_FRAMES` frames.
    long_variations : bool
        Whether they are run in the other settings of that length too.
    selection_frames : tuple of int
        Lengths at which only the automatic choice is run, on `selection_seeds` seeds.
    dynamics : bool
        Whether the free-running series of the automatic choice and of ridge VAR are compared with the frames that
        follow the recording.
    """

    base: Setting
    lengths: tuple[int, ...] = ()
    noises: tuple[float, ...] = ()
    gains: tuple[float, ...] = ()
    seeds: int = 5
    variation_seeds: int = 3
    trained_seeds: int = 2
    long_seeds: int = 1
    long_variations: bool = False
    selection_frames: tuple[int, ...] = ()
    selection_seeds: int = 20
    dynamics: bool = False

    def variations(self) -> list[Setting]:
        """Settings that differ from the base in one thing."""
        return [
            *(replace(self.base, frames=frames) for frames in self.lengths),
            *(replace(self.base, noise=noise) for noise in self.noises),
            *(replace(self.base, gain=gain) for gain in self.gains),
        ]

    def settings(self) -> list[tuple[Setting, int]]:
        """Every setting of the comparison of methods, with its number of seeds."""
        return [(self.base, self.seeds), *((setting, self.variation_seeds) for setting in self.variations())]

    def selections(self) -> list[tuple[Setting, int]]:
        """Settings of the automatic choice, with its number of seeds."""
        return [(replace(self.base, frames=frames), self.selection_seeds) for frames in self.selection_frames]

    @property
    def longest(self) -> int:
        """Frames to simulate."""
        most = max(self.base.frames, *self.lengths, *self.selection_frames, 0)
        return 2 * most if self.dynamics else most


FULL = {
    "rate-rnn": Plan(Setting("rate-rnn", 1200), (200, 400, 8000), (0.5,), (0.5, 1.5)),
    "linear-var": Plan(Setting("linear-var", 1200), (300,), (0.5,), (0.5, 1.25), selection_frames=(300, 1200)),
    "linear-ou": Plan(Setting("linear-ou", 1200), (300,), (0.5,), (0.5, 1.25), selection_frames=(300, 1200)),
    "linear-ou-shared": Plan(Setting("linear-ou-shared", 1200), (300,)),
    "jansen-rit": Plan(Setting("jansen-rit", 30000), (7500,), (0.3,), (0.5, 1.5), long_seeds=2),
    "jansen-rit-brain": Plan(Setting("jansen-rit-brain", 15000), seeds=3),
    "wilson-cowan": Plan(Setting("wilson-cowan", 15000), (3750,), (0.3,), (0.5,)),
    "hopf": Plan(Setting("hopf", 600), (300,), (0.3,), (0.5, 2.0)),
    "wong-wang": Plan(Setting("wong-wang", 1440, noise=0.3), (720,), (0.0, 1.0), (0.5, 1.15), seeds=8),
    "lorenz-96": Plan(Setting("lorenz-96", 10000), (1200,), (0.3,), seeds=3, long_seeds=3, dynamics=True),
    "bistable-rate": Plan(Setting("bistable-rate", 10000), (1200,), (0.3,), seeds=3, long_seeds=3, dynamics=True),
    NPI_DATA: Plan(Setting(NPI_DATA, 1200), (200, 400, 8000), seeds=3, long_seeds=3, long_variations=True),
}
"""Default plan. Base lengths: 1200 frames as in the benchmark of NPI, 20 min (hopf, TR 2 s), 17 min (wong-wang,
TR .72 s), 1 or 2 min of 250 Hz. Couplings stay below the instabilities of the systems."""

QUICK = {
    "linear-var": Plan(Setting("linear-var", 300), (150,), seeds=2, variation_seeds=1, selection_frames=(300,)),
    "wilson-cowan": Plan(Setting("wilson-cowan", 1000), seeds=1),
    NPI_DATA: Plan(Setting(NPI_DATA, 400), seeds=2),
}
"""A smoke run."""


def default_plan(system: str) -> Plan:
    """Plan of a system that has none of its own, such as a new one."""
    return Plan(Setting(system, 1200), seeds=3)


def plans(quick: bool, systems: list[str] | None, seeds: int | None, n_released: int) -> dict[str, Plan]:
    """Plans of a run.

    Parameters
    ----------
    quick : bool
    systems : list of str or None
        Only these.
    seeds : int or None
        At most so many seeds of the base and of the variations (selection: as planned).
    n_released : int
        How many of the rate networks released with NPI are at hand.
    """
    known = QUICK if quick else FULL
    names = systems or [*(QUICK if quick else SYSTEMS), NPI_DATA]
    chosen = {name: known.get(name, default_plan(name)) for name in names if name != NPI_DATA or n_released}
    if quick:
        chosen = {name: replace(plan, selection_seeds=2) for name, plan in chosen.items()}
    if NPI_DATA in chosen:
        chosen[NPI_DATA] = replace(chosen[NPI_DATA], seeds=min(n_released, chosen[NPI_DATA].seeds))
    if seeds is None:
        return chosen
    return {
        name: replace(
            plan,
            seeds=min(seeds, n_released) if name == NPI_DATA else seeds,
            variation_seeds=min(seeds, plan.variation_seeds),
            selection_seeds=min(seeds, plan.selection_seeds) if quick else plan.selection_seeds,
        )
        for name, plan in chosen.items()
    }
