"""Write what a fit of a table of signals says: matrix, intervals, model, baselines, figures, page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai import __version__
from bids_ai.bids.files import write_json
from bids_ai.bids.tables import write_relmat, write_table
from bids_ai.errors import InputError
from bids_ai.stages.ec_evidence import (
    Q_LEVEL,
    edge_counts,
    repeatability,
    spectrum_warnings,
    structural_used,
    structural_words,
)
from bids_ai.stages.ec_jobs import Job, Outcome, Settings, horizon_steps_of, order_max_of, origin_of
from bids_ai.stages.ec_words import SHORT_UNITS, edge_words, response_words

if TYPE_CHECKING:
    from bids_ai.effective.inference import EdgeInference
    from bids_ai.surrogate.fitted import FittedSurrogate

TOOL = "bids_ai"
PUSH_SD = 1.0
FIGURES = ("fit", "ec", "direction", "strengths", "glassbrain")


def publish(job: Job, fitted: FittedSurrogate, folder: Path, settings: Settings, *, several: bool) -> Outcome:
    """Write the results of a recording to its folder.

    Parameters
    ----------
    job : Job
    fitted : FittedSurrogate
    folder : Path
    settings : Settings
    several : bool
        Whether there is a page over several recordings, to be linked.
    """
    from bids_ai.effective.inference import edge_inference
    from bids_ai.effective.perturbation import push
    from bids_ai.report.ec_page import write_page
    from bids_ai.surrogate import io

    steps = horizon_steps_of(job.recording, settings.horizon_s)
    matrix = push(fitted, size_sd=PUSH_SD, horizon_steps=steps, device=_device_of(fitted))
    edges = edge_inference(fitted, horizon_steps=steps)
    folder.mkdir(parents=True, exist_ok=True)
    meta = io.save(fitted, folder / "surrogate.safetensors")
    origin = origin_of(job, settings)
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


def _missing_intervals(name: str, edges: EdgeInference) -> tuple[str, ...]:
    """Say among the warnings why there are no intervals, where there are none.

    The advice to take the ridge VAR is for measures beside it; here it was taken.
    """
    if edges.method != "none":
        return ()
    notes = [note.removeprefix(f"{name}: ").replace(", or use the ridge VAR", "") for note in edges.notes]
    return tuple(note if note.startswith("No intervals") else f"No intervals and no tests: {note}" for note in notes)


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
        "ModelOrderMax": order_max_of(job, settings),
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
    from bids_ai.report.figures.connectome import plot_glass_brain, plot_strengths
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
        plot_glass_brain(matrix, job.nodes, paths["glassbrain"], title=title)
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
