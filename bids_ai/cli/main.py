"""The command line: ``bids-ai COMMAND ...``. Each command imports what it needs only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from bids_ai import __version__
from bids_ai.cli.spelling import Parser, ask_for_help, check_command, check_options, hyphens
from bids_ai.errors import EXIT_CODES, BidsAiError, disk_full

#: Command -> what it does; the module of the same name in bids_ai.cli has add_arguments(parser) and execute(args).
COMMANDS = {
    "run": "from a BIDS dataset to connectivity, a surrogate brain, effective connectivity and a report",
    "index": "write the index and the resolved configuration, for calling snakemake by hand",
    "ccep": "responses to single-pulse stimulation of SEEG and ECoG recordings, and nothing else",
    "ec": "effective connectivity of tables of signals, without a BIDS dataset",
    "fetch": "published atlases and templates into a folder, for use there or without network",
    "simulate": "write a BIDS dataset of virtual subjects whose connectivity is known",
    "doctor": "what is installed here, what is missing, and what that costs",
    "completion": "print a script that completes commands and options in a shell",
    "help": "what there is, or the options of a command",
    "stage": "run one stage of the workflow (the workflow calls this)",
}

EPILOG = "\n".join(
    [
        "exit codes:",
        *(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()),
        "",
        "Settings of the science: config/README.md. Names of the outputs: docs/outputs.md.",
    ]
)
HINT = "bids-ai: nothing was asked for. To begin: bids-ai run DATA OUT participant; bids-ai help COMMAND says more."


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.
    """
    # Threads of OpenMP that wait for each other by spinning bring fits of small models to a stand where another process
    # wants the cores, too. Read once, when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        own, extra = _split(arguments)
        if not own:
            build_parser().print_help(sys.stderr)
            print(f"\n{HINT}", file=sys.stderr)
            return 2
        args = _read(hyphens(ask_for_help(own, COMMANDS)))
        args.snakemake_args = extra
        return int(import_module(f"bids_ai.cli.{args.command}").execute(args) or 0)
    except BidsAiError as error:
        if os.environ.get("BIDS_AI_DEBUG"):
            raise
        print(f"bids-ai: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        full = disk_full(error)
        if full is None or os.environ.get("BIDS_AI_DEBUG"):
            raise
        print(f"bids-ai: {full}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bids-ai: interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 130


def build_parser(*filled: str | None) -> argparse.ArgumentParser:
    """Build the parser.

    Parameters
    ----------
    *filled : str or None
        Commands whose options are filled in; those of all others would only cost imports.
    """
    formatter = argparse.RawDescriptionHelpFormatter
    parser = Parser(
        prog="bids-ai",
        description="BIDS app: connectomes, a surrogate brain per subject, and effective connectivity.",
        epilog=EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"bids-ai {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        sub = commands.add_parser(
            name, help=purpose, description=f"bids-ai {name}: {purpose}.", formatter_class=formatter
        )
        if name in filled:
            import_module(f"bids_ai.cli.{name}").add_arguments(sub)
    return parser


def command_parser(parser: argparse.ArgumentParser, command: str) -> argparse.ArgumentParser:
    """Parser of a command, which is a part of that of the whole."""
    commands = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    found = commands.choices[command]
    assert isinstance(found, argparse.ArgumentParser)
    return found


def _read(arguments: list[str]) -> argparse.Namespace:
    """Read the arguments; what is not understood is refused with what may have been meant."""
    command = next((word for word in arguments if not word.startswith("-")), None)
    check_command(command, arguments, COMMANDS)
    parser = build_parser(command)
    args, unknown = parser.parse_known_args(arguments)
    check_options(unknown, command_parser(parser, args.command))
    return args


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate our own arguments from those after ``--``, which go to Snakemake."""
    if "--" not in arguments:
        return arguments, []
    position = arguments.index("--")
    return arguments[:position], arguments[position + 1 :]


if __name__ == "__main__":
    raise SystemExit(main())
