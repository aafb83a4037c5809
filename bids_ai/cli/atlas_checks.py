"""Atlases looked at before the first job, and what a file lacks said in one message."""

from __future__ import annotations

import shlex
from pathlib import Path

import pandas as pd

from bids_ai.bids.index import AtlasEntry, Index
from bids_ai.cli.preflight import Findings
from bids_ai.config import Config
from bids_ai.errors import BidsAiError, InputError


def check_atlases(index: Index, config: Config, cache_dir: Path, findings: Findings) -> dict[str, pd.DataFrame]:
    """Load every atlas that will be applied, so that one without a table is found now and not after hours.

    Returns
    -------
    dict
        Label of each atlas to its node table.
    """
    from bids_ai.parcellation.atlas import load_atlas

    if not (index.diffusions or any(entry.engine != "timeseries" for entry in index.recordings)):
        return {}
    nodes: dict[str, pd.DataFrame] = {}
    settings = config.parcellation
    files = _files(config)
    if settings.table and len(files) != 1:
        findings.refusals.append(
            f"--atlas-table {settings.table} is for one atlas file, and {len(files)} are given; put a table of the "
            "same name beside each instead."
        )
    for spec in settings.atlases:
        try:
            atlas = load_atlas(
                spec,
                cache_dir=cache_dir,
                table=settings.table,
                space=settings.space,
                atlas_dir=settings.atlas_dir,
            )
        except BidsAiError as error:
            findings.refusals.append(f"Atlas {spec}: {error}{_what_else(spec, str(error), config, index.space)}")
            continue
        if any(entry.label == atlas.label for entry in index.atlases):
            findings.refusals.append(f"Atlas {spec}: a second atlas would be called {atlas.label}; rename the file.")
        index.atlases.append(AtlasEntry(atlas.label, spec))
        nodes[atlas.label] = atlas.nodes
    return nodes


def _what_else(spec: str, told: str, config: Config, run_space: str) -> str:
    """What a file whose table or space is not known lacks besides, and the call that gives all of it.

    A file is read in order, and the first thing that it lacks ends the reading: the others would come out one by one.
    """
    from bids_ai.parcellation.files import find_table

    path, settings = Path(spec), config.parcellation
    if not (spec.endswith((".nii", ".nii.gz")) and path.is_file()):
        return ""
    table = settings.table or find_table(path)
    space, fault = _space(path, settings.space, table)
    if table is not None and fault != told:  # something else is wrong with it
        return ""
    also = f" {fault}" if fault != told else ""
    if fault and _space(path, run_space, table)[1]:  # stating one does not mend it
        return also.rstrip()
    if _lacks_template(config, space, run_space):
        start = f"As its space is not {run_space}" if space else f"If its space is not {run_space}"
        also += (
            f" {start}, that of the template of this run, give a brain-extracted T1w of its space as well "
            "(--atlas-template): without one the atlas is placed by its coordinates alone."
        )
    published = " A published atlas that is fetched has table and space with it (bids-ai fetch --list)."
    return f"{also.rstrip()}{published} All at once: {_call(config, table is None, space, run_space)}"


def _space(path: Path, given: str | None, table: Path | None) -> tuple[str, str]:
    """Space of a file, or the reason why it is not known."""
    from bids_ai.parcellation.files import atlas_space

    try:
        return atlas_space(path, given, xcp_layout=table is not None and not table.exists())[0], ""
    except InputError as error:
        return "", str(error)


def _lacks_template(config: Config, space: str, run_space: str) -> bool:
    """Whether nothing is there to register an atlas by; `space` is empty where it is not known."""
    from bids_ai.parcellation.fetched import template_t1w

    settings = config.parcellation
    return settings.template is None and space != run_space and template_t1w(space, settings.atlas_dir) is None


def _call(config: Config, lacks_table: bool, space: str, run_space: str) -> str:
    """Call with everything that is given, and a word in capitals in the place of each that is not."""
    settings = config.parcellation
    parts = ["bids-ai run DATA OUT participant --atlases", *(shlex.quote(spec) for spec in settings.atlases)]
    if settings.table or (lacks_table and len(_files(config)) == 1):
        parts.append(f"--atlas-table {shlex.quote(str(settings.table or 'TABLE.tsv'))}")
    if settings.space or not space:
        parts.append(f"--atlas-space {settings.space or 'SPACE'}")
    if settings.template or _lacks_template(config, space, run_space):
        parts.append(f"--atlas-template {shlex.quote(str(settings.template or 'T1W.nii.gz'))}")
    return " ".join(parts)


def _files(config: Config) -> list[str]:
    return [spec for spec in config.parcellation.atlases if spec.endswith((".nii", ".nii.gz"))]
