"""nipype nodes that find where the diffusion series lies: in the T1w, or in the frame of the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, traits

from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess import dwi_registration, normalisation
from bids_ai.preprocess.templates import Template


class RegisterInput(BaseInterfaceInputSpec):
    """Inputs of `RegisterToT1w`."""

    b0 = File(exists=True, mandatory=True, desc="undistorted, bias-corrected")
    mask = File(exists=True, mandatory=True, desc="rough brain mask")
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    t1w_dseg = File(exists=True, mandatory=True)
    seed = traits.Int(1, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class FrameOutput(TraitedSpec):
    """Outputs of both registrations."""

    dwi_to_frame = File(exists=True, desc="ITK text transform, rigid: DWI to the space of the outputs")
    frame_mask = File(exists=True, desc="brain mask in that space: its extent and its axes make the output grid")
    dwi_to_template = File(exists=True, desc="space of the outputs to template; only without a T1w")
    template_to_dwi = File(exists=True)
    quality = traits.Dict()


class RegisterToT1w(SimpleInterface):
    """b0 to the T1w of the same head."""

    input_spec = RegisterInput
    output_spec = FrameOutput

    def _run_interface(self, runtime: Any) -> Any:
        b0, affine = geometry.load(self.inputs.b0)
        rough = geometry.load(self.inputs.mask)[0] > 0
        brain, t1w_affine = geometry.load(self.inputs.t1w_brain)
        inside = geometry.load(self.inputs.t1w_mask)[0] > 0
        found = dwi_registration.register_to_t1w(
            b0,
            affine,
            rough,
            np.where(inside, brain, 0),
            geometry.load(self.inputs.t1w_dseg)[0],
            t1w_affine,
            seed=self.inputs.seed,
            sloppy=self.inputs.sloppy,
        )
        self._results |= {
            "dwi_to_frame": str(geometry.write_itk_affine(Path(runtime.cwd) / "dwi_to_t1w.txt", found.matrix)),
            "frame_mask": self.inputs.t1w_mask,
            "quality": found.quality,
        }
        return runtime


class AlignInput(BaseInterfaceInputSpec):
    """Inputs of `AlignWithTemplate`."""

    b0 = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    template_t1w = File(exists=True, mandatory=True)
    template_mask = File(exists=True, mandatory=True)
    template_space = traits.Str(mandatory=True)
    align = traits.Bool(True, usedefault=True, desc="False keeps the frame of the series")
    seed = traits.Int(1, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class AlignWithTemplate(SimpleInterface):
    """b0 to the template, for a DWI without a T1w."""

    input_spec = AlignInput
    output_spec = FrameOutput

    def _run_interface(self, runtime: Any) -> Any:
        folder = Path(runtime.cwd)
        b0, affine = geometry.load(self.inputs.b0)
        rough = geometry.load(self.inputs.mask)[0] > 0
        template = Template(
            self.inputs.template_space,
            Path(self.inputs.template_t1w),
            Path(self.inputs.template_mask),
            None,
            None,
            None,
            "",
        )
        found = dwi_registration.align_with_template(
            b0,
            affine,
            rough,
            template,
            folder,
            align=self.inputs.align,
            seed=self.inputs.seed,
            sloppy=self.inputs.sloppy,
        )
        # The brain is what both the template and the b0 say is brain.
        inside, grid = geometry.load(self.inputs.template_mask)
        moved = found.matrix @ affine
        there = normalisation.apply(inside, grid, b0.shape, moved, [found.from_template]) > 0.5
        brain = there & rough if (there & rough).sum() > 0.5 * rough.sum() else rough
        frame_mask = geometry.save(folder / "brain_mask.nii.gz", brain.astype(np.uint8), moved)
        self._results |= {
            "dwi_to_frame": str(geometry.write_itk_affine(folder / "dwi_to_aligned.txt", found.matrix)),
            "frame_mask": str(frame_mask),
            "dwi_to_template": str(found.to_template),
            "template_to_dwi": str(found.from_template),
            "quality": found.quality,
        }
        return runtime
