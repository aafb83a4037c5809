"""Options that ``run`` and ``index`` share, and the settings that follow from them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bids_ai import config as settings
from bids_ai.bids.dataset import Selection, strip_prefix
from bids_ai.bids.files import read_json
from bids_ai.cli.places import absolute
from bids_ai.config import Config
from bids_ai.errors import InputError, UsageError
from bids_ai.stages.plan import STAGES

#: Options users of other apps know and that belong to later versions.
NOT_YET = {
    "--output-spaces": "choosing further output spaces",
    "--fs-subjects-dir": "FreeSurfer",
    "--report-output-level": "reports per session",
    "--aggregate-session-reports": "reports per session",
    "--resource-monitor": "the resource monitor",
}


def add_locations(parser: argparse.ArgumentParser) -> None:
    """Where things are."""
    parser.add_argument("bids_dir", type=Path, help="the BIDS dataset; '-' where --derivatives gives everything")
    parser.add_argument("output_dir", type=Path, help="folder for the derivatives, made if absent")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """What of the dataset is worked on."""
    group = parser.add_argument_group("what to work on")
    group.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL", help="subjects (01 or sub-01)")
    group.add_argument("--exclude-participant-label", nargs="+", default=[], metavar="LABEL", help="subjects left out")
    group.add_argument("--session-label", "--session-id", nargs="+", default=[], metavar="LABEL", help="sessions")
    group.add_argument("--task-id", nargs="+", default=[], metavar="TASK", help="tasks")
    group.add_argument("--run-id", nargs="+", default=[], metavar="RUN", help="runs")
    group.add_argument(
        "--bids-filter-file",
        type=Path,
        metavar="JSON",
        help='pybids filters by kind of file: {"t1w": {...}, "bold": ..., "dwi": ...}; null: without, "*": with any',
    )
    group.add_argument("--bids-database-dir", type=Path, metavar="DIR", help="folder of a pybids database to reuse")
    group.add_argument("--skip-bids-validation", action="store_true", help="do not call the bids-validator")
    group.add_argument(
        "-d",
        "--derivatives",
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="start from what another tool made: fmriprep=DIR (preprocessed BOLD and confounds), "
        "xcpd=DIR (region series, *_timeseries.tsv) or qsiprep=DIR (preprocessed DWI)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """How it is worked on; whatever is not here stands in the configuration file."""
    group = parser.add_argument_group("how to work on it (more in the configuration file)")
    group.add_argument("--config-file", type=Path, metavar="YAML", help="settings; options given here win over it")
    group.add_argument(
        "--atlases",
        nargs="+",
        metavar="ATLAS",
        help="names (EqualVolume:100, GrownSeitzman2018, GrownPower2011, GrownDosenbach2010), names of fetched atlases "
        "(Schaefer2018:100; bids-ai fetch --list), or NIfTI files",
    )
    group.add_argument(
        "--atlas-dir",
        type=Path,
        metavar="DIR",
        help="folder that 'bids-ai fetch' filled (BIDS_AI_ATLAS_DIR, or ~/.local/share/bids_ai)",
    )
    group.add_argument("--atlas-table", type=Path, metavar="TABLE", help="region table of the one atlas file given")
    group.add_argument("--atlas-space", metavar="SPACE", help="space of the atlas files, such as MNI152NLin2009cAsym")
    group.add_argument(
        "--atlas-template",
        type=Path,
        metavar="T1W",
        help="brain-extracted T1w template of the atlas files' space: they are registered to the template of the run "
        "instead of being placed by their coordinates alone",
    )
    group.add_argument("--random-seed", type=int, metavar="N", help="one seed for everything")
    group.add_argument("--sloppy", action="store_true", help="coarse registration; for tests only")
    group.add_argument(
        "-w",
        "--work-dir",
        type=Path,
        metavar="DIR",
        help="intermediate files, of this output alone (OUTPUT_DIR/../bids_ai_work/...)",
    )
    for option in NOT_YET:
        group.add_argument(option, nargs="*", action=_NotYet, help=argparse.SUPPRESS)


def add_stages(parser: argparse.ArgumentParser, *, shown: bool = True) -> None:
    """Which stages are run; a command that has its own does not show them."""
    group = parser.add_argument_group("which stages")
    words = {
        "stages": f"only up to these: {', '.join(STAGES)} (default: all)",
        "anat": "same as --stages anat",
        "skip": "stages to leave out",
    }
    told = words if shown else dict.fromkeys(words, argparse.SUPPRESS)
    group.add_argument("--stages", nargs="+", default=[], metavar="STAGE", help=told["stages"])
    group.add_argument("--anat-only", action="store_true", help=told["anat"])
    group.add_argument("--skip", nargs="+", default=[], metavar="STAGE", help=told["skip"])


def add_models(parser: argparse.ArgumentParser, *, shown: bool = True) -> None:
    """Region series and models of them; a command that makes none takes these without effect, and hides them."""
    group = parser.add_argument_group("regions and their models")
    words = {
        "coverage": "below it a region is n/a",
        "model": "surrogate family, or auto (default): the best by held-out prediction",
        "device": "where surrogates are fitted",
        "gpu": "same as --device cuda",
        "no-gpu": "same as --device cpu",
    }
    told = words if shown else dict.fromkeys(words, argparse.SUPPRESS)
    group.add_argument("--min-coverage", type=float, metavar="FRACTION", help=told["coverage"])
    group.add_argument("--model", help=told["model"])
    # A usage line of argparse breaks on an exclusive group of which nothing is shown.
    device = group.add_mutually_exclusive_group() if shown else group
    device.add_argument("--device", choices=("auto", "cpu", "cuda"), help=told["device"])
    device.add_argument("--gpu", dest="device", action="store_const", const="cuda", help=told["gpu"])
    device.add_argument("--no-gpu", dest="device", action="store_const", const="cpu", help=told["no-gpu"])


class _NotYet(argparse.Action):
    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise UsageError(f"{option_string}: {NOT_YET[str(option_string)]} is not there yet in this version.")


def selection(args: argparse.Namespace) -> Selection:
    """Read what was asked for; labels lose their prefix.

    Raises
    ------
    UsageError
        For a label that is none, or a filter file that cannot be read.
    """
    filters: dict[str, dict[str, Any]] = {}
    if args.bids_filter_file:
        try:
            filters = read_json(args.bids_filter_file)
        except (OSError, ValueError) as error:
            raise UsageError(f"--bids-filter-file {args.bids_filter_file} cannot be read as JSON: {error}") from None
        if not isinstance(filters, dict) or not all(isinstance(entry, dict) for entry in filters.values()):
            raise UsageError(
                f'--bids-filter-file {args.bids_filter_file} must look like {{"bold": {{"acquisition": "mb"}}}}.'
            )
        unknown = sorted(set(filters) - {"t1w", "bold", "dwi", "eeg", "ieeg", "fmap"})
        if unknown:
            raise UsageError(
                f"--bids-filter-file: unknown kind {', '.join(unknown)}; known are t1w, bold, dwi, eeg, ieeg and fmap."
            )
    return Selection(
        participants=[strip_prefix(label, "sub") for label in args.participant_label],
        excluded=[strip_prefix(label, "sub") for label in args.exclude_participant_label],
        sessions=[strip_prefix(label, "ses") for label in args.session_label],
        tasks=[strip_prefix(label, "task") for label in args.task_id],
        runs=[strip_prefix(label, "run") for label in args.run_id],
        filters=filters,
        database=args.bids_database_dir,
    )


def configuration(args: argparse.Namespace) -> Config:
    """Merge the defaults, the configuration file and the options, in this order; the last wins.

    Paths come out absolute, since jobs run in the work folder.
    """
    values = settings.read_yaml(args.config_file) if args.config_file else {}
    overrides: dict[tuple[str, ...], Any] = {
        ("parcellation", "atlases"): args.atlases,
        ("parcellation", "table"): args.atlas_table,
        ("parcellation", "space"): args.atlas_space,
        ("parcellation", "template"): args.atlas_template,
        ("parcellation", "atlas_dir"): args.atlas_dir,
        ("parcellation", "min_coverage"): args.min_coverage,
        ("surrogate", "model"): args.model,
        ("ccep", "responder"): getattr(args, "preset", None),
        ("random_seed",): args.random_seed,
        ("device",): args.device,
        ("sloppy",): args.sloppy or None,
    }
    for path, value in overrides.items():
        if value is not None:
            _place(values, path, value)
    _name_template(values)
    source = str(args.config_file or "The command line")
    config = settings.build(values, source)
    try:
        return _with_absolute_paths(config)
    except (OSError, ValueError, RuntimeError) as error:  # too long, with a zero byte, of no user (~name)
        raise UsageError(f"{source} names a path that can be none: {str(error)[:200]}") from None


def _place(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Put a value into nested settings; a section that is no section is left for the validation to name."""
    section: Any = values
    for key in path[:-1]:
        if isinstance(section, dict):
            section[key] = section.get(key) or {}
            section = section[key]
    if isinstance(section, dict):
        section[path[-1]] = value


def _name_template(values: dict[str, Any]) -> None:
    """Put the files of a fetched template in the place of its name (``anat: {template: MNI152NLin2009cAsym}``)."""
    anat, parcellation = values.get("anat"), values.get("parcellation")
    if not isinstance(anat, dict) or not isinstance(anat.get("template"), str):
        return
    from bids_ai.parcellation.fetched import fetched_template

    folder = parcellation.get("atlas_dir") if isinstance(parcellation, dict) else None
    try:
        anat["template"] = fetched_template(anat["template"], Path(folder) if folder else None)
    except InputError as error:
        raise UsageError(f"anat.template: {error}") from error


def _with_absolute_paths(config: Config) -> Config:
    parcellation, template = config.parcellation, config.anat.template
    parcellation.atlases = [
        str(absolute(Path(atlas))) if Path(atlas).expanduser().exists() else atlas for atlas in parcellation.atlases
    ]
    if parcellation.atlas_dir is None and any(map(_is_published, parcellation.atlases)):
        from bids_ai.parcellation.fetched import default_folder

        parcellation.atlas_dir = (
            default_folder()
        )  # written down, since jobs on other nodes may have another environment
    files: list[tuple[Any, str]] = [(parcellation, name) for name in ("table", "template", "atlas_dir")]
    files += [(template, name) for name in ("t1w", "mask", "head", "gm", "wm")]
    files += [(config.structural_connectivity, "group"), (config.prediction, "group_prior")]
    for section, name in files:
        if getattr(section, name):
            setattr(section, name, absolute(getattr(section, name)))
    return config


def _is_published(atlas: str) -> bool:
    if atlas.endswith((".nii", ".nii.gz")):
        return False
    from bids_ai.parcellation.published import published

    return bool(published().resolve(atlas.partition(":")[0]))
