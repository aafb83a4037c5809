import json
import tempfile
from pathlib import Path

import pytest

from bids_ai import __version__
from bids_ai.cli import places
from bids_ai.cli.places import absolute, check_places, default_work_dir, made_by, older_outputs

OURS = {"Name": "x", "DatasetType": "derivative", "GeneratedBy": [{"Name": "bids_ai", "Version": __version__}]}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def faults(data: Path | None, output: Path, work: Path | None = None) -> str:
    return "\n".join(check_places(data, output, work or output.parent / "work"))


def describe(folder: Path, content: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_description.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_new_folders_are_fine_and_are_not_made(data, tmp_path):
    assert faults(data, tmp_path / "a" / "b" / "out") == ""
    assert faults(None, tmp_path / "out") == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_output_must_not_be_the_input(data):
    assert "output folder is the BIDS folder itself" in faults(data, data, data.parent / "work")


def test_output_must_not_be_within_the_input_but_for_derivatives(data, tmp_path):
    work = tmp_path / "work"
    assert "only its derivatives/ may hold outputs" in faults(data, data / "out", work)
    assert "only its derivatives/ may hold outputs" in faults(data, data / "derivatives_of_mine" / "out", work)
    assert faults(data, data / "derivatives" / "bids_ai", work) == ""


def test_work_must_not_be_within_the_input(data, tmp_path):
    assert "work folder" in faults(data, tmp_path / "out", data / "work")
    assert "is inside the BIDS folder" in faults(data, tmp_path / "out", data / "derivatives" / "work")


def test_a_link_to_the_input_is_the_input(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    assert "is the BIDS folder itself" in faults(data, absolute(tmp_path / "link"))
    assert absolute(Path("~")).is_absolute()


def test_the_work_folder_is_never_within_the_input(data, tmp_path):
    found = [
        default_work_dir(data, tmp_path / "out"),
        default_work_dir(data, data / "derivatives" / "bids_ai"),
        default_work_dir(data, data / "derivatives" / "ai" / "a"),
        default_work_dir(None, tmp_path / "x" / "out"),
    ]
    beside = tmp_path / "bids_ai_work"
    assert [folder.parent for folder in found] == [beside, beside, beside, tmp_path / "x" / "bids_ai_work"]
    assert [folder.name.rpartition("-")[0] for folder in found] == ["out", "bids_ai", "a", "out"]


def test_outputs_of_one_name_have_work_folders_of_their_own(tmp_path):
    """Subjects are the names of intermediate files: those of two datasets must not meet."""
    folders = [
        default_work_dir(root, root / "derivatives" / "bids_ai") for root in (tmp_path / "one", tmp_path / "two")
    ]
    assert folders[0] != folders[1]


def test_a_work_folder_that_the_environment_names_goes_first_if_it_can_be_written(data, tmp_path, monkeypatch):
    named = tmp_path / "scratch"
    monkeypatch.setenv("BIDS_AI_WORK_DIR", str(named))
    assert default_work_dir(data, tmp_path / "out") == named
    named.write_text("a file in the way")
    assert default_work_dir(data, tmp_path / "out").parent == tmp_path / "bids_ai_work"


def test_in_a_container_a_temporary_folder_stands_in_for_a_root_that_is_not_ours(data, tmp_path, monkeypatch):
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o555)
    monkeypatch.delenv("BIDS_AI_WORK_DIR", raising=False)
    monkeypatch.setenv("BIDS_AI_IMAGE", "bids-ai:test")
    folders = [default_work_dir(data, root / name) for name in ("out", "out", "other")]
    root.chmod(0o755)
    assert folders[0] == folders[1] != folders[2]
    assert folders[0].parents[1] == Path(tempfile.gettempdir())
    monkeypatch.delenv("BIDS_AI_IMAGE")
    root.chmod(0o555)
    # Outside of one, the folder is named and refused: nobody looks for intermediate files in /tmp.
    assert default_work_dir(data, root / "out").parent == root / "bids_ai_work"
    root.chmod(0o755)


def test_read_only_folders_are_refused(data, tmp_path):
    """Mode bits, since for root every folder answers that it can be written."""
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    try:
        for output in (closed, closed / "out"):
            text = faults(data, output, tmp_path / "work")
            assert f"The output folder {output} cannot be written: no permission in {closed}" in text
            assert "mount it with -v" in text
        assert "The work folder" in faults(data, tmp_path / "out", closed / "work")
    finally:
        closed.chmod(0o755)
    assert faults(data, closed, tmp_path / "work") == ""


def test_a_read_only_mount_is_refused(data):
    """/proc/sys and /sys are mounted read-only in most containers, and /proc cannot be written anywhere."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    closed = [entry[1] for entry in mounts if "ro" in entry[3].split(",") and Path(entry[1]).is_dir()]
    if not closed:
        pytest.skip("nothing is mounted read-only here")
    assert "no permission" in faults(data, Path(closed[0]) / "out", data.parent / "work")


def test_a_file_in_the_way_is_named(data, tmp_path):
    (tmp_path / "file").write_text("x")
    assert f"{tmp_path / 'file'} is a file" in faults(data, tmp_path / "file", tmp_path / "work")
    assert f"{tmp_path / 'file'} is a file" in faults(data, tmp_path / "file" / "out", tmp_path / "work")


def test_a_full_disk_is_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MIN_FREE_MB", 1e12)
    assert "MB are free" in faults(data, tmp_path / "out")


@pytest.mark.parametrize("letter", ["{", "}"])
def test_braces_would_be_wildcards(data, tmp_path, letter):
    assert "{ or }" in faults(data, tmp_path / f"o{letter}ut", tmp_path / "work")
    assert "{ or }" in faults(data, tmp_path / "out", tmp_path / f"w{letter}")


@pytest.mark.parametrize(
    "description",
    [
        {"Name": "x", "DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.0"}]},
        {"Name": "x", "GeneratedBy": None},
        {"Name": "x", "DatasetType": "derivative", "GeneratedBy": {"Name": "bids_ai"}},
        {"Name": "x", "DatasetType": "derivative", "GeneratedBy": ["bids_ai"]},
        # A dataset that `bids-ai simulate` made is raw data, and no place for outputs.
        {"Name": "x", "DatasetType": "raw", "GeneratedBy": [{"Name": "bids_ai", "Version": __version__}]},
        [],
        "no json",
    ],
)
def test_outputs_of_another_tool_are_not_mixed_with(data, tmp_path, description):
    output = describe(tmp_path / "out", description)
    assert "holds the outputs of another tool. Give an empty or new output folder." in faults(data, output)
    assert made_by(output) is None


def test_a_folder_of_something_else_is_refused(data, tmp_path):
    (tmp_path / "out").mkdir()
    assert faults(data, tmp_path / "out") == ""
    (tmp_path / "out/thesis.doc").write_text("x")
    assert "is not empty and was not made by bids_ai" in faults(data, tmp_path / "out")


def test_our_own_outputs_are_resumed(data, tmp_path):
    output = describe(tmp_path / "out", OURS)
    assert faults(data, output) == ""
    assert made_by(output) == __version__
    assert older_outputs(output) is None


def test_a_run_that_was_killed_at_once_is_resumed(data, tmp_path):
    """Locks are the first thing a run makes; killed then, it leaves nothing else."""
    (tmp_path / "out/.bids_ai/locks").mkdir(parents=True)
    assert faults(data, tmp_path / "out") == ""


def test_outputs_of_an_older_version_are_named_and_kept(data, tmp_path):
    output = describe(tmp_path / "out", OURS | {"GeneratedBy": [{"Name": "bids_ai", "Version": "0.0.1"}]})
    assert faults(data, output) == ""
    note = older_outputs(output)
    assert note
    assert "bids_ai 0.0.1" in note
    assert __version__ in note
    assert older_outputs(tmp_path / "absent") is None


def test_all_faults_are_told_at_once(data):
    assert len(check_places(data, data / "out", data / "work")) == 2
