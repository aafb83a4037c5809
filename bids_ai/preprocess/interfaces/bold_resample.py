"""nipype nodes that bring a run to the template in one interpolation, and take its confounds on the way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage

from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import confounds, noise_masks, resampling
from bids_ai.preprocess.interfaces.bold_prepare import open_series

MNI_CODE = 4  # NIfTI: coordinates of the MNI152 template


class ResampleInput(BaseInterfaceInputSpec):
    """Inputs of `ResampleOnce`."""

    series = File(exists=True, mandatory=True)
    shape = traits.List(traits.Int(), mandatory=True)
    affine = File(exists=True, mandatory=True)
    tr = traits.Float(mandatory=True)
    matrices = File(exists=True, mandatory=True, desc="head motion")
    boldref = File(exists=True, mandatory=True)
    brain_mask = File(exists=True, mandatory=True)
    bold_to_t1w = File(exists=True, mandatory=True, desc="linear ITK transform")
    t1w_to_template = File(exists=True, mandatory=True, desc="composite ITK transform")
    t1w_dseg = File(exists=True, mandatory=True)
    template = File(exists=True, mandatory=True)
    template_mask = File(exists=True, mandatory=True)
    resolution = traits.Float(mandatory=True, desc="mm")
    n_threads = traits.Int(1, usedefault=True, nohash=True)


class ResampleOutput(TraitedSpec):
    """Outputs of `ResampleOnce`."""

    bold_in_template = File(exists=True)
    boldref_in_template = File(exists=True)
    brain_mask_in_template = File(exists=True)
    dseg_in_template = File(exists=True)
    native_series = File(exists=True, desc="(n_times, n_voxels) .npy: in-mask signal after head motion, BOLD space")


class ResampleOnce(SimpleInterface):
    """Head motion, coregistration and normalisation concatenated; each volume is interpolated once."""

    input_spec = ResampleInput
    output_spec = ResampleOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        bold_affine = np.load(self.inputs.affine)
        template: Any = nib.load(self.inputs.template)
        shape, affine = resampling.output_grid(template.shape, template.affine, self.inputs.resolution)
        grid = geometry.grid_points(shape, affine)
        in_t1w = geometry.warp_points(grid, self.inputs.t1w_to_template)
        t1w_to_bold = np.linalg.inv(geometry.read_itk_affine(self.inputs.bold_to_t1w))
        in_bold = geometry.apply_matrix(t1w_to_bold, in_t1w)

        def write(name: str, values: Any) -> None:
            self._results[name] = str(
                geometry.save(folder / f"{name}.nii.gz", values.reshape(shape), affine, code=MNI_CODE)
            )

        boldref, _ = geometry.load(self.inputs.boldref)
        mask = geometry.load(self.inputs.brain_mask)[0]
        dseg, dseg_affine = geometry.load(self.inputs.t1w_dseg)
        write("boldref_in_template", geometry.sample(boldref, bold_affine, in_bold, order=3))
        mask_values = geometry.sample(mask, bold_affine, in_bold)
        write("brain_mask_in_template", (mask_values > 0.5).astype(np.uint8))
        write("dseg_in_template", geometry.sample(dseg, dseg_affine, in_t1w, order=0).astype(np.uint8))
        self._write_series(folder, shape, affine, in_bold, self._near_brain(grid, shape), mask > 0)
        return runtime

    def _near_brain(self, grid: Any, shape: Any) -> Any:
        """Output voxels that are worth resampling: the template's brain with a margin."""
        mask, affine = geometry.load(self.inputs.template_mask)
        sampling = tuple(geometry.voxel_sizes(affine))
        distance = ndimage.distance_transform_edt(mask == 0, sampling=sampling)
        near = (distance <= resampling.MARGIN_MM).astype(np.float32)
        return geometry.sample(near, affine, grid).reshape(shape) > 0.5

    def _write_series(self, folder: Path, shape: Any, affine: Any, in_bold: Any, near: Any, mask: Any) -> None:
        series = open_series(self.inputs.series, self.inputs.shape)
        bold_affine = np.load(self.inputs.affine)
        n_times = series.shape[3]
        native_points = geometry.grid_points(mask.shape, bold_affine, mask)
        path = folder / "bold_in_template.nii.gz"
        native_path = folder / "native_series.npy"
        native = np.lib.format.open_memmap(native_path, "w+", np.float32, (n_times, len(native_points)))
        volumes = resampling.resample_series(
            lambda time: series[..., time],
            bold_affine,
            np.load(self.inputs.matrices),
            [in_bold[near.ravel()], native_points],
            n_threads=self.inputs.n_threads,
        )
        with resampling.SeriesWriter(path, (*shape, n_times), affine, self.inputs.tr, code=MNI_CODE) as writer:
            for time, (on_template, in_mask) in enumerate(volumes):
                writer.append(resampling.spread(on_template, near))
                native[time] = in_mask
        native.flush()
        self._results |= {"bold_in_template": str(path), "native_series": str(native_path)}


class ConfoundsInput(BaseInterfaceInputSpec):
    """Inputs of `Confounds`."""

    native_series = File(exists=True, mandatory=True)
    parameters = File(exists=True, mandatory=True)
    affine = File(exists=True, mandatory=True)
    brain_mask = File(exists=True, mandatory=True)
    bold_to_t1w = File(exists=True, mandatory=True)
    t1w_dseg = File(exists=True, desc="absent: no tissue signals, no aCompCor")
    tr = traits.Float(mandatory=True)
    dummy_scans = traits.Int(0, usedefault=True)


class ConfoundsOutput(TraitedSpec):
    """Outputs of `Confounds`."""

    confounds = File(exists=True, desc="TSV")
    meta = File(exists=True, desc="JSON")
    tsnr_median = traits.Float(desc="median over the brain mask, after head motion, steady frames")


class Confounds(SimpleInterface):
    """Make the confound table."""

    input_spec = ConfoundsInput
    output_spec = ConfoundsOutput

    def _run_interface(self, runtime: Any) -> Any:
        series = np.load(self.inputs.native_series, mmap_mode="r")
        affine = np.load(self.inputs.affine)
        n_dummy = self.inputs.dummy_scans
        masks = {}
        if isdefined(self.inputs.t1w_dseg):
            brain = geometry.load(self.inputs.brain_mask)[0] > 0
            dseg, dseg_affine = geometry.load(self.inputs.t1w_dseg)
            bold_to_t1w = geometry.read_itk_affine(self.inputs.bold_to_t1w)
            points = geometry.apply_matrix(bold_to_t1w, geometry.grid_points(brain.shape, affine, brain))
            width = float(geometry.voxel_sizes(affine).min())
            masks = noise_masks.noise_masks(dseg, dseg_affine, points, width)
        table, meta = confounds.confound_table(
            np.load(self.inputs.parameters), series, masks, self.inputs.tr, n_dummy=n_dummy
        )
        folder = Path(runtime.cwd)
        table.to_csv(folder / "confounds.tsv", sep="\t", index=False, na_rep="n/a", float_format="%.8g")
        (folder / "confounds.json").write_text(json.dumps(meta, indent=2))
        self._results |= {
            "confounds": str(folder / "confounds.tsv"),
            "meta": str(folder / "confounds.json"),
            "tsnr_median": float(np.nanmedian(confounds.temporal_snr(series[n_dummy:]))),
        }
        return runtime
