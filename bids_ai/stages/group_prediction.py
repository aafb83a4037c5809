"""Responses of each patient predicted from the other patients, out of what the participant level left."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bids_ai.bids.files import read_json, write_json
from bids_ai.bids.names import PATTERNS, sidecar
from bids_ai.bids.tables import read_table, write_table
from bids_ai.errors import InputError
from bids_ai.report.group_record import GroupFigure, GroupSection, LinkedFile
from bids_ai.report.model import SummaryRow
from bids_ai.stages.group_inputs import GroupAtlas
from bids_ai.stages.group_tables import GroupRun
from bids_ai.stages.sidecars import versions
from bids_ai.stages.summary_prediction import score_tables_of

if TYPE_CHECKING:
    from bids_ai.ccep.scoring.recorded import Recorded

#: With fewer there is no other patient to learn from.
_MIN_PATIENTS = 2
_AMPLITUDE = "rms_uv"


@dataclass
class GroupPrediction:
    """What was made: files, sections of the page, and what to tell."""

    files: list[Path] = field(default_factory=list)
    sections: list[GroupSection] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def write_group_prediction(run: GroupRun, atlases: list[GroupAtlas]) -> GroupPrediction:
    """Predict and score every atlas in which several patients have compared responses.

    Parameters
    ----------
    run : GroupRun
    atlases : list of GroupAtlas

    Returns
    -------
    GroupPrediction
    """
    made = GroupPrediction()
    for atlas in atlases:
        names = [str(name) for name in atlas.nodes["name"]]
        patients: dict[str, tuple[Path, Recorded]] = {}
        for subject, paths in _comparisons(run, atlas.label).items():
            try:
                found = [(path, _recorded(path, subject, names)) for path in paths]
            except (InputError, KeyError) as error:
                made.warnings.append(f"{subject}: not in the prediction of patients: {error}")
                continue
            found.sort(key=lambda one: -one[1].layout.shape[0])
            patients[subject] = found[0]
            made.warnings += [
                f"{path.name}: not in the prediction of patients, {subject} has another recording with as many sites."
                for path, _ in found[1:]
            ]
        if len(patients) >= _MIN_PATIENTS:
            _write(run, atlas, patients, made)
    return made


def _comparisons(run: GroupRun, atlas: str) -> dict[str, list[Path]]:
    pattern = PATTERNS["ccep_comparison"].format(ieeg="*", atlas=atlas)
    found: dict[str, list[Path]] = {}
    for subject in run.subjects:
        paths = sorted(run.output_dir.glob(f"{subject}/**/ieeg/{pattern}"))
        if paths:
            found[subject] = paths
    return found


def _recorded(path: Path, subject: str, names: list[str]) -> Recorded:
    """One patient as the table of comparison tells it."""
    from bids_ai.ccep.prediction.patients import UNLEARNED
    from bids_ai.ccep.scoring.recorded import Layout, Recorded
    from bids_ai.preprocess.ieeg_leads import leads_of

    table = read_table(path)
    sites = table.drop_duplicates("site")
    channels = table.drop_duplicates("channel")
    shape = (len(sites), len(channels))
    if len(table) != shape[0] * shape[1]:
        raise InputError(f"{path.name}: one row for each site and channel is wanted.")
    ends = sites[["contact_1", "contact_2"]].to_numpy(str)
    members = channels[["channel_contact_1", "channel_contact_2"]].to_numpy(str)
    contacts = list(dict.fromkeys([*ends.ravel().tolist(), *members.ravel().tolist()]))
    number = {name: place for place, name in enumerate(contacts)}
    lead_of = {name: lead for lead, own in leads_of(contacts).items() for name in own.values()}

    def grid(column: str) -> np.ndarray:
        return table[column].to_numpy(float).reshape(shape)

    pairs = {name: grid(f"score_{name}") for name in UNLEARNED if f"score_{name}" in table}
    layout = Layout(
        subject,
        np.full((len(contacts), 3), np.nan),
        np.array([lead_of.get(name, name) for name in contacts], str),
        np.array([[number[name] for name in row] for row in ends.tolist()], int),
        np.array([[number[name] for name in row] for row in members.tolist()], int),
        distances_mm=grid("distance"),
        site_shares=_shares(sites["site_region"], names),
        channel_shares=_shares(channels["channel_region"], names),
        pairs=pairs,
    )
    return Recorded(
        layout,
        grid(_AMPLITUDE),
        grid("responder"),
        grid("rms_odd_uv"),
        grid("rms_even_uv"),
        grid("n1_latency_ms") / 1e3,
    )


def _shares(regions: pd.Series, names: list[str]) -> np.ndarray:
    """1 in the column of the region of each row; nothing for ends outside of all."""
    number = {name: column for column, name in enumerate(names)}
    shares = np.zeros((len(regions), len(names)))
    for row, region in enumerate(regions):
        if isinstance(region, str) and region in number:
            shares[row, number[region]] = 1.0
    return shares


def _write(run: GroupRun, atlas: GroupAtlas, patients: dict[str, tuple[Path, Recorded]], made: GroupPrediction) -> None:
    from bids_ai.ccep.prediction.kinds import KINDS, kind_of
    from bids_ai.ccep.prediction.patients import SPLIT, predict_patients
    from bids_ai.ccep.scoring.table import score_table
    from bids_ai.ccep.scoring.verdict import verdict
    from bids_ai.report.figures.prediction import plot_scores

    recorded = [one for _, one in patients.values()]
    radius = float(read_json(sidecar(next(iter(patients.values()))[0]))["ExclusionRadius"])
    scores = score_table(recorded, predict_patients(recorded), radius_mm=radius, seed=run.seed)
    scores.insert(3, "radius", radius)
    found = verdict(scores, split=SPLIT, where="these patients")
    path = run.names.path("ccep_group_scores", atlas=atlas.label)
    write_table(path, scores)
    meta: dict[str, Any] = {
        "Description": "Responses of each patient predicted by fits to the other patients",
        "Subjects": list(patients),
        "Split": SPLIT,
        "Verdict": found.text,
        "Adds": found.adds,
        "Sources": [f"bids::{source.relative_to(run.output_dir)}" for source, _ in patients.values()],
        "RandomSeed": run.seed,
        "PackageVersions": versions("numpy", "scipy"),
    }
    write_json(sidecar(path), meta)
    rows = scores[scores["metric"] == "spearman"]
    order = sorted(rows["model"], key=lambda model: KINDS.index(kind_of(model)))
    rows = rows.set_index("model").loc[order].reset_index()
    figure = run.names.group_figure("group_prediction_figure", "ieeg/", atlas=atlas.label)
    plot_scores(rows, [kind_of(model) for model in order], figure)
    label = " ".join(part.partition("-")[2] for part in atlas.label.split("_"))
    made.files.append(path)
    made.sections.append(
        GroupSection(
            id=f"prediction-{''.join(letter if letter.isalnum() else '-' for letter in atlas.label)}",
            name=f"Responses predicted from the other patients, {label}",
            intro=found.text,
            facts=[
                SummaryRow("Patients", len(patients)),
                SummaryRow("Sites", sum(one.layout.shape[0] for one in recorded)),
            ],
            figures=[
                GroupFigure(
                    "Scores of all models on patients they had not seen",
                    "Rank correlation between predicted and recorded amplitude, with 95 % intervals over patients, "
                    "leads and sites, and the gains over distance and over distance, structure and function together.",
                    str(figure.relative_to(run.output_dir)),
                    "A model is better than its reference where the whole line of its gain lies right of zero. With "
                    "few patients the lines are long, and rightly so.",
                )
            ],
            tables=score_tables_of(scores, SPLIT, radius, "Scores: patients not seen"),
            files=[LinkedFile(str(path.relative_to(run.output_dir)), "all scores")],
        )
    )
