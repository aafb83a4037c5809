"""Whose a work folder is: intermediate files are named after subjects alone, so that two outputs must not share one."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from bids_ai.bids.files import read_json, unfinished, write_json

_ID = ".bids_ai/id"
_OWNER = ".owner.json"


def owner_fault(work_dir: Path, output_dir: Path, bids_dir: Path | None) -> str | None:
    """Say that a work folder belongs to another output folder, or None.

    An output folder that was removed and is made again keeps its work folder, if the dataset is the same: paths alone
    do not tell, since in a container they are the same for everybody.
    """
    try:
        owner = read_json(work_dir / _OWNER)
        known = _identity(output_dir)
        if owner["output_id"] == known or (known is None and owner == _owner(owner["output_id"], output_dir, bids_dir)):
            return None
        whose = owner["output_dir"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"The work folder {work_dir} cannot be told whose it is ({error}); give another one with --work-dir."
    return (
        f"The work folder {work_dir} holds the intermediate files of another run ({whose}, of other data or another "
        "output folder). Give this one a folder of its own with --work-dir, or empty that one with --clean-workdir."
    )


def claim(work_dir: Path, output_dir: Path, bids_dir: Path | None) -> None:
    """Write into both folders that they belong together."""
    identity = _identity(output_dir) or _new_identity(output_dir)
    write_json(work_dir / _OWNER, _owner(identity, output_dir, bids_dir))


def _keep_first(temporary: Path, path: Path) -> None:
    """Give a file its name, unless another has it."""
    try:
        # A link is whole from the first moment, and is refused where there is one.
        path.hardlink_to(temporary)
    except FileExistsError:
        return
    except OSError:
        # exFAT and some network drives have no links. Two that start in the same instant may then not agree.
        if not path.exists():
            temporary.replace(path)


def _new_identity(output_dir: Path) -> str:
    """Give an output folder its mark; of many runs that start at once, as those of a job array, one does."""
    path = output_dir / _ID
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = unfinished(path)
    try:
        temporary.write_text(f"{secrets.token_hex(8)}\n", encoding="utf-8")
        _keep_first(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_text(encoding="utf-8").strip()


def _identity(output_dir: Path) -> str | None:
    path = output_dir / _ID
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def _owner(identity: str, output_dir: Path, bids_dir: Path | None) -> dict[str, str]:
    return {"output_dir": str(output_dir), "output_id": identity, "dataset": _dataset(bids_dir)}


def _dataset(bids_dir: Path | None) -> str:
    """Digest of what tells datasets apart at no cost: the description and the subjects."""
    if bids_dir is None:
        return ""
    description = bids_dir / "dataset_description.json"
    digest = hashlib.sha256(description.read_bytes() if description.is_file() else b"")
    digest.update("\n".join(sorted(path.name for path in bids_dir.glob("sub-*"))).encode())
    return digest.hexdigest()
