"""Files of a subject that say where its contacts lie: a transform to the T1w, a segmentation."""

from __future__ import annotations

import re
import string
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.bids.index import Recording
from bids_ai.errors import InputError

_ITK = "#Insight Transform File"
_ENDINGS = (".txt", ".tsv", ".csv")
_HOLES = ("subject", "session")


def find_file(pattern: str, entry: Recording, setting: str) -> Path | None:
    """Find the file of a subject by a pattern of the settings.

    Parameters
    ----------
    pattern : str
        Path with ``{subject}`` (``sub-01``) and ``{session}`` (``ses-1``) in it; ``*`` and ``**`` stand for anything.
    entry : Recording
    setting : str
        Name of the setting, for messages.

    Returns
    -------
    Path or None
        Absolute; None where there is no such file.

    Raises
    ------
    InputError
        If the pattern has other holes, or several files match it.
    """
    try:
        holes = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    except ValueError as error:
        raise InputError(f"{setting} '{pattern}': {error}.") from None
    if not holes <= set(_HOLES):
        raise InputError(f"{setting} '{pattern}': it may hold {{subject}} and {{session}}, and no other braces.")
    if "session" in holes and entry.session is None:
        return None
    path = Path(pattern.format(subject=entry.subject, session=f"ses-{entry.session}")).expanduser().absolute()
    # Above the first wildcard is a folder, whose name may hold any character.
    depth = next((number for number, part in enumerate(path.parts) if "*" in part), None)
    if depth is None:
        return path if path.is_file() else None
    found = sorted(Path(*path.parts[:depth]).glob(str(Path(*path.parts[depth:]))))
    if len(found) > 1:
        raise InputError(f"{setting} '{pattern}': {len(found)} files match for {entry.subject}; make it more exact.")
    return found[0] if found else None


def read_contact_transform(path: Path) -> NDArray[np.float64]:
    """Read the matrix that takes positions of contacts to the T1w.

    Parameters
    ----------
    path : Path
        Four rows of four numbers, RAS mm, from the contacts to the T1w; or an ITK text transform named as BIDS wants
        it: ``from-ACPC_to-T1w_mode-image_xfm.txt`` takes images there, and so points the other way.

    Returns
    -------
    array (4, 4)
        RAS, mm to mm.

    Raises
    ------
    InputError
        If it is neither, or its direction is not clear.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The transform of contacts {path} cannot be read as text ({error}).") from None
    matrix = _from_itk(path) if text.startswith(_ITK) else _from_numbers(Path(path), text)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-3:
        raise InputError(f"The transform of contacts {path} cannot be inverted; it should be near a rotation, in mm.")
    return matrix


def _from_itk(path: Path) -> NDArray[np.float64]:
    from bids_ai.preprocess.bold_geometry import check_transform, read_itk_affine

    named = re.search(r"from-(\w+?)_to-(\w+?)_mode-(image|points)", Path(path).name)
    if named is None or "T1w" not in named.groups()[:2]:
        raise InputError(
            f"The direction of the ITK transform {path} is not clear: name it as BIDS wants it, such as "
            "sub-01_from-ACPC_to-T1w_mode-image_xfm.txt (mode-points where it takes points to the T1w)."
        )
    check_transform(path)
    matrix = read_itk_affine(path)
    # ITK maps points of the image that is made to those of the image it is made of.
    to_t1w = (named[2] == "T1w") == (named[3] == "points")
    return matrix if to_t1w else np.asarray(np.linalg.inv(matrix), np.float64)


def _from_numbers(path: Path, text: str) -> NDArray[np.float64]:
    fault = f"The transform of contacts {path} is no matrix of four rows and four columns, last row 0 0 0 1"
    if path.suffix not in _ENDINGS:
        raise InputError(
            f"The transform of contacts {path} should be .txt, .tsv or .csv: a .mat of FSL counts voxels, not mm RAS."
        )
    if "from-T1w" in path.name:
        raise InputError(f"{path} goes from the T1w by its name; a matrix from the contacts to the T1w is wanted.")
    try:
        rows = [
            [float(cell) for cell in re.split(r"[\s,]+", line.strip())] for line in text.splitlines() if line.strip()
        ]
        matrix = np.array(rows, float)
    except ValueError:
        raise InputError(f"{fault}.") from None
    if matrix.shape != (4, 4) or not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise InputError(f"{fault}: it has shape {matrix.shape}.")
    return matrix
