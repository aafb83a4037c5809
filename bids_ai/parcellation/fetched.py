"""The folder of fetched atlases and templates: where it is, and what it holds.

``FOLDER/atlases/NAME_SCALE/atlas-..._dseg.{nii.gz,tsv,json}`` and ``FOLDER/templates/NAME/``, written by
`bids_ai.fetch`; ``manifest.json`` says what came from where. The folder can be copied to a machine without network.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from bids_ai.errors import InputError
from bids_ai.parcellation.published import Edition, Template, published

VARIABLE = "BIDS_AI_ATLAS_DIR"
"""Environment variable that names the folder."""


def default_folder() -> Path:
    """Folder of fetched atlases, where none is given: ``$BIDS_AI_ATLAS_DIR``, else ``$XDG_DATA_HOME/bids_ai``."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data and Path(data).is_absolute() else Path.home() / ".local" / "share") / "bids_ai"


def place_of(item: Edition | Template, folder: Path) -> Path:
    """Folder in which a fetched atlas or template lies, whether it is there or not."""
    return folder / ("atlases" if isinstance(item, Edition) else "templates") / item.key


def volume_of(edition: Edition, folder: Path) -> Path:
    """Label volume of a fetched atlas, whether it is there or not."""
    return place_of(edition, folder) / f"{edition.stem}_dseg.nii.gz"


def fetched_atlas(spec: str, folder: Path | None) -> Path | None:
    """Find the label volume of a published atlas.

    Parameters
    ----------
    spec : str
        Such as ``Schaefer2018:100``; case does not matter.
    folder : pathlib.Path or None
        Folder of fetched atlases; `default_folder` by default.

    Returns
    -------
    pathlib.Path or None
        None if no published atlas bears this name.

    Raises
    ------
    InputError
        If it has several scales and none is given, was not fetched, or is no longer what was fetched.
    """
    found = published().resolve(spec)
    if not found:
        return None
    if len(found) > 1:
        choice = ", ".join(entry.spec for entry in found)
        raise InputError(f"{found[0].work.name} comes in several scales; say which: {choice}.")
    where = folder or default_folder()
    volume = volume_of(found[0], where)
    if not volume.is_file():
        raise InputError(
            f"{found[0].spec} is a published atlas that is not in {where}. On a machine with internet: bids-ai fetch "
            f"{found[0].spec} --dir DIR; then give that folder with --atlas-dir, or as {VARIABLE} (docs/fetch.md)."
        )
    _check_unchanged(volume, found[0])
    return volume


def fetched_template(name: str, folder: Path | None) -> dict[str, Path | str]:
    """Give the files of a fetched template as settings of ``anat.template``.

    Parameters
    ----------
    name : str
        Such as ``MNI152NLin2009cAsym``.
    folder : pathlib.Path or None
        Folder of fetched atlases and templates; `default_folder` by default.

    Returns
    -------
    dict
        ``t1w``, ``mask``, ``space`` and what else there is.

    Raises
    ------
    InputError
        If there is no such template, or it was not fetched.
    """
    template = published().template(name)
    if template is None:
        known = ", ".join(entry.spec for entry in published().templates)
        raise InputError(
            f"There is no template {name!r} that can be fetched; known: {known}. Give t1w, mask and space."
        )
    where = folder or default_folder()
    place = place_of(template, where)
    missing = [file for file in template.roles.values() if not (place / file).is_file()]
    if missing:
        raise InputError(
            f"Template {template.spec} is not, or not whole, in {where} (missing: {', '.join(missing)}). On a machine "
            "with internet: bids-ai fetch templates --dir DIR; then give that folder with --atlas-dir, or as "
            f"{VARIABLE}."
        )
    return {"space": template.spec} | {role: place / file for role, file in template.roles.items()}


def template_t1w(space: str, folder: Path | None) -> Path | None:
    """Give the skull-stripped T1w of a space, where it was fetched into a folder; None where it was not."""
    template = published().template(space)
    if folder is None or template is None or "t1w" not in template.roles:
        return None
    t1w = place_of(template, folder) / template.roles["t1w"]
    return t1w if t1w.is_file() else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what was fetched into a folder; empty where nothing was.

    Raises
    ------
    InputError
        If the manifest cannot be read.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}. Remove it and fetch again.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a manifest of fetched atlases. Remove it and fetch again.")
    return content


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _check_unchanged(volume: Path, edition: Edition) -> None:
    sidecar = volume.with_name(f"{edition.stem}_dseg.json")
    try:
        known = json.loads(sidecar.read_text(encoding="utf-8"))["Sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{sidecar} is missing or damaged ({error}). Fetch it again: bids-ai fetch {edition.spec}."
        ) from error
    if sha256_of(volume) != known:
        raise InputError(
            f"{volume} is not the file that was fetched (its sha256 differs from {sidecar.name}). "
            f"Fetch it again: bids-ai fetch {edition.spec}."
        )
