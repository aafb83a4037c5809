"""``bids-ai simulate``: a small BIDS dataset with known coupling, made from the bundled template."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai simulate``."""
    parser.add_argument("out_dir", type=Path, help="folder to make; must be absent or empty")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same bytes (1)")
    parser.add_argument("--size", choices=("tiny", "demo"), default="demo", help="tiny: 4 mm, seconds (demo)")


def execute(args: argparse.Namespace) -> int:
    """Write the dataset and say where it is."""
    from bids_ai.simulate.demo import write_demo_dataset

    print(write_demo_dataset(args.out_dir, seed=args.seed, size=args.size))
    return 0
