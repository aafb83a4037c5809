"""nipype node that registers the BOLD reference to the T1w image and makes the brain mask from both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, traits
from scipy import ndimage

from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import coregistration as registration


class CoregisterInput(BaseInterfaceInputSpec):
    """Inputs of `Coregister`."""

    boldref = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True, desc="rough BOLD brain mask")
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    t1w_dseg = File(exists=True, mandatory=True, desc="1 GM, 2 WM, 3 CSF")
    seed = traits.Int(1, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class CoregisterOutput(TraitedSpec):
    """Outputs of `Coregister`."""

    bold_to_t1w = File(exists=True, desc="ITK text transform")
    brain_mask = File(exists=True, desc="BOLD space")
    boldref_in_t1w = File(exists=True, desc="on the T1w grid")
    quality = traits.Dict(desc="figures for the report")


class Coregister(SimpleInterface):
    """Rigid registration by mutual information, refined on the white-matter boundary where that is credible."""

    input_spec = CoregisterInput
    output_spec = CoregisterOutput

    def _run_interface(self, runtime: Any) -> Any:
        boldref, bold_affine = geometry.load(self.inputs.boldref)
        rough = geometry.load(self.inputs.mask)[0] > 0
        brain, t1w_affine = geometry.load(self.inputs.t1w_brain)
        t1w_mask = geometry.load(self.inputs.t1w_mask)[0] > 0
        sampling = tuple(geometry.voxel_sizes(bold_affine))
        wide = ndimage.distance_transform_edt(~rough, sampling=sampling) <= 4.0
        start = registration.register_mutual_information(
            boldref, bold_affine, wide, brain, t1w_affine, seed=self.inputs.seed, sloppy=self.inputs.sloppy
        )
        matrix, quality = self._refine(boldref, bold_affine, start)

        points = geometry.grid_points(boldref.shape, bold_affine, rough)
        for name, candidate in (("before", np.eye(4)), ("mutual_information", start), ("after", matrix)):
            values = geometry.sample(brain, t1w_affine, geometry.apply_matrix(candidate, points))
            quality[f"nmi_{name}"] = registration.normalised_mutual_information(boldref[rough], values)

        mask = self._mask(boldref.shape, bold_affine, rough, matrix, t1w_mask, t1w_affine)
        # After registration: where the headers were off, their overlap says nothing about what was scanned.
        quality["t1w_brain_in_field_of_view"] = registration.overlap_fraction(
            boldref.shape, matrix @ bold_affine, t1w_mask, t1w_affine
        )
        folder = Path(runtime.cwd)
        t1w_points = geometry.grid_points(brain.shape, t1w_affine)
        on_t1w = geometry.sample(
            boldref, bold_affine, geometry.apply_matrix(np.linalg.inv(matrix), t1w_points), order=1
        ).reshape(brain.shape)
        self._results |= {
            "bold_to_t1w": str(geometry.write_itk_affine(folder / "bold_to_t1w.txt", matrix)),
            "brain_mask": str(geometry.save(folder / "brain_mask.nii.gz", mask.astype(np.uint8), bold_affine)),
            "boldref_in_t1w": str(geometry.save(folder / "boldref_in_t1w.nii.gz", on_t1w, t1w_affine)),
            "quality": quality,
        }
        return runtime

    def _refine(self, boldref: Any, affine: Any, start: Any) -> tuple[Any, dict[str, Any]]:
        dseg, dseg_affine = geometry.load(self.inputs.t1w_dseg)
        boundary = registration.WhiteMatterBoundary.from_segmentation(dseg, dseg_affine, seed=self.inputs.seed)
        quality: dict[str, Any] = {"method": "mutual information (rigid)", "boundary_points": len(boundary)}
        if len(boundary) < registration.MIN_BOUNDARY_POINTS:
            quality["note"] = f"only {len(boundary)} points on the grey-white boundary: not refined"
            return start, quality
        refined, report = registration.refine_by_boundary(boldref, affine, boundary, start, sloppy=self.inputs.sloppy)
        quality |= {f"boundary_{name}": value for name, value in report.items()}
        credible = registration.refinement_is_credible(report)
        if credible:
            quality["method"] = "mutual information, then boundary-based (rigid)"
        else:
            quality["note"] = "the boundary-based refinement was not credible: mutual information kept"
        matrix = refined if credible else start
        contrast = registration.boundary_contrast(boldref, affine, boundary, np.linalg.inv(matrix))
        if np.isfinite(contrast).any():
            quality["grey_white_contrast_percent"] = -float(np.nanmedian(contrast))
        return matrix, quality

    @staticmethod
    def _mask(shape: Any, affine: Any, rough: Any, bold_to_t1w: Any, t1w_mask: Any, t1w_affine: Any) -> Any:
        """T1w brain as the BOLD grid sees it, where the EPI has signal (within a voxel, for its edge is blurred)."""
        width = float(geometry.voxel_sizes(affine).min())
        smooth = ndimage.gaussian_filter(t1w_mask.astype(np.float32), geometry.fwhm_to_sigma(width, t1w_affine))
        points = geometry.apply_matrix(bold_to_t1w, geometry.grid_points(shape, affine))
        anatomical = geometry.sample(smooth, t1w_affine, points).reshape(shape) > 0.5
        return anatomical & ndimage.binary_dilation(rough)
