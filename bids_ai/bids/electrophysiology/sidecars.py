"""Which tables and sidecars apply to a recording, and which dataset it belongs to."""

from __future__ import annotations

from pathlib import Path

from bids_ai.bids.metadata import split_name


def dataset_root(path: Path) -> Path:
    """Folder with ``dataset_description.json`` above a file; the file's own folder where there is none."""
    path = Path(path).absolute()
    return next((folder for folder in path.parents if (folder / "dataset_description.json").is_file()), path.parent)


def find_tables(path: Path, suffix: str, extension: str = ".tsv", *, ignore: tuple[str, ...] = ()) -> list[Path]:
    """Files of a suffix that apply to a recording by the inheritance principle, the closest first.

    Parameters
    ----------
    path : Path
        The recording.
    suffix : str
        Such as ``channels``.
    extension : str
    ignore : tuple of str
        Entities that the recording need not share, such as ``space``.

    Returns
    -------
    list of Path
    """
    path = Path(path).absolute()
    own = split_name(path.name)[0]
    root = dataset_root(path)
    found: list[Path] = []
    for folder in path.parents:
        here = []
        for candidate in folder.glob(f"*{suffix}{extension}"):
            entities, its_suffix, its_extension = split_name(candidate.name)
            kept = {key: value for key, value in entities.items() if key not in ignore}
            if (
                candidate.is_file()
                and its_suffix == suffix
                and its_extension == extension
                and kept.items() <= own.items()
            ):
                here.append((-len(kept), candidate.name, candidate))
        found += [candidate for _, _, candidate in sorted(here)]
        if folder == root:
            break
    return found
