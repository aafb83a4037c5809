"""``bids-ai run ... group``: what is asked of a group, checked before the work begins."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bids_ai.bids.dataset import strip_prefix
from bids_ai.cli.places import absolute, default_work_dir, made_by
from bids_ai.errors import InputError, UsageError

if TYPE_CHECKING:
    from bids_ai.group.variables import ContrastPlan
    from bids_ai.stages.group_inputs import GroupAtlas

PERMUTATIONS = 5000
#: With fewer, no p is below .05.
MIN_PERMUTATIONS = 19


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the group level."""
    group = parser.add_argument_group("the group level")
    group.add_argument(
        "--contrast",
        metavar="COLUMN",
        help="column of participants.tsv, with two groups or with numbers: which edges differ, or go with it",
    )
    group.add_argument(
        "--covariates", nargs="+", default=[], metavar="COLUMN", help="columns that the contrast is adjusted for"
    )
    group.add_argument("--permutations", type=int, metavar="N", help=f"permutations of the contrast ({PERMUTATIONS})")
    group.add_argument(
        "--seed-regions",
        nargs="+",
        default=[],
        metavar="REGION",
        help="regions whose output and input maps are drawn (dlPFC and PCC where the atlas has them)",
    )


def refuse_for_participants(args: argparse.Namespace) -> None:
    """Refuse options of the group level where subjects are worked on.

    Raises
    ------
    UsageError
        Naming them.
    """
    options = ("contrast", "covariates", "permutations", "seed_regions")
    # Commands that share this call (`ccep`) do not have them.
    wrong = [f"--{option.replace('_', '-')}" for option in options if getattr(args, option, None)]
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: for the group level, after the participant level: run ... group.")


def execute(args: argparse.Namespace) -> int:
    """Run the group level; 1 where something is to be put right, with what it is."""
    from bids_ai.stages.group_inputs import group_atlases, subjects_of

    output_dir = absolute(args.output_dir)
    if made_by(output_dir) is None:
        raise UsageError(f"{output_dir} holds no outputs of bids_ai; run the participant level first.")
    chosen = [strip_prefix(label, "sub") for label in args.participant_label]
    excluded = [strip_prefix(label, "sub") for label in args.exclude_participant_label]
    subjects = subjects_of(output_dir, chosen, excluded)
    absent = sorted({f"sub-{label}" for label in chosen} - set(subjects) - {f"sub-{label}" for label in excluded})
    if absent:
        raise UsageError(f"Not in {output_dir}: {', '.join(absent)}. It has: {', '.join(subjects_of(output_dir))}.")
    plan = _contrast(args, subjects)
    _check_seeds(args.seed_regions, group_atlases(output_dir))
    return _run(args, output_dir, subjects, plan)


def _run(args: argparse.Namespace, output_dir: Path, subjects: list[str], plan: ContrastPlan | None) -> int:
    from bids_ai.stages.group import run_group
    from bids_ai.stages.group_tables import GroupRun

    bids_dir = None if str(args.bids_dir) == "-" else absolute(args.bids_dir)
    work_dir = absolute(args.work_dir) if args.work_dir else default_work_dir(bids_dir, output_dir)
    made = [folder for folder in (work_dir, work_dir.parent) if not folder.exists()]
    work_dir.mkdir(parents=True, exist_ok=True)
    try:
        # Edges of all subjects: too large for a folder in memory, as /tmp may be.
        with tempfile.TemporaryDirectory(prefix="group-", dir=work_dir) as scratch:
            run = GroupRun(
                output_dir,
                tuple(subjects),
                Path(scratch),
                contrast=plan,
                n_permutations=args.permutations or PERMUTATIONS,
                seed=1 if args.random_seed is None else args.random_seed,
                seed_regions=tuple(args.seed_regions),
            )
            outcome = run_group(run, _command(args))
    finally:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
    for warning in outcome.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for fault in outcome.faults:
        print(f"LEFT OUT  {fault}", file=sys.stderr)
    print(f"{len(outcome.files)} tables of {len(subjects)} subject(s) in {output_dir / 'group'}", file=sys.stderr)
    print(outcome.page)
    return 1 if outcome.faults else 0


def _contrast(args: argparse.Namespace, subjects: list[str]) -> ContrastPlan | None:
    """Make the contrast of the columns asked for, or refuse it."""
    if args.permutations is not None and args.permutations < MIN_PERMUTATIONS:
        raise UsageError(f"--permutations {args.permutations}: with fewer than {MIN_PERMUTATIONS} no p is below .05.")
    if not args.contrast:
        if args.covariates or args.permutations:
            raise UsageError("--covariates and --permutations belong to a --contrast COLUMN of participants.tsv.")
        return None
    if str(args.bids_dir) == "-":
        raise UsageError("--contrast takes its column from BIDS_DIR/participants.tsv; give the dataset instead of '-'.")
    from bids_ai.bids.participants import read_participants
    from bids_ai.group.variables import plan_contrast

    try:
        table = read_participants(absolute(args.bids_dir) / "participants.tsv")
        return plan_contrast(table, args.contrast, args.covariates, subjects)
    except InputError as error:
        raise UsageError(str(error)) from None


def _check_seeds(names: list[str], atlases: list[GroupAtlas]) -> None:
    """Refuse a seed region that no atlas has."""
    from bids_ai.parcellation.names import find_regions

    for name in names:
        faults = []
        for atlas in atlases:
            try:
                find_regions([name], atlas.nodes)
            except InputError as error:
                faults.append(f"{atlas.label}: {error}")
        if len(faults) == len(atlases):
            raise UsageError("--seed-regions: " + (" ".join(faults) or "there is no atlas in the output folder."))


def _command(args: argparse.Namespace) -> str:
    words = ["bids-ai", "run", str(args.bids_dir), str(args.output_dir), "group"]
    for option in ("participant_label", "exclude_participant_label", "covariates", "seed_regions"):
        if getattr(args, option):
            words += [f"--{option.replace('_', '-')}", *getattr(args, option)]
    for option in ("contrast", "permutations", "random_seed"):
        if getattr(args, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(args, option))]
    return shlex.join(words)
