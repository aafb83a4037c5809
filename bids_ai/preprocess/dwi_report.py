"""Quality figures of a preprocessed diffusion series, its warnings, what was left out, and the methods text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.preprocess import bold_geometry as geometry
from bids_ai.preprocess.dwi_inputs import Notes, choose_engine
from bids_ai.preprocess.dwi_registration import cannot_be_the_same_head
from bids_ai.preprocess.motion import framewise_displacement

if TYPE_CHECKING:
    import pandas as pd

    from bids_ai.bids.gradients import GradientTable
    from bids_ai.preprocess.dwi_inputs import DwiInputs

# Signs of trouble that a reader should look at; none stops the series.
_HIGH_FD_MM = 1.0
_MANY_OUTLIERS = 0.05
_SMALL_COVERAGE = 0.8
_LOW_SNR = 10.0
_MASK_RANGE_ML = (700.0, 2200.0)
_NAMES = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")


def confounds_table(motion: Any) -> pd.DataFrame:
    """Make the table of a series, one row per volume.

    Parameters
    ----------
    motion : mapping
        Arrays of the node `motion`.

    Returns
    -------
    DataFrame
        Six parameters (mm, rad), `framewise_displacement` (mm), eddy currents (slopes, and the offset in mm),
        `prediction_correlation`, `outlier_slices` and the largest part of signal that a slice lost.
    """
    import pandas as pd

    table = pd.DataFrame(motion["parameters"], columns=list(_NAMES))
    table["framewise_displacement"] = framewise_displacement(motion["parameters"])
    for name, values in zip(("x", "y", "z", "offset"), motion["slopes"].T, strict=True):
        table[f"eddy_{name}"] = values
    table["prediction_correlation"] = motion["correlations"]
    loss = motion["loss"]
    known = np.isfinite(loss).any(axis=1)
    table["outlier_slices"] = np.where(known, motion["outlier"].sum(axis=1), np.nan)
    table["largest_signal_loss"] = [np.nanmax(row) if seen else np.nan for row, seen in zip(loss, known, strict=True)]
    return table


def quality(
    inputs: DwiInputs,
    shape: tuple[int, int, int, int],
    table: GradientTable,
    outputs: dict[str, Any],
    frames: pd.DataFrame,
    notes: Notes,
    *,
    denoised: bool,
) -> dict[str, Any]:
    """Gather the figures of a series from the outputs of its nodes.

    Returns
    -------
    dict
        Plain JSON values; `warnings`, `not_used` and `method` are lists of sentences.
    """
    mask, affine = geometry.load(outputs["resample"].mask)
    displacement = frames["framewise_displacement"].to_numpy(float)[1:]
    motion = np.load(outputs["motion"].motion)
    judged = np.isfinite(motion["loss"])
    register = dict(outputs["register"].quality)
    figures: dict[str, Any] = {
        "n_volumes": shape[3],
        "n_unweighted": int(table.unweighted.sum()),
        "shells": [
            {"b": round(shell.b, 1), "volumes": len(shell.volumes), "directions": shell.n_directions}
            for shell in table.shells
        ],
        "voxel_size_mm": [round(float(size), 3) for size in geometry.voxel_sizes(affine)],
        "space": "T1w" if inputs.has_t1w else "aligned",
        "phase_encoding": inputs.phase_encoding,
        "readout_time_s": inputs.readout_time,
        "denoising": _denoising(inputs, outputs, denoised),
        "gradient_table": dict(outputs["table"].figures),
        "fd_median_mm": float(np.median(displacement)),
        "fd_mean_mm": float(np.mean(displacement)),
        "fd_max_mm": float(np.max(displacement)),
        "n_outlier_slices": int(motion["outlier"].sum()),
        "outlier_slices_part": float(motion["outlier"].sum() / max(int(judged.sum()), 1)),
        **outputs["motion"].figures,
        "distortion": dict(outputs["distortion"].figures),
        "bias_strength": round(float(outputs["bias"].strength), 3),
        "registration": register,
        "mask_volume_ml": float((mask > 0).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000),
        "tensor": dict(outputs["tensor"].figures),
    }
    figures["not_used"] = [*notes.not_used, *outputs["check"].notes, *_left_out(inputs, figures)]
    figures["warnings"] = [*notes.warnings, *warnings_of(figures)]
    figures["method"] = method(figures)
    return figures


def _denoising(inputs: DwiInputs, outputs: dict[str, Any], wanted: bool) -> dict[str, Any]:
    if "noise" not in outputs:
        return {"method": "none", "reason": "too few volumes" if wanted else "switched off"}
    engine = choose_engine(inputs.engine)
    figures = {name: round(float(value), 3) for name, value in outputs["noise"].figures.items()}
    names = {"mrtrix3": "MP-PCA (MRtrix3 dwidenoise)", "dipy": "MP-PCA (dipy)"}
    return {"method": names[engine], "engine": engine, "unringing": engine == "mrtrix3", **figures}


def _left_out(inputs: DwiInputs, figures: dict[str, Any]) -> list[str]:
    said = []
    denoising = figures["denoising"]
    if denoising["method"] == "none":
        said.append(f"Denoising: {denoising['reason']}")
    elif not denoising["unringing"]:
        said.append("Gibbs ringing was not removed: only MRtrix3 does it here, since dipy takes 30 times as long")
    if inputs.phase_encoding is None:
        said.append(
            "Eddy currents were not estimated: they act along the phase encoding, which is not known. What they "
            "move is taken for motion"
        )
    return said


def warnings_of(figures: dict[str, Any]) -> list[str]:
    """Signs of trouble in the figures of a series, as sentences."""
    found = list(figures["distortion"].get("warnings", []))
    register = figures["registration"]
    if register.get("note"):
        found.append(f"Registration to T1w: {register['note']}")
    table = figures["gradient_table"]
    if table["verdict"] == "reoriented":
        done = "It was mended." if table["mended"] else "It was left as given."
        found.append(f"{table['reason']} {done}")
    elif table["verdict"] == "undecided":
        found.append(f"Gradient table: {table['reason']}")
    low, high = _MASK_RANGE_ML
    if not low <= figures["mask_volume_ml"] <= high:
        found.append(f"Brain mask of {figures['mask_volume_ml']:.0f} ml; {low:.0f}-{high:.0f} ml are usual for adults")
    if figures["fd_max_mm"] > _HIGH_FD_MM:
        found.append(f"The head moved by up to {figures['fd_max_mm']:.1f} mm between volumes")
    if figures["outlier_slices_part"] > _MANY_OUTLIERS:
        found.append(f"{figures['outlier_slices_part']:.0%} of the slices lost signal")
    if figures["denoising"].get("snr_b0", np.inf) < _LOW_SNR:
        found.append(f"Signal over noise of the b0 volumes is {figures['denoising']['snr_b0']:.0f} only")
    if "stretch_percent" in register and (why := cannot_be_the_same_head(register)):
        found.append(
            f"DWI and T1w cannot be of the same head: {why}. Atlas and tissues do not fit the DWI; the connectome "
            "should not be used."
        )
    if register.get("nmi_after", 2.0) <= register.get("nmi_before", 0.0):
        found.append("Registration did not raise the mutual information: look at the contours")
    if register.get("t1w_brain_in_field_of_view", 1.0) < _SMALL_COVERAGE:
        found.append(f"{register['t1w_brain_in_field_of_view']:.0%} of the brain lies in the field of view of the DWI")
    return found


def method(figures: dict[str, Any]) -> list[str]:
    """Sentences for the methods text, of what was done to this series."""
    text = []
    denoising, distortion, register = figures["denoising"], figures["distortion"], figures["registration"]
    if denoising["method"] != "none":
        text.append(
            "Thermal noise was removed by MP-PCA (Veraart et al. 2016, dwidenoise) and Gibbs ringing by local subvoxel "
            "shifts (Kellner et al. 2016, mrdegibbs; MRtrix3, Tournier et al. 2019)."
            if denoising["unringing"]
            else "Thermal noise was removed by MP-PCA (Veraart et al. 2016; dipy)."
        )
    text.append(
        "Head motion was estimated by rigid Gauss-Newton registration of every diffusion-weighted volume to its "
        "prediction from the other volumes, by spherical harmonics whose order and penalty were chosen by "
        "leave-one-out prediction; b0 volumes were registered to their mean. Gradients were turned with the head "
        "(Leemans & Jones 2009)."
    )
    if figures["n_outlier_slices"]:
        done = "replaced by it" if figures["outliers_replaced"] else "left as they are"
        text.append(
            f"{figures['n_outlier_slices']} slices with signal more than 4 standard deviations below the prediction "
            f"were {done}."
        )
    if distortion["method"] == "reverse phase encoding":
        text.append(
            "Susceptibility distortion was estimated from b0 images of opposite phase encoding (Andersson et al. 2003; "
            "one shift per voxel with a smoothness penalty, Gauss-Newton, coarse to fine)."
        )
    text.append("The receive field was estimated on the b0 image by N4 (Tustison et al. 2010).")
    target = "the T1w image" if figures["space"] == "T1w" else "the frame of the template, rigidly"
    text.append(
        f"The b0 image was registered to {target}, by {register['method']}. Motion, distortion and registration were "
        "composed and applied in one cubic-spline interpolation, with modulation by the density of the distortion."
    )
    return text
