"""Anatomical preprocessing: a T1w image from the scanner to brain, tissues and template.

Conform, bias field, brain extraction, registration to the template and tissue segmentation as a nipype workflow over
in-process nodes (`interfaces/anat_nodes.py`). Knows plain files only; the numerics are in the modules beside this one.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bids_ai.errors import InputError
from bids_ai.preprocess.skullstrip import METHODS
from bids_ai.preprocess.templates import Template
from bids_ai.preprocess.tissues import DSEG_LABELS
from bids_ai.preprocess.workflows import new_workflow, run_workflow

__all__ = ["AnatOutputs", "build_workflow", "preprocess_t1w"]

#: Output of `AnatOutputs` -> the node that makes it and its name there.
_FILES = {
    "t1w_preproc": ("bias_brain", "t1w"),
    "t1w_brain": ("normalise", "t1w_brain"),
    "brain_mask": ("extract", "mask"),
    "dseg": ("segment", "dseg"),
    "gm_probseg": ("segment", "gm_probseg"),
    "wm_probseg": ("segment", "wm_probseg"),
    "csf_probseg": ("segment", "csf_probseg"),
    "t1w_to_template": ("normalise", "t1w_to_template"),
    "template_to_t1w": ("normalise", "template_to_t1w"),
    "t1w_in_template": ("normalise", "t1w_in_template"),
    "brain_mask_in_template": ("normalise", "brain_mask_in_template"),
    "dseg_in_template": ("segment", "dseg_in_template"),
}
_VERSIONS = ("antspyx", "nibabel", "nilearn", "nipype", "numpy", "scipy")
#: Dice of the warped brain mask with the template's, below which the registration is doubted.
_LEAST_OVERLAP = 0.9


@dataclass(frozen=True)
class AnatOutputs:
    """Files of one T1w image; T1w space unless said.

    Attributes
    ----------
    t1w_preproc : Path
        Whole head, bias-corrected, axes along R, A, S, resolution of the scanner.
    t1w_brain, brain_mask : Path
        The brain and its mask.
    dseg : Path
        0 background, 1 GM, 2 WM, 3 CSF.
    gm_probseg, wm_probseg, csf_probseg : Path
        Posterior probabilities.
    t1w_to_template, template_to_t1w : Path
        Composite ITK transforms (.h5) for `ants.apply_transforms`; the first resamples T1w images on template grids.
    t1w_in_template, brain_mask_in_template, dseg_in_template : Path
        On the grid of the template; the T1w image shows the brain only.
    template : Template
    qc : dict
        Methods, volumes (litres), fit to the template, warnings, versions, seconds of each step.
    """

    t1w_preproc: Path
    t1w_brain: Path
    brain_mask: Path
    dseg: Path
    gm_probseg: Path
    wm_probseg: Path
    csf_probseg: Path
    t1w_to_template: Path
    template_to_t1w: Path
    t1w_in_template: Path
    brain_mask_in_template: Path
    dseg_in_template: Path
    template: Template
    qc: dict[str, Any]


def build_workflow(
    t1w: Path,
    work_dir: Path,
    *,
    template: Template,
    skullstrip: str = "auto",
    seed: int = 1,
    sloppy: bool = False,
) -> Any:
    """Wire the nodes of one T1w image.

    Returns
    -------
    nipype.pipeline.engine.Workflow
        Nodes `conform`, `bias_head`, `extract`, `bias_brain`, `normalise`, `segment`.
    """
    workflow = new_workflow("anat", work_dir)
    from nipype.pipeline import engine as pe

    from bids_ai.preprocess.interfaces import anat_nodes

    images = {key: getattr(template, key) for key in ("t1w", "mask", "gm", "wm", "head")}
    of_template: dict[str, Any] = {
        f"template_{key}": str(Path(path).absolute()) for key, path in images.items() if path is not None
    }
    of_template |= {"template_space": template.space, "seed": seed, "sloppy": sloppy}

    def node(name: str, interface: Any, **values: Any) -> Any:
        made = pe.Node(interface(), name=name)
        made.inputs.trait_set(**values)
        return made

    conform = node("conform", anat_nodes.Conform, t1w=str(Path(t1w).absolute()))
    bias_head = node("bias_head", anat_nodes.CorrectBias, sloppy=sloppy)
    extract = node("extract", anat_nodes.ExtractBrain, method=skullstrip, **of_template)
    # The field inside the brain is estimated again, now that scalp and fat do not disturb it.
    bias_brain = node("bias_brain", anat_nodes.CorrectBias, sloppy=sloppy)
    normalise = node("normalise", anat_nodes.Normalise, **of_template)
    segment = node("segment", anat_nodes.SegmentTissues, **of_template)
    transforms = ("t1w_to_template", "template_to_t1w")
    workflow.connect(
        [
            (conform, bias_head, [("t1w", "t1w")]),
            (conform, extract, [("t1w", "original")]),
            (bias_head, extract, [("t1w", "t1w")]),
            (bias_head, bias_brain, [("t1w", "t1w")]),
            (extract, bias_brain, [("mask", "mask")]),
            (extract, normalise, [("mask", "mask"), ("pose", "pose")]),
            (bias_brain, normalise, [("t1w", "t1w")]),
            (bias_brain, segment, [("t1w", "t1w")]),
            (extract, segment, [("mask", "mask")]),
            (normalise, segment, [(name, name) for name in transforms]),
        ]
    )
    return workflow


def preprocess_t1w(
    t1w: Path,
    work_dir: Path,
    *,
    template: Template,
    skullstrip: str = "auto",
    n_threads: int = 1,
    seed: int = 1,
    sloppy: bool = False,
) -> AnatOutputs:
    """Preprocess one T1w image.

    Parameters
    ----------
    t1w : Path
        3-D NIfTI file.
    work_dir : Path
        Receives the outputs. A killed call that is repeated here goes on after the last finished node.
    template : Template
        From `templates.bundled_template` or `templates.user_template`.
    skullstrip : {"auto", "deformable", "head-template", "none"}
        See `skullstrip.extract_brain`.
    n_threads : int
        Threads of ITK. Only with 1 is the result the same to the last bit. Counts if nothing in this process used ITK
        before.
    seed : int
    sloppy : bool
        Coarse and fast, for tests.

    Returns
    -------
    AnatOutputs

    Raises
    ------
    InputError
        If the image cannot be used, or no brain is found in it.
    """
    if skullstrip not in METHODS:
        raise InputError(f"Unknown method of brain extraction '{skullstrip}'; known: {', '.join(METHODS)}.")
    if skullstrip == "head-template" and template.head is None:
        raise InputError("Brain extraction by 'head-template' needs a template with a whole-head image.")
    if not Path(t1w).is_file():
        raise InputError(f"T1w image is not a file: {t1w}.")
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(n_threads)
    work_dir = Path(work_dir).absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    workflow = build_workflow(t1w, work_dir, template=template, skullstrip=skullstrip, seed=seed, sloppy=sloppy)
    results = run_workflow(workflow)
    outputs = {name: result.outputs for name, result in results.items()}
    quality = _quality(outputs, template)
    quality["seconds"] = {name: round(float(result.runtime.duration), 2) for name, result in results.items()}
    quality |= {"seed": seed, "n_threads": n_threads, "sloppy": sloppy}
    # Moved, then the nodes' folder goes: the intermediate images are larger than the outputs.
    files = {name: _move(Path(getattr(outputs[node], key)), work_dir) for name, (node, key) in _FILES.items()}
    shutil.rmtree(work_dir / "anat", ignore_errors=True)
    return AnatOutputs(**files, template=template, qc=quality)


def _move(source: Path, folder: Path) -> Path:
    target = folder / source.name
    source.replace(target)
    return target


def _quality(outputs: dict[str, Any], template: Template) -> dict[str, Any]:
    found = json.loads(Path(outputs["extract"].pose).read_text())
    normalise, segment = outputs["normalise"], outputs["segment"]
    warnings = list(found["warnings"])
    nmi = {key: round(float(value), 4) for key, value in normalise.nmi.items()}
    if nmi["syn"] < nmi["affine"]:
        warnings.append("The nonlinear registration fits the template less well than the affine one.")
    if normalise.overlap < _LEAST_OVERLAP:
        warnings.append(
            f"The warped brain mask overlaps the template's by a Dice of {normalise.overlap:.2f} only: look at the "
            "registration."
        )
    return {
        "skullstrip_method": found["method"],
        "skullstrip_details": found["details"],
        "brain_volume_l": round(found["volume_l"], 4),
        "brain_scale": round(found["scale"], 4),
        "tissue_method": segment.method,
        "tissue_volumes_l": {key: round(value, 4) for key, value in segment.volumes_l.items()},
        "dseg_labels": dict(DSEG_LABELS),
        "bias_strength": round(float(outputs["bias_head"].strength), 3),
        "registration_method": "affine (mutual information), SyN (cross-correlation) on brains at 2 mm",
        "nmi_headers": nmi["headers"],
        "nmi_before": nmi["affine"],
        "nmi_after": nmi["syn"],
        "mask_overlap_with_template": round(float(normalise.overlap), 4),
        "template_space": template.space,
        "template_origin": template.origin,
        "warnings": warnings,
        "versions": {name: metadata.version(name) for name in _VERSIONS},
    }
