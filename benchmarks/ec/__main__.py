"""Command line: `python -m benchmarks.ec OUT`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import torch

from benchmarks.ec.calibration import run_calibration
from benchmarks.ec.compare import run_compare
from benchmarks.ec.jobs import plan_jobs
from benchmarks.ec.methods import chosen_methods
from benchmarks.ec.page import write_page
from benchmarks.ec.results import Results
from benchmarks.ec.settings import plans
from benchmarks.ec.tables import write_tables
from benchmarks.ec.timing import run_timing

PARTS = ("compare", "calibration", "timing")
CALIBRATION_SEEDS = 100
QUICK_METHODS = ["pearson", "var-coefficient", "granger", "structural", "ridge-var", "sc-ridge", "mlp", "auto"]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ec",
        description="Run every method of effective connectivity on every system with known connectivity, and write "
        "OUT/results.tsv, OUT/summary.md and figures. What is in OUT is not run again.",
    )
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--systems", nargs="+", help="only these (names of bids_ai.simulate.systems.registry)")
    parser.add_argument(
        "--methods",
        nargs="+",
        help="only these; also all, baselines, surrogates",
    )
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help="every method on every seed of every setting; otherwise trained families are spared most long recordings",
    )
    parser.add_argument("--seeds", type=int, help="seeds of every base setting")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--calibration-seeds", type=int, default=CALIBRATION_SEEDS)
    parser.add_argument("--npi-data", type=Path, help="folder of the rate networks released with NPI")
    parser.add_argument(
        "--redo", nargs="+", default=[], metavar="NAME", help="delete the results of these methods or systems first"
    )
    parser.add_argument("--report-only", action="store_true", help="run nothing, write tables and figures")
    parser.add_argument(
        "--table",
        type=Path,
        help="go on from the results in this table (such as benchmarks/ec/results.tsv), and write all to it at the end",
    )
    parser.add_argument("--page", type=Path, help="write the page of the documentation here, figures beside it")
    parser.add_argument("--quick", action="store_true", help="a smoke run of small systems")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.set_num_threads(1)
    results = Results(options.out / "results")
    if options.table and options.table.is_file():
        print(f"{results.read_table(options.table)} results taken from {options.table}")
    if options.redo:
        print(f"{results.remove(options.redo)} results deleted")
    if not options.report_only:
        run(options, results)
    if options.table:
        print(f"{results.write_table(options.table)} results written to {options.table}")
    table = write_tables(results, options.out)
    write_page(table, results, options.page or options.out / "benchmark_ec.md")


def run(options: argparse.Namespace, results: Results) -> None:
    start = time.perf_counter()

    def log(message: str) -> None:
        load = os.getloadavg()[0]
        print(f"{time.perf_counter() - start:7.0f} s  load {load:4.1f}  {message}", flush=True)

    n_released = len(list(options.npi_data.glob("dynamics_seed-*.npy"))) if options.npi_data else 0
    methods = chosen_methods(options.methods or (QUICK_METHODS if options.quick else None))
    chosen = plans(options.quick, options.systems, options.seeds, n_released)
    if "calibration" in options.parts:
        n_seeds = min(options.calibration_seeds, 3) if options.quick else options.calibration_seeds
        run_calibration(results, n_seeds, log)
    if "timing" in options.parts:
        run_timing(results, methods, log, quick=options.quick)
    if "compare" in options.parts:
        jobs = plan_jobs(chosen, methods, exhaustive=options.exhaustive)
        run_compare(jobs, results, options.out / "series", options.npi_data, log)
    log(f"{results.made} results made")


if __name__ == "__main__":
    main()
