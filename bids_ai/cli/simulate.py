"""``bids-ai simulate``: a virtual cohort with known truth, made from the bundled template."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bids_ai.errors import InputError, UsageError
from bids_ai.simulate.plan import LEAST_REGIONS, MODALITIES, SIZES

_EPILOG = """what is made:
  A BIDS dataset of people who never lived. Each has a brain of its own, and in it one directed network of regions, from
  which every recording is made. The network and all else that recordings hide (true effective connectivity, fibres,
  motion, transforms) lie in OUT_DIR/sourcedata/truth, to score results against. Nothing is downloaded.

examples:
  bids-ai simulate demo                                        two subjects with everything: some minutes
  bids-ai simulate quick --size tiny --modalities t1w bold     coarse images, half a minute
  bids-ai simulate retest --subjects 10 --sessions 2           ten subjects, two sessions
  bids-ai simulate sc --modalities t1w dwi --regions 40        diffusion only, a finer network
  bids-ai simulate clinic --subjects 1 --lesion                after an anterior temporal lobectomy

docs/demo.md says what is in the images, and what is not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai simulate``."""
    parser.epilog = _EPILOG
    parser.add_argument("out_dir", metavar="OUT_DIR", type=Path, help="folder to make; must be absent or empty")
    parser.add_argument("--subjects", metavar="N", type=int, default=2, help="how many subjects (default 2)")
    parser.add_argument(
        "--sessions",
        metavar="S",
        type=int,
        help="sessions of every subject, each with two runs of BOLD (by default subjects differ, to try a workflow on: "
        "sub-01, sub-03, ... have two runs and no sessions, sub-02, sub-04, ... a run in each of two sessions)",
    )
    regions = ", ".join(f"{size.n_regions} in {name}" for name, size in SIZES.items())
    parser.add_argument(
        "--regions", metavar="R", type=int, help=f"regions of the network, {LEAST_REGIONS} or more (default {regions})"
    )
    parser.add_argument(
        "--modalities",
        metavar="NAME",
        nargs="+",
        default=list(MODALITIES),
        help=f"which of {' '.join(MODALITIES)} subjects have; ieeg is SEEG at rest and under stimulation (default all)",
    )
    parser.add_argument(
        "--size",
        metavar="|".join(SIZES),
        default="small",
        help="tiny: coarse and short, for tests; small: for a laptop; full: as a study records (default small)",
    )
    parser.add_argument("--ragged", action="store_true", help="sub-02, sub-04, ... have no DWI, as in real cohorts")
    parser.add_argument(
        "--lesion",
        action="store_true",
        help="sub-01 lacks the front of one temporal lobe: a cavity of fluid",
    )
    parser.add_argument(
        "--seed",
        metavar="K",
        type=int,
        default=1,
        help="the same call and seed give the same bytes (default 1)",
    )


def execute(args: argparse.Namespace) -> int:
    """Write the dataset and say where it is."""
    from bids_ai.simulate.cohort import write_cohort

    try:
        out_dir = write_cohort(
            args.out_dir,
            n_subjects=args.subjects,
            sessions=args.sessions,
            n_regions=args.regions,
            seed=args.seed,
            modalities=args.modalities,
            size=args.size,
            ragged=args.ragged,
            lesion=args.lesion,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
    except InputError as error:
        # All that can be wrong is what was asked for, and nothing has been written.
        raise UsageError(str(error)) from error
    print(out_dir)
    return 0
