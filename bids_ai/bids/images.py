"""What the header of an image promises against what its file can hold, before a voxel is read.

A header of 348 bytes may promise any number of voxels, and a gzip file may unpack to a thousand times its size.
"""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from bids_ai.bids.files import refuse_pipe

#: Images that are packed with gzip; .mgz is FreeSurfer's.
PACKED = (".gz", ".mgz")
#: What nibabel and the readers below it raise over a file that is no image.
HEADER_ERRORS = (
    *(ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError, OverflowError, MemoryError),
    zlib.error,
)
#: Deflate cannot pack more densely (zlib's documentation: 1032:1).
_DENSEST = 1040
#: Scans are packed to a half or a third, series with nothing but zeros around the brain to a tenth. What is larger than
#: this and packed more densely holds nothing, or was made to fill a memory.
_LARGE_BYTES, _DENSE = 2**32, 100
#: Between the header and the voxels lie extensions: text of kilobytes.
_LARGEST_OFFSET = 2**26
_CHUNK = 2**24


def promised(path: Path) -> tuple[tuple[int, ...], int, np.ndarray]:
    """Read a header.

    Parameters
    ----------
    path : Path
        NIfTI, or what else nibabel reads.

    Returns
    -------
    shape : tuple of int
    n_bytes : int
        Of the whole file, unpacked, as the header has it.
    affine : array (4, 4)

    Raises
    ------
    HEADER_ERRORS
        What nibabel raises.
    """
    import nibabel as nib

    refuse_pipe(path)
    _refuse_offset(path)
    image: Any = nib.load(path)
    shape = tuple(int(length) for length in image.shape)
    voxels = 1
    for length in shape:  # whole numbers of Python: those of numpy would wrap around
        voxels *= length
    return shape, int(image.dataobj.offset) + voxels * int(image.get_data_dtype().itemsize), image.affine


def volume_fault(path: Path) -> str | None:
    """Say why an image cannot be read as a whole, before it is; None if nothing speaks against it."""
    if path.exists() and not path.is_file():
        return "it is no file but a folder, a pipe or a device"
    try:
        shape, expected, _ = promised(path)
        if min(shape, default=0) < 1:
            return f"its header is corrupt: it gives the shape {shape}"
        return size_fault(path, expected)
    except HEADER_ERRORS as error:
        return f"its header cannot be read ({told(error)})"


def told(error: BaseException) -> str:
    """First line of what an error says, not too long; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def size_fault(path: Path, expected: int) -> str | None:
    """Say what is wrong with the size of a file that should hold so many bytes, unpacked; None if nothing is.

    What cannot be there is told without unpacking.
    """
    if path.name.endswith(PACKED):
        size = path.stat().st_size
        if expected > size * _DENSEST + 2**16:
            return f"it is cut short: {size} bytes cannot hold the {expected} that its header says; copy the file again"
        if expected > _LARGE_BYTES and expected > size * _DENSE:
            return (
                f"its {size} bytes would unpack to {expected}, {expected // size} times as many, which no scan does; "
                "nothing was unpacked. Make the file again"
            )
    found = _size_up_to(path, expected)
    if found < expected:
        return f"it is cut short: {found} bytes where its header says {expected}; copy the file again"
    return None


def _refuse_offset(path: Path) -> None:
    """Refuse a place of the voxels that would make nibabel read gigabytes of extensions (nifti1.h, nifti2.h)."""
    opener: Any = gzip.open if path.name.endswith(PACKED) else open
    if not path.name.endswith((".nii", ".nii.gz")):
        return
    with opener(path, "rb") as stream:
        head = stream.read(352)
    order = "<" if head[:4] in (b"\x5c\x01\0\0", b"\x1c\x02\0\0") else ">"
    if head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and len(head) >= 112:
        offset = float(np.frombuffer(head, f"{order}f4", 1, 108)[0])
    elif head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and len(head) >= 176:
        offset = float(np.frombuffer(head, f"{order}i8", 1, 168)[0])
    else:
        return
    if not offset <= _LARGEST_OFFSET:
        raise ValueError(f"it says that the voxels begin at byte {offset:g}")


def _size_up_to(path: Path, expected: int) -> int:
    """Unpacked size of a file in bytes, as far as `expected`.

    The trailer of a gzip file tells the size modulo 2**32 without unpacking. Where it tells another one the file
    was cut off, or has several members (parallel compressors), or holds more than is needed: then it is unpacked.
    """
    if not path.name.endswith(PACKED):
        return path.stat().st_size
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        if int.from_bytes(stream.read(4), "little") == expected % 2**32:
            return expected
    found = 0
    try:
        with gzip.open(path) as unpacked:
            while found < expected and (chunk := unpacked.read(min(_CHUNK, expected - found))):
                found += len(chunk)
    except (EOFError, OSError, zlib.error):
        pass
    return found
