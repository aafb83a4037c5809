"""Wiring of the nodes of diffusion preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bids_ai.preprocess.dwi_denoise import LEAST_VOLUMES
from bids_ai.preprocess.dwi_inputs import DwiInputs, check_inputs, choose_engine, reverse_usable
from bids_ai.preprocess.workflows import new_workflow

#: Output of the workflow -> the node that makes it and its name there.
FILES = {
    "dwi": ("resample", "dwi"),
    "bval": ("resample", "bval"),
    "bvec": ("resample", "bvec"),
    "mask": ("resample", "mask"),
    "dwiref": ("resample", "dwiref"),
    "dwiref_distorted": ("resample", "dwiref_distorted"),
    "gm": ("resample", "gm"),
    "wm": ("resample", "wm"),
    "csf": ("resample", "csf"),
    "fa": ("tensor", "fa"),
    "md": ("tensor", "md"),
    "ad": ("tensor", "ad"),
    "rd": ("tensor", "rd"),
    "direction": ("tensor", "direction"),
    "residual": ("noise", "residual"),
    "shift": ("distortion", "shift"),
    "motion": ("motion", "motion"),
    "dwi_to_frame": ("register", "dwi_to_frame"),
    "dwi_to_template": ("register", "dwi_to_template"),
    "template_to_dwi": ("register", "template_to_dwi"),
}


def build_dwi_workflow(
    inputs: DwiInputs,
    work_dir: Path,
    *,
    denoise: bool = True,
    reorient_gradients: bool = True,
    replace_outliers: bool = True,
    align: bool = True,
    repetition_time: float = 1.0,
    seed: int = 1,
    sloppy: bool = False,
) -> Any:
    """Wire the nodes of one series.

    Parameters
    ----------
    inputs : DwiInputs
        Checked by `check_inputs`.
    work_dir : Path
        Receives the folders of the nodes, below ``dwi``.
    denoise : bool
        Take out thermal noise (and Gibbs ringing, with MRtrix3).
    reorient_gradients : bool
        Mend a gradient table whose axes are flipped or swapped, where the images say so clearly.
    replace_outliers : bool
        Put the prediction in the place of slices with signal drop-out.
    align : bool
        Without a T1w: turn the head as the template has it. False keeps the frame of the series.
    repetition_time : float
        For the header of the output, s.
    seed : int
    sloppy : bool
        Coarse and fast, for tests.

    Returns
    -------
    nipype.pipeline.engine.Workflow
        Nodes `check`, `denoise` and `unring` (as the engine has them), `noise`, `table`, `motion`, `distortion`,
        `bias`, `register`, `resample`, `tensor`, and `outputs` (an `IdentityInterface`) with the fields of `DwiOutputs`
        that are images, tables of gradients or transforms; those that are not made stay undefined.
    """
    workflow = new_workflow("dwi", work_dir)
    from nipype.interfaces.utility import IdentityInterface
    from nipype.pipeline import engine as pe

    from bids_ai.preprocess.interfaces import dwi_correct, dwi_prepare, dwi_register, dwi_resample

    def node(name: str, interface: Any, **values: Any) -> Any:
        given = {key: value for key, value in values.items() if value is not None}
        made = pe.Node(interface(), name=name)
        made.inputs.trait_set(**{k: str(v.absolute()) if isinstance(v, Path) else v for k, v in given.items()})
        return made

    tables = [("bval", "bval"), ("bvec", "bvec")]
    phase = inputs.phase_encoding
    check = node("check", dwi_prepare.CheckSeries, dwi=inputs.dwi, bval=inputs.bval, bvec=inputs.bvec)
    table = node("table", dwi_prepare.CheckTable, mend=reorient_gradients)
    motion = node(
        "motion",
        dwi_correct.EstimateMotion,
        phase_encoding=phase,
        slice_encoding=inputs.slice_encoding or "k",
        replace_outliers=replace_outliers,
        sloppy=sloppy,
    )
    usable = not reverse_usable(inputs)
    distortion = node(
        "distortion",
        dwi_correct.EstimateDistortion,
        reverse=inputs.reverse if usable else None,
        phase_encoding=phase if usable else None,
        ratio=_readout_ratio(inputs),
        sloppy=sloppy,
    )
    bias = node("bias", dwi_correct.BiasField, sloppy=sloppy)
    register = _register_node(node, dwi_register, inputs, align=align, seed=seed, sloppy=sloppy)
    template = None if inputs.has_t1w else inputs.template
    resample = node(
        "resample",
        dwi_resample.ResampleSeries,
        phase_encoding=phase,
        from_t1w=inputs.has_t1w,
        repetition_time=repetition_time,
        t1w_gm=inputs.t1w_gm,
        t1w_wm=inputs.t1w_wm,
        t1w_csf=inputs.t1w_csf,
        template_gm=template.gm if template else None,
        template_wm=template.wm if template else None,
    )
    tensor = node("tensor", dwi_resample.TensorMaps)
    outputs = pe.Node(IdentityInterface(fields=sorted(FILES)), name="outputs")

    workflow.connect(
        [
            (check, table, tables),
            (table, motion, tables),
            (table, resample, tables),
            (motion, distortion, [("b0", "b0"), ("mask", "mask")]),
            (distortion, bias, [("b0", "b0")]),
            (bias, register, [("b0", "b0"), ("mask", "mask")]),
            (check, table, [("dwi", "dwi")]),
            (check, motion, [("dwi", "dwi")]),
            (motion, resample, [("dwi", "dwi"), ("motion", "motion")]),
            (distortion, resample, [("shift", "shift")]),
            (bias, resample, [("field", "field"), ("mask", "rough_mask")]),
            (register, resample, [(name, name) for name in ("dwi_to_frame", "frame_mask", "template_to_dwi")]),
            (resample, tensor, [(name, name) for name in ("dwi", "bval", "bvec", "mask")]),
        ]
    )
    if denoise and _enough_volumes(inputs):
        _denoise(workflow, node, inputs, check, motion, node("noise", dwi_prepare.NoiseResidual))
    for name, (source, field) in FILES.items():
        made = workflow.get_node(source)
        if made is not None:
            workflow.connect(made, field, outputs, name)
    return workflow


def _readout_ratio(inputs: DwiInputs) -> float:
    """Readout time of the reverse-encoded image over that of the series; 1 where one of them is not known."""
    if inputs.readout_time is None or inputs.reverse_readout_time is None:
        return 1.0
    return inputs.reverse_readout_time / inputs.readout_time


def _register_node(node: Any, nodes: Any, inputs: DwiInputs, *, align: bool, seed: int, sloppy: bool) -> Any:
    if inputs.has_t1w:
        t1w = {name: getattr(inputs, name) for name in ("t1w_brain", "t1w_mask", "t1w_dseg")}
        return node("register", nodes.RegisterToT1w, **t1w, seed=seed, sloppy=sloppy)
    template = inputs.template
    assert template is not None  # by check_inputs
    return node(
        "register",
        nodes.AlignWithTemplate,
        template_t1w=Path(template.t1w),
        template_mask=Path(template.mask),
        template_space=template.space,
        align=align,
        seed=seed,
        sloppy=sloppy,
    )


def _denoise(workflow: Any, node: Any, inputs: DwiInputs, check: Any, motion: Any, noise: Any) -> None:
    """Take out noise, and ringing where MRtrix3 is there. Motion is estimated on the raw series all the same."""
    from nipype.interfaces import mrtrix3

    from bids_ai.preprocess.interfaces import dwi_prepare

    workflow.connect([(check, noise, [("dwi", "before"), ("bval", "bval")])])
    if choose_engine(inputs.engine) == "dipy":
        clean = denoised = node("denoise", dwi_prepare.MPPCA)
        workflow.connect(check, "bval", denoised, "bval")
    else:
        denoised = node("denoise", mrtrix3.DWIDenoise, out_file="denoised.nii", nthreads=1, args="-quiet")
        slices = "ijk".index((inputs.slice_encoding or "k")[0])
        plane = [axis for axis in range(3) if axis != slices]
        clean = node("unring", mrtrix3.MRDeGibbs, out_file="unringed.nii", axes=plane, nthreads=1, args="-quiet")
        workflow.connect(denoised, "out_file", clean, "in_file")
    workflow.connect(
        [
            (check, denoised, [("dwi", "in_file")]),
            (denoised, noise, [("out_file", "after")]),
            (clean, motion, [("out_file", "clean")]),
        ]
    )


def _enough_volumes(inputs: DwiInputs) -> bool:
    return check_inputs(inputs)[0][3] >= LEAST_VOLUMES
