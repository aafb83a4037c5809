"""What the report says of EEG, iEEG and responses to stimulation in numbers, told from their sidecars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_ai.bids.index import Recording
from bids_ai.bids.tables import read_table
from bids_ai.report.model import Notice, SummaryRow, Table
from bids_ai.stages.context import Context
from bids_ai.stages.steps import read_sidecar

#: Modality -> kind of its table in the report.
KINDS = {"bold": "BOLD", "eeg": "EEG", "ieeg": "iEEG"}
_SITE_COLUMNS = {
    "site": "site",
    "current": "current (mA)",
    "pulses_used": "pulses used",
    "pulses_dropped": "dropped",
    "reasons": "why",
    "channels_tested": "channels tested",
    "responders": "responders",
}


def signal_rows(context: Context, entry: Recording) -> list[SummaryRow]:
    """Rows of one recording: its preprocessing, and its responses to stimulation."""
    meta = _signal(context, entry)
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    rows = _eeg_rows(quality) if entry.modality == "eeg" else _ieeg_rows(quality)
    rows.insert(0, SummaryRow("Sampling rate", meta.get("SamplingFrequency"), "Hz", 0))
    if entry.stimulated:
        rows += _response_rows(context, entry)
    return [row for row in rows if row.value is not None]


def signal_notices(context: Context, entry: Recording) -> list[Notice]:
    """Warnings and notes of one recording."""
    name, found = Path(entry.item).name, []
    metas = [_signal(context, entry)]
    if entry.stimulated:
        metas.append(read_sidecar(context.names.path("ccep_features", ieeg=entry.item)))
    for meta in metas:
        quality = (meta or {}).get("QualityControl", {})
        for key in ("warnings", "left_out", "notes"):
            found += [Notice(str(text), name) for text in quality.get(key, [])]
    if not entry.resting and entry.modality == "ieeg":
        text = "Pulses follow each other so closely that too little of it is free of stimulation for region series."
        found.append(Notice(text, name))
    if not entry.located and not context.index.is_placed(entry):
        text = "It is not known where its contacts lie in a brain: there are no region series and no connectivity."
        if entry.stimulated and entry.positioned:
            text += " Predictions of responses rest on distance between contacts and on the signals."
        found.append(Notice(text, name))
    return found


def site_table(context: Context, entry: Recording) -> list[Table]:
    """Stimulated pairs of one recording: pulses used and dropped, and why."""
    path = context.names.path("ccep_sites", ieeg=entry.item)
    if not path.is_file():
        return []
    sites = read_table(path)
    sites["current"] = sites["current"] * 1e3
    rows = [[_cell(row[column]) for column in _SITE_COLUMNS] for _, row in sites.iterrows()]
    title = f"Stimulated pairs: {Path(entry.item).name}"
    return [Table(title, list(_SITE_COLUMNS.values()), rows, section="stimulation")]


def _cell(value: Any) -> Any:
    if value != value or value is None:
        return None
    return round(float(value), 3) if isinstance(value, float) else value if isinstance(value, str) else int(value)


def _signal(context: Context, entry: Recording) -> dict[str, Any] | None:
    return read_sidecar(context.names.path(entry.modality, **{entry.modality: entry.item}))


def _eeg_rows(quality: dict[str, Any]) -> list[SummaryRow]:
    bad, ica = quality.get("bad_channels", {}), quality.get("ica", {})
    given, found = bad.get("given", []), bad.get("found", {})
    removed = ", ".join(f"{count} {name}" for name, count in ica.get("n_removed", {}).items())
    return [
        SummaryRow("Channels", quality.get("n_channels"), key="eeg_channels"),
        SummaryRow("Length", quality.get("duration_s"), "s", 0),
        SummaryRow("Good time", quality.get("good_seconds"), "s", 0, key="eeg_good_s"),
        SummaryRow("Bad channels", len(given) + len(found), note=_listed([*given, *found]), key="eeg_bad_channels"),
        SummaryRow("Components removed", removed or ("none" if ica.get("done") else None), note=ica.get("note") or ""),
        SummaryRow("Reference", quality.get("reference")),
    ]


def _ieeg_rows(quality: dict[str, Any]) -> list[SummaryRow]:
    bad = [name for key in ("BadInTable", "OnSilicone", "BadFound") for name in quality.get(key, [])]
    return [
        SummaryRow("Contacts used", quality.get("Contacts"), key="ieeg_contacts"),
        SummaryRow("Bad contacts", len(bad), note=_listed(bad), key="ieeg_bad_contacts"),
        SummaryRow("Reference", quality.get("Reference")),
        SummaryRow("Length", quality.get("SecondsRecorded"), "s", 0),
        SummaryRow("Free of stimulation", quality.get("SecondsAtRest"), "s", 0, key="ieeg_rest_s"),
    ]


def _response_rows(context: Context, entry: Recording) -> list[SummaryRow]:
    meta = read_sidecar(context.names.path("ccep_features", ieeg=entry.item))
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    share, rule = quality.get("ShareOfResponders"), str(meta["Columns"]["responder"]["Rule"])
    return [
        SummaryRow(
            "Stimulated pairs", quality.get("SitesMeasured"), note=f"of {quality.get('Sites')}", key="ccep_sites"
        ),
        SummaryRow("Pulses used", quality.get("PulsesUsed"), note=_dropped(quality)),
        SummaryRow("Reference of responses", quality.get("Reference")),
        SummaryRow("Pairs of site and channel tested", quality.get("PairsTested")),
        SummaryRow("Pairs too near to the stimulation", quality.get("PairsExcluded")),
        SummaryRow("Responders", None if share is None else 100 * share, "%", 0, rule, key="ccep_share"),
        SummaryRow(
            "Odd against even pulses, r", quality.get("NoiseCeiling"), digits=2, note="stepped up to all pulses"
        ),
    ]


def _dropped(quality: dict[str, Any]) -> str:
    reasons = [f"{count} {reason}" for reason, count in quality.get("PulsesDropped", {}).items()]
    return "; ".join([f"of {quality.get('Pulses')}", *reasons])


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
