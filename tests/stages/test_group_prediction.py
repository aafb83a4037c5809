"""Patients predicted from each other, out of tables as the participant level leaves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bids_ai.bids.files import read_json, write_json
from bids_ai.bids.names import sidecar
from bids_ai.bids.tables import read_table, write_table
from bids_ai.stages.group_inputs import group_atlases
from bids_ai.stages.group_prediction import write_group_prediction
from bids_ai.stages.group_tables import GroupRun
from tests.stages.group_world import ATLAS, REGIONS, World

SITES, CHANNELS = (
    ["A1-A2", "A5-A6", "B1-B2", "B5-B6"],
    [f"{lead}{k}-{lead}{k + 1}" for lead in "AB" for k in range(1, 9)],
)


def write_comparison(world: World, subject: str, seed: int, task: str = "ccep", sites: list[str] = SITES) -> Path:
    """Responses that fall with distance, and scores of EC that say a little more."""
    rng = np.random.default_rng(seed)
    rows = []
    for site in sites:
        for channel in CHANNELS:
            ends, members = site.split("-"), channel.split("-")
            same = site[0] == channel[0]
            away = abs(int(ends[0][1:]) - int(members[0][1:])) * 6.0 + (0 if same else 45.0) + rng.uniform(0, 5)
            ec = rng.uniform(0, 1)
            size = float(np.exp(3 - away / 30 + 1.5 * ec + 0.2 * rng.standard_normal()))
            counted = away > 13 and not set(ends) & set(members)
            rows.append(
                {
                    "site": site, "contact_1": ends[0], "contact_2": ends[1],
                    "channel": channel, "channel_contact_1": members[0], "channel_contact_2": members[1],
                    "site_region": REGIONS[SITES.index(site)], "channel_region": REGIONS[CHANNELS.index(channel) % 6],
                    "distance": away, "counted": counted,
                    "responder": float(size > 20) if counted else None,
                    "rms_uv": size, "rms_odd_uv": size * 1.1, "rms_even_uv": size * 0.9, "n1_latency_ms": 20.0,
                    "score_sc": rng.uniform(), "score_fc": rng.uniform(), "score_ec": ec,
                }
            )  # fmt: skip
    path = world.out / subject / "ieeg" / f"{subject}_task-{task}_{ATLAS}_desc-comparison_ccep.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pd.DataFrame(rows))
    write_json(sidecar(path), {"ExclusionRadius": 13.0})
    return path


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def predicted(world: World, subjects: tuple[str, ...]):
    run = GroupRun(world.out, subjects, world.root / "scratch")
    return write_group_prediction(run, list(group_atlases(world.out)))


def test_scores_verdict_and_a_section_of_the_page(world: World):
    subjects = ("sub-01", "sub-02", "sub-03", "sub-04")
    for number, subject in enumerate(subjects):
        write_comparison(world, subject, number)
    made = predicted(world, subjects)
    [path] = made.files
    table = read_table(path)
    rows = table[table["metric"] == "spearman"].set_index("model")
    assert rows.loc["distance", "value"] > 0.4
    assert rows.loc["ec", "n_patients"] == 4
    assert rows.loc["distance+sc+fc+ec", "gain_over_combination"] > 0
    meta = read_json(sidecar(path))
    assert meta["Subjects"] == list(subjects)
    assert meta["Adds"] is True
    [section] = made.sections
    assert section.intro == meta["Verdict"]
    assert "these patients" in section.intro
    assert (world.out / section.figures[0].path).is_file()
    assert made.warnings == []


def test_one_patient_is_no_group(world: World):
    write_comparison(world, "sub-01", 1)
    made = predicted(world, ("sub-01",))
    assert (made.files, made.sections) == ([], [])


def test_a_second_recording_and_a_broken_table_are_told(world: World):
    subjects = ("sub-01", "sub-02", "sub-03")
    for number, subject in enumerate(subjects):
        write_comparison(world, subject, number)
    write_comparison(world, "sub-01", 9, task="again", sites=SITES[:2])
    broken = write_comparison(world, "sub-03", 3)
    write_table(broken, read_table(broken).iloc[:-1])
    made = predicted(world, subjects)
    assert read_json(sidecar(made.files[0]))["Subjects"] == ["sub-01", "sub-02"]
    assert any("task-again" in text for text in made.warnings)
    assert any(text.startswith("sub-03: not in the prediction") for text in made.warnings)
