"""Which sites train and which test, such that a test site has no neighbour, and no reversed pair, in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.trials import BoolArray, IntArray
from bids_ai.errors import InputError

#: Sites with contacts up to this apart do not stand on both sides of a split, mm: they stimulate the same tissue.
#: Responses fall off within about 20 mm (Acharya & Nozari 2024, PMC11438964).
WITHIN_MM = 15.0


class Split(NamedTuple):
    """Sites counted through all patients: `train` and `test`, each an array of int."""

    train: IntArray
    test: IntArray


def leave_site_out(layouts: Sequence[Layout], within_mm: float = WITHIN_MM) -> Iterator[Split]:
    """Each site in turn, trained on the patient's others that share no contact and are farther than `within_mm`.

    Parameters
    ----------
    layouts : sequence of Layout
    within_mm : float
        Between the nearest contacts of two sites.

    Yields
    ------
    Split
        `train` may be empty.
    """
    for first, layout in _blocks(layouts):
        near = layout.near_sites(within_mm)
        for site in range(len(near)):
            yield Split(first + np.flatnonzero(~near[site]), np.array([first + site]))


def leave_lead_out(layouts: Sequence[Layout], within_mm: float = WITHIN_MM) -> Iterator[Split]:
    """The sites of each lead in turn, trained on the patient's other leads.

    A site between two leads is tested with that of its first contact and never trains for either.
    Parameters and yields are those of `leave_site_out`.
    """
    for first, layout in _blocks(layouts):
        near, leads = layout.near_sites(within_mm), layout.contact_leads[layout.site_contacts]
        for lead in dict.fromkeys(leads[:, 0].tolist()):
            test = leads[:, 0] == lead
            others = set(leads[test].ravel().tolist())
            close = near[test].any(axis=0) | np.isin(leads, list(others)).any(axis=1)
            yield Split(first + np.flatnonzero(~close), first + np.flatnonzero(test))


def leave_patient_out(layouts: Sequence[Layout]) -> Iterator[Split]:
    """Each patient in turn, trained on the others; nothing for one patient."""
    if len(layouts) < 2:
        return
    blocks = [first + np.arange(layout.shape[0]) for first, layout in _blocks(layouts)]
    for number, test in enumerate(blocks):
        yield Split(np.concatenate([one for other, one in enumerate(blocks) if other != number]), test)


def leave_site_out_plain(layouts: Sequence[Layout]) -> Iterator[Split]:
    """Each site in turn, trained on all others of the patient, neighbours and reversed pairs included.

    This one leaks. It is there for what a patient's own recording can say at best (nearest site, reverse edge) and for
    nothing else.
    """
    for first, layout in _blocks(layouts):
        for site in range(layout.shape[0]):
            yield Split(first + np.delete(np.arange(layout.shape[0]), site), np.array([first + site]))


SPLITS: dict[str, Callable[[Sequence[Layout]], Iterator[Split]]] = {
    "leave-site-out": leave_site_out,
    "leave-lead-out": leave_lead_out,
    "leave-patient-out": leave_patient_out,
}
"""Name -> splits that do not leak."""
PLAIN = "leave-site-out-plain"
"""Name of the one that does."""


def get_split(name: str) -> Callable[[Sequence[Layout]], Iterator[Split]]:
    """Split by name.

    Raises
    ------
    InputError
        For an unknown name, with the known ones.
    """
    known = {**SPLITS, PLAIN: leave_site_out_plain}
    if name not in known:
        raise InputError(f"Unknown split {name!r}: choose one of {', '.join(known)}.")
    return known[name]


def training_view(
    recorded: Sequence[Recorded], split: Split, *, reversed_pairs: bool = False, waveforms: bool = False
) -> list[Recorded]:
    """What a predictor may see of the responses: those of training sites, of patients who have some.

    Responses of training sites in channels that are made of a contact of a test site are hidden as well: they are the
    test pairs measured the other way round.

    Parameters
    ----------
    recorded : sequence of Recorded
    split : Split
    reversed_pairs : bool
        Show them (`PLAIN`).
    waveforms : bool
        Keep waveforms.
    """
    layouts = [one.layout for one in recorded]
    out = []
    for (first, layout), one in zip(_blocks(layouts), recorded, strict=True):
        train, test = (_mask(sites, first, layout.shape[0]) for sites in split)
        if not train.any():
            continue
        gone = np.repeat(~train[:, None], layout.shape[1], axis=1)
        if not reversed_pairs:
            gone |= layout.touches[test].any(axis=0)
        out.append(one.hidden(gone, waveforms=waveforms))
    return out


def _mask(sites: IntArray, first: int, n_sites: int) -> BoolArray:
    return np.isin(first + np.arange(n_sites), sites)


def _blocks(layouts: Sequence[Layout]) -> Iterator[tuple[int, Layout]]:
    """Each patient with the number of its first site."""
    first = 0
    for layout in layouts:
        yield first, layout
        first += layout.shape[0]
