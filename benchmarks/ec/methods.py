"""The methods: every surrogate family and every baseline, as their registries list them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bids_ai.effective.baselines.registry import BASELINES, get_baseline
from bids_ai.errors import InputError
from bids_ai.surrogate.registry import FAMILIES, STRUCTURAL, get_family
from bids_ai.surrogate.selection import AUTO

CLOSED, TRAINED, RARE = 0, 1, 2
"""How dear a method is: baselines and closed forms (also those of a likelihood), the trained ones that every user
meets (the automatic choice tries three of them), and the other trained families."""

MAIN_TRAINED = (AUTO, "mlp", "npi-mlp")


@dataclass(frozen=True)
class Method:
    """A method of the benchmark.

    Parameters
    ----------
    name : str
    kind : {"baseline", "surrogate"}
    reads_structural : bool
        Whether it can take a structural connectivity into account; if not it is run without one only.
    needs_structural : bool
    signed : bool
        Whether its values can be negative; if not they are compared with the absolute truth.
    coupling : bool
        Whether its values are couplings of standardised signals, to be turned into units of the signals.
    cost : int
        CLOSED, TRAINED or RARE.
    """

    name: str
    kind: str
    reads_structural: bool
    needs_structural: bool
    signed: bool = True
    coupling: bool = True
    cost: int = CLOSED

    def conditions(self, structurals: Sequence[str]) -> list[str]:
        """Kinds of structural connectivity that it is run with, "none" among them."""
        kinds = [] if self.needs_structural else ["none"]
        return kinds + (list(structurals) if self.reads_structural else [])


def baseline_method(name: str) -> Method:
    """Describe a baseline."""
    baseline = get_baseline(name)
    units = baseline.units
    return Method(
        name,
        "baseline",
        reads_structural=baseline.needs_structural or baseline.uses_structural,
        needs_structural=baseline.needs_structural,
        # Information has no sign.
        signed=units != "nats",
        coupling=units in ("Hz", "1/s") or units.startswith("SD of the target"),
    )


def surrogate_method(name: str) -> Method:
    """Describe a surrogate family."""
    if name == AUTO:
        return Method(AUTO, "surrogate", reads_structural=True, needs_structural=False, cost=TRAINED)
    cost = CLOSED if not get_family(name).trained else TRAINED if name in MAIN_TRAINED else RARE
    return Method(name, "surrogate", name in STRUCTURAL, STRUCTURAL.get(name, False), cost=cost)


def all_methods() -> dict[str, Method]:
    """Every method by name: baselines first, the automatic choice last."""
    return {
        **{name: baseline_method(name) for name in BASELINES},
        **{name: surrogate_method(name) for name in FAMILIES},
        AUTO: surrogate_method(AUTO),
    }


def chosen_methods(names: Sequence[str] | None) -> dict[str, Method]:
    """Methods of a run, by name or as "all", "baselines", "surrogates"; all by default.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    known = all_methods()
    groups = {
        "all": list(known),
        "baselines": [name for name, method in known.items() if method.kind == "baseline"],
        "surrogates": [name for name, method in known.items() if method.kind == "surrogate"],
    }
    wanted = {name for item in names or ["all"] for name in groups.get(item, [item])}
    for name in wanted:
        if name not in known:
            raise InputError(f"Unknown method {name!r}: choose among {', '.join([*groups, *known])}.")
    return {name: method for name, method in known.items() if name in wanted}
