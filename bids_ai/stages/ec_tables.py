"""Effective connectivity of tables of signals: one batch of fits, and a folder of results for each table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bids_ai import __version__
from bids_ai.bids.files import read_json, write_json
from bids_ai.stages.ec_evidence import between_recordings
from bids_ai.stages.ec_jobs import Job, Outcome, Settings, origin_of
from bids_ai.stages.ec_publish import FIGURES, TOOL, publish

if TYPE_CHECKING:
    from bids_ai.surrogate.fit import FitResult

RUN_FILE = "ec_run.json"
"""What a run leaves in its output folder: by it a folder is known as ours."""
OUTPUTS = (
    *("ec_relmat.tsv", "ec_relmat.json", "ec_intervals.tsv", "ec_intervals.json", "surrogate.safetensors"),
    *("surrogate.json", "ec.html", "baseline-*_relmat.tsv", "baseline-*_relmat.json"),
    *(f"figures/{name}.svg" for name in FIGURES),
)
"""Files of a recording, and the page over several."""


def run(jobs: Sequence[Job], settings: Settings, tell: Callable[[str], None] = lambda text: None) -> list[Outcome]:
    """Fit all tables in one batch and write the results.

    Parameters
    ----------
    jobs : sequence of Job
        Recordings of different names. The results of several go to folders of their names, those of one to the output
        folder itself.
    settings : Settings
    tell : callable
        Is told what is being done.

    Returns
    -------
    list of Outcome
        In the order of the jobs.
    """
    from bids_ai.report.ec_page import write_overview
    from bids_ai.surrogate.fitted import FailedFit

    clear(settings.out_dir)
    outcomes = [
        _planned(job, settings.out_dir if len(jobs) == 1 else settings.out_dir / job.recording.name) for job in jobs
    ]
    _write_run(settings, "running", outcomes)
    results = _fit(jobs, settings, tell)
    for k, (job, result) in enumerate(zip(jobs, results, strict=True)):
        folder = outcomes[k].folder
        if isinstance(result, FailedFit):
            write_json(
                folder / "surrogate.json", {"Status": "failed", "Reason": result.reason} | origin_of(job, settings)
            )
            outcomes[k] = Outcome(job.recording.name, folder, "failed", reasons=(result.reason,))
        else:
            tell(f"{job.recording.name}: reading the responses of {result.family}")
            outcomes[k] = publish(job, result, folder, settings, several=len(jobs) > 1)
        _write_run(settings, "running", outcomes)
    if len(jobs) > 1:
        write_overview(
            settings.out_dir / "ec.html",
            outcomes,
            command=settings.command,
            version=__version__,
            between=_between(outcomes),
        )
    _write_run(settings, "done", outcomes)
    return outcomes


def _fit(jobs: Sequence[Job], settings: Settings, tell: Callable[[str], None]) -> list[FitResult]:
    """Fit all jobs, those of a model in one batch; in their order."""
    from bids_ai.surrogate.fit import fit_recordings

    found: dict[str, FitResult] = {}
    models = [job.model or settings.model for job in jobs]
    for model in dict.fromkeys(models):
        batch = [job.recording for job, own in zip(jobs, models, strict=True) if own == model]
        tell(f"fitting {len(batch)} recording{'s' * (len(batch) > 1)} with {model}")
        fits = fit_recordings(
            batch,
            model=model,
            order_max=settings.order_max,
            ensemble=settings.ensemble,
            seed=settings.seed,
            device=settings.device,
        )
        found |= {recording.name: fit for recording, fit in zip(batch, fits, strict=True)}
    return [found[job.recording.name] for job in jobs]


def _between(outcomes: Sequence[Outcome]) -> tuple[list[str], np.ndarray]:
    """Correlation of the effective connectivity of each recording with that of each other."""
    fitted = [outcome for outcome in outcomes if outcome.matrix is not None]
    return between_recordings(
        {outcome.name: outcome.matrix for outcome in fitted if outcome.matrix is not None},
        {outcome.name: outcome.regions for outcome in fitted},
    )


def made_here(folder: Path) -> bool:
    """Whether a folder holds results of this command."""
    try:
        content = read_json(folder / RUN_FILE)
        return bool(content["GeneratedBy"]["Name"] == TOOL)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def clear(folder: Path) -> None:
    """Remove what an earlier run of this command wrote; files by other names stay."""
    if not made_here(folder):
        return
    root = folder.resolve()
    recorded = [str(entry.get("Name", "")) for entry in read_json(folder / RUN_FILE).get("Recordings", [])]
    for place in (root, *(root / name for name in recorded if name == Path(name).name)):
        for pattern in OUTPUTS:
            for path in place.glob(pattern):
                path.unlink()
        for emptied in (place / "figures", place):
            if emptied != root and emptied.is_dir() and not any(emptied.iterdir()):
                emptied.rmdir()


def _planned(job: Job, folder: Path) -> Outcome:
    return Outcome(job.recording.name, folder, "running")


def _write_run(settings: Settings, status: str, outcomes: Sequence[Outcome]) -> None:
    """Write what is run, so that a later run can tell our files from those of the user."""
    content = {
        "GeneratedBy": {"Name": TOOL, "Version": __version__},
        "Status": status,
        "Command": settings.command,
        "Recordings": [
            {
                "Name": outcome.name,
                "Status": outcome.status,
                "Gate": outcome.verdict or None,
                "Reasons": list(outcome.reasons),
            }
            for outcome in outcomes
        ],
    }
    write_json(settings.out_dir / RUN_FILE, content)
