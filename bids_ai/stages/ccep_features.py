"""Responses to single-pulse stimulation of one recording, site by channel: measures, test, averages."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.files import atomic, write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import write_table
from bids_ai.stages.contact_places import Channels
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources, versions
from bids_ai.stages.signals import open_signal, stimulation_of, told

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.stimulation import Stimulation
    from bids_ai.ccep.epochs import Pulses, Read, Site
    from bids_ai.ccep.recording import CcepSettings, RecordingCcep

#: Fewer surface channels have no mean that is quieter than themselves; resamplings for the choice among them.
_LEAST_AVERAGE, _BOOTSTRAPS = 8, 20
#: The mean has this share of the surface channels or more, whatever they respond to.
_LEAST_SHARE = 0.25


def run(context: Context, ieeg: str) -> None:
    """Write the tables of sites and of features, and the mean responses."""
    import mne

    from bids_ai.ccep.recording import measure_recording

    entry = context.index.recording(ieeg)
    opened = open_signal(entry)
    stimulation = stimulation_of(context, entry, opened)
    channels = Channels.read(context, entry)
    signal = context.names.path("ieeg", ieeg=ieeg)
    raw = mne.io.read_raw_brainvision(signal, preload=False, verbose="error")
    rate, n_samples = float(raw.info["sfreq"]), int(raw.n_times)
    pulses, contacts = _pulses(stimulation, rate)
    involves = np.array([[contact in members for contact in contacts] for members in channels.members])
    distances = _distances(channels, contacts)

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(raw.get_data(start=start, stop=stop))

    settings = _settings(context, entry)
    reader, reference = _quiet_reference(read, pulses, rate, n_samples, channels, settings, involves)
    found = measure_recording(
        reader, pulses, rate, n_samples, involves=involves, distances_mm=distances, settings=settings
    )
    sites = _site_names(found.planned, contacts)
    other = _other_currents(found, pulses)
    table = _site_table(found, sites, contacts, other, settings.min_pulses)
    write_table(context.names.path("ccep_sites", ieeg=ieeg), table)
    _write_averages(context.names.path("ccep_average", ieeg=ieeg), found, sites, channels.names, rate)
    _figures(context, entry, found, sites, channels, _nearest(found, distances))
    _draw_contacts(context, entry, channels, found, contacts)
    table = _feature_table(found, sites, contacts, channels.names, _nearest(found, distances))
    path = context.names.path("ccep_features", ieeg=ieeg)
    write_table(path, table)
    quality = _quality(found, stimulation, reference, other, settings) | _told(stimulation, found, distances, settings)
    write_json(sidecar(path), _describe(context, entry, signal, settings) | {"QualityControl": quality})


def _settings(context: Context, entry: Recording) -> CcepSettings:
    from bids_ai.ccep.recording import CcepSettings

    own = context.config.ccep
    return CcepSettings(
        detectors=tuple(own.detectors),
        exclusion_mm=own.exclusion_mm,
        min_pulses=own.min_pulses,
        every_current=own.every_current,
        n_draws=own.n_draws,
        responder=own.responder,
        seed=[context.config.random_seed, *Path(entry.item).name.encode()],
    )


def _pulses(stimulation: Stimulation, sampling_hz: float) -> tuple[Pulses, list[str]]:
    """Pulses in samples, and the contacts that their numbers stand for."""
    from bids_ai.ccep.epochs import Pulses

    known = [pulse for pulse in stimulation.pulses if pulse.first and pulse.second and np.isfinite(pulse.onset_s)]
    order = {name: position for position, name in enumerate(stimulation.channels)}
    contacts = sorted({name for pulse in known for name in (pulse.first, pulse.second)}, key=order.__getitem__)
    number = {name: position for position, name in enumerate(contacts)}
    return Pulses(
        samples=np.array([round(pulse.onset_s * sampling_hz) for pulse in known], int),
        anodes=np.array([number[pulse.first] for pulse in known], int),
        cathodes=np.array([number[pulse.second] for pulse in known], int),
        current_a=np.array([pulse.current_a for pulse in known], float),
        faults=["; ".join(pulse.reasons) for pulse in known],
    ), contacts


def _site_names(planned: list[Site], contacts: list[str]) -> list[str]:
    """Name of every site: its contacts, and its current where a pair has several."""
    pairs = Counter(site.contacts for site in planned)
    return [
        f"{contacts[site.contacts[0]]}-{contacts[site.contacts[1]]}"
        + (f" {1e3 * site.current_a:g} mA" if pairs[site.contacts] > 1 else "")
        for site in planned
    ]


def _distances(channels: Channels, contacts: list[str]) -> np.ndarray | None:
    """From contacts to channels, mm, (n_contacts, n_channels); None where no position is known."""
    places = np.array([channels.middle([contact]) for contact in contacts]).reshape(-1, 3)
    apart = np.linalg.norm(places[:, None] - channels.positions_mm[None], axis=-1)
    return apart if np.isfinite(apart).any() else None


def _quiet_reference(
    read: Read,
    pulses: Pulses,
    sampling_hz: float,
    n_samples: int,
    channels: Channels,
    settings: CcepSettings,
    involves: np.ndarray,
) -> tuple[Read, str]:
    """Reference grids and strips to the channels that respond least; differences stay as they are.

    The reference is one for the recording, since trials and pseudo-onsets must have the same. A channel that responds
    to a single site would put its response, upside down, into all others at that site: so channels count that respond
    to none, and only where these are too few, those that respond to fewest.
    """
    from bids_ai.ccep.epochs import iter_sites, plan_sites
    from bids_ai.preprocess.ieeg_reference import RESPONSE_S, quiet_channels

    single = np.flatnonzero([len(members) == 1 for members in channels.members])
    if len(single) < _LEAST_AVERAGE:
        return read, "as preprocessed"
    chosen, tried = np.zeros(len(single)), np.zeros(len(single))
    sites = plan_sites(pulses, sampling_hz, n_samples)
    for _, trials, _ in iter_sites(read, sites, pulses, sampling_hz, blank_s=None, involves=involves, min_pulses=2):
        window = trials.data[:, single][:, :, trials.between(*RESPONSE_S)].transpose(0, 2, 1)
        there = np.flatnonzero(np.isfinite(window).all(axis=(0, 1)))
        if len(there) < _LEAST_AVERAGE:
            continue
        tried[there] += 1
        chosen[there[quiet_channels(window[:, :, there], n_bootstraps=_BOOTSTRAPS).members]] += 1
    shares = np.where(tried > 0, chosen / np.maximum(tried, 1), -1.0)
    least = max(_LEAST_AVERAGE, round(_LEAST_SHARE * len(single)))
    members = single[np.argsort(-shares, kind="stable")[: max(least, int((shares == 1).sum()))]]

    def referenced(start: int, stop: int) -> np.ndarray:
        data = np.array(read(start, stop))
        data[single] -= data[members].mean(axis=0)
        return data

    return referenced, f"mean of the {len(members)} of {len(single)} surface channels that respond least (CARLA)"


def _other_currents(found: RecordingCcep, pulses: Pulses) -> list[int]:
    """Pulses of each site that were given with a current that is not worked on, (n_sites,)."""
    pairs = np.sort(np.column_stack([pulses.anodes, pulses.cathodes]), axis=1)
    held: dict[tuple[int, int], int] = {}
    for site in found.planned:
        count = len(site.pulses) + sum(len(which) for which in site.dropped.values())
        held[site.contacts] = held.get(site.contacts, 0) + count
    return [int((pairs == site.contacts).all(axis=1).sum()) - held[site.contacts] for site in found.planned]


def _site_table(
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


def _nearest(found: RecordingCcep, distances: np.ndarray | None) -> np.ndarray:
    """From sites to channels, mm, (n_sites, n_channels); NaN where not known."""
    if distances is None:
        return np.full(found.p.shape, np.nan)
    pairs = np.array([found.planned[number].contacts for number in found.measured])
    return np.asarray(np.fmin(distances[pairs[:, 0]], distances[pairs[:, 1]]))


def _feature_table(
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
    }
    return pd.DataFrame(columns | {name: values.ravel() for name, values in found.features.items()})


def _write_averages(path: Path, found: RecordingCcep, sites: list[str], names: list[str], rate: float) -> None:
    """Mean responses as MNE's Evoked, one a site; channels without data are NaN there."""
    import mne

    info = mne.create_info(names, rate, "seeg")
    evokeds = []
    for row, number in enumerate(found.measured):
        data, n_pulses = found.averages[row].astype(float), len(found.planned[number].pulses)
        evoked = mne.EvokedArray(data, info, tmin=float(found.times_s[0]), nave=n_pulses, comment=sites[number])
        evokeds.append(evoked)
    with atomic(path) as temporary:
        # MNE asks for the ending that the final name has.
        working = temporary.with_name(f"{temporary.name}_ave.fif")
        mne.write_evokeds(working, evokeds, overwrite=True, verbose="error")
        working.replace(temporary)


def _quality(
    found: RecordingCcep, stimulation: Stimulation, reference: str, other: list[int], settings: CcepSettings
) -> dict[str, Any]:
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


def _told(
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


def _describe(context: Context, entry: Recording, signal: Path, settings: CcepSettings) -> dict[str, Any]:
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


def _figures(
    context: Context,
    entry: Recording,
    found: RecordingCcep,
    sites: list[str],
    channels: Channels,
    distance: np.ndarray,
) -> None:
    from bids_ai.report.figures import ccep, ccep_matrices

    holes = {"ephys": entry.item}
    radius = context.config.ccep.exclusion_mm
    own, responder = [sites[number] for number in found.measured], found.responder == 1
    n_pulses = [len(found.planned[number].pulses) for number in found.measured]
    ccep.plot_responses(
        found.averages,
        found.times_s,
        own,
        channels.names,
        context.names.figure("ccep_responses_figure", **holes),
        responder=responder,
        excluded=found.excluded,
        n_pulses=n_pulses,
        radius_mm=radius,
    )
    if np.isfinite(distance).any():
        path = context.names.figure("ccep_distance_figure", **holes)
        ccep.plot_distance(distance, found.features["rms_uv"], responder, path, radius_mm=radius)
    table = pd.DataFrame({"n_pulses": n_pulses, "n_tested": np.isfinite(found.responder).sum(axis=1)})
    table = table.assign(n_responders=responder.sum(axis=1)).groupby("n_pulses", as_index=False).sum()
    ccep.plot_pulses(table, context.names.figure("ccep_pulses_figure", **holes))
    groups = [str(group) if isinstance(group, str) else "no lead" for group in channels.table["group"]]
    silent = found.responder == 0
    shown = {"amplitude": np.abs(found.features["n1_uv"]), "latency": found.features["n1_latency_ms"]}
    for kind, values in shown.items():
        cells = np.where(responder, values, np.nan)
        path = context.names.figure(f"ccep_{kind}_figure", **holes)
        ccep_matrices.plot_ccep_matrix(
            cells, own, channels.names, groups, path, kind=kind, excluded=found.excluded, silent=silent
        )


def _draw_contacts(
    context: Context, entry: Recording, channels: Channels, found: RecordingCcep, contacts: list[str]
) -> None:
    from bids_ai.report.figures.electrodes import plot_electrodes

    electrodes = channels.electrodes
    if electrodes is None or not electrodes.usable:
        return
    stimulated = {contacts[end] for number in found.measured for end in found.planned[number].contacts}
    good = {name for members in channels.members for name in members}
    table = pd.DataFrame(electrodes.positions_mm, columns=["x", "y", "z"]).assign(name=list(electrodes.names))
    table = table.assign(bad=~table["name"].isin(good), stimulated=table["name"].isin(stimulated))
    native = electrodes.frame.scanner and entry.anat is not None
    if not native and electrodes.frame.kind != "template":
        return  # the outline of another brain would put contacts where they are not
    brain = context.names.path("t1w_mask", anat=entry.anat or "") if native else None
    path = context.names.figure("electrodes_figure", ephys=entry.item)
    plot_electrodes(table, path, brain=brain, space=electrodes.frame.label)
