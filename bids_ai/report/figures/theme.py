"""The look all figures share: type, colours, and how a figure reaches the disk."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from bids_ai.report.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

P = ParamSpec("P")
T = TypeVar("T")

#: Fonts in the order a viewer tries them. matplotlib measures with the widest, so that text never outgrows its place.
FONT_STACK = ("DejaVu Sans", "Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "sans-serif")

# Okabe & Ito's colour-blind-safe set (https://jfly.uni-koeln.de/color/).
ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILLION, PURPLE, BLACK = "#0072b2", "#d55e00", "#cc79a7", "#1b1f24"
INK, MUTED, RULE, PAPER, MISSING = "#1b1f24", "#5b6570", "#d5dae0", "#ffffff", "#c3cad2"

#: Colours for categories without one of their own; after Okabe-Ito, Tol's "muted" set.
CATEGORIES = (
    BLUE,
    ORANGE,
    GREEN,
    PURPLE,
    SKY,
    VERMILLION,
    "#332288",
    "#999933",
    "#882255",
    "#44aa99",
    "#ddcc77",
    "#117733",
    "#aa4499",
    "#88ccee",
    "#cc6677",
    "#7b7f86",
)

DIVERGING = "RdBu_r"
SEQUENTIAL = "viridis"

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
#: Width of a full figure in inches; at the 960 px of the report's column 1 pt is drawn as 1.33 px.
WIDTH = 10.0

RC: dict[Any, Any] = {
    "font.family": [FONT_STACK[0]],
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 11,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8b949e",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": "#8b949e",
    "ytick.color": "#8b949e",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    # Names come from files: a dollar sign in one begins no formula.
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "bids_ai",
    "figure.dpi": 100,
    "savefig.dpi": 150,
}


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Run a plotting function under the shared style, leaving matplotlib's own settings as they were."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        import matplotlib as mpl

        with mpl.rc_context(RC):
            return function(*args, **kwargs)

    return wrapper


def new_figure(width: float = WIDTH, height: float = 5.0) -> Figure:
    """Make a figure (inches) outside pyplot's registry, drawn by Agg, with constrained layout."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, out: Path | str, *, tight: bool = False) -> Path:
    """Write a figure as SVG, PNG or PDF, by the suffix of `out`, atomically and without a date in it.

    With `tight`, empty margins are cut off, for figures whose axes keep an aspect.
    """
    out = Path(out)
    kind = out.suffix.lstrip(".").lower()
    metadata: dict[str, str | None] = {"Date": None} if kind == "svg" else {}

    def write(handle: Path) -> None:
        box: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12} if tight else {}
        figure.savefig(handle, format=kind, metadata=metadata, facecolor=figure.get_facecolor(), **box)
        if kind == "svg":
            _finish_svg(handle)

    return write_atomic(out, write)


def xml_text(text: str) -> str:
    """Replace what XML cannot hold, such as control characters in a name: one would make a whole picture unreadable."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def label_powers(axis: Axis) -> None:
    """Label a logarithmic axis in plain numbers; matplotlib's own labels are formulas."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}")))
    axis.set_minor_formatter(NullFormatter())


def _finish_svg(path: Path) -> None:
    """Name the fallback fonts, for readers without matplotlib's own, and round path data to a hundredth of a point."""
    stack = ", ".join(f"'{name}'" if " " in name else name for name in FONT_STACK)
    text = xml_text(path.read_text(encoding="utf-8")).replace(f"'{FONT_STACK[0]}'", stack)
    text = re.sub(r' d="[^"]*"', lambda data: re.sub(r"(\.\d\d)\d+", r"\1", data.group()), text)
    path.write_text(text, encoding="utf-8")


def signed(value: float, digits: int = 2) -> str:
    """Format a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def quiet_axes(axes: Axes) -> None:
    """Remove ticks and spines of an axes that holds a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
