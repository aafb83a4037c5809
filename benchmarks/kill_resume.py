"""Kill every stage of a run in turn, start it again each time, and compare the end with that of a run left alone.

    python -m benchmarks.kill_resume [--data BIDS_DIR] [--stages NAME ...] [--folder DIR]

Whenever a stage starts that has not been killed yet, its process and the run are ended with SIGKILL at a random moment
of its first seconds; the same command is then given again. Without --data a tiny subject without stimulation is
generated. Prints one row a kill, and at the end the files that differ. Exit code 1 if any does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from bids_ai.cli.stage import STAGES

#: Longest wait into a stage before it is killed, s: short ones would be over.
LATEST_S = 3.0
OPTIONS = ["--sloppy", "--skip-bids-validation", "--atlases", "EqualVolume:12", "--device", "cpu", "--nprocs", "2"]
#: Times, commands and addresses of runs differ between runs, and pages bear them.
SKIPPED = (".html", ".log", ".fif", ".dot")
VOLATILE = ("DatasetLinks", "SourceDatasets", "Command", "Seconds", "CPUSeconds", "seconds", "peak_memory_mb")


def main() -> int:
    """Run, kill, resume, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=[name for name in STAGES if name != "report"])
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    folder = args.folder or Path(tempfile.mkdtemp(prefix="bids-ai-kill-"))
    data = args.data or _simulate(folder / "data")
    whole = _call(data, folder / "whole")
    print(f"left alone: {folder / 'whole'}", flush=True)
    if subprocess.run(whole, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode:
        raise SystemExit("the run that was left alone failed")
    _kill_all(_call(data, folder / "killed"), folder / "killed", set(args.stages))
    differ = list(_differences(folder / "whole" / "out", folder / "killed" / "out"))
    print(f"\n{len(differ)} of {len(_files(folder / 'whole' / 'out'))} files differ")
    for line in differ:
        print(f"  {line}")
    return int(bool(differ))


def _simulate(data: Path) -> Path:
    command = [sys.executable, "-m", "bids_ai", "simulate", str(data), "--size", "tiny", "--subjects", "1"]
    command += ["--modalities", "t1w", "dwi", "bold", "eeg"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return data


def _call(data: Path, folder: Path) -> list[str]:
    places = [str(data), str(folder / "out"), "participant", "-w", str(folder / "work")]
    return [sys.executable, "-m", "bids_ai", "run", *places, *OPTIONS]


def _kill_all(command: list[str], folder: Path, left: set[str]) -> None:
    rng = np.random.default_rng(1)
    print("| stage killed | after (s) | run ended with |\n|---|---|---|")
    while True:
        run = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        found = _first_of(left, folder, run)
        if found is None:
            code = run.wait()
            print(f"| none | | {code} |\n\nnever started: {', '.join(sorted(left)) or 'none'}", flush=True)
            if code:
                raise SystemExit("the run that was killed did not come to a good end")
            return
        stage, pid = found
        wait = float(rng.uniform(0.1, LATEST_S))
        time.sleep(wait)
        for process in (pid, run.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        print(f"| {stage} | {wait:.1f} | {run.wait()} |", flush=True)
        left.discard(stage)
        while any(str(folder) in words for _, words in _processes()):
            time.sleep(0.2)


def _first_of(stages: set[str], folder: Path, run: subprocess.Popen[bytes]) -> tuple[str, int] | None:
    """Stage that runs now, and its process; None when the run has ended without one."""
    while run.poll() is None:
        for pid, words in _processes():
            for stage in stages:
                if f"stage {stage} " in words and str(folder) in words and "bash" not in words:
                    return stage, pid
        time.sleep(0.02)
    return None


def _processes() -> list[tuple[int, str]]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append((int(file.parent.name), file.read_bytes().replace(b"\0", b" ").decode(errors="replace")))
    return [(pid, words) for pid, words in found if pid != os.getpid()]


def _files(out: Path) -> list[Path]:
    hidden = (path.relative_to(out) for path in out.rglob("*") if path.is_file())
    kept = [path for path in hidden if path.suffix not in SKIPPED and path.parts[0] not in ("logs", ".bids_ai")]
    return sorted(path for path in kept if path.parts[-2:-1] != ("figures",))


def _differences(one: Path, other: Path) -> list[str]:
    names, there = _files(one), _files(other)
    lines = [f"only in {'one' if name in names else 'the other'}: {name}" for name in set(names) ^ set(there)]
    return lines + [str(name) for name in names if name in there and not _same(one / name, other / name)]


def _same(one: Path, other: Path) -> bool:
    if one.name.endswith((".nii", ".nii.gz")):
        return bool(np.array_equal(*(np.asanyarray(nib.load(path).dataobj) for path in (one, other)), equal_nan=True))
    if one.suffix == ".h5":
        # Files of HDF5 bear the time at which they were made.
        return _datasets(one) == _datasets(other)
    if one.suffix == ".json":
        return _stable(json.loads(one.read_text())) == _stable(json.loads(other.read_text()))
    return one.read_bytes() == other.read_bytes()


def _datasets(path: Path) -> dict[str, list[Any]]:
    import h5py

    found: dict[str, list[Any]] = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()].tolist()

    with h5py.File(path) as file:
        file.visititems(keep)
    return found


def _stable(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _stable(item) for key, item in value.items() if key not in VOLATILE}
    return [_stable(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    raise SystemExit(main())
