"""Write containers/boutiques.json, the Boutiques descriptor of ``bids-ai run``, from the parser (boutiques.github.io).

python tools/boutiques.py          write it
python tools/boutiques.py --check  fail if it is out of date
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from bids_ai import __version__
from bids_ai.cli.completion import grammar
from bids_ai.cli.grammar import Argument
from bids_ai.errors import EXIT_CODES

FILE = Path(__file__).resolve().parents[1] / "containers" / "boutiques.json"
_DESCRIPTION = (
    "BIDS app: from T1w, DWI, BOLD, EEG and SEEG/ECoG to region series, structural and functional connectivity, a "
    "surrogate brain, effective connectivity, responses to stimulation, and a report per subject."
)
#: Folders that a run makes: Boutiques wants files among the inputs to exist.
_MADE_BY_A_RUN = {"output_dir", "work_dir"}
_TYPES = {"file": "File", "integer": "Number", "number": "Number", "text": "String"}


def main() -> int:
    """Write or check the descriptor."""
    text = json.dumps(descriptor(), indent=4, ensure_ascii=False) + "\n"
    if "--check" in sys.argv:
        stale = not FILE.is_file() or FILE.read_text(encoding="utf-8") != text
        if stale:
            print(f"containers/{FILE.name} is out of date: run python tools/boutiques.py", file=sys.stderr)
        return int(stale)
    FILE.write_text(text, encoding="utf-8")
    return 0


def descriptor() -> dict[str, Any]:
    """Describe ``bids-ai run``."""
    arguments = [argument for argument in grammar()["run"] if argument.name != "help"]
    keys = [_key(argument) for argument in arguments]
    return {
        "name": "bids_ai",
        "tool-version": __version__,
        "schema-version": "0.5",
        "description": _DESCRIPTION,
        "author": "The bids_ai developers",
        "command-line": " ".join(["bids-ai", "run", *keys]),
        # The default is a login shell, which forgets where the image keeps its programs.
        "shell": "/bin/bash",
        "container-image": {"type": "docker", "image": f"bids-ai:{__version__}"},
        "inputs": [_input(argument) for argument in arguments],
        "groups": _groups(arguments),
        "output-files": _outputs(),
        "error-codes": [{"code": code, "description": words} for code, words in EXIT_CODES.items() if code],
        "tags": {"domain": ["neuroinformatics", "bids-app", "mri", "eeg", "ieeg"]},
    }


def _id(argument: Argument) -> str:
    return argument.flag[2:].replace("-", "_") if argument.flags else argument.name


def _key(argument: Argument) -> str:
    return f"[{_id(argument).upper()}]"


def _input(argument: Argument) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": _id(argument),
        "name": _id(argument).replace("_", " "),
        "description": argument.help,
        "type": _type(argument),
        "value-key": _key(argument),
        "optional": not argument.required,
    }
    if argument.flags:
        found["command-line-flag"] = argument.flag
    if argument.takes == "many":
        found |= {"list": True, "list-separator": " "}
    if argument.kind == "integer":
        found["integer"] = True
    if argument.choices:
        found["value-choices"] = list(argument.choices)
    return found


def _type(argument: Argument) -> str:
    if argument.takes == "nothing":
        return "Flag"
    return "String" if argument.name in _MADE_BY_A_RUN else _TYPES[argument.kind]


def _groups(arguments: list[Argument]) -> list[dict[str, Any]]:
    """The headings of the help, and the sets of which one may be given."""
    headings: dict[str, list[str]] = {}
    rivals: dict[int, list[str]] = {}
    for argument in arguments:
        if argument.flags:
            headings.setdefault(argument.group, []).append(_id(argument))
        if argument.rivals is not None:
            rivals.setdefault(argument.rivals, []).append(_id(argument))
    found: list[dict[str, Any]] = [
        {"id": f"group_{re.sub('[^a-z]+', '_', title.lower()).strip('_')}", "name": title, "members": members}
        for title, members in headings.items()
    ]
    found += [
        {"id": f"one_of_{members[0]}", "name": f"one of {', '.join(members)}", "members": members}
        | {"mutually-exclusive": True}
        for members in rivals.values()
    ]
    return found


def _outputs() -> list[dict[str, Any]]:
    """What is there after a run; names of all files: docs/outputs.md."""
    return [
        {"id": "outputs", "name": "derivatives", "path-template": "[OUTPUT_DIR]", "optional": False},
        {
            "id": "dataset_description",
            "name": "dataset_description.json",
            "description": "What made the derivatives, of which dataset.",
            "path-template": "[OUTPUT_DIR]/dataset_description.json",
            "optional": False,
        },
        {
            "id": "reports",
            "name": "reports",
            "description": "One page per subject.",
            "path-template": "[OUTPUT_DIR]/sub-*.html",
            "list": True,
            "optional": True,
        },
        {
            "id": "group_report",
            "name": "group report",
            "description": "The page of the group level.",
            "path-template": "[OUTPUT_DIR]/group.html",
            "optional": True,
        },
    ]


if __name__ == "__main__":
    raise SystemExit(main())
