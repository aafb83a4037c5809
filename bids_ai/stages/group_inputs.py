"""What the group level reads: the matrices of all subjects of an output folder, and why one cannot be used."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bids_ai.bids.files import read_json
from bids_ai.bids.names import PATTERNS, WILDCARDS, sidecar
from bids_ai.bids.tables import check_names, read_relmat, read_table
from bids_ai.errors import InputError, as_clause

#: With fewer there is no group.
MIN_SUBJECTS = 2


@dataclass(frozen=True)
class GroupAtlas:
    """An atlas of an output folder.

    Parameters
    ----------
    label : str
        Such as ``atlas-AAL``.
    table : Path
        Its node table.
    nodes : pandas.DataFrame
    sha256 : str
        Of its labels; empty where it is not known.
    """

    label: str
    table: Path
    nodes: pd.DataFrame
    sha256: str = ""

    @property
    def names(self) -> list[str]:
        """Names of the regions, in order."""
        return [str(name) for name in self.nodes["name"]]

    @property
    def networks(self) -> list[str]:
        """Network of each region; empty where it has none."""
        if "network" not in self.nodes:
            return [""] * len(self.nodes)
        return ["" if pd.isna(network) else str(network) for network in self.nodes["network"]]


def group_atlases(output_dir: Path) -> list[GroupAtlas]:
    """Atlases whose node tables lie in an output folder."""
    found = []
    for table in sorted(output_dir.glob(PATTERNS["atlas_table"].format(atlas="atlas-*"))):
        identity = read_json(sidecar(table)) if sidecar(table).is_file() else {}
        found.append(
            GroupAtlas(
                table.name.removesuffix("_dseg.tsv"), table, read_table(table), str(identity.get("SHA256") or "")
            )
        )
    return found


def subjects_of(output_dir: Path, chosen: Collection[str] = (), excluded: Collection[str] = ()) -> list[str]:
    """Subjects with a folder in the output, such as ``sub-01``.

    Parameters
    ----------
    output_dir : Path
    chosen, excluded : collection of str
        Labels, without ``sub-``; without `chosen`, all.
    """
    there = sorted(path.name for path in output_dir.glob("sub-*") if path.is_dir())
    labels = [subject.removeprefix("sub-") for subject in there]
    return [f"sub-{label}" for label in labels if (not chosen or label in chosen) and label not in excluded]


def by_subject(output_dir: Path, key: str, atlas: str, subjects: Collection[str] = ()) -> dict[str, list[Path]]:
    """Files of one kind and atlas of each subject.

    Parameters
    ----------
    output_dir : Path
    key : str
        Of :data:`bids_ai.bids.names.PATTERNS`.
    atlas : str
    subjects : collection of str
        By default all.
    """
    holes = {name: "*" for _, name, _, _ in Formatter().parse(PATTERNS[key]) if name}
    pattern = PATTERNS[key].format(**holes | {"atlas": atlas})
    kind = {"{dwi}": "dwi", "{ieeg}": "ieeg"}.get(PATTERNS[key].partition("_")[0], "*")
    found: dict[str, list[Path]] = {}
    for path in sorted(output_dir.glob(f"sub-*/**/{kind}/{pattern}")):
        subject = path.relative_to(output_dir).parts[0]
        if not subjects or subject in subjects:
            found.setdefault(subject, []).append(path)
    return found


def group_origin(output_dir: Path, atlas: str, used: Mapping[str, Sequence[Path]]) -> dict[str, Any]:
    """Fields of the sidecar of every table of a group: whose data, from which files, over which nodes."""
    return {
        "Subjects": list(used),
        "Sources": [f"bids::{path.relative_to(output_dir)}" for paths in used.values() for path in paths],
        "NodeFiles": [f"bids::{PATTERNS['atlas_table'].format(atlas=atlas)}"],
    }


class MatrixFile(NamedTuple):
    """A matrix of a subject.

    Attributes
    ----------
    subject : str
        Such as ``sub-01``.
    key : str
        Of :data:`bids_ai.bids.names.PATTERNS`.
    cohort, atlas : str
        What it has in common with those of other subjects: the holes of a table of the group.
    model, band : str
        Empty where it has none.
    session, run : str
        What tells it from others of the subject: ``ses-1``, and such as ``dir-AP_run-2``.
    pooled : bool
    path : Path
    """

    subject: str
    key: str
    cohort: str
    atlas: str
    model: str
    band: str
    session: str
    run: str
    pooled: bool
    path: Path


#: Kinds of matrices that the group level knows.
MATRICES = ("ec", "pearson", "partial", "envelope", "imcoh", "sc_weight")


def scan(output_dir: Path, subjects: Collection[str]) -> list[MatrixFile]:
    """Find the matrices of subjects, in one walk through their folders."""
    found = []
    for subject in subjects:
        for path in sorted((output_dir / subject).rglob("*_relmat.tsv")):
            name = path.relative_to(output_dir).as_posix()
            for key in MATRICES:
                match = _regex(key).fullmatch(name)
                if match:
                    found.append(_matrix_file(subject, key, match.groupdict(), path))
                    break
    return found


@cache
def _regex(key: str) -> re.Pattern[str]:
    parts = []
    for text, hole, _, _ in Formatter().parse(PATTERNS[key]):
        parts += [re.escape(text), f"(?P<{hole}>{WILDCARDS[hole]})" if hole else ""]
    return re.compile("".join(parts))


def _matrix_file(subject: str, key: str, holes: Mapping[str, str], path: Path) -> MatrixFile:
    item = Path(holes.get("series") or holes["dwi"])
    entities = dict(part.partition("-")[::2] for part in item.name.split("_"))
    kind = item.parent.name
    common = [f"{name}-{entities[name]}_" for name in ("task", "space") if name in entities and kind != "dwi"]
    session = next((part for part in item.parts if part.startswith("ses-")), "")
    others = [f"{name}-{value}" for name, value in entities.items() if name not in ("sub", "ses", "task", "space")]
    return MatrixFile(
        subject,
        key,
        cohort=f"{kind}/{''.join(common)}",
        atlas=holes["atlas"],
        model=holes.get("model", ""),
        band=holes.get("band", ""),
        session=session,
        run="_".join(others),
        pooled=bool(holes.get("pool")),
        path=path,
    )


class Reading(NamedTuple):
    """A matrix that was read, or why it was not.

    Attributes
    ----------
    matrix : array (n_regions, n_regions) or None
    reason : str
        Why there is none.
    fault : bool
        Whether something is wrong that should be put right, rather than data that gave nothing.
    meta : dict
        Its sidecar.
    """

    matrix: np.ndarray | None
    reason: str
    fault: bool
    meta: dict[str, Any]


def read_matrix(path: Path, atlas: GroupAtlas) -> Reading:
    """Read a matrix of a subject; whatever is wrong with it is a reason, and no error.

    Names that are spelled differently (``7Networks_LH_Vis_1`` and ``LH_Vis_1``) are the same; another order is not.
    """
    meta: dict[str, Any] = {}
    try:
        meta = read_meta(path)
        if meta.get("Status") == "failed":
            return Reading(None, f"not fitted: {as_clause(meta.get('Reason') or 'no reason given')}", False, meta)
        other = str((meta.get("Atlas") or {}).get("SHA256") or "")
        if other and atlas.sha256 and other != atlas.sha256:
            return Reading(None, f"made with another atlas of the name {atlas.label}", True, meta)
        matrix, names = read_relmat(path)
        _check_spelling(atlas, names, path.name)
    except (InputError, OSError, ValueError, AttributeError) as error:
        return Reading(None, as_clause(error), True, meta)
    off = ~np.eye(len(matrix), dtype=bool)
    if not np.isfinite(matrix[off]).any():
        return Reading(None, "no edge has a value", False, meta)
    return Reading(np.where(np.isfinite(matrix), matrix, np.nan), "", False, meta)


def read_meta(path: Path) -> dict[str, Any]:
    """Sidecar of a matrix; empty where there is none, or none that can be read."""
    try:
        meta = read_json(sidecar(path))
    except (OSError, ValueError):
        return {}
    return meta if isinstance(meta, dict) else {}


def _check_spelling(atlas: GroupAtlas, names: list[str], what: str) -> None:
    from bids_ai.parcellation.matching import match_names

    if names == atlas.names:
        return
    found = match_names(atlas.names, names)
    if len(names) != len(atlas.names) or found.positions != list(range(len(names))):
        check_names(atlas.names, names, what)
