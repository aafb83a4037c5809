"""``bids-ai run ... group``: what is refused before the work begins, and what a call leaves."""

from pathlib import Path

import numpy as np
import pytest

from tests.stages.group_world import World


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr("bids_ai.stages.group._State.draw", lambda *_: ([], []))
    world = World(tmp_path)
    rng = np.random.default_rng(0)
    for subject in range(1, 7):
        world.ec(f"{subject:02d}", rng.standard_normal((6, 6)))
    world.participants(
        participant_id=[f"sub-{i:02d}" for i in range(1, 7)], group=list("aaabbb"), age=range(6), lone=list("abbbbb")
    )
    return world


@pytest.fixture
def group(world, run_cli):
    def call(*options, bids_dir=None):
        return run_cli("run", bids_dir or world.dataset, world.out, "group", *options)

    return call


def test_a_group_leaves_tables_and_names_its_page(world, group):
    answer = group("--contrast", "group", "--covariates", "age", "--permutations", "20")
    assert answer.code == 0, answer.text
    page = Path(answer.out.strip())
    assert page == world.out / "group.html"
    text = page.read_text()
    assert "--contrast group --permutations 20" in text
    assert "Contrast of group: EC" in text
    assert not (world.root / "bids_ai_work").exists()


def test_nothing_is_needed_but_the_derivatives(group):
    assert group(bids_dir="-").code == 0


def test_subjects_can_be_chosen(world, group):
    assert group("--participant-label", "01", "sub-02", "03", "--exclude-participant-label", "03").code == 0
    [path] = (world.out / "group").rglob("*desc-subjects_stats.tsv")
    assert [line.split("\t")[0] for line in path.read_text().splitlines()[1:]] == ["sub-01", "sub-02"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--contrast", "grop"], "Did you mean group? It has: group, age, lone."),
        (["--contrast", "lone"], "a group of 1"),
        (["--contrast", "group", "--covariates", "height"], "no column height"),
        (["--covariates", "age"], "belong to a --contrast"),
        (["--contrast", "group", "--permutations", "5"], "with fewer than 19 no p is below .05"),
        (["--participant-label", "77"], "sub-77. It has: sub-01, sub-02"),
        (["--seed-regions", "LH_Viss_1"], "Did you mean LH_Vis_1"),
    ],
)
def test_what_is_refused_before_the_work_begins(world, group, options, words):
    answer = group(*options)
    assert answer.code == 2
    assert words in answer.err
    assert not (world.out / "group").exists()
    assert not (world.out / "group.html").exists()


def test_a_contrast_wants_the_dataset(group):
    answer = group("--contrast", "group", bids_dir="-")
    assert answer.code == 2
    assert "give the dataset instead of '-'" in answer.err


def test_a_contrast_wants_a_table_of_participants(world, group):
    (world.dataset / "participants.tsv").unlink()
    answer = group("--contrast", "group")
    assert answer.code == 2
    assert "participants.tsv does not exist" in answer.err


def test_options_of_the_group_are_not_for_subjects(world, run_cli):
    answer = run_cli("run", world.dataset, world.out, "participant", "--contrast", "group", "--covariates", "age")
    assert answer.code == 2
    assert "--contrast, --covariates: for the group level" in answer.err


def test_what_is_to_be_put_right_is_listed(world, group):
    world.ec("07", np.ones((6, 6)), names=list("ABCDEF"))
    answer = group()
    assert answer.code == 1
    assert "LEFT OUT  sub-07" in answer.err
    assert "region names differ" in answer.err
