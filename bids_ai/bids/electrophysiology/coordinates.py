"""In which frame the positions of contacts are, and what may be done with them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.electrophysiology.findings import Finding
from bids_ai.bids.electrophysiology.units import unit_scale
from bids_ai.bids.files import read_json
from bids_ai.bids.metadata import split_name
from bids_ai.errors import InputError

Kind = Literal["template", "native", "sensor", "unknown"]

_NATIVE = ("ACPC", "ScanRAS", "individual", "fsnative", "T1w", "scanner")
_SCANNER = ("scanras", "t1w", "scanner", "individual")
_SENSOR = ("CapTrak", "CTF", "EEGLAB", "EEGLAB-HJ", "ElektaNeuromag", "4DBti", "KitYokogawa", "ChietiItab")
_TEMPLATE = re.compile(
    r"^(MNI152\w*|MNI305|MNIColin27|MNIInfant|MNIPediatric\w*|ICBM452\w*|IXI549Space|fsaverage\w*|fsLR|"
    r"NIHPD\w*|OASIS30\w*|Talairach|UNCInfant\w*|DARTEL)$",
    re.IGNORECASE,
)
#: Frames of MNE-Python, by the label or the kind.
_MNE_FRAMES = {
    "CapTrak": "head",
    "ElektaNeuromag": "head",
    "CTF": "ctf_head",
    "EEGLAB": "ctf_head",
    "EEGLAB-HJ": "ctf_head",
}
# A contact in the head is between a centimetre and some decimetres away from the origin of any frame in use, so that
# the sizes in metres, centimetres and millimetres do not overlap.
_MM_RANGE = (15.0, 400.0)


@dataclass(frozen=True)
class Frame:
    """The frame that positions are in.

    Attributes
    ----------
    label : str
        As the dataset says it (``ACPC``, ``MNI152NLin6Sym``, ``Other``); ``unknown`` where it says nothing.
    kind : {"template", "native", "sensor", "unknown"}
        Of a template, of the subject's own brain, of the head by its landmarks, or not known. ``Other`` is unknown:
        it is never taken for MNI.
    mm : float
        Millimetres for one unit of the table.
    description : str or None
    intended_for : tuple of str
        Images that the positions were marked in.
    landmarks_mm : tuple of (str, (float, float, float))
        ``nasion``, ``lpa`` and ``rpa`` where all are given in the same frame.
    """

    label: str = "unknown"
    kind: Kind = "unknown"
    mm: float = 1.0
    description: str | None = None
    intended_for: tuple[str, ...] = ()
    landmarks_mm: tuple[tuple[str, tuple[float, float, float]], ...] = ()

    @property
    def scanner(self) -> bool:
        """Whether coordinates are those of the header of the subject's own image; ACPC ones are turned against them."""
        return self.kind == "native" and self.label.lower() in _SCANNER

    @property
    def mne(self) -> str:
        """Coordinate frame of MNE-Python."""
        if self.kind == "template":
            return "mni_tal"
        if self.kind == "native":
            return "ras"
        return _MNE_FRAMES.get(self.label, "unknown")


def frame_kind(label: str | None) -> Kind:
    """Kind of a coordinate system by its BIDS name."""
    if not label:
        return "unknown"
    for names, kind in ((_NATIVE, "native"), (_SENSOR, "sensor")):
        if label.lower() in {name.lower() for name in names}:
            return kind  # type: ignore[return-value]
    return "template" if _TEMPLATE.match(label) else "unknown"


def read_frame(
    coordsystem: Path | None, electrodes: Path, positions: NDArray[np.float64]
) -> tuple[Frame, list[Finding]]:
    """Frame of a table of electrodes.

    Parameters
    ----------
    coordsystem : Path or None
        ``*_coordsystem.json``.
    electrodes : Path
        The table; its name may say ``space-``.
    positions : array (n_contacts, 3)
        In units of the table, to check the stated unit by; NaN where missing.

    Returns
    -------
    frame : Frame
    findings : list of Finding

    Raises
    ------
    InputError
        If the coordsystem file is no JSON object.
    """
    space = split_name(electrodes.name)[0].get("space")
    content = _content(coordsystem)
    findings: list[Finding] = []
    prefix = next(
        (key[: -len("CoordinateSystem")] for key in content if re.fullmatch(r"(i?EEG)CoordinateSystem", key)), ""
    )
    stated = content.get(f"{prefix}CoordinateSystem") if prefix else None
    label = str(stated) if stated and str(stated).lower() != "n/a" else space or "unknown"
    if not stated:
        why = "no coordsystem.json" if coordsystem is None else "not in its JSON"
        text = f"{electrodes.name} has no coordinate system ({why})"
        text += f"; its name says {space}." if space else "; positions cannot be related to a brain."
        findings.append(Finding("no-coordinate-system", text))
    elif space and space.lower() != label.lower():
        text = f"{electrodes.name} is named space-{space}, but its coordsystem.json says {label}; the JSON is believed."
        findings.append(Finding("space-contradicts", text))
    kind = frame_kind(label)
    if kind == "unknown" and label != "unknown":
        text = (
            f"The coordinate system {label!r} is of no known brain: positions are taken for distances, never for MNI."
        )
        findings.append(Finding("unknown-frame", text, len(positions)))
    mm = _millimetres(content.get(f"{prefix}CoordinateUnits"), positions, findings)
    if label.lower().startswith("fsaverage") or label == "MNI305":
        text = f"Positions are in {label} (MNI305), which is some millimetres off MNI152: they are not mixed up."
        findings.append(Finding("mni305", text, len(positions), severity="note"))
    description = content.get(f"{prefix}CoordinateSystemDescription")
    told = str(description) if description else None
    frame = Frame(label, kind, mm, told, _listed(content.get("IntendedFor")), _landmarks(content, label, mm))
    return frame, findings


def readme_spaces(root: Path) -> tuple[str, ...]:
    """Coordinate frames that the README of a dataset names."""
    for name in ("README", "README.md", "README.txt", "README.rst"):
        path = root / name
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            found = re.findall(r"\b(MNI ?152\w*|MNI ?305|fsaverage|ACPC|ScanRAS|Talairach)\b", text)
            return tuple(dict.fromkeys(word.replace(" ", "") for word in found))
    return ()


def check_readme(frame: Frame, root: Path) -> list[Finding]:
    """Tell where the README names another frame than the coordinate system does; the latter is believed."""
    named = readme_spaces(root)
    same = any(
        frame.label.lower().startswith(name.lower()) or name.lower().startswith(frame.label.lower()) for name in named
    )
    # A README that speaks of a brain says nothing against electrodes in the frame of the head.
    if not named or same or frame.label == "unknown" or frame.kind == "sensor":
        return []
    text = f"The README speaks of {', '.join(named)}, the coordsystem.json says {frame.label}; the latter is believed."
    return [Finding("readme-space", text)]


def _content(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = read_json(path)
    except (ValueError, OSError) as error:
        raise InputError(f"The sidecar {path} cannot be read as JSON ({error}); correct or remove it.") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} should hold a JSON object, got {type(content).__name__}.")
    return content


def _landmarks(content: dict[str, Any], label: str, mm: float) -> tuple[tuple[str, tuple[float, float, float]], ...]:
    """Nasion and preauricular points, where all three are in the frame of the electrodes."""
    given = content.get("AnatomicalLandmarkCoordinates")
    if not isinstance(given, dict) or content.get("AnatomicalLandmarkCoordinateSystem", label) != label:
        return ()
    scale = unit_scale(content.get("AnatomicalLandmarkCoordinateUnits"), "m")
    factor = scale * 1e3 if scale else mm
    names = {"NAS": "nasion", "NASION": "nasion", "LPA": "lpa", "RPA": "rpa"}
    found: dict[str, tuple[float, float, float]] = {}
    for key, value in given.items():
        name = names.get(str(key).upper())
        if name and isinstance(value, list) and len(value) == 3 and all(isinstance(x, int | float) for x in value):
            found[name] = (value[0] * factor, value[1] * factor, value[2] * factor)
    return tuple(found.items()) if len(found) == 3 else ()


def _listed(value: Any) -> tuple[str, ...]:
    return tuple(str(entry) for entry in (value if isinstance(value, list) else [value] if value else []))


def _millimetres(stated: Any, positions: NDArray[np.float64], findings: list[Finding]) -> float:
    """Millimetres for a unit of the table, checked against the size of a head."""
    scale = unit_scale(stated, "m") if isinstance(stated, str) else None
    norms = np.linalg.norm(positions[np.isfinite(positions).all(axis=1)], axis=1)
    size = float(np.percentile(norms, 90)) if len(norms) else np.nan

    def fits(mm: float) -> bool:
        return _MM_RANGE[0] <= size * mm <= _MM_RANGE[1]

    given = scale * 1e3 if scale else None
    if given is not None and (not len(norms) or fits(given)):
        return given
    if not len(norms):
        return 1.0
    possible = [mm for mm in (1.0, 10.0, 1000.0) if fits(mm)]
    unit = {1.0: "mm", 10.0: "cm", 1000.0: "m"}
    if len(possible) == 1 and str(stated).lower() != "pixels":
        text = f"Coordinate units are given as {stated!r}, but positions are {size:.3g} from the origin; "
        text += f"taken as {unit[possible[0]]}."
        findings.append(Finding("coordinate-units", text, len(norms)))
        return possible[0]
    text = (
        f"Coordinate units ({stated!r}) and positions ({size:.3g} from the origin) fit no head; positions are not used."
    )
    findings.append(Finding("coordinate-units-unusable", text, len(norms)))
    return float("nan")
