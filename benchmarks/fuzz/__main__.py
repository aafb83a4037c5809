"""Command line: `python -m benchmarks.fuzz`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.fuzz.readers import READERS
from benchmarks.fuzz.work import CRASH, REFUSED, VALUE, Tally, broken_files, run_cases, write_files

_CHUNK = 500


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description="Read files that are broken on purpose."
    )
    parser.add_argument("--cases", type=int, default=2000, metavar="N", help="per reader, more or less (2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument(
        "--reader", nargs="+", choices=READERS, default=list(READERS), metavar="NAME", help=", ".join(READERS)
    )
    parser.add_argument("--seconds", type=float, metavar="S", help="stop each reader after this time")
    parser.add_argument("--case", type=int, metavar="K", help="run one case of one reader here, with its traceback")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    # Bytecode that Python writes beside a module is no deed of a reader.
    sys.dont_write_bytecode = True
    if args.case is not None:
        return show(args.reader[0], args.seed, args.case)
    tallies = {}
    print(f"{'reader':<20}{'cases':>8}{'values':>8}{'refused':>8}{'crashes':>8}{'s':>7}", flush=True)
    for name in args.reader:
        start = time.monotonic()
        tallies[name] = fuzz(name, args.seed, round(args.cases * READERS[name].share), args.seconds)
        print(row(name, tallies[name]) + f"{time.monotonic() - start:7.1f}", flush=True)
    whole = Tally()
    for tally in tallies.values():
        whole.ends += tally.ends
    print(row("all", whole))
    for name, tally in tallies.items():
        for what, case in tally.crashes.items():
            print(f"{name}, case {case}: {what}")
    return 1 if whole.ends[CRASH] else 0


def fuzz(name: str, seed: int, cases: int, seconds: float | None) -> Tally:
    """Run cases of a reader in chunks, until there are enough or time is up."""
    found, start = Tally(), time.monotonic()
    for first in range(0, cases, _CHUNK):
        if seconds is not None and time.monotonic() - start > seconds:
            break
        tally = run_cases(name, seed, first, min(cases, first + _CHUNK))
        found.ends += tally.ends
        found.crashes = tally.crashes | found.crashes
    return found


def row(name: str, tally: Tally) -> str:
    counts = (tally.ends.total(), *(tally.ends[end] for end in (VALUE, REFUSED, CRASH)))
    return f"{name:<20}" + "".join(f"{count:>8}" for count in counts)


def show(name: str, seed: int, case: int) -> int:
    """Run one case without limits, and leave its files."""
    root = Path(tempfile.mkdtemp(prefix="fuzz-")) / f"case-{case}"
    files, target = broken_files(name, seed, case)
    write_files(root, files)
    print(f"{root / target}")
    try:
        print(READERS[name].call(root))
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
