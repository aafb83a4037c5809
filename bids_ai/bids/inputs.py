"""Which inputs a run has: of the raw dataset, or of what other tools made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_ai.bids.dataset import Inputs, Selection, scan
from bids_ai.bids.derivatives import scan_fmriprep, scan_series
from bids_ai.bids.index import Recording, Skipped
from bids_ai.bids.qsiprep import scan_qsiprep


def find_inputs(
    bids_dir: Path | None, labels: Sequence[str], selection: Selection, tools: Mapping[str, Path]
) -> Inputs:
    """Find the inputs of subjects.

    Parameters
    ----------
    bids_dir : Path or None
        Raw dataset, or None where the derivatives of other tools are all there is.
    labels : sequence of str
        Subjects, without ``sub-``.
    selection : Selection
        What is asked for.
    tools : mapping
        Derivatives of other tools: ``fmriprep``, ``xcpd`` or ``qsiprep`` to their folder. What preprocessed BOLD stands
        in the place of the whole raw dataset, what preprocessed DWI in that of its DWI.

    Returns
    -------
    Inputs
    """
    bold_tools = {name: path for name, path in tools.items() if name != "qsiprep"}
    found = Inputs([], [], [], [])
    if bids_dir is not None and not bold_tools:
        found = scan(bids_dir, labels, selection)
    if "fmriprep" in tools:
        _add(found, scan_fmriprep(tools["fmriprep"], labels, selection, bids_dir))
    if "xcpd" in tools:
        _add(found, scan_series(tools["xcpd"], labels, selection))
    if "qsiprep" in tools:
        diffusions, lost = scan_qsiprep(tools["qsiprep"], labels, selection)
        found = found._replace(diffusions=diffusions, skipped=found.skipped + lost)
    if not tools:
        return found
    told = {entry.subject for entry in found.anatomies} | {entry.subject for entry in found.recordings}
    told |= {entry.subject for entry in found.diffusions} | {entry.subject for entry in found.skipped}
    reason = f"nothing of it in {' and '.join(str(path) for path in tools.values())} that was asked for"
    absent = [label for label in labels if f"sub-{label}" not in told]
    found.skipped.extend(
        Skipped(f"sub-{label}", "subject", reason, fault=label in selection.participants) for label in absent
    )
    return found


def _add(found: Inputs, made: tuple[list[Recording], list[Skipped]]) -> None:
    found.recordings.extend(made[0])
    found.skipped.extend(made[1])
