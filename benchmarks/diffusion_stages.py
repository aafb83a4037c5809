"""The stages of the workflow from T1w and DWI to structural connectivity, one process each, and what each costs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bids_ai.bids.index import Diffusion
from bids_ai.stages.context import Context


@dataclass(frozen=True)
class Cost:
    """What a process cost, with the programs that it called: s, and GB of the largest of them."""

    wall_s: float
    cpu_s: float
    peak_gb: float


def run_timed(command: list[str], log: Path, threads: int = 1) -> Cost:
    """Run a command to its end.

    Raises
    ------
    RuntimeError
        With the end of its log, if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": str(threads)}
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)  # wait4 took it from Popen
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{log.read_text()[-2000:]}")
    wall = time.perf_counter() - start
    return Cost(round(wall, 1), round(usage.ru_utime + usage.ru_stime, 1), round(usage.ru_maxrss / 2**20, 2))


class Chain:
    """Stages over one dataset with one engine; a stage that was finished before is not repeated.

    Parameters
    ----------
    dataset : Path
    folder : Path
        Receives ``out``, ``work``, logs and costs.
    engine : str
        Of denoising and tracking.
    atlas : str
        As ``--atlases`` takes it.
    streamlines : int
    threads : int
        Of every stage.
    """

    def __init__(
        self, dataset: Path, folder: Path, *, engine: str, atlas: str, streamlines: int = 200_000, threads: int = 1
    ) -> None:
        self.folder, self.engine, self.threads = folder, engine, threads
        settings = folder / "settings.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        settings.write_text(
            f"dwi:\n  engine: {engine}\nstructural_connectivity:\n  engine: {engine}\n  streamlines: {streamlines}\n"
        )
        places = [str(dataset), str(folder / "out"), "-w", str(folder / "work")]
        options = ["--config-file", str(settings), "--atlases", atlas, "--stages", "sc", "--skip-bids-validation"]
        run_timed([sys.executable, "-m", "bids_ai", "index", *places, *options], folder / "logs" / "index.log")
        runs = sorted((folder / "work" / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
        self.config = runs[-1] / "config.yaml"
        self.context = Context.load(self.config)

    @property
    def diffusions(self) -> list[Diffusion]:
        """Series, one per subject."""
        return list(self.context.index.diffusions)

    @property
    def atlas(self) -> str:
        """Label of the atlas."""
        return self.context.index.volume_atlases()[0].label

    def take_anatomy(self, other: Chain, item: str) -> None:
        """Take the preprocessed T1w of another chain, which does not depend on the engine."""
        name = f"anat_preprocess_{item.replace('/', '_')}.json"
        if (self.folder / "costs" / name).is_file():
            return
        here = self.folder / "out" / item
        here.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree((other.folder / "out" / item).parent, here.parent, dirs_exist_ok=True)
        (self.folder / "costs").mkdir(exist_ok=True)
        shutil.copy2(other.folder / "costs" / name, self.folder / "costs")

    def stage(self, name: str, **wildcards: str) -> Cost:
        """Run one stage, or give what it cost when it ran."""
        item = "_".join([name, *(value.replace("/", "_") for value in wildcards.values())])
        stored = self.folder / "costs" / f"{item}.json"
        if not stored.is_file():
            command = [sys.executable, "-m", "bids_ai", "stage", name, "--config", str(self.config)]
            command += ["--threads", str(self.threads), "--wildcards", *(f"{k}={v}" for k, v in wildcards.items())]
            cost = run_timed(command, self.folder / "logs" / f"{item}.log", self.threads)
            stored.parent.mkdir(exist_ok=True)
            stored.write_text(json.dumps(asdict(cost)))
        return Cost(**json.loads(stored.read_text()))


def make_chains(dataset: Path, folder: Path, engines: Sequence[str], **options: Any) -> list[Chain]:
    """One chain per engine, each in a folder of its name."""
    return [Chain(dataset, folder / engine, engine=engine, **options) for engine in engines]


def in_order(chains: Sequence[Chain]) -> Iterator[tuple[Chain, Diffusion]]:
    """Series by series, chain by chain, the T1w of each preprocessed once."""
    for number, entry in enumerate(chains[0].diffusions):
        assert entry.anat is not None
        for chain in chains:
            if chain is chains[0]:
                chain.stage("anat_preprocess", anat=entry.anat)
            else:
                chain.take_anatomy(chains[0], entry.anat)
            yield chain, chain.diffusions[number]
