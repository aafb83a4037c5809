"""Everything that can be known before the first job is looked at before the first job.

What is wrong with the whole run refuses it; what is wrong with one recording leaves it out, and the others go on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bids_ai.bids import dataset
from bids_ai.bids.dataset import Selection
from bids_ai.bids.index import Anatomy, AtlasEntry, Index, Recording, Skipped, make_fits
from bids_ai.bids.inputs import find_inputs
from bids_ai.bids.tables import read_table
from bids_ai.cli.diffusion_checks import check_diffusions, program_faults
from bids_ai.cli.images import MIN_FRAMES, image_fault
from bids_ai.config import Config
from bids_ai.errors import BidsAiError, InputError, UsageError

_BUNDLED_SPACE = "MNI152NLin2009aSym"


@dataclass
class Findings:
    """What the checks found."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def build_index(
    bids_dir: Path | None, selection: Selection, tools: dict[str, Path], config: Config, findings: Findings
) -> Index:
    """Choose the inputs and leave out what cannot be worked on.

    Parameters
    ----------
    bids_dir : Path or None
        Raw dataset, or None where the derivatives of other tools are all there is.
    selection : Selection
        What is asked for.
    tools : dict
        Derivatives of other tools: ``fmriprep``, ``xcpd`` or ``qsiprep`` to their folder.
    config : Config
        Settings.
    findings : Findings
        Faults are added to it.
    """
    root = bids_dir or next(iter(tools.values()))
    name = dataset.dataset_name(root)
    labels = dataset.participants(root, selection)
    odd = dataset.odd_folders(root)
    if odd:
        findings.warnings.append(f"Not looked into, since their names are no BIDS labels: {', '.join(odd[:10])}.")
    found = find_inputs(bids_dir, labels, selection, tools)
    anatomies, lost = _check_anatomies(found.anatomies)
    skipped = found.skipped + lost
    usable = {entry.item for entry in anatomies}
    recordings, lost = _check_recordings(found.recordings, usable)
    skipped += lost
    diffusions, lost = check_diffusions(found.diffusions, usable)
    skipped += lost
    space = config.anat.template.space or _BUNDLED_SPACE
    recordings = [_at_rate(_in_space(entry, space), config.eeg.low_pass_hz) for entry in recordings]
    index = Index(
        bids_dir=str(root),
        dataset_name=name,
        space=space,
        anatomies=anatomies,
        recordings=recordings,
        diffusions=diffusions,
        fits=make_fits(recordings, pool_runs=config.surrogate.pool_runs),
        atlases=_series_atlases(recordings),
        skipped=skipped,
        derivatives={tool: str(path) for tool, path in tools.items()},
    )
    check_clock(index, findings)
    return index


#: Samples in a period of the low-pass: two and room for the slope of the filter; 45 Hz make 100 Hz.
_SAMPLES_PER_PERIOD = 20 / 9


def _in_space(entry: Recording, space: str) -> Recording:
    """Name the series of a recording that is preprocessed here by the space they are taken in."""
    if entry.engine != "builtin" or entry.modality != "bold":
        return entry
    return replace(entry, series=f"{entry.item}_space-{space}", space=space)


def _at_rate(entry: Recording, low_pass_hz: float) -> Recording:
    """Sample region series of EEG no faster than its low-pass wants.

    Where each sample follows from the one before, a surrogate learns nothing of coupling.
    """
    if entry.modality != "eeg" or entry.tr is None:
        return entry
    return replace(entry, tr=max(entry.tr, 1 / (_SAMPLES_PER_PERIOD * low_pass_hz)))


def _series_atlases(recordings: list[Recording]) -> list[AtlasEntry]:
    labels = dict.fromkeys(entry.atlas for entry in recordings if entry.atlas)
    return [AtlasEntry(label, spec="", kind="series") for label in labels]


#: Clocks of a file server and of this machine differ by seconds.
_CLOCKS_S = 120


def check_clock(index: Index, findings: Findings) -> None:
    """Warn of inputs that are dated in the future: they stay newer than all that is made of them."""
    sources = [entry.t1w for entry in index.anatomies]
    sources += [entry.source for entry in index.recordings] + [entry.source for entry in index.diffusions]
    now = time.time()
    ahead = {path: Path(path).stat().st_mtime - now for path in sources if Path(path).exists()}
    late = [path for path, seconds in ahead.items() if seconds > _CLOCKS_S]
    if late:
        days = max(ahead.values()) / 86400
        findings.warnings.append(
            f"{len(late)} input file(s) are dated up to {days:.2g} days in the future, such as {late[0]}: until then "
            "what is made of them is made again by every run. Set the clock right, or date the files back (touch)."
        )


# ---- images


def _check_anatomies(anatomies: list[Anatomy]) -> tuple[list[Anatomy], list[Skipped]]:
    kept, lost = [], []
    for entry in anatomies:
        fault = image_fault(Path(entry.t1w), ndim=3)
        if fault:
            lost.append(Skipped(entry.subject, Path(entry.t1w).name, fault))
        else:
            kept.append(entry)
    return kept, lost


def _check_recordings(recordings: list[Recording], anatomies: set[str]) -> tuple[list[Recording], list[Skipped]]:
    kept, lost = [], []
    for entry in recordings:
        fault = _recording_fault(entry, anatomies)
        if fault:
            lost.append(Skipped(entry.subject, Path(entry.source).name, fault))
        else:
            kept.append(entry)
    return kept, lost


def _recording_fault(entry: Recording, anatomies: set[str]) -> str | None:
    if entry.tr is None:
        return "no RepetitionTime (or SamplingFrequency) in its JSON sidecar; add it, in seconds"
    if entry.engine == "timeseries":
        return _table_fault(Path(entry.source))
    if entry.modality != "bold":
        return _signal_fault(Path(entry.source))
    fault = image_fault(Path(entry.source), ndim=4)
    if fault:
        return fault
    if entry.engine == "builtin":
        if entry.anat not in anatomies:
            return "the subject has no usable T1w, which the BOLD is registered to; add one, or use --derivatives"
        return _slice_timing_fault(entry)
    missing = [what for what, path in (("brain mask", entry.mask), ("confounds", entry.confounds)) if not path]
    return f"no {' and no '.join(missing)} beside it in the derivatives" if missing else None


def _signal_fault(path: Path) -> str | None:
    """What can be told of an EEG or iEEG recording without reading it."""
    from bids_ai.bids.electrophysiology.formats import check_present
    from bids_ai.bids.electrophysiology.sidecars import find_tables

    try:
        check_present(path)
    except InputError as error:
        return str(error)
    if not find_tables(path, "channels"):
        return "no channels.tsv beside or above it: BIDS requires one, and types and bad channels are read from it"
    return None


def _slice_timing_fault(entry: Recording) -> str | None:
    import nibabel as nib

    if entry.slice_timing is None or entry.tr is None:
        return None
    times = np.asarray(entry.slice_timing)
    if not np.isfinite(times).all() or times.min() < 0 or times.max() >= entry.tr:
        return (
            f"SliceTiming goes from {times.min():g} to {times.max():g} s, outside one TR of {entry.tr:g} s; "
            "it must be in seconds"
        )
    encoding = str(entry.slice_encoding or "k").rstrip("-")
    if encoding not in ("i", "j", "k"):
        return f"SliceEncodingDirection is '{entry.slice_encoding}'; it must be i, j or k, with or without a minus"
    image: Any = nib.load(entry.source)
    slices = image.shape["ijk".index(encoding)]
    if len(times) != slices:
        return f"SliceTiming has {len(times)} times for {slices} slices along {encoding}; mend or remove it"
    return None


def _table_fault(path: Path) -> str | None:
    from pandas.api.types import is_numeric_dtype

    try:
        table = read_table(path)
    except (BidsAiError, ValueError, OSError) as error:
        return f"cannot be read as a table: {error}"
    if len(table) < MIN_FRAMES:
        return f"it has {len(table)} frames; at least {MIN_FRAMES} are needed"
    text = [str(name) for name in table if not is_numeric_dtype(table[name])]
    return f"columns without numbers: {', '.join(text[:5])}" if text else None


# ---- the run as a whole


def check_settings(config: Config, findings: Findings, *, elsewhere: bool = False) -> None:
    """Check what settings ask of this machine: families, devices, templates; jobs may run on another (`elsewhere`)."""
    from bids_ai.surrogate.device import resolve_device
    from bids_ai.surrogate.registry import FAMILIES
    from bids_ai.surrogate.selection import AUTO

    if config.surrogate.model not in (AUTO, *FAMILIES):
        known = ", ".join([AUTO, *sorted(FAMILIES)])
        findings.refusals.append(f"Unknown surrogate model '{config.surrogate.model}'; known are: {known}.")
    if config.device != "cpu" and not elsewhere:
        try:
            resolve_device(config.device)
        except BidsAiError as error:
            findings.refusals.append(str(error))
    template = config.anat.template
    images = {f"Template {key}": getattr(template, key) for key in ("t1w", "mask", "head", "gm", "wm")}
    images["Template of the atlases"] = config.parcellation.template
    for name, path in images.items():
        fault = image_fault(path, ndim=3) if path and path.is_file() else (path and "the file does not exist")
        if fault:
            findings.refusals.append(f"{name} {path}: {fault}.")
    if config.anat.skullstrip == "head-template" and template.head is None:
        findings.refusals.append("anat.skullstrip is 'head-template', and anat.template.head gives none.")


def check_programs(index: Index, config: Config, findings: Findings, *, elsewhere: bool = False) -> None:
    """Check the programs asked for, unless jobs run in an image, and the group's structural connectivity."""
    if index.diffusions and not elsewhere:
        findings.refusals.extend(program_faults(config))
    group = config.structural_connectivity.group
    if group and not group.is_file():
        findings.refusals.append(f"structural_connectivity.group: {group} does not exist.")
    if any(entry.stimulated for entry in index.recordings):
        _check_prediction(config, findings)


def _check_prediction(config: Config, findings: Findings) -> None:
    from bids_ai.ccep.prediction.registry import PREDICTORS

    own = config.prediction
    unknown = [name for name in own.predictors or [] if name not in PREDICTORS]
    if unknown:
        findings.refusals.append(
            f"prediction.predictors: unknown {', '.join(unknown)}; choose of {', '.join(PREDICTORS)}."
        )
    if own.group_prior and not own.group_prior.is_file():
        findings.refusals.append(f"prediction.group_prior: {own.group_prior} does not exist.")


def check_work(index: Index, findings: Findings) -> None:
    """Refuse a run that has nothing to work on, with what was looked for and why each was left out."""
    if index.recordings or index.anatomies or index.diffusions:
        return
    looked = "\n".join(f"    {entry.subject} {entry.what}: {entry.reason}" for entry in index.skipped[:50])
    findings.refusals.append(
        "Nothing to work on. Looked for *_T1w.nii[.gz] in anat/, *_bold.nii[.gz] in func/, *_dwi.nii[.gz] in dwi/, "
        "*_eeg.vhdr (.edf, .bdf, .set) in eeg/, *_ieeg.vhdr (.edf, .set, .nwb, .mefd) in ieeg/ "
        f"(or for what --derivatives names); left out:\n{looked or '    nothing was found'}"
    )


def check_stimulation(index: Index, findings: Findings) -> None:
    """Refuse a run that is about responses to stimulation alone where nothing was stimulated."""
    if any(entry.stimulated for entry in index.recordings):
        return
    found = [Path(entry.item).name for entry in index.recordings if entry.modality == "ieeg"]
    found += [f"{entry.what} (left out: {entry.reason})" for entry in index.skipped]
    findings.refusals.append(
        "No recording with single-pulse stimulation: wanted are rows whose trial_type is exactly "
        "'electrical_stimulation' in the events.tsv of SEEG or ECoG; recordings without such rows: "
        f"{', '.join(found[:20]) or 'none'}. Correct the events, or use 'bids-ai run' for recordings at rest."
    )


def validate_bids(bids_dir: Path, findings: Findings) -> None:
    """Call the bids-validator where it is installed; its errors are told as warnings.

    They refuse nothing: what cannot be used is left out by the checks above, and one bad file stops no other subject.
    """
    import sys

    beside = Path(sys.executable).with_name("bids-validator-deno")
    program = str(beside) if beside.is_file() else shutil.which("bids-validator-deno")
    if not program:
        findings.warnings.append(
            "bids-validator is not installed (pip install 'bids-ai[validate]'): BIDS not validated."
        )
        return
    try:
        done = subprocess.run(
            [program, str(bids_dir), "--format", "json"], capture_output=True, text=True, timeout=600, check=False
        )
        issues = json.loads(done.stdout)["issues"]["issues"]
    except (subprocess.TimeoutExpired, ValueError, KeyError, OSError) as error:
        findings.warnings.append(f"The bids-validator gave no answer ({type(error).__name__}): BIDS not validated.")
        return
    errors = [issue for issue in issues if issue.get("severity") == "error"]
    if errors:
        shown = sorted({f"{issue.get('code')} in {issue.get('location', '?')}" for issue in errors})
        findings.warnings.append(
            f"The bids-validator finds {len(errors)} errors in {bids_dir}: {'; '.join(shown[:8])}"
            + (" ..." if len(shown) > 8 else "")
        )


def refuse(findings: Findings) -> None:
    """End before the first job if anything speaks against the run, with all findings in one message.

    Raises
    ------
    UsageError
        If there are refusals.
    """
    if findings.refusals:
        raise UsageError("refused before the first job:\n" + "\n".join(f"  - {text}" for text in findings.refusals))
