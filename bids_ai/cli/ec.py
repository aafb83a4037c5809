"""``bids-ai ec``: effective connectivity of tables of signals, without a BIDS dataset."""

from __future__ import annotations

import argparse
import difflib
import logging
import os
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

from bids_ai.errors import BidsAiError, InputError, UsageError
from bids_ai.surrogate.registry import FAMILIES, STRUCTURAL

if TYPE_CHECKING:
    from bids_ai.cli.signal_table import Signals
    from bids_ai.cli.structural_table import Structural
    from bids_ai.stages.ec_jobs import Job, Outcome, Settings

_DESCRIPTION = """
Fits a surrogate brain to a table of signals (time x region, a header of region names; .tsv, .csv or .npy), pushes each
region in it, and writes the mean response of all others: DIR/ec_relmat.tsv (row = source), intervals, the model,
simpler measures beside it, and a page DIR/ec.html. Several tables are fitted in one batch, with results in DIR/<name>/.

  bids-ai ec signals.tsv --tr 2 --out-dir results
  bids-ai ec sub-01.tsv sub-02.tsv --tr 0.72 --structural sc.tsv --structural-symmetric --out-dir results
  bids-ai ec eeg.tsv --tr 0.004 --modality eeg --nodes regions.tsv --out-dir results

One recording of 40 regions and 355 frames takes about a minute with --model auto, a quarter of that with ridge-var.
The verdict (reliable or unreliable) is on the page and in ec_relmat.json; an unreliable fit is no fault of the run and
exits with 0. docs/ec_command.md tells what the tables must hold, what auto tries, and how to read the results.
"""
T = TypeVar("T")

MODALITIES = ("bold", "eeg", "ieeg")
BASELINES = ("pearson", "partial-correlation", "granger")
ALIASES = {"correlation": "pearson", "partial": "partial-correlation", "fc": "pearson"}
MAX_TR_S = 60.0
"""Beyond, a sampling interval is one in milliseconds, or a frequency."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai ec``."""
    parser.description = str(parser.description) + "\n" + _DESCRIPTION
    parser.error = _misread  # type: ignore[method-assign]  # a sentence instead of all options
    parser.add_argument("signals", nargs="+", type=Path, metavar="SIGNALS", help="tables of signals, time x region")
    parser.add_argument("--tr", type=float, metavar="SECONDS", help="sampling interval of all tables (needed)")
    parser.add_argument("--out-dir", type=Path, metavar="DIR", help="folder for the results, made if absent (needed)")
    group = parser.add_argument_group("what is known besides")
    group.add_argument("--modality", choices=MODALITIES, default="bold", help="what the signals are (bold)")
    group.add_argument(
        "--structural",
        action="append",
        type=Path,
        default=[],
        metavar="SC",
        help="structural connectivity, with names; once for all tables, or once for each in their order",
    )
    group.add_argument("--structural-names", type=Path, metavar="FILE", help="names of a matrix that bears none")
    group.add_argument(
        "--structural-symmetric",
        action="store_true",
        help="average both directions of it: for tractography, which knows none, where its two halves differ",
    )
    group.add_argument(
        "--nodes",
        type=Path,
        metavar="TABLE",
        help="a line per region under the header name x y z hemisphere network, as in: Precentral_L -39 -6 51 L Motor",
    )
    group = parser.add_argument_group("how to work on it")
    group.add_argument(
        "--model", default="auto", metavar="NAME", help=f"auto (the default), or one of {', '.join(FAMILIES)}"
    )
    group.add_argument(
        "--horizon", type=float, metavar="SECONDS", help="response is averaged over it (BOLD: one TR; EEG, iEEG: 0.1 s)"
    )
    group.add_argument("--order-max", type=int, metavar="N", help="largest number of lags (BOLD: 3; EEG, iEEG: 8)")
    group.add_argument("--ensemble", type=int, default=5, metavar="N", help="initialisations of a trained model (5)")
    group.add_argument(
        "--baselines",
        nargs="+",
        default=list(BASELINES),
        metavar="NAME",
        help=f"simpler measures to write beside it, or none ({' '.join(BASELINES)})",
    )
    group.add_argument("--seed", "--random-seed", type=int, default=1, metavar="N", help="one seed for everything (1)")
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where it is fitted (auto)")


def _misread(message: str) -> NoReturn:
    """Refuse what argparse cannot read."""
    raise UsageError(f"{message}. See bids-ai ec --help for the options.")


@dataclass
class Findings:
    """What the checks found, in the order they were made."""

    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self) -> None:
        """Raise UsageError with everything that speaks against the run."""
        if self.refusals:
            lines = "\n".join(f"  - {text}" for text in dict.fromkeys(self.refusals))
            raise UsageError(f"refused before any work:\n{lines}")


def execute(args: argparse.Namespace) -> int:
    """Fit, write, and tell the verdicts; see the exit codes in ``bids-ai --help``."""
    from bids_ai.cli.places import absolute
    from bids_ai.stages import ec_tables
    from bids_ai.stages.ec_jobs import Settings, horizon_notes

    findings = Findings()
    _check_options(args, findings)
    jobs = _jobs(args, findings)
    findings.refuse()
    jobs = [replace(job, notes=(*job.notes, *horizon_notes(job.recording, args.horizon))) for job in jobs]
    settings = Settings(
        out_dir=absolute(args.out_dir),
        model=args.model,
        horizon_s=args.horizon,
        seed=args.seed,
        device=args.device,
        ensemble=args.ensemble,
        order_max=args.order_max,
        baselines=tuple(_baselines(args.baselines)),
        command=shlex.join(["bids-ai", *sys.argv[1:]]),
    )
    if ec_tables.made_here(settings.out_dir):
        findings.warnings.append(f"{settings.out_dir} holds results of an earlier run, which are replaced.")
    _tell(jobs, findings)
    with _progress():
        outcomes = ec_tables.run(jobs, settings, tell=lambda text: print(text, file=sys.stderr, flush=True))
    return _summary(outcomes, settings)


# ---- options


def _check_options(args: argparse.Namespace, findings: Findings) -> None:
    """Check what can be told without reading a table."""
    refusals = findings.refusals
    refusals += _tr_faults(args)
    if args.horizon is not None and not 0 < args.horizon < float("inf"):
        refusals.append(f"--horizon must be a positive number of seconds, got {args.horizon:g}.")
    for option, value, least in (
        ("--seed", args.seed, 0),
        ("--ensemble", args.ensemble, 1),
        ("--order-max", args.order_max, 1),
    ):
        if value is not None and value < least:
            refusals.append(f"{option} must be at least {least}, got {value}.")
    _check_model(args, findings)
    _check_baselines(args, findings)
    if args.device == "cuda":  # "auto" cannot fail, and asking takes seconds
        from bids_ai.surrogate.device import resolve_device

        _collect(refusals, lambda: resolve_device(args.device))
    if len(args.structural) not in (0, 1, len(args.signals)):
        refusals.append(
            f"--structural was given {len(args.structural)} times for {len(args.signals)} tables; give it once for "
            "all, or once for each in their order."
        )
    if not args.structural and (args.structural_names or args.structural_symmetric):
        refusals.append("--structural-names and --structural-symmetric are about --structural, which was not given.")
    refusals += _out_dir_faults(args.out_dir)


def _tr_faults(args: argparse.Namespace) -> list[str]:
    tr = args.tr
    what = "--tr gives the sampling interval in seconds, such as --tr 2 (BOLD) or --tr 0.004 (250 Hz)"
    if tr is None:
        return [f"--tr is missing: {what}."]
    if not 0 < tr < float("inf"):
        return [f"--tr must be a positive number, got {tr:g}: {what}."]
    if tr > MAX_TR_S:
        guess = f"--tr {tr / 1000:g}, if {tr:g} is in milliseconds" if args.modality == "bold" else f"--tr {1 / tr:.4g}"
        return [f"--tr {tr:g} is longer than a minute: {what}. Is it {guess}?"]
    return []


def _check_model(args: argparse.Namespace, findings: Findings) -> None:
    known = ["auto", *FAMILIES]
    if args.model not in known:
        findings.refusals.append(f"Unknown model {args.model!r}.{_nearest(args.model, known)}")
        return
    if STRUCTURAL.get(args.model) and not args.structural:
        findings.refusals.append(f"The model {args.model} is built on a structural connectivity: give --structural.")
    if args.structural and args.model not in ("auto", *STRUCTURAL):
        findings.warnings.append(
            f"The model {args.model} does not use the structural connectivity; auto, {', '.join(STRUCTURAL)} do."
        )
    if args.model in ("state-space", "neural-mass") and args.modality != "bold":
        findings.warnings.append(
            f"The model {args.model} sees the signals through a haemodynamic response, which {args.modality} has not."
        )
    if args.order_max is None or args.order_max < 1:  # the latter is told already
        return
    from bids_ai.surrogate.registry import get_family

    least = 1 if args.model == "auto" else get_family(args.model).min_order
    if args.order_max < least:
        findings.refusals.append(f"The model {args.model} reads {least} lags: --order-max must be at least that.")


def _check_baselines(args: argparse.Namespace, findings: Findings) -> None:
    from bids_ai.effective.baselines.registry import BASELINES as KNOWN
    from bids_ai.effective.baselines.registry import get_baseline

    for name in _baselines(args.baselines):
        if name not in KNOWN:
            findings.refusals.append(f"Unknown baseline {name!r}.{_nearest(name, [*KNOWN, 'none'])}")
        elif get_baseline(name).needs_structural and not args.structural:
            findings.refusals.append(f"The baseline {name} needs a structural connectivity: give --structural.")


def _baselines(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(ALIASES.get(name, name) for name in names if name != "none"))


def _nearest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return (f" Did you mean {near[0]!r}?" if near else "") + f" Known are: {', '.join(known)}."


def _out_dir_faults(out_dir: Path | None) -> list[str]:
    from bids_ai.cli.places import absolute
    from bids_ai.stages.ec_tables import made_here

    if out_dir is None:
        return ["--out-dir is missing: give the folder for the results."]
    folder = absolute(out_dir)
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        return [f"--out-dir {out_dir} cannot be made: {nearest} is a file."]
    if not os.access(nearest, os.W_OK | os.X_OK):
        return [f"--out-dir {out_dir} cannot be written: no permission in {nearest}."]
    if folder.is_dir() and any(folder.iterdir()) and not made_here(folder):
        return [f"--out-dir {out_dir} is not empty and holds no results of bids-ai ec. Give an empty or new folder."]
    return []


# ---- tables


def _jobs(args: argparse.Namespace, findings: Findings) -> list[Job]:
    """Read all tables; those that cannot be used are named together."""
    from bids_ai.cli.signal_table import read_signals

    names = _names(args.signals, findings)
    tables = [_collect(findings.refusals, partial(read_signals, path)) for path in args.signals]
    structurals = _structurals(args, findings)
    jobs = []
    for k, (name, table) in enumerate(zip(names, tables, strict=True)):
        if table is not None:
            given = structurals[k if len(structurals) > 1 else 0] if structurals else None
            job = _collect(findings.refusals, partial(_job, args, k, name, table, given))
            if job is not None:
                jobs.append(job)
    return jobs


def _job(args: argparse.Namespace, k: int, name: str, table: Signals, given: Structural | None) -> Job:
    from bids_ai.cli.ec_checks import check_length, hopeless, signal_warnings
    from bids_ai.cli.node_table import plain_regions, read_regions
    from bids_ai.cli.structural_table import structural_of
    from bids_ai.stages.ec_jobs import Job
    from bids_ai.surrogate.recording import Recording

    usable_tr = args.tr if args.tr and 0 < args.tr < float("inf") else 1.0  # a bad one is told once, not per table
    sources, notes = [args.signals[k]], list[str]()
    usable_order = args.order_max if args.order_max is None or args.order_max >= 1 else 1
    if len(table.values) < 2:  # before a recording of one frame is refused in words about images
        check_length(name, table, args.modality, usable_order)
    # First without the structural connectivity: a fault of the signals comes before one of their company.
    recording = Recording(name, (table.values,), usable_tr, tuple(table.names), modality=args.modality)
    check_length(name, table, args.modality, usable_order)
    if args.horizon is not None and args.horizon >= len(table.values) * usable_tr:
        raise InputError(
            f"{name}: a horizon of {args.horizon:g} s is longer than the recording ({len(table.values)} frames)."
        )
    faults: list[str] = []
    if given is not None:
        file = args.structural[k if len(args.structural) > 1 else 0]
        sources += [file, *([args.structural_names] if args.structural_names else [])]
        own = _collect(
            faults, lambda: structural_of(given, table.names, file.name, symmetric=args.structural_symmetric)
        )
        if own is not None:
            notes += own.notes
            recording = Recording(name, recording.runs, usable_tr, recording.regions, own.matrix, args.modality)
    nodes = plain_regions(table.names)
    if args.nodes is not None:
        sources.append(args.nodes)
        read = _collect(faults, lambda: read_regions(args.nodes, table.names))
        if read is not None:
            nodes, more = read
            notes += more
    if faults:
        raise InputError(f"{name}: " + f"\n  - {name}: ".join(faults))
    model = "ridge-var" if args.model == "auto" and hopeless(table) else args.model
    return Job(recording, tuple(sources), nodes, tuple(notes), tuple(signal_warnings(args, table)), model)


def _structurals(args: argparse.Namespace, findings: Findings) -> list[Structural | None]:
    from bids_ai.cli.structural_table import read_structural

    return [
        _collect(findings.refusals, partial(read_structural, path, args.structural_names)) for path in args.structural
    ]


def _names(paths: Sequence[Path], findings: Findings) -> list[str]:
    """Names of the recordings: those of the files, with that of the folder where two are called alike."""
    stems = [path.stem for path in paths]
    shared = {stem for stem, count in Counter(stems).items() if count > 1}
    names = [
        f"{path.resolve().parent.name}-{stem}" if stem in shared else stem
        for path, stem in zip(paths, stems, strict=True)
    ]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        findings.refusals.append(
            f"Tables of the same name cannot be told apart: {', '.join(twice[:3])}. Rename them; results and seeds go "
            "by the names of the files."
        )
    reserved = {"figures"} & set(names)
    if reserved and len(paths) > 1:
        findings.refusals.append("A table cannot be called figures; rename it.")
    return names


def _collect(faults: list[str], call: Callable[[], T]) -> T | None:
    """Call, and keep the fault instead of ending at it."""
    try:
        return call()
    except BidsAiError as error:
        faults.append(str(error))
        return None


# ---- what is said


@contextmanager
def _progress() -> Iterator[None]:
    """Show on the terminal which family is being fitted, so that a long run is not silent."""
    logger, handler = logging.getLogger("bids_ai.surrogate.fit"), logging.StreamHandler(sys.stderr)
    before = logger.level
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def _tell(jobs: Sequence[Job], findings: Findings) -> None:
    for text in findings.warnings:
        print(f"warning: {text}", file=sys.stderr)
    for job in jobs:
        _say("warning", job.recording.name, job.warnings)
        _say("note", job.recording.name, job.notes)


def _say(kind: str, name: str, texts: Iterable[str]) -> None:
    for text in texts:
        print(f"{kind}: {name}: {text}", file=sys.stderr)


def _summary(outcomes: Sequence[Outcome], settings: Settings) -> int:
    """Tell warnings and verdicts, and where the page is."""
    for outcome in outcomes:
        _say("warning", outcome.name, outcome.warnings)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in outcomes:
        if outcome.status == "failed":
            reasons = "; ".join(reason.removeprefix(f"{outcome.name}: ") for reason in outcome.reasons)
            print(f"FAILED  {outcome.name}: {reasons}", file=sys.stderr)
            continue
        words = f"{outcome.name}: {outcome.facts['family']}; {outcome.facts['edges']}"
        if outcome.verdict == "reliable":
            print(f"RELIABLE  {words}", file=sys.stderr)
        else:
            print(
                f"UNRELIABLE  {words}; its effective connectivity should not be interpreted:",
                *(f"    {reason}" for reason in outcome.reasons),
                sep="\n",
                file=sys.stderr,
            )
    page = settings.out_dir / "ec.html"
    if page.is_file():
        print(f"page: {page}")
    return 1 if failed else 0
