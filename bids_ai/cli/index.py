"""``bids-ai index``: choose the inputs, write the index and the resolved configuration."""

from __future__ import annotations

import argparse
import os
import secrets
import shlex
import shutil
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from bids_ai.bids.files import write_text
from bids_ai.bids.index import Index
from bids_ai.cli import containers, options
from bids_ai.cli.ahead import look_ahead
from bids_ai.cli.engine import workflow_dir
from bids_ai.cli.inputs import needed, show_inputs
from bids_ai.cli.versions import installed_versions
from bids_ai.cli.work_owner import claim
from bids_ai.config import Config
from bids_ai.errors import UsageError
from bids_ai.stages.plan import stages_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai index``."""
    options.add_locations(parser)
    options.add_selection(parser)
    options.add_settings(parser)
    options.add_stages(parser)
    options.add_models(parser)
    containers.add_arguments(parser)


def execute(args: argparse.Namespace) -> int:
    """Write the index and say how to call snakemake."""
    run = prepare(args)
    for warning in run.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    show_inputs(run.inputs, sys.stderr)
    run.save(assemble_reports=True)
    print(f"Index: {run.index_file}\nConfiguration: {run.config_file}\n\nNow:\n")
    places = [shlex.quote(str(path)) for path in (workflow_dir() / "Snakefile", run.config_file, run.work_dir)]
    print(f"  snakemake --snakefile {places[0]} --configfile {places[1]} \\")
    print(f"      --directory {places[2]} --rerun-incomplete --keep-going --cores 2", end="")
    print(f" \\\n      {shlex.join(run.container_arguments)}" if run.container else "")
    return 0


@dataclass
class PreparedRun:
    """A run that has passed all checks and has written nothing yet."""

    bids_dir: Path | None
    output_dir: Path
    work_dir: Path
    run_dir: Path
    config: Config
    index: Index
    stages: list[str]
    warnings: list[str]
    container: str | None = None
    container_options: tuple[str, ...] = ()

    @property
    def container_arguments(self) -> list[str]:
        """Arguments of Snakemake that run the jobs in the image, if there is one; the folders exist by then."""
        if self.container is None:
            return []
        gpu = self.config.device != "cpu" and shutil.which("nvidia-smi") is not None
        # Modules of Python that the shell outside has loaded are not for the Python inside.
        words = ["--env", "PYTHONPATH=,PYTHONHOME=,PYTHONNOUSERSITE=1", *(["--nv"] if gpu else [])]
        inputs = [asdict(self.index), self.config.model_dump(mode="json"), *self.links.values()]
        return containers.snakemake_arguments(
            readable=containers.paths_in(inputs),
            writable=[self.output_dir, self.work_dir],
            options=[*words, *self.container_options],
        )

    @property
    def inputs(self) -> Index:
        """The index without what none of the stages works on."""
        return needed(self.index, self.stages, self.config)

    @property
    def config_file(self) -> Path:
        """Resolved configuration."""
        return self.run_dir / "config.yaml"

    @property
    def index_file(self) -> Path:
        """Index."""
        return self.run_dir / "index.json"

    @property
    def links(self) -> dict[str, str]:
        """Source datasets by the name they have in BIDS URIs."""
        raw = {"raw": str(self.bids_dir)} if self.bids_dir else {}
        return raw | self.index.derivatives

    def save(self, *, assemble_reports: bool) -> None:
        """Write index, configuration and the root files of the derivatives."""
        from bids_ai.bids.description import write_root

        claim(self.work_dir, self.output_dir, self.bids_dir)
        image = containers.image_record(self.container)
        write_root(self.output_dir, dataset_name=self.index.dataset_name, links=self.links, container=image)
        text = self.save_settings(assemble_reports=assemble_reports)
        logs = self.output_dir / "logs" / self.run_dir.name
        write_text(logs / "config.yaml", text)
        write_text(logs / "versions.txt", installed_versions())

    def save_settings(self, *, assemble_reports: bool) -> str:
        """Write only what the workflow reads: the index and the resolved configuration, which is returned."""
        settings = self.config.model_dump(mode="json") | {
            "bids_dir": str(self.bids_dir or ""),
            "output_dir": str(self.output_dir),
            "work_dir": str(self.work_dir),
            "run_dir": str(self.run_dir),
            "stages": ",".join(self.stages),
            "command": shlex.join(["bids-ai", *sys.argv[1:]]),
            "assemble_reports": assemble_reports,
            "container": self.container or "",
        }
        self.index.save(self.index_file)
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        write_text(self.config_file, text)
        return text


def prepare(args: argparse.Namespace) -> PreparedRun:
    """Check everything that can be checked and choose the inputs.

    Raises
    ------
    UsageError
        With all findings, if anything speaks against the run; or if a file cannot be read.
    """
    try:
        return _prepare(args)
    except PermissionError as error:
        raise UsageError(
            f"{error.filename or error} may not be read or searched by user {os.getuid()}. Let that user read it; "
            "in a container run with -u $(id -u):$(id -g) (podman: --userns=keep-id), under SELinux mount with :z."
        ) from error


def _prepare(args: argparse.Namespace) -> PreparedRun:
    from bids_ai.cli import atlas_checks, contact_checks, preflight

    ahead = look_ahead(args)
    bids_dir, config, stages = ahead.bids_dir, ahead.config, ahead.stages
    findings = preflight.Findings(warnings=ahead.warnings)
    if bids_dir and not args.skip_bids_validation:
        preflight.validate_bids(bids_dir, findings)
    index = preflight.build_index(bids_dir, options.selection(args), ahead.tools, config, findings)
    index = _without_modalities(index, args)
    preflight.check_work(index, findings)
    if stages == ["ccep"]:
        preflight.check_stimulation(index, findings)
    preflight.check_programs(index, config, findings, elsewhere=ahead.container is not None)
    nodes = {} if stages == ["anat"] else atlas_checks.check_atlases(index, config, ahead.work_dir / "cache", findings)
    preflight.refuse(findings)
    index = contact_checks.place_contacts(index, config.ieeg, nodes, findings)
    preflight.refuse(findings)
    run_id = f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}"  # many may start within one second
    return PreparedRun(
        bids_dir=bids_dir,
        output_dir=ahead.output_dir,
        work_dir=ahead.work_dir,
        run_dir=ahead.work_dir / "runs" / run_id,
        config=config,
        index=index,
        stages=stages,
        warnings=findings.warnings,
        container=ahead.container,
        container_options=tuple(shlex.split(getattr(args, "container_args", ""))),
    )


def _without_modalities(index: Index, args: argparse.Namespace) -> Index:
    """Leave out the recordings of a modality whose preprocessing is to be skipped: nothing can be made of them.

    A command that works on some modalities alone names them.
    """
    left_out = set(stages_of(" ".join(args.skip))) if args.skip else set()
    only = getattr(args, "modalities", None)
    gone = {
        entry.series
        for entry in index.recordings
        if entry.modality in left_out or (only and entry.modality not in only)
    }
    images = {entry.images for entry in index.diffusions} if only else set()
    return index.without(gone, images) if gone or images else index
