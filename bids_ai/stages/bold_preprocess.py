"""BOLD: slice timing, head motion, registration to the T1w, one-shot resampling to the template, confounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_ai.bids.files import copy, write_json
from bids_ai.bids.index import Recording
from bids_ai.bids.names import sidecar
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources
from bids_ai.stages.templates import load_template

if TYPE_CHECKING:
    from bids_ai.preprocess.func import BoldInputs, BoldOutputs

#: Derivative -> field of the outputs of preprocessing.
_FILES = {
    "bold_mask": "brain_mask_in_template",
    "bold_dseg": "dseg_in_template",
    "boldref": "boldref",
    "boldref_mask": "brain_mask",
    "boldref_in_t1w": "boldref_in_t1w",
    "boldref_in_template": "boldref_in_template",
    "bold_to_t1w": "bold_to_t1w",
    "confounds": "confounds",
    "bold": "bold_in_template",
}


def run(context: Context, bold: str) -> None:
    """Preprocess one BOLD run and publish images, confounds and figures."""
    from bids_ai.preprocess.func import preprocess_bold

    entry = context.index.recording(bold)
    settings = context.config.func
    inputs = _inputs(context, entry)
    outputs = preprocess_bold(
        inputs,
        context.scratch("bold_preprocess", bold),
        resolution_mm=settings.resolution_mm,
        dummy_scans=settings.dummy_scans,
        fd_threshold_mm=settings.fd_threshold_mm or float("inf"),
        seed=context.config.random_seed,
        sloppy=context.config.sloppy,
    )
    _figures(context, entry, inputs, outputs)
    for key, field in _FILES.items():
        target = context.names.path(key, bold=bold)
        write_json(sidecar(target), _describe(context, key, entry, outputs))
        copy(getattr(outputs, field), target)


def _inputs(context: Context, entry: Recording) -> BoldInputs:
    from bids_ai.preprocess.func import BoldInputs

    assert entry.anat is not None
    assert entry.tr is not None
    template = load_template(context)
    path = context.names.path
    return BoldInputs(
        bold=Path(entry.source),
        tr=entry.tr,
        slice_timing=entry.slice_timing,
        slice_encoding=entry.slice_encoding,
        t1w_brain=path("t1w", anat=entry.anat),
        t1w_mask=path("t1w_mask", anat=entry.anat),
        t1w_dseg=path("t1w_dseg", anat=entry.anat),
        t1w_to_template=path("t1w_to_template", anat=entry.anat),
        template_t1w=template.t1w,
        template_mask=template.mask,
        template_space=template.space,
        sbref=Path(entry.sbref) if entry.sbref else None,
    )


def _describe(context: Context, key: str, entry: Recording, outputs: BoldOutputs) -> dict[str, Any]:
    path = context.names.path
    transform = path("t1w_to_template", anat=entry.anat or "")
    content: dict[str, Any] = {"Sources": sources(context, entry.source, transform)}
    if key == "confounds":
        return content | outputs.confounds_meta
    if key.endswith("mask"):
        content["Type"] = "Brain"
    if key == "bold_dseg":
        content["Manual"] = False
    if key == "boldref_in_t1w":
        content["SpatialReference"] = sources(context, path("t1w", anat=entry.anat or ""))[0]
    if key in ("bold", "bold_mask", "bold_dseg", "boldref_in_template"):
        content["SpatialReference"] = load_template(context).origin
    if key == "bold":
        content |= {
            "SkullStripped": False,
            "RepetitionTime": entry.tr,
            "TaskName": entry.task,
            "SliceTimingCorrected": outputs.qc.get("slice_timing") == "corrected",
            "StartTime": outputs.qc.get("start_time_s", 0.0),
            "NotUsed": list(entry.unused),
            "QualityControl": outputs.qc,
        }
    return content


def _figures(context: Context, entry: Recording, inputs: BoldInputs, outputs: BoldOutputs) -> None:
    from bids_ai.report.figures import func as figures

    assert inputs.t1w_brain is not None
    assert inputs.t1w_dseg is not None
    assert outputs.dseg_in_template is not None

    def figure(key: str) -> Path:
        return context.names.figure(key, bold=entry.item)

    figures.plot_coregistration(
        outputs.boldref_in_t1w, inputs.t1w_brain, inputs.t1w_dseg, figure("coregistration_figure")
    )
    figures.plot_bold_in_template(
        outputs.boldref_in_template, inputs.template_t1w, outputs.dseg_in_template, figure("bold_template_figure")
    )
