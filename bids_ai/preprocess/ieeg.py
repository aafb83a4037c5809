"""Preprocessing of an intracranial recording: which contacts, which reference, which steps.

The order is fixed: pulses are blanked before any filter can smear them, the mains are taken out of single contacts, and
differences are formed last. Contacts are judged on the raw signal, where a filter hides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding
from bids_ai.errors import InputError
from bids_ai.preprocess.ieeg_bad_contacts import BadContacts, find_bad_contacts
from bids_ai.preprocess.ieeg_blanking import Blanking, blank_spans
from bids_ai.preprocess.ieeg_leads import bipoles
from bids_ai.preprocess.ieeg_line_noise import LineNoise, Method, find_line_frequency
from bids_ai.preprocess.ieeg_reference import Derivation, bipolar
from bids_ai.preprocess.ieeg_segments import stimulation_free_mask
from bids_ai.preprocess.ieeg_stream import Step

if TYPE_CHECKING:
    from bids_ai.bids.electrophysiology.recording import OpenRecording
    from bids_ai.bids.electrophysiology.stimulation import Stimulation

Array = NDArray[np.floating]
Reference = Literal["auto", "bipolar", "recorded"]

#: Why a contact is not judged.
_IN_TABLE, _SILICONE = "bad in channels.tsv", "on silicone"
#: Where the dataset does not say the mains, they are sought in so much of the signal, s.
_LINE_S = 10.0


@dataclass(frozen=True)
class IeegPlan:
    """How an intracranial recording is preprocessed; nothing is read yet but some windows.

    Attributes
    ----------
    contacts : tuple of str
        Good contacts that are read, (n_contacts,).
    derivation : Derivation
        From contacts to channels.
    steps : tuple of Step
        For `ieeg_stream.stream`, the derivation last.
    positions_mm : array (n_channels, 3)
        Middles, in the frame of the electrodes; NaN where not known.
    judged : BadContacts
    left_out : dict of str
        Contact to reason, of those that are not judged since the dataset says that they are of no use.
    resting : bool array (n_times,)
        Samples without stimulation, artefacts and seizures.
    figures : dict
        For the sidecar.
    findings : tuple of Finding
    """

    contacts: tuple[str, ...]
    derivation: Derivation
    steps: tuple[Step, ...]
    positions_mm: Array
    judged: BadContacts
    left_out: dict[str, str]
    resting: NDArray[np.bool_]
    figures: dict[str, Any]
    findings: tuple[Finding, ...]

    def quality_table(self, recording: OpenRecording) -> pd.DataFrame:
        """Every contact of the recording with what is wrong with it: ``name reasons sd`` (V; NaN: not measured).

        The bad ones of this table are those of `figures`.
        """
        table = self.judged.table
        if not len(table):
            table = pd.DataFrame({"name": list(self.contacts), "reasons": "", "sd": np.nan})
        out = pd.DataFrame({"name": list(self.left_out), "reasons": list(self.left_out.values()), "sd": np.nan})
        both = pd.concat([table[["name", "reasons", "sd"]], out]) if len(out) else table
        order = {name: row for row, name in enumerate(recording.channels.names)}
        return both.sort_values("name", key=lambda names: names.map(order), ignore_index=True)

    def channel_table(self, recording: OpenRecording) -> pd.DataFrame:
        """Rows of ``channels.tsv`` for the derived channels.

        Columns are those of BIDS, and ``contact_1`` and ``contact_2``: the latter is subtracted from the former; names
        may hold any character that would part them.
        """
        info = recording.channels.by_name
        rate = float(recording.raw.info["sfreq"])
        rows = []
        for name, members in zip(self.derivation.names, self.derivation.sources, strict=True):
            first, *others = (self.contacts[column] for column in members)
            second = others[0] if others else None
            own = info[first]
            reference = "bipolar" if second else own.reference
            # BIDS wants the cutoffs of the amplifier here; they are those of the raw table, where they stand.
            rows.append([name, own.kind, "uV", None, None, rate, own.group, reference, "good", first, second])
        columns = ["name", "type", "units", "low_cutoff", "high_cutoff"]
        columns += ["sampling_frequency", "group", "reference", "status"]
        return pd.DataFrame(rows, columns=[*columns, "contact_1", "contact_2"])


def plan_ieeg(
    recording: OpenRecording,
    stimulation: Stimulation,
    *,
    reference: Reference = "auto",
    line_method: Method = "notch",
    find_bad: bool = True,
) -> IeegPlan:
    """Choose contacts, reference and steps.

    Parameters
    ----------
    recording : OpenRecording
    stimulation : Stimulation
        Of the same run; without pulses for a recording at rest.
    reference : {"auto", "bipolar", "recorded"}
        ``auto``: depth contacts against their neighbour on the lead, grids and strips as recorded.
    line_method : {"notch", "spectrum-fit", "none"}
    find_bad : bool
        Look for bad contacts beyond those that the table names.

    Returns
    -------
    IeegPlan

    Raises
    ------
    InputError
        If no contact is left.
    """
    raw = recording.raw
    usable = recording.usable()
    if not usable:
        raise InputError(
            f"None of the {len(recording.channels.names)} channels is a good SEEG, ECoG or DBS contact; see the types "
            "and the status in channels.tsv."
        )
    onsets = np.array([pulse.onset_s for pulse in stimulation.pulses])
    spoiled = [(span.start_s, span.end_s) for span in stimulation.spans if span.contacts is None]
    rate, n_times = float(raw.info["sfreq"]), int(raw.n_times)
    findings: list[Finding] = []
    line_hz = recording.line_hz or _sought_line(raw, usable)
    limits: dict[str, Any] = {"line_hz": line_hz, "onsets_s": onsets, "spoiled_s": spoiled}
    judged = find_bad_contacts(raw, usable, **limits) if find_bad else BadContacts(pd.DataFrame(), {})
    findings += judged.findings
    contacts = [name for name in usable if name not in judged.reasons]
    if not contacts:
        raise InputError(f"All {len(usable)} contacts look bad ({_listed(judged)}); see the recording.")
    derivation, more = _derivation(recording, contacts, reference)
    findings += more
    spans = blank_spans(onsets, rate, n_times)
    steps: list[Step] = [Blanking(spans, rate)] if len(spans) else []
    if line_hz and line_method != "none" and line_hz >= rate / 2:
        text = f"At {rate:g} Hz the signal holds nothing of the mains at {line_hz:g} Hz but what was folded to other "
        findings.append(Finding("mains-above-nyquist", f"{text}frequencies; none was taken out."))
    elif line_hz and line_method != "none":
        steps.append(LineNoise(line_hz, rate, line_method))
    positions = np.full((len(contacts), 3), np.nan)
    if recording.electrodes is not None:
        positions = recording.electrodes.positions_of(contacts)
    resting = stimulation_free_mask(n_times, rate, onsets, spoiled_s=spoiled)
    left_out = _left_out(recording, usable)
    figures = {
        "Channels": len(derivation.names),
        "Contacts": len(contacts),
        "BadInTable": [name for name, why in left_out.items() if why == _IN_TABLE],
        "OnSilicone": [name for name, why in left_out.items() if why == _SILICONE],
        "BadFound": {name: list(reasons) for name, reasons in judged.reasons.items()},
        "Reference": _words(derivation, contacts),
        "LineFrequency": line_hz,
        "LineNoise": line_method if line_hz else "none: no mains known or found",
        "BlankedSamples": int(np.diff(spans, axis=1).sum()) if len(spans) else 0,
        "SecondsAtRest": float(resting.sum() / rate),
        "SecondsRecorded": n_times / rate,
    }
    return IeegPlan(
        tuple(contacts),
        derivation,
        (*steps, derivation),
        derivation.positions(positions),
        judged,
        left_out,
        resting,
        figures,
        tuple(findings),
    )


def _left_out(recording: OpenRecording, usable: Sequence[str]) -> dict[str, str]:
    """Contacts that the dataset itself calls bad, or that lie on others and record silicone."""
    info = recording.channels.by_name
    names = recording.channels.of_kind(good_only=False)
    return {name: _SILICONE if info[name].good else _IN_TABLE for name in names if name not in set(usable)}


def _derivation(
    recording: OpenRecording, contacts: Sequence[str], reference: Reference
) -> tuple[Derivation, list[Finding]]:
    """Depth contacts become differences, the others stay; one order, that of the contacts."""
    info = recording.channels.by_name
    flat = {name for name in contacts if info[name].kind == "ECOG"}
    deep = [name for name in contacts if reference == "bipolar" or (reference == "auto" and name not in flat)]
    placed = {}
    if recording.electrodes is not None:
        placed = dict(zip(deep, recording.electrodes.positions_of(deep), strict=True))
    pairs, findings = bipoles(deep, groups={name: info[name].group for name in deep}, positions_mm=placed)
    kept = [name for name in contacts if name not in deep]
    parts = [bipolar(contacts, pairs)] if pairs else []
    if kept:
        columns = [list(contacts).index(name) for name in kept]
        sources = tuple((column,) for column in columns)
        parts.append(Derivation(np.eye(len(contacts))[columns], tuple(kept), sources))
    if not parts:
        raise InputError(
            f"None of {len(deep)} depth contacts has a good neighbour on its lead, so that no bipolar channel can be "
            "formed; choose ieeg.reference: recorded."
        )
    weights = np.concatenate([part.weights for part in parts])
    names = tuple(name for part in parts for name in part.names)
    return Derivation(weights, names, tuple(own for part in parts for own in part.sources)), findings


def _words(derivation: Derivation, contacts: Sequence[str]) -> str:
    pairs = int((np.count_nonzero(derivation.weights, axis=1) > 1).sum())
    single = len(derivation.names) - pairs
    parts = [f"{pairs} differences of neighbours on a lead" if pairs else "", f"{single} as recorded" if single else ""]
    return f"{', '.join(part for part in parts if part)}, of {len(contacts)} contacts"


def _listed(judged: BadContacts) -> str:
    return "; ".join(dict.fromkeys(reason for reasons in judged.reasons.values() for reason in reasons))


def _sought_line(raw: Any, names: Sequence[str]) -> float | None:
    rate = float(raw.info["sfreq"])
    middle = int(raw.n_times // 2)
    half = min(int(_LINE_S / 2 * rate), middle)
    data = raw.get_data(picks=list(names), start=middle - half, stop=middle + half).T
    return find_line_frequency(data, rate)
