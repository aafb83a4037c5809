"""Finding the inputs of a raw BIDS dataset with pybids: T1w, BOLD, DWI, EEG and iEEG of the subjects asked for."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from bids_ai.bids.diffusion import find_diffusions
from bids_ai.bids.electrophysiology.inputs import EXTENSIONS, Signal, find_recordings, signal_folders
from bids_ai.bids.files import read_json
from bids_ai.bids.index import Anatomy, Diffusion, Recording, Skipped
from bids_ai.bids.links import untraversable
from bids_ai.bids.metadata import read_metadata
from bids_ai.bids.names import name_fault, printable, stem
from bids_ai.errors import InputError, UsageError

if TYPE_CHECKING:
    from bids.layout import BIDSFile, BIDSLayout

File = TypeVar("File", bound=Signal)

_NIFTI = [".nii.gz", ".nii"]
_LABEL = re.compile(r"[A-Za-z0-9+]+")
_BOLD_ENTITIES = (
    "subject",
    "session",
    "task",
    "acquisition",
    "ceagent",
    "reconstruction",
    "direction",
    "run",
)
#: Echo time nearest to which the echo of a multi-echo run is taken, s: about T2* of grey matter at 3 T.
_PREFERRED_ECHO_S = 0.030


@dataclass(frozen=True)
class Selection:
    """What of a dataset is asked for. Labels come without their ``sub-`` or ``ses-``."""

    participants: Sequence[str] = ()
    excluded: Sequence[str] = ()
    sessions: Sequence[str] = ()
    tasks: Sequence[str] = ()
    runs: Sequence[str] = ()
    filters: dict[str, dict[str, Any]] = field(default_factory=dict)
    database: Path | None = None


def strip_prefix(label: str, prefix: str) -> str:
    """Take ``sub-`` or ``ses-`` off a label and refuse what no BIDS label can be.

    Raises
    ------
    UsageError
        If the label holds anything but letters, digits and plus signs.
    """
    bare = label.removeprefix(f"{prefix}-")
    if not _LABEL.fullmatch(bare):
        raise UsageError(f"'{label}' is no BIDS label: letters, digits and + only, such as '{prefix}-01' or '01'.")
    return bare


def dataset_name(bids_dir: Path) -> str:
    """Name in ``dataset_description.json``.

    Raises
    ------
    UsageError
        If the folder is not a BIDS dataset.
    """
    description = bids_dir / "dataset_description.json"
    if not bids_dir.is_dir():
        raise UsageError(f"The BIDS folder {bids_dir} does not exist. In a container, mount it with -v.")
    if not description.is_file():
        raise UsageError(
            f"{bids_dir} is not a BIDS dataset: it has no dataset_description.json. "
            "Give the folder that holds it and the sub-* folders."
        )
    try:
        content = read_json(description)
    except ValueError as error:
        raise UsageError(f"{description} is not valid JSON ({error}); correct it.") from None
    return str(content.get("Name", bids_dir.name)) if isinstance(content, dict) else bids_dir.name


def participants(bids_dir: Path, selection: Selection) -> list[str]:
    """Labels of the subjects to work on, without ``sub-``.

    Raises
    ------
    UsageError
        If none is there, or one that was asked for is not.
    """
    there = sorted(label for label in _folder_labels(bids_dir) if _LABEL.fullmatch(label))
    if not there:
        raise UsageError(f"No sub-* folder in {bids_dir}: nothing to work on.")
    absent = sorted(set(selection.participants) - set(there))
    if absent:
        shown = ", ".join(there[:20]) + (" ..." if len(there) > 20 else "")
        raise UsageError(f"Not in {bids_dir}: {', '.join(absent)}. It has: {shown}.")
    wanted = [label for label in selection.participants or there if label not in selection.excluded]
    if not wanted:
        raise UsageError("No matching subject: every one asked for is also excluded.")
    return sorted(set(wanted))


def odd_folders(bids_dir: Path) -> list[str]:
    """Folders that look like those of subjects and bear no BIDS label; they are not looked into."""
    return sorted(f"sub-{label}" for label in _folder_labels(bids_dir) if not _LABEL.fullmatch(label))


def _folder_labels(bids_dir: Path) -> list[str]:
    return [path.name.removeprefix("sub-") for path in bids_dir.glob("sub-*") if path.is_dir()]


class Inputs(NamedTuple):
    """What was found in a dataset; paths are absolute."""

    anatomies: list[Anatomy]
    recordings: list[Recording]
    diffusions: list[Diffusion]
    skipped: list[Skipped]


def scan(bids_dir: Path, labels: Sequence[str], selection: Selection) -> Inputs:
    """Find the T1w, the diffusion series, and the BOLD, EEG and iEEG runs of subjects.

    Parameters
    ----------
    bids_dir : Path
        The dataset.
    labels : sequence of str
        Subjects, without ``sub-``.
    selection : Selection
        Sessions, tasks, runs and filters asked for.

    Returns
    -------
    Inputs

    Raises
    ------
    UsageError
        If a session, task or run that was asked for is nowhere, or a filter names no entity.
    """
    found = _Found(_layout(bids_dir, labels, selection.database), selection)
    inputs = Inputs([], [], [], found.odd)
    for label in labels:
        subject = f"sub-{label}"
        anatomy = _anatomy(found.t1w.get(label, []), selection)
        if anatomy:
            inputs.anatomies.append(anatomy)
        runs, fieldmaps = _runs(found.bold.get(label, [])), found.fmap.get(label, [])
        diffusions, lost = find_diffusions(bids_dir, found.dwi.get(label, []), fieldmaps, anatomy)
        inputs.diffusions.extend(diffusions)
        inputs.skipped.extend(lost)
        electric, lost_electric = find_recordings(bids_dir, found.electric.get(label, []), anatomy)
        if not (runs or anatomy or diffusions or electric or lost or lost_electric):
            reason = "no T1w, no BOLD, EEG or iEEG run and no DWI that was asked for"
            inputs.skipped.append(Skipped(subject, "subject", reason, fault=label in selection.participants))
        for files in runs:
            try:
                inputs.recordings.append(_recording(bids_dir, files, fieldmaps, anatomy))
            except InputError as error:
                inputs.skipped.append(Skipped(subject, Path(files[0].path).name, str(error)))
        inputs.recordings.extend(electric)
        inputs.skipped.extend(lost_electric)
    return inputs


class _Found:
    """Files by subject. One query a kind for the whole dataset: a query a subject takes minutes at 1000 subjects."""

    def __init__(self, layout: BIDSLayout, selection: Selection) -> None:
        t1w = self._files(layout, selection, "t1w", {"suffix": "T1w", "datatype": "anat"})
        bold = self._files(layout, selection, "bold", {"suffix": "bold", "datatype": "func"})
        dwi = self._files(layout, selection, "dwi", {"suffix": "dwi", "datatype": "dwi"})
        electric = [file for kind in EXTENSIONS for file in self._signals(layout, selection, kind)]
        self.odd = [_odd(file) for file in (*t1w, *bold, *dwi, *electric) if not _bears_a_name(file)]
        t1w, bold, dwi = ([file for file in files if _bears_a_name(file)] for files in (t1w, bold, dwi))
        electric = [file for file in electric if _bears_a_name(file)]
        electric += signal_folders(Path(layout.root), set(layout.get_subjects()))
        _name_absent(selection, [*t1w, *dwi], [*bold, *electric])
        self.t1w = _by_subject(t1w)
        self.bold = _by_subject([file for file in bold if _asked(file, selection)])
        self.dwi = _by_subject([file for file in dwi if _of_session(file, selection)])
        self.electric = _by_subject([file for file in electric if _asked(file, selection)])
        self.fmap = _by_subject(self._files(layout, selection, "fmap", {"datatype": "fmap"}))

    @classmethod
    def _signals(cls, layout: BIDSLayout, selection: Selection, kind: str) -> list[Signal]:
        return [*cls._files(layout, selection, kind, {"suffix": kind, "datatype": kind, "extension": EXTENSIONS[kind]})]

    @staticmethod
    def _files(layout: BIDSLayout, selection: Selection, kind: str, query: dict[str, Any]) -> list[BIDSFile]:
        from bids.layout import Query

        special = {None: Query.NONE, "*": Query.ANY}
        for key, value in selection.filters.get(kind, {}).items():
            query[key] = special.get(value, value) if isinstance(value, str | None) else value
        try:
            files = layout.get(**({"extension": _NIFTI} | query))
        except ValueError as error:
            raise UsageError(f"--bids-filter-file, {kind}: {error}") from None
        return sorted(files, key=lambda file: file.path)


def _bears_a_name(file: Signal) -> bool:
    return name_fault(Path(file.path).name) is None


def _odd(file: Signal) -> Skipped:
    name = Path(file.path).name
    return Skipped(f"sub-{file.entities['subject']}", printable(name), str(name_fault(name)))


def _by_subject(files: Sequence[File]) -> dict[str, list[File]]:
    groups: dict[str, list[File]] = {}
    for file in files:
        groups.setdefault(file.entities["subject"], []).append(file)
    return groups


def _of_session(file: Signal, selection: Selection) -> bool:
    return not selection.sessions or file.entities.get("session") in selection.sessions


def _asked(file: Signal, selection: Selection) -> bool:
    entities, runs = file.entities, {unpadded(run) for run in selection.runs}
    of_task = not selection.tasks or entities.get("task") in selection.tasks
    return of_task and _of_session(file, selection) and (not runs or unpadded(str(entities.get("run", ""))) in runs)


def _name_absent(selection: Selection, others: Sequence[Signal], runs: Sequence[Signal]) -> None:
    """Refuse labels that are nowhere: a misspelled task would end in anatomy alone, and look like a success."""

    def labels(key: str, files: Sequence[Signal]) -> set[str]:
        return {str(file.entities[key]) for file in files if file.entities.get(key) is not None}

    there = {
        "session": (selection.sessions, labels("session", [*others, *runs])),
        "task": (selection.tasks, labels("task", runs)),
        "run": (selection.runs, labels("run", runs)),
    }
    faults = []
    for what, (asked, present) in there.items():
        known = {unpadded(label) if what == "run" else label for label in present}
        absent = [label for label in asked if (unpadded(label) if what == "run" else label) not in known]
        if absent:
            faults.append(f"{what} {', '.join(absent)} (there is: {', '.join(sorted(present)) or 'none'})")
    if faults:
        raise UsageError(f"Asked for, and not there in the subjects to work on: {'; '.join(faults)}.")


def _layout(bids_dir: Path, labels: Sequence[str], database: Path | None) -> BIDSLayout:
    from bids.exceptions import BIDSValidationError

    from bids import BIDSLayout, BIDSLayoutIndexer

    # Only the subjects asked for are indexed, and no metadata: reading every sidecar is what makes pybids slow.
    # A database that is kept has to hold all subjects, since a later run may ask for others.
    wanted = "|".join(re.escape(label) for label in labels) if database is None else _LABEL.pattern
    ignore = [
        re.compile(rf"^/sub-(?!(?:{wanted})(?:/|$))"),
        re.compile(r"/(sourcedata|derivatives|code|stimuli|[^/]+\.mefd)(/|$)"),
        re.compile(r"/\."),
    ]
    walked = set(labels if database is None else _folder_labels(bids_dir))
    ignore += [re.compile(rf"^/{re.escape(path)}(/|$)") for path in untraversable(bids_dir, walked)]
    _check_description(bids_dir)
    indexer = BIDSLayoutIndexer(validate=False, index_metadata=False, ignore=ignore)
    try:
        return BIDSLayout(bids_dir, indexer=indexer, database_path=database, config=[_entities_below(bids_dir)])
    except (BIDSValidationError, ValueError) as error:
        raise UsageError(f"{bids_dir} cannot be indexed as a BIDS dataset: {error}") from None


def _check_description(bids_dir: Path) -> None:
    """Refuse a description that is JSON but no object, on which pybids stumbles; other faults it tells itself."""
    path = bids_dir / "dataset_description.json"
    try:
        content = read_json(path) if path.is_file() else {}
    except ValueError:
        return
    if not isinstance(content, dict):
        what = f"{bids_dir} cannot be indexed as a BIDS dataset: dataset_description.json"
        raise UsageError(
            f"{what} holds {str(content)[:40]!r}, and an object with Name and BIDSVersion is wanted; write one."
        )


def _entities_below(bids_dir: Path) -> dict[str, Any]:
    """Entities of BIDS as pybids knows them, read off the path below the dataset only.

    pybids reads whole paths: every file of a dataset in ``/projects/dwi/`` would be of the datatype dwi, and in
    ``/export/sub-9/`` of subject 9.
    """
    from bids.config import get_option

    content: dict[str, Any] = read_json(Path(get_option("config_paths")["bids"]))
    root = re.escape(os.path.abspath(bids_dir))  # noqa: PTH100 - as pybids does; resolve() would follow links
    for entity in content["entities"]:
        if entity["pattern"].startswith("["):
            entity["pattern"] = f"^{root}.*?{entity['pattern']}"
    return content


def _anatomy(files: list[BIDSFile], selection: Selection) -> Anatomy | None:
    """Take the first T1w (by session, then by name); the others are named as unused."""
    if selection.sessions:
        # A T1w of another session still serves: the anatomy of a person does not change with the session.
        files = sorted(files, key=lambda file: file.entities.get("session") not in selection.sessions)
    if not files:
        return None
    entities = files[0].entities
    name = stem({key: entities.get(key) for key in ("subject", "session")})
    item = "/".join((*_folder(entities, "anat"), name))
    return Anatomy(item, f"sub-{entities['subject']}", files[0].path, tuple(Path(f.path).name for f in files[1:]))


def _runs(files: list[BIDSFile]) -> list[list[BIDSFile]]:
    """Group BOLD files that are one run (the echoes of a multi-echo run), magnitudes only."""
    groups: dict[str, list[BIDSFile]] = {}
    for file in files:
        entities = file.entities
        if entities.get("part", "mag") == "mag":
            groups.setdefault(stem({key: entities.get(key) for key in _BOLD_ENTITIES}), []).append(file)
    return list(groups.values())


def unpadded(run: str) -> str:
    """Run label without leading zeros, so that ``01`` asks for ``1`` as well."""
    return run.lstrip("0") or "0"


def _recording(root: Path, files: list[BIDSFile], fieldmaps: list[BIDSFile], anatomy: Anatomy | None) -> Recording:
    metadata = {file.path: read_metadata(Path(file.path), root) for file in files}
    chosen = min(files, key=lambda file: abs(_echo_time(metadata[file.path]) - _PREFERRED_ECHO_S))
    meta, entities, path = metadata[chosen.path], chosen.entities, Path(chosen.path)
    item = "/".join((*_folder(entities, "func"), stem({key: entities.get(key) for key in _BOLD_ENTITIES})))
    unused = [Path(file.path).name for file in files if file is not chosen]
    session = entities.get("session")
    unused += [Path(file.path).name for file in fieldmaps if file.entities.get("session") == session]
    return Recording(
        item=item,
        series=item,
        subject=f"sub-{entities['subject']}",
        session=session,
        task=entities.get("task"),
        run=None if entities.get("run") is None else str(entities["run"]),
        engine="builtin",
        tr=_repetition_time(meta, path),
        source=str(path),
        anat=anatomy.item if anatomy else None,
        slice_timing=_slice_timing(meta, path),
        slice_encoding=meta.get("SliceEncodingDirection"),
        sbref=_companion(path, "sbref", _NIFTI),
        events=_companion(path, "events", [".tsv"]),
        unused=tuple(unused),
    )


def _echo_time(meta: dict[str, Any]) -> float:
    """Echo time, s; 0 where the sidecar gives no number."""
    value = meta.get("EchoTime")
    return float(value) if isinstance(value, int | float) else 0.0


def _slice_timing(meta: dict[str, Any], path: Path) -> tuple[float, ...] | None:
    """Times of the slices, s, or None where the sidecar has none.

    Raises
    ------
    InputError
        If they are no list of numbers.
    """
    times = meta.get("SliceTiming")
    if times is None or times == []:
        return None
    if not isinstance(times, list) or not all(isinstance(time, int | float) for time in times):
        raise InputError(f"{path.name}: SliceTiming is {str(times)[:80]}; it must be a list of times in seconds.")
    return tuple(float(time) for time in times)


def _repetition_time(meta: dict[str, Any], path: Path) -> float:
    """Repetition time of the sidecar, s.

    Raises
    ------
    InputError
        If it is missing, not a number, or not positive; a header's fourth zoom is no substitute, since
        converters are known to write it wrong.
    """
    value = meta.get("RepetitionTime")
    if value is None:
        hint = " (VolumeTiming, as in sparse acquisition, is not supported)" if "VolumeTiming" in meta else ""
        raise InputError(f"{path.name}: no RepetitionTime in its JSON sidecar{hint}; add it, in seconds.")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 100:
        raise InputError(f"{path.name}: RepetitionTime is {value!r}; it must be in seconds and above 0.")
    return float(value)


def _companion(bold: Path, suffix: str, extensions: list[str]) -> str | None:
    """File of another suffix with the same entities, in the same folder."""
    base = bold.name.partition(".")[0].removesuffix("_bold")
    bare = "_".join(part for part in base.split("_") if not part.startswith(("echo-", "part-")))
    for name in (base, bare):
        for extension in extensions:
            candidate = bold.with_name(f"{name}_{suffix}{extension}")
            if candidate.is_file():
                return str(candidate)
    return None


def _folder(entities: dict[str, Any], datatype: str) -> tuple[str, ...]:
    session = (f"ses-{entities['session']}",) if entities.get("session") else ()
    return (f"sub-{entities['subject']}", *session, datatype)
