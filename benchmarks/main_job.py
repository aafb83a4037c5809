"""Time and weigh the whole job on a dataset, and print the quality figures that its sidecars hold.

    python benchmarks/main_job.py BIDS_DIR OUT [any option of bids-ai run]

Prints wall time in all and by stage, the largest memory of all processes together, and, per recording, the figures of
registration, motion, connectivity and fit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bids_ai.bids.files import read_json
from bids_ai.cli.places import default_work_dir
from bids_ai.stages.records import seconds_by_stage

#: How often memory is read, s.
SAMPLING_S = 0.5
FIGURES = {
    "T1w": ("brain_volume_l", "nmi_headers", "nmi_before", "nmi_after", "skullstrip_method"),
    "bold": ("tsnr_median", "fd_median_mm", "fd_max_mm", "nmi_before", "nmi_after", "mask_volume_ml"),
}


def main() -> int:
    """Run the job and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bids_dir")
    parser.add_argument("output_dir", type=Path)
    known, options = parser.parse_known_args()
    output_dir = known.output_dir.resolve()
    work = default_work_dir(Path(known.bids_dir).resolve(), output_dir)
    command = [sys.executable, "-m", "bids_ai", "run", known.bids_dir, str(known.output_dir), "participant", *options]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    peak = _Peak(process.pid)
    status = process.wait()
    wall = time.perf_counter() - start
    print(f"\nexit code           {status}")
    print(f"wall time           {wall:.0f} s")
    print(f"peak memory, all    {peak.stop() / 1e9:.2f} GB")
    for stage, seconds in seconds_by_stage(max((work / "runs").iterdir(), key=lambda run: run.stat().st_mtime)).items():
        print(f"  {stage:<26} {seconds:7.1f} s")
    for path in sorted(known.output_dir.rglob("*.json")):
        _show(path)
    return status


class _Peak:
    """Largest resident memory of a process and all its descendants together, in bytes (Linux)."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak, self.ended = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.ended.wait(SAMPLING_S):
            self.peak = max(self.peak, _resident(self.pid))

    def stop(self) -> int:
        self.ended.set()
        self.thread.join()
        return self.peak


def _resident(root: int) -> int:
    parents, resident = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(stat[1])
        resident[int(folder.name)] = int(stat[21]) * 4096
    family, grown = {root}, True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family, grown = family | more, bool(more)
    return sum(resident.get(pid, 0) for pid in family)


def _show(path: Path) -> None:
    content: dict[str, Any] = read_json(path)
    for suffix, keys in FIGURES.items():
        if path.name.endswith(f"desc-preproc_{suffix}.json") and "QualityControl" in content:
            quality = content["QualityControl"]
            print(f"\n{path.name}")
            for key in keys:
                print(f"  {key:<26} {quality.get(key)}")
            for text in (*quality.get("warnings", []), *quality.get("not_used", [])):
                print(f"  ! {text}")
    if path.name.endswith("stat-pearsoncorrelation_relmat.json"):
        print(f"\n{path.name}\n  homotopic median           {content.get('HomotopicMedian')}")
        print(f"  effective sample size      {content.get('EffectiveSampleSize')}")
    if path.name.endswith("_surrogate.json") and content.get("Status") == "fitted":
        fit = content["Fit"]
        held = fit["evaluation"]["heldout"]
        print(
            f"\n{path.name}\n  held-out R2                {held.get('r2')} (persistence {held.get('r2_persistence')})"
        )
        print(f"  free-running FC r          {fit['evaluation']['free_running'].get('fc_r')}")
        print(f"  verdict                    {fit['gate']['verdict']} {fit['gate']['reasons']}")


if __name__ == "__main__":
    raise SystemExit(main())
