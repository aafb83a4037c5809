import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bids_ai.cli.locks import lock_subjects
from bids_ai.errors import UsageError

HOLD = """
import subprocess, sys, time
from pathlib import Path
from bids_ai.cli.locks import lock_subjects
with lock_subjects(Path(sys.argv[1]), sys.argv[2:]):
    child = subprocess.Popen(["sleep", "60"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another run that holds sub-01 and sub-02, and has started a job."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path), "sub-01", "sub-02"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    job = int(process.stdout.readline())
    yield process
    process.kill()
    process.wait(timeout=10)
    process.stdout.close()
    subprocess.run(["kill", "-9", str(job)], check=False, capture_output=True)


def test_two_runs_over_one_subject_are_refused(tmp_path, holder):
    with (
        pytest.raises(UsageError, match=r"Another run is working on sub-02 in .*--participant-label") as caught,
        lock_subjects(tmp_path, ["sub-03", "sub-02"]),
    ):
        pytest.fail("the lock was given twice")
    assert caught.value.exit_code == 2
    # What the refused run had taken is free again.
    with lock_subjects(tmp_path, ["sub-03"]):
        pass


def test_runs_over_different_subjects_share_a_folder(tmp_path, holder):
    with lock_subjects(tmp_path, ["sub-03", "sub-04"]):
        assert (tmp_path / ".bids_ai/locks/sub-01").read_text() == f"{holder.pid}\n"
        assert (tmp_path / ".bids_ai/locks/sub-03").is_file()


def test_a_killed_run_holds_nothing_even_while_its_job_lives(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=10)
    deadline = time.monotonic() + 5
    while True:
        try:
            with lock_subjects(tmp_path, ["sub-01", "sub-02"]):
                break
        except UsageError:
            assert time.monotonic() < deadline, "the lock of a dead process is still held"
            time.sleep(0.05)


def test_a_lock_ends_with_its_block(tmp_path: Path):
    def broken() -> None:
        with lock_subjects(tmp_path, ["sub-01"]):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    with lock_subjects(tmp_path, ["sub-01"]):
        pass
