"""Diffusion series of a raw dataset: which are worked on, their gradient tables and reverse-encoded partners."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bids_ai.bids.index import Anatomy, Diffusion, Skipped
from bids_ai.bids.metadata import read_metadata
from bids_ai.bids.names import stem
from bids_ai.errors import InputError

if TYPE_CHECKING:
    from bids.layout import BIDSFile

_ENTITIES = ("subject", "session", "acquisition", "reconstruction", "direction", "run")
#: A tensor has six numbers: a series with fewer volumes can only serve to correct the distortion of another.
MIN_VOLUMES = 7
_AXES = ("i", "i-", "j", "j-", "k", "k-")


@dataclass(frozen=True)
class _Series:
    """A file with what its sidecar says of its phase encoding."""

    path: Path
    entities: dict[str, Any]
    phase_encoding: str | None
    readout_time: float | None
    links: frozenset[str]

    @property
    def session(self) -> str | None:
        session: str | None = self.entities.get("session")
        return session


def find_diffusions(
    root: Path, series: list[BIDSFile], fieldmaps: list[BIDSFile], anatomy: Anatomy | None
) -> tuple[list[Diffusion], list[Skipped]]:
    """Choose the diffusion series of one subject.

    Parameters
    ----------
    root : Path
        The dataset.
    series, fieldmaps : list of BIDSFile
        ``*_dwi`` images, and the images of ``fmap``.
    anatomy : Anatomy or None
        Of the subject; without one the images stay in the space of the series.

    Returns
    -------
    diffusions, skipped : lists
        One entry per series with a gradient table. A short series without weighting, encoded the other way, is the
        partner of its session's others and none of its own.
    """
    files, skipped = [], []
    for file in series:
        try:
            files.append(_read(root, file))
        except InputError as error:
            skipped.append(Skipped(f"sub-{file.entities['subject']}", Path(file.path).name, str(error)))
    epis = _readable(root, [file for file in fieldmaps if file.entities.get("suffix") == "epi"])
    weighted = [file for file in files if _is_series(file.path)]
    found = []
    for file in weighted:
        others = [other for other in files if other is not file and other.session == file.session]
        found.append(_diffusion(file, [*epis, *others], anatomy))
    used = {entry.reverse for entry in found}
    for file in files:
        if file not in weighted and str(file.path) not in used:
            reason = (
                f"fewer than {MIN_VOLUMES} volumes, or no .bval and .bvec beside it (or above it, by inheritance); "
                "a connectome needs a gradient table"
            )
            skipped.append(Skipped(f"sub-{file.entities['subject']}", file.path.name, reason))
    return found, skipped


def gradient_file(dwi: Path, extension: str) -> Path | None:
    """``.bval`` or ``.bvec`` of a series: beside it, or further up with no entity that the series has not.

    Parameters
    ----------
    dwi : Path
        The image.
    extension : {".bval", ".bvec"}
    """
    from bids_ai.bids.metadata import split_name

    entities = split_name(dwi.name)[0]
    for folder in dwi.parents:
        candidates = []
        for path in folder.glob(f"*dwi{extension}"):
            own, suffix, _ = split_name(path.name)
            if suffix == "dwi" and own.items() <= entities.items():
                candidates.append((len(own), path))
        if candidates:
            return max(candidates)[1]
        if (folder / "dataset_description.json").is_file():
            return None
    return None


def _readable(root: Path, files: list[BIDSFile]) -> list[_Series]:
    found = []
    for file in files:
        try:
            found.append(_read(root, file))
        except InputError:
            continue  # a field map that cannot be read is one that is not used
    return found


def _read(root: Path, file: BIDSFile) -> _Series:
    path = Path(file.path)
    meta = read_metadata(path, root)
    direction = meta.get("PhaseEncodingDirection")
    return _Series(
        path=path,
        entities=dict(file.entities),
        phase_encoding=direction if direction in _AXES else None,
        readout_time=_seconds(meta.get("TotalReadoutTime")),
        links=frozenset(_names(meta, "IntendedFor", "B0FieldIdentifier", "B0FieldSource")),
    )


def _seconds(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return float(value) if number else None


def _names(meta: dict[str, Any], *keys: str) -> list[str]:
    values = []
    for key in keys:
        value = meta.get(key)
        values += value if isinstance(value, list) else [value] if value else []
    return [str(value).rpartition("/")[2] for value in values]


def _is_series(path: Path) -> bool:
    return _n_volumes(path) >= MIN_VOLUMES and all(gradient_file(path, kind) for kind in (".bval", ".bvec"))


def _n_volumes(path: Path) -> int:
    from bids_ai.bids.images import HEADER_ERRORS, promised

    try:
        shape = promised(path)[0]
    except HEADER_ERRORS:
        return MIN_VOLUMES  # what is wrong with it is told by the checks of the images
    return shape[3] if len(shape) > 3 else 1


def _diffusion(file: _Series, partners: list[_Series], anatomy: Anatomy | None) -> Diffusion:
    reverse = next((other for other in partners if _reverse_of(other, file)), None)
    bval, bvec = (gradient_file(file.path, kind) for kind in (".bval", ".bvec"))
    session = (f"ses-{file.session}",) if file.session else ()
    subject = f"sub-{file.entities['subject']}"
    name = stem({key: file.entities.get(key) for key in _ENTITIES})
    rest = [other for other in partners if other is not reverse and other.session == file.session]
    return Diffusion(
        item="/".join((subject, *session, "dwi", name)),
        subject=subject,
        session=file.session,
        engine="builtin",
        source=str(file.path),
        bval=str(bval),
        bvec=str(bvec),
        space="T1w" if anatomy else None,
        anat=anatomy.item if anatomy else None,
        phase_encoding=file.phase_encoding,
        readout_time=file.readout_time,
        reverse=str(reverse.path) if reverse else None,
        reverse_readout_time=reverse.readout_time if reverse else None,
        unused=tuple(other.path.name for other in rest if not _is_series(other.path)),
    )


def _reverse_of(other: _Series, file: _Series) -> bool:
    """Whether an image is encoded against a series and meant for it, or for nothing that it names."""
    if file.phase_encoding is None or other.phase_encoding is None or other.session != file.session:
        return False
    opposite = file.phase_encoding[0] == other.phase_encoding[0] and file.phase_encoding != other.phase_encoding
    meant = not other.links or bool(other.links & (file.links | {file.path.name}))
    return opposite and meant
