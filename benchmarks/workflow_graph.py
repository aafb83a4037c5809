"""Time the planning of many subjects: index of the dataset, and dry run of the workflow.

python benchmarks/workflow_graph.py [--subjects 200] [--runs 2]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
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
        print(f"bids-ai --help   {_seconds(['--help']):6.2f} s")
        indexing = _seconds(["index", *places, "--skip-bids-validation"])
        print(f"bids-ai index    {indexing:6.1f} s  {args.subjects} subjects")
        command = ["run", *places, "participant", "--dry-run", "--skip-bids-validation"]
        print(f"bids-ai run -n   {_seconds(command):6.1f} s  {args.subjects} subjects x {args.runs} runs")


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "bids_ai", *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
