"""nipype nodes that bring a diffusion series to its final grid, and fit the tensor there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits
from scipy import ndimage

from bids_ai.connectome.tensor import LEAST_DIRECTIONS, fit_tensor
from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import dwi_resampling, dwi_series, normalisation, resampling
from bids_ai.preprocess.gradients import rotate_by_motion
from bids_ai.preprocess.interfaces.dwi_prepare import read_table, write_table

_TISSUES = ("gm", "wm", "csf")


class ResampleInput(BaseInterfaceInputSpec):
    """Inputs of `ResampleSeries`."""

    dwi = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)
    bvec = File(exists=True, mandatory=True)
    motion = File(exists=True, mandatory=True)
    shift = File(exists=True, mandatory=True)
    field = File(exists=True, mandatory=True)
    rough_mask = File(exists=True, mandatory=True, desc="in the reference of the series, undistorted")
    phase_encoding = traits.Str()
    dwi_to_frame = File(exists=True, mandatory=True)
    frame_mask = File(exists=True, mandatory=True)
    from_t1w = traits.Bool(mandatory=True, desc="whether `frame_mask` is that of a T1w")
    repetition_time = traits.Float(1.0, usedefault=True)
    t1w_gm = File(exists=True, desc="tissue maps in the space of `frame_mask`")
    t1w_wm = File(exists=True)
    t1w_csf = File(exists=True)
    template_gm = File(exists=True, desc="tissue maps of the template, for a DWI without a T1w")
    template_wm = File(exists=True)
    template_to_dwi = File(exists=True)


class ResampleOutput(TraitedSpec):
    """Outputs of `ResampleSeries`."""

    dwi = File(exists=True)
    bval = File(exists=True)
    bvec = File(exists=True, desc="turned by motion and registration, for the grid of `dwi`")
    dwiref = File(exists=True, desc="mean of the b0 volumes")
    dwiref_distorted = File(exists=True, desc="the same without correction of susceptibility distortion")
    mask = File(exists=True)
    gm = File(exists=True)
    wm = File(exists=True)
    csf = File(exists=True)


class ResampleSeries(SimpleInterface):
    """Motion, eddy currents, susceptibility and registration composed; every volume is interpolated once."""

    input_spec = ResampleInput
    output_spec = ResampleOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        image: Any = nib.load(self.inputs.dwi)
        data, affine = np.asarray(image.dataobj, np.float32), np.asarray(image.affine, float)
        to_frame = geometry.read_itk_affine(self.inputs.dwi_to_frame)
        brain, frame = geometry.load(self.inputs.frame_mask)
        shape, grid = dwi_resampling.output_grid(brain > 0, frame, affine, to_frame)
        points = dwi_resampling.grid_in_series(shape, grid, to_frame)

        table = read_table(self.inputs.bval, self.inputs.bvec, data.shape[3])
        found = np.load(self.inputs.motion)
        turned = rotate_by_motion(table, affine, found["rigid"])
        turned = turned.with_world(turned.world(affine) @ to_frame[:3, :3].T, grid)
        self._results |= write_table(turned, folder)

        encoding = self.inputs.phase_encoding if isdefined(self.inputs.phase_encoding) else None
        phase = dwi_series.phase_axis(encoding, affine)
        axis, along = (None, None) if phase is None else phase
        shift, field = geometry.load(self.inputs.shift)[0], geometry.load(self.inputs.field)[0]
        target = dwi_resampling.make_target(points, affine, shift, axis, field)
        plain = dwi_resampling.make_target(points, affine, np.zeros_like(shift), None, field)

        b0 = np.flatnonzero(table.unweighted)
        seen_by_all = np.ones(len(points), bool)
        mean = np.zeros(len(points), np.float32)
        path = folder / "dwi.nii.gz"
        volumes = dwi_resampling.resample(lambda v: data[..., v], affine, found["matrices"], target, along)
        with resampling.SeriesWriter(path, (*shape, len(table)), grid, self.inputs.repetition_time, code=1) as writer:
            for volume, (values, seen) in enumerate(volumes):
                writer.append(values.reshape(shape))
                seen_by_all &= seen
                if volume in b0:
                    mean += values / len(b0)
        raw = np.mean(
            [v for v, _ in dwi_resampling.resample(lambda k: data[..., b0[k]], affine, found["matrices"][b0], plain)],
            axis=0,
        )
        mask = (
            self._mask(brain, frame, points, grid, shape, affine)
            & seen_by_all.reshape(shape)
            & (mean.reshape(shape) > 0)
        )

        def write(name: str, values: Any) -> str:
            return str(geometry.save(folder / f"{name}.nii.gz", values.reshape(shape), grid))

        self._results |= {
            "dwi": str(path),
            "dwiref": write("dwiref", mean),
            "dwiref_distorted": write("dwiref_distorted", raw.astype(np.float32)),
            "mask": write("mask", mask.astype(np.uint8)),
        }
        for name, values in self._tissues(shape, grid, mask).items():
            self._results[name] = write(name, values)
        return runtime

    def _mask(self, brain: Any, frame: Any, points: Any, grid: Any, shape: Any, affine: Any) -> Any:
        """Brain of the T1w as this grid sees it, where the b0 has signal (within a voxel, for its edge is blurred)."""
        width = float(geometry.voxel_sizes(grid).min())
        if self.inputs.from_t1w:
            brain = ndimage.gaussian_filter(brain.astype(np.float32), geometry.fwhm_to_sigma(width, frame))
        inside = geometry.sample(brain, frame, geometry.grid_points(shape, grid)).reshape(shape) > 0.5
        if not self.inputs.from_t1w:
            return inside
        rough = geometry.load(self.inputs.rough_mask)[0]
        near = geometry.sample(rough, affine, points).reshape(shape) > 0.5
        return inside & ndimage.binary_dilation(near)

    def _tissues(self, shape: Any, grid: Any, mask: Any) -> dict[str, Any]:
        points = geometry.grid_points(shape, grid)
        if isdefined(self.inputs.t1w_gm):
            maps = {}
            for name in _TISSUES:
                values, affine = geometry.load(getattr(self.inputs, f"t1w_{name}"))
                width = float(geometry.voxel_sizes(grid).min())
                smooth = ndimage.gaussian_filter(values, _narrowed(width, affine))
                maps[name] = geometry.sample(smooth, affine, points).reshape(shape)
            return maps
        if isdefined(self.inputs.template_gm) and isdefined(self.inputs.template_to_dwi):
            back = [Path(self.inputs.template_to_dwi)]
            gm, wm = (
                normalisation.apply(*geometry.load(getattr(self.inputs, f"template_{name}")), shape, grid, back)
                for name in ("gm", "wm")
            )
            gm, wm = np.clip(gm, 0, 1) * mask, np.clip(wm, 0, 1) * mask
            return {"gm": gm, "wm": wm, "csf": np.clip(mask - gm - wm, 0, 1).astype(np.float32)}
        return {}


def _narrowed(width: float, affine: Any) -> Any:
    """Sigma, in voxels, that brings voxels of an image to a coarser width: what they have already is taken off."""
    own = geometry.voxel_sizes(affine)
    return np.sqrt(np.maximum(width**2 - own**2, 0)) / 2.355 / own


class TensorInput(BaseInterfaceInputSpec):
    """Inputs of `TensorMaps`."""

    dwi = File(exists=True, mandatory=True)
    bval = File(exists=True, mandatory=True)
    bvec = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)


class TensorOutput(TraitedSpec):
    """Outputs of `TensorMaps`; all absent with fewer than six directions."""

    fa = File(exists=True)
    md = File(exists=True, desc="mm2/s")
    ad = File(exists=True)
    rd = File(exists=True)
    direction = File(exists=True, desc="principal direction, (nx, ny, nz, 3), world axes")
    figures = traits.Dict()


class TensorMaps(SimpleInterface):
    """FA, MD, AD, RD and the principal direction."""

    input_spec = TensorInput
    output_spec = TensorOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        image: Any = nib.load(self.inputs.dwi)
        mask = geometry.load(self.inputs.mask)[0] > 0
        table = read_table(self.inputs.bval, self.inputs.bvec, image.shape[3])
        self._results["figures"] = {"n_directions": table.n_directions}
        if table.n_directions < LEAST_DIRECTIONS:
            return runtime
        maps = fit_tensor(np.asarray(image.dataobj, np.float32), table.bvals, table.world(image.affine), mask)
        for name in ("fa", "md", "ad", "rd", "direction"):
            values = np.asarray(getattr(maps, name), np.float32)
            self._results[name] = str(geometry.save(folder / f"{name}.nii.gz", values, image.affine))
        inside = np.isfinite(maps.fa)
        self._results["figures"] |= {
            "fa_median": float(np.median(maps.fa[inside])),
            "fa_p99": float(np.percentile(maps.fa[inside], 99)),
            "md_median": float(np.median(maps.md[inside])),
            "md_mean": float(np.mean(maps.md[inside])),
            "largest_b": maps.largest_b,
            "n_voxels_without_fit": int((mask & ~inside).sum()),
        }
        return runtime
