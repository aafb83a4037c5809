"""Which method is run on which setting, how often, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ec.methods import CLOSED, RARE, TRAINED, Method
from benchmarks.ec.settings import LONG_FRAMES, Plan, Setting
from bids_ai.surrogate.selection import AUTO


@dataclass(frozen=True)
class Job:
    """Some methods on the first seeds of a setting.

    Parameters
    ----------
    plan : Plan
    setting : Setting
    n_seeds : int
    methods : tuple of Method
    structurals : tuple of str
        Kinds of structural connectivity that are tried where the system has any.
    """

    plan: Plan
    setting: Setting
    n_seeds: int
    methods: tuple[Method, ...]
    structurals: tuple[str, ...]

    def conditions(self, available: Sequence[str]) -> list[tuple[Method, str]]:
        """Pairs of method and structural connectivity ("none" is one), of those that a system has."""
        kinds = [kind for kind in self.structurals if kind in available]
        return [(method, kind) for method in self.methods for kind in method.conditions(kinds)]


def plan_jobs(plans: Mapping[str, Plan], methods: Mapping[str, Method], *, exhaustive: bool) -> list[Job]:
    """Jobs of a run, the ones that say most for their time first.

    Parameters
    ----------
    plans : mapping
    methods : mapping
    exhaustive : bool
        Every method in every setting; otherwise trained families are run on fewer seeds of long recordings, and the
        less usual ones in short base settings only.
    """
    jobs = [
        job
        for cost in (CLOSED, TRAINED, RARE)
        for plan in plans.values()
        for job in _jobs_of_cost(plan, tuple(m for m in methods.values() if m.cost == cost), cost, exhaustive)
    ]
    automatic = tuple(method for method in methods.values() if method.name == AUTO)
    chosen = [
        Job(plan, setting, n_seeds, automatic, ())
        for plan in plans.values()
        for setting, n_seeds in plan.selections()
        if automatic
    ]
    return sorted([*jobs, *chosen], key=_priority)


def _jobs_of_cost(plan: Plan, methods: tuple[Method, ...], cost: int, exhaustive: bool) -> Iterator[Job]:
    if not methods:
        return
    for setting, planned in plan.settings():
        base, long = setting == plan.base, setting.frames > LONG_FRAMES
        n_seeds = planned
        if not exhaustive and cost == TRAINED and long:
            n_seeds = min(planned, plan.long_seeds) if base or plan.long_variations else 0
        if not exhaustive and cost == RARE:
            n_seeds = min(planned, plan.trained_seeds) if base and not long else 0
        if n_seeds:
            yield Job(plan, setting, n_seeds, methods, _structurals(base, cost == CLOSED or not long))


def _structurals(base: bool, cheap: bool) -> tuple[str, ...]:
    """Kinds of structural connectivity: only the exact one where fits are dear, none beyond the base setting."""
    if not base:
        return ()
    return ("exact", "symmetrised", "noisy") if cheap else ("exact",)


def _priority(job: Job) -> tuple[int, bool]:
    """Closed forms before trained ones, short recordings before long ones, the base before what differs from it."""
    cost = max(method.cost for method in job.methods)
    differs = job.setting != job.plan.base
    return cost + (job.setting.frames > LONG_FRAMES) + differs, differs
