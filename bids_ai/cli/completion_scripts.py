"""Completion scripts for bash, zsh and fish, written from the grammar of the commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from bids_ai.cli.grammar import Argument
from bids_ai.cli.main import COMMANDS

Grammar = Mapping[str, Sequence[Argument]]
_GLOBAL = ("--help", "--version")

_BASH = """# Completion of bids-ai for bash, made by: bids-ai completion bash
_bids_ai_room() {{
    case "$1" in
        {nothing}) room=0 ;;
        {many}) room=9999 ;;
        *) room=1 ;;
    esac
}}
_bids_ai_options() {{
    case "$1" in
{options}
        *) words={top} ;;
    esac
}}
_bids_ai_values() {{
    case "$1" in
{values}
        *) words= ;;
    esac
}}
_bids_ai() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command= option= words= item i
    local -i place=0 room=0
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        item=${{COMP_WORDS[i]}}
        case $item in
            --) return ;;  # what follows is Snakemake's
            =) ;;
            -*) option=$item; _bids_ai_room "$command $option" ;;
            *)
                if [[ -z $command ]]; then command=$item
                elif ((room > 0)); then room=room-1
                else place=place+1
                fi ;;
        esac
    done
    [[ $word == "=" ]] && word=
    if [[ $word == -* ]]; then _bids_ai_options "$command"
    elif [[ -z $command ]]; then words={commands}
    elif ((room > 0)); then _bids_ai_values "$command $option"
    else _bids_ai_values "$command $place"
    fi
    # Where nothing fits, bash completes names of files.
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o bashdefault -o default -F _bids_ai bids-ai
"""

_ZSH = """#compdef bids-ai
# Completion of bids-ai for zsh, made by: bids-ai completion zsh
_bids_ai() {{
    local -a commands
    commands=(
{commands}
    )
    if (( CURRENT == 2 )); then
        [[ $words[2] == -* ]] && compadd -- {top} || _describe command commands
        return
    fi
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
{cases}
    esac
}}
if [[ $funcstack[1] == _bids-ai ]]; then _bids_ai "$@"; else compdef _bids_ai bids-ai; fi
"""


def script(shell: str, grammar: Grammar) -> str:
    """Write the script of a shell.

    Parameters
    ----------
    shell : {"bash", "zsh", "fish"}
    grammar : mapping
        Arguments of every command.

    Returns
    -------
    str
    """
    writers: dict[str, Callable[[Grammar], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    return writers[shell](grammar)


# ---- bash


def _bash(grammar: Grammar) -> str:
    takes = {"nothing": ["' --help'"], "one": [], "many": []}
    values = []
    for command, arguments in grammar.items():
        places = [argument for argument in arguments if not argument.flags]
        for argument in arguments:
            names = [f"{command} {flag}" for flag in argument.flags]
            takes[argument.takes] += map(shlex.quote, names)
            names = names or _places(command, places.index(argument), argument)
            if argument.choices:
                values.append(f"        {_patterns(names)}) words={shlex.quote(' '.join(argument.choices))} ;;")
    options = [f"        {command}) words={shlex.quote(' '.join(_flags(own)))} ;;" for command, own in grammar.items()]
    return _BASH.format(
        nothing=" | ".join(takes["nothing"]),
        many=" | ".join(takes["many"]),
        options="\n".join(options),
        values="\n".join(values),
        top=shlex.quote(" ".join(_GLOBAL)),
        commands=shlex.quote(" ".join(grammar)),
    )


def _places(command: str, place: int, argument: Argument) -> list[str]:
    """Positions at which a positional argument may stand."""
    return [f"{command} {number}" for number in range(place, 100 if argument.takes == "many" else place + 1)]


def _patterns(names: Iterable[str]) -> str:
    return " | ".join(shlex.quote(name) for name in names)


def _flags(arguments: Iterable[Argument]) -> list[str]:
    return [flag for argument in arguments for flag in argument.flags]


# ---- zsh


def _zsh(grammar: Grammar) -> str:
    cases = []
    for command, arguments in grammar.items():
        lines = [f"                {spec}" for argument in arguments for spec in _zsh_specs(argument)]
        cases.append(f"        {command})\n            _arguments -S \\\n" + " \\\n".join(lines) + " ;;")
    commands = [f"        {shlex.quote(f'{name}:{COMMANDS[name]}')}" for name in grammar]
    return _ZSH.format(commands="\n".join(commands), cases="\n".join(cases), top=" ".join(_GLOBAL))


def _zsh_specs(argument: Argument) -> list[str]:
    action = f"({' '.join(argument.choices)})" if argument.choices else "_files" if _may_be_file(argument) else " "
    message = argument.metavar.replace(":", " ")
    if not argument.flags:
        return [shlex.quote(f"{'*' if argument.takes == 'many' else ''}:{message}:{action}")]
    words = argument.help.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")
    value = {"nothing": "", "one": f":{message}:{action}", "many": f":*-*:{message}:{action}"}[argument.takes]
    return [shlex.quote(f"*{flag}[{words}]{value}") for flag in argument.flags]


# ---- fish


def _fish(grammar: Grammar) -> str:
    lines = ["# Completion of bids-ai for fish, made by: bids-ai completion fish"]
    none = "-n __fish_use_subcommand"
    lines += [f"complete -c bids-ai {none} -f -a {name} -d {_fish_quote(COMMANDS[name])}" for name in grammar]
    lines += [f"complete -c bids-ai {none} -f -l {flag.removeprefix('--')}" for flag in _GLOBAL]
    for command, arguments in grammar.items():
        condition = _fish_quote(f"__fish_seen_subcommand_from {command}")
        lines += [f"complete -c bids-ai -n {condition} {_fish_spec(argument)}" for argument in arguments]
    return "\n".join(lines) + "\n"


def _fish_spec(argument: Argument) -> str:
    if not argument.flags:
        return f"-F -a {_fish_quote(' '.join(argument.choices))}" if argument.choices else "-F"
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in argument.flags]
    value = "" if argument.takes == "nothing" else " -r"
    if argument.choices:
        value += f" -f -a {_fish_quote(' '.join(argument.choices))}"
    elif value:
        value += " -F" if _may_be_file(argument) else " -f"
    return f"{' '.join(flags)}{value} -d {_fish_quote(argument.help)}"


def _fish_quote(text: str) -> str:
    """Quote for fish, in whose single quotes a backslash escapes itself and the quote."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _may_be_file(argument: Argument) -> bool:
    """Files, and texts that may name one: an atlas, an image, a profile, NAME=PATH."""
    return argument.kind == "file" or (argument.kind == "text" and argument.metavar not in _NEVER_FILES)


_NEVER_FILES = {"LABEL", "TASK", "RUN", "SPACE", "STAGE", "COLUMN", "REGION", "MODEL"}
