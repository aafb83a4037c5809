"""Find the regions of one table in another, by name or by another spelling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bids_ai.parcellation.names import listed, name_key


@dataclass(frozen=True)
class Matching:
    """Where each wanted region stands in another list.

    Parameters
    ----------
    positions : list of int or None
        One per wanted region.
    aliases : list of (str, str)
        Wanted and given name, where they are spelled differently.
    missing, surplus : list of str
        Wanted regions that were not found; given ones that nothing asks for.
    """

    positions: list[int | None]
    aliases: list[tuple[str, str]]
    missing: list[str]
    surplus: list[str]

    @property
    def reordered(self) -> bool:
        """Whether those found stand in another order."""
        found = [position for position in self.positions if position is not None]
        return found != sorted(found)


def matching_notes(found: Matching, where: str) -> list[str]:
    """Say what was matched other than name by name in order."""
    notes = []
    if found.reordered:
        notes.append(f"{where} has the regions in another order; it was brought into that of the signals by name.")
    if found.aliases:
        pairs = listed([f"{given} = {wanted}" for wanted, given in found.aliases], 3)
        notes.append(f"{len(found.aliases)} regions of {where} are spelled differently and were matched: {pairs}.")
    if found.surplus:
        notes.append(
            f"{where} has {len(found.surplus)} regions that the signals lack; they are not used: "
            f"{listed(found.surplus, 5)}."
        )
    return notes


def match_names(wanted: Sequence[str], given: Sequence[str]) -> Matching:
    """Find regions by name, or by another spelling that is nobody else's (``7Networks_LH_Vis_1`` = ``LH_Vis_1``)."""
    exact = {name: position for position, name in enumerate(given)}
    keys = Counter(map(name_key, given))
    wanted_keys = Counter(map(name_key, wanted))
    alike = {name_key(name): position for position, name in enumerate(given) if keys[name_key(name)] == 1}
    positions: list[int | None] = []
    aliases = []
    for name in wanted:
        position = exact.get(name)
        if position is None and wanted_keys[name_key(name)] == 1:
            position = alike.get(name_key(name))
            if position is not None:
                aliases.append((name, given[position]))
        positions.append(position)
    taken = set(positions)
    return Matching(
        positions,
        aliases,
        missing=[name for name, position in zip(wanted, positions, strict=True) if position is None],
        surplus=[name for position, name in enumerate(given) if position not in taken],
    )
