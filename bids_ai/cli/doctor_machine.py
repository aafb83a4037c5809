"""Cores, memory and folders: what a run may use and where it can write."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from bids_ai.cli.doctor_findings import Finding
from bids_ai.cli.machine import machine_memory, usable_cores, usable_memory

SECTION = "machine"
#: What the largest rule asks for at the least (workflow/rules), MB.
LARGEST_JOB_MB = 4000
_GB = 1e9


def machine() -> list[Finding]:
    """Cores and memory, within the limits of the container or of the batch job."""
    cores, all_cores = usable_cores(), os.cpu_count() or 1
    memory, all_memory = usable_memory(), machine_memory()
    of = f" of {all_cores} (limit of the container or of the scheduler)" if cores < all_cores else ""
    rows = [Finding(SECTION, "cores", "ok", f"{cores}{of}", cores)]
    limit = f" (limit of the container; the machine has {all_memory / _GB:.1f} GB)" if memory < all_memory else ""
    words = f"{memory / _GB:.1f} GB{limit}"
    if memory < LARGEST_JOB_MB * 1e6:
        cost = f"jobs ask for up to {LARGEST_JOB_MB / 1000:g} GB and may be ended for want of memory"
        return [*rows, Finding(SECTION, "memory", "note", words, memory, cost, "more memory, or --low-mem")]
    return [*rows, Finding(SECTION, "memory", "ok", words, memory)]


def folders(chosen: Path) -> list[Finding]:
    """Whether the folder of a run, the temporary folder and the home can be written, and how much room there is."""
    return [_chosen(chosen), *_temporary(), _home()]


def _chosen(folder: Path) -> Finding:
    from bids_ai.cli.places import absolute, cannot_write

    path = absolute(folder)
    fault = cannot_write(path)
    nearest = next(parent for parent in (path, *path.parents) if parent.exists())
    free = shutil.disk_usage(nearest).free
    if fault:
        remedy = "give a folder that can be written and has room: --dir here, OUTPUT_DIR and --work-dir of a run"
        return Finding(SECTION, "work folder", "broken", f"{path}: {fault}", free, "a run there is refused", remedy)
    return Finding(SECTION, "work folder", "ok", f"{path}: {free / _GB:.1f} GB free", free)


def _temporary() -> list[Finding]:
    from bids_ai.cli.places import MIN_FREE_MB

    named = os.environ.get("TMPDIR")
    remedy = "set TMPDIR to a folder that can be written and has room"
    try:
        folder = Path(tempfile.gettempdir())
    except FileNotFoundError:
        words = f"none can be written (TMPDIR: {named or 'not set'})"
        return [Finding(SECTION, "temporary folder", "broken", words, None, "no job can be run", remedy)]
    free = shutil.disk_usage(folder).free
    words = f"{folder}: {free / _GB:.1f} GB free"
    if named and Path(named).absolute() != folder.absolute():
        cost = f"{folder} is used instead of TMPDIR={named}, which cannot be written"
        return [Finding(SECTION, "temporary folder", "note", words, free, cost, remedy)]
    if free < MIN_FREE_MB * 1e6:
        cost = f"below {MIN_FREE_MB} MB the temporary files of tractography may not fit"
        return [Finding(SECTION, "temporary folder", "note", words, free, cost, remedy)]
    return [Finding(SECTION, "temporary folder", "ok", words, free)]


def _home() -> Finding:
    home = os.environ.get("HOME") or "none"
    try:
        with tempfile.TemporaryFile(dir=home):
            return Finding(SECTION, "home", "ok", home, home)
    except OSError as error:
        cost = "lists of fonts are made anew in every job, which takes seconds; bids-ai fetch wants --dir"
        remedy = "set HOME, or MPLCONFIGDIR and BIDS_AI_ATLAS_DIR, to folders that can be written"
        return Finding(SECTION, "home", "note", f"{home} cannot be written: {error.strerror}", home, cost, remedy)
