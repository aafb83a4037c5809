"""The gate: is a fit good enough that its effective connectivity may be read? Every reason is said."""

from __future__ import annotations

import math
from typing import Any

from bids_ai.surrogate.fitted import Gate
from bids_ai.surrogate.spectrum import FILTERED_RATIO

MIN_R2 = 0.01
"""Held-out variance explained (1 %) below which there are no dynamics to speak of."""
MIN_SAMPLES_PER_REGION = 2.0
"""Samples per region below which a full connectivity matrix is mostly prior; recovery of a known 20-region
system falls under r .7 at 10 samples per region, and under that of FC further down."""
MAX_ERROR_RATIO = 5.0
"""Held-out over training error; NPI's fMRI demonstration is above 10."""
MIN_INITIALISATION_R = 0.7
"""Agreement between initialisations; NPI's MLP has .58 at 400 frames and .79 at 1200."""
MIN_FREE_FC_R = 0.5
"""Agreement of free-running with observed FC, as a share of what the true system would reach on the same recording."""
CHANCE_SE = 3.0
"""Standard errors of a correlation over independent edges, below which an agreement may be chance."""
BOLD_MIN_TR = 0.25
"""Sampling intervals (s) from here on are haemodynamic; faster signals are steep by nature."""


def judge(evaluation: dict[str, Any], tr: float) -> Gate:
    """Verdict on an evaluated fit.

    Parameters
    ----------
    evaluation : dict
        From `evaluate`.
    tr : float
        Seconds.
    """
    reasons = [
        *_prediction_reasons(evaluation["heldout"]),
        *_overfit_reasons(evaluation),
        *_dynamics_reasons(evaluation["free_running"], evaluation["sample"]["n_regions"]),
        *_sample_reasons(evaluation["sample"]),
    ]
    ratio = evaluation["spectrum"]["high_frequency_ratio"]
    if ratio < FILTERED_RATIO and tr >= BOLD_MIN_TR:
        reasons.append("the signals are low-passed: one-step prediction is trivial and is no evidence for EC")
    return Gate("unreliable" if reasons else "reliable", tuple(reasons))


def _prediction_reasons(heldout: dict[str, Any]) -> list[str]:
    reasons = []
    r2, error = heldout["r2"], heldout["r2_se"]
    if not (r2 > MIN_R2 and r2 > 2 * error):
        reasons.append(f"held-out R2 {r2:.3f} (standard error {error:.3f}): the next frame cannot be predicted")
    if not heldout["gain_over_persistence"] > 0:
        reasons.append(f"persistence predicts as well (R2 {heldout['r2_persistence']:.3f} against {r2:.3f})")
    own = "ar" if heldout["r2_ar"] >= heldout["r2_ar1"] else "ar1"
    if not heldout[f"gain_over_{own}"] > heldout[f"gain_over_{own}_se"]:
        reasons.append(
            f"each region's own past predicts as well (R2 {heldout[f'r2_{own}']:.3f} against {r2:.3f}): "
            "no evidence of coupling between regions"
        )
    if heldout["gain_over_linear"] < -heldout["gain_over_linear_se"]:
        reasons.append(f"ridge VAR predicts better (R2 {heldout['r2_linear']:.3f} against {r2:.3f})")
    return reasons


def _overfit_reasons(evaluation: dict[str, Any]) -> list[str]:
    reasons = []
    ratio = evaluation["training"]["heldout_over_train"]
    if not ratio <= MAX_ERROR_RATIO:
        reasons.append(f"held-out error is {ratio:.1f} times the training error (at most {MAX_ERROR_RATIO:g})")
    stability = evaluation["stability"]["initialisation_r"]
    if stability is not None and not stability >= MIN_INITIALISATION_R:
        reasons.append(
            f"initialisations disagree on the connectivity (r {stability:.2f}, at least {MIN_INITIALISATION_R:g})"
        )
    return reasons


def _dynamics_reasons(free: dict[str, Any], n_regions: int) -> list[str]:
    if free["diverged"]:
        return ["free-running trajectories diverge"]
    half = free.get("references", {}).get("other_half", {}).get("fc_r")
    least = least_free_fc_r(half, n_regions)
    if not free["fc_r"] >= least:
        return [f"free-running FC does not resemble the recording (r {free['fc_r']:.2f}, at least {least:.2f})"]
    return []


def least_free_fc_r(other_half: float | None, n_regions: int) -> float:
    """Agreement of free-running with observed FC that a fit has to reach.

    The FC of a short recording is partly noise, and no model of the brain, only one of the noise, can agree with that
    part. With r between the FC of the halves, that of the whole has the reliability 2 r / (1 + r) (Spearman-Brown), and
    the true system would agree with it by the square root (attenuation). A fit has to reach `MIN_FREE_FC_R` of that,
    and more than chance: a recording whose halves do not agree leaves no other criterion.

    Parameters
    ----------
    other_half : float or None
        FC of one half of the recording against the other; None where there is none: the ceiling is then 1.
    n_regions : int
    """
    reliable = max(0.0, 1.0 if other_half is None else other_half)
    ceiling = math.sqrt(2 * reliable / (1 + reliable))
    chance = CHANCE_SE / math.sqrt(n_regions * (n_regions - 1) / 2)
    return min(MIN_FREE_FC_R, max(chance, MIN_FREE_FC_R * ceiling))


def _sample_reasons(sample: dict[str, Any]) -> list[str]:
    per_region = sample["n_samples"] / sample["n_regions"]
    if per_region < MIN_SAMPLES_PER_REGION:
        return [
            f"{sample['n_samples']} usable samples for {sample['n_regions']} regions (at least "
            f"{MIN_SAMPLES_PER_REGION:g} per region); use a longer scan or a coarser atlas"
        ]
    return []


def scan_warnings(evaluation: dict[str, Any], tr: float) -> list[str]:
    """Warn about the scan itself: filtered signals, few independent samples."""
    warnings = []
    ratio, sample = evaluation["spectrum"]["high_frequency_ratio"], evaluation["sample"]
    if ratio < FILTERED_RATIO:
        third = 1 / (3 * tr)  # two thirds of the Nyquist frequency 1 / (2 tr)
        warnings.append(
            f"The power above {third:.3g} Hz is {ratio:.1e} of that at low frequencies: the signals look "
            "band-passed, low-passed or oversampled, and each frame nearly determines the next. Fit unfiltered "
            "(high-passed only) signals."
        )
    if sample["effective_sample_size"] < sample["n_regions"]:
        warnings.append(
            f"The recording is worth {sample['effective_sample_size']:.0f} independent frames, fewer than its "
            f"{sample['n_regions']} regions: the estimate leans on shrinkage."
        )
    return warnings
