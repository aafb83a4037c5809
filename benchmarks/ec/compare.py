"""Every method on every setting and seed, against the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.ec.cases import Case, prepare_cases, structural_kinds
from benchmarks.ec.clock import timed
from benchmarks.ec.jobs import Job
from benchmarks.ec.methods import Method
from benchmarks.ec.readout import baseline_matrix, surrogate_matrices
from benchmarks.ec.results import Result, Results
from benchmarks.ec.scores import score
from bids_ai.errors import InputError
from bids_ai.surrogate.evaluate_dynamics import evaluate_dynamics
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.selection import AUTO

PART = "compare"
LINEAR_REFERENCE = "ridge-var"
DYNAMICS = ("d_stsp", "d_hellinger", "mse")
Log = Callable[[str], None]


def run_compare(jobs: Sequence[Job], results: Results, series: Path, npi: Path | None, log: Log) -> None:
    """Run what is missing of the jobs, in their order."""
    for job in jobs:
        missing = [seed for seed in range(job.n_seeds) if not _done(results, job, seed)]
        if not missing:
            continue
        log(f"{job.setting.label}: {len(missing)} seeds of {', '.join(method.name for method in job.methods)}")
        for case in prepare_cases(job.plan, job.setting, missing, series, npi):
            for method, structural in job.conditions(list(case.structural)):

                def make(case: Case = case, method: Method = method, structural: str = structural) -> Result:
                    return compare_one(case, method, structural)

                results.get(PART, job.setting.label, _name(case.seed, method, structural), make)


def compare_one(case: Case, method: Method, structural: str) -> Result:
    """Result of one method on one case; a method that cannot be applied says why."""
    row: Result = {
        "system": case.setting.system,
        "frames": case.setting.frames,
        "noise": case.setting.noise,
        "gain": case.setting.gain,
        "seed": case.seed,
        "method": method.name,
        "kind": method.kind,
        "structural": structural,
        "modality": case.modality,
    }
    return row | (_baseline if method.kind == "baseline" else _surrogate)(case, method, structural)


def _name(seed: int, method: Method, structural: str) -> str:
    return f"seed-{seed:03d}_{method.name}_sc-{structural}"


def _done(results: Results, job: Job, seed: int) -> bool:
    """Whether no result is missing."""
    names = [_name(seed, method, kind) for method, kind in job.conditions(structural_kinds(job.setting))]
    return all(results.path(PART, job.setting.label, name).is_file() for name in names)


def _baseline(case: Case, method: Method, structural: str) -> Result:
    try:
        matrix, process_s, wall_s = timed(lambda: baseline_matrix(case, method, structural))
    except InputError as error:
        return {"failed": str(error)}
    scores = score(matrix, case.truth, case.edges, signed=method.signed)
    return {**scores, "process_s": process_s, "wall_s": wall_s, "readout": "matrix"}


def _surrogate(case: Case, method: Method, structural: str) -> Result:
    recording = case.recording(structural)
    (fit,), fit_s, fit_wall_s = timed(lambda: fit_recordings([recording], model=method.name))
    if not isinstance(fit, FittedSurrogate):
        return {"failed": fit.reason}
    matrices, push_s, push_wall_s = timed(lambda: surrogate_matrices(case, fit))
    first, *others = matrices
    row: Result = {
        **score(matrices[first], case.truth, case.edges),
        "process_s": fit_s + push_s,
        "wall_s": fit_wall_s + push_wall_s,
        "readout": first,
        "family": fit.family,
        "order": fit.order,
        "reliable": fit.gate.reliable,
        "heldout_r2": fit.evaluation["heldout"]["r2"],
        "heldout_r2_linear": fit.evaluation["heldout"]["r2_linear"],
        "heldout_r2_persistence": fit.evaluation["heldout"]["r2_persistence"],
    }
    for name in others:
        scores = score(matrices[name], case.truth, case.edges)
        row |= {f"{key}_{name}": value for key, value in scores.items()}
    if case.following is not None and method.name in (AUTO, LINEAR_REFERENCE):
        row |= _dynamics(case, fit, structural)
    return row


def _dynamics(case: Case, fit: FittedSurrogate, structural: str) -> Result:
    """Free-running series and forecasts against the frames that followed the recording."""
    scores = evaluate_dynamics(fit, recording=case.recording(structural, following=True))["model"]
    return {key: scores.get(key) for key in DYNAMICS}
