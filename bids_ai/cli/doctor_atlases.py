"""Which atlases and templates are at hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bids_ai.cli.doctor_findings import Finding
from bids_ai.parcellation.fetched import default_folder, place_of, volume_of
from bids_ai.parcellation.published import published

SECTION = "atlases"
#: Atlases that need no file; `bids_ai.parcellation.registry`, without its imports.
MADE_HERE = ["GrownSeitzman2018", "GrownPower2011", "GrownDosenbach2010", "EqualVolume:N"]
_TEMPLATE = "MNI152NLin2009aSym"
_TEMPLATE_FILE = "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"


def atlases() -> list[Finding]:
    """Atlases made here, the bundled template, and what `bids-ai fetch` left."""
    return [Finding(SECTION, "made here", "ok", ", ".join(MADE_HERE), MADE_HERE), _bundled(), *_fetched()]


def _bundled() -> Finding:
    spec = find_spec("nilearn")
    if spec and spec.origin and (Path(spec.origin).parent / _TEMPLATE_FILE).is_file():
        return Finding(SECTION, "bundled template", "ok", _TEMPLATE, _TEMPLATE)
    cost = "no T1w can be registered, unless the settings give another template (anat.template)"
    return Finding(
        SECTION, "bundled template", "broken", "not in nilearn", None, cost, "pip install --force-reinstall nilearn"
    )


def _fetched() -> list[Finding]:
    folder, registry = default_folder(), published()
    editions = [entry.spec for entry in registry.editions if volume_of(entry, folder).is_file()]
    templates = [
        entry.spec
        for entry in registry.templates
        if all((place_of(entry, folder) / file).is_file() for file in entry.roles.values())
    ]
    return [
        _row(
            "fetched atlases",
            editions,
            folder,
            "atlases made here, and atlas files of your own, can be named",
            "Schaefer2018:100",
        ),
        _row(
            "fetched templates",
            templates,
            folder,
            f"the bundled template {_TEMPLATE}, or one of your own, can be used",
            "templates",
        ),
    ]


def _row(name: str, found: list[str], folder: Path, instead: str, example: str) -> Finding:
    if found:
        return Finding(SECTION, name, "ok", ", ".join(found), found)
    remedy = f"bids-ai fetch {example} (bids-ai fetch --list shows all; docs/fetch.md), or --atlas-dir"
    return Finding(SECTION, name, "absent", f"none in {folder}", [], f"only {instead}", remedy)
