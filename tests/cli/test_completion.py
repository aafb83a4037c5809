"""Completion scripts: in a real shell where there is one, and held against the parsers."""

import argparse
import re
import shutil

import pytest

from bids_ai.cli.completion import SHELLS
from bids_ai.cli.main import COMMANDS, build_parser, command_parser
from bids_ai.stages.plan import STAGES
from tests.conftest import call_bids_ai, call_program


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Shell -> file of its script, as a user makes it."""
    folder = tmp_path_factory.mktemp("completion")
    files = {}
    for shell in SHELLS:
        answer = call_bids_ai("completion", shell)
        assert (answer.code, answer.err) == (0, "")
        files[shell] = folder / f"_bids-ai.{shell}"
        files[shell].write_text(answer.out)
    return files


@pytest.fixture(scope="module")
def complete(scripts):
    """Complete the last of the words in bash, which splits words at '=' by itself."""

    def call(*words):
        code = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bids_ai; printf "%s\\n" "${COMPREPLY[@]}"'
        answer = call_program("bash", "--norc", "-c", code, scripts["bash"], "bids-ai", *words)
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    return call


def shown(command):
    parser = command_parser(build_parser(command), command)
    return [action for action in parser._actions if action.help != argparse.SUPPRESS]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["run", "--part"], ["--participant-label"]),
        (["ru"], ["run"]),
        ([""], list(COMMANDS)),
        (["--v"], ["--version"]),
        (["run", "--device", ""], ["auto", "cpu", "cuda"]),
        (["run", "--device", "=", "cu"], ["cuda"]),
        (["run", "--stages", ""], list(STAGES)),
        # An option of many values goes on, one of one value does not, and one of none never begins.
        (["run", "--stages", "dwi", "pred"], ["prediction"]),
        (["run", "--device", "cpu", "data", "out", "par"], ["participant"]),
        (["run", "--dry-run", "data", "out", "g"], ["group"]),
        (["run", "data", "out", ""], ["participant", "group"]),
        # Files: left to bash.
        (["run", ""], []),
        (["run", "--config-file", ""], []),
        (["run", "data", "out", "participant", "--participant-label", ""], []),
        (["ccep", "--stag"], []),
        (["ccep", "--preset", "umcu"], ["umcu-n1"]),
        (["run", "data", "out", "participant", "--", "--cores"], []),
        (["help", "sim"], ["simulate"]),
        (["fetch", "Tian"], ["Tian2020"]),
        (["fetch", "Tian2020", "templ"], ["templates"]),
        (["completion", ""], list(SHELLS)),
    ],
)
def test_bash_completes(complete, words, expected):
    assert complete(*words) == expected


@pytest.mark.parametrize("command", list(COMMANDS))
def test_bash_offers_the_options_that_the_help_shows_and_no_others(complete, command):
    expected = {flag for action in shown(command) for flag in action.option_strings}
    assert set(complete(command, "-")) == expected


@pytest.mark.parametrize("command", list(COMMANDS))
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_every_option_of_every_command_is_in_the_script(scripts, shell, command):
    text = scripts[shell].read_text()
    if shell == "zsh":
        own = re.search(rf"^        {command}\)\n(.*?);;$", text, re.MULTILINE | re.DOTALL)[1]
        found = set(re.findall(r"^ +'\*(--?[\w-]+)\[", own, re.MULTILINE))
    else:
        own = [line for line in text.splitlines() if f"-n '__fish_seen_subcommand_from {command}'" in line]
        found = {f"--{name}" for line in own for name in re.findall(r" -l (\S+)", line.partition(" -d ")[0])}
        found |= {f"-{name}" for line in own for name in re.findall(r" -s (\S)", line.partition(" -d ")[0])}
    assert found == {flag for action in shown(command) for flag in action.option_strings}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(scripts, shell):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    answer = call_program(shell, "-n", scripts[shell])
    assert (answer.code, answer.text) == (0, "")


def test_fish_completes(scripts):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")
    code = f"source {scripts['fish']}; complete -C 'bids-ai run --part'; complete -C 'bids-ai run --device cu'"
    words = [line.split("\t")[0] for line in call_program("fish", "--no-config", "-c", code).out.splitlines()]
    assert words == ["--participant-label", "cuda"]
