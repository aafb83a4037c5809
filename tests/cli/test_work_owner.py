"""Two outputs do not share a work folder, whose files are named after subjects alone."""

import errno
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bids_ai.cli.work_owner import claim, owner_fault


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "sub-01").mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "x"}))
    return folder


def test_an_output_keeps_its_work_folder(data, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    assert owner_fault(work, out, data) is None
    claim(work, out, data)
    assert owner_fault(work, out, data) is None
    claim(work, out, data)
    assert owner_fault(work, out, data) is None
    moved = out.rename(tmp_path / "moved")
    assert owner_fault(work, moved, data) is None


def test_runs_that_start_at_once_agree_on_the_mark(data, tmp_path):
    """As the jobs of an array do, over different subjects of one output folder."""
    out, work = tmp_path / "out", tmp_path / "work"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: claim(work, out, data), range(32)))
    assert owner_fault(work, out, data) is None
    assert [path.name for path in (out / ".bids_ai").iterdir()] == ["id"]


def test_a_file_system_without_links_has_marks_as_well(data, tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    out, work = tmp_path / "out", tmp_path / "work"
    claim(work, out, data)
    before = (out / ".bids_ai" / "id").read_text()
    claim(work, out, data)
    assert (out / ".bids_ai" / "id").read_text() == before
    assert owner_fault(work, out, data) is None
    assert [path.name for path in (out / ".bids_ai").iterdir()] == ["id"]


def test_another_output_is_refused_it(data, tmp_path):
    work = tmp_path / "work"
    claim(work, tmp_path / "one", data)
    fault = owner_fault(work, tmp_path / "other", data)
    assert str(tmp_path / "one") in fault
    assert "--work-dir" in fault
    assert "--clean-workdir" in fault


def test_in_a_container_paths_are_the_same_and_data_are_not(data, tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    claim(work, out, data)
    shutil.rmtree(out)
    # Removed and made again from the same data: its intermediate files are good.
    assert owner_fault(work, out, data) is None
    (data / "sub-02").mkdir()
    assert owner_fault(work, out, data) is not None


def test_a_mark_that_cannot_be_read_is_told(data, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / ".owner.json").write_text("{")
    assert "cannot be told" in owner_fault(work, tmp_path / "out", data)
