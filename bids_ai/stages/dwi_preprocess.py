"""DWI: denoising, head motion, eddy currents, distortion, registration to the T1w, one-shot resampling, tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from bids_ai.bids.files import atomic, copy, write_json
from bids_ai.bids.gradients import read_gradients
from bids_ai.bids.index import Diffusion
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_table
from bids_ai.errors import InputError
from bids_ai.stages.context import Context
from bids_ai.stages.sidecars import sources
from bids_ai.stages.templates import load_template

if TYPE_CHECKING:
    from bids_ai.preprocess.dwi import DwiInputs, DwiOutputs

#: Derivative -> field of the outputs of preprocessing. The series comes last: its presence means all is there.
_FILES = {
    "dwi_mask": "mask",
    "dwi_ref": "dwiref",
    "dwi_gm": "gm",
    "dwi_wm": "wm",
    "dwi_csf": "csf",
    "fa": "fa",
    "md": "md",
    "ad": "ad",
    "rd": "rd",
    "dwi_confounds": "confounds",
    "dwi_to_t1w": "dwi_to_frame",
    "dwi_to_template": "dwi_to_template",
    "template_to_dwi": "template_to_dwi",
    "dwi_bval": "bval",
    "dwi_bvec": "bvec",
    "dwi": "dwi",
}
_UNITS = {"fa": "1", "md": "mm2/s", "ad": "mm2/s", "rd": "mm2/s"}


def run(context: Context, dwi: str) -> None:
    """Preprocess one diffusion series and publish images, gradients, motion and figures."""
    from bids_ai.preprocess.dwi import preprocess_dwi

    entry = context.index.diffusion(dwi)
    settings = context.config.dwi
    inputs = _inputs(context, entry)
    outputs = preprocess_dwi(
        inputs,
        context.scratch("dwi_preprocess", dwi),
        denoise=settings.denoise,
        reorient_gradients=settings.reorient_gradients,
        align=False,
        seed=context.config.random_seed,
        sloppy=context.config.sloppy,
    )
    if outputs.gm is None or outputs.fa is None:
        raise InputError(
            "No tissue maps for tractography: the subject has no T1w, and the template given has none. Set "
            "anat.template.gm and anat.template.wm, or add a T1w."
        )
    _figures(context, entry, inputs, outputs)
    for key, field in _FILES.items():
        source = getattr(outputs, field)
        if source is None or (key == "dwi_to_t1w" and not entry.anat):
            continue
        target = context.names.path(key, dwi=entry.images)
        if key not in ("dwi_bval", "dwi_bvec"):  # the series speaks for its gradients
            write_json(sidecar(target), _describe(context, key, entry, outputs))
        if key == "dwi_to_t1w":
            write_for_images(source, target)
        else:
            copy(source, target)


def write_for_images(source: Path, target: Path) -> None:
    """Write a linear transform of points the way round that BIDS (``mode-image``) and ITK take images from A to B.

    The program that makes an image of B asks, for every point of B, where it is in A.
    """
    from bids_ai.preprocess.bold_geometry import read_itk_affine, write_itk_affine

    with atomic(target) as temporary:
        write_itk_affine(temporary, np.linalg.inv(read_itk_affine(source)))


def _inputs(context: Context, entry: Diffusion) -> DwiInputs:
    from bids_ai.preprocess.dwi import DwiInputs

    path = context.names.path
    given: dict[str, Any] = {"template": load_template(context)}
    if entry.anat:
        keys = {"t1w_brain": "t1w", "t1w_mask": "t1w_mask", "t1w_dseg": "t1w_dseg"}
        keys |= {f"t1w_{tissue}": tissue for tissue in ("gm", "wm", "csf")}
        given = {name: path(key, anat=entry.anat) for name, key in keys.items()}
    return DwiInputs(
        dwi=Path(entry.source),
        bval=Path(entry.bval),
        bvec=Path(entry.bvec),
        phase_encoding=entry.phase_encoding,
        readout_time=entry.readout_time,
        reverse=Path(entry.reverse) if entry.reverse else None,
        reverse_readout_time=entry.reverse_readout_time,
        engine=context.config.dwi.engine,
        **given,
    )


def _describe(context: Context, key: str, entry: Diffusion, outputs: DwiOutputs) -> dict[str, Any]:
    path = context.names.path
    anat = path("t1w", anat=entry.anat) if entry.anat else None
    content: dict[str, Any] = {"Sources": sources(context, entry.source, entry.bval, entry.bvec, entry.reverse, anat)}
    if anat is not None and key not in ("dwi_confounds", "dwi_to_t1w"):
        content["SpatialReference"] = sources(context, anat)[0]
    if key == "dwi_mask":
        content["Type"] = "Brain"
    if key in _UNITS:
        content["Units"] = _UNITS[key]
        content["Model"] = "diffusion tensor, weighted least squares"
    if key == "dwi_confounds":
        content["Description"] = "One row per volume; motion in scanner coordinates relative to the mean b0, mm and rad"
    if key == "dwi_to_t1w":
        content["Description"] = "Rigid, ITK; brings images of the corrected series, on the raw grid, to the T1w"
    if key == "dwi":
        content |= {
            "SkullStripped": False,
            "NotUsed": list(entry.unused),
            "QualityControl": outputs.qc,
        }
    return content


def _figures(context: Context, entry: Diffusion, inputs: DwiInputs, outputs: DwiOutputs) -> None:
    from bids_ai.report.figures import dwi as figures
    from bids_ai.report.figures import dwi_charts as charts

    def figure(key: str) -> Path:
        return context.names.figure(key, dwi=entry.images)

    image: Any = nib.load(outputs.dwi)
    table = read_gradients(outputs.bval, outputs.bvec, image.shape[3])
    shells = [shell.volumes for shell in table.shells]
    charts.plot_gradients(table.bvals, table.world(image.affine), shells, figure("gradients_figure"))
    with np.load(outputs.motion) as motion:
        frames = read_table(outputs.confounds)
        charts.plot_dwi_motion(
            frames, motion["loss"], motion["outlier"], figure("dwi_motion_figure"), unweighted=table.unweighted
        )
    if outputs.residual is not None:
        figures.plot_denoising(outputs.residual, figure("denoising_figure"))
    labels = inputs.t1w_dseg or outputs.mask
    if inputs.t1w_brain is not None:
        figures.plot_dwi_coregistration(outputs.dwiref, inputs.t1w_brain, labels, figure("dwi_coregistration_figure"))
    if outputs.qc["distortion"]["method"] == "reverse phase encoding":
        figures.plot_dwi_distortion(outputs.dwiref, outputs.dwiref_distorted, labels, figure("dwi_distortion_figure"))
    if outputs.fa is not None and outputs.direction is not None:
        figures.plot_fa(outputs.fa, outputs.direction, figure("fa_figure"))
