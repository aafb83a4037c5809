"""What one BOLD run needs and what comes of it; what is refused before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_ai.errors import InputError
from bids_ai.preprocess import bold_reference, coregistration, slice_timing
from bids_ai.preprocess.bold_geometry import check_transform

MAX_TR = 30.0  # s; a longer one is in milliseconds


@dataclass(frozen=True)
class BoldInputs:
    """What is known of one BOLD run.

    Parameters
    ----------
    bold : Path
        4-D NIfTI file.
    tr : float
        Repetition time, seconds.
    slice_timing : sequence of float, optional
        Acquisition time of each slice, seconds. None: no correction, and `qc` says so.
    slice_encoding : str, optional
        BIDS `SliceEncodingDirection`, "k" if None.
    t1w_brain, t1w_mask, t1w_dseg : Path
        Skull-stripped T1w image, its mask, its tissues (1 GM, 2 WM, 3 CSF), all on one grid.
    t1w_to_template : Path
        Composite ITK transform that brings T1w images to the template.
    template_t1w, template_mask : Path
    template_space : str
        Name of the template's space, such as MNI152NLin2009aSym.
    sbref : Path, optional
        Single-band reference of the run.
    """

    bold: Path
    tr: float
    slice_timing: Sequence[float] | None
    slice_encoding: str | None
    t1w_brain: Path | None
    t1w_mask: Path | None
    t1w_dseg: Path | None
    t1w_to_template: Path | None
    template_t1w: Path
    template_mask: Path
    template_space: str
    sbref: Path | None = None


@dataclass(frozen=True)
class BoldOutputs:
    """Files of a preprocessed run, all in the working folder, and its quality figures.

    `bold_to_t1w` is an ITK text transform that brings BOLD images to T1w. `confounds` has fMRIPrep's column
    names, "n/a" where undefined. `dseg_in_template` lies on the output grid, as do `boldref_in_template` and
    `brain_mask_in_template`.
    """

    bold_in_template: Path
    boldref: Path
    boldref_in_t1w: Path
    boldref_in_template: Path
    brain_mask: Path
    brain_mask_in_template: Path
    dseg_in_template: Path | None
    bold_to_t1w: Path
    confounds: Path
    confounds_meta: dict[str, Any]
    qc: dict[str, Any]


def check_inputs(inputs: BoldInputs, dummy_scans: int | None = None) -> tuple[int, int, int, int]:
    """Refuse, before any work, a run that cannot be preprocessed; reads headers only.

    Returns
    -------
    tuple of 4 ints
        Shape of the run.

    Raises
    ------
    InputError
        Single volume, repetition time missing or impossible, slice times that cannot be right, files missing,
        BOLD and T1w that do not overlap.
    """
    for name in ("bold", "t1w_brain", "t1w_mask", "t1w_dseg", "t1w_to_template", "template_t1w", "template_mask"):
        path = getattr(inputs, name)
        if path is None:
            raise InputError(
                f"{inputs.bold}: {name} is needed to bring the run to {inputs.template_space}; none was given."
            )
        if not Path(path).is_file():
            raise InputError(f"{name}: no such file: {path}")
    if not np.isfinite(inputs.tr) or inputs.tr <= 0:
        raise InputError(
            f"{inputs.bold}: RepetitionTime must be positive seconds, got {inputs.tr}. Add it to the sidecar."
        )
    if inputs.tr > MAX_TR:
        raise InputError(f"{inputs.bold}: RepetitionTime of {inputs.tr:g} s; it must be in seconds, not milliseconds.")
    shape = bold_reference.check_header(Path(inputs.bold))
    if inputs.slice_timing is not None:
        axis, _ = slice_timing.slice_axis(inputs.slice_encoding)
        slice_timing.check_slice_timing(inputs.slice_timing, shape[axis], inputs.tr)
    if dummy_scans is not None and not 0 <= dummy_scans < shape[3] - 1:
        raise InputError(
            f"dummy_scans must lie between 0 and {shape[3] - 2} for a run of {shape[3]} volumes, got {dummy_scans}."
        )
    bold: Any = nib.load(inputs.bold)
    affine = np.asarray(bold.affine, float)
    mask: Any = nib.load(str(inputs.t1w_mask))
    for name in ("t1w_brain", "t1w_dseg"):
        other: Any = nib.load(getattr(inputs, name))
        if other.shape != mask.shape or not np.allclose(other.affine, mask.affine, atol=1e-3):
            raise InputError(
                f"{name} and t1w_mask must lie on one grid; shapes {other.shape} and {mask.shape}. Make them again."
            )
    coregistration.check_overlap(
        coregistration.overlap_fraction(shape, affine, np.asarray(mask.dataobj) > 0, np.asarray(mask.affine))
    )
    check_transform(str(inputs.t1w_to_template))  # last, for it loads ANTs
    return shape
