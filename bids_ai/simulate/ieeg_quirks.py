"""Oddities of published stimulation datasets, planted into the sidecars of a simulated one: fixtures for a reader.

Each was seen in one of ds004080, ds004457, ds004696, ds004977 and ds003708 on OpenNeuro. Signals stay as they are, so
that where a quirk renames a stimulated site or moves an onset, the tables no longer say what was simulated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bids_ai.errors import InputError
from bids_ai.simulate.folder import write_json
from bids_ai.simulate.ieeg_tables import IeegTables, load_tables
from bids_ai.simulate.plan import stream

Planted = dict[str, object]
Quirk = Callable[[IeegTables, np.random.Generator], Planted]

_SITE = "electrical_stimulation_site"
_CURRENT = "electrical_stimulation_current"


def apply_quirks(root: Path, names: Iterable[str], *, seed: int = 0) -> dict[str, dict[str, Planted]]:
    """Plant quirks into every stimulation recording of a dataset.

    Parameters
    ----------
    root : Path
        A dataset that `write_ieeg` has written to; its sidecars are rewritten in place.
    names : iterable of str
        Of `QUIRKS`; they are planted in the order of the registry.
    seed : int
        Of the contacts and pulses that are chosen.

    Returns
    -------
    dict
        What was planted, by recording and quirk; also in ``sourcedata/truth/quirks.json``.

    Raises
    ------
    InputError
        For an unknown quirk, or a dataset without stimulation.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(QUIRKS))
    if unknown:
        raise InputError(f"Unknown quirk {', '.join(unknown)}: choose of {', '.join(QUIRKS)}.")
    recordings = sorted(root.glob("sub-*/**/*_task-spes_events.tsv"))
    if not recordings:
        raise InputError(f"No *_task-spes_events.tsv in {root}: write the SEEG first (write_ieeg).")
    planted: dict[str, dict[str, Planted]] = {}
    for events in recordings:
        tables = load_tables(root, events)
        stem = events.name.removesuffix("_events.tsv")
        planted[stem] = {
            name: quirk(tables, stream(seed, stem, "quirk", name)) for name, quirk in QUIRKS.items() if name in wanted
        }
        tables.save()
    write_json(root / "sourcedata" / "truth" / "quirks.json", planted)
    return planted


def _hyphens(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """All names of one lead with a hyphen inside: ``RB-M1``."""
    lead = _stimulated_lead(tables, rng)
    return dict(tables.rename({name: f"{name[0]}-{name[1:]}" for name in tables.of_lead(lead)}))


def _quotes(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Names without a side, a quote marks the left (``A'1``), as centres in France and Italy do."""
    new = {}
    for name in tables.electrodes["name"]:
        lead = name.rstrip("0123456789")
        if name[0] in "LR":
            new[name] = lead[1:] + ("'" if name[0] == "L" else "") + name[len(lead) :]
    return dict(tables.rename(new))


def _electrode_names(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Electrodes of one lead are named ``-RV1`` where the channel is ``RV1`` (ds004457)."""
    names = tables.of_lead(_stimulated_lead(tables, rng))
    new = {name: f"-{name}" for name in names}
    tables.electrodes["name"] = tables.electrodes["name"].replace(new)
    return dict(new)


def _case(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Channels of one lead differ in case from electrodes (``Oc1``, ``OC1``), and sites mix both (``sOC4-sOc5``)."""
    names = tables.of_lead(_stimulated_lead(tables, rng))
    sites = tables.events[_SITE].copy()
    new = {name: name[0] + name[1:].lower() for name in names}
    tables.rename(new, electrodes=False)
    firsts = sites.str.split("-").str[0]
    mixed = [
        site if old == "n/a" or first not in new else site.replace(new[first], first, 1)
        for site, old, first in zip(tables.events[_SITE], sites, firsts, strict=True)
    ]
    tables.events[_SITE] = mixed
    return dict(new)


def _periods(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """A row ``stimulation`` that spans all pulses (ds004080), and rows of sleep and eyes."""
    onsets = tables.onsets()
    first, last = float(onsets.min()) - 1.0, float(onsets.max()) + 1.0
    tables.add_event(first, last - first, "stimulation")
    tables.add_event(max(first - 0.5, 0.0), 0.4, "eyes")
    tables.add_event(last, 0.5, "sleep")
    return {"rows": 3}


def _artefacts(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Artefact rows over some pulses, of all contacts or of one; and a seizure."""
    pulses = rng.choice(len(tables.events), 3, replace=False)
    onsets = tables.onsets()[pulses]
    sites = tables.events[_SITE].to_numpy()[pulses]
    recorded = [name for name in tables.channel_names() if name not in str(sites[1])]
    involved = ["all", str(rng.choice(recorded)), "all"]
    for onset, where, kind in zip(onsets, involved, ("artefact", "artefact", "seizure"), strict=True):
        tables.add_event(float(onset) - 0.2, 0.6, kind, involved=where)
    described = zip(onsets, sites, involved, strict=True)
    return {"pulses": [[float(onset), str(site), where] for onset, site, where in described]}


def _cross_lead(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """One site between two leads, and one between contacts that are not neighbours (``ROP2-ROP4``)."""
    sites = _sites(tables, rng, 2)
    lead = dict(zip(tables.electrodes["name"], tables.electrodes["group"], strict=True))
    first = sites[0].split("-")[0]
    other = next(name for name in tables.channel_names() if lead[name] != lead[first])
    near, far = sites[1].split("-")
    skipped = [name for name in tables.channel_names() if lead[name] == lead[near] and name not in (near, far)]
    new = {sites[0]: f"{first}-{other}", sites[1]: f"{near}-{skipped[-1]}"}
    new |= {_reversed(old): _reversed(name) for old, name in new.items()}
    tables.events[_SITE] = tables.events[_SITE].replace(new)
    return dict(new)


def _near(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """A pulse 0.65 s after the one before."""
    pulse = int(rng.integers(1, len(tables.events)))
    onset = float(tables.onsets()[pulse - 1]) + 0.65
    tables.move_event(pulse, onset)
    return {"onset": onset}


def _order(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Rows that are not in the order of their onsets, of which one bears a note."""
    rows = np.sort(rng.choice(len(tables.events), 2, replace=False))
    order = np.arange(len(tables.events))
    order[rows] = rows[::-1]
    tables.events.loc[tables.events.index[rows[0]], "notes"] = "wrong onset corrected"
    tables.events = tables.events.iloc[order].reset_index(drop=True)
    return {"rows": rows.tolist()}


def _filters(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """High-pass and low-pass in each other's column, as in all of ds004080 and ds004696."""
    for channels in tables.channels.values():
        channels[["low_cutoff", "high_cutoff"]] = channels[["high_cutoff", "low_cutoff"]].to_numpy()
    return {"recordings": len(tables.channels)}


def _stimulated_bad(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """A stimulated contact is flagged bad."""
    name = _sites(tables, rng, 1)[0].split("-")[0]
    for channels in tables.channels.values():
        channels.loc[channels["name"] == name, ["status", "status_description"]] = ["bad", "noise"]
    return {"contact": name}


def _silicon(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """A column ``silicon``: contacts that lie on others and record silicone (ds004080)."""
    names = [str(name) for name in rng.choice(tables.channel_names(), 2, replace=False)]
    tables.electrodes["silicon"] = np.where(tables.electrodes["name"].isin(names), "yes", "no")
    return {"contacts": names}


def _types(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Channels of other types among those of the leads, without a place."""
    names = [str(name) for name in rng.choice(tables.channel_names(), 3, replace=False)]
    new = dict(zip(names, ("MISC", "OTHER", "EEG"), strict=True))
    for channels in tables.channels.values():
        channels["type"] = [new.get(name, kind) for name, kind in zip(channels["name"], channels["type"], strict=True)]
    return dict(new)


def _readme(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """The README names another space than the coordinate system does."""
    said = "Electrode positions are in MNI152 space."
    tables.readme = f"{tables.readme.rstrip()}\n\n{said}\n"
    return {"README": "MNI152", "coordsystem": tables.coordinate_system}


def _currents(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Two currents at one site."""
    site = _sites(tables, rng, 1)[0]
    rows = np.flatnonzero(tables.events[_SITE].isin([site, _reversed(site)]))[::2]
    old = str(tables.events[_CURRENT].iloc[rows[0]])
    new = "2.0 mA" if "mA" in old else "0.002"
    tables.events.loc[tables.events.index[rows], _CURRENT] = new
    return {"site": site, "currents": [old, new], "pulses": len(rows)}


def _no_place(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Good contacts without coordinates."""
    names = [str(name) for name in rng.choice(tables.channel_names(), 2, replace=False)]
    tables.electrodes.loc[tables.electrodes["name"].isin(names), ["x", "y", "z"]] = "n/a"
    return {"contacts": names}


def _sample_start(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """`sample_start` off by one in a third of the rows (ds004977), by 7 to 13 in some (ds003708)."""
    shift = np.where(rng.random(len(tables.events)) < 1 / 3, -1, 0)
    far = rng.choice(len(shift), 2, replace=False)
    shift[far] = -rng.integers(7, 14, 2)
    tables.events["sample_start"] = (tables.events["sample_start"].astype(int) + shift).astype(str)
    return {"shifts": shift.tolist()}


def _status(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """Pulses with status ``bad`` and ``wrongpair`` (ds004457); the column is made where there is none."""
    rows = rng.choice(len(tables.events), 2, replace=False)
    status = np.full(len(tables.events), "good", dtype=object)
    status[rows] = ["bad", "wrongpair"]
    tables.events["status"] = status
    return {"onsets": tables.onsets()[rows].tolist()}


def _few_pulses(tables: IeegTables, rng: np.random.Generator) -> Planted:
    """One site keeps one pulse, another three (ds004080 has 1, 3 and 32)."""
    kept = dict(zip(_sites(tables, rng, 2), (1, 3), strict=True))
    for site, number in kept.items():
        rows = np.flatnonzero(tables.events[_SITE].isin([site, _reversed(site)]))[number:]
        tables.events = tables.events.drop(index=tables.events.index[rows]).reset_index(drop=True)
    return dict(kept)


def _sites(tables: IeegTables, rng: np.random.Generator, number: int) -> list[str]:
    """Some of the sites, in the polarity that comes first."""
    present: list[str] = []
    for site in tables.events[_SITE]:
        if site != "n/a" and site.count("-") == 1 and site not in present and _reversed(site) not in present:
            present.append(site)
    return [str(site) for site in rng.choice(present, number, replace=False)]


def _stimulated_lead(tables: IeegTables, rng: np.random.Generator) -> str:
    """A lead with a stimulated site; its names may differ in case by now."""
    name = _sites(tables, rng, 1)[0].split("-")[0]
    channels = tables.channels[tables.task]
    groups = dict(zip(channels["name"].str.upper(), channels["group"], strict=True))
    return str(groups[name.upper()])


def _reversed(site: str) -> str:
    return "-".join(site.split("-")[::-1])


#: Order matters where several are planted: what chooses pulses comes before what adds rows or renames contacts.
QUIRKS: dict[str, Quirk] = {
    "several-currents": _currents,
    "few-pulses": _few_pulses,
    "stimulated-bad": _stimulated_bad,
    "cross-lead": _cross_lead,
    "status": _status,
    "sample-start": _sample_start,
    "near-pulses": _near,
    "artefacts": _artefacts,
    "periods": _periods,
    "out-of-order": _order,
    "swapped-filters": _filters,
    "silicon": _silicon,
    "channel-types": _types,
    "no-coordinates": _no_place,
    "readme-space": _readme,
    "electrode-names": _electrode_names,
    "case": _case,
    "quotes": _quotes,
    "hyphens": _hyphens,
}
"""Name -> function that plants the quirk and says what it planted."""
