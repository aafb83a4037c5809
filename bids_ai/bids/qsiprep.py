"""Diffusion series that QSIPrep has preprocessed, with the T1w and the transform that a connectome needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bids_ai.bids.dataset import Selection
from bids_ai.bids.index import Diffusion, Skipped
from bids_ai.bids.metadata import split_name

_ENTITIES = ("sub", "ses", "acq", "rec", "dir", "run")
#: Spaces of the preprocessed images: since version 1.0, and before.
_SPACES = ("ACPC", "T1w")


def scan_qsiprep(root: Path, labels: Sequence[str], selection: Selection) -> tuple[list[Diffusion], list[Skipped]]:
    """Preprocessed series ``*_space-{ACPC,T1w}_desc-preproc_dwi``.

    Parameters
    ----------
    root : Path
        Output of QSIPrep.
    labels : sequence of str
        Subjects, without ``sub-``.
    selection : Selection
        Sessions asked for.

    Returns
    -------
    diffusions, skipped : lists
        A series without gradient table, mask, T1w or transform is left out, and told.
    """
    found, skipped = [], []
    for label in labels:
        for path in sorted((root / f"sub-{label}").glob("**/dwi/*_desc-preproc_dwi.nii*")):
            entities, _, _ = split_name(path.name)
            asked = not selection.sessions or entities.get("ses") in selection.sessions
            if not asked or entities.get("space") not in _SPACES:
                continue
            entry, missing = _series(root, path, entities)
            if missing:
                reason = f"no {' and no '.join(missing)} of it in the derivatives of QSIPrep"
                skipped.append(Skipped(f"sub-{label}", path.name, reason))
            else:
                found.append(entry)
    return found, skipped


def _series(root: Path, path: Path, entities: dict[str, str]) -> tuple[Diffusion, list[str]]:
    space, base = entities["space"], path.name.partition("_desc-preproc_dwi")[0]
    name = "_".join(f"{key}-{entities[key]}" for key in _ENTITIES if key in entities)
    needed = {
        "b-values (.bval)": _first(path.parent, f"{base}_desc-preproc_dwi.bval"),
        "b-vectors (.bvec)": _first(path.parent, f"{base}_desc-preproc_dwi.bvec"),
        "brain mask": _first(path.parent, f"{base}_desc-brain_mask.nii*"),
        "preprocessed T1w": _anat(root, entities, "desc-preproc_T1w.nii*", space),
        "transform from MNI152": _anat(root, entities, "from-MNI152*_mode-image_xfm.h5", ""),
    }
    bval, bvec, mask, t1w, transform = (str(found) if found else None for found in needed.values())
    entry = Diffusion(
        item=f"{path.parent.relative_to(root)}/{name}",
        subject=f"sub-{entities['sub']}",
        session=entities.get("ses"),
        engine="qsiprep",
        source=str(path),
        bval=bval or "",
        bvec=bvec or "",
        space=space,
        mask=mask,
        t1w=t1w,
        from_template=transform,
    )
    return entry, [what for what, found in needed.items() if found is None]


def _anat(root: Path, entities: dict[str, str], pattern: str, space: str) -> Path | None:
    """File in the anat folder of the session, else of the subject; with its space in the name, else without."""
    subject = root / f"sub-{entities['sub']}"
    folders = [subject / f"ses-{entities['ses']}" / "anat"] if "ses" in entities else []
    for folder in [*folders, subject / "anat"]:
        for stem in ([f"*_space-{space}_"] if space else []) + ["*_"]:
            found = _first(folder, stem + pattern)
            if found:
                return found
    return None


def _first(folder: Path, pattern: str) -> Path | None:
    return next(iter(sorted(folder.glob(pattern))), None)
