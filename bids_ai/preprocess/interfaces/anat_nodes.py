"""nipype nodes of the anatomical workflow: they read and write files, the numerics are in the modules they call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nipype.interfaces.base import BaseInterfaceInputSpec, File, SimpleInterface, TraitedSpec, isdefined, traits

from bids_ai.preprocess import bias_field, normalisation, skullstrip, tissues, volumes
from bids_ai.preprocess.anat_inputs import read_t1w
from bids_ai.preprocess.brain_affine import BrainPose
from bids_ai.preprocess.templates import Template


def _read(path: str) -> tuple[Any, Any]:
    image: Any = nib.load(path)
    return np.asarray(image.dataobj, np.float32), np.asarray(image.affine, float)


def _write(data: Any, affine: Any, runtime: Any, name: str) -> str:
    image = nib.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    path = Path(runtime.cwd) / name
    nib.save(image, path)
    return str(path)


class _TemplateInput(BaseInterfaceInputSpec):
    template_t1w = File(exists=True, mandatory=True)
    template_mask = File(exists=True, mandatory=True)
    template_gm = File(exists=True)
    template_wm = File(exists=True)
    template_head = File(exists=True)
    template_space = traits.Str(mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)
    seed = traits.Int(1, usedefault=True)


def _template(inputs: Any) -> Template:
    def path(name: str) -> Path | None:
        value = getattr(inputs, f"template_{name}")
        return Path(value) if isdefined(value) else None

    return Template(
        inputs.template_space,
        Path(inputs.template_t1w),
        Path(inputs.template_mask),
        path("gm"),
        path("wm"),
        path("head"),
        "",
    )


class ConformInput(BaseInterfaceInputSpec):
    """Inputs of `Conform`."""

    t1w = File(exists=True, mandatory=True)


class ConformOutput(TraitedSpec):
    """Outputs of `Conform`."""

    t1w = File(exists=True, desc="float32, axes along R, A, S, values not negative")


class Conform(SimpleInterface):
    """Check a T1w image and turn its axes to R, A, S without resampling."""

    input_spec = ConformInput
    output_spec = ConformOutput

    def _run_interface(self, runtime: Any) -> Any:
        data, affine = read_t1w(Path(self.inputs.t1w))
        self._results["t1w"] = _write(data, affine, runtime, "t1w_conformed.nii.gz")
        return runtime


class BiasInput(BaseInterfaceInputSpec):
    """Inputs of `CorrectBias`."""

    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, desc="where the field is estimated; the foreground if not given")
    sloppy = traits.Bool(False, usedefault=True)


class BiasOutput(TraitedSpec):
    """Outputs of `CorrectBias`."""

    t1w = File(exists=True)
    strength = traits.Float(desc="95th over 5th percentile of the field")


class CorrectBias(SimpleInterface):
    """Divide by the N4 bias field."""

    input_spec = BiasInput
    output_spec = BiasOutput

    def _run_interface(self, runtime: Any) -> Any:
        data, affine = _read(self.inputs.t1w)
        mask = _read(self.inputs.mask)[0] > 0.5 if isdefined(self.inputs.mask) else bias_field.foreground(data)
        corrected, strength = bias_field.correct_bias(data, affine, mask, sloppy=self.inputs.sloppy)
        self._results["t1w"] = _write(corrected, affine, runtime, "t1w_preproc.nii.gz")
        self._results["strength"] = strength
        return runtime


class BrainInput(_TemplateInput):
    """Inputs of `ExtractBrain`."""

    t1w = File(exists=True, mandatory=True)
    original = File(exists=True, mandatory=True, desc="before bias correction: shows whether it is stripped")
    method = traits.Enum(*skullstrip.METHODS, usedefault=True)


class BrainOutput(TraitedSpec):
    """Outputs of `ExtractBrain`."""

    mask = File(exists=True)
    pose = File(exists=True, desc="affine from template to T1w world, and what was found, JSON")


class ExtractBrain(SimpleInterface):
    """Brain mask and the affine that places the template's brain in the head."""

    input_spec = BrainInput
    output_spec = BrainOutput

    def _run_interface(self, runtime: Any) -> Any:
        data, affine = _read(self.inputs.t1w)
        # The bias field never makes a zero of a non-zero, so the background survives; its sign may not.
        data = np.where(_read(self.inputs.original)[0] == 0, 0, data).astype(np.float32)
        found = skullstrip.extract_brain(
            data,
            affine,
            _template(self.inputs),
            method=self.inputs.method,
            seed=self.inputs.seed,
            sloppy=self.inputs.sloppy,
        )
        path = Path(runtime.cwd) / "pose.json"
        path.write_text(
            json.dumps(
                {
                    "matrix": found.pose.matrix.tolist(),
                    "mutual_information": found.pose.mutual_information,
                    "scale": found.pose.scale,
                    "method": found.method,
                    "details": found.details,
                    "volume_l": found.volume_l,
                    "warnings": found.warnings,
                }
            )
        )
        self._results["mask"] = _write(found.mask.astype(np.uint8), affine, runtime, "brain_mask.nii.gz")
        self._results["pose"] = str(path)
        return runtime


class NormaliseInput(_TemplateInput):
    """Inputs of `Normalise`."""

    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    pose = File(exists=True, mandatory=True)


class NormaliseOutput(TraitedSpec):
    """Outputs of `Normalise`."""

    t1w_brain = File(exists=True)
    t1w_to_template = File(exists=True)
    template_to_t1w = File(exists=True)
    t1w_in_template = File(exists=True)
    brain_mask_in_template = File(exists=True)
    nmi = traits.Dict(desc="normalised mutual information with the template: headers, affine, syn")
    overlap = traits.Float(desc="Dice of the warped mask with the template's")


class Normalise(SimpleInterface):
    """Affine and SyN registration of the brain to the template, and how well it fits."""

    input_spec = NormaliseInput
    output_spec = NormaliseOutput

    def _run_interface(self, runtime: Any) -> Any:
        data, affine = _read(self.inputs.t1w)
        mask = _read(self.inputs.mask)[0]
        brain = np.where(mask > 0.5, data, 0).astype(np.float32)
        template, grid = _read(self.inputs.template_t1w)
        inside = _read(self.inputs.template_mask)[0] > 0.5
        pose = json.loads(Path(self.inputs.pose).read_text())
        found = normalisation.register_brain(
            brain,
            affine,
            template,
            inside,
            grid,
            BrainPose(np.array(pose["matrix"]), pose["mutual_information"], pose["scale"]),
            Path(runtime.cwd),
            seed=self.inputs.seed,
            sloppy=self.inputs.sloppy,
        )

        def bring(image: Any, transforms: list[Path]) -> Any:
            return normalisation.apply(image, affine, template.shape, grid, transforms)

        warped = bring(brain, [found.to_template])
        stages = {"headers": bring(brain, []), "affine": bring(brain, [found.affine]), "syn": warped}
        nmi = volumes.normalised_mutual_information
        self._results["nmi"] = {key: nmi(image[inside], template[inside]) for key, image in stages.items()}
        mask_there = bring(mask, [found.to_template]) > 0.5
        self._results["overlap"] = volumes.dice(mask_there, inside)
        warped = np.maximum(warped, 0)
        self._results["t1w_brain"] = _write(brain, affine, runtime, "t1w_brain.nii.gz")
        self._results["t1w_in_template"] = _write(warped, grid, runtime, "t1w_in_template.nii.gz")
        self._results["brain_mask_in_template"] = _write(
            mask_there.astype(np.uint8), grid, runtime, "brain_mask_in_template.nii.gz"
        )
        self._results["t1w_to_template"] = str(found.to_template)
        self._results["template_to_t1w"] = str(found.from_template)
        return runtime


class TissuesInput(_TemplateInput):
    """Inputs of `SegmentTissues`."""

    t1w = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    t1w_to_template = File(exists=True, mandatory=True)
    template_to_t1w = File(exists=True, mandatory=True)


class TissuesOutput(TraitedSpec):
    """Outputs of `SegmentTissues`."""

    dseg = File(exists=True)
    gm_probseg = File(exists=True)
    wm_probseg = File(exists=True)
    csf_probseg = File(exists=True)
    dseg_in_template = File(exists=True)
    volumes_l = traits.Dict(desc="litres of each tissue, by its probabilities")
    method = traits.Str()


class SegmentTissues(SimpleInterface):
    """Posterior probabilities of GM, WM, CSF, and the discrete segmentation in both spaces."""

    input_spec = TissuesInput
    output_spec = TissuesOutput

    def _run_interface(self, runtime: Any) -> Any:
        data, affine = _read(self.inputs.t1w)
        mask = _read(self.inputs.mask)[0] > 0.5
        priors = {}
        for tissue in ("gm", "wm"):
            path = getattr(self.inputs, f"template_{tissue}")
            if isdefined(path):
                back = [Path(self.inputs.template_to_t1w)]
                priors[f"{tissue}_prior"] = normalisation.apply(*_read(path), data.shape, affine, back)
        found = tissues.segment_tissues(data, affine, mask, **priors, sloppy=self.inputs.sloppy)
        litre = volumes.voxel_sizes(affine).prod() / 1e6
        self._results["volumes_l"] = {}
        for tissue in ("gm", "wm", "csf"):
            image = getattr(found, tissue)
            self._results[f"{tissue}_probseg"] = _write(image, affine, runtime, f"{tissue}_probseg.nii.gz")
            self._results["volumes_l"][tissue] = float(image.sum(dtype=float) * litre)
        there, grid = _read(self.inputs.template_mask)
        forward = [Path(self.inputs.t1w_to_template)]
        warped = normalisation.apply(found.dseg, affine, there.shape, grid, forward, "genericLabel")
        self._results["dseg"] = _write(found.dseg, affine, runtime, "dseg.nii.gz")
        self._results["dseg_in_template"] = _write(
            np.rint(warped).astype(np.uint8), grid, runtime, "dseg_in_template.nii.gz"
        )
        self._results["method"] = found.method
        return runtime
