"""The page of the documentation: a template with the tables of a run."""

from __future__ import annotations

import platform
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pandas as pd
import scipy
import torch

from benchmarks.ec.cases import modality_of, structural_kinds, target_of
from benchmarks.ec.figures import write_figures
from benchmarks.ec.goals import goals
from benchmarks.ec.jobs import plan_jobs
from benchmarks.ec.markdown import table
from benchmarks.ec.methods import all_methods
from benchmarks.ec.page_checks import (
    calibration_table,
    linear_choice_table,
    nonlinear_choice_table,
    reference_table,
    timing_table,
)
from benchmarks.ec.page_methods import margins, overview, per_system, systems_in, variations
from benchmarks.ec.results import Results
from benchmarks.ec.settings import FULL, LONG_FRAMES, NPI_DATA, Setting, plans
from benchmarks.ec.tables import KEYS
from bids_ai.report.files import write_text_atomic
from bids_ai.simulate.systems.registry import SYSTEMS, get_system

TEMPLATE = Path(__file__).with_name("page_template.md")


def write_page(results: pd.DataFrame, store: Results, page: Path) -> Path:
    """Write the page and its figures, in a folder `figures` beside it."""
    figures = write_figures(results, page.parent / "figures")
    parts = {
        "what_was_run": what_was_run(results),
        "goals": goals(results, store),
        "overview": overview(results),
        "systems": systems_table(),
        "per_system": per_system(results),
        "margins": margins(results),
        "variations": variations(results),
        "linear_choice": linear_choice_table(results),
        "nonlinear_choice": nonlinear_choice_table(results),
        "calibration": calibration_table(store),
        "timing": timing_table(store),
        "references": reference_table(store),
    }
    text = Template(TEMPLATE.read_text(encoding="utf-8")).substitute(parts)
    drawn = {path.name for path in figures}
    lines = [line for line in text.splitlines() if not line.startswith("![") or _figure_of(line) in drawn]
    return write_text_atomic(page, "\n".join(lines).rstrip() + "\n")


def _figure_of(line: str) -> str:
    return line.rsplit("/", 1)[-1].rstrip(")")


def what_was_run(results: pd.DataFrame) -> str:
    """Systems, methods and versions of a run, and methods that could not be applied."""
    libraries = ", ".join(f"{library.__name__} {library.__version__}" for library in (np, scipy, torch))
    versions = f"Python {platform.python_version()}, {libraries}"
    if results.empty:
        return f"Nothing was compared. {versions}."
    methods = list(dict.fromkeys(results["method"]))
    systems = systems_in(results)
    hours = results["process_s"].sum() / 3600
    lines = [
        f"This run: {len(results)} fits of {len(methods)} methods on {len(systems)} systems, {hours:.1f} h of the "
        f"process. {versions}.",
    ]
    planned = planned_fits()
    done = set(results[KEYS].itertuples(index=False, name=None))
    if missing := planned - done:
        lines.append(
            f"**{len(missing)} of the {len(planned)} fits of the default plan are not in it yet**; `n` and `seeds` "
            "count what there is."
        )
    absent = [name for name in SYSTEMS if name not in systems]
    if absent:
        lines.append(f"Not run: {', '.join(f'`{name}`' for name in absent)}.")
    if "failed" in results and (failed := results[results["failed"].notna()]).size:
        named = (failed["method"] + "` on `" + failed["system"]).value_counts(sort=False)
        cells = [f"`{label}` ({count})" for label, count in named.items()]
        lines.append(f"Could not be applied: {'; '.join(cells)}.")
    lines.append(
        f"Trained families are run on fewer seeds of recordings above {LONG_FRAMES} frames, the less usual ones not at "
        "all there, unless by `--exhaustive`."
    )
    return "\n".join(lines)


def planned_fits() -> set[tuple[Any, ...]]:
    """Fits of the default plan, by the keys of the table."""
    jobs = plan_jobs(plans(False, None, None, FULL[NPI_DATA].seeds), all_methods(), exhaustive=False)
    kinds = {job.setting: structural_kinds(job.setting) for job in jobs}
    return {
        (job.setting.system, job.setting.frames, job.setting.noise, job.setting.gain, seed, method.name, structural)
        for job in jobs
        for seed in range(job.n_seeds)
        for method, structural in job.conditions(kinds[job.setting])
    }


def systems_table() -> str:
    """Base setting, push and window of every system."""
    lines = []
    for name, plan in plans(False, None, None, 1).items():
        if name == NPI_DATA:
            lines.append(
                [f"`{name}`", "20", str(plan.base.frames), "1 s", "BOLD", "state + 1", "1 s, as released", "no"]
            )
            continue
        system = get_system(name, 0)
        push, target = system.push, target_of(system)
        kind = "BOLD" if modality_of(system.interval_s) == "bold" else "EEG"
        how = f"state + {push.size:g}" if push.duration_s == 0 else f"input + {push.size:g} for {push.duration_s:g} s"
        window = f"{target.horizon_steps} frame{'s' * (target.horizon_steps > 1)}, to {target.window_s:g} s"
        has = "yes" if structural_kinds(Setting(name, plan.base.frames)) else "no"
        cells = [f"`{name}`", str(system.n_regions), str(plan.base.frames), f"{system.interval_s:g} s", kind]
        lines.append([*cells, how, window, has])
    return table(
        ["system", "regions", "frames (base)", "interval", "given as", "push", "window of the truth", "SC"], lines
    )
