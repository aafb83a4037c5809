"""What is checked first of a run: all that can be known without looking for its inputs."""

from __future__ import annotations

import argparse
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from bids_ai.cli import containers, engine, options
from bids_ai.cli.places import absolute, check_places, default_work_dir
from bids_ai.cli.work_owner import owner_fault
from bids_ai.config import Config
from bids_ai.errors import UsageError
from bids_ai.stages.plan import STAGES, stages_of


@dataclass(frozen=True)
class Ahead:
    """Places, settings and stages of a run, which nothing speaks against so far."""

    bids_dir: Path | None
    output_dir: Path
    work_dir: Path
    config: Config
    stages: list[str]
    tools: dict[str, Path]
    container: str | None
    warnings: list[str]


def look_ahead(args: argparse.Namespace) -> Ahead:
    """Check places, settings, stages, image and profile.

    Raises
    ------
    UsageError
        With all findings, if anything speaks against the run.
    """
    from bids_ai.bids.derivatives import parse_option
    from bids_ai.cli import preflight

    stages = _stages(args)
    config = _fitting_stages(options.configuration(args), args)
    tools = parse_option(args.derivatives)
    container = containers.checked_image(args.container) if getattr(args, "container", None) else None
    profile = getattr(args, "profile", None)
    bids_dir = None if str(args.bids_dir) == "-" and tools else absolute(args.bids_dir)
    output_dir = absolute(args.output_dir)
    work_dir = absolute(args.work_dir or default_work_dir(bids_dir, output_dir))
    findings = preflight.Findings(refusals=check_places(bids_dir, output_dir, work_dir))
    if not getattr(args, "clean_workdir", False):
        fault = owner_fault(work_dir, output_dir, bids_dir)
        findings.refusals += [fault] if fault else []
    findings.refusals += _profile_faults(profile)
    preflight.check_settings(config, findings, elsewhere=bool(profile or container))
    preflight.refuse(findings)
    if container:
        containers.check_version(container)
    return Ahead(bids_dir, output_dir, work_dir, config, stages, tools, container, findings.warnings)


def _profile_faults(profile: str | None) -> list[str]:
    """Say what a profile of ours needs: Snakemake would find out after everything else."""
    if not profile or Path(engine.profile_folder(profile)).name != "slurm":
        return []
    if importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        return []
    return [
        "The profile slurm needs Snakemake's executor plugin: python tools/install.py .venv --extras slurm, or pip "
        "install snakemake-executor-plugin-slurm."
    ]


def _stages(args: argparse.Namespace) -> list[str]:
    if args.anat_only and args.stages:
        raise UsageError("--anat-only and --stages contradict each other; give one of them.")
    wanted = ["anat"] if args.anat_only else stages_of(" ".join(args.stages))
    left_out = stages_of(" ".join(args.skip)) if args.skip else []
    left_out += ["sc"] if "dwi" in left_out else []
    left_out += ["ccep"] if "ieeg" in left_out else []
    stages = [stage for stage in STAGES if stage in wanted and stage not in left_out]
    if not stages:
        raise UsageError("--skip leaves no stage to run.")
    return stages


def _fitting_stages(config: Config, args: argparse.Namespace) -> Config:
    """Fit models without structural connectivity where it is not to be made."""
    if not {"dwi", "sc"} & set(stages_of(" ".join(args.skip)) if args.skip else ()):
        return config
    surrogate = config.surrogate.model_copy(update={"structural": "none"})
    return config.model_copy(update={"surrogate": surrogate})
