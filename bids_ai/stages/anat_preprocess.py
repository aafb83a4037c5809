"""T1w: bias field, brain extraction, tissues, registration to the template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_ai.bids.files import copy, write_json
from bids_ai.bids.names import sidecar
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources
from bids_ai.stages.templates import load_template

if TYPE_CHECKING:
    from bids_ai.preprocess.anat import AnatOutputs

#: Derivative -> field of the outputs of preprocessing. The transform comes last: its presence means all is there.
_FILES = {
    "t1w": "t1w_preproc",
    "t1w_mask": "brain_mask",
    "t1w_dseg": "dseg",
    "gm": "gm_probseg",
    "wm": "wm_probseg",
    "csf": "csf_probseg",
    "t1w_in_template": "t1w_in_template",
    "t1w_mask_in_template": "brain_mask_in_template",
    "t1w_dseg_in_template": "dseg_in_template",
    "template_to_t1w": "template_to_t1w",
    "t1w_to_template": "t1w_to_template",
}
_IN_TEMPLATE = ("t1w_in_template", "t1w_mask_in_template", "t1w_dseg_in_template")


def run(context: Context, anat: str) -> None:
    """Preprocess one T1w and publish images, transforms and figures."""
    from bids_ai.preprocess.anat import preprocess_t1w

    entry = context.index.anatomy(anat)
    outputs = preprocess_t1w(
        Path(entry.t1w),
        context.scratch("anat_preprocess", anat),
        template=load_template(context),
        skullstrip=context.config.anat.skullstrip,
        seed=context.config.random_seed,
        sloppy=context.config.sloppy,
    )
    _figures(context, anat, outputs)
    for key, field in _FILES.items():
        target = context.names.path(key, anat=anat)
        write_json(sidecar(target), _describe(context, key, entry.t1w, outputs))
        copy(getattr(outputs, field), target)


def _describe(context: Context, key: str, t1w: str, outputs: AnatOutputs) -> dict[str, Any]:
    content: dict[str, Any] = {"Sources": sources(context, t1w)}
    if key in ("t1w", "t1w_in_template"):
        content["SkullStripped"] = key == "t1w_in_template"
    if key in _IN_TEMPLATE:
        content["SpatialReference"] = outputs.template.origin
    if key in ("t1w_mask", "t1w_mask_in_template"):
        content["Type"] = "Brain"
        content["Method"] = outputs.qc.get("skullstrip_method")
    if key in ("t1w_dseg", "t1w_dseg_in_template"):
        content["Manual"] = False
        content["DsegLabels"] = outputs.qc.get("dseg_labels")
    if key == "t1w":
        content["QualityControl"] = outputs.qc
    return content


def _figures(context: Context, anat: str, outputs: AnatOutputs) -> None:
    from bids_ai.report.figures import anat as figures

    def figure(key: str) -> Path:
        return context.names.figure(key, anat=anat)

    figures.plot_brain_mask(outputs.t1w_preproc, outputs.brain_mask, figure("mask_figure"))
    figures.plot_tissues(outputs.t1w_preproc, outputs.dseg, figure("tissues_figure"))
    figures.plot_template_registration(
        outputs.t1w_in_template, outputs.template.t1w, outputs.dseg_in_template, figure("normalisation_figure")
    )
