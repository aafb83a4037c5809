"""``bids-ai fetch``: what is asked for is there afterwards, or the user is told what to bring and where to put it."""

import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bids_ai.parcellation import published
from tests.fetch.place import nifti, write_registry
from tests.fetch.test_install import FETCH


@pytest.fixture
def fetch(run_cli, registry, folder, monkeypatch):
    """Call ``bids-ai fetch ... --dir FOLDER``, with nobody at the terminal."""

    def call(*arguments, code):
        answer = run_cli("fetch", *arguments, "--dir", folder)
        assert answer.code == code, answer.text
        return answer

    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        yield call


def test_one_scale(fetch, folder, site):
    answer = fetch("blocks:4", code=0)
    assert answer.out.splitlines() == [str(folder / "atlases" / "Blocks2020_4")]
    assert (
        "Blocks2020: licence Test licence. Do as you like. (commercial use allowed) https://example.org" in answer.err
    )
    assert "1 of 1 are in" in answer.err
    assert site.paths == ["four.nii.gz", "four.tsv"]
    again = fetch("Blocks2020:4", code=0)
    assert "Blocks2020:4: there already" in again.err
    assert site.paths == ["four.nii.gz", "four.tsv"]


def test_all_scales_and_templates(fetch, folder):
    answer = fetch("Blocks2020", "templates", code=0)
    assert [line.rpartition("/")[2] for line in answer.out.splitlines()] == [
        "Blocks2020_4",
        "Blocks2020_2",
        "MNI152NLin6Asym",
    ]


def test_a_licence_is_shown_and_has_to_be_accepted(fetch, folder, site):
    answer = fetch("Strict2021", "Blocks2020:4", code=2)
    assert (
        "Strict2021: licence Test licence. Do as you like. (no commercial use) https://example.org/terms" in answer.err
    )
    assert "--accept-licence" in answer.err
    assert site.paths == []  # refused before the first
    answer = fetch("Strict2021", "--accept_licence", code=0)
    assert "Strict2021: licence Test licence." in answer.err
    assert json.loads((folder / "manifest.json").read_text())["atlases"]["Strict2021"]["licence_accepted_by"]
    fetch("Strict2021", code=0)  # what is there is not asked about again


@pytest.mark.parametrize(("word", "code"), [("y", 0), ("Yes", 0), ("n", 1), ("", 1)])
def test_a_licence_is_asked_at_a_terminal(registry, folder, site, word, code):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, str(published.REGISTRY_FILE), "Strict2021", "--dir", str(folder)],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        os.write(master, f"{word}\n".encode())
        out, err = process.communicate(timeout=60)
    finally:
        os.close(slave)
        os.close(master)
    assert process.returncode == code, (out, err)
    assert "Accept the licence of Strict2021? [y/N]" in out + err
    assert (folder / "atlases" / "Strict2021").exists() is (code == 0)
    if code:
        assert site.paths == []
        assert "Not fetched: Strict2021." in err


def test_space_that_nobody_states(fetch, folder):
    answer = fetch("Nowhere", code=2)
    assert "Nowhere: They do not say." in answer.err
    assert "State it with --space, one of MNI152NLin6Asym" in answer.err
    assert "names a family" in fetch("Nowhere", "--space", "MNI152", code=2).err
    fetch("Nowhere", "--space", "2009cAsym", code=0)
    assert json.loads((folder / "manifest.json").read_text())["atlases"]["Nowhere"]["space"] == "MNI152NLin2009cAsym"
    fetch("Nowhere", "--space", "FSL", code=0)  # said otherwise, it is made again
    assert json.loads((folder / "manifest.json").read_text())["atlases"]["Nowhere"]["space"] == "MNI152NLin6Asym"
    answer = fetch("Blocks2020:4", "--space", "MNI152NLin2009cAsym", code=2)
    assert "Blocks2020:4 (MNI152NLin6Asym)" in answer.err


def test_by_hand(fetch, folder):
    answer = fetch("Handmade", "Blocks2020:4", code=1)
    place = folder / "sources" / "Handmade"
    assert "hand_2mm.nii.gz or hand_1mm.nii.gz from https://example.org/atlas" in answer.err
    assert f"into {place}" in answer.err
    assert "Not fetched: Handmade." in answer.err
    assert (folder / "atlases" / "Blocks2020_4").is_dir()  # the others are done
    place.mkdir(parents=True, exist_ok=True)
    (place / "hand_2mm.nii.gz").write_bytes(nifti())
    fetch("Handmade", code=0)


def test_all_leaves_out_what_no_program_can_have(fetch, folder):
    answer = fetch("all", "--accept-licence", code=0)
    assert "Handmade may not be downloaded by a program" in answer.err
    assert "left out, since their space is not stated:\n  Nowhere: They do not say." in answer.err
    assert "4 of 6 are in" in answer.err
    fetch("all", "--accept-licence", "--space", "MNI152NLin6Asym", code=0)
    assert (folder / "atlases" / "Nowhere").is_dir()


def test_without_network(fetch, folder, site, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound, and nobody listens
        content = yaml.safe_load(published.REGISTRY_FILE.read_text().replace(site.url, f"http://127.0.0.1:{port}"))
        offline = write_registry(folder.with_name("offline.yaml"), content)
        monkeypatch.setattr(published, "REGISTRY_FILE", offline)
        answer = fetch("Blocks2020", "MNI152NLin6Asym", code=1)
    for key, names in {
        "sources/Blocks2020_4": ("four.nii.gz", "four.tsv"),
        "sources/Blocks2020_2": ("two.nii.gz",),
    }.items():
        assert f"into {folder / key}\n" in answer.err
        assert all(f"http://127.0.0.1:{port}/{name}\n" in answer.err for name in names)
    assert f"into {folder / 'templates' / 'MNI152NLin6Asym'}\n" in answer.err
    assert "Not fetched: Blocks2020:4, Blocks2020:2, MNI152NLin6Asym." in answer.err


def test_one_that_fails_holds_up_no_other(fetch, folder, site):
    del site.files["four.tsv"]
    answer = fetch("Blocks2020", code=1)
    assert "answered 404" in answer.err
    assert [path.name for path in (folder / "atlases").iterdir()] == ["Blocks2020_2"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "Say what to fetch"),
        (["Blocs2020"], "Did you mean Blocks2020?"),
        (["Blocks2020:7"], "has no scale '7'; there is Blocks2020:4, Blocks2020:2"),
        (["Power264"], "made by bids-ai itself; there is nothing to fetch"),
        (["EqualVolume"], "made by bids-ai itself"),
        (["zzzz"], "Known: Blocks2020, Strict2021"),
    ],
)
def test_a_name_that_is_none_is_refused(fetch, site, names, said):
    assert said in fetch(*names, code=2).err
    assert site.paths == []


def test_a_folder_that_cannot_be_written(run_cli, registry, tmp_path):
    (tmp_path / "file").touch()
    answer = run_cli("fetch", "Blocks2020:4", "--dir", tmp_path / "file" / "here")
    assert answer.code == 2
    assert "cannot be written" in answer.err


def test_check(fetch, folder):
    assert "Nothing was fetched into" in fetch("--check", code=1).err
    fetch("Blocks2020", "templates", code=0)
    answer = fetch("--check", code=0)
    assert answer.out.splitlines() == [
        "Blocks2020:4: as it was fetched",
        "Blocks2020:2: as it was fetched",
        "MNI152NLin6Asym: as it was fetched",
    ]
    (folder / "templates" / "MNI152NLin6Asym" / "tpl_mask.nii.gz").write_bytes(nifti(2))
    answer = fetch("--check", code=1)
    assert "tpl_mask.nii.gz is not the file that was fetched" in answer.out
    assert "bids-ai fetch MNI152NLin6Asym --dir" in answer.err
    (folder / "manifest.json").write_text("{")
    assert "manifest.json cannot be read" in fetch("--check", code=1).err


def test_list(fetch):
    fetch("Blocks2020:4", code=0)
    lines = fetch("--list", code=0).out.splitlines()
    rows = {line.split()[0]: line for line in lines[1:6]}
    assert lines[0].split() == ["name", "regions", "space", "licence", "how", "here"]
    assert rows["Blocks2020:4|2"].split() == [
        "Blocks2020:4|2", "2-4", "MNI152NLin6Asym", "Test", "licence", "download", "(the", "test)", "1", "of", "2",
    ]  # fmt: skip
    assert "Test licence*" in rows["Strict2021"]
    assert rows["Strict2021"].endswith(" -")
    assert " ? " in rows["Nowhere"]
    assert "by hand" in rows["Handmade"]
    assert "template" in rows["MNI152NLin6Asym"]


def test_the_list_of_the_package_names_every_atlas(run_cli, tmp_path):
    answer = run_cli("fetch", "--list", "--dir", tmp_path / "nothing")
    assert answer.code == 0
    for work in published.published().works:
        assert f"\n{work.name}" in answer.out
    assert not (tmp_path / "nothing").exists()


# ---- in a run


@pytest.fixture
def index(run_cli, empty_dataset, tmp_path):
    """Call ``bids-ai index`` on one subject."""
    data = empty_dataset()

    def call(*options):
        quick = ("--device", "cpu", "--skip-bids-validation", "-w", tmp_path / "work")
        return run_cli("index", data, tmp_path / "out", *quick, *options)

    return call


def settings(folder):
    return yaml.safe_load(next((folder / "work" / "runs").glob("*/config.yaml")).read_text())


def test_a_run_takes_a_fetched_atlas_by_its_name(fetch, index, folder, tmp_path):
    refused = index("--atlases", "Blocks2020:4", "--atlas-dir", folder)
    assert refused.code == 2
    assert "refused before the first job" in refused.err
    assert "bids-ai fetch Blocks2020:4 --dir DIR" in refused.err
    fetch("Blocks2020:4", code=0)
    # A word on the user's own files does not hold for it.
    answer = index("--atlases", "Blocks2020:4", "--atlas-dir", folder, "--atlas-space", "MNI152NLin2009cAsym")
    assert answer.code == 0, answer.text
    assert settings(tmp_path)["parcellation"]["atlas_dir"] == str(folder)
    listed = json.loads(next((tmp_path / "work" / "runs").glob("*/index.json")).read_text())["atlases"]
    assert [entry["label"] for entry in listed] == ["atlas-Blocks2020_seg-Blocks_scale-4"]


def test_the_folder_of_the_environment_is_written_down(fetch, index, folder, tmp_path, monkeypatch):
    fetch("Blocks2020:4", code=0)
    monkeypatch.setenv("BIDS_AI_ATLAS_DIR", str(folder))
    answer = index("--atlases", "Blocks2020:4")
    assert answer.code == 0, answer.text
    assert settings(tmp_path)["parcellation"]["atlas_dir"] == str(folder)


def test_a_run_takes_a_fetched_template_by_its_name(fetch, index, folder, tmp_path):
    (tmp_path / "my.yaml").write_text("anat: {template: MNI152NLin6Asym}\n")
    options = ("--config-file", tmp_path / "my.yaml", "--atlas-dir", folder, "--anat-only")
    refused = index(*options)
    assert refused.code == 2
    assert "bids-ai fetch templates" in refused.err
    fetch("templates", code=0)
    answer = index(*options)
    assert answer.code == 0, answer.text
    template = settings(tmp_path)["anat"]["template"]
    assert template["space"] == "MNI152NLin6Asym"
    assert template["mask"] == str(folder / "templates" / "MNI152NLin6Asym" / "tpl_mask.nii.gz")
    (tmp_path / "my.yaml").write_text("anat: {template: Nobody}\n")
    assert "There is no template 'Nobody'" in index(*options).err
