import os
import shutil
import sys

import pytest

from bids_ai.cli.machine import (
    Limits,
    allowed_cores,
    control_group_limits,
    machine_memory,
    usable_cores,
    usable_memory,
)
from tests.conftest import call_program, write_tree

NO_LIMIT_V1 = "9223372036854771712\n"  # what version 1 says where nothing is limited: the largest number of pages


def limits(tmp_path, files, membership):
    root = write_tree(tmp_path / "cgroup", files)
    (tmp_path / "membership").write_text(membership)
    return control_group_limits(root, tmp_path / "membership")


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({}, "0::/\n", Limits(None, None)),
        ({"memory.max": "max\n", "cpu.max": "max 100000\n"}, "0::/\n", Limits(None, None)),
        ({"memory.max": "2147483648\n", "cpu.max": "150000 100000\n"}, "0::/\n", Limits(1.5, 2**31)),
        # The group above binds more than the own one.
        (
            {
                "job/memory.max": "1000\n",
                "job/step/memory.max": "5000\n",
                "job/step/cpu.max": "400000 100000\n",
            },
            "0::/job/step\n",
            Limits(4.0, 1000),
        ),
        # In a container the name is that of outside, and is not to be found.
        ({"memory.max": "7000\n"}, "0::/docker/0123abc\n", Limits(None, 7000)),
        (
            {
                "memory/memory.limit_in_bytes": NO_LIMIT_V1,
                "memory/slurm/job/memory.limit_in_bytes": "3000\n",
                "cpu,cpuacct/slurm/cpu.cfs_quota_us": "200000\n",
                "cpu,cpuacct/slurm/cpu.cfs_period_us": "100000\n",
            },
            "4:memory:/slurm/job\n3:cpu,cpuacct:/slurm\n0::/\n",
            Limits(2.0, 3000),
        ),
        (
            {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"},
            "3:cpu:/\n",
            Limits(None, None),
        ),
        ({"unified/job/memory.max": "4000\n"}, "9:name=systemd:/x\n0::/job\n", Limits(None, 4000)),
    ],
    ids=["none", "v2 max", "v2", "v2 nested", "v2 in a container", "v1", "v1 none", "both"],
)
def test_the_least_limit_of_a_group_and_those_above_counts(tmp_path, files, membership, expected):
    assert limits(tmp_path, files, membership) == expected


def test_where_there_are_no_groups_there_is_no_limit(tmp_path):
    assert control_group_limits(tmp_path / "none", tmp_path / "none") == Limits(None, None)


def test_this_process_may_use_no_more_than_there_is():
    assert 1 <= usable_cores() <= allowed_cores() <= os.cpu_count()
    assert 0 < usable_memory() <= machine_memory()


@pytest.mark.skipif(not shutil.which("taskset") or allowed_cores() < 2, reason="needs taskset and two cores")
def test_a_run_takes_the_cores_it_may_use():
    code = "from bids_ai.cli.main import build_parser; print(build_parser('run').parse_args(['run', 'a', 'b', 'group'])"
    first = min(os.sched_getaffinity(0))
    python = [shutil.which("taskset"), "-c", first, sys.executable]
    assert call_program(*python, "-c", f"{code}.nprocs)").out == "1\n"
    assert "cores                  1 of" in call_program(*python, "-m", "bids_ai", "doctor").out
