"""Effective connectivity of tables of signals: one batch of fits, and a folder of results for each table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai import __version__
from bids_ai.bids.files import read_json, write_json
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.errors import InputError
from bids_ai.stages.ec_evidence import (
    Q_LEVEL,
    between_recordings,
    edge_counts,
    repeatability,
    spectrum_warnings,
    structural_used,
    structural_words,
)
from bids_ai.stages.ec_words import SHORT_UNITS, edge_words, response_words
from bids_ai.stages.sidecars import versions

if TYPE_CHECKING:
    import pandas as pd

    from bids_ai.effective.inference import EdgeInference
    from bids_ai.surrogate.fit import FitResult
    from bids_ai.surrogate.fitted import FittedSurrogate
    from bids_ai.surrogate.recording import Recording

RUN_FILE = "ec_run.json"
"""What a run leaves in its output folder: by it a folder is known as ours."""
TOOL = "bids_ai"
DEFAULT_HORIZON_S = {"bold": None, "eeg": 0.1, "ieeg": 0.1}
"""Seconds over which the response is read; None is one sampling interval."""
PUSH_SD = 1.0
FIGURES = ("fit", "ec", "direction", "strengths", "glassbrain")
OUTPUTS = (
    *("ec_relmat.tsv", "ec_relmat.json", "ec_intervals.tsv", "ec_intervals.json", "surrogate.safetensors"),
    *("surrogate.json", "ec.html", "baseline-*_relmat.tsv", "baseline-*_relmat.json"),
    *(f"figures/{name}.svg" for name in FIGURES),
)
"""Files of a recording, and the page over several."""


@dataclass(frozen=True)
class Job:
    """One table of signals.

    Parameters
    ----------
    recording : Recording
    sources : tuple of Path
        Files it comes from; named with their SHA-256 in the sidecar.
    nodes : pandas.DataFrame
        Node table in the order of the regions.
    notes, warnings : tuple of str
        How it was read, and what speaks against it; for the sidecar and the page.
    model : str, optional
        Fitted in place of that of the settings.
    """

    recording: Recording
    sources: tuple[Path, ...]
    nodes: pd.DataFrame
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Settings:
    """How all tables of a run are worked on; None for `horizon_s` or `order_max` is the default of the modality."""

    out_dir: Path
    model: str = "auto"
    horizon_s: float | None = None
    seed: int = 1
    device: str = "auto"
    ensemble: int = 5
    order_max: int | None = None
    baselines: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a table: ``fitted`` with the verdict of the gate and its reasons, or ``failed`` with the reason."""

    name: str
    folder: Path
    status: str
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    matrix: np.ndarray | None = None
    regions: tuple[str, ...] = ()


def run(jobs: Sequence[Job], settings: Settings, tell: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Fit all tables in one batch and write the results.

    Parameters
    ----------
    jobs : sequence of Job
        Recordings of different names. The results of several go to folders of their names, those of one to the output
        folder itself.
    settings : Settings
    tell : callable
        Is told what is being done.

    Returns
    -------
    list of Outcome
        In the order of the jobs.
    """
    from bids_ai.report.ec_page import write_overview
    from bids_ai.surrogate.fitted import FailedFit

    clear(settings.out_dir)
    outcomes = [
        _planned(job, settings.out_dir if len(jobs) == 1 else settings.out_dir / job.recording.name) for job in jobs
    ]
    _write_run(settings, "running", outcomes)
    results = _fit(jobs, settings, tell)
    for k, (job, result) in enumerate(zip(jobs, results, strict=True)):
        folder = outcomes[k].folder
        if isinstance(result, FailedFit):
            write_json(
                folder / "surrogate.json", {"Status": "failed", "Reason": result.reason} | _origin(job, settings)
            )
            outcomes[k] = Outcome(job.recording.name, folder, "failed", reasons=(result.reason,))
        else:
            tell(f"{job.recording.name}: reading the responses of {result.family}")
            outcomes[k] = _publish(job, result, folder, settings, several=len(jobs) > 1)
        _write_run(settings, "running", outcomes)
    if len(jobs) > 1:
        write_overview(
            settings.out_dir / "ec.html",
            outcomes,
            command=settings.command,
            version=__version__,
            between=_between(outcomes),
        )
    _write_run(settings, "done", outcomes)
    return outcomes


def _fit(jobs: Sequence[Job], settings: Settings, tell: Callable[[str], None]) -> list[FitResult]:
    """Fit all jobs, those of a model in one batch; in their order."""
    from bids_ai.surrogate.fit import fit_recordings

    found: dict[str, FitResult] = {}
    models = [job.model or settings.model for job in jobs]
    for model in dict.fromkeys(models):
        batch = [job.recording for job, own in zip(jobs, models, strict=True) if own == model]
        tell(f"fitting {len(batch)} recording{'s' * (len(batch) > 1)} with {model}")
        fits = fit_recordings(
            batch,
            model=model,
            order_max=settings.order_max,
            ensemble=settings.ensemble,
            seed=settings.seed,
            device=settings.device,
        )
        found |= {recording.name: fit for recording, fit in zip(batch, fits, strict=True)}
    return [found[job.recording.name] for job in jobs]


def _between(outcomes: Sequence[Outcome]) -> tuple[list[str], np.ndarray]:
    """Correlation of the effective connectivity of each recording with that of each other."""
    fitted = [outcome for outcome in outcomes if outcome.matrix is not None]
    return between_recordings(
        {outcome.name: outcome.matrix for outcome in fitted if outcome.matrix is not None},
        {outcome.name: outcome.regions for outcome in fitted},
    )


def made_here(folder: Path) -> bool:
    """Whether a folder holds results of this command."""
    try:
        content = read_json(folder / RUN_FILE)
        return bool(content["GeneratedBy"]["Name"] == TOOL)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def clear(folder: Path) -> None:
    """Remove what an earlier run of this command wrote; files by other names stay."""
    if not made_here(folder):
        return
    root = folder.resolve()
    recorded = [str(entry.get("Name", "")) for entry in read_json(folder / RUN_FILE).get("Recordings", [])]
    for place in (root, *(root / name for name in recorded if name == Path(name).name)):
        for pattern in OUTPUTS:
            for path in place.glob(pattern):
                path.unlink()
        for emptied in (place / "figures", place):
            if emptied != root and emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()


def _planned(job: Job, folder: Path) -> Outcome:
    return Outcome(job.recording.name, folder, "running")


def _write_run(settings: Settings, status: str, outcomes: Sequence[Outcome]) -> None:
    """Write what is run, so that a later run can tell our files from those of the user."""
    content = {
        "GeneratedBy": {"Name": TOOL, "Version": __version__},
        "Status": status,
        "Command": settings.command,
        "Recordings": [
            {
                "Name": outcome.name,
                "Status": outcome.status,
                "Gate": outcome.verdict or None,
                "Reasons": list(outcome.reasons),
            }
            for outcome in outcomes
        ],
    }
    write_json(settings.out_dir / RUN_FILE, content)


# ---- one recording


def _publish(job: Job, fitted: FittedSurrogate, folder: Path, settings: Settings, *, several: bool) -> Outcome:
    from bids_ai.effective.inference import edge_inference
    from bids_ai.effective.perturbation import push
    from bids_ai.report.ec_page import write_page
    from bids_ai.surrogate import io

    steps = _horizon_steps(job.recording, settings.horizon_s)
    matrix = push(fitted, size_sd=PUSH_SD, horizon_steps=steps, device=_device_of(fitted))
    edges = edge_inference(fitted, horizon_steps=steps)
    folder.mkdir(parents=True, exist_ok=True)
    meta = io.save(fitted, folder / "surrogate.safetensors")
    origin = _origin(job, settings)
    write_json(folder / "surrogate.json", {"Status": "fitted", "Fit": meta} | origin)
    baselines = _baselines(job, matrix, folder, settings, origin)
    warnings = (
        *fitted.warnings,
        *spectrum_warnings(fitted, job.recording),
        *_missing_intervals(job.recording.name, edges),
    )
    sidecar = _sidecar(job, fitted, matrix, edges, steps, warnings, settings)
    sidecar |= {"Baselines": baselines, "Evaluation": meta["evaluation"]} | origin
    _write_intervals(folder, edges, list(fitted.regions), sidecar)
    figures = _figures(job, fitted, matrix, edges, folder / "figures", sidecar)
    write_relmat(folder / "ec_relmat.tsv", matrix, list(fitted.regions), sidecar)
    write_page(
        folder / "ec.html",
        sidecar,
        figures,
        name=job.recording.name,
        steps=_methods(fitted, sidecar, settings),
        version=__version__,
        overview=settings.out_dir / "ec.html" if several else None,
    )
    held, free = fitted.evaluation["heldout"], fitted.evaluation["free_running"]
    return Outcome(
        job.recording.name,
        folder,
        "fitted",
        verdict=fitted.gate.verdict,
        reasons=fitted.gate.reasons,
        warnings=warnings,
        matrix=matrix,
        regions=job.recording.regions,
        facts={
            "edges": edge_words(sidecar["Intervals"]),
            "edges_below_q": sidecar["Intervals"]["EdgesBelowQ"],
            "split_half_r": sidecar["Repeatability"]["SplitHalfR"],
            "split_half_of": sidecar["Repeatability"]["Of"],
            "family": fitted.family,
            "n_regions": int(fitted.kept.sum()),
            "n_frames": job.recording.n_frames,
            "r2": held["r2"],
            "free_fc_r": free["fc_r"],
            "self_symmetry": sidecar["Symmetry"]["self_symmetry"],
        },
    )


def _device_of(fitted: FittedSurrogate) -> str:
    return "cuda" if fitted.device.startswith("cuda") else "cpu"


def default_horizon_s(modality: str, tr: float) -> float:
    """Seconds over which the response is read by default."""
    return DEFAULT_HORIZON_S[modality] or tr


def _order_max(job: Job, settings: Settings) -> int:
    """Largest number of lags that was tried."""
    from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX

    return settings.order_max or DEFAULT_ORDER_MAX[job.recording.modality]


def _horizon_steps(recording: Recording, horizon_s: float | None) -> int:
    from bids_ai.effective.perturbation import horizon_steps

    return horizon_steps(horizon_s or default_horizon_s(recording.modality, recording.tr), recording.tr)


def horizon_notes(recording: Recording, horizon_s: float | None) -> list[str]:
    """Say so where the sampling does not allow the horizon that was asked for, or the default one."""
    wanted = horizon_s or default_horizon_s(recording.modality, recording.tr)
    got = _horizon_steps(recording, horizon_s) * recording.tr
    if abs(got - wanted) <= 0.01 * wanted:
        return []
    return [
        f"The horizon is {got:g} s instead of {wanted:g} s: whole steps of the sampling interval of "
        f"{recording.tr:g} s, and one at least."
    ]


def _missing_intervals(name: str, edges: EdgeInference) -> tuple[str, ...]:
    """Say among the warnings why there are no intervals, where there are none.

    The advice to take the ridge VAR is for measures beside it; here it was taken.
    """
    if edges.method != "none":
        return ()
    notes = [note.removeprefix(f"{name}: ").replace(", or use the ridge VAR", "") for note in edges.notes]
    return tuple(note if note.startswith("No intervals") else f"No intervals and no tests: {note}" for note in notes)


def _origin(job: Job, settings: Settings) -> dict[str, Any]:
    return {
        "Sources": [{"File": path.name, "SHA256": _sha256(path)} for path in job.sources],
        "RandomSeed": settings.seed,
        "PackageVersions": versions("torch", "numpy"),
        "Command": settings.command,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _sidecar(
    job: Job,
    fitted: FittedSurrogate,
    matrix: np.ndarray,
    edges: EdgeInference,
    steps: int,
    warnings: Sequence[str],
    settings: Settings,
) -> dict[str, Any]:
    from bids_ai.effective.symmetry import describe
    from bids_ai.surrogate.usable import usable_frames

    symmetry, used = dict(describe(matrix)), structural_used(fitted, job.recording)
    return {
        "RelationshipMeasure": "effective connectivity (push)",
        "Directed": True,
        "Status": "fitted",
        **response_words(fitted),
        "PushSize": PUSH_SD,
        "HorizonSteps": steps,
        "HorizonSeconds": steps * fitted.tr,
        "Model": fitted.family,
        "ModelRequested": fitted.requested,
        "ModelOrder": fitted.order,
        "ModelOrderMax": _order_max(job, settings),
        "ModelMembers": len(fitted.models),
        "StructuralConnectivity": job.recording.structural is not None,
        "StructuralConnectivityUsed": used,
        "StructuralConnectivityNote": structural_words(fitted, used),
        "Gate": {"Verdict": fitted.gate.verdict, "Reasons": list(fitted.gate.reasons)},
        "Warnings": [*job.warnings, *warnings],
        "Notes": list(job.notes),
        "Selection": fitted.evaluation["heldout"].get("families"),
        "Symmetry": symmetry,
        "SelfSymmetry": symmetry["self_symmetry"],
        "Intervals": {
            "File": "ec_intervals.tsv",
            "Method": edges.method,
            "Level": edges.level,
            **edge_counts(fitted, edges),
            "Notes": [] if edges.method == "none" else list(edges.notes),
        },
        "Repeatability": repeatability(fitted),
        "Modality": job.recording.modality,
        "SamplingInterval": fitted.tr,
        "NumberOfFrames": job.recording.n_frames,
        "NumberOfUsableFrames": int(usable_frames(fitted.series).sum()),
        "NumberOfRegions": len(fitted.regions),
        "RegionsWithoutData": dict(fitted.excluded),
        "Device": fitted.device,
    }


def _write_intervals(folder: Path, edges: EdgeInference, names: list[str], sidecar: dict[str, Any]) -> None:
    import pandas as pd

    off = ~np.eye(len(names), dtype=bool)
    source, target = np.nonzero(off)
    columns = {key: getattr(edges, key)[off] for key in ("estimate", "lower", "upper", "p", "q")}
    named = np.array(names, dtype=object)
    table = pd.DataFrame({"source": named[source], "target": named[target]} | columns)
    write_table(folder / "ec_intervals.tsv", table)
    response = f"mean response over {edges.horizon_steps} step(s), {sidecar['MeasureUnits']}"
    least_squares = " of a VAR fitted by least squares, without the bias of the surrogate in ec_relmat.tsv"
    about = {
        "source": {"Description": "region that is pushed"},
        "target": {"Description": "region whose response is read"},
        "estimate": {"Description": response + (least_squares if edges.method == "least-squares" else "")},
        "lower": {"Description": f"lower end of the {edges.level:.0%} interval of the response, for each edge alone"},
        "upper": {"Description": f"upper end of the {edges.level:.0%} interval of the response, for each edge alone"},
        "p": {"Description": "of no direct coupling: all lags of the source are zero in the equation of the target"},
        "q": {"Description": "p adjusted for the false discovery rate over all edges (Benjamini & Hochberg)"},
    }
    write_json(folder / "ec_intervals.json", about | {"Method": edges.method, "Notes": list(edges.notes)})


def _baselines(
    job: Job, matrix: np.ndarray, folder: Path, settings: Settings, origin: dict[str, Any]
) -> list[dict[str, Any]]:
    """Write the baselines, and return how each agrees with the EC; one that cannot be computed says why."""
    from bids_ai.effective.baselines.registry import get_baseline
    from bids_ai.effective.symmetry import compare_with_truth, describe

    found = []
    for name in settings.baselines:
        baseline = get_baseline(name)
        entry: dict[str, Any] = {"Name": name, "Label": baseline.label, "Citation": baseline.citation}
        try:
            other = baseline.estimate(job.recording)
        except (InputError, ArithmeticError, np.linalg.LinAlgError) as error:
            found.append(entry | {"Status": "failed", "Reason": str(error)})
            continue
        agreement, symmetry = compare_with_truth(other, matrix), describe(other)
        path = folder / f"baseline-{baseline.label}_relmat.tsv"
        entry |= {
            "Status": "computed",
            "File": path.name,
            "Directed": baseline.directed,
            "Units": baseline.units,
            "CorrelationWithEC": agreement["r"],
            "CorrelationWithTransposedEC": agreement["r_transposed"],
            "SelfSymmetry": symmetry["self_symmetry"],
        }
        meta = {
            "RelationshipMeasure": name,
            "Directed": baseline.directed,
            "MeasureUnits": baseline.units,
            "Citation": baseline.citation,
            "Symmetry": symmetry,
        }
        write_relmat(path, other, list(job.recording.regions), meta | origin)
        found.append(entry)
    return found


def _figures(
    job: Job,
    fitted: FittedSurrogate,
    matrix: np.ndarray,
    edges: EdgeInference,
    folder: Path,
    sidecar: dict[str, Any],
) -> dict[str, Path]:
    """Draw the figures and return those that were."""
    from bids_ai.connectome.functional import pearson
    from bids_ai.report.figures.connectome import plot_glass_brain_directed, plot_strengths
    from bids_ai.report.figures.matrices import plot_relmat
    from bids_ai.report.figures.surrogate import plot_ec_direction, plot_surrogate_fit

    paths = {name: folder / f"{name}.svg" for name in FIGURES}
    units, title = sidecar["MeasureUnits"], "Effective connectivity"
    simulated = fitted.simulate(max(1000, len(fitted.series)))[0]
    plot_surrogate_fit(
        fitted.evaluation,
        pearson(fitted.series),
        pearson(simulated) if np.isfinite(simulated).all() else None,
        paths["fit"],
        model=fitted.family,
        verdict=False,
    )
    marks = edges.q < Q_LEVEL if sidecar["Intervals"]["EdgesTested"] else None
    plot_relmat(matrix, job.nodes, paths["ec"], title="", label=units, directed=True, marks=marks, marked="q < .05")
    unit = SHORT_UNITS[units]
    plot_ec_direction(matrix, paths["direction"], label=f"Effect ({unit})", title="")
    plot_strengths(matrix, job.nodes, paths["strengths"], label=f"Sum of absolute effects ({unit})")
    if job.nodes[["x", "y", "z"]].notna().all(axis=1).any():
        plot_glass_brain_directed(matrix, job.nodes, paths["glassbrain"], title=title)
    else:
        del paths["glassbrain"]
    return paths


def _methods(fitted: FittedSurrogate, sidecar: dict[str, Any], settings: Settings) -> list[dict[str, Any]]:
    from bids_ai.stages.ec_words import acts_on_neural_states
    from bids_ai.stages.methods import model_steps

    used = sidecar["StructuralConnectivityUsed"]
    # An sc-ridge without contrast is a ridge VAR, and is described as one.
    family = "ridge-var" if fitted.family == "sc-ridge" and not used else fitted.family
    steps: list[dict[str, Any]] = [
        {"step": "ec_tables", "parameters": {"seed": settings.seed}, "tool": "bids_ai", "version": __version__},
        *model_steps(
            family,
            fitted.requested,
            len(fitted.models),
            sidecar["ModelOrderMax"],
            fitted.evaluation["heldout"],
        ),
    ]
    if used is False:
        steps.append({"step": "structural_unused", "parameters": {}})
    kind = (
        "neural" if acts_on_neural_states(fitted) else "haemodynamic" if sidecar["Modality"] == "bold" else "electric"
    )
    step = {"neural": "perturbation_neural", "haemodynamic": "perturbation", "electric": "perturbation_electric"}[kind]
    horizon = f"{sidecar['HorizonSeconds']:g}"
    steps.append({"step": step, "parameters": {"push_sd": PUSH_SD, "horizon_s": horizon}})
    if sidecar["Intervals"]["Method"] == "least-squares":
        counted = {key: sidecar["Intervals"][key] for key in ("Order", "EdgesTested", "EdgesBelowQ")}
        steps.append(
            {
                "step": "edge_intervals",
                "parameters": {
                    "order": counted["Order"],
                    "tested": counted["EdgesTested"],
                    "below": counted["EdgesBelowQ"],
                },
            }
        )
    return steps
