"""Leads of depth electrodes, told from the names of their contacts, and the neighbours on them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding, shown

Array = NDArray[np.floating]

#: Neighbours on a lead are 2 to 10 mm apart; more means that the positions or the numbers are wrong (mm).
MAX_NEIGHBOUR_MM = 20.0
_CONTACT = re.compile(r"^(?P<lead>.*?\D)??(?P<number>\d+)(?P<rest>\D*)$")


@dataclass(frozen=True)
class Contact:
    """A contact's place on a lead.

    Attributes
    ----------
    lead : str
        Without the number: ``RB-M`` of ``RB-M1``, ``A'`` of ``A'1``. Empty where the name is a number alone.
    number : int
    """

    lead: str
    number: int


@dataclass(frozen=True)
class Bipole:
    """Two neighbours on a lead; the derivation is the first minus the second."""

    first: str
    second: str

    @property
    def name(self) -> str:
        """Both names joined; names may hold hyphens, so that `first` and `second` tell them apart, not the name."""
        return f"{self.first}-{self.second}"


def parse_contact(name: str) -> Contact | None:
    """Tell lead and number of a contact from its name.

    Parameters
    ----------
    name : str
        Such as ``LA01``, ``RB-M1``, ``A'12``, ``B2_3`` (lead ``B2_``), ``25`` (no lead).

    Returns
    -------
    Contact or None
        None where the name ends in no number.
    """
    found = _CONTACT.match(name.strip())
    if not found or found.group("rest").strip():
        return None
    return Contact((found.group("lead") or "").strip(), int(found.group("number")))


def leads_of(names: Sequence[str], groups: Mapping[str, str | None] | None = None) -> dict[str, dict[int, str]]:
    """Contacts of every lead.

    Parameters
    ----------
    names : sequence of str
    groups : mapping of str to str, optional
        Lead of a contact by the tables (column ``group``), for names that hold none.

    Returns
    -------
    dict
        Lead -> number -> name, by number. Contacts that cannot be placed are left out; so is the second of two with one
        number on one lead.
    """
    leads: dict[str, dict[int, str]] = {}
    for name in names:
        contact = parse_contact(name)
        if contact is None:
            continue
        # The case of a lead may change within it (Oc1, OC2); leads of one letter and its quote stay apart.
        lead = contact.lead.casefold() or f"group {(groups or {}).get(name) or ''}".strip()
        if lead == "group":
            continue
        leads.setdefault(lead, {}).setdefault(contact.number, name)
    return {lead: dict(sorted(contacts.items())) for lead, contacts in leads.items()}


def bipoles(
    names: Sequence[str],
    *,
    bads: Collection[str] = (),
    groups: Mapping[str, str | None] | None = None,
    positions_mm: Mapping[str, Array] | None = None,
) -> tuple[list[Bipole], list[Finding]]:
    """Pairs of neighbours along every lead.

    A missing or bad contact leaves a gap: the contacts on both sides of it are not paired with each other.

    Parameters
    ----------
    names : sequence of str
        Depth contacts.
    bads : collection of str
        Contacts that are not used.
    groups : mapping, optional
        See `leads_of`.
    positions_mm : mapping of str to array (3,), optional
        Neighbours farther apart than 20 mm are not paired.

    Returns
    -------
    pairs : list of Bipole
        Lead by lead in the order of `names`, the lower number first.
    findings : list of Finding
    """
    leads = leads_of(names, groups)
    placed = {name for contacts in leads.values() for name in contacts.values()}
    pairs, gaps, far = [], [], []
    for contacts in leads.values():
        numbers = list(contacts)
        for number, following in pairwise(numbers):
            first, second = contacts[number], contacts[following]
            if following != number + 1:
                gaps.append(f"{first} to {second}")
            elif first in bads or second in bads:
                continue
            elif positions_mm and _distance(positions_mm, first, second) > MAX_NEIGHBOUR_MM:
                far.append(f"{first}-{second}")
            else:
                pairs.append(Bipole(first, second))
    paired = {name for pair in pairs for name in (pair.first, pair.second)}
    lonely = [name for name in names if name not in paired and name not in bads]
    findings = []
    for code, which, text in (
        (
            "no-lead",
            [name for name in names if name not in placed],
            "contacts cannot be placed on a lead by their name",
        ),
        ("gaps-on-leads", gaps, "gaps of missing contacts on leads are not bridged"),
        ("far-neighbours", far, f"neighbours are more than {MAX_NEIGHBOUR_MM:g} mm apart and are not paired"),
        ("no-neighbour", lonely, "good contacts have no good neighbour and are in no bipole"),
    ):
        if which:
            findings.append(Finding(code, f"{len(which)} {text}: {shown(which)}.", len(which), tuple(which)))
    return pairs, findings


def _distance(positions: Mapping[str, Array], first: str, second: str) -> float:
    if first not in positions or second not in positions:
        return 0.0
    return float(np.nan_to_num(np.linalg.norm(np.asarray(positions[first]) - np.asarray(positions[second]))))
