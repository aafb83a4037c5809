"""Pulses of electrical stimulation: when, between which two contacts, with what current, and which are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bids_ai.bids.electrophysiology.channels import INTRACRANIAL, ChannelTable
from bids_ai.bids.electrophysiology.events import STIMULATION, EventTable, Span, read_events, spoiled_spans
from bids_ai.bids.electrophysiology.findings import Finding, shown
from bids_ai.bids.electrophysiology.names import LEVELS, Pair, split_site
from bids_ai.bids.electrophysiology.text_tables import numbers, texts
from bids_ai.bids.electrophysiology.units import column_unit, parse_current, unit_scale
from bids_ai.errors import InputError

SITE = "electrical_stimulation_site"
CURRENT = "electrical_stimulation_current"
FREQUENCY = "electrical_stimulation_frequency"
PULSE_WIDTH = "electrical_stimulation_pulsewidth"
TYPE = "electrical_stimulation_type"

#: Response to one pulse lasts about a second; pulses closer than this are told (s).
NEAR_S = 3.0
#: Trains up to this rate are single pulses written in one row; faster ones (1 Hz and 50 Hz stimulation of clinical
#: mapping) leave no time for a response (Hz).
SINGLE_PULSE_HZ = 0.6
#: A row with more is a mistake in its duration or rate: at the highest rate of single pulses these are five hours.
_MOST_PULSES = 10_000
#: What a pulse must keep clear of artefacts and seizures, around its onset (s): baseline and response.
CLEAR_S = (-0.5, 0.5)
#: Onset and sample_start may differ by rounding; more is told (samples).
_SAMPLE_TOLERANCE = 1.0


@dataclass(frozen=True)
class Pulse:
    """One pulse.

    Attributes
    ----------
    onset_s : float
    first, second : str
        Channels in the order of the site string: the first gets the leading positive phase. Empty if not resolved.
    site : str
        The string in the table.
    current_a : float
        Ampere; NaN where not said.
    kind : str or None
        ``monophasic`` or ``biphasic``, where said.
    width_s : float
        Of one phase; NaN where not said.
    reasons : tuple of str
        Why it is not used; empty for a pulse that is.
    spoiled : tuple of str
        Contacts on which an artefact covers it, of those that are not stimulated.
    interval_s : float
        Since the pulse before, on any site; NaN for the first.
    row : int
        In the table, from 0.
    nominal : bool
        Its onset was reckoned from the rate of a train, not recorded.
    """

    onset_s: float
    first: str
    second: str
    site: str
    current_a: float
    kind: str | None = None
    width_s: float = float("nan")
    reasons: tuple[str, ...] = ()
    spoiled: tuple[str, ...] = ()
    interval_s: float = float("nan")
    row: int = 0
    nominal: bool = False

    @property
    def used(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons


@dataclass(frozen=True)
class StimulationSite:
    """A pair of contacts stimulated with one current: A-B and B-A are the same site.

    Attributes
    ----------
    contacts : (str, str)
        In the order of the channels.
    current_a : float
    pulses : tuple of Pulse
        Those that are used, in time.
    """

    contacts: tuple[str, str]
    current_a: float
    pulses: tuple[Pulse, ...]

    @property
    def name(self) -> str:
        """Canonical name; to be split by `contacts`, not by its hyphens."""
        return "-".join(self.contacts)

    @property
    def n_reversed(self) -> int:
        """Pulses of the other polarity."""
        return sum(pulse.first != self.contacts[0] for pulse in self.pulses)


@dataclass(frozen=True)
class Stimulation:
    """All pulses of a recording, sorted in time, with those that are not used and why."""

    pulses: tuple[Pulse, ...]
    findings: tuple[Finding, ...]
    spans: tuple[Span, ...]
    channels: tuple[str, ...]

    @property
    def used(self) -> list[Pulse]:
        """Pulses that nothing speaks against."""
        return [pulse for pulse in self.pulses if pulse.used]

    def dropped(self) -> dict[str, int]:
        """How many pulses are not used, by reason; one pulse may have several."""
        return dict(Counter(reason for pulse in self.pulses for reason in pulse.reasons))

    def sites(self, *, one_current: bool = True) -> list[StimulationSite]:
        """Sites with the pulses that are used.

        Parameters
        ----------
        one_current : bool
            Keep, of several currents at one pair, the one with most pulses (of equals the larger current).

        Returns
        -------
        list of StimulationSite
            In the order of their first pulse.
        """
        order = {name: position for position, name in enumerate(self.channels)}
        groups: dict[tuple[str, str], dict[float, list[Pulse]]] = {}
        for pulse in self.used:
            first, second = sorted((pulse.first, pulse.second), key=order.__getitem__)
            # NaN is not equal to itself: an unknown current is one group of its own.
            current = -1.0 if np.isnan(pulse.current_a) else round(pulse.current_a, 7)
            groups.setdefault((first, second), {}).setdefault(current, []).append(pulse)
        sites = []
        for contacts, currents in groups.items():
            kept = sorted(currents, key=lambda value: (-len(currents[value]), -value))[: 1 if one_current else None]
            sites += [StimulationSite(contacts, currents[key][0].current_a, tuple(currents[key])) for key in kept]
        return sites

    def table(self) -> pd.DataFrame:
        """Pulses as a table for the derivatives; currents in ampere, times in seconds."""
        rows = [
            {
                **{"onset": pulse.onset_s, "site": pulse.site, "first": pulse.first, "second": pulse.second},
                **{"current": pulse.current_a, "used": pulse.used, "reasons": "; ".join(pulse.reasons)},
                **{"spoiled": ", ".join(pulse.spoiled), "interval": pulse.interval_s, "row": pulse.row},
            }
            for pulse in self.pulses
        ]
        columns = ["onset", "site", "first", "second", "current", "used", "reasons", "spoiled", "interval", "row"]
        return pd.DataFrame(rows, columns=columns)


def read_stimulation(
    events: Path | EventTable,
    channels: ChannelTable,
    *,
    current_unit: str | None = None,
    drop_bad_contacts: bool = True,
    clear_s: tuple[float, float] = CLEAR_S,
    duration_s: float | None = None,
    sampling_hz: float | None = None,
) -> Stimulation:
    """Read the pulses of a recording.

    Pulses are the rows whose ``trial_type`` is exactly ``electrical_stimulation``.

    Parameters
    ----------
    events : Path or EventTable
    channels : ChannelTable
        Of the same run.
    current_unit : str, optional
        Unit of currents where neither the table nor its sidecar says one (``"A"``, ``"mA"``).
    drop_bad_contacts : bool
        Do not use pulses at a contact whose status is bad.
    clear_s : (float, float)
        Seconds around a pulse that must be free of artefacts and seizures on the contacts involved.
    duration_s : float, optional
        Length of the recording; later pulses are not used.
    sampling_hz : float, optional
        To check ``sample_start`` against the onset; by default from the channels.

    Returns
    -------
    Stimulation
        No pulses where there is no such row.

    Raises
    ------
    InputError
        If sites are not said, none of them names two channels, or a current has no unit.
    """
    table = events if isinstance(events, EventTable) else read_events(events)
    findings = list(table.findings) + _near_misses(table)
    rows = [int(row) for row in table.of_type(STIMULATION)]
    spans, more = spoiled_spans(table, channels.name_list)
    findings += more
    if not rows:
        return Stimulation((), tuple(findings), tuple(spans), tuple(channels.names))
    pulses = _read_rows(table, rows, channels, current_unit, findings)
    pulses = _in_time(pulses, duration_s, findings)
    pulses = [_judged(pulse, channels, spans, clear_s, drop_bad_contacts) for pulse in pulses]
    _check_samples(table, rows, channels, sampling_hz, findings)
    _tell_dropped(pulses, findings)
    return Stimulation(tuple(pulses), tuple(findings), tuple(spans), tuple(channels.names))


def _near_misses(table: EventTable) -> list[Finding]:
    """Rows that may have been meant as pulses; they are told, not taken."""
    wanted = STIMULATION.replace("_", "")
    found = Counter(
        kind
        for kind in table.trial_types
        if kind and kind != STIMULATION and "".join(filter(str.isalpha, kind.lower())) == wanted
    )
    return [
        Finding(
            "trial-type-spelling", f"{count} rows {kind!r} are not taken for pulses: {STIMULATION!r} is wanted.", count
        )
        for kind, count in found.items()
    ]


def _read_rows(
    table: EventTable, rows: list[int], channels: ChannelTable, current_unit: str | None, findings: list[Finding]
) -> list[Pulse]:
    if SITE not in table.rows:
        raise InputError(
            f"{table.path} has {len(rows)} rows '{STIMULATION}' but no column '{SITE}' (it has "
            f"{', '.join(table.rows.columns)}): add it, with the two contacts of every pulse ('A1-A2')."
        )
    sites, currents = texts(table.rows, SITE), texts(table.rows, CURRENT)
    pairs = _pairs([sites[row] for row in rows], channels, table.path, findings)
    unit = column_unit(table.meta, CURRENT, "A") or current_unit
    if not any(currents[row] for row in rows):
        text = f"No current is said for any of the {len(rows)} pulses."
        findings.append(Finding("no-current", text, len(rows)))
    amperes = {
        cell: parse_current(cell, unit, where=f"{CURRENT} in {table.path.name}")
        for cell in {currents[row] or "n/a" for row in rows}
    }
    statuses, subtypes, kinds = (texts(table.rows, name) for name in ("status", "sub_type", TYPE))
    widths, rates = _widths(table, findings), numbers(table.rows, FREQUENCY)
    pulses: list[Pulse] = []
    for row in rows:
        pair, current = pairs.get(sites[row] or ""), amperes[currents[row] or "n/a"]
        reasons = [] if pair else ["site not resolved"]
        if statuses[row] and str(statuses[row]).lower() != "good":
            reasons.append(f"status {str(statuses[row]).lower()}")
        if subtypes[row] and "SPES" not in str(subtypes[row]).upper():
            reasons.append(f"not single-pulse stimulation ({subtypes[row]})")
        if current == 0:
            reasons.append("no current")
        first, second = (pair.first, pair.second) if pair else ("", "")
        pulse = Pulse(
            *(float(table.onsets_s[row]), first, second, sites[row] or "", current, kinds[row], float(widths[row])),
            reasons=tuple(reasons),
            row=row,
        )
        pulses += _train(pulse, float(table.durations_s[row]), float(rates[row]))
    _tell_trains(pulses, len(rows), findings)
    return pulses


def _pairs(sites: Sequence[str | None], channels: ChannelTable, path: Path, findings: list[Finding]) -> dict[str, Pair]:
    """Contacts of every distinct site that names two channels."""
    found: dict[str, Pair] = {}
    faults: dict[str, str] = {}
    count = Counter(site or "" for site in sites)
    for site in count:
        try:
            found[site] = split_site(site, channels.name_list)
        except InputError as error:
            faults[site] = str(error)
    lenient = {site: pair for site, pair in found.items() if pair.level}
    for level, (how, _) in enumerate(LEVELS):
        named = [site for site, pair in lenient.items() if pair.level == level]
        if named:
            pulses = sum(count[site] for site in named)
            text = f"{len(named)} sites ({pulses} pulses) differ from the channels in {how}: {shown(named)}."
            findings.append(Finding("site-spelling", text, len(named), tuple(named)))
    if faults:
        pulses = sum(count[site] for site in faults)
        first = next(iter(faults.values()))
        if not found:
            raise InputError(f"None of the {len(faults)} sites in {path} names two channels. {first}")
        text = f"{len(faults)} sites ({pulses} pulses) are not used: {shown(faults)}. {first}"
        findings.append(Finding("site-not-resolved", text, pulses, tuple(faults)))
    return found


def _widths(table: EventTable, findings: list[Finding]) -> np.ndarray:
    """Width of a phase, s; a number without a unit is in seconds, as BIDS has it, if this is a pulse at all."""
    widths = numbers(table.rows, PULSE_WIDTH)
    unit = column_unit(table.meta, PULSE_WIDTH, "s")
    scale = unit_scale(unit, "s") or 1.0
    widths = widths * scale
    # Phases of 0.1 to 3 ms are in use; 10 ms leaves room, and no value in ms or us is below it.
    strange = widths > 0.01
    if strange.any():
        text = f"{strange.sum()} pulse widths are above 10 ms in {unit or 's (no unit given)'}; they are not used."
        findings.append(Finding("pulse-width", text, int(strange.sum())))
    return np.where(strange, np.nan, widths)


def _train(pulse: Pulse, duration_s: float, rate_hz: float) -> Iterator[Pulse]:
    """The pulses of a row, which may be a whole train: one every 1/rate from the onset."""
    n_pulses = 1.0
    if np.isfinite(duration_s) and np.isfinite(rate_hz) and rate_hz > 0:
        # A train of n pulses lasts (n - 1) periods and the last pulse, or n periods.
        n_pulses = np.floor(duration_s * rate_hz - 1e-6) + 1
    if n_pulses <= 1:
        yield pulse
    elif not n_pulses <= _MOST_PULSES:
        yield replace(pulse, reasons=(*pulse.reasons, f"train of {n_pulses:.3g} pulses, which is no length of a train"))
    elif rate_hz > SINGLE_PULSE_HZ:
        yield replace(pulse, reasons=(*pulse.reasons, f"train of {rate_hz:g} Hz"))
    else:
        for position in range(int(n_pulses)):
            yield replace(pulse, onset_s=pulse.onset_s + position / rate_hz, nominal=position > 0)


def _tell_trains(pulses: list[Pulse], n_rows: int, findings: list[Finding]) -> None:
    nominal = sum(pulse.nominal for pulse in pulses)
    if nominal:
        text = (
            f"{n_rows} rows are trains and give {len(pulses)} pulses; the onsets of {nominal} are reckoned from the "
            "rate, and should be checked against the artefacts in the signal."
        )
        findings.append(Finding("trains", text, nominal))


def _in_time(pulses: list[Pulse], duration_s: float | None, findings: list[Finding]) -> list[Pulse]:
    """Sort by onset; tell doubles, near pulses, and those outside the recording."""
    lost = [replace(pulse, reasons=(*pulse.reasons, "no onset")) for pulse in pulses if np.isnan(pulse.onset_s)]
    known = sorted((pulse for pulse in pulses if np.isfinite(pulse.onset_s)), key=lambda pulse: pulse.onset_s)
    ordered: list[Pulse] = []
    for pulse in known:
        interval = pulse.onset_s - ordered[-1].onset_s if ordered else float("nan")
        reasons = list(pulse.reasons)
        if interval == 0 and {pulse.first, pulse.second} == {ordered[-1].first, ordered[-1].second}:
            reasons.append("row given twice")
        elif interval == 0:
            reasons.append("two sites at once")
        if pulse.onset_s < 0 or (duration_s is not None and pulse.onset_s >= duration_s):
            reasons.append("outside the recording")
        ordered.append(replace(pulse, interval_s=interval, reasons=tuple(reasons)))
    near = [pulse for pulse in ordered if pulse.interval_s < NEAR_S]
    if near:
        least = min(pulse.interval_s for pulse in near)
        text = f"{len(near)} pulses come less than {NEAR_S:g} s after another (least {least:.3g} s)."
        findings.append(Finding("near-pulses", text, len(near), severity="note"))
    return ordered + lost


def _judged(
    pulse: Pulse, channels: ChannelTable, spans: Sequence[Span], clear_s: tuple[float, float], drop_bad: bool
) -> Pulse:
    """Add what speaks against a pulse: bad contacts, artefacts, seizures."""
    reasons, spoiled = list(pulse.reasons), list(pulse.spoiled)
    pair = {pulse.first, pulse.second} - {""}
    kinds = sorted({channels.by_name[name].kind for name in pair} - set(INTRACRANIAL))
    if kinds:
        reasons.append(f"stimulated contact is of type {' and '.join(kinds)}")
    if drop_bad and any(not channels.by_name[name].good for name in pair):
        reasons.append("stimulated contact is bad")
    start, end = pulse.onset_s + clear_s[0], pulse.onset_s + clear_s[1]
    for span in spans:
        if span.start_s < end and span.end_s > start:
            if span.contacts is None or pair & set(span.contacts):
                reasons.append(span.kind)
            else:
                spoiled += span.contacts
    return replace(pulse, reasons=tuple(dict.fromkeys(reasons)), spoiled=tuple(dict.fromkeys(spoiled)))


def _check_samples(
    table: EventTable, rows: list[int], channels: ChannelTable, sampling_hz: float | None, findings: list[Finding]
) -> None:
    """Tell where ``sample_start`` and the onset disagree; the onset counts."""
    if sampling_hz is None:
        rates = {entry.sampling_hz for entry in channels.channels if np.isfinite(entry.sampling_hz)}
        if len(rates) != 1:
            return
        sampling_hz = rates.pop()
    difference = numbers(table.rows, "sample_start")[rows] - table.onsets_s[rows] * sampling_hz
    # Tables count from 0 or from 1; an offset that all rows share is a convention, not a fault.
    difference = difference - np.round(np.nanmedian(difference)) if np.isfinite(difference).any() else difference
    off = np.abs(difference) >= _SAMPLE_TOLERANCE - 1e-3
    if off.any():
        text = (
            f"sample_start and onset differ in {off.sum()} of {len(rows)} pulses, by {np.nanmin(difference[off]):.0f} "
            f"to {np.nanmax(difference[off]):.0f} samples; the onset is used."
        )
        findings.append(Finding("sample-start", text, int(off.sum())))


def _tell_dropped(pulses: list[Pulse], findings: list[Finding]) -> None:
    counts = Counter(reason for pulse in pulses for reason in pulse.reasons)
    for reason, count in sorted(counts.items()):
        text = f"{count} of {len(pulses)} pulses are not used: {reason}."
        findings.append(Finding("pulses-not-used", text, count, (reason,), severity="note"))
