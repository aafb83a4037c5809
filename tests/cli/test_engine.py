"""How Snakemake is called."""

from pathlib import Path

from bids_ai.cli.engine import command, profile_folder, workflow_dir
from bids_ai.cli.machine import usable_memory


def value(parts: list[str], option: str) -> str:
    return parts[parts.index(option) + 1]


def test_one_machine_keeps_to_its_cores_and_its_memory(tmp_path):
    parts = command(tmp_path / "config.yaml", tmp_path, cores=3)
    assert value(parts, "--cores") == "3"
    limit = int(value(parts, "--resources").partition("mem_mb=")[2])
    assert 0.8 * usable_memory() < 1e6 * limit < usable_memory()
    # What SNAKEMAKE_PROFILE names, and what lies beside the Snakefile, are for others.
    assert value(parts, "--profile") == value(parts, "--workflow-profile") == "none"
    assert value(command(tmp_path / "c", tmp_path, cores=1, memory_mb=500), "--resources") == "mem_mb=500"


def test_a_profile_says_cores_and_memory_itself(tmp_path):
    parts = command(tmp_path / "config.yaml", tmp_path, cores=3, profile="slurm")
    assert Path(value(parts, "--profile")) == workflow_dir() / "profiles" / "slurm"
    assert "--cores" not in parts
    assert "--resources" not in parts


def test_a_profile_of_the_users_own_goes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert profile_folder("slurm") == str(workflow_dir() / "profiles" / "slurm")
    (tmp_path / "slurm").mkdir()
    assert profile_folder("slurm") == "slurm"
    assert profile_folder("of-the-site") == "of-the-site"
