"""``bids-ai stage``: run one stage and leave word of how it went, so that the report can tell.

A record is written before the work and removed after it. One that still says "running" when the workflow has
ended belongs to a job that was killed, most often for memory.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import traceback
from importlib import import_module
from pathlib import Path

from bids_ai.errors import BidsAiError, UsageError, disk_full
from bids_ai.stages.context import Context
from bids_ai.stages.records import Record

#: Stages in the order of the data; each is a module of the same name in bids_ai.stages with run(context, ...).
STAGES = (
    "anat_preprocess",
    "bold_preprocess",
    "dwi_preprocess",
    "tractography",
    "eeg_preprocess",
    "ieeg_preprocess",
    "ccep_features",
    "ccep_regions",
    "contact_model",
    "ccep_predict",
    "atlas",
    "ephys_timeseries",
    "region_timeseries",
    "structural_connectivity",
    "functional_connectivity",
    "spectral_connectivity",
    "surrogate_fit",
    "surrogate",
    "effective_connectivity",
    "report",
)
#: How often a job looks whether the run that started it still lives, s.
_WATCH_INTERVAL_S = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai stage``."""
    parser.add_argument("name", choices=STAGES, metavar="NAME", help=", ".join(STAGES))
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration of a run")
    parser.add_argument("--threads", type=int, default=1, help="threads this job may use")
    parser.add_argument("--wildcards", nargs="*", default=[], metavar="KEY=VALUE", help="which file to make")


def execute(args: argparse.Namespace) -> int:
    """Run a stage; its exit code is 1 when it fails, with the reason in its record and on the log."""
    wildcards = dict(_pair(text) for text in args.wildcards)
    limit_threads(args.threads)
    _end_with_the_run()
    context = Context.load(args.config)
    stage = import_module(f"bids_ai.stages.{args.name}")
    record = Record.start(context.run_dir, args.name, wildcards)
    try:
        stage.run(context, **wildcards)
    except BidsAiError as error:
        record.fail(str(error), "")
        print(f"{args.name}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        full = disk_full(error, context.output_dir, context.work_dir, Path(tempfile.gettempdir()))
        if full:
            record.fail(full, "")
            print(f"{args.name}: {full}", file=sys.stderr)
            return 1
        record.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
        traceback.print_exc()
        return 1
    record.done()
    return 0


def limit_threads(threads: int) -> None:
    """Keep numerical libraries to their share; before they are imported, since they read this once.

    ITK stays at one thread: with more, registrations are not reproducible to the bit.
    """
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"):
        os.environ[variable] = str(threads)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    os.environ["NO_ET"] = "1"  # nipype: no telemetry


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"A stage takes KEY=VALUE pairs; got '{text}'.")
    return key, value


def _end_with_the_run() -> None:
    """Stop when the run that started this job is gone, so that a killed run leaves no job behind."""
    run = os.environ.get("BIDS_AI_RUN_PID", "")
    host = os.environ.get("BIDS_AI_RUN_HOST")
    if not run.isdigit() or host != os.uname().nodename:
        return

    def watch() -> None:
        while True:
            time.sleep(_WATCH_INTERVAL_S)
            try:
                os.kill(int(run), 0)
            except ProcessLookupError:
                os._exit(130)
            except PermissionError:
                return

    threading.Thread(target=watch, daemon=True).start()
