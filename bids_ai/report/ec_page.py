"""The page of ``bids-ai ec``: the verdict first, then how the model fits, what it answers, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from bids_ai.report.files import write_text_atomic
from bids_ai.report.formatting import format_value
from bids_ai.report.methods import methods_text, render_plain
from bids_ai.report.model import SummaryRow, Table
from bids_ai.report.render import link, render
from bids_ai.report.surrogate_tables import families_table

#: Figure -> title, caption, how to read it, whether it is drawn narrower.
_FIGURES = {
    "fit": (
        "Fit of the surrogate",
        "Prediction of held-out frames against simpler rivals, functional connectivity of the free-running surrogate "
        "against the recorded one, and the verdict of the checks.",
        "A surrogate that does not beat the prediction of each region from its own past carries no evidence of "
        "coupling between regions.",
        False,
    ),
    "ec": (
        "Effective connectivity",
        "Change of the target region (columns) after a push of the source region (rows) in the surrogate.",
        "The diagonal is not defined. Red: the target rises; blue: it falls.",
        True,
    ),
    "direction": (
        "Direction",
        "Effect from region i to region j against the effect from j to i, one point per pair.",
        "On the line the effects are equal both ways and the matrix says nothing on direction, like a correlation.",
        True,
    ),
    "strengths": (
        "Senders and receivers",
        "Regions with the largest sum of absolute effects sent and received.",
        "",
        False,
    ),
    "glassbrain": (
        "Strongest effects in the brain",
        "The strongest directed effects. Each is broad at its source and pointed at its target.",
        "The side views show effects within one hemisphere, the coronal and axial ones all effects.",
        False,
    ),
}


class Outcome(Protocol):
    """What the overview is told of a recording (`bids_ai.stages.ec_tables.Outcome`)."""

    @property
    def name(self) -> str:
        """Name of the recording."""
        ...

    @property
    def folder(self) -> Path:
        """Where its results lie."""
        ...

    @property
    def status(self) -> str:
        """``fitted`` or ``failed``."""
        ...

    @property
    def verdict(self) -> str:
        """Of the gate."""
        ...

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is unreliable or failed."""
        ...

    @property
    def facts(self) -> dict[str, Any]:
        """Numbers of the fit."""
        ...


def write_page(
    page: Path,
    told: Mapping[str, Any],
    figures: Mapping[str, Path],
    *,
    name: str,
    steps: Sequence[Mapping[str, Any]],
    version: str,
) -> Path:
    """Write the page of a recording.

    Parameters
    ----------
    page : Path
        HTML to write; figures are linked relative to it.
    told : mapping
        The sidecar of the matrix (``ec_relmat.json``).
    figures : mapping
        Name (see ``_FIGURES``) to the picture.
    name : str
        Of the recording.
    steps : list of dict
        For the methods text, see :func:`bids_ai.report.methods.methods_text`.
    version : str
        Of bids_ai, for the foot of the page.

    Returns
    -------
    Path
        The page, written atomically.
    """
    methods = methods_text(steps)
    html = render(
        "ec.html.j2",
        name=name,
        told=told,
        reliable=told["Gate"]["Verdict"] == "reliable",
        sentence=_sentence(told),
        facts=_facts(told),
        figures={key: _figure(key, path, page) for key, path in figures.items()},
        families=families_table(told["Evaluation"]["heldout"], "Families by held-out prediction"),
        baselines=_baseline_table(told["Baselines"]),
        citations=[entry for entry in told["Baselines"] if entry.get("Citation")],
        lost=_lost_table(told["RegionsWithoutData"]),
        methods=methods,
        methods_plain=render_plain(methods),
        version=version,
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return write_text_atomic(page, html)


def write_overview(page: Path, outcomes: Sequence[Outcome], *, command: str, version: str) -> Path:
    """Write the page over several recordings: a row each, with a link."""
    rows = [
        {
            "name": outcome.name,
            "href": link(outcome.folder / "ec.html", page) if outcome.status == "fitted" else "",
            "verdict": outcome.verdict if outcome.status == "fitted" else "not fitted",
            "reasons": outcome.reasons,
            "cells": [
                outcome.facts.get("family") or "n/a",
                *(
                    format_value(outcome.facts.get(key), digits=digits)
                    for key, digits in (
                        ("n_frames", 0),
                        ("n_regions", 0),
                        ("r2", 3),
                        ("free_fc_r", 2),
                        ("self_symmetry", 2),
                    )
                ),
            ],
        }
        for outcome in outcomes
    ]
    html = render("ec_overview.html.j2", rows=rows, command=command, version=version)
    return write_text_atomic(page, html)


def _sentence(told: Mapping[str, Any]) -> str:
    """Say what was done, in plain words."""
    heldout = told["Evaluation"]["heldout"]
    families = heldout.get("families") or []
    how = f", chosen among {len(families)} families by its prediction of held-out frames," if families else ""
    structural = " The structural connectivity given was at its disposal." if told["StructuralConnectivity"] else ""
    return (
        f"A model of the next frame ({told['Model']}{how}) was fitted to {told['NumberOfFrames']} frames of "
        f"{told['NumberOfRegions']} regions, {told['SamplingInterval']:g} s apart.{structural} Then each region was "
        f"pushed in the model, and the mean change of every other region over {told['HorizonSeconds']:g} s is its "
        "effective connectivity (EC)."
    )


def _facts(told: Mapping[str, Any]) -> list[SummaryRow]:
    held, free = told["Evaluation"]["heldout"], told["Evaluation"]["free_running"]
    sample = told["Evaluation"]["sample"]
    order = f"order {told['ModelOrder']}"
    members = f", {told['ModelMembers']} members" if told["ModelMembers"] > 1 else ""
    return [
        SummaryRow("Model", told["Model"], note=order + members),
        SummaryRow("Held-out R² of one step", held["r2"], digits=3),
        SummaryRow("The same, each region from its own past", held["r2_ar"], digits=3),
        SummaryRow("Free-running with recorded FC, r", free["fc_r"], digits=2),
        SummaryRow("EC with its transpose, r", told["SelfSymmetry"], digits=2, note="near 1: little direction"),
        SummaryRow("Horizon", f"{told['HorizonSeconds']:g}", "s", note=f"{told['HorizonSteps']} step(s)"),
        SummaryRow(
            "Independent frames", sample["effective_sample_size"], digits=0, note=f"of {told['NumberOfFrames']}"
        ),
        SummaryRow("Regions left out", len(told["RegionsWithoutData"])),
    ]


def _figure(key: str, path: Path, page: Path) -> dict[str, Any]:
    title, caption, description, narrow = _FIGURES[key]
    return {
        "id": f"figure-{key}",
        "title": title,
        "name": f"{title}: {path.name}",
        "caption": caption,
        "description": description,
        "layers": {},
        "href": link(path, page),
        "file": path.name,
        "narrow": narrow,
    }


def _baseline_table(baselines: Sequence[Mapping[str, Any]]) -> Table | None:
    if not baselines:
        return None
    columns = ["Baseline", "Directed", "r with the EC", "r with the EC transposed", "r with its own transpose"]
    keys = ("CorrelationWithEC", "CorrelationWithTransposedEC", "SelfSymmetry")
    rows = [
        [entry["Name"], entry["Directed"], *(format_value(entry[key], digits=2) for key in keys)]
        if entry["Status"] == "computed"
        else [entry["Name"], f"not computed: {entry['Reason']}", None, None, None]
        for entry in baselines
    ]
    note = (
        "Pearson correlation over all pairs of regions. An EC that a baseline equals says no more than the baseline; "
        "Granger causality has no sign."
    )
    return Table("Simpler measures beside the EC", columns, rows, "baselines", note)


def _lost_table(lost: Mapping[str, str]) -> Table | None:
    if not lost:
        return None
    return Table("Regions left out", ["Region", "Reason"], [[name, reason] for name, reason in lost.items()])
