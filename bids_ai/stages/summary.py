"""What the report says of a subject in numbers, told from the index and from the sidecars that are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json
from bids_ai.bids.index import Index, Recording
from bids_ai.bids.tables import read_table
from bids_ai.report.model import InputFile, Notice, RecordingSummary, Summary, SummaryRow, Table
from bids_ai.report.surrogate_tables import families_table
from bids_ai.stages import summary_diffusion as diffusion
from bids_ai.stages import summary_electrophysiology as electric
from bids_ai.stages import summary_prediction as prediction
from bids_ai.stages.context import Context
from bids_ai.stages.records import Failure
from bids_ai.stages.steps import read_sidecar

_ENGINES = {
    "builtin": "preprocessed here",
    "fmriprep": "preprocessed by fMRIPrep",
    "timeseries": "region series of another tool",
}


def summarise(context: Context, subject: str, failed: list[Failure]) -> Summary:
    """Gather all that is known of a subject.

    Parameters
    ----------
    context : Context
        The run.
    subject : str
        Such as ``sub-01``.
    failed : list of Failure
        Jobs that failed, of any subject.
    """
    index = context.index
    recordings = [entry for entry in index.recordings if entry.subject == subject]
    return Summary(
        dataset=index.dataset_name,
        rows=_subject_rows(context, subject),
        recordings=[
            *(_recording(context, entry, failed) for entry in recordings),
            *(diffusion.summarise_series(context, entry, failed) for entry in diffusion.series_of(context, subject)),
            *_skipped(index, subject),
        ],
        inputs=_inputs(context, subject),
        warnings=_warnings(context, subject, recordings),
        tables=[
            table
            for entry in recordings
            for table in (
                *electric.site_table(context, entry),
                *(prediction.score_tables(context, entry) if entry.stimulated else ()),
                *_tables(context, entry),
                *_family_tables(context, entry),
            )
        ],
        statements=[
            statement for entry in recordings if entry.stimulated for statement in prediction.statements(context, entry)
        ],
    )


# ---- numbers


def _subject_rows(context: Context, subject: str) -> list[SummaryRow]:
    rows = [SummaryRow("Atlases", ", ".join(_in_words(entry.label) for entry in context.index.atlases))]
    for anatomy in context.index.anatomies:
        meta = read_sidecar(context.names.path("t1w", anat=anatomy.item)) if anatomy.subject == subject else None
        if meta is None:
            continue
        quality = meta.get("QualityControl", {})
        volume = quality.get("brain_volume_l")
        rows += [
            SummaryRow("Template", context.index.space, note=str(quality.get("template_origin", ""))),
            SummaryRow("Brain extraction", quality.get("skullstrip_method")),
            SummaryRow("Brain volume", volume, "l", 2, "adults: about 1.1 to 1.8 l", key="brain_volume_l"),
            SummaryRow(
                "Mutual information with the template",
                quality.get("nmi_after"),
                digits=3,
                note=_before(quality.get("nmi_before")),
                key="nmi_template",
            ),
        ]
    return rows


def _before(value: Any) -> str:
    return f"normalised; {value:.3f} before registration" if isinstance(value, float) else "normalised"


def _recording(context: Context, entry: Recording, failed: list[Failure]) -> RecordingSummary:
    name = Path(entry.item).name
    rows, kind = [SummaryRow("Data", _ENGINES[entry.engine])], electric.KINDS[entry.modality]
    if entry.modality == "bold":
        rows += [SummaryRow("Repetition time", entry.tr, "s", 2, key="tr_s"), *_bold_rows(context, entry)]
    else:
        rows += electric.signal_rows(context, entry)
    for atlas in context.index.atlases:
        if context.index.applies(entry, atlas):
            rows += _connectivity_rows(context, entry.series, atlas.label)
    broken = [item for item in failed if {entry.item, entry.series, entry.anat} & set(item.wildcards.values())]
    if broken:
        return RecordingSummary(name, "failed", f"{broken[0].stage}: {broken[0].message}", rows, kind)
    missing = [
        atlas.label
        for atlas in context.index.atlases
        if context.asked_for("ec")
        and context.index.applies(entry, atlas)
        and not context.names.path("ec", series=entry.series, atlas=atlas.label, model=context.model).is_file()
    ]
    reasons = [f"no effective connectivity yet for {', '.join(missing)}"] if missing else []
    if entry.stimulated and context.asked_for("ccep"):
        there = context.names.path("ccep_features", ieeg=entry.item).is_file()
        reasons += [] if there else ["responses to stimulation are not measured yet"]
    return RecordingSummary(name, "partial" if reasons else "done", "; ".join(reasons), rows, kind)


def _bold_rows(context: Context, entry: Recording) -> list[SummaryRow]:
    meta = read_sidecar(context.names.path("bold", bold=entry.item)) if entry.engine == "builtin" else None
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    return [
        SummaryRow("Frames", quality.get("n_frames"), key="n_frames"),
        SummaryRow("Framewise displacement, median", quality.get("fd_median_mm"), "mm", 2, key="fd_median_mm"),
        SummaryRow("Framewise displacement, largest", quality.get("fd_max_mm"), "mm", 2, key="fd_max_mm"),
        SummaryRow("Temporal SNR, median in the brain", quality.get("tsnr_median"), digits=0, key="tsnr_median"),
        SummaryRow("Registered to T1w by", quality.get("coregistration")),
    ]


def _connectivity_rows(context: Context, series: str, atlas: str) -> list[SummaryRow]:
    path = context.names.path
    rows: list[SummaryRow] = []
    meta = read_sidecar(context.names.timeseries(series, atlas))
    if meta:
        lost = meta.get("RegionsWithoutData", [])
        rows.append(SummaryRow("Censored frames", meta.get("NumberOfFramesCensored"), key="n_censored"))
        rows.append(SummaryRow("Regions without data", len(lost), key="n_lost"))
    functional = read_sidecar(path("pearson", series=series, atlas=atlas))
    if functional:
        rows.append(
            SummaryRow("Effective sample size", functional.get("EffectiveSampleSize"), "frames", 0, "of a typical pair")
        )
        rows.append(
            SummaryRow(
                "Homotopic connectivity, median r", functional.get("HomotopicMedian"), digits=2, key="homotopic_fc"
            )
        )
    rows += _surrogate_rows(context, series, atlas)
    return [replace(row, of=_in_words(atlas)) for row in rows]


def _in_words(label: str) -> str:
    """Label of an atlas without the names of its entities: ``Schaefer2018 7Networks 100``."""
    return " ".join(part.partition("-")[2] for part in label.split("_"))


def _surrogate_rows(context: Context, series: str, atlas: str) -> list[SummaryRow]:
    path = context.names.path("surrogate", series=series, atlas=atlas, model=context.model)
    if not path.is_file():
        return []
    meta = read_json(path)
    if meta["Status"] != "fitted":
        return [SummaryRow("Surrogate", "not fitted", note=str(meta.get("Reason", "")))]
    fit = meta["Fit"]
    held, free = fit["evaluation"]["heldout"], fit["evaluation"]["free_running"]
    rows = [
        SummaryRow("Surrogate", fit["family"], note=f"order {fit['order']}; {fit['gate']['verdict']}"),
        SummaryRow("Held-out R2 of one step", held.get("r2"), digits=3, key="r2_heldout"),
        SummaryRow("Held-out R2 of persistence", held.get("r2_persistence"), digits=3),
        _own_past_row(held),
        SummaryRow("Free-running with recorded FC, r", free.get("fc_r"), digits=2, key="free_fc_r"),
    ]
    ec = read_sidecar(context.names.path("ec", series=series, atlas=atlas, model=context.model))
    if ec and ec.get("Symmetry"):
        symmetry = ec["Symmetry"].get("self_symmetry")
        rows.append(
            SummaryRow(
                "EC with its transpose, r", symmetry, digits=2, note="near 1: little direction", key="ec_symmetry"
            )
        )
    return rows


def _own_past_row(held: dict[str, Any]) -> SummaryRow:
    """The better of two predictions of a region by itself: the one that the gate compares the surrogate with."""
    found = [(held.get("r2_ar"), "with the lags of the surrogate"), (held.get("r2_ar1"), "with one lag")]
    known = [(value, note) for value, note in found if value is not None]
    value, note = max(known, key=lambda one: one[0], default=(None, ""))
    return SummaryRow("Held-out R2 of each region's own past", value, digits=3, note=note)


# ---- inputs, warnings, tables


def _skipped(index: Index, subject: str) -> list[RecordingSummary]:
    entries = [entry for entry in index.skipped if entry.subject == subject]
    return [RecordingSummary(entry.what, "skipped", entry.reason, kind="Left out") for entry in entries]


def _inputs(context: Context, subject: str) -> list[InputFile]:
    index = context.index
    root = Path(index.bids_dir)

    def relative(path: str) -> str:
        return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path

    found = []
    for anatomy in index.anatomies:
        if anatomy.subject == subject:
            found.append(InputFile(relative(anatomy.t1w), "T1w"))
            reason = "another T1w of the subject is used"
            found += [InputFile(name, "T1w", used=False, reason=reason) for name in anatomy.unused]
    for entry in index.recordings:
        if entry.subject != subject:
            continue
        name = Path(entry.item).name
        kind = "region series" if entry.engine == "timeseries" else electric.KINDS[entry.modality]
        details = f"TR {entry.tr:g} s" if entry.modality == "bold" else ""
        found.append(InputFile(relative(entry.source), kind, recording=name, details=details))
        for what in ("sbref", "events", "mask", "confounds"):
            if getattr(entry, what):
                found.append(InputFile(relative(getattr(entry, what)), what, recording=name))
        reason = "field maps, other echoes and other spaces are not used"
        left = [item for item in entry.unused if item not in index.used_names(subject)]
        found += [InputFile(item, "other", used=False, reason=reason, recording=name) for item in left]
    for series in diffusion.series_of(context, subject):
        found += diffusion.input_files(series, root)
    for skipped in index.skipped:
        if skipped.subject == subject:
            found.append(InputFile(skipped.what, used=False, reason=skipped.reason))
    return found


def _warnings(context: Context, subject: str, recordings: list[Recording]) -> list[Notice]:
    found = []
    for anatomy in context.index.anatomies:
        meta = read_sidecar(context.names.path("t1w", anat=anatomy.item)) if anatomy.subject == subject else None
        found += [Notice(str(text), "T1w") for text in (meta or {}).get("QualityControl", {}).get("warnings", [])]
    for entry in recordings:
        name = _named(entry)
        found += electric.signal_notices(context, entry) if entry.modality != "bold" else _bold_notices(context, entry)
        for atlas in context.index.atlases:
            if context.index.applies(entry, atlas):
                found += _series_warnings(context, entry, atlas.label, name)
    for atlas in context.index.atlases:
        found += _pooled_warnings(context, subject, atlas.label)
    for series in diffusion.series_of(context, subject):
        found += diffusion.notices(context, series)
    return list(dict.fromkeys(found))


def _pooled_warnings(context: Context, subject: str, atlas: str) -> list[Notice]:
    """What the checks say of fits over all runs of a task, which no recording's own table tells."""
    found = []
    for fit in context.index.fits_of(context.index.atlas(atlas)):
        path = context.names.path("surrogate", series=fit.series, atlas=atlas, model=context.model, pool=fit.pool)
        if fit.subject != subject or not fit.pooled or not path.is_file():
            continue
        gate = read_json(path).get("Fit", {}).get("gate", {})
        where = f"{Path(fit.series).name}, all runs together, {atlas}"
        found += [Notice(f"The surrogate is marked unreliable: {text}", where) for text in gate.get("reasons", [])]
    return found


def _bold_notices(context: Context, entry: Recording) -> list[Notice]:
    meta = read_sidecar(context.names.path("bold", bold=entry.item)) if entry.engine == "builtin" else None
    quality = (meta or {}).get("QualityControl", {})
    return [
        Notice(str(text), Path(entry.item).name) for key in ("warnings", "not_used") for text in quality.get(key, [])
    ]


def _series_warnings(context: Context, entry: Recording, atlas: str, name: str) -> list[Notice]:
    found = []
    meta = read_sidecar(context.names.timeseries(entry.series, atlas))
    if meta and meta.get("AtlasTransformation"):
        found.append(Notice(str(meta["AtlasTransformation"]), atlas))
    path = context.names.path("surrogate", series=entry.series, atlas=atlas, model=context.model)
    fit = read_json(path).get("Fit", {}) if path.is_file() else {}
    found += [Notice(str(text), f"{name}, {atlas}") for text in fit.get("warnings", [])]
    reasons = fit.get("gate", {}).get("reasons", [])
    found += [Notice(f"The surrogate is marked unreliable: {text}", f"{name}, {atlas}") for text in reasons]
    return found


def _tables(context: Context, entry: Recording) -> list[Table]:
    tables = []
    for atlas in context.index.atlases:
        path = context.names.path("coverage", series=entry.series, atlas=atlas.label)
        if not context.index.applies(entry, atlas) or not path.is_file():
            continue
        coverage = read_table(path)
        if "own_share" in coverage:
            coverage["coverage"] = coverage["own_share"]
        lost = coverage[~coverage["kept"].astype(str).str.lower().isin(["true", "1", "1.0"])]
        rows = [[str(row["name"]), _number(row["coverage"]), str(row["reason"])] for _, row in lost.iterrows()]
        if rows:
            title = f"Regions without data: {_named(entry)}, {atlas.label}"
            tables.append(Table(title, ["region", "share of its voxels with data", "reason"], rows))
    return tables


def _family_tables(context: Context, entry: Recording) -> list[Table]:
    """Families that were compared for the surrogates of a recording."""
    tables = []
    for atlas in context.index.atlases:
        path = context.names.path("surrogate", series=entry.series, atlas=atlas.label, model=context.model)
        if not context.index.applies(entry, atlas) or not path.is_file():
            continue
        heldout = read_json(path).get("Fit", {}).get("evaluation", {}).get("heldout", {})
        table = families_table(heldout, f"Families compared: {_named(entry)}, {atlas.label}")
        if table is not None:
            tables.append(table)
    return tables


def _named(entry: Recording) -> str:
    """Name of a recording with its modality: EEG, SEEG and BOLD at rest may bear the same."""
    return f"{Path(entry.item).name} ({electric.KINDS[entry.modality]})"


def _number(value: Any) -> float | None:
    return None if value != value else round(float(value), 3)
