"""Compose a slice mosaic as one SVG: layers of pictures, outlines above them, labels, and a legend.

With two layers the SVG alternates between them. Embedded in the report it is steered by the fragment of its address
(``figure.svg#moving``, ``#fixed``, ``#play``); opened by itself, by hovering or tapping.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from bids_ai.report.figures.mosaic import AXIS_NAMES, PLANE_NAMES, Array, Cut
from bids_ai.report.figures.theme import FONT_STACK, xml_text
from bids_ai.report.files import write_text_atomic

#: Units of the drawing; the report shows them at about one pixel each.
WIDTH, GAP, LABEL_HEIGHT, LEGEND_LINE, PAD = 1000.0, 6.0, 24.0, 26.0, 10.0
#: Room at the right of the first line of the legend, for the name of the layer.
LAYER_ROOM = 210.0
BACKGROUND, TEXT, FAINT = "#0d1014", "#e8ebee", "#9aa4af"
JPEG_QUALITY = 88

Picture = Callable[[Cut], Array]
Outlines = Callable[[Cut], "list[Array]"]

STYLE = """
text{font-family:%(fonts)s;font-size:15px;fill:%(text)s}
.side{font-size:14px;font-weight:bold;fill:#fff;paint-order:stroke;stroke:#000;stroke-width:3px}
.pos{fill:%(faint)s;font-size:14px}
.line{fill:none;stroke-width:1.4px;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.raw{image-rendering:pixelated}
"""
FLICKER_STYLE = """
#fixed{opacity:0}
#fixed:target,svg:hover #fixed{opacity:1}
#play:target~#fixed{animation:flicker 2s steps(1,end) infinite}
@keyframes flicker{0%{opacity:0}50%{opacity:1}}
@media (prefers-reduced-motion:reduce){#play:target~#fixed{animation-duration:6s}}
"""


@dataclass
class MosaicSvg:
    """A mosaic under construction.

    Attributes
    ----------
    rows : list of list of Cut
        One row of slices per plane.
    description : str
        Read to those who do not see the picture.
    """

    rows: list[list[Cut]]
    description: str
    _layers: list[tuple[str, str, list[str]]] = field(default_factory=list)
    _above: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str]] = field(default_factory=list)

    def add_layer(self, identifier: str, label: str, picture: Picture) -> None:
        """Add a greyscale (rows, columns) uint8 layer; a second one alternates with the first."""
        images = [_image(picture(cut), box, "JPEG") for cut, box in _cells(self.rows)]
        self._layers.append((identifier, label, images))

    def add_colours(self, picture: Picture) -> None:
        """Add an RGBA (rows, columns, 4) uint8 overlay above all layers, such as a parcellation."""
        self._above.extend(_image(picture(cut), box, "PNG") for cut, box in _cells(self.rows))

    def add_outlines(self, label: str, colour: str, lines: Outlines) -> None:
        """Add outlines, in pixels (column, row) of each cut, and their entry in the legend."""
        for cut, box in _cells(self.rows):
            path = _path(lines(cut), cut, box)
            if path:
                self._above.append(f'<path class="line" stroke="{colour}" d="{path}"/>')
        self.add_legend(label, colour)

    def add_legend(self, label: str, colour: str) -> None:
        """Add an entry of the legend alone."""
        self._legend.append((label, colour))

    def write(self, out: Path | str) -> Path:
        """Write the SVG atomically."""
        return write_text_atomic(out, xml_text(self.render()))

    def render(self) -> str:
        """Return the SVG text."""
        places, n_lines = _legend_places([label for label, _ in self._legend])
        shift = LEGEND_LINE * (n_lines - 1)
        height = _layout(self.rows)[1] + shift
        fonts = ",".join(f"'{name}'" if " " in name else name for name in FONT_STACK)
        style = STYLE % {"fonts": fonts, "text": TEXT, "faint": FAINT}
        if len(self._layers) > 1:
            style += FLICKER_STYLE
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:.0f}" '
            f'width="{WIDTH:g}" height="{height:.0f}" role="img">',
            f"<title>{escape(self.description)}</title>",
            f"<style>{style}</style>",
            f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>',
            '<g id="play"></g>',
        ]
        down = f'<g transform="translate(0 {shift:g})">'
        for identifier, label, images in self._layers:
            caption = f'<text x="{WIDTH - PAD:g}" y="23" text-anchor="end">{escape(label)}</text>'
            cover = f'<rect x="{WIDTH / 2:g}" width="{WIDTH / 2:g}" height="{LEGEND_LINE:g}" fill="{BACKGROUND}"/>'
            parts.append(f'<g id="{identifier}">{cover}{caption}{down}{"".join(images)}</g></g>')
        parts += [down, *self._above, *self._labels(), "</g>", *self._legend_entries(places), "</svg>\n"]
        return "\n".join(parts)

    def _labels(self) -> list[str]:
        labels = []
        for row_cells in _layout(self.rows)[0]:
            for number, (cut, (x, y, width, height)) in enumerate(row_cells):
                labels.append(_text(x + width / 2, y + height + 16, _position(cut), "pos", "middle"))
                if number in (0, len(row_cells) - 1):
                    left, right = ("P", "A") if cut.axis == 0 else ("L", "R")
                    labels.append(_text(x + 4, y + 16, left, "side"))
                    labels.append(_text(x + width - 4, y + 16, right, "side", "end"))
                if number == 0:
                    labels.append(_text(x + 4, y + height - 6, PLANE_NAMES[cut.axis], "side"))
        return labels

    def _legend_entries(self, places: list[tuple[float, float]]) -> list[str]:
        entries = []
        for (label, colour), (x, y) in zip(self._legend, places, strict=True):
            entries.append(f'<rect x="{x:.0f}" y="{y - 7:.0f}" width="20" height="4" rx="2" fill="{colour}"/>')
            entries.append(f'<text x="{x + 27:.0f}" y="{y:.0f}">{escape(label)}</text>')
        return entries


Box = tuple[float, float, float, float]


def _legend_places(labels: Sequence[str]) -> tuple[list[tuple[float, float]], int]:
    """Place the entries of the legend, (x, baseline) each, in as many lines as they need."""
    places, x, line = [], PAD, 0
    for label in labels:
        width = 50 + 8.4 * len(label)  # about the width of a letter of DejaVu Sans at 15 px
        if x > PAD and x + width > WIDTH - (LAYER_ROOM if line == 0 else 0):
            x, line = PAD, line + 1
        places.append((x, 23 + LEGEND_LINE * line))
        x += width
    return places, line + 1


def _layout(rows: Sequence[Sequence[Cut]]) -> tuple[list[list[tuple[Cut, Box]]], float]:
    """Place each cut: (x, y, width, height) per cut, and the height of the whole drawing."""
    placed, y = [], LEGEND_LINE + 12
    for row in rows:
        sizes = [_size_mm(cut) for cut in row]
        usable = WIDTH - 2 * PAD - GAP * (len(row) - 1)
        scale = usable / sum(width for width, _ in sizes)
        x, cells = PAD, []
        for cut, (width, height) in zip(row, sizes, strict=True):
            cells.append((cut, (x, y, width * scale, height * scale)))
            x += width * scale + GAP
        placed.append(cells)
        y += max(height for _, height in sizes) * scale + LABEL_HEIGHT
    return placed, y + 4


def _cells(rows: Sequence[Sequence[Cut]]) -> list[tuple[Cut, Box]]:
    return [cell for row in _layout(rows)[0] for cell in row]


def _size_mm(cut: Cut) -> tuple[float, float]:
    (a0, a1), (b0, b1) = cut.bounds
    return a1 - a0, b1 - b0


def _position(cut: Cut) -> str:
    """Name the place of a cut; for a sagittal one with its hemisphere."""
    side = ""
    if cut.axis == 0 and abs(cut.position) >= 1:
        side = " R" if cut.position > 0 else " L"
    return f"{AXIS_NAMES[cut.axis]} {cut.position:.0f} mm{side}".replace("-", "\N{MINUS SIGN}")


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _image(pixels: Array, box: Box, kind: str) -> str:
    """Return an <image> element with the pixels embedded."""
    from PIL import Image

    buffer = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if kind == "JPEG":
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    else:
        picture.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    x, y, width, height = box
    crisp = "" if kind == "JPEG" else ' class="raw"'
    return (
        f'<image{crisp} x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}" '
        f'preserveAspectRatio="none" href="data:image/{kind.lower()};base64,{data}"/>'
    )


def _path(lines: list[Array], cut: Cut, box: Box) -> str:
    """Return SVG path data of outlines given at pixel centres."""
    x, y, width, height = box
    n_rows, n_columns = cut.shape
    scale = np.array([width / n_columns, height / n_rows])
    return "".join(_subpath((line + 0.5) * scale + (x, y)) for line in lines)


def _subpath(points: Array) -> str:
    """Return one line as relative steps in tenths of a unit, which is a third shorter than absolute ones."""
    tenths = np.rint(points * 10).astype(int)
    steps = " ".join(f"{dx / 10:g} {dy / 10:g}" for dx, dy in np.diff(tenths, axis=0) if dx or dy)
    return f"M{tenths[0, 0] / 10:g} {tenths[0, 1] / 10:g}l{steps}"
