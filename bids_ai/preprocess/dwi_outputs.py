"""What comes of one diffusion series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DwiOutputs:
    """Files of a preprocessed series, all in the working folder, and its quality figures.

    Images lie on one grid in the space of the outputs: that of the T1w, or, without one, the rigidly aligned frame of
    the template (`qc["space"]` is "T1w" or "aligned"); `residual` and `shift` lie on the raw grid.

    Attributes
    ----------
    dwi, bval, bvec : Path
        Preprocessed series and its gradients, turned with the head, for its grid.
    mask : Path
        Brain.
    dwiref : Path
        Mean b0, bias-corrected.
    dwiref_distorted : Path
        The same without correction of susceptibility distortion.
    gm, wm, csf : Path or None
        Tissue probabilities: of the T1w where they were given, else of the template.
    fa, md, ad, rd : Path or None
        Tensor maps, diffusivities in mm2/s, NaN outside the brain; None with fewer than six directions.
    direction : Path or None
        Principal direction, world axes, (nx, ny, nz, 3).
    residual : Path or None
        Standard deviation of what denoising took out; None where nothing was denoised.
    shift : Path
        Shift of the signal along the phase-encoding axis by susceptibility, voxels of the raw grid; zero where it was
        not corrected.
    motion : Path
        npz of arrays by volume: `matrices`, `rigid` (4 x 4, reference to volume, RAS mm), `slopes`, `parameters`, `z`,
        `loss` and `outlier` (by slice).
    dwi_to_frame : Path
        ITK text transform, rigid, that brings the raw (undistorted) images to the space of the outputs.
    dwi_to_template, template_to_dwi : Path or None
        Without a T1w: composite ITK transforms between the space of the outputs and the template.
    confounds : Path
        TSV, one row per volume; "n/a" where undefined.
    qc : dict
        Plain JSON values: what was done, figures, `warnings`, `not_used`, `method`.
    """

    dwi: Path
    bval: Path
    bvec: Path
    mask: Path
    dwiref: Path
    dwiref_distorted: Path
    gm: Path | None
    wm: Path | None
    csf: Path | None
    fa: Path | None
    md: Path | None
    ad: Path | None
    rd: Path | None
    direction: Path | None
    residual: Path | None
    shift: Path
    motion: Path
    dwi_to_frame: Path
    dwi_to_template: Path | None
    template_to_dwi: Path | None
    confounds: Path
    qc: dict[str, Any]
