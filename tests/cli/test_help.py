import re
import subprocess
import sys
from pathlib import Path

import pytest

from bids_ai import __version__, errors
from bids_ai.cli.main import COMMANDS
from bids_ai.errors import EXIT_CODES, BidsAiError, UsageError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "numpy", "pandas", "scipy", "nibabel", "nilearn", "bids", "snakemake", "ants", "pydantic"}
CALL = """
import sys
from bids_ai.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert end.code == 0, end.code
print("MODULES", *sys.modules)
"""


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", CALL.format(arguments=arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    text, _, modules = done.stdout.partition("MODULES ")
    assert "bids_ai.cli.main" in modules.split()
    assert {name.partition(".")[0] for name in modules.split()} & HEAVY == set()
    assert "bids-ai" in text


def test_the_program_answers():
    done = subprocess.run(
        [sys.executable, "-m", "bids_ai", "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == f"bids-ai {__version__}\n"


def test_help_names_commands_and_exit_codes(run_cli):
    answer = run_cli("--help")
    assert answer.code == 0
    for command in COMMANDS:
        assert re.search(rf"\n    {command}\s", answer.out)
    for line in ("0    all done", "1    some recordings failed", "2    refused before", "130  interrupted"):
        assert line in answer.out


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help(run_cli, command):
    answer = run_cli(command, "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"usage: bids-ai {command} ")


@pytest.mark.parametrize("option", [["--stages", "ieeg"], ["--anat-only"], ["--skip", "dwi"]])
def test_the_command_of_stimulation_refuses_stages_and_does_not_show_them(run_cli, tmp_path, option):
    shown = run_cli("ccep", "--help").out
    assert not re.search(rf"{option[0]}(?![\w-])", shown)
    assert option[0] in run_cli("run", "--help").out
    answer = run_cli("ccep", tmp_path, tmp_path / "out", *option)
    assert answer.code == 2
    assert "use 'bids-ai run ... participant --stages'" in answer.err


def test_the_command_of_stimulation_shows_no_option_that_does_nothing(run_cli):
    shown = run_cli("ccep", "--help").out
    for option in ("--model", "--min-coverage", "--device", "--gpu", "--no-gpu", "which stages", "regions and their"):
        assert option not in shown
    for option in ("--preset", "--participant-label", "--atlases", "--config-file", "--random-seed", "--work-dir"):
        assert option in shown


@pytest.mark.parametrize(
    "option",
    [
        *("--participant-label", "--exclude-participant-label", "--session-label", "--session-id", "--task-id"),
        *("--run-id", "--bids-filter-file", "--bids-database-dir", "--derivatives", "--skip-bids-validation"),
        *("--atlases", "--min-coverage", "--skip", "--stages", "--anat-only", "--nprocs", "--n-cpus", "--nthreads"),
        *("--omp-nthreads", "--mem-mb", "--low-mem", "--gpu", "--no-gpu", "--device", "--work-dir", "--clean-workdir"),
        *("--stop-on-first-crash", "--dry-run", "--config-file", "--reports-only", "--boilerplate-only"),
        *("--write-graph", "--random-seed", "--sloppy", "--verbose", "--debug", "--notrack", "--profile"),
    ],
)
def test_the_options_of_the_field_are_there(run_cli, option):
    assert option in run_cli("run", "--help").out


def test_without_a_command_the_help_is_shown_and_the_call_refused(run_cli):
    answer = run_cli()
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith(run_cli("--help").out)
    assert "To begin: bids-ai run DATA OUT participant" in answer.err.removeprefix(run_cli("--help").out)


@pytest.mark.parametrize(
    ("asked", "same"),
    [
        (["help"], ["--help"]),
        (["help", "run"], ["run", "--help"]),
        (["run", "help"], ["run", "--help"]),
        (["help", "help"], ["help", "--help"]),
    ],
)
def test_help_may_be_asked_for_in_other_words(run_cli, asked, same):
    answer = run_cli(*asked)
    assert answer.code == 0
    assert answer.out == run_cli(*same).out


def test_a_file_of_the_name_help_is_that_file(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("help").write_text("a\tb\n1\t2\n")
    answer = run_cli("ec", "help")
    assert answer.code == 2
    assert "usage:" not in answer.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu", "DATA", "OUT", "participant"], "There is no command 'rnu'. Did you mean 'bids-ai run'?"),
        (["help", "simulation"], "There is no command 'simulation'. Did you mean 'bids-ai simulate'?"),
        (["DATA", "OUT", "participant"], "Did you mean 'bids-ai run DATA OUT participant'?"),
        (["run", "DATA", "OUT", "participant", "--particpant-label", "01"], "'--participant-label' for '--particpant-"),
        (["fetch", "--lst"], "Did you mean '--list' for '--lst'?"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(run_cli, arguments, words):
    answer = run_cli(*arguments)
    assert answer.code == 2
    assert words in answer.err
    assert "usage:" not in answer.err


def test_an_option_that_is_hidden_is_not_suggested(run_cli, tmp_path):
    assert "Did you mean" not in run_cli("ccep", tmp_path, tmp_path / "out", "--stagez").err


@pytest.mark.parametrize("place", ["--help", "README.md", "docs/command_line.md"])
def test_the_table_of_exit_codes_is_the_same_everywhere(run_cli, place):
    text = run_cli("--help").out if place == "--help" else (ROOT / place).read_text(encoding="utf-8")
    if place == "README.md":
        line = " ".join(re.search(r"\*\*Exit codes\*\*: (.*?)\.\n", text, re.DOTALL)[1].split())
        assert line == "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
        return
    pattern = r"^  (\d+) +(\S.*)$" if place == "--help" else r"^\| (\d+) \| (.*) \|$"
    assert {int(code): meaning for code, meaning in re.findall(pattern, text, re.MULTILINE)} == EXIT_CODES


def test_the_classes_of_errors_end_with_codes_of_the_table():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, BidsAiError)]
    assert {BidsAiError, UsageError} < set(classes)
    assert {entry.exit_code for entry in classes} <= set(EXIT_CODES)


def test_the_image_knows_every_command():
    text = (ROOT / "containers" / "entrypoint.sh").read_text()
    listed = re.search(r"^    (run \|.*?)\) exec bids-ai \"\$@\"", text, re.MULTILINE)[1].split(" | ")
    assert set(listed) == {*COMMANDS, "-h", "--help", "--version"}
