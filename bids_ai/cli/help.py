"""``bids-ai help``: the same as ``--help``, for those who look for it under this name."""

from __future__ import annotations

import argparse

from bids_ai.cli.spelling import check_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``bids-ai help``."""
    parser.add_argument("about", nargs="?", metavar="COMMAND", help="a command; without one, what there is")


def execute(args: argparse.Namespace) -> int:
    """Print the help."""
    from bids_ai.cli.main import COMMANDS, build_parser, command_parser

    check_command(args.about, [], COMMANDS)
    parser = build_parser(args.about)
    (command_parser(parser, args.about) if args.about else parser).print_help()
    return 0
