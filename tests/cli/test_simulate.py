"""``bids-ai simulate``: what is asked for arrives, and what cannot be made is refused in words of the options."""

import json

import pytest

from bids_ai.simulate import plan


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    monkeypatch.setitem(plan.SIZES, "tiny", plan.Size(8.0, 8.0, 4, 8))


def test_dataset_is_as_asked_for(run_cli, tmp_path):
    out = tmp_path / "ds"
    asked = ("--size", "tiny", "--subjects", 1, "--sessions", 2, "--regions", 10, "--modalities", "t1w", "bold")
    answer = run_cli("simulate", out, *asked, "--seed", 5)
    assert answer.code == 0
    assert answer.out.strip() == str(out)
    # A newcomer sees that something happens.
    assert "sub-01 bold: " in answer.err
    runs = sorted(path.name for path in out.glob("sub-01/ses-*/func/*_bold.nii.gz"))
    assert runs == [f"sub-01_ses-{s}_task-rest_run-{r}_bold.nii.gz" for s in "12" for r in "12"]
    made = json.loads((out / "dataset_description.json").read_text())["GeneratedBy"][0]
    assert made["Description"] == "simulate, seed 5, size tiny, 10 regions"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--subjects", 0), "--subjects: 1 or more wanted, got 0"),
        (("--regions", 7), "--regions: 8 or more wanted, got 7"),
        (("--regions", 100000), "EqualVolume takes 2 to"),
        (("--modalities", "t1w", "seeg"), "Did you mean ieeg?"),
        (("--size", "huge"), "--size: one of tiny, small, full is wanted, got 'huge'"),
        (("--ragged", "--modalities", "t1w", "bold"), "add dwi to --modalities"),
    ],
)
def test_what_cannot_be_made_is_refused(run_cli, tmp_path, asked, said):
    answer = run_cli("simulate", tmp_path / "ds", *asked)
    assert answer.code == 2
    assert said in answer.err
    assert not any(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_refused(run_cli, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    answer = run_cli("simulate", tmp_path, "--size", "tiny")
    assert answer.code == 2
    assert "Name another folder" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
