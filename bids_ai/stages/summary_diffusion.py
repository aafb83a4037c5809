"""What the report says of diffusion series in numbers, told from the index and from the sidecars that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_ai.bids.index import Diffusion
from bids_ai.report.model import InputFile, Notice, RecordingSummary, SummaryRow
from bids_ai.stages.context import Context
from bids_ai.stages.records import Failure
from bids_ai.stages.steps import read_sidecar

KIND = "DWI"
_ENGINES = {"builtin": "preprocessed here", "qsiprep": "preprocessed by QSIPrep"}
_MODELS = {"csd": "spherical deconvolution", "multi-tissue-csd": "multi-tissue deconvolution", "tensor": "tensor"}


def series_of(context: Context, subject: str) -> list[Diffusion]:
    """Diffusion series of a subject."""
    return [entry for entry in context.index.diffusions if entry.subject == subject]


def summarise_series(context: Context, entry: Diffusion, failed: list[Failure]) -> RecordingSummary:
    """Rows of one series, and how far it came.

    Parameters
    ----------
    context : Context
    entry : Diffusion
    failed : list of Failure
        Jobs that failed, of any subject.
    """
    name = f"{Path(entry.item).name}_dwi"
    rows = [SummaryRow("Data", _ENGINES[entry.engine]), *_image_rows(context, entry)]
    missing = []
    for atlas in context.index.volume_atlases():
        meta = read_sidecar(context.names.path("sc_weight", dwi=entry.images, atlas=atlas.label))
        if meta is None:
            missing.append(atlas.label)
        else:
            rows += _matrix_rows(meta, atlas.label)
    broken = [item for item in failed if {entry.images, entry.anat} & set(item.wildcards.values())]
    if broken:
        return RecordingSummary(name, "failed", f"{broken[0].stage}: {broken[0].message}", rows, KIND)
    reason = f"no structural connectivity yet for {', '.join(missing)}" if missing else ""
    return RecordingSummary(name, "partial" if missing else "done", reason, rows, KIND)


def _image_rows(context: Context, entry: Diffusion) -> list[SummaryRow]:
    meta = read_sidecar(context.names.path("dwi", dwi=entry.images)) if entry.engine == "builtin" else None
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    told = [
        SummaryRow("Volumes", quality.get("n_volumes"), key="dwi_volumes"),
        SummaryRow("Shells", _shells(quality.get("shells", []))),
        SummaryRow("Framewise displacement, median", quality.get("fd_median_mm"), "mm", 2, key="dwi_fd_median_mm"),
        SummaryRow("Slices with lost signal", quality.get("n_outlier_slices"), key="dwi_outlier_slices"),
        SummaryRow("Signal over noise of b0", quality.get("denoising", {}).get("snr_b0"), digits=0, key="dwi_snr_b0"),
        SummaryRow("Gradient table", quality.get("gradient_table", {}).get("verdict")),
        SummaryRow("Denoised by", quality.get("denoising", {}).get("method")),
        SummaryRow("Distortion corrected by", quality.get("distortion", {}).get("method")),
        SummaryRow("Registered by", quality.get("registration", {}).get("method")),
    ]
    return [row for row in told if row.value is not None]


def _shells(shells: list[dict[str, Any]]) -> str | None:
    return ", ".join(f"{shell['directions']} directions at b {shell['b']:.0f} s/mm2" for shell in shells) or None


def _matrix_rows(meta: dict[str, Any], atlas: str) -> list[SummaryRow]:
    tracking, of = meta.get("Tracking", {}), " ".join(part.partition("-")[2] for part in atlas.split("_"))
    costs, model = " ".join(str(cost) for cost in tracking.get("costs", [])), tracking.get("model")
    return [
        SummaryRow("Fibre model", _MODELS.get(str(model), model), note=costs, of=of),
        SummaryRow("Streamlines", meta.get("NumberOfStreamlines"), note=f"by {tracking.get('engine')}", of=of),
        SummaryRow("Streamlines between two regions", _percent(meta.get("ShareAssigned")), "%", 0, of=of),
        SummaryRow(
            "Density of the structural connectome", _percent(meta.get("Density")), "%", 0, key="sc_density", of=of
        ),
        SummaryRow(
            "Halves of the streamlines, r", meta.get("SplitHalfCorrelation"), digits=3, note="of log weights", of=of
        ),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def input_files(entry: Diffusion, root: Path) -> list[InputFile]:
    """Files of a series that are used, and those that are not.

    Parameters
    ----------
    entry : Diffusion
    root : Path
        The dataset.
    """
    name = f"{Path(entry.item).name}_dwi"

    def relative(path: str) -> str:
        return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path

    used = {"DWI": entry.source, "b-values": entry.bval, "b-vectors": entry.bvec, "reverse-encoded b0": entry.reverse}
    used |= {"brain mask": entry.mask, "T1w": entry.t1w, "transform from the template": entry.from_template}
    found = [InputFile(relative(path), kind, recording=name) for kind, path in used.items() if path]
    reason = "no partner of opposite phase encoding for this series"
    return found + [InputFile(item, "other", used=False, reason=reason, recording=name) for item in entry.unused]


def notices(context: Context, entry: Diffusion) -> list[Notice]:
    """Warnings of preprocessing and tractography."""
    name = f"{Path(entry.item).name}_dwi"
    meta = read_sidecar(context.names.path("dwi", dwi=entry.images)) if entry.engine == "builtin" else None
    quality = (meta or {}).get("QualityControl", {})
    found = [Notice(str(text), name) for key in ("warnings", "not_used") for text in quality.get(key, [])]
    for atlas in context.index.volume_atlases():
        matrix = read_sidecar(context.names.path("sc_weight", dwi=entry.images, atlas=atlas.label)) or {}
        found += [Notice(str(text), name) for text in matrix.get("Tracking", {}).get("notes", [])]
        for key, words in (("RegionsWithoutVoxels", "no voxel"), ("RegionsWithoutStreamlines", "no streamline")):
            if matrix.get(key):
                regions = ", ".join(matrix[key][:10]) + (" ..." if len(matrix[key]) > 10 else "")
                found.append(Notice(f"Regions with {words}: {regions}.", f"{name}, {atlas.label}"))
    return found
