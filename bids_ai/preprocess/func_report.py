"""Quality figures of a preprocessed run, its warnings, what was not used, and the sentences for the methods text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.preprocess import bold_geometry as geometry

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# Signs of trouble that a reader should look at; none stops the run.
LOW_TSNR = 20.0
LOW_CORRELATION = 0.9
SMALL_COVERAGE = 0.8
MASK_RANGE_ML = (700.0, 2200.0)


def quality(
    inputs: Any,
    shape: tuple[int, int, int, int],
    outputs: dict[str, Any],
    *,
    table: pd.DataFrame,
    correlations: NDArray[Any],
    resolution_mm: float,
    dummy_scans_given: bool,
    fd_threshold_mm: float,
) -> dict[str, Any]:
    """Gather the figures of a run from the outputs of its nodes.

    Returns
    -------
    dict
        Plain JSON values; `warnings`, `not_used` and `method` are lists of sentences.
    """
    mask, affine = geometry.load(outputs["coregister"].brain_mask)
    displacement = table["framewise_displacement"].to_numpy(float)[1:]
    coregistration = dict(outputs["coregister"].quality)
    prepare = outputs["prepare"]
    corrected = bool(prepare.slices_corrected)
    figures: dict[str, Any] = {
        "n_frames": shape[3],
        "tr": float(inputs.tr),
        "duration_s": shape[3] * float(inputs.tr),
        "voxel_size_mm": [round(float(size), 3) for size in geometry.voxel_sizes(affine)],
        "template_space": inputs.template_space,
        "resolution_mm": resolution_mm,
        "dummy_scans": int(prepare.dummy_scans),
        "dummy_scans_source": "given" if dummy_scans_given else "detected",
        "slice_timing": "corrected" if corrected else "not corrected",
        "start_time_s": float(prepare.start_time),
        "tsnr_median": float(outputs["confounds"].tsnr_median),
        "fd_median_mm": float(np.median(displacement)),
        "fd_mean_mm": float(np.mean(displacement)),
        "fd_max_mm": float(np.max(displacement)),
        "fd_threshold_mm": fd_threshold_mm if np.isfinite(fd_threshold_mm) else None,  # JSON has no infinity
        "n_frames_above_fd": int((displacement > fd_threshold_mm).sum()),
        "std_dvars_max": float(np.nanmax(table["std_dvars"].to_numpy(float))),
        "realignment_correlation_min": float(np.min(correlations)),
        "mask_volume_ml": float((mask > 0).sum() * abs(np.linalg.det(affine[:3, :3])) / 1000),
        "coregistration": coregistration.pop("method"),
        **{key: value for key, value in coregistration.items() if key != "note"},
    }
    sbref_note = outputs["reference"].sbref_note
    figures["not_used"] = _not_used(inputs, sbref_note)
    figures["warnings"] = warnings_of(figures, coregistration.get("note"))
    figures["method"] = _method(figures, used_sbref=inputs.sbref is not None and not sbref_note)
    return figures


def _not_used(inputs: Any, sbref_note: str) -> list[str]:
    said = ["Field maps: susceptibility distortion was not corrected"]
    if inputs.slice_timing is None:
        said.append("Slice timing was not corrected: the sidecar has no SliceTiming")
    if sbref_note:
        said.append(sbref_note)
    return said


def warnings_of(figures: dict[str, Any], note: str | None) -> list[str]:
    """Signs of trouble in the figures of a run, as sentences; `note` is what the registration had to say."""
    found = [note] if note else []
    low, high = MASK_RANGE_ML
    if not low <= figures["mask_volume_ml"] <= high:
        found.append(f"Brain mask of {figures['mask_volume_ml']:.0f} ml; {low:.0f}-{high:.0f} ml are usual for adults")
    if figures["tsnr_median"] < LOW_TSNR:
        found.append(f"Median tSNR of {figures['tsnr_median']:.0f} is low")
    if figures["realignment_correlation_min"] < LOW_CORRELATION:
        found.append(
            f"A volume correlates with the reference by {figures['realignment_correlation_min']:.2f} only "
            "after realignment"
        )
    if figures["nmi_after"] <= figures["nmi_before"]:
        found.append("Registration to T1w did not raise the mutual information: look at the contours")
    if figures["t1w_brain_in_field_of_view"] < SMALL_COVERAGE:
        found.append(f"{figures['t1w_brain_in_field_of_view']:.0%} of the brain lies in the BOLD field of view")
    if figures.get("grey_white_contrast_percent", 1.0) <= 0:
        found.append(
            "Grey matter is not brighter than white matter at the boundary: wrong registration or unusual contrast"
        )
    return found


def _method(figures: dict[str, Any], *, used_sbref: bool) -> list[str]:
    """Sentences for the methods text, of what was done to this run."""
    text = []
    if figures["dummy_scans"]:
        text.append(
            f"{figures['dummy_scans']} non-steady-state volumes at the start were "
            f"{figures['dummy_scans_source']} and marked."
        )
    if figures["slice_timing"] == "corrected":
        text.append(
            f"Slices were interpolated to {figures['start_time_s']:.3g} s, the middle of the acquisition of "
            "a volume (cubic spline)."
        )
    text.append(
        "The reference volume is the median of 21 motion-corrected steady volumes"
        + (" and the single-band reference in its position" if used_sbref else "")
        + ", corrected for bias with N4 (Tustison et al. 2010). "
        "Head motion was estimated by rigid Gauss-Newton registration of every volume to the reference."
    )
    text.append(
        f"The reference was registered to T1w by {figures['coregistration']}"
        + (" (Greve & Fischl 2009)." if "boundary" in figures["coregistration"] else ".")
    )
    text.append(
        f"Head motion, coregistration and normalisation to {figures['template_space']} were concatenated "
        "and applied in one cubic-spline "
        f"interpolation at {figures['resolution_mm']:g} mm."
    )
    text.append(
        "Confounds: 24 motion parameters (Friston et al. 1996), framewise displacement and DVARS (Power et "
        "al. 2012), standardised DVARS, "
        "mean CSF, white-matter and global signal, and 5 aCompCor components of CSF and white matter after "
        "a 128 s high-pass "
        "(Behzadi et al. 2007)."
    )
    return text
