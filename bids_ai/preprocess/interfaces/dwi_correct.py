"""nipype nodes in the space of the diffusion series: motion, susceptibility distortion, bias field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage

from bids_ai.preprocess import bias_field, dwi_distortion, dwi_series, motion
from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess.bold_reference import realign_volume, rough_mask
from bids_ai.preprocess.dwi_motion import MotionEstimator
from bids_ai.preprocess.interfaces.dwi_prepare import read_table, write_series


class MotionInput(BaseInterfaceInputSpec):
    """Inputs of `EstimateMotion`."""

    dwi = File(exists=True, mandatory=True, desc="as scanned: denoising borrows from volumes in other positions")
    clean = File(exists=True, desc="denoised series, in which outlier slices are replaced; `dwi` if not given")
    bval = File(exists=True, mandatory=True)
    bvec = File(exists=True, mandatory=True)
    phase_encoding = traits.Str(desc="BIDS PhaseEncodingDirection; without it eddy currents are left out")
    slice_encoding = traits.Str("k", usedefault=True)
    replace_outliers = traits.Bool(True, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class MotionOutput(TraitedSpec):
    """Outputs of `EstimateMotion`."""

    dwi = File(exists=True, desc="outlier slices replaced by their prediction, where that was asked for")
    b0 = File(exists=True, desc="mean of the realigned b0 volumes, distorted as they are")
    mask = File(exists=True, desc="rough brain mask of `b0`")
    motion = File(exists=True, desc="npz: matrices, rigid, slopes, parameters, correlations, z, loss, outlier")
    figures = traits.Dict()


class EstimateMotion(SimpleInterface):
    """Motion of the head, eddy currents and slices with drop-out."""

    input_spec = MotionInput
    output_spec = MotionOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        image: Any = nib.load(self.inputs.dwi)
        data, affine = np.asarray(image.dataobj, np.float32), np.asarray(image.affine, float)
        table = read_table(self.inputs.bval, self.inputs.bvec, data.shape[3])
        unweighted = np.flatnonzero(table.unweighted)
        encoding = self.inputs.phase_encoding if isdefined(self.inputs.phase_encoding) else None
        phase = dwi_series.phase_axis(encoding, affine)
        estimator = MotionEstimator(
            lambda volume: data[..., volume],
            table,
            affine,
            rough_mask(data[..., unweighted[0]], affine),
            phase_axis=None if phase is None else phase[1],
            slice_axis="ijk".index(self.inputs.slice_encoding[0]),
            sloppy=self.inputs.sloppy,
        )
        found = estimator.run()
        points = geometry.grid_points(data.shape[:3], affine)
        b0 = np.mean(
            [realign_volume(data[..., v], affine, found.matrices[v], points) for v in unweighted], axis=0
        ).reshape(data.shape[:3])
        np.savez(
            folder / "motion.npz",
            matrices=found.matrices,
            rigid=found.rigid,
            slopes=found.slopes,
            parameters=motion.motion_parameters(found.rigid, estimator.centre),
            correlations=found.correlations,
            z=found.outliers.z,
            loss=found.outliers.loss,
            outlier=found.outliers.outlier,
        )
        corrected = self.inputs.clean if isdefined(self.inputs.clean) else self.inputs.dwi
        replaced = bool(self.inputs.replace_outliers and found.outliers.outlier.any())
        if replaced:
            cleaned: Any = nib.load(corrected)
            data = np.asarray(cleaned.dataobj, np.float32)
            for volume in found.outliers.substitutes:
                data[..., volume] = found.outliers.replaced(volume, data[..., volume])
            corrected = write_series(data, affine, folder / "replaced.nii")
        self._results |= {
            "dwi": corrected,
            "b0": str(geometry.save(folder / "b0.nii.gz", b0.astype(np.float32), affine)),
            "mask": str(geometry.save(folder / "mask.nii.gz", rough_mask(b0, affine).astype(np.uint8), affine)),
            "motion": str(folder / "motion.npz"),
            "figures": {
                "prediction": [smoother.name for smoother in found.smoothers],
                "outliers_replaced": replaced,
                "notes": found.notes,
            },
        }
        return runtime


class DistortionInput(BaseInterfaceInputSpec):
    """Inputs of `EstimateDistortion`."""

    b0 = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    reverse = File(exists=True, desc="absent: nothing is corrected")
    phase_encoding = traits.Str()
    ratio = traits.Float(1.0, usedefault=True, desc="readout time of `reverse` over that of the series")
    sloppy = traits.Bool(False, usedefault=True)


class DistortionOutput(TraitedSpec):
    """Outputs of `EstimateDistortion`."""

    shift = File(exists=True, desc="voxels along the phase-encoding axis; zero where nothing was corrected")
    b0 = File(exists=True, desc="undistorted")
    figures = traits.Dict()


class EstimateDistortion(SimpleInterface):
    """Susceptibility distortion from the b0 of the series and its reverse-encoded partner."""

    input_spec = DistortionInput
    output_spec = DistortionOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        b0, affine = geometry.load(self.inputs.b0)
        mask = geometry.load(self.inputs.mask)[0] > 0
        shift, figures = np.zeros(b0.shape, np.float32), {"method": "none"}
        if isdefined(self.inputs.reverse):
            levels = motion.SLOPPY_LEVELS if self.inputs.sloppy else motion.LEVELS
            reverse = dwi_series.mean_of_reverse(Path(self.inputs.reverse), mask, levels)
            axis = "ijk".index(self.inputs.phase_encoding[0])
            found = dwi_distortion.estimate_shift(
                b0, reverse, affine, axis, mask, ratio=self.inputs.ratio, sloppy=self.inputs.sloppy
            )
            shift = found.shift
            b0 = dwi_distortion.unwarp(b0, shift, axis)
            figures = _distortion_figures(found, mask, float(geometry.voxel_sizes(affine)[axis]))
        self._results |= {
            "shift": str(geometry.save(folder / "shift.nii.gz", shift, affine)),
            "b0": str(geometry.save(folder / "undistorted.nii.gz", b0, affine)),
            "figures": figures,
        }
        return runtime


def _distortion_figures(found: dwi_distortion.Distortion, mask: Any, voxel_mm: float) -> dict[str, Any]:
    size = np.abs(found.shift[mask]) * voxel_mm
    return {
        "method": "reverse phase encoding" if found.shift.any() else "none",
        "correlation_before": found.similarity["before"],
        "correlation_after": found.similarity["after"],
        "shift_median_mm": float(np.median(size)),
        "shift_p95_mm": float(np.percentile(size, 95)),
        "shift_max_mm": float(size.max()),
        "head_moved_mm": [float(x) for x in found.motion[:3]],
        "head_turned_degrees": [float(x) for x in np.rad2deg(found.motion[3:])],
        "warnings": found.warnings,
    }


class BiasInput(BaseInterfaceInputSpec):
    """Inputs of `BiasField`."""

    b0 = File(exists=True, mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)


class BiasOutput(TraitedSpec):
    """Outputs of `BiasField`."""

    b0 = File(exists=True, desc="divided by the field")
    mask = File(exists=True, desc="rough brain mask")
    field = File(exists=True, desc="by which all volumes are divided")
    strength = traits.Float(desc="95th over 5th percentile of the field")


class BiasField(SimpleInterface):
    """Receive field from the b0 image (N4); one field for all volumes, so that ratios of signals are kept."""

    input_spec = BiasInput
    output_spec = BiasOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        b0, affine = geometry.load(self.inputs.b0)
        mask = rough_mask(b0, affine)
        # Above zero everywhere, so that the field is the ratio of the two everywhere.
        floor = np.maximum(b0, max(1e-3 * float(b0[mask].mean()), 1e-6))
        corrected, strength = bias_field.correct_bias(floor, affine, mask, sloppy=self.inputs.sloppy)
        field = floor / corrected
        clean = b0 / field
        mask = ndimage.binary_fill_holes(rough_mask(clean, affine))
        self._results |= {
            "b0": str(geometry.save(folder / "dwiref.nii.gz", clean.astype(np.float32), affine)),
            "mask": str(geometry.save(folder / "rough_mask.nii.gz", mask.astype(np.uint8), affine)),
            "field": str(geometry.save(folder / "field.nii.gz", field.astype(np.float32), affine)),
            "strength": strength,
        }
        return runtime
