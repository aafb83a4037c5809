"""nipype nodes that check a diffusion series, take out its noise, and check its gradient table against the images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage

from bids_ai.bids.gradients import GradientTable, read_gradients, write_gradients
from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import dwi_denoise, dwi_series, gradients
from bids_ai.preprocess.bold_reference import rough_mask

#: Denoising reaches this far beyond the rough brain mask, so that nothing changes at the edge of the brain.
_RIM_VOXELS = 3


def read_table(bval: str, bvec: str, n_volumes: int) -> GradientTable:
    """Read a table that a node before has written."""
    return read_gradients(Path(bval), Path(bvec), n_volumes)


def write_table(table: GradientTable, folder: Path) -> dict[str, str]:
    """Write a table to the folder of a node: its outputs `bval` and `bvec`."""
    files = {"bval": folder / "dwi.bval", "bvec": folder / "dwi.bvec"}
    write_gradients(table, **files)
    return {name: str(path) for name, path in files.items()}


def write_series(data: Any, affine: Any, path: Path) -> str:
    """Write a 4-D float32 image, uncompressed: it is read again at once."""
    return str(geometry.save(path, np.asarray(data, np.float32), affine))


class CheckInput(BaseInterfaceInputSpec):
    """Inputs of `CheckSeries`."""

    dwi = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)
    bvec = File(exists=True, mandatory=True)


class CheckOutput(TraitedSpec):
    """Outputs of `CheckSeries`."""

    dwi = File(exists=True, desc="float32; voxels that were not finite are zero in all volumes")
    bval = File(exists=True)
    bvec = File(exists=True, desc="three rows of unit vectors, zero where unweighted")
    notes = traits.List(traits.Str(), desc="what was mended")


class CheckSeries(SimpleInterface):
    """Read series and gradient table, refuse what cannot be used, mend what can."""

    input_spec = CheckInput
    output_spec = CheckOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        data, affine, notes = dwi_series.read_series(Path(self.inputs.dwi))
        table = read_table(self.inputs.bval, self.inputs.bvec, data.shape[3])
        self._results |= write_table(table, folder)
        self._results |= {
            "dwi": write_series(data, affine, folder / "dwi.nii"),
            "notes": [*notes, *table.notes],
        }
        return runtime


class MPPCAInput(BaseInterfaceInputSpec):
    """Inputs of `MPPCA`."""

    in_file = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)


class MPPCAOutput(TraitedSpec):
    """Outputs of `MPPCA`."""

    out_file = File(exists=True)


class MPPCA(SimpleInterface):
    """Denoise with dipy, where MRtrix3 is not there."""

    input_spec = MPPCAInput
    output_spec = MPPCAOutput

    def _run_interface(self, runtime: Any) -> Any:
        image: Any = nib.load(self.inputs.in_file)
        data = np.asarray(image.dataobj, np.float32)
        unweighted = GradientTable(np.loadtxt(self.inputs.bval, ndmin=1), np.empty((0, 3))).unweighted
        brain = rough_mask(data[..., unweighted].mean(axis=-1), image.affine)
        near = ndimage.binary_dilation(brain, iterations=_RIM_VOXELS)
        clean = dwi_denoise.mppca(data, near)
        self._results["out_file"] = write_series(clean, image.affine, Path(runtime.cwd) / "denoised.nii")
        return runtime


class NoiseInput(BaseInterfaceInputSpec):
    """Inputs of `NoiseResidual`."""

    before = File(exists=True, mandatory=True)
    after = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)
    mask = File(exists=True, desc="brain; a rough one is made if not given")


class NoiseOutput(TraitedSpec):
    """Outputs of `NoiseResidual`."""

    residual = File(exists=True, desc="standard deviation over volumes of what was taken out")
    figures = traits.Dict()


class NoiseResidual(SimpleInterface):
    """How much denoising took out, and the signal-to-noise ratio that follows from it."""

    input_spec = NoiseInput
    output_spec = NoiseOutput

    def _run_interface(self, runtime: Any) -> Any:
        before: Any = nib.load(self.inputs.before)
        after: Any = nib.load(self.inputs.after)
        raw, clean = np.asarray(before.dataobj, np.float32), np.asarray(after.dataobj, np.float32)
        unweighted = GradientTable(np.loadtxt(self.inputs.bval, ndmin=1), np.empty((0, 3))).unweighted
        residual = dwi_denoise.residual_map(raw, clean)
        if isdefined(self.inputs.mask):
            mask = geometry.load(self.inputs.mask)[0] > 0
        else:
            mask = rough_mask(raw[..., unweighted].mean(axis=-1), before.affine)
        figures = dwi_denoise.noise_figures(raw, residual, mask, unweighted)
        figures["snr_b0_from_differences"] = dwi_denoise.difference_snr(raw, mask, unweighted)
        self._results["residual"] = str(geometry.save(Path(runtime.cwd) / "residual.nii.gz", residual, before.affine))
        self._results["figures"] = figures
        return runtime


class TableInput(BaseInterfaceInputSpec):
    """Inputs of `CheckTable`."""

    dwi = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)
    bvec = File(exists=True, mandatory=True)
    mend = traits.Bool(True, usedefault=True, desc="apply the reorientation that is found")


class TableOutput(TraitedSpec):
    """Outputs of `CheckTable`."""

    bval = File(exists=True)
    bvec = File(exists=True)
    figures = traits.Dict(desc="verdict, best reorientation, z, reason")


class CheckTable(SimpleInterface):
    """Find flipped and swapped axes of the gradient table, and mend them where the images say so clearly."""

    input_spec = TableInput
    output_spec = TableOutput

    def _run_interface(self, runtime: Any) -> Any:
        image: Any = nib.load(self.inputs.dwi)
        data = np.asarray(image.dataobj, np.float32)
        table = read_table(self.inputs.bval, self.inputs.bvec, data.shape[3])
        mask = rough_mask(data[..., table.unweighted].mean(axis=-1), image.affine)
        found = gradients.check_orientation(data, table, image.affine, mask)
        if found.verdict == "reoriented" and self.inputs.mend:
            table = gradients.reorient(table, found.best)
        self._results |= write_table(table, Path(runtime.cwd))
        self._results["figures"] = {
            "verdict": found.verdict,
            "reorientation": str(found.best),
            "z": round(found.z, 2),
            "reason": found.reason,
            "mended": bool(found.verdict == "reoriented" and self.inputs.mend),
        }
        return runtime
