"""Which steps ran for a subject, told from the sidecars they left: the source of the methods text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.bids.files import read_json
from bids_ai.bids.index import Recording
from bids_ai.stages.context import Context
from bids_ai.stages.methods_diffusion import diffusion_steps
from bids_ai.stages.methods_electrophysiology import series_steps, signal_steps
from bids_ai.stages.steps import Step, read_sidecar, step, tool, tool_version

#: Word in the label of an atlas -> sentence of the methods text about it.
_ATLASES = {
    "schaefer": "atlas_schaefer2018",
    "seitzman": "atlas_seitzman2018",
    "power": "atlas_power2011",
    "dosenbach": "atlas_dosenbach2010",
    "tian": "atlas_tian2020",
    "desikan": "atlas_desikan2006",
    "equalvolume": "atlas_equal_volume",
}

#: Strategy of confound regression -> its sentences.
_STRATEGIES = {
    "24p+acompcor": ("motion_24", "acompcor"),
    "24p": ("motion_24",),
    "6p": ("motion_6",),
    "36p": ("motion_24", "confounds_36p"),
    "none": (),
}


def steps_of(context: Context, subjects: list[str]) -> list[Step]:
    """Steps that ran for some subjects.

    Parameters
    ----------
    context : Context
        The run.
    subjects : list of str
        Such as ``["sub-01"]``.

    Returns
    -------
    list of dict
        As `bids_ai.report.methods.methods_text` takes them.
    """
    steps = [
        step("bids_ai", "bids-ai", seed=context.config.random_seed),
        tool("snakemake"),
        tool("pybids"),
    ]
    for anatomy in context.index.anatomies:
        if anatomy.subject in subjects:
            steps += _anat(context, anatomy.item)
    for entry in context.index.diffusions:
        if entry.subject in subjects:
            steps += diffusion_steps(context, entry)
    for recording in context.index.recordings:
        if recording.subject in subjects:
            steps += _func(context, recording) if recording.modality == "bold" else signal_steps(context, recording)
    for recording, atlas in context.index.pairs():
        if recording.subject in subjects:
            steps += series_steps(context, recording, atlas.label) if recording.modality != "bold" else []
            steps += _series(context, recording, atlas.label)
    for atlas in context.index.atlases:
        for fit in context.index.fits_of(atlas):
            if fit.subject in subjects:
                steps += _fit(context, {"series": fit.series, "atlas": atlas.label, "pool": fit.pool})
    return steps


def _anat(context: Context, item: str) -> list[Step]:
    meta = read_sidecar(context.names.path("t1w", anat=item))
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    method = str(quality.get("skullstrip_method", ""))
    kinds = {"none": "brain_extraction_none", "template": "brain_extraction_template"}
    extraction = next((step for word, step in kinds.items() if word in method), "brain_extraction_deformable")
    steps = [
        step("nipype", "nipype"),
        step("bias_field", "antspyx"),
        step(extraction, details=quality.get("skullstrip_details")),
        step("tissue_segmentation"),
        step("normalisation", template=context.index.space),
    ]
    if context.config.anat.template.t1w is None:
        steps.append(step("template_mni152", "nilearn"))
    return steps


def _func(context: Context, recording: Recording) -> list[Step]:
    if recording.engine != "builtin":
        names = {"fmriprep": "fmriprep_derivatives", "timeseries": "xcpd_derivatives"}
        tool = {"fmriprep": "fmriprep", "timeseries": "xcpd"}[recording.engine]
        version = tool_version(context.index.derivatives.get(tool))
        return [step(names[recording.engine], derivatives_version=version)]
    meta = read_sidecar(context.names.path("bold", bold=recording.item))
    if meta is None:
        return []
    quality = meta.get("QualityControl", {})
    coregistration = str(quality.get("coregistration", ""))
    steps = [
        step("head_motion"),
        step("coregistration_bbr") if "boundary" in coregistration else step("coregistration", method=coregistration),
        step("resampling", space=context.index.space, resolution_mm=quality.get("resolution_mm")),
        step("framewise_displacement"),
        step("dvars"),
    ]
    if quality.get("slice_timing") == "corrected":
        steps.append(step("slice_timing", reference="the middle of the acquisition of a volume"))
    if quality.get("dummy_scans"):
        steps.append(step("dummy_scans", n_dummy=quality["dummy_scans"]))
    return steps


def _series(context: Context, recording: Recording, atlas: str) -> list[Step]:
    holes = {"series": recording.series, "atlas": atlas}
    meta = read_sidecar(context.names.timeseries(**holes))
    if meta is None:
        return []
    settings = context.config
    steps = []
    if recording.engine != "timeseries" and recording.modality == "bold":
        steps += _denoising(context, meta)
        steps.append(
            step(
                "parcellation",
                atlas=atlas,
                n_regions=_count(context, atlas),
                min_coverage_percent=f"{100 * settings.parcellation.min_coverage:g}",
            )
        )
        steps += [step(name) for word, name in _ATLASES.items() if word in atlas.lower()]
    if context.names.path("pearson", **holes).is_file():
        shrinkage = settings.functional_connectivity.shrinkage.replace("-", "_")
        steps += [step("pearson"), step(f"partial_{shrinkage}", "scikit-learn"), step("effective_sample_size")]
    return steps


def _count(context: Context, atlas: str) -> int:
    from bids_ai.stages.inputs import read_nodes

    return len(read_nodes(context, atlas))


def _denoising(context: Context, meta: dict[str, Any]) -> list[Step]:
    settings = context.config.func
    regressors = [str(name) for name in meta.get("ConfoundRegressors", [])]
    kinds = {
        "24p+acompcor": ["motion_24", "acompcor"],
        "24p": ["motion_24"],
        "6p": ["motion_6"],
        "36p": ["confounds_36p"],
    }
    components = sum(name.startswith("a_comp_cor") for name in regressors)
    steps = [step(name, n_components=components) for name in kinds.get(settings.confounds, [])]
    if settings.global_signal and settings.confounds != "36p":
        steps.append(step("global_signal"))
    if any(name.startswith("task: ") for name in regressors):
        steps.append(step("task_regression"))
    if settings.high_pass_hz:
        steps.append(step("high_pass", cutoff_hz=settings.high_pass_hz))
    if settings.fd_threshold_mm:
        steps.append(step("censoring", fd_threshold_mm=settings.fd_threshold_mm))
    return steps


def _fit(context: Context, holes: dict[str, str]) -> list[Step]:
    from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX

    path = context.names.path("surrogate", model=context.model, **holes)
    if not path.is_file():
        return []
    meta = read_json(path)
    if meta.get("Status") != "fitted":
        return []
    fit = meta["Fit"]
    heldout = fit["evaluation"]["heldout"]
    modality = context.index.modality(context.index.fit(holes["series"], holes["pool"], holes["atlas"]))
    order_max = context.config.surrogate.order_max or DEFAULT_ORDER_MAX[modality]
    steps = model_steps(fit["family"], fit["requested"], len(fit["models"]), order_max, heldout)
    ec = read_sidecar(context.names.path("ec", model=context.model, **holes))
    if ec is not None:
        kind = "perturbation_neural" if "neural" in str(ec.get("PushActsOn", "")) else "perturbation"
        steps.append(step(kind, push_sd=ec.get("PushSize"), horizon_s=ec.get("HorizonSeconds")))
        steps.append(step("jacobian"))
    return steps


def model_steps(family: str, requested: str, n_members: int, order_max: int, heldout: Mapping[str, Any]) -> list[Step]:
    """Steps of a fitted surrogate.

    Parameters
    ----------
    family, requested : str
        What was kept, and what was asked for.
    n_members : int
        Of the ensemble.
    order_max : int
        Largest order tried.
    heldout : mapping
        ``evaluation["heldout"]`` of the fit.
    """
    compared = ", ".join(str(row["family"]) for row in heldout.get("families") or []) or None
    steps = [step("auto", families=compared)] if requested == "auto" else []
    steps += [step(family.replace("-", "_"), "torch", order_max=order_max), step("surrogate_gate")]
    return [*steps, step("ensemble", n_members=n_members)] if n_members > 1 else steps
