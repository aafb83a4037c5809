"""Tables of the responses to stimulation, and what their sidecar says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.index import Recording
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources, versions
from bids_ai.stages.signals import told

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.stimulation import Stimulation
    from bids_ai.ccep.epochs import Pulses, Site
    from bids_ai.ccep.recording import CcepSettings, RecordingCcep


def site_names(planned: list[Site], contacts: list[str]) -> list[str]:
    """Name of every site: its contacts, and its current where a pair has several."""
    pairs = Counter(site.contacts for site in planned)
    return [
        f"{contacts[site.contacts[0]]}-{contacts[site.contacts[1]]}"
        + (f" {1e3 * site.current_a:g} mA" if pairs[site.contacts] > 1 else "")
        for site in planned
    ]


def other_currents(found: RecordingCcep, pulses: Pulses) -> list[int]:
    """Pulses of each site that were given with a current that is not worked on, (n_sites,)."""
    pairs = np.sort(np.column_stack([pulses.anodes, pulses.cathodes]), axis=1)
    held: dict[tuple[int, int], int] = {}
    for site in found.planned:
        count = len(site.pulses) + sum(len(which) for which in site.dropped.values())
        held[site.contacts] = held.get(site.contacts, 0) + count
    return [int((pairs == site.contacts).all(axis=1).sum()) - held[site.contacts] for site in found.planned]


def site_table(
    found: RecordingCcep, names: list[str], contacts: list[str], other: list[int], min_pulses: int
) -> pd.DataFrame:
    """One row per stimulated pair: what was used, what was dropped and why."""
    number = {int(site): row for row, site in enumerate(found.measured)}
    rows = []
    for position, (site, name) in enumerate(zip(found.planned, names, strict=True)):
        row = number.get(position)
        rows.append(
            {
                "site": name,
                "contact_1": contacts[site.contacts[0]],
                "contact_2": contacts[site.contacts[1]],
                "current": site.current_a,
                "pulses_used": len(site.pulses),
                "pulses_reversed": int((site.polarity < 0).sum()),
                "pulses_dropped": sum(len(which) for which in site.dropped.values()) + other[position],
                "reasons": _reasons(site, other[position], min_pulses if row is None else 0) or None,
                "trials_rejected": sum(found.rejected[row].values()) if row is not None else np.nan,
                "measured": row is not None,
                "channels_tested": int(np.isfinite(found.responder[row]).sum()) if row is not None else np.nan,
                "responders": int(np.nansum(found.responder[row])) if row is not None else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _reasons(site: Site, n_other: int, min_pulses: int) -> str:
    words = [f"{len(which)} {reason}" for reason, which in site.dropped.items()]
    words += [f"{n_other} with another current"] if n_other else []
    words += [f"not measured: {min_pulses} usable pulses are wanted"] if min_pulses else []
    return "; ".join(words)


def feature_table(
    found: RecordingCcep, sites: list[str], contacts: list[str], names: list[str], distance: np.ndarray
) -> pd.DataFrame:
    """One row per site and channel."""
    n_sites, n_channels = found.p.shape
    pairs = [found.planned[number].contacts for number in found.measured]
    columns: dict[str, Any] = {
        "site": np.repeat([sites[number] for number in found.measured], n_channels),
        "contact_1": np.repeat([contacts[first] for first, _ in pairs], n_channels),
        "contact_2": np.repeat([contacts[second] for _, second in pairs], n_channels),
        "channel": np.tile(names, n_sites),
        "distance": distance.ravel(),
        "n_pulses": found.n_pulses.astype(int).ravel(),
        "excluded": found.excluded.ravel(),
        "responder": found.responder.ravel(),
        "p": found.p.ravel(),
        "q": found.q.ravel(),
        "z": found.z.ravel(),
        "latency_ms": found.latency_ms.ravel(),
        "length_ms": found.length_ms.ravel(),
        "rms_odd_uv": found.odd_uv.ravel(),
        "rms_even_uv": found.even_uv.ravel(),
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in found.features.items()})


def quality(
    found: RecordingCcep, stimulation: Stimulation, reference: str, other: list[int], settings: CcepSettings
) -> dict[str, Any]:
    """Counts for the sidecar and the report; used and dropped pulses make up all."""
    tested = int(np.isfinite(found.responder).sum())
    measured = {int(number) for number in found.measured}
    return {
        "Sites": len(found.planned),
        "SitesMeasured": len(found.measured),
        "Pulses": len(stimulation.pulses),
        "PulsesUsed": int(sum(len(found.planned[number].pulses) for number in measured)),
        "PulsesDropped": _dropped(found, stimulation, other, measured, settings.min_pulses),
        "PairsTested": tested,
        "PairsExcluded": int(found.excluded.sum()),
        "Responders": int(np.nansum(found.responder)),
        "ShareOfResponders": float(np.nansum(found.responder) / tested) if tested else None,
        "NoiseCeiling": found.ceiling.mean if np.isfinite(found.ceiling.mean) else None,
        "PseudoOnsets": found.n_pseudo_onsets,
        "Reference": reference,
    }


def _dropped(
    found: RecordingCcep, stimulation: Stimulation, other: list[int], measured: set[int], min_pulses: int
) -> dict[str, int]:
    """Reason -> pulses: together with those used, all pulses of the recording."""
    lost = [pulse for pulse in stimulation.pulses if not (pulse.first and pulse.second and np.isfinite(pulse.onset_s))]
    counts = Counter("; ".join(pulse.reasons) for pulse in lost)
    for number, site in enumerate(found.planned):
        counts.update({reason: len(which) for reason, which in site.dropped.items()})
        counts["another current at the same pair"] += other[number]
        if number not in measured:
            counts[f"a pair with fewer than {min_pulses} usable pulses"] += len(site.pulses)
    return {reason: count for reason, count in counts.items() if count}


def notices(
    stimulation: Stimulation, found: RecordingCcep, distances: np.ndarray | None, settings: CcepSettings
) -> dict[str, list[str]]:
    """What a reader of the responses has to know."""
    from bids_ai.ccep.recording import QUIET_CHOICES_S

    words = told(stimulation.findings)
    if distances is None and settings.exclusion_mm > 0:
        words["warnings"].append(
            f"No position of a contact is known: channels within {settings.exclusion_mm:g} mm of the stimulated pair, "
            "which record the spread of the current, could not be excluded; responses are given by contact only."
        )
    short = len(found.planned) - len(found.measured)
    if short:
        words["warnings"].append(
            f"{short} of {len(found.planned)} stimulated pairs are not measured: they have fewer than "
            f"{settings.min_pulses} usable pulses; the reasons are in the table of stimulated pairs."
        )
    if found.quiet_s < QUIET_CHOICES_S[0]:
        words["warnings"].append(
            f"Pulses follow each other so fast that moments for comparison begin {found.quiet_s:g} s after a pulse "
            f"instead of {QUIET_CHOICES_S[0]:g} s: late responses in them make the test less sensitive."
        )
    return words


def describe(context: Context, entry: Recording, signal: Path, settings: CcepSettings) -> dict[str, Any]:
    """What every column is, and how it was made."""
    from bids_ai.ccep.registry import FAMILIES, get_detector, get_family

    columns: dict[str, Any] = {
        "site": {"Description": "Stimulated pair, the contact that comes first among the channels first"},
        "channel": {"Description": "Recorded channel"},
        "distance": {"Description": "From the channel to the nearer stimulated contact", "Units": "mm"},
        "n_pulses": {"Description": "Trials that were averaged"},
        "excluded": {"Description": f"Within {settings.exclusion_mm:g} mm of a stimulated contact: volume conduction"},
        "responder": {
            "Description": "1: responds, 0: not, n/a: excluded or no data",
            "Rule": "q below .05 and |z| of 3 or more" if settings.responder == "pseudo-onset" else settings.responder,
        },
        "p": {
            "Description": "Of no response within 11 to 500 ms, against averages at pseudo-onsets of the same channel"
        },
        "q": {"Description": "p adjusted for the false discovery rate over all pairs of the recording"},
        "z": {"Description": "Largest deflection of the average in SDs of averages at pseudo-onsets"},
        "latency_ms": {"Description": "Middle of the window with the largest deflection", "Units": "ms"},
        "length_ms": {"Description": "Length of that window", "Units": "ms"},
        "rms_odd_uv": {"Description": "rms_uv of odd pulses alone, each polarity counted by itself"},
        "rms_even_uv": {"Description": "rms_uv of even pulses alone"},
    }
    for name in FAMILIES:
        family = get_family(name)
        note = {"Exploratory": True} if family.exploratory else {}
        for column, text in family.columns.items():
            columns[column] = {"Description": text, "Source": family.source} | note
    for name in settings.detectors:
        columns[f"detected_{name}"] = {"Description": get_detector(name).rule, "Source": get_detector(name).source}
    return {
        "Columns": columns,
        "RowRole": "one site and one channel",
        "Detectors": list(settings.detectors),
        "ExclusionRadius": settings.exclusion_mm,
        "MinimumPulses": settings.min_pulses,
        "RandomSeed": context.config.random_seed,
        "Sources": sources(context, signal, entry.events),
        "PackageVersions": versions("mne", "numpy", "scipy"),
    }
