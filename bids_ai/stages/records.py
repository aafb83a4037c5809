"""Records of jobs that failed or were killed, for the summary, the report and the exit code."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json, write_json

KILLED = (
    "The job was ended from outside, most often because the machine ran out of memory (or the run was killed). "
    "Give the container or the batch job more memory, or fewer parallel jobs with --nprocs, and start again."
)


@dataclass(frozen=True)
class Failure:
    """A job that did not end well."""

    stage: str
    wildcards: dict[str, str]
    message: str
    traceback: str
    log: str

    @property
    def item(self) -> str:
        """What the job worked on, without folders."""
        return "_".join(Path(value).name for value in self.wildcards.values() if value)


class Record:
    """Word of one job, in the folder of its run."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self.path = path
        self.content = content

    @classmethod
    def start(cls, run_dir: Path, stage: str, wildcards: dict[str, str]) -> Record:
        """Note that a job has begun."""
        key = hashlib.sha256(repr(sorted(wildcards.items())).encode()).hexdigest()[:16]
        content = {"stage": stage, "wildcards": wildcards, "status": "running", "started": time.time()}
        record = cls(run_dir / "jobs" / f"{stage}-{key}.json", content)
        write_json(record.path, content)
        return record

    def fail(self, message: str, trace: str) -> None:
        """Note that it failed, and why."""
        write_json(self.path, self.content | {"status": "failed", "message": message, "traceback": trace})

    def done(self) -> None:
        """Note how long it took; a job that ended well leaves only its time."""
        seconds = time.time() - self.content["started"]
        write_json(self.path, self.content | {"status": "done", "seconds": round(seconds, 2)})


def read_records(run_dir: Path) -> list[dict[str, Any]]:
    """All records of a run, in the order in which the jobs began."""
    records = [read_json(path) for path in (run_dir / "jobs").glob("*.json") if not path.name.startswith(".")]
    return sorted(records, key=lambda record: float(record["started"]))


def failures(run_dir: Path, *, killed: bool = True) -> list[Failure]:
    """Jobs of a run that failed.

    Parameters
    ----------
    run_dir : Path
        Folder of the run.
    killed : bool
        Count those that were still running when the workflow had ended, too.
    """
    lost = {"failed", "running"} if killed else {"failed"}
    return [
        Failure(
            stage=record["stage"],
            wildcards=record["wildcards"],
            message=record.get("message", KILLED),
            traceback=record.get("traceback", ""),
            log="",
        )
        for record in read_records(run_dir)
        if record["status"] in lost
    ]


def unfitted(config_file: Path) -> list[Failure]:
    """Surrogates that were published as failed; their jobs ended well, so that they did not stop the others."""
    from bids_ai.stages.context import Context

    context = Context.load(config_file)
    found = []
    for atlas in context.index.atlases:
        for fit in context.index.fits_of(atlas):
            holes = {"series": fit.series, "atlas": atlas.label, "model": context.model, "pool": fit.pool}
            path = context.names.path("surrogate", **holes)
            meta = read_json(path) if path.is_file() else {}
            if meta.get("Status") == "failed":
                found.append(Failure("surrogate", holes, str(meta.get("Reason")), "", ""))
    return found


def seconds_by_stage(run_dir: Path) -> dict[str, float]:
    """Wall time of the jobs that ended well, summed by stage, s."""
    totals: dict[str, float] = {}
    for record in read_records(run_dir):
        if record["status"] == "done":
            totals[record["stage"]] = totals.get(record["stage"], 0.0) + record["seconds"]
    return totals
