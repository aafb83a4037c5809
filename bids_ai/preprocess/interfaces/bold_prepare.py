"""nipype nodes in the space of the BOLD run: unpacking, slice timing, reference volume, head motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits

from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import bold_reference, motion, slice_timing


def open_series(path: str | Path, shape: tuple[int, ...] | list[int], mode: Any = "r") -> Any:
    """Open a working copy (raw float32, Fortran order) as a memory map of shape (nx, ny, nz, n_times)."""
    return np.memmap(path, np.float32, mode, shape=tuple(int(n) for n in shape), order="F")


class PrepareSeriesInput(BaseInterfaceInputSpec):
    """Inputs of `PrepareSeries`."""

    bold = File(exists=True, mandatory=True, desc="4-D NIfTI file")
    tr = traits.Float(mandatory=True, desc="repetition time, s")
    slice_timing = traits.List(traits.Float(), desc="acquisition time of each slice, s")
    slice_encoding = traits.Str(desc="BIDS SliceEncodingDirection")
    dummy_scans = traits.Int(desc="leading volumes before the steady state; detected if not given")


class PrepareSeriesOutput(TraitedSpec):
    """Outputs of `PrepareSeries`."""

    series = File(exists=True, desc="working copy, raw float32, Fortran order")
    shape = traits.List(traits.Int())
    affine = File(exists=True, desc="4 x 4, .npy")
    dummy_scans = traits.Int()
    start_time = traits.Float(desc="moment within the repetition to which the frames belong, s")
    slices_corrected = traits.Bool()


class PrepareSeries(SimpleInterface):
    """Unpack a run, check its values, find non-steady-state volumes, correct slice timing."""

    input_spec = PrepareSeriesInput
    output_spec = PrepareSeriesOutput

    def _run_interface(self, runtime: Any) -> Any:
        target = Path(runtime.cwd) / "series.f32"
        series, affine = bold_reference.unpack(Path(self.inputs.bold), target)
        if isdefined(self.inputs.dummy_scans):
            n_dummy = int(self.inputs.dummy_scans)
        else:
            window = min(series.shape[3], bold_reference.NON_STEADY_WINDOW)
            signal = np.array([series[..., time].mean(dtype=float) for time in range(window)])
            n_dummy = bold_reference.detect_non_steady_state(signal)
        start_time, corrected = 0.0, False
        if isdefined(self.inputs.slice_timing):
            encoding = self.inputs.slice_encoding if isdefined(self.inputs.slice_encoding) else None
            axis, _ = slice_timing.slice_axis(encoding)
            times = slice_timing.check_slice_timing(self.inputs.slice_timing, series.shape[axis], self.inputs.tr)
            start_time = slice_timing.correct_slice_timing(
                series, times, self.inputs.tr, slice_encoding=encoding, skip=n_dummy
            )
            corrected = bool(np.ptp(times) > 0)
        series.flush()  # type: ignore[attr-defined]
        np.save(target.with_name("affine.npy"), affine)
        self._results |= {
            "series": str(target),
            "shape": [int(n) for n in series.shape],
            "affine": str(target.with_name("affine.npy")),
            "dummy_scans": n_dummy,
            "start_time": start_time,
            "slices_corrected": corrected,
        }
        return runtime


class ReferenceInput(BaseInterfaceInputSpec):
    """Inputs of `ReferenceVolume`."""

    series = File(exists=True, mandatory=True)
    shape = traits.List(traits.Int(), mandatory=True)
    affine = File(exists=True, mandatory=True)
    dummy_scans = traits.Int(0, usedefault=True)
    sbref = File(exists=True, desc="single-band reference")
    sloppy = traits.Bool(False, usedefault=True)


class ReferenceOutput(TraitedSpec):
    """Outputs of `ReferenceVolume`."""

    reference = File(exists=True, desc="median of steady volumes, uncorrected: what head motion is estimated against")
    boldref = File(exists=True, desc="the same (or the SBRef in its position), bias corrected")
    mask = File(exists=True, desc="rough brain mask")
    sbref_note = traits.Str(desc="empty, or why the SBRef was not used")


class ReferenceVolume(SimpleInterface):
    """Make the reference volume, its bias-corrected form and a rough mask."""

    input_spec = ReferenceInput
    output_spec = ReferenceOutput

    def _run_interface(self, runtime: Any) -> Any:
        series = open_series(self.inputs.series, self.inputs.shape)
        affine = np.load(self.inputs.affine)
        levels = motion.SLOPPY_LEVELS if self.inputs.sloppy else motion.LEVELS
        n_times = series.shape[3]
        first = min(self.inputs.dummy_scans, n_times - 1)
        reference = bold_reference.robust_reference(
            lambda time: series[..., time], affine, range(first, n_times), levels=levels
        )
        wide = bold_reference.rough_mask(reference, affine, dilate_mm=4.0)
        anatomical, note = reference, ""
        if isdefined(self.inputs.sbref):
            anatomical, note = self._place_sbref(reference, affine, wide, levels)
        boldref = bold_reference.correct_bias(anatomical, affine, wide, sloppy=self.inputs.sloppy)
        folder = Path(runtime.cwd)
        self._results |= {
            "reference": str(geometry.save(folder / "reference.nii.gz", reference, affine)),
            "boldref": str(geometry.save(folder / "boldref.nii.gz", boldref, affine)),
            "mask": str(
                geometry.save(
                    folder / "rough_mask.nii.gz",
                    bold_reference.rough_mask(boldref, affine).astype(np.uint8),
                    affine,
                )
            ),
            "sbref_note": note,
        }
        return runtime

    def _place_sbref(self, reference: Any, affine: Any, mask: Any, levels: Any) -> tuple[Any, str]:
        """Bring the SBRef to the position of the reference; its contrast is better, its position is its own."""
        sbref, sbref_affine = geometry.load(self.inputs.sbref)
        sbref = sbref[..., 0] if sbref.ndim == 4 else sbref
        if sbref.shape != reference.shape or not np.allclose(sbref_affine, affine, atol=1e-2):
            return reference, f"SBRef not used: its grid {sbref.shape} is not that of the run {reference.shape}"
        matrix, correlation = motion.RigidAligner(reference, affine, mask, levels).fit(sbref)
        if not correlation > 0.7:
            return reference, f"SBRef not used: correlation with the run's reference is {correlation:.2f}"
        points = geometry.grid_points(reference.shape, affine)
        return bold_reference.realign_volume(sbref, affine, matrix, points).reshape(reference.shape), ""


class HeadMotionInput(BaseInterfaceInputSpec):
    """Inputs of `HeadMotion`."""

    series = File(exists=True, mandatory=True)
    shape = traits.List(traits.Int(), mandatory=True)
    affine = File(exists=True, mandatory=True)
    reference = File(exists=True, mandatory=True)
    n_threads = traits.Int(1, usedefault=True, nohash=True)
    sloppy = traits.Bool(False, usedefault=True)


class HeadMotionOutput(TraitedSpec):
    """Outputs of `HeadMotion`."""

    matrices = File(exists=True, desc="(n_times, 4, 4) .npy: point of the reference -> point of the volume, RAS mm")
    parameters = File(exists=True, desc="(n_times, 6) .npy: mm and radians")
    correlations = File(exists=True, desc="(n_times,) .npy: with the reference, after realignment")


class HeadMotion(SimpleInterface):
    """Estimate the head position in each volume."""

    input_spec = HeadMotionInput
    output_spec = HeadMotionOutput

    def _run_interface(self, runtime: Any) -> Any:
        series = open_series(self.inputs.series, self.inputs.shape)
        affine = np.load(self.inputs.affine)
        reference, _ = geometry.load(self.inputs.reference)
        mask = bold_reference.rough_mask(reference, affine, dilate_mm=4.0)
        levels = motion.SLOPPY_LEVELS if self.inputs.sloppy else motion.LEVELS
        aligner = motion.RigidAligner(reference, affine, mask, levels)
        matrices, correlations = motion.estimate_motion(
            lambda time: series[..., time], series.shape[3], aligner, n_threads=self.inputs.n_threads
        )
        found = {
            "matrices": matrices,
            "parameters": motion.motion_parameters(matrices, aligner.centre),
            "correlations": correlations,
        }
        for name, values in found.items():
            path = Path(runtime.cwd) / f"{name}.npy"
            np.save(path, values)
            self._results[name] = str(path)
        return runtime
