"""The page of ``bids-ai ec``: the verdict first, then how the model fits, what it answers, and what that is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bids_ai.report.files import write_text_atomic
from bids_ai.report.formatting import format_value
from bids_ai.report.methods import methods_text, render_plain
from bids_ai.report.model import Scalar, SummaryRow, Table
from bids_ai.report.render import link, render
from bids_ai.report.surrogate_tables import KEPT, families_table

FloatArray = npt.NDArray[np.float64]

#: Figure -> title, caption, how to read it, whether it is drawn narrower.
_FIGURES = {
    "fit": (
        "Fit of the surrogate",
        "Prediction of held-out frames against simpler rivals, and functional connectivity (FC) of the free-running "
        "surrogate against the recorded one.",
        "A surrogate that does not beat the prediction of each region from its own past carries no evidence of "
        "coupling between regions. Free-running FC is in-sample: a good match says nothing of direction.",
        True,
    ),
    "ec": (
        "Matrix",
        "Change of the target region (columns) after a push of the source region (rows) in the surrogate.",
        "Red: the target rises; blue: it falls. The diagonal is not defined. Colours end at the 99th percentile: the "
        "arrows of the scale stand for what lies beyond. Dots mark direct coupling with q < .05, where there are "
        "tests; the others, however dark, are noise, or came through other regions. Regions are ordered by hemisphere "
        "and network, unlike ec_relmat.tsv, which has the order of your table.",
        True,
    ),
    "direction": (
        "Direction",
        "Effect from region i to region j against the effect from j to i, one point per pair.",
        "On the line the effects are equal both ways and the matrix says nothing on direction, like a correlation. A "
        "cloud without shape is no proof of direction: noise in the estimates makes one as well.",
        True,
    ),
    "strengths": (
        "Senders and receivers",
        "Regions with the largest sum of absolute effects sent and received, all edges included.",
        "A region of much noise has a large sum as well.",
        False,
    ),
    "glassbrain": (
        "Strongest effects in the brain",
        "The strongest directed effects. Each is broad at its source and pointed at its target.",
        "The side views show effects within one hemisphere, the coronal and axial ones all effects.",
        False,
    ),
}
_BOLD = (
    "On BOLD no method that we know recovers direction from the signals alone: who drives whom is a statement about "
    "the fitted model."
)
GLOSSARY = {
    "surrogate": "a model fitted to the recording that predicts its next frame; it stands in for the brain",
    "push": "the model is started from an observed state with one region raised by one SD, and the others are watched",
    "order, VAR(p)": "number of past frames (lags) that the model reads; the newest lag is the frame just before",
    "held-out": "frames that were left out of the fit; R² is the share of their variance that is predicted",
    "own past": "prediction of each region by itself alone (AR); a model must beat it to tell of coupling",
    "persistence": "prediction that nothing changes; below 0 it is worse than the mean",
    "innovations": "what the model cannot predict; their correlation across regions is FC without any dynamics",
    "free-running": "the model fed with its own predictions and innovations, never seeing the recording again",
    "independent frames": "frames that as many uncorrelated ones would be worth, given how slowly the signals change",
    "q": "p value of direct coupling adjusted for all edges: of the edges with q < .05 about 1 in 20 is false",
}
FAMILIES = {
    "ridge-var": "linear model of all lags of all regions, its coefficients shrunk (ridge)",
    "sc-ridge": "ridge-var that shrinks less where the structural connectivity (SC) has a connection",
    "ou": "linear model in continuous time (Ornstein-Uhlenbeck)",
    "state-space": "linear neural dynamics seen through a haemodynamic response",
    "neural-mass": "reduced Wong-Wang model of each region, coupled by the structural connectivity (SC)",
    "low-rank-rnn": "ridge-var plus a recurrent network of few dimensions",
    "almost-linear": "ridge-var plus a piecewise linear correction",
    "mlp": "ridge-var plus a small feed-forward network",
    "local-nonlinear": "linear coupling, with nonlinear dynamics within each region",
}
MAX_BETWEEN = 12
"""Recordings up to which the correlations between them are shown as a matrix."""


class Outcome(Protocol):
    """What the overview is told of a recording (`bids_ai.stages.ec_jobs.Outcome`)."""

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
    overview: Path | None = None,
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
    overview : Path, optional
        Page over all recordings, to be linked.

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
        edges=_edges(told),
        bold=_BOLD if told["Modality"] == "bold" else "",
        glossary=GLOSSARY | _families_met(told),
        kept=KEPT,
        overview=link(overview, page) if overview else "",
        files=_files(told),
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


def write_overview(
    page: Path,
    outcomes: Sequence[Outcome],
    *,
    command: str,
    version: str,
    between: tuple[Sequence[str], FloatArray] | None = None,
) -> Path:
    """Write the page over several recordings: a row each, with a link, and how alike their EC is.

    Parameters
    ----------
    page : Path
    outcomes : sequence of Outcome
    command, version : str
    between : tuple of (sequence of str, array (n, n)), optional
        Recordings that were fitted, and the correlation of the EC of each with that of each other.

    Returns
    -------
    Path
    """
    digits = (
        *(("n_frames", 0), ("n_regions", 0), ("r2", 3), ("edges_below_q", 0), ("split_half_r", 2), ("free_fc_r", 2)),
        ("self_symmetry", 2),
    )
    rows = [
        {
            "name": outcome.name,
            "href": link(outcome.folder / "ec.html", page) if outcome.status == "fitted" else "",
            "verdict": outcome.verdict if outcome.status == "fitted" else "not fitted",
            "reasons": outcome.reasons,
            "cells": [
                outcome.facts.get("family") or "n/a",
                *(format_value(outcome.facts.get(key), digits=number) for key, number in digits),
            ],
        }
        for outcome in outcomes
    ]
    alike = None if between is None else _between_table(*between)
    html = render("ec_overview.html.j2", rows=rows, command=command, version=version, between=alike)
    return write_text_atomic(page, html)


def _between_table(names: Sequence[str], r: FloatArray) -> Table | None:
    """Matrix of correlations between recordings; of many, the median and range of each with the others."""
    if len(names) < 2 or not np.isfinite(r).any():
        return None
    title = "Effective connectivity between recordings, r"
    note = (
        "Pearson correlation over all edges that two recordings share by the names of their regions. It says how alike "
        "the estimates are, not that they are right: noise in each lowers it (two halves of one recording agree by the "
        "split-half r above), and what recordings share without the brain, such as scanner, slice order and anatomy, "
        "raises it."
    )
    if len(names) <= MAX_BETWEEN:
        rows: list[list[Scalar]] = [
            [name, *(format_value(float(x), digits=2) for x in row)] for name, row in zip(names, r, strict=True)
        ]
        for k, row in enumerate(rows):
            row[k + 1] = "–"
        return Table(title, ["Recording", *names], rows, "between", note)
    summary: list[list[Scalar]] = [
        [name, *(format_value(float(f(row[np.isfinite(row)])), digits=2) for f in (np.median, np.min, np.max))]
        for name, row in zip(names, r, strict=True)
        if np.isfinite(row).any()
    ]
    return Table(title, ["Recording", "Median with the others", "Least", "Largest"], summary, "between", note)


def _sentence(told: Mapping[str, Any]) -> str:
    """Say what was done, in plain words."""
    families = told["Evaluation"]["heldout"].get("families") or []
    how = f", chosen among {len(families)} families by its prediction of held-out frames" if families else ""
    structural = told["StructuralConnectivityNote"]
    return (
        f"A model of the next frame ({told['Model']}{how}) was fitted to {_frames(told)} of "
        f"{told['NumberOfRegions']} regions, {told['SamplingInterval']:g} s apart.{' ' * bool(structural)}{structural} "
        f"Then each region was pushed in the model, and the mean change of every other region over "
        f"{told['HorizonSeconds']:g} s is its effective connectivity (EC)."
    )


def _frames(told: Mapping[str, Any]) -> str:
    usable, all_ = told["NumberOfUsableFrames"], told["NumberOfFrames"]
    return f"{all_} frames" if usable == all_ else f"{usable} usable of {all_} frames"


def _edges(told: Mapping[str, Any]) -> str:
    """Say which order the test of edges has, and what that costs."""
    intervals = told["Intervals"]
    if intervals["EdgesBelowQ"] is None:
        return ""
    order, own = intervals["Order"], told["ModelOrder"]
    why = (
        f"The order is larger than that of the surrogate ({own}), since its oldest lag is significant and leaving it "
        "out would bias the others. "
        if order > own
        else ""
    )
    return (
        f"{intervals['EdgesBelowQ']} of {intervals['EdgesTested']} edges have q < .05, by a VAR({order}) with "
        f"{intervals['SamplesPerCoefficient']:.1f} samples per coefficient. {why}Each lag adds a coefficient per "
        "region, so that the larger the order the fewer edges can be told from chance: the count is of what this "
        "recording can show, not of what there is."
    )


def _facts(told: Mapping[str, Any]) -> list[SummaryRow]:
    held, free = told["Evaluation"]["heldout"], told["Evaluation"]["free_running"]
    sample, repeat, steps = told["Evaluation"]["sample"], told["Repeatability"], told["HorizonSteps"]
    members = f", {told['ModelMembers']} members" if told["ModelMembers"] > 1 else ""
    whole = repeat["WholeRecording"]
    about = f"; about {format_value(whole, digits=2)} for the whole recording" if whole is not None else ""
    used = {None: "none given", True: "used", False: "not used"}[told["StructuralConnectivityUsed"]]
    return [
        _edges_row(told["Intervals"]),
        SummaryRow(
            "Split-half r of the coefficients",
            repeat["SplitHalfR"],
            digits=2,
            note=f"halves of the recording, {repeat['Of']}{about}",
        ),
        SummaryRow("Held-out R² of one step", held["r2"], digits=3, note="share of variance predicted"),
        SummaryRow("The same, each region from its own past", max(held["r2_ar"], held["r2_ar1"]), digits=3),
        SummaryRow(
            "Free-running FC with recorded FC, r",
            free["fc_r"],
            digits=2,
            note=f"the innovations alone give {format_value(free['innovation_fc_r'], digits=2)}; in-sample, no "
            "evidence of direction",
        ),
        SummaryRow(
            "EC with its transpose, r",
            told["SelfSymmetry"],
            digits=2,
            note="1: no direction at all; near 0 is no proof of one, since noise gives that too",
        ),
        SummaryRow("Model", told["Model"], note=f"order {told['ModelOrder']}{members}"),
        SummaryRow("Structural connectivity", used),
        SummaryRow("Horizon", f"{told['HorizonSeconds']:g}", "s", note=f"{steps} step{'s' * (steps != 1)}"),
        SummaryRow("Independent frames", sample["effective_sample_size"], digits=0, note=f"worth of {_frames(told)}"),
        SummaryRow("Regions left out", len(told["RegionsWithoutData"])),
    ]


def _edges_row(intervals: Mapping[str, Any]) -> SummaryRow:
    label = "Edges with q < .05"
    if intervals["EdgesBelowQ"] is None:
        return SummaryRow(label, "no test", note="see: How sure an edge is")
    return SummaryRow(
        label,
        f"{intervals['EdgesBelowQ']} of {intervals['EdgesTested']}",
        note=f"VAR({intervals['Order']}), {intervals['SamplesPerCoefficient']:.1f} samples per coefficient",
    )


def _families_met(told: Mapping[str, Any]) -> dict[str, str]:
    """Explain the families that the page names."""
    met = [told["Model"], *(row["family"] for row in told["Evaluation"]["heldout"].get("families") or [])]
    return {name: meaning for name, meaning in FAMILIES.items() if name in met}


def _files(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name the files beside the page, with what they hold."""
    computed = [entry for entry in told["Baselines"] if entry["Status"] == "computed"]
    return [
        ("ec_relmat.tsv", "the matrix: row = source, column = target"),
        ("ec_intervals.tsv", "per edge: estimate, interval, p, q"),
        ("ec_relmat.json", "all that is said on this page, for programs"),
        ("surrogate.json", "the model and its evaluation"),
        *((entry["File"], entry["Name"]) for entry in computed),
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
