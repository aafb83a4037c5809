"""Files at the root of the derivatives: dataset_description.json, .bidsignore, README, descriptions.tsv."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from bids_ai import __version__
from bids_ai.bids.files import write_json, write_text
from bids_ai.bids.tables import write_table

BIDS_VERSION = "1.10.0"

#: Our files that BIDS 1.11 does not know (connectivity, transforms, surrogates, reports).
BIDSIGNORE = (
    "*.html",
    "figures",
    "group",
    "logs",
    "*_xfm.*",
    "*_boldref.*",
    "*_timeseries.*",
    "*_relmat.*",
    "*_surrogate.*",
    "*_ccep.*",
    "*_ave.*",
    "*_tractography.*",
    "*_dwimap.*",
    "*_dwiref.*",
    "*_stats.tsv",
    "*_stats.json",
    "*_features.*",
    "*_scores.*",
    "*_stimsites.*",
    "group_*.tsv",
    "*_desc-preproc_dwi.bval",
    "*_desc-preproc_dwi.bvec",
)

DESCRIPTIONS = {
    "preproc": "Preprocessed",
    "brain": "Brain mask",
    "confounds": "Confound regressors of a BOLD run",
    "coverage": "Voxels of each region that hold data",
    "pooled": "Fitted to all runs of a task of a subject",
}

README = """# bids_ai derivatives

Connectomes, surrogate brains and effective connectivity made by bids_ai {version} from "{name}".
Open `sub-*.html` in a browser. In every matrix (`*_relmat.tsv`) the row is the source and the column the target;
`n/a` means that there is no value (a region without data, the diagonal), never zero.
"""


def write_root(
    output_dir: Path, *, dataset_name: str, links: dict[str, str], container: dict[str, str] | None = None
) -> None:
    """Write the files at the root of the derivatives.

    Parameters
    ----------
    output_dir : Path
        Root.
    dataset_name : str
        Name of the source dataset.
    links : dict
        Name of a source dataset in BIDS URIs -> its folder.
    container : dict, optional
        ``Container`` of ``GeneratedBy``; by default what the image that this runs in says of itself.
    """
    generated: dict[str, Any] = {
        "Name": "bids_ai",
        "Version": __version__,
        "Description": "Preprocessing, parcellation, connectivity, surrogate brains, effective connectivity",
    }
    container = container or _own_container()
    if container:
        generated["Container"] = container
    write_json(
        output_dir / "dataset_description.json",
        {
            "Name": f"bids_ai derivatives of {dataset_name}",
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "derivative",
            "GeneratedBy": [generated],
            "SourceDatasets": [{"URL": Path(folder).as_uri()} for folder in links.values()],
            "DatasetLinks": {name: Path(folder).as_uri() for name, folder in links.items()},
            "HowToAcknowledge": "Cite the works listed in the Methods section of the reports.",
        },
    )
    write_bidsignore(output_dir)
    write_text(output_dir / "README.md", README.format(version=__version__, name=dataset_name))
    table = pd.DataFrame({"desc_id": [f"desc-{key}" for key in DESCRIPTIONS], "description": DESCRIPTIONS.values()})
    write_table(output_dir / "descriptions.tsv", table)


def _own_container() -> dict[str, str] | None:
    """The image that this runs in; it cannot know its own digest, which whoever starts it may tell."""
    image, digest = os.environ.get("BIDS_AI_IMAGE"), os.environ.get("BIDS_AI_IMAGE_DIGEST")
    if not image:
        return None
    image = image.replace(":unknown", f":{__version__}")  # built without the argument that says it
    kind = "apptainer" if os.environ.get("APPTAINER_CONTAINER") else "docker"
    return {"Type": kind, "Tag": image} | ({"Digest": digest} if digest else {})


def write_bidsignore(output_dir: Path) -> None:
    """Write which of our files the validator is to leave alone."""
    write_text(output_dir / ".bidsignore", "\n".join(BIDSIGNORE) + "\n")


def bids_uri(path: str | Path, links: dict[str, str], output_dir: Path) -> str:
    """BIDS URI of a file: ``bids:raw:sub-01/...``, or ``bids::sub-01/...`` for one of our own.

    Parameters
    ----------
    path : str or Path
        Absolute path.
    links : dict
        Name of a source dataset -> its folder.
    output_dir : Path
        Root of our derivatives.
    """
    path = Path(path)
    roots = {"": str(output_dir), **links}
    around = [name for name, root in roots.items() if path.is_relative_to(root)]
    if not around:
        return path.name
    # Derivatives often lie in the raw dataset: the innermost folder is the one that is meant.
    name = max(around, key=lambda name: len(Path(roots[name]).parts))
    return f"bids:{name}:{path.relative_to(roots[name]).as_posix()}"
