"""Functional preprocessing: one BOLD run from raw volumes to the template, with its confounds.

Slice timing, head motion, reference volume, registration to the T1w image, one-shot resampling and confounds
as a nipype workflow over in-process nodes (`interfaces/bold_*.py`). Knows plain files only; the numerics are
in the modules beside this one.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai.errors import InputError
from bids_ai.preprocess import func_report as report
from bids_ai.preprocess import resampling
from bids_ai.preprocess.func_inputs import BoldInputs, BoldOutputs, check_inputs

__all__ = ["BoldInputs", "BoldOutputs", "build_workflow", "check_inputs", "preprocess_bold"]

REMARK = "bids_ai.errors.InputError: "


def build_workflow(
    inputs: BoldInputs,
    work_dir: Path,
    *,
    resolution_mm: float,
    dummy_scans: int | None = None,
    n_threads: int = 1,
    seed: int = 1,
    sloppy: bool = False,
) -> Any:
    """Wire the nodes of one run.

    Returns
    -------
    nipype.pipeline.engine.Workflow
        Nodes `prepare`, `reference`, `motion`, `coregister`, `resample`, `confounds`.
    """
    # The package of our nodes first: it switches nipype's telemetry off.
    from bids_ai.preprocess.interfaces import bold_prepare, bold_register, bold_resample  # isort: skip
    from nipype.pipeline import engine as pe

    def node(name: str, interface: Any, **values: Any) -> Any:
        given = {key: value for key, value in values.items() if value is not None}
        made = pe.Node(interface(), name=name)
        made.inputs.trait_set(**{k: str(v) if isinstance(v, Path) else v for k, v in given.items()})
        return made

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else Path(path).absolute()

    t1w = {name: absolute(getattr(inputs, name)) for name in ("t1w_brain", "t1w_mask", "t1w_dseg")}
    timing = None if inputs.slice_timing is None else [float(time) for time in inputs.slice_timing]
    prepare = node(
        "prepare",
        bold_prepare.PrepareSeries,
        bold=absolute(inputs.bold),
        tr=float(inputs.tr),
        slice_timing=timing,
        slice_encoding=inputs.slice_encoding,
        dummy_scans=dummy_scans,
    )
    reference = node("reference", bold_prepare.ReferenceVolume, sbref=absolute(inputs.sbref), sloppy=sloppy)
    head = node("motion", bold_prepare.HeadMotion, n_threads=n_threads, sloppy=sloppy)
    coregister = node("coregister", bold_register.Coregister, **t1w, seed=seed, sloppy=sloppy)
    resample = node(
        "resample",
        bold_resample.ResampleOnce,
        tr=float(inputs.tr),
        t1w_dseg=t1w["t1w_dseg"],
        t1w_to_template=absolute(inputs.t1w_to_template),
        template=absolute(inputs.template_t1w),
        template_mask=absolute(inputs.template_mask),
        resolution=resolution_mm,
        n_threads=n_threads,
    )
    table = node("confounds", bold_resample.Confounds, tr=float(inputs.tr), t1w_dseg=t1w["t1w_dseg"])

    workflow = pe.Workflow("bold", base_dir=str(work_dir))
    workflow.config["execution"] = {
        "crashdump_dir": str(work_dir / "crash"),
        "crashfile_format": "txt",
        "stop_on_first_crash": "true",
        "remove_unnecessary_outputs": "false",
    }
    run = ("series", "shape", "affine")
    workflow.connect(
        [
            (prepare, reference, [(k, k) for k in (*run, "dummy_scans")]),
            (prepare, head, [(k, k) for k in run]),
            (prepare, resample, [(k, k) for k in run]),
            (prepare, table, [("affine", "affine"), ("dummy_scans", "dummy_scans")]),
            (reference, head, [("reference", "reference")]),
            (reference, coregister, [("boldref", "boldref"), ("mask", "mask")]),
            (reference, resample, [("boldref", "boldref")]),
            (head, resample, [("matrices", "matrices")]),
            (coregister, resample, [("brain_mask", "brain_mask"), ("bold_to_t1w", "bold_to_t1w")]),
            (head, table, [("parameters", "parameters")]),
            (coregister, table, [("brain_mask", "brain_mask"), ("bold_to_t1w", "bold_to_t1w")]),
            (resample, table, [("native_series", "native_series")]),
        ]
    )
    return workflow


def _run(workflow: Any) -> dict[str, Any]:
    """Run in this process and give the result of each node; a fault of the data comes out as `InputError`."""
    before = Path.cwd()
    logger = logging.getLogger("nipype.workflow")
    level = logger.level
    logger.setLevel(logging.WARNING)  # nipype reports each node on standard output
    try:
        graph = workflow.run(plugin="Linear")
    except Exception as error:
        text = str(error)
        if REMARK in text:
            raise InputError(text.rsplit(REMARK, 1)[1].strip()) from error
        raise
    finally:
        logger.setLevel(level)
        os.chdir(before)  # a failed node leaves the process in its folder
    return {node.name: node.result for node in graph.nodes()}


def preprocess_bold(
    inputs: BoldInputs,
    work_dir: Path,
    *,
    resolution_mm: float | None = None,
    dummy_scans: int | None = None,
    fd_threshold_mm: float = 0.5,
    n_threads: int = 1,
    seed: int = 1,
    sloppy: bool = False,
) -> BoldOutputs:
    """Preprocess one BOLD run.

    Parameters
    ----------
    inputs : BoldInputs
    work_dir : Path
        Receives the outputs. A killed call that is repeated here goes on after the last finished node.
    resolution_mm : float, optional
        Edge of the output voxels; the smallest edge of the BOLD voxels, not below 2 mm, if None.
    dummy_scans : int, optional
        Leading non-steady-state volumes; detected if None. They are marked, never deleted.
    fd_threshold_mm : float
        Frames with more displacement are counted in `qc`. Nothing is censored here.
    n_threads : int
        Does not change the result.
    seed : int
    sloppy : bool
        Coarse and fast, for tests.

    Returns
    -------
    BoldOutputs

    Raises
    ------
    InputError
        If the data cannot be used; see `check_inputs`.
    """
    shape = check_inputs(inputs, dummy_scans)
    image: Any = nib.load(inputs.bold)
    resolution = resampling.output_resolution(np.asarray(image.affine), resolution_mm)
    work_dir = Path(work_dir).absolute()
    work_dir.mkdir(parents=True, exist_ok=True)
    workflow = build_workflow(
        inputs,
        work_dir,
        resolution_mm=resolution,
        dummy_scans=dummy_scans,
        n_threads=n_threads,
        seed=seed,
        sloppy=sloppy,
    )
    results = _run(workflow)
    outputs = {name: result.outputs for name, result in results.items()}
    kept = {
        "bold_in_template": outputs["resample"].bold_in_template,
        "boldref": outputs["reference"].boldref,
        "boldref_in_t1w": outputs["coregister"].boldref_in_t1w,
        "boldref_in_template": outputs["resample"].boldref_in_template,
        "brain_mask": outputs["coregister"].brain_mask,
        "brain_mask_in_template": outputs["resample"].brain_mask_in_template,
        "dseg_in_template": outputs["resample"].dseg_in_template,
        "bold_to_t1w": outputs["coregister"].bold_to_t1w,
        "confounds": outputs["confounds"].confounds,
    }
    figures = report.quality(
        inputs,
        shape,
        outputs,
        table=pd.read_csv(kept["confounds"], sep="\t", na_values="n/a"),
        correlations=np.load(outputs["motion"].correlations),
        resolution_mm=resolution,
        dummy_scans_given=dummy_scans is not None,
        fd_threshold_mm=fd_threshold_mm,
    )
    figures["seconds"] = {name: round(float(result.runtime.duration), 2) for name, result in results.items()}
    figures["peak_memory_mb"] = _peak_memory_mb()
    figures["versions"] = {
        name: metadata.version(name) for name in ("antspyx", "nibabel", "nilearn", "nipype", "numpy", "scipy")
    }
    figures["seed"] = seed
    meta = json.loads(Path(outputs["confounds"].meta).read_text())
    # Moved, then the nodes' folder goes: the working copies are several times the size of the run.
    final = {name: _move(Path(source), work_dir) for name, source in kept.items()}
    shutil.rmtree(work_dir / "bold", ignore_errors=True)
    return BoldOutputs(**final, confounds_meta=meta, qc=figures)


def _move(source: Path, folder: Path) -> Path:
    target = folder / source.name
    source.replace(target)
    return target


def _peak_memory_mb() -> float:
    """Greatest resident memory of this process so far (of all its work, not of this run alone)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1024 if sys.platform != "darwin" else 1024**2), 1)
