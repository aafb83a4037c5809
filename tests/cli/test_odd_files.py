"""Links in circles, pipes, files that may not be read, names that a shell would run: the index ends, with a word."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bids_ai.bids.electrophysiology.text_tables import read_text_table
from bids_ai.bids.index import Index
from bids_ai.bids.metadata import read_metadata
from bids_ai.bids.participants import read_participants
from bids_ai.cli.images import image_fault
from bids_ai.config import read_yaml
from bids_ai.errors import BidsAiError
from tests.conftest import Answer, subject_files, write_image

#: An index of three subjects takes about a second; what waits for a pipe waits for ever.
LIMIT_S = 120
#: The user whom systems call nobody.
NOBODY = 65534


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that waits."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"no end within {LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def indexed(run_cli, tmp_path, monkeypatch) -> Callable[[Path], tuple[Answer, Index]]:
    """Index a dataset in an empty working directory; the answer and what was chosen."""

    def call(data: Path) -> tuple[Answer, Index]:
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        work = tmp_path / "work"
        answer = run_cli("index", data, tmp_path / "out", "-w", work, "--skip-bids-validation", "--anat-only")
        assert "Traceback" not in answer.text
        assert answer.code == 0, answer.text
        assert list(here.iterdir()) == []
        [path] = (work / "runs").glob("*/index.json")
        return answer, Index.load(path)

    return call


def reasons(index: Index) -> dict[str, str]:
    return {entry.what: entry.reason for entry in index.skipped}


def test_links_in_circles_end(make_dataset, indexed):
    data = make_dataset(subject_files("01"))
    (data / "sub-01/loop").symlink_to("..")
    (data / "sub-01/func/loop").symlink_to(data)
    (data / "sub-01/self").symlink_to("self")
    (data / "sub-02").symlink_to("sub-02")
    _, index = indexed(data)
    assert [entry.item for entry in index.anatomies] == ["sub-01/anat/sub-01"]
    assert [entry.item for entry in index.recordings] == ["sub-01/func/sub-01_task-rest"]


def test_links_into_nowhere_and_pipes_are_left_out_by_name(make_dataset, indexed):
    data = make_dataset(subject_files("01") | subject_files("02") | subject_files("03") | subject_files("04"))
    t1w, other = (data / f"sub-{label}/anat/sub-{label}_T1w.nii.gz" for label in ("02", "03"))
    for path in (t1w, other):
        path.unlink()
    t1w.symlink_to(data / ".git/annex/objects/absent")
    os.mkfifo(other)
    bold = data / "sub-04/func/sub-04_task-rest_bold.nii.gz"
    bold.unlink()
    os.mkfifo(bold)
    _, index = indexed(data)
    assert [entry.subject for entry in index.recordings] == ["sub-01"]
    found = reasons(index)
    assert "cannot be read" in found["sub-02_T1w.nii.gz"]
    assert "a pipe or a device" in found["sub-03_T1w.nii.gz"]
    assert "a pipe or a device" in found["sub-04_task-rest_bold.nii.gz"]


@pytest.mark.parametrize("name", ["sub-01_task-rest_bold.json", "sub-01_task-rest_events.tsv"])
def test_pipes_in_the_place_of_sidecars(make_dataset, indexed, name):
    data = make_dataset(subject_files("01"))
    path = data / "sub-01/func" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    _, index = indexed(data)
    if name.endswith(".json"):
        assert "no file" in reasons(index)["sub-01_task-rest_bold.nii.gz"]
    else:
        assert index.recordings[0].events is None


NAMES = [
    "sub-01_task-$(touch pwned)_bold.nii.gz",
    "sub-01_task-`touch pwned`_bold.nii.gz",
    "sub-01_task-a;touch pwned;_bold.nii.gz",
    "sub-01_task-a b_bold.nii.gz",
    "sub-01_task-a'b\"c_bold.nii.gz",
    "sub-01_task-a\nb_bold.nii.gz",
    "sub-01_task-{a}_bold.nii.gz",
    "sub-01_task-\u0430_bold.nii.gz",
    "-rf_bold.nii.gz",
    "sub-01_task-<script>_bold.nii.gz",
]


def test_names_that_are_no_bids_names_are_never_run_and_never_become_paths(make_dataset, indexed):
    data = make_dataset(subject_files("01"))
    for name in NAMES:
        write_image(data / "sub-01/func" / name, (8, 8, 8, 20))
        (data / "sub-01/func" / name.replace(".nii.gz", ".json")).write_text('{"RepetitionTime": 2}')
    answer, index = indexed(data)
    assert [entry.item for entry in index.recordings] == ["sub-01/func/sub-01_task-rest"]
    assert index.recordings[0].unused == ()
    left_out = [entry.what for entry in index.skipped if "is no BIDS name" in entry.reason]
    assert sorted(left_out) == sorted(name for name in NAMES if "\n" not in name)  # which pybids takes for no file
    assert all(
        line.startswith(("sub-01  ", "  snakemake", "      --", "Index", "Conf", "Now")) or not line
        for line in answer.text.splitlines()
    )
    assert not list(data.rglob("pwned"))


def test_a_name_that_is_no_text_stops_no_other_file(make_dataset, indexed):
    data = make_dataset(subject_files("01"))
    with open(os.fsencode(data / "sub-01/func/") + b"/sub-01_task-\xff\xfe_bold.nii.gz", "wb") as file:  # noqa: PTH123
        file.write(b"x")
    _, index = indexed(data)
    assert [entry.item for entry in index.recordings] == ["sub-01/func/sub-01_task-rest"]


# ---- files that may not be read


def as_nobody(function: Callable[..., Any], *arguments: Any) -> str:
    """Call a function as a user without rights, in a child; its answer, or the message of its refusal."""
    if os.geteuid() != 0:
        return told(function, *arguments)
    context = multiprocessing.get_context("fork")
    answers, there = context.Pipe(duplex=False)

    def child() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        there.send(told(function, *arguments))

    process = context.Process(target=child)
    process.start()
    there.close()
    try:
        return str(answers.recv())
    except EOFError:
        pytest.skip("this system lets no process become nobody")
    finally:
        process.join()


def told(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        return str(function(*arguments))
    except BidsAiError as error:
        return str(error)


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("sub-01_T1w.nii.gz", None, lambda path: image_fault(path, ndim=3)),
        ("sub-01_channels.tsv", "name\nA\n", read_text_table),
        ("participants.tsv", "participant_id\nsub-01\n", read_participants),
        ("my.yaml", "device: cpu\n", read_yaml),
        ("sub-01_bold.json", "{}", lambda path: read_metadata(path.with_suffix(".nii.gz"), path.parent)),
    ],
)
def test_files_that_may_not_be_read_are_told(tmp_path, name, content, read):
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path(folder.anchor):
            folder.chmod(folder.stat().st_mode | 0o011)
    tmp_path.chmod(0o755)
    path = tmp_path / name
    if content is None:
        write_image(path, (8, 8, 8))
    else:
        path.write_text(content)
    (tmp_path / "other").mkdir()
    told(read, tmp_path / "other" / name)  # what it imports, nobody may not
    path.chmod(0)
    answer = as_nobody(read, path)
    assert "ermission denied" in answer
    assert name in answer or "its header cannot be read" in answer
