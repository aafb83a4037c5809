"""``bids-ai ccep``: responses to single-pulse stimulation of a dataset with SEEG or ECoG, and nothing else."""

from __future__ import annotations

import argparse

from bids_ai.ccep.registry import RESPONDERS
from bids_ai.cli import options, run
from bids_ai.errors import UsageError

_DESCRIPTION = """
Reads the intracranial recordings of every subject that have single-pulse stimulation (rows 'electrical_stimulation' in
events.tsv), and writes for each stimulated pair and channel whether it responds, how and when, the mean responses, and
a report sub-XX.html. A T1w is used where there is one, to put contacts into regions; BOLD, DWI and EEG are not looked
at.

  bids-ai ccep DATA OUT
  bids-ai ccep DATA OUT --participant-label 01 02 --preset umcu-n1
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai ccep``."""
    parser.description = str(parser.description) + "\n" + _DESCRIPTION
    options.add_locations(parser)
    options.add_selection(parser)
    options.add_settings(parser)
    # Known, so that a call that was meant for bids-ai run is told what to do.
    options.add_stages(parser, shown=False)
    options.add_models(parser, shown=False)
    parser.add_argument(
        "--preset",
        choices=RESPONDERS,
        metavar="NAME",
        help=f"what decides whether a channel responds: {', '.join(RESPONDERS)} (the first); all are in the tables",
    )
    run.add_running(parser)
    parser.set_defaults(analysis_level="participant", modalities=("ieeg",))


def execute(args: argparse.Namespace) -> int:
    """Run the workflow up to the responses."""
    if args.stages or args.anat_only or args.skip:
        raise UsageError("bids-ai ccep has its stages; for others use 'bids-ai run ... participant --stages'.")
    args.stages = ["ccep"]
    return run.execute(args)
