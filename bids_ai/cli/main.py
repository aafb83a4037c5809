"""The command line: ``bids-ai COMMAND ...``. Each command imports what it needs only when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from bids_ai import __version__
from bids_ai.errors import BidsAiError

#: Command -> what it does; the module of the same name in bids_ai.cli has add_arguments(parser) and execute(args).
COMMANDS = {
    "run": "from a BIDS dataset to connectivity, a surrogate brain, effective connectivity and a report",
    "index": "write the index and the resolved configuration, for calling snakemake by hand",
    "ccep": "responses to single-pulse stimulation of SEEG and ECoG recordings, and nothing else",
    "ec": "effective connectivity of tables of signals, without a BIDS dataset",
    "fetch": "published atlases and templates into a folder, for use there or without network",
    "simulate": "write a BIDS dataset of virtual subjects whose connectivity is known",
    "stage": "run one stage of the workflow (the workflow calls this)",
}

EPILOG = """exit codes:
  0    all done
  1    some recordings failed, or were skipped for a fault (they are listed)
  2    refused before the first job
  130  interrupted

Settings of the science: config/README.md. Names of the outputs: docs/outputs.md."""


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
        command = next((word for word in arguments if not word.startswith("-")), None)
        own, extra = _split(arguments)
        args = _parser(command).parse_args(_hyphens(own), argparse.Namespace(snakemake_args=extra))
        return int(import_module(f"bids_ai.cli.{args.command}").execute(args) or 0)
    except BidsAiError as error:
        if os.environ.get("BIDS_AI_DEBUG"):
            raise
        print(f"bids-ai: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bids-ai: interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _parser(command: str | None) -> argparse.ArgumentParser:
    """Build the parser; only the named command's options are filled in, since others cost imports."""
    parser = argparse.ArgumentParser(
        prog="bids-ai",
        description="BIDS app: connectomes, a surrogate brain per subject, and effective connectivity.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bids-ai {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, purpose in COMMANDS.items():
        formatter = argparse.RawDescriptionHelpFormatter
        sub = commands.add_parser(
            name, help=purpose, description=f"bids-ai {name}: {purpose}.", formatter_class=formatter
        )
        if name == command:
            import_module(f"bids_ai.cli.{name}").add_arguments(sub)
    return parser


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Separate our own arguments from those after ``--``, which go to Snakemake."""
    if "--" not in arguments:
        return arguments, []
    position = arguments.index("--")
    return arguments[:position], arguments[position + 1 :]


def _hyphens(arguments: list[str]) -> list[str]:
    """Spell options with hyphens, so that ``--participant_label`` works as well."""
    spelled = []
    for word in arguments:
        option, equals, value = word.partition("=")
        spelled.append(option.replace("_", "-") + equals + value if word.startswith("--") else word)
    return spelled


if __name__ == "__main__":
    raise SystemExit(main())
