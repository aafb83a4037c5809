"""``bids-ai run``: the whole job, from a BIDS dataset to reports."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from bids_ai.bids.index import Index
from bids_ai.cli import containers, engine, group, nipreps, options
from bids_ai.cli.index import PreparedRun, prepare
from bids_ai.cli.inputs import show_inputs
from bids_ai.cli.locks import lock_subjects
from bids_ai.cli.machine import usable_cores
from bids_ai.cli.places import older_outputs
from bids_ai.errors import UsageError
from bids_ai.stages.records import Failure, failures, unfitted

_DESCRIPTION = """
Takes the T1w, DWI, BOLD, EEG and SEEG/ECoG of every subject to region series, structural and functional connectivity,
a fitted surrogate brain, effective connectivity, responses to stimulation, and a report sub-XX.html. Arguments after --
go to Snakemake as they are.

  bids-ai run DATA OUT participant
  bids-ai run DATA OUT participant --participant-label 01 --atlases schaefer.nii.gz --atlas-space MNI152NLin2009cAsym
  bids-ai run DATA OUT participant --derivatives fmriprep=DATA/derivatives/fmriprep
  bids-ai run DATA OUT participant --dry-run
  bids-ai run DATA OUT group --contrast diagnosis --covariates age sex
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai run``."""
    parser.description = str(parser.description) + "\n" + _DESCRIPTION
    options.add_locations(parser)
    parser.add_argument(
        "analysis_level",
        choices=("participant", "group"),
        help="group: means over subjects, reliability, contrasts, and one page, from what the participant level left",
    )
    options.add_selection(parser)
    options.add_settings(parser)
    options.add_stages(parser)
    options.add_models(parser)
    group.add_arguments(parser)
    nipreps.add_arguments(parser)
    add_running(parser)


def add_running(parser: argparse.ArgumentParser) -> None:
    """How the workflow is run."""
    running = parser.add_argument_group("how to run")
    running.add_argument(
        "--nprocs",
        "--n-cpus",
        "--nthreads",
        type=int,
        default=usable_cores(),
        metavar="N",
        help="cores in all (all that this machine, container or batch job lets it use)",
    )
    running.add_argument("--omp-nthreads", type=int, metavar="N", help="threads of one job at most")
    running.add_argument(
        "--mem-mb", "--mem", type=int, metavar="MB", help="memory for all jobs together (most of what there is)"
    )
    running.add_argument("--low-mem", action="store_true", help="one job at a time")
    containers.add_arguments(running)
    running.add_argument("--profile", metavar="PROFILE", help="Snakemake profile: slurm, gpu, or a folder")
    running.add_argument("--stop-on-first-crash", action="store_true", help="do not go on with other subjects")
    running.add_argument("--clean-workdir", action="store_true", help="empty the work folder first")
    running.add_argument("-n", "--dry-run", action="store_true", help="print the inputs chosen and the jobs, and stop")
    running.add_argument("--reports-only", action="store_true", help="only assemble the reports again")
    running.add_argument("--boilerplate-only", action="store_true", help="only print the methods text")
    running.add_argument("--write-graph", action="store_true", help="write the graph of the workflow to logs/ (DOT)")
    running.add_argument("-v", "--verbose", action="count", default=0, help="show all that Snakemake says")
    running.add_argument("--debug", action="store_true", help="show the traceback of an error")
    running.add_argument("--notrack", action="store_true", help="accepted and without effect: nothing is ever tracked")


def execute(args: argparse.Namespace) -> int:
    """Run the job; see the exit codes in ``bids-ai --help``."""
    if args.debug:
        os.environ["BIDS_AI_DEBUG"] = "1"
    if args.analysis_level == "group":
        return group.execute(args)
    group.refuse_for_participants(args)
    wanted = getattr(args, "nipreps", None) and not (args.reports_only or args.boilerplate_only)
    before = nipreps.preprocess(args) if wanted else nipreps.Preprocessed()
    if before.planned:
        print(f"The jobs of bids_ai are planned once these {before.planned} are done.")
        return 0
    args.derivatives = [*args.derivatives, *before.derivatives]
    args.exclude_participant_label = [*args.exclude_participant_label, *before.failed]
    return max(_execute(args), int(bool(before.failed)))


def _execute(args: argparse.Namespace) -> int:
    run = prepare(args)
    for warning in run.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if args.boilerplate_only:
        return _print_methods(run)
    show_inputs(run.inputs, sys.stdout if args.dry_run else sys.stderr)
    if args.dry_run:
        return _dry_run(run, args)
    note = older_outputs(run.output_dir)
    if note:
        print(f"note: {note}", file=sys.stderr)
    with lock_subjects(run.output_dir, run.index.subjects):
        if args.clean_workdir:
            _clean(run.work_dir)
        return _run_locked(run, args)


def _run_locked(run: PreparedRun, args: argparse.Namespace) -> int:
    from bids_ai.stages import report

    engine_failed = False
    interrupted = False
    run.save(assemble_reports=False)
    try:
        if args.write_graph:
            _write_graph(run)
        if not args.reports_only:
            engine_failed = _run_workflow(run, args) != 0
    except KeyboardInterrupt:
        interrupted = True
    finally:
        failed = failures(run.run_dir, killed=not interrupted) + unfitted(run.config_file)
        pages = report.assemble(run.config_file, failed)
    faults = [entry for entry in run.index.skipped if entry.fault]
    _summary(run, pages, failed, len(faults), engine_failed)
    if interrupted:
        print("bids-ai: interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return 130
    return 1 if failed or faults or engine_failed else 0


def _run_workflow(run: PreparedRun, args: argparse.Namespace) -> int:
    """Run the workflow; when an input failed, run it again without that one.

    A batch of surrogates waits for all its recordings and for the structural connectivity of their subjects, so that
    one that failed would hold up the others.
    """
    status = _engine(run, args)
    failed = failures(run.run_dir)
    broken = {value for failure in failed for value in failure.wildcards.values()}
    lost = _lost_series(run.index, failed)
    lost_dwi = [entry for entry in run.index.diffusions if broken & {entry.images, entry.anat}]
    remaining = run.index.without(lost, broken | {entry.images for entry in lost_dwi})
    left = remaining.recordings or remaining.diffusions
    if status == 0 or not (lost or lost_dwi) or not left or args.stop_on_first_crash:
        return status
    what = [f"{len(lost)} recording(s)"] * bool(lost) + [f"{len(lost_dwi)} diffusion series"] * bool(lost_dwi)
    print(f"{' and '.join(what)} failed; going on with the others.", file=sys.stderr)
    remaining.save(run.index_file)
    try:
        return _engine(run, args)
    finally:
        run.index.save(run.index_file)


def _lost_series(index: Index, failed: list[Failure]) -> set[str]:
    """Recordings that cannot be finished because a job before their surrogate failed."""
    lost = set()
    for recording in index.recordings:
        items = {recording.item, recording.series, recording.anat}
        if any(items & set(failure.wildcards.values()) for failure in failed):
            lost.add(recording.series)
    return lost


def _engine(run: PreparedRun, args: argparse.Namespace, *, dry_run: bool = False) -> int:
    parts = engine.command(
        run.config_file,
        run.work_dir,
        cores=1 if args.low_mem else max(1, args.nprocs),
        memory_mb=args.mem_mb,
        keep_going=not args.stop_on_first_crash,
        profile=args.profile,
        dry_run=dry_run,
        extra=[*_thread_limit(args), *run.container_arguments, *args.snakemake_args],
    )
    if dry_run:
        return subprocess.run(parts, env=engine.environment(), check=False).returncode
    return engine.run(parts, run.output_dir / "logs" / run.run_dir.name / "snakemake.log", verbose=args.verbose)


def _thread_limit(args: argparse.Namespace) -> list[str]:
    return ["--max-threads", str(args.omp_nthreads)] if args.omp_nthreads else []


def _dry_run(run: PreparedRun, args: argparse.Namespace) -> int:
    """List the jobs without writing to the output folder."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="bids_ai-") as folder:
        scratch = replace(run, run_dir=Path(folder) / "run")
        scratch.save_settings(assemble_reports=False)
        status = _engine(scratch, args, dry_run=True)
    if status:
        raise UsageError("Snakemake could not plan the jobs; its message is above.")
    return 0


def _clean(work_dir: Path) -> None:
    """Empty a work folder; nothing but one of ours is ever emptied. The folder itself may be a mount, and stays."""
    if any(work_dir.glob("runs/*/index.json")):
        for path in work_dir.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _print_methods(run: PreparedRun) -> int:
    from bids_ai.stages import report

    print(report.planned_methods(run.config, run.index))
    return 0


def _write_graph(run: PreparedRun) -> None:
    parts = engine.command(run.config_file, run.work_dir, cores=1, extra=["--rulegraph"])
    done = subprocess.run(parts, env=engine.environment(), capture_output=True, text=True, check=False)
    path = run.output_dir / "logs" / run.run_dir.name / "workflow.dot"
    path.write_text(done.stdout, encoding="utf-8")
    print(f"graph: {path}", file=sys.stderr)


def _summary(run: PreparedRun, pages: list[Path], failed: list[Failure], faults: int, engine_failed: bool) -> None:
    """Say what was made, what was not, and where the reports are."""
    print("", file=sys.stderr)
    for failure in failed:
        print(f"FAILED  {failure.stage} {failure.item}: {failure.message}", file=sys.stderr)
    for entry in run.index.skipped:
        print(f"LEFT OUT  {entry.subject} {entry.what}: {entry.reason}", file=sys.stderr)
    if engine_failed and not failed:
        log = run.output_dir / "logs" / run.run_dir.name / "snakemake.log"
        print(f"FAILED  Snakemake ended with an error; see {log}", file=sys.stderr)
    counts = f"{len(run.index.recordings)} recording(s), {len(run.index.diffusions)} diffusion series"
    print(f"{counts}, {len(failed)} failed job(s), {faults} left out for a fault.", file=sys.stderr)
    for page in pages:
        print(f"report: {page}")
