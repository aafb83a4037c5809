"""Fit surrogates to many recordings at once; the results do not depend on who else is in the batch."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from bids_ai.errors import InputError
from bids_ai.surrogate.automatic import choose_families
from bids_ai.surrogate.base import Family, FamilyFit, FitSettings
from bids_ai.surrogate.device import memory_budget, resolve_device
from bids_ai.surrogate.evaluate import evaluate, innovation_covariance
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.faults import BATCH_FAULTS, reason
from bids_ai.surrogate.fitted import FailedFit, FittedSurrogate
from bids_ai.surrogate.gate import judge, scan_warnings
from bids_ai.surrogate.options import read_options
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX, Recording
from bids_ai.surrogate.registry import get_family
from bids_ai.surrogate.selection import AUTO
from bids_ai.surrogate.validation import heldout_scores, keeps_nonlinear

LOGGER = logging.getLogger(__name__)
"""Is told at level INFO which family is being fitted, and to how many recordings."""

FitResult = FittedSurrogate | FailedFit

CPU_BATCH_BYTES = 2**26
"""Gram matrices of a batch on a CPU: beyond the caches a larger batch is slower, not faster."""


def fit_recordings(
    recordings: Sequence[Recording],
    *,
    model: str = "ridge-var",
    order_max: int | None = None,
    ensemble: int = 5,
    seed: int = 1,
    device: str = "cpu",
    n_folds: int = 5,
    options: Mapping[str, Any] | None = None,
) -> list[FitResult]:
    """Fit one surrogate per recording.

    Ridge VAR is fitted to every recording. Another family is kept only where its held-out prediction beats
    ridge VAR by more than one standard error (presets such as "npi-mlp" are kept as they are, and judged).

    Parameters
    ----------
    recordings : sequence of Recording
        Unique names; any lengths and numbers of regions.
    model : str, default="ridge-var"
        Name of a family in the registry, or "auto": all families of `selection.candidates`, of which each recording
        keeps the one that predicts held-out frames best.
    order_max : int, optional
        Largest number of lags; default that of the modality of each recording (`DEFAULT_ORDER_MAX`).
    ensemble : int, default=5
        Initialisations of a family that has any.
    seed : int, default=1
        Seeds derive from (seed, name of the recording, initialisation).
    device : {"cpu", "auto", "cuda"}
    n_folds : int, default=5
        Contiguous blocks of the validation.
    options : mapping, optional
        Options of the family.

    Returns
    -------
    list of FittedSurrogate or FailedFit
        In the order of the recordings. A recording that cannot be fitted does not stop the others.

    Raises
    ------
    InputError
        For settings that no recording could be fitted with.
    """
    settings = FitSettings(ensemble, seed, resolve_device(device), _family_options(model, options or {}))
    _check_settings(recordings, settings, order_max, n_folds)
    if model != AUTO and order_max is not None and order_max < (least := get_family(model).min_order):
        raise InputError(f"{model} reads {least} lags: order_max must be at least that, got {order_max}.")
    results: dict[str, FitResult] = {}
    groups: dict[tuple[int, int], list[PreparedRecording]] = defaultdict(list)
    for recording in recordings:
        try:
            prepared = prepare(recording, order_max or DEFAULT_ORDER_MAX[recording.modality], n_folds)
        except InputError as error:
            results[recording.name] = FailedFit(recording.name, str(error))
        else:
            groups[prepared.n_regions, prepared.order_max].append(prepared)
    for group in groups.values():
        for chunk in _chunks(group, settings.device):
            results.update(_fit_chunk(chunk, model, settings))
    return [results[recording.name] for recording in recordings]


def _family_options(model: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    if model == AUTO:
        return read_options(options, {}, AUTO)
    family = get_family(model)
    return read_options(options, family.defaults, family.name)


def _check_settings(
    recordings: Sequence[Recording], settings: FitSettings, order_max: int | None, n_folds: int
) -> None:
    names = [recording.name for recording in recordings]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"Recordings need unique names, since seeds derive from them; repeated: {twice[:3]}.")
    for label, value, least in (
        ("order_max", 1 if order_max is None else order_max, 1),
        ("ensemble", settings.ensemble, 1),
        ("n_folds", n_folds, 3),
        ("seed", settings.seed, 0),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{label} must be an integer of at least {least}, got {value!r}.")


def _chunks(group: list[PreparedRecording], device: torch.device) -> Iterator[list[PreparedRecording]]:
    """Batches whose Gram matrices and eigenvectors fit the memory."""
    largest = max(group, key=lambda item: item.n_samples)
    width = largest.order_max * largest.n_regions
    # Per fold: Grams of training, test and margins, eigenvectors, and two products of their size.
    per_recording = 8 * (6 * len(largest.folds) * width**2 + 3 * largest.n_samples * width)
    budget = memory_budget(device) if device.type == "cuda" else CPU_BATCH_BYTES
    size = max(1, budget // per_recording)
    for start in range(0, len(group), size):
        yield group[start : start + size]


def _fit_chunk(chunk: list[PreparedRecording], model: str, settings: FitSettings) -> dict[str, FitResult]:
    """Fit a batch; where it fails, its halves: the faulty recording is found and named, and memory suffices."""
    try:
        linear = fit_ridge(chunk, settings)
        if model == AUTO:
            return _fit_auto(chunk, linear, settings)
        family = get_family(model)
        LOGGER.info("fitting %s (%d recording(s))", family.name, len(chunk))
        fits = family.fit(chunk, linear, settings)
        triples = list(zip(chunk, fits, linear, strict=True))
        return {rec.name: _finish_one(rec, fit, base, family, settings) for rec, fit, base in triples}
    except BATCH_FAULTS as error:
        if len(chunk) == 1:
            return {chunk[0].name: FailedFit(chunk[0].name, reason(error))}
    half = len(chunk) // 2
    return _fit_chunk(chunk[:half], model, settings) | _fit_chunk(chunk[half:], model, settings)


def _fit_auto(chunk: list[PreparedRecording], linear: list[FamilyFit], settings: FitSettings) -> dict[str, FitResult]:
    """Keep one family per recording."""
    results: dict[str, FitResult] = {}
    for recording, base, choice in zip(chunk, linear, choose_families(chunk, linear, settings), strict=True):
        chosen, warnings = choice.candidate, [*recording.warnings, *choice.faults]
        results[recording.name] = _finish(
            recording, chosen.fit, base, chosen.family, AUTO, choice.scores, warnings, settings
        )
    return results


def _finish_one(
    recording: PreparedRecording,
    fit: FamilyFit,
    linear: FamilyFit,
    family: Family,
    settings: FitSettings,
) -> FittedSurrogate:
    """Decide between a family that was asked for and ridge VAR."""
    warnings = list(recording.warnings)
    scores = heldout_scores(recording, fit, linear)
    chosen, name = fit, family.name
    if family.fallback_to_linear and not keeps_nonlinear(scores):
        gain, error = scores["gain_over_linear"], scores["gain_over_linear_se"]
        # Exactly zero: training stopped at the linear start in every fold.
        found = f"held-out gain in R2 {gain:.4f}, standard error {error:.4f}" if error else "no training step helped"
        warnings.append(
            f"{family.name} does not predict better than ridge VAR ({found}): the linear model is returned."
        )
        rejected = {"family": family.name, **{k: v for k, v in scores.items() if k != "r2_region"}}
        chosen, name, scores = linear, "ridge-var", heldout_scores(recording, linear, linear)
        scores["rejected"] = rejected
    return _finish(recording, chosen, linear, name, family.name, scores, warnings, settings)


def _finish(
    recording: PreparedRecording,
    chosen: FamilyFit,
    linear: FamilyFit,
    name: str,
    requested: str,
    scores: dict[str, Any],
    warnings: list[str],
    settings: FitSettings,
) -> FittedSurrogate:
    """Evaluate and judge."""
    evaluation = evaluate(recording, chosen, scores, settings.seed, settings.device, linear)
    evaluation["stability"]["linear_split_half_r"] = linear.split_half_r
    tr = recording.recording.tr
    return FittedSurrogate(
        name=recording.name,
        family=name,
        requested=requested,
        models=chosen.models,
        scaler=recording.scaler,
        regions=recording.recording.regions,
        kept=recording.kept,
        excluded=recording.excluded,
        tr=tr,
        order=chosen.order,
        penalty=chosen.penalty,
        selection=chosen.selection,
        evaluation=evaluation,
        gate=judge(evaluation, tr),
        seed=settings.seed,
        device=str(settings.device),
        warnings=(*warnings, *scan_warnings(evaluation, tr)),
        innovation_cov=innovation_covariance(recording, chosen),
        series=recording.series,
        targets=recording.targets,
    )
