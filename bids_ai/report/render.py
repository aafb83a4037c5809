"""Jinja environment of the report: everything is escaped, styles and scripts are inlined, nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bids_ai.report.formatting import format_value
from bids_ai.report.model import STATUS_WORDS, Scalar, SummaryRow


@cache
def environment() -> Environment:
    """Return the environment: autoescape on for every template, undefined names are errors."""
    found = Environment(
        loader=PackageLoader("bids_ai.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "shown": shown,
        "value": format_value,
        "status": lambda status: STATUS_WORDS.get(status, status),
        "lower_first": lambda text: text[:1].lower() + text[1:],
    }
    return found


def render(template: str, **context: Any) -> str:
    """Render a page with the style and the script of the report."""
    script = _asset("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    page = environment().get_template(template)
    # Our own files, not data: they may stand unescaped.
    return page.render(
        style=Markup(_asset("style.css")),
        script=Markup(script),
        script_hash=digest,
        **context,
    )


def shown(row: SummaryRow) -> str:
    """Return the value of a row with its unit."""
    return format_value(row.value, row.unit, row.digits)


def link(path: Path, page: Path) -> str:
    """Return the relative address of a file from a page, quoted so that no name can act as a scheme or a fragment."""
    relative = Path(os.path.relpath(path, page.parent)).as_posix()
    return "./" + quote(relative, safe="/")


def sort_key(value: Scalar) -> str:
    """Return what a table is sorted by; empty for missing values, which go last."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)


@cache
def _asset(name: str) -> str:
    return resources.files("bids_ai.report").joinpath("templates", name).read_text(encoding="utf-8")
