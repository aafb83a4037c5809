"""``bids-ai completion``: a script that completes commands, options and their values, made from the parsers."""

from __future__ import annotations

import argparse

from bids_ai.cli.grammar import Argument

SHELLS = ("bash", "zsh", "fish")

_EPILOG = """to set it up, once:
  bash   bids-ai completion bash > ~/.local/share/bash-completion/completions/bids-ai
  zsh    bids-ai completion zsh > DIR/_bids-ai, DIR being a folder of $fpath
  fish   bids-ai completion fish > ~/.config/fish/completions/bids-ai.fish

or for this shell only:
  bash   eval "$(bids-ai completion bash)"
  zsh    eval "$(bids-ai completion zsh)"
  fish   bids-ai completion fish | source"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``bids-ai completion``."""
    parser.epilog = _EPILOG
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def execute(args: argparse.Namespace) -> int:
    """Print the script."""
    from bids_ai.cli import completion_scripts

    print(completion_scripts.script(args.shell, grammar()), end="")
    return 0


def grammar() -> dict[str, list[Argument]]:
    """Arguments of every command, with the values that are known though the parser takes others as well."""
    from dataclasses import replace

    from bids_ai.cli.grammar import arguments_of
    from bids_ai.cli.main import COMMANDS, build_parser, command_parser

    parser = build_parser(*COMMANDS)
    known = _known_values()
    return {
        command: [
            replace(argument, choices=argument.choices or known.get((command, argument.name), ()))
            for argument in arguments_of(command_parser(parser, command))
        ]
        for command in COMMANDS
    }


def _known_values() -> dict[tuple[str, str], tuple[str, ...]]:
    """(Command, argument) -> values worth completing; what does not fit is refused elsewhere, with its reason."""
    from bids_ai.cli.main import COMMANDS
    from bids_ai.parcellation.published import published
    from bids_ai.simulate.plan import MODALITIES, SIZES
    from bids_ai.stages.plan import STAGES
    from bids_ai.surrogate.registry import FAMILIES
    from bids_ai.surrogate.selection import AUTO

    models = (AUTO, *FAMILIES)
    stages = {(command, name): tuple(STAGES) for command in ("run", "index") for name in ("stages", "skip")}
    return {
        **stages,
        **{(command, "model"): models for command in ("run", "index", "ec")},
        ("simulate", "modalities"): tuple(MODALITIES),
        ("simulate", "size"): tuple(SIZES),
        ("fetch", "names"): (*(work.name for work in published().works), "templates", "all"),
        ("help", "about"): tuple(COMMANDS),
    }
