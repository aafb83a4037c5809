"""Time the planning of many subjects: index of the dataset, and dry run of the workflow.

python benchmarks/workflow_graph.py [--subjects 200] [--runs 2]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from bids_ai.simulate.empty import write_empty_dataset


def main() -> None:
    """Write an empty dataset, and time help, index and dry run on it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=200)
    parser.add_argument("--runs", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_empty_dataset(Path(folder) / "dataset", args.subjects, runs=args.runs)
        places = [str(dataset), str(Path(folder) / "out")]
        name = f"{args.subjects} subjects x {args.runs} runs"
        print("| what | wall (s) | processor (s) | peak memory of a process (MB) |\n|---|---|---|---|")
        for what, words in (
            ("bids-ai --help", ["--help"]),
            (f"bids-ai index, {name}", ["index", *places, "--skip-bids-validation"]),
            (f"index and dry run, {name}", ["run", *places, "participant", "--dry-run", "--skip-bids-validation"]),
        ):
            print(f"| {what} | " + " | ".join(_cost(words)) + " |", flush=True)


def _cost(arguments: list[str]) -> list[str]:
    """Run bids-ai in a child of a child, so that its memory is told from that of others: wall, processor, peak."""
    code = (
        "import resource, subprocess, sys, time\n"
        "start = time.perf_counter()\n"
        "subprocess.run([sys.executable, '-m', 'bids_ai', *sys.argv[1:]], check=True, capture_output=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
    return [f"{float(value):.1f}" for value in done.stdout.split()]


if __name__ == "__main__":
    main()
