"""The Boutiques descriptor, with the tools of Boutiques itself: it is valid, and its command lines are ours."""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from boutiques.validator import DescriptorValidationError, validate_descriptor

from bids_ai import __version__
from bids_ai.cli.main import build_parser, command_parser
from bids_ai.errors import EXIT_CODES
from tests.conftest import call_program

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "containers" / "boutiques.json"


@pytest.fixture(scope="module")
def descriptor():
    return json.loads(FILE.read_text())


def simulate(invocation, folder):
    """What Boutiques would execute, which it says after two words of its own."""
    (folder / "invocation.json").write_text(json.dumps(invocation))
    bosh = Path(sys.executable).with_name("bosh")
    return call_program(bosh, "exec", "simulate", FILE, "-i", folder / "invocation.json")


def test_the_descriptor_is_valid(descriptor):
    validate_descriptor(descriptor)


def test_boutiques_would_tell_of_a_fault(descriptor):
    wrong = descriptor | {"command-line": descriptor["command-line"].replace("[TASK_ID] ", "")}
    with pytest.raises(DescriptorValidationError, match="TASK_ID"):
        validate_descriptor(wrong)


def test_the_descriptor_is_that_of_the_parser():
    done = subprocess.run([sys.executable, "tools/boutiques.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_a_stale_descriptor_is_told(tmp_path):
    (tmp_path / "tools").mkdir()
    (tmp_path / "containers").mkdir()
    shutil.copy(ROOT / "tools" / "boutiques.py", tmp_path / "tools")
    (tmp_path / "containers" / "boutiques.json").write_text(FILE.read_text().replace("--task-id", "--task"))
    command = [sys.executable, tmp_path / "tools" / "boutiques.py"]
    done = subprocess.run([*command, "--check"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "containers/boutiques.json is out of date: run python tools/boutiques.py\n"
    assert subprocess.run(command).returncode == 0
    assert (tmp_path / "containers" / "boutiques.json").read_text() == FILE.read_text()


def test_every_option_of_a_run_is_an_input(descriptor):
    shown = [
        action
        for action in command_parser(build_parser("run"), "run")._actions
        if action.help != argparse.SUPPRESS and action.dest != "help"
    ]
    flags = {entry.get("command-line-flag") for entry in descriptor["inputs"]} - {None}
    assert len(descriptor["inputs"]) == len(shown)
    assert all(flags & set(action.option_strings) for action in shown if action.option_strings)


def test_it_says_what_the_program_says(descriptor):
    assert descriptor["tool-version"] == __version__
    assert {entry["code"]: entry["description"] for entry in descriptor["error-codes"]} | {
        0: EXIT_CODES[0]
    } == EXIT_CODES
    assert descriptor["container-image"]["image"] == f"bids-ai:{__version__}"
    assert {"[OUTPUT_DIR]/sub-*.html", "[OUTPUT_DIR]/dataset_description.json"} <= {
        entry["path-template"] for entry in descriptor["output-files"]
    }


def test_a_command_line_of_boutiques_is_read_as_it_was_meant(tmp_path):
    (tmp_path / "my data").mkdir()
    invocation = {
        "bids_dir": str(tmp_path / "my data"),
        "output_dir": str(tmp_path / "my out"),
        "analysis_level": "participant",
        "participant_label": ["01", "02"],
        "stages": ["dwi", "surrogate"],
        "min_coverage": 0.5,
        "nprocs": 4,
        "gpu": True,
        "dry_run": True,
    }
    answer = simulate(invocation, tmp_path)
    assert answer.code == 0, answer.text
    words = shlex.split(answer.out.partition("Generated Command:")[2])
    assert words[:2] == ["bids-ai", "run"]
    args = build_parser("run").parse_args(words[1:])
    assert (args.bids_dir, args.output_dir) == (tmp_path / "my data", tmp_path / "my out")
    assert args.participant_label == ["01", "02"]
    assert (args.stages, args.min_coverage, args.nprocs) == (["dwi", "surrogate"], 0.5, 4)
    assert (args.device, args.dry_run, args.low_mem) == ("cuda", True, False)


@pytest.mark.parametrize(
    "fault", [{"gpu": True, "no_gpu": True}, {"analysis_level": "subject"}, {"nprocs": 1.5}, {"stages": ["walk"]}]
)
def test_boutiques_refuses_what_the_program_would(tmp_path, fault):
    invocation = {"bids_dir": str(tmp_path), "output_dir": "out", "analysis_level": "group"}
    assert "Generated Command" in simulate(invocation, tmp_path).out
    answer = simulate(invocation | fault, tmp_path)
    assert answer.code != 0
    assert "Generated Command" not in answer.out
