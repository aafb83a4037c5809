"""From the files of the origin to an atlas that every run takes by its name."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from bids_ai import __version__
from bids_ai.bids.files import write_json
from bids_ai.errors import FetchError, InputError
from bids_ai.fetch.download import Downloads
from bids_ai.fetch.manifest import checksums, is_finished, locked, origins, record
from bids_ai.fetch.sources import Found, describe, gather
from bids_ai.parcellation.fetched import place_of, sha256_of
from bids_ai.parcellation.files import find_table, load_atlas_file
from bids_ai.parcellation.published import Edition, Template
from bids_ai.parcellation.volumes import read_label_image

_SCRATCH = ".fetching_"  # beginning of the folder in which an atlas is made, before it is renamed


def install_edition(
    edition: Edition,
    folder: Path,
    downloads: Downloads,
    *,
    space: str | None = None,
    accepted: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Fetch one scale of a published atlas, unless it is there.

    Parameters
    ----------
    edition : Edition
    folder : pathlib.Path
        Folder of fetched atlases.
    downloads : Downloads
    space : str, optional
        MNI152 variant, for an atlas whose authors do not state it.
    accepted : bool
        The user accepted the licence; it is written down.
    say : callable
        Is told of waiting.

    Returns
    -------
    bool
        False if it was there already.

    Raises
    ------
    FetchError
        If a file cannot be had, or is not the published atlas.
    """
    with locked(folder, say):
        if is_finished(edition, folder, space):
            return False
        found = gather(edition, folder, downloads, checksums(edition, folder), origins(edition, folder))
        sources = [describe(entry) for entry in found]
        place = place_of(edition, folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        for leftover in place.parent.glob(f"{_SCRATCH}*"):
            shutil.rmtree(leftover)  # of a call that was killed: the lock is ours
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=_SCRATCH) as scratch:
            made = Path(scratch) / place.name
            made.mkdir()
            where = _write(edition, found, sources, made, space)
            if place.exists():
                shutil.rmtree(place)  # damaged or in another space, or `is_finished` would have said so
            made.rename(place)
        names = [path.name for path in place.iterdir()]
        record(edition, folder, names=names, sources=sources, space=where, accepted=accepted)
    return True


def install_template(
    template: Template,
    folder: Path,
    downloads: Downloads,
    *,
    accepted: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Fetch a template, unless it is there; parameters as those of `install_edition`."""
    with locked(folder, say):
        if is_finished(template, folder):
            return False
        found = gather(template, folder, downloads, checksums(template, folder), origins(template, folder))
        names = [entry.path.name for entry in found]
        sources = [describe(entry) for entry in found]
        record(template, folder, names=names, sources=sources, space=template.spec, accepted=accepted)
    return True


def _write(
    edition: Edition, found: list[Found], sources: list[dict[str, str | int]], place: Path, space: str | None
) -> str:
    """Write volume, region table and sidecar; returns the space."""
    image, nodes, where = _read(edition, found[0].path, space)
    volume = place / f"{edition.stem}_dseg.nii.gz"
    if found[0].path.name.endswith(".nii.gz"):
        shutil.copyfile(found[0].path, volume)  # the published bytes, and their checksum
    else:
        volume.write_bytes(gzip.compress(image.to_bytes(), mtime=0))
    nodes.to_csv(place / f"{edition.stem}_dseg.tsv", sep="\t", index=False, na_rep="n/a", float_format="%.3f")
    write_json(place / f"{edition.stem}_dseg.json", _sidecar(edition, where, sha256_of(volume), sources))
    return where


def _read(edition: Edition, volume: Path, space: str | None) -> tuple[nib.Nifti1Image, pd.DataFrame, str]:
    try:
        with tempfile.TemporaryDirectory() as scratch:
            table = _generated_table(edition, volume, Path(scratch))
            _, image, nodes, where, _, _ = load_atlas_file(volume, table=table, space=edition.work.space or space)
    except InputError as error:
        raise FetchError(f"{volume} cannot be read as {edition.spec}: {error}") from error
    labels = np.unique(np.asanyarray(image.dataobj))
    regions = int((labels > 0).sum())
    if regions != edition.regions:
        raise FetchError(
            f"{volume} holds {regions} regions, and {edition.spec} has {edition.regions}: it is another atlas or "
            "version. Remove it and fetch again; to use it as it is, give the file itself with --atlases."
        )
    return image, nodes, where


def _generated_table(edition: Edition, volume: Path, scratch: Path) -> Path | None:
    """Write a table of numbered names for an atlas whose regions have none."""
    if not edition.unnamed or find_table(volume) is not None:
        return None
    labels = np.unique(np.asanyarray(read_label_image(volume).dataobj))
    rows = [f"{label}\t{edition.unnamed}_{label:03d}" for label in labels[labels > 0]]
    table = scratch / "regions.tsv"
    table.write_text("\n".join(["index\tname", *rows]) + "\n", encoding="utf-8")
    return table


def _sidecar(edition: Edition, space: str, sha256: str, sources: list[dict[str, str | int]]) -> dict[str, Any]:
    work = edition.work
    note = " ".join(text for text in (work.note, "" if work.space else work.space_note) if text)
    return {
        "Name": work.title,
        "Space": space,
        "License": f"{work.licence.name}: {work.licence.text} {work.licence.url}",
        "ReferencesAndLinks": [f"{work.citation}, doi:{work.doi}", work.page],
        "NumberOfRegions": edition.regions,
        "Origin": work.origin,
        "SourceFiles": sources,
        "Sha256": sha256,
        "GeneratedBy": {"Name": "bids_ai", "Version": __version__},
    } | ({"Note": note} if note else {})
