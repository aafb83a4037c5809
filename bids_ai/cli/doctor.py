"""``bids-ai doctor``: what is installed here, what is missing, what that costs, and how to get it."""

from __future__ import annotations

import argparse
import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bids_ai import __version__
from bids_ai.cli.doctor_findings import Finding

_EPILOG = """marks: ok; - not there, a run is possible without it; ! there, with a catch; BROKEN no run is possible.

Versions are those that the installed packages say; --imports tries whether each can be used as well (half a minute).

examples:
  bids-ai doctor
  bids-ai doctor --dir /scratch/me/out --json

exit codes: 0 a run is possible; 1 something essential is broken: a library that bids_ai depends on, no temporary folder
that can be written, no room or no permission in the folder."""

_MARKS = {"ok": "ok", "absent": "-", "note": "!", "broken": "BROKEN"}
_WIDTH = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai doctor``."""
    parser.epilog = _EPILOG
    parser.add_argument("--json", action="store_true", help="for programs: every finding with state, value and remedy")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(os.environ.get("BIDS_AI_WORK_DIR", ".")),
        metavar="DIR",
        help="work or output folder of a run (the current folder; in an image its work folder)",
    )
    parser.add_argument("--imports", action="store_true", help="import every library in a process of its own")


def execute(args: argparse.Namespace) -> int:
    """Look at everything and print it; 1 where no run is possible."""
    findings = look(args.dir, imports=args.imports)
    broken = [finding.name for finding in findings if finding.state == "broken"]
    if args.json:
        content = {"Version": __version__, "Possible": not broken, "Findings": [asdict(entry) for entry in findings]}
        print(json.dumps(content, indent=2))
    else:
        print(table(findings))
        print(f"\nNo run is possible here: {', '.join(broken)}." if broken else "\nA run is possible here.")
    return 1 if broken else 0


def look(folder: Path, *, imports: bool = False) -> list[Finding]:
    """Make all checks.

    Parameters
    ----------
    folder : Path
        Work or output folder of a run; need not exist.
    imports : bool
        Import every library, in a process of its own.

    Returns
    -------
    list of Finding
        By section.
    """
    from bids_ai.cli import doctor_gpu, doctor_machine, doctor_software

    findings = doctor_software.python_packages()
    findings += doctor_software.tried_imports() if imports else []
    findings += doctor_software.optional_packages() + doctor_software.programs() + doctor_gpu.gpu()
    findings += doctor_machine.machine()
    findings += _guarded("machine", "folders", lambda: doctor_machine.folders(folder))
    return findings + _guarded("atlases", "atlases", _atlases)


def table(findings: list[Finding]) -> str:
    """Write the findings as a table, and below it what each thing that is missing costs.

    Parameters
    ----------
    findings : list of Finding
    """
    width = max(len(entry.name) for entry in findings)
    lines, section = [f"bids-ai {__version__}"], ""
    for entry in findings:
        lines += ["", entry.section] if entry.section != section else []
        section = entry.section
        head = f"  {_MARKS[entry.state]:<6}  {entry.name:<{width}}  "
        lines += textwrap.wrap(head + entry.found, _WIDTH, subsequent_indent=" " * len(head), break_on_hyphens=False)
    missing = [entry for entry in findings if entry.cost]
    lines += ["", "what is missing, what it costs, how to get it"] if missing else []
    return "\n".join(lines + [line for entry in missing for line in _explained(entry)])


def _explained(entry: Finding) -> list[str]:
    parts = {"cost": entry.cost, "to get it": entry.remedy}
    indent = " " * 15
    lines = [f"  {entry.name}"]
    for label, text in parts.items():
        head = f"    {label:<11}"
        lines += textwrap.wrap(head + text, _WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return lines


def _atlases() -> list[Finding]:
    from bids_ai.cli.doctor_atlases import atlases

    return atlases()


def _guarded(section: str, name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Make a check that needs libraries; where one is missing or broken, say that it could not be made.

    Whatever a broken library raises when it is imported, the other findings are to be told.
    """
    try:
        return check()
    except Exception as error:
        cost, remedy = "this could not be looked at", "install the libraries named above"
        return [
            Finding(
                section, name, "broken", f"cannot be looked at: {type(error).__name__}: {error}", None, cost, remedy
            )
        ]
