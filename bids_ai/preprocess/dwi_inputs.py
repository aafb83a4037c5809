"""What one diffusion series needs; what is refused before any work, and what is left out."""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_ai.bids.gradients import GradientTable, read_gradients
from bids_ai.errors import InputError
from bids_ai.preprocess import coregistration
from bids_ai.preprocess.templates import Template

ENGINES = ("auto", "mrtrix3", "dipy")
#: Programs of MRtrix3 that preprocessing calls.
MRTRIX3_PROGRAMS = ("dwidenoise", "mrdegibbs")
DIRECTIONS = ("i", "i-", "j", "j-", "k", "k-")
#: Readouts of an EPI train last 10 to 150 ms; longer ones are in other units, s.
MAX_READOUT = 0.5
_LEAST_VOXELS = 4
_MAPS = ("t1w_gm", "t1w_wm", "t1w_csf")


@dataclass(frozen=True)
class DwiInputs:
    """What is known of one diffusion series.

    Parameters
    ----------
    dwi, bval, bvec : Path
        4-D NIfTI file and its gradient table.
    phase_encoding : str, optional
        BIDS `PhaseEncodingDirection`. None: distortion and eddy currents are not corrected, and `qc` says so.
    readout_time : float, optional
        BIDS `TotalReadoutTime`, seconds.
    slice_encoding : str, optional
        BIDS `SliceEncodingDirection`, "k" if None.
    reverse : Path, optional
        Unweighted volumes with the opposite phase encoding (``fmap/*_epi``), 3-D or 4-D, on the grid of the series.
    reverse_phase_encoding : str, optional
        Of `reverse`; taken as the opposite of `phase_encoding` if None.
    reverse_readout_time : float, optional
        Of `reverse`; taken as that of the series if None.
    t1w_brain, t1w_mask, t1w_dseg : Path, optional
        Skull-stripped T1w image, its mask, its tissues (1 GM, 2 WM, 3 CSF), all on one grid. All or none; without them
        the series is aligned with the template.
    t1w_gm, t1w_wm, t1w_csf : Path, optional
        Tissue probabilities, on that grid; brought to the grid of the series for tractography. All or none.
    template : Template, optional
        Needed without a T1w.
    engine : {"auto", "mrtrix3", "dipy"}
        What denoises; "auto" takes MRtrix3 where its programs are on PATH.
    """

    dwi: Path
    bval: Path
    bvec: Path
    phase_encoding: str | None = None
    readout_time: float | None = None
    slice_encoding: str | None = None
    reverse: Path | None = None
    reverse_phase_encoding: str | None = None
    reverse_readout_time: float | None = None
    t1w_brain: Path | None = None
    t1w_mask: Path | None = None
    t1w_dseg: Path | None = None
    t1w_gm: Path | None = None
    t1w_wm: Path | None = None
    t1w_csf: Path | None = None
    template: Template | None = None
    engine: str = "auto"

    @property
    def has_t1w(self) -> bool:
        """Whether a preprocessed T1w was given."""
        return self.t1w_brain is not None

    @property
    def opposite(self) -> str | None:
        """Phase encoding of `reverse`."""
        if self.reverse_phase_encoding is not None or self.phase_encoding is None:
            return self.reverse_phase_encoding
        axis = self.phase_encoding[0]
        return axis if self.phase_encoding.endswith("-") else f"{axis}-"


@dataclass(frozen=True)
class Notes:
    """What is left out, in sentences for the report: without consequence, and with."""

    not_used: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def choose_engine(engine: str) -> str:
    """Give the tool that denoises: "mrtrix3" or "dipy".

    Raises
    ------
    InputError
        For an unknown name, or where MRtrix3 is asked for and not there.
    """
    if engine not in ENGINES:
        raise InputError(f"Unknown DWI engine '{engine}'; known: {', '.join(ENGINES)}.")
    missing = [program for program in MRTRIX3_PROGRAMS if shutil.which(program) is None]
    if engine == "mrtrix3" and missing:
        raise InputError(
            f"MRtrix3 was asked for (engine 'mrtrix3'), but {' and '.join(missing)} cannot be found on PATH. Install "
            "MRtrix3 (Debian and Ubuntu: `apt install mrtrix3`; conda: `conda install -c mrtrix3 mrtrix3`), or take "
            "engine 'auto' or 'dipy'."
        )
    return "dipy" if missing or engine == "dipy" else "mrtrix3"


def check_inputs(inputs: DwiInputs) -> tuple[tuple[int, int, int, int], GradientTable]:
    """Refuse, before any work, a series that cannot be preprocessed; reads headers and the gradient table only.

    Returns
    -------
    shape : tuple of 4 ints
    table : GradientTable

    Raises
    ------
    InputError
        Files missing or not readable, a single volume, a gradient table that cannot be right, an unknown engine or one
        that is not there, an impossible phase encoding or readout time, neither T1w nor template, DWI and T1w that do
        not overlap.
    """
    choose_engine(inputs.engine)
    _check_files(inputs)
    shape, affine = read_header(inputs.dwi)
    table = read_gradients(inputs.bval, inputs.bvec, shape[3])
    _check_phase_encoding(inputs)
    if inputs.has_t1w:
        _check_anatomy(inputs, shape, affine)
    elif inputs.template is None:
        raise InputError(f"{inputs.dwi}: a preprocessed T1w or a template is needed; neither was given.")
    return shape, table


def read_header(path: Path) -> tuple[tuple[int, int, int, int], np.ndarray]:
    """Shape and affine of a diffusion series.

    Raises
    ------
    InputError
        If the file cannot be read or holds no series.
    """
    try:
        image: Any = nib.load(path)
    except (OSError, EOFError, zlib.error, nib.filebasedimages.ImageFileError) as error:
        raise InputError(f"{path}: not a readable NIfTI image ({error}). Copy or convert it again.") from error
    shape = tuple(int(n) for n in image.shape)
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 4 or shape[3] < 2 or min(shape[:3]) < _LEAST_VOXELS:
        raise InputError(
            f"{path}: a diffusion series must be 4-D, with at least two volumes of {_LEAST_VOXELS} voxels along each "
            f"axis; got shape {image.shape}. Give the series, not an averaged or derived image."
        )
    return (shape[0], shape[1], shape[2], shape[3]), np.asarray(image.affine, float)


def _check_files(inputs: DwiInputs) -> None:
    given = {name: getattr(inputs, name) for name in ("dwi", "reverse", "t1w_brain", "t1w_mask", "t1w_dseg", *_MAPS)}
    for name, path in given.items():
        if path is not None and not Path(path).is_file():
            raise InputError(f"{name}: no such file: {path}")
    for group in (("t1w_brain", "t1w_mask", "t1w_dseg"), _MAPS):
        lacking = [name for name in group if given[name] is None]
        if 0 < len(lacking) < len(group):
            raise InputError(f"{inputs.dwi}: {', '.join(group)} belong together; {', '.join(lacking)} missing.")
    if given["t1w_gm"] is not None and given["t1w_brain"] is None:
        raise InputError(f"{inputs.dwi}: tissue maps were given without the T1w that they belong to.")


def _check_phase_encoding(inputs: DwiInputs) -> None:
    for key, value in (
        ("PhaseEncodingDirection", inputs.phase_encoding),
        ("PhaseEncodingDirection of the reverse-encoded image", inputs.reverse_phase_encoding),
        ("SliceEncodingDirection", inputs.slice_encoding),
    ):
        if value is not None and value not in DIRECTIONS:
            raise InputError(f"{inputs.dwi}: {key} must be one of {', '.join(DIRECTIONS)}; got {value!r}.")
    for key, time in (("", inputs.readout_time), (" of the reverse-encoded image", inputs.reverse_readout_time)):
        if time is not None and not 0 < time <= MAX_READOUT:
            raise InputError(
                f"{inputs.dwi}: TotalReadoutTime{key} must be seconds between 0 and {MAX_READOUT:g}; got {time!r}."
            )


def _check_anatomy(inputs: DwiInputs, shape: tuple[int, ...], affine: np.ndarray) -> None:
    mask: Any = nib.load(str(inputs.t1w_mask))
    for name in ("t1w_brain", "t1w_dseg", *(_MAPS if inputs.t1w_gm else ())):
        other: Any = nib.load(getattr(inputs, name))
        if other.shape != mask.shape or not np.allclose(other.affine, mask.affine, atol=1e-3):
            raise InputError(
                f"{name} and t1w_mask must lie on one grid; shapes {other.shape} and {mask.shape}. Make them again."
            )
    brain = np.asarray(mask.dataobj) > 0
    fraction = coregistration.overlap_fraction(shape, affine, brain, np.asarray(mask.affine))
    if fraction < coregistration.MIN_OVERLAP:
        raise InputError(
            f"DWI and T1w must overlap in scanner space: {fraction:.0%} of the T1w brain lies in the field of view of "
            f"{inputs.dwi}, at least {coregistration.MIN_OVERLAP:.0%} is needed. The header (sform/qform) of one of "
            "the two was altered, or they are of two people. Correct the header, or leave the T1w out: a DWI alone is "
            "aligned with the template."
        )


def reverse_usable(inputs: DwiInputs) -> str:
    """Tell why the reverse-encoded image cannot be used; empty if it can.

    Only an image on the grid of the series with the opposite direction serves.
    """
    if inputs.reverse is None:
        return "there is no reverse-encoded b0 image"
    name = Path(inputs.reverse).name
    if inputs.phase_encoding is None:
        return f"PhaseEncodingDirection of the series is not known, so {name} cannot be used"
    opposite = str(inputs.opposite)
    if opposite[0] != inputs.phase_encoding[0] or opposite == inputs.phase_encoding:
        return f"{name} is encoded along {opposite}, which is not the opposite of {inputs.phase_encoding}"
    image: Any = nib.load(inputs.reverse)
    series: Any = nib.load(inputs.dwi)
    if image.shape[:3] != series.shape[:3] or not np.allclose(image.affine, series.affine, atol=0.1):
        return f"{name} lies on another grid ({image.shape[:3]}) than the series ({series.shape[:3]})"
    return ""


def notes_on(inputs: DwiInputs, table: GradientTable) -> Notes:
    """Tell what cannot be done with these inputs and what that costs."""
    notes = Notes()
    if inputs.phase_encoding is None:
        notes.warnings.append(
            "PhaseEncodingDirection is not known: neither susceptibility distortion nor eddy currents were corrected. "
            "Near the sinuses and ear canals the images may lie several millimetres off the anatomy, and tracts end "
            "in the wrong place there. Add it to the sidecar."
        )
    elif why := reverse_usable(inputs):
        text = f"Susceptibility distortion: {why}"
        (notes.warnings if inputs.reverse else notes.not_used).append(text)
    if inputs.phase_encoding is not None and inputs.readout_time is None:
        notes.not_used.append("TotalReadoutTime is not known: displacements are given in mm, not as a field in Hz")
    if table.n_directions < 6:
        notes.warnings.append(
            f"Only {table.n_directions} distinct directions: no tensor can be fitted, head motion of weighted volumes "
            "is interpolated from the b0 volumes, and the gradient table cannot be checked."
        )
    return notes
