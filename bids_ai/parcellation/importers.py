"""Region tables as they come: read into a node table.

Read are BIDS TSV (``index name ...``), CSV (as abagen writes it: ``id,label,hemisphere,structure``), FreeSurfer
colour tables (``index name R G B A``, also Schaefer's), lists of names or of ``index name`` (``.txt``), label
JSON (neuroparc's ``rois``, ``LabelMap``, or ``{"1": "name"}``), AAL's XML, and xcpEngine's group of files
(``*NodeNames.txt``, ``*NodeIndex.1D``, ``*CommunityAffiliation.1D``, ``*CommunityNames.txt``).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd

from bids_ai.bids.json_text import parse_json
from bids_ai.errors import InputError
from bids_ai.parcellation.names import side_of_name
from bids_ai.parcellation.nodes import build_nodes

# Headers in use for each column, in order of preference, compared in lower case.
_HEADERS: dict[str, tuple[str, ...]] = {
    "index": ("index", "id", "value", "roi_id", "label_id", "region_id", "roi", "no", "no.", "number", "label"),
    "name": (
        "name", "label", "label_name", "region", "region_name", "roi_name", "structure_name", "regions", "labels",
        "abbreviation",
    ),
    "hemisphere": ("hemisphere", "hemi", "side"),
    "network": ("network", "network_label", "network_label_7network", "community", "networks", "system"),
    "color": ("color", "colour", "hex"),
}  # fmt: skip
_SIDES = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R"}
_SIDES |= dict.fromkeys(("b", "both", "bilateral", "m", "midline", "mid", "lr", "rl"), "B")

# The networks of Yeo et al. 2011 as they stand in the names of Schaefer's parcels ("LH_DorsAttn_Post_1").
_NETWORK_IN_NAME = re.compile(
    r"(?:^|_)[LR]H_(Vis(?:Cent|Peri)?|SomMot[AB]?|DorsAttn[AB]?|SalVentAttn[AB]?|Limbic(?:_?[AB])?|Cont[ABC]?"
    r"|Default[ABC]?|TempPar)(?:_|$)"
)

XCP_SUFFIXES = ("NodeNames.txt", "NodeIndex.1D", "CommunityAffiliation.1D", "CommunityNames.txt")
"""Files of the xcpEngine layout, beside ``<stem>MNI.nii.gz``; the first is needed, the others are optional."""


def read_region_table(path: Path) -> pd.DataFrame:
    """Read a region table in any of the known formats.

    Parameters
    ----------
    path : pathlib.Path
        Told apart by ending and content; a byte-order mark is tolerated.

    Returns
    -------
    pandas.DataFrame
        Valid node table; a row for label 0 (background) is left out. Centroids are NaN (they come from the
        volume). ``attrs["lookup"]`` is true for a colour table, which may list more than the atlas holds.

    Raises
    ------
    InputError
        If the file cannot be read as a table of regions.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"Region table {path} does not exist.")
    for suffix in XCP_SUFFIXES:
        if path.name.endswith(suffix):
            return read_xcp_layout(path.with_name(path.name.removesuffix(suffix)))
    ending = path.suffix.lower()
    text = _text(path)
    if not text.strip():
        raise InputError(f"Region table {path} is empty.")
    if ending == ".json":
        return _from_json(text, path)
    if ending in {".tsv", ".csv"}:
        return _from_delimited(text, path)
    if ending in {".txt", ".lut", ".ctab", ".1d", ""}:
        return _from_lines(text, path)
    if ending == ".xml":
        return _from_xml(text, path)
    raise InputError(
        f"Region table {path} has an unknown ending. Give .tsv or .csv with the columns index and name, a FreeSurfer "
        "colour table, a .txt list of names, a label .json, or an .xml of labels."
    )


def is_label_json(path: Path) -> bool:
    """Tell whether a JSON file lists regions (and is not a sidecar of metadata)."""
    try:
        return bool(_json_entries(parse_json(_text(path))))
    except (ValueError, OSError):  # an InputError is a ValueError
        return False


def read_xcp_layout(stem: Path) -> pd.DataFrame:
    """Read the region files of the xcpEngine layout.

    Parameters
    ----------
    stem : pathlib.Path
        Common beginning of the files, such as ``.../schaefer100x7``.

    Returns
    -------
    pandas.DataFrame
        Valid node table.

    Raises
    ------
    InputError
        If the files disagree in their number of lines, or a network number has no name.
    """
    lines: dict[str, list[str] | None] = {}
    for suffix in XCP_SUFFIXES:
        file = stem.with_name(stem.name + suffix)
        lines[suffix] = _text(file).split() if file.is_file() else None
    names, index, member, communities = (lines[suffix] for suffix in XCP_SUFFIXES)
    if not names:
        raise InputError(f"Region names {stem}{XCP_SUFFIXES[0]} are missing or empty.")
    for suffix, values in ((XCP_SUFFIXES[1], index), (XCP_SUFFIXES[2], member)):
        if values is not None and len(values) != len(names):
            raise InputError(
                f"{stem.name}{suffix} has {len(values)} lines for {len(names)} names in {stem.name}{XCP_SUFFIXES[0]}."
            )
    networks: list[str | None] | None = None
    if member is not None and communities is not None:
        try:
            networks = [dict(enumerate(communities, start=1))[int(m)] for m in member]
        except (KeyError, ValueError) as fault:
            raise InputError(
                f"{stem.name}{XCP_SUFFIXES[2]} names network {fault}, of which "
                f"{stem.name}{XCP_SUFFIXES[3]} has no name."
            ) from fault
    return _table(index or range(1, len(names) + 1), names, network=networks)


def _text(path: Path) -> str:
    raw = path.read_bytes()
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _from_delimited(text: str, path: Path) -> pd.DataFrame:
    first = text.splitlines()[0]
    separator = "\t" if "\t" in first else max(",;", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as fault:
        raise InputError(f"Region table {path} cannot be read as a table: {fault}.") from fault
    header = [cell.strip().lower() for cell in rows[0]]
    body = [[cell.strip() for cell in row] for row in rows[1:] if any(cell.strip() for cell in row)]
    short = next((k for k, row in enumerate(body, start=2) if len(row) != len(header)), None)
    if short:
        raise InputError(f"Line {short} of {path} has another number of columns than its header ({len(header)}).")
    table = {name: [row[k] for row in body] for k, name in enumerate(header)}
    columns = _columns(table)
    if "index" not in columns or "name" not in columns:
        raise InputError(
            f"Region table {path} needs a column of labels (index) and one of names (name), it has: "
            f"{', '.join(header)}."
        )
    colors = columns.get("color") or _colors_from_rgb(table)
    return _table(
        columns["index"],
        columns["name"],
        hemisphere=columns.get("hemisphere"),
        network=columns.get("network"),
        color=colors,
    )


def _columns(table: dict[str, list[str]]) -> dict[str, list[str]]:
    """Pick the columns that mean index, name and so on; a column serves once."""
    chosen: dict[str, list[str]] = {}
    taken: set[str] = set()
    for meaning, headers in _HEADERS.items():
        for header in headers:
            usable = header in table and header not in taken
            # "label" may hold numbers or names; a column called index is one, whatever it holds
            numbers = meaning != "index" or header == "index" or all(map(_is_integer, table.get(header, [])))
            if usable and numbers:
                chosen[meaning] = table[header]
                taken.add(header)
                break
    return chosen


def _from_lines(text: str, path: Path) -> pd.DataFrame:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    split = [line.split() for line in lines]
    if all(len(words) >= 2 and _is_integer(words[0]) for words in split):
        lookup = all(len(words) >= 5 and all(map(_is_byte, words[2:5])) for words in split)
        colors = ["#{:02x}{:02x}{:02x}".format(*map(int, words[2:5])) for words in split] if lookup else None
        nodes = _table([words[0] for words in split], [words[1] for words in split], color=colors)
        nodes.attrs["lookup"] = lookup
        return nodes
    if all(len(words) == 1 and _is_number(words[0]) for words in split):
        raise InputError(f"{path} holds numbers, not names of regions. Give a table with the columns index and name.")
    return _table(range(1, len(lines) + 1), lines)


def _from_json(text: str, path: Path) -> pd.DataFrame:
    try:
        entries = _json_entries(parse_json(text))
    except ValueError as fault:
        raise InputError(f"Region table {path} is not valid JSON: {fault}.") from fault
    if not entries:
        raise InputError(
            f'{path} lists no regions: expected {{"rois": {{"1": {{"label": ...}}}}}}, "LabelMap" or {{"1": "name"}}.'
        )
    names = [re.sub(rf"^{re.escape(index)}_", "", name) for index, name in entries.items()]
    return _table(list(entries), names if len(set(names)) == len(names) else list(entries.values()))


def _from_xml(text: str, path: Path) -> pd.DataFrame:
    """Read ``<label><index>1</index><name>Precentral_L</name></label>``, as AAL has it."""
    try:
        # Entities are what makes XML dangerous, and a table of labels has none.
        if "<!ENTITY" in text:
            raise InputError(f"Region table {path} declares entities, which a table of labels does not need.")
        labels = list(ElementTree.fromstring(text).iter("label"))
    except ElementTree.ParseError as fault:
        raise InputError(f"Region table {path} is not valid XML: {fault}.") from fault
    index = [(label.findtext("index") or "").strip() for label in labels]
    names = [(label.findtext("name") or "").strip() for label in labels]
    if not labels or not all(map(_is_integer, index)):
        raise InputError(f"{path} lists no regions: expected <label><index>1</index><name>...</name></label>.")
    return _table(index, names)


def _json_entries(content: object) -> dict[str, str]:
    if not isinstance(content, dict):
        return {}
    listings = [content[key] for key in ("rois", "LabelMap", "labels") if isinstance(content.get(key), dict)]
    entries: dict[str, str] = {}
    for key, value in (listings or [content])[0].items():
        if isinstance(value, dict):
            value = value.get("label") or value.get("name")
        if not _is_integer(str(key)):
            return {}
        # neuroparc leaves the label null where a region has no name
        entries[str(key)] = str(value) if value else f"region{key}"
    return entries


def _table(
    index: Sequence[int | str] | range,
    names: Sequence[str],
    *,
    hemisphere: Sequence[str | None] | None = None,
    network: Sequence[str | None] | None = None,
    color: Sequence[str | None] | None = None,
) -> pd.DataFrame:
    """Build the node table: no background, full side words, names made unique by their side, networks from names."""
    keep = [k for k, label in enumerate(index) if not _is_background(label)]
    sides = [_SIDES.get(str(s).lower()) for s in hemisphere] if hemisphere else [side_of_name(n) for n in names]
    names = [names[k] for k in keep]
    sides = [sides[k] for k in keep]
    if len(set(names)) < len(names):  # "insula" left and right: the side belongs to the name
        names = [f"{side}H_{n}" if side in {"L", "R"} else n for n, side in zip(names, sides, strict=True)]
    found = [network[k] for k in keep] if network else [_network_in_name(n) for n in names]
    return build_nodes(
        [index[k] for k in keep],  # type: ignore[misc]
        names,
        hemisphere=sides,
        network=found,
        color=[_hex(color[k]) for k in keep] if color else None,
    )


def _network_in_name(name: str) -> str | None:
    match = _NETWORK_IN_NAME.search(name)
    return match.group(1) if match else None


def _is_background(label: int | str) -> bool:
    return _is_integer(str(label)) and float(label) == 0


def _colors_from_rgb(table: dict[str, list[str]]) -> list[str | None] | None:
    for red, green, blue in (("r", "g", "b"), ("red", "green", "blue")):
        if {red, green, blue} <= set(table):
            triples = zip(table[red], table[green], table[blue], strict=True)
            return ["#{:02x}{:02x}{:02x}".format(*map(int, t)) if all(map(_is_byte, t)) else None for t in triples]
    return None


def _hex(color: str | None) -> str | None:
    return color if color and re.fullmatch(r"#[0-9a-fA-F]{6}", color) else None


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d*\.?\d+(e[-+]?\d+)?", text.strip(), re.IGNORECASE))


def _is_integer(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+(\.0*)?", text.strip()))


def _is_byte(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,3}", text)) and int(text) <= 255
