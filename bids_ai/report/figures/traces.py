"""What charts of many lines share: thinning, bundles of lines as pictures, and the interval of a share."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.errors import InputError
from bids_ai.report.figures.mosaic import Array
from bids_ai.report.files import write_text_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

#: Points of a drawn line at most: more than a panel has pixels.
MAX_POINTS = 600
#: Bundles with more points than this are embedded as a picture.
VECTOR_POINTS = 4000
#: Colours of a picture that is made small.
_COLOURS = 128
#: 97.5th percentile of a standard normal variable.
_Z95 = 1.959964


def thinned(n_points: int, most: int = MAX_POINTS) -> Array:
    """Return positions of at most `most` evenly spaced samples, the first and last included."""
    return np.unique(np.linspace(0, n_points - 1, min(n_points, most)).round().astype(int))


def draw_bundle(axes: Axes, x: Array, lines: Array, **style: Any) -> LineCollection | None:
    """Draw lines over one x, as a picture where they are many; an empty bundle draws nothing.

    Parameters
    ----------
    axes : Axes
    x : array (n_points,)
    lines : array (n_lines, n_points)
        Lines without any finite value are left out.
    **style
        Of the LineCollection.
    """
    from matplotlib.collections import LineCollection

    kept = thinned(len(x))
    shown = lines[np.isfinite(lines).any(axis=1)][:, kept]
    if not len(shown):
        return None
    segments = np.stack([np.broadcast_to(x[kept], shown.shape), shown], axis=-1)
    bundle = LineCollection(list(segments), rasterized=shown.size > VECTOR_POINTS, **style)
    # Limits are the caller's: one wild channel must not flatten all others.
    axes.add_collection(bundle, autolim=False)
    return bundle


def plain_log(axes: Axes) -> None:
    """Set a logarithmic vertical axis with plain numbers at 1, 2 and 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def with_small_pictures(path: Path) -> Path:
    """Reduce the pictures within an SVG to 128 colours, a third of their size; other files are left as they are."""
    if path.suffix != ".svg":
        return path
    text = path.read_text(encoding="utf-8")
    start = "data:image/png;base64,"
    return write_text_atomic(path, re.sub(rf"{start}[^\"']*", lambda found: start + _reduced(found.group()), text))


def _reduced(data: str) -> str:
    from PIL import Image

    given = base64.b64decode(data.partition(",")[2])
    picture = Image.open(io.BytesIO(given)).convert("RGBA")
    small = io.BytesIO()
    picture.quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        small, "PNG", optimize=True
    )
    return base64.b64encode(min(small.getvalue(), given, key=len)).decode("ascii")


def share_interval(hits: Array, n: Array) -> tuple[Array, Array]:
    """Return the 95 % interval of shares; NaN where nothing was counted.

    References
    ----------
    Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    hits, n = np.asarray(hits, float), np.asarray(n, float)
    total = np.where(n > 0, n, np.nan)
    share = hits / total
    middle = (share + _Z95**2 / (2 * total)) / (1 + _Z95**2 / total)
    half = _Z95 * np.sqrt(share * (1 - share) / total + _Z95**2 / (4 * total**2)) / (1 + _Z95**2 / total)
    return middle - half, middle + half


def check_shape(what: str, values: Array, expected: Sequence[int]) -> None:
    """Raise InputError unless an array has the shape that the others ask for.

    Raises
    ------
    InputError
        With both shapes.
    """
    if values.shape != tuple(expected):
        raise InputError(f"{what}: shape {tuple(expected)} is wanted, as the other arrays have it; got {values.shape}.")
