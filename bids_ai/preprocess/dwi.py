"""Diffusion preprocessing: one series from raw volumes to the T1w (or, without one, to the template's frame).

Gradient table, noise, head motion, eddy currents, susceptibility distortion, bias field, registration, one-shot
resampling and the tensor, as a nipype workflow over MRtrix3's interfaces and own nodes (`interfaces/dwi_*.py`). Knows
plain files only; the numerics are in the modules beside this one.
"""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

import numpy as np

from bids_ai.preprocess import dwi_report as report
from bids_ai.preprocess.dwi_inputs import DwiInputs, check_inputs, notes_on
from bids_ai.preprocess.dwi_outputs import DwiOutputs
from bids_ai.preprocess.dwi_workflow import FILES, build_dwi_workflow
from bids_ai.preprocess.workflows import run_workflow

__all__ = ["DwiInputs", "DwiOutputs", "build_dwi_workflow", "check_inputs", "preprocess_dwi"]

_VERSIONS = ("antspyx", "dipy", "nibabel", "nilearn", "nipype", "numpy", "scipy")


def preprocess_dwi(
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
) -> DwiOutputs:
    """Preprocess one diffusion series.

    Parameters
    ----------
    inputs : DwiInputs
    work_dir : Path
        Receives the outputs. A killed call that is repeated here goes on after the last finished node.
    denoise, reorient_gradients, replace_outliers, align, repetition_time, seed, sloppy
        As for `build_dwi_workflow`.

    Returns
    -------
    DwiOutputs

    Raises
    ------
    InputError
        If the data cannot be used; see `check_inputs`.
    """
    shape, table = check_inputs(inputs)
    work_dir = Path(work_dir).absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    workflow = build_dwi_workflow(
        inputs,
        work_dir,
        denoise=denoise,
        reorient_gradients=reorient_gradients,
        replace_outliers=replace_outliers,
        align=align,
        repetition_time=repetition_time,
        seed=seed,
        sloppy=sloppy,
    )
    results = run_workflow(workflow)
    outputs = {name: result.outputs for name, result in results.items()}
    confounds = work_dir / "confounds.tsv"
    motion = np.load(outputs["motion"].motion)
    frames = report.confounds_table(motion)
    frames.to_csv(confounds, sep="\t", index=False, na_rep="n/a", float_format="%.8g")
    figures = report.quality(inputs, shape, table, outputs, frames, notes_on(inputs, table), denoised=denoise)
    figures["seconds"] = {name: round(float(result.runtime.duration), 2) for name, result in results.items()}
    figures["versions"] = {name: metadata.version(name) for name in _VERSIONS}
    figures |= {"seed": seed, "sloppy": sloppy}
    # Moved, then the nodes' folder goes: the working copies are several times the size of the series.
    files = {}
    for name, (source, field) in FILES.items():
        made = getattr(outputs.get(source), field, None)
        files[name] = _move(Path(made), work_dir, name) if isinstance(made, str) and made else None
    shutil.rmtree(work_dir / "dwi", ignore_errors=True)
    return DwiOutputs(**files, confounds=confounds, qc=figures)  # type: ignore[arg-type]


def _move(source: Path, folder: Path, name: str) -> Path:
    target = folder / f"{name}{''.join(source.suffixes)}"
    source.replace(target)
    return target
