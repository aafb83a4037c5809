"""Write config/config.yaml, config/README.md and the JSON Schema from the pydantic model: one source for all three.

python tools/export_config.py          write them
python tools/export_config.py --check  fail if they are out of date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from pydantic import BaseModel

from bids_ai.config import Config, json_schema

ROOT = Path(__file__).resolve().parents[1]
HEADER = """# Scientific settings of bids_ai, with their defaults. Threads and memory live in profiles/.
# Give a changed copy with: bids-ai run ... --config-file my.yaml (only what you change needs to be in it).
"""


def main() -> int:
    """Write or check the files."""
    files = {
        ROOT / "config" / "config.yaml": HEADER + "\n".join(_yaml(Config())) + "\n",
        ROOT / "config" / "README.md": _readme(),
        ROOT / "workflow" / "schemas" / "config.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }
    if "--check" in sys.argv:
        stale = [path for path, text in files.items() if not path.is_file() or path.read_text() != text]
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run python tools/export_config.py", file=sys.stderr)
        return 1 if stale else 0
    for path, text in files.items():
        path.write_text(text)
    return 0


def _yaml(section: BaseModel, indent: int = 0) -> list[str]:
    lines: list[str] = []
    pad = "  " * indent
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines += ["", f"{pad}{name}:"] if indent == 0 else [f"{pad}{name}:"]
            lines += _yaml(value, indent + 1)
        else:
            text = yaml.safe_dump(value, default_flow_style=True).replace("\n...", "").strip()
            lines.append(f"{pad}{name}: {text}  # {field.description}")
    return lines


def _readme() -> str:
    rows = ["# Settings", "", "Made from `bids_ai/config.py`. Unknown keys are refused.", ""]
    rows += ["| setting | default | meaning |", "|---|---|---|", *_rows(Config(), "")]
    return "\n".join(rows) + "\n"


def _rows(section: BaseModel, prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            rows += _rows(value, f"{prefix}{name}.")
        else:
            rows.append(f"| `{prefix}{name}` | `{json.dumps(value)}` | {field.description} |")
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
