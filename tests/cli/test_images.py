import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bids_ai.cli.images import MIN_FRAMES, image_fault
from tests.conftest import write_image


@pytest.fixture(params=[".nii", ".nii.gz"])
def bold(tmp_path, request) -> Path:
    return write_image(tmp_path / f"x_bold{request.param}", (8, 9, 10, 20))


def patched(path: Path, offset: int, form: str, *values: float) -> Path:
    """Change a field of the header; offsets are those of nifti1.h."""
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "rb") as stream:
        content = bytearray(stream.read())
    struct.pack_into("<" + form, content, offset, *values)
    with opener(path, "wb") as stream:
        stream.write(bytes(content))
    return path


def test_sound_images_pass(bold, tmp_path):
    assert image_fault(bold, ndim=4) is None
    for name, shape in (("a.nii", (8, 8, 8)), ("b.nii.gz", (8, 8, 8, 1))):
        assert image_fault(write_image(tmp_path / name, shape), ndim=3) is None


@pytest.mark.parametrize(
    ("shape", "ndim", "words"),
    [
        ((8, 8, 8), 4, "it has 1 volume; at least 10"),
        ((8, 8, 8, 1), 4, "it has 1 volume; at least 10"),
        ((8, 8, 8, MIN_FRAMES - 1), 4, "it has 9 volumes; at least 10"),
        ((8, 8, 8, 20, 2), 4, "it has shape (8, 8, 8, 20, 2)"),
        ((8, 8, 8, 2), 3, "it has shape (8, 8, 8, 2); a single volume is needed"),
        ((8, 8), 3, "a single volume is needed"),
        ((8, 8, 7), 3, "fewer than 8 voxels"),
        ((64, 64, 1, 20), 4, "fewer than 8 voxels"),
    ],
)
def test_the_wrong_number_of_volumes_or_voxels(tmp_path, shape, ndim, words):
    assert words in (image_fault(write_image(tmp_path / "x.nii.gz", shape), ndim=ndim) or "")


def test_the_least_number_of_volumes_passes(tmp_path):
    assert image_fault(write_image(tmp_path / "x.nii.gz", (8, 8, 8, MIN_FRAMES)), ndim=4) is None


@pytest.mark.parametrize(
    ("offset", "form", "values"),
    [
        (344, "4s", (b"JUNK",)),  # magic
        (70, "h", (9999,)),  # datatype
        (40, "h", (99,)),  # number of dimensions
        (42, "h", (-8,)),  # size of the first
        (280, "12f", (0.0,) * 12),  # sform
        (280, "f", (float("nan"),)),
    ],
)
def test_a_corrupt_header(bold, offset, form, values):
    fault = image_fault(patched(bold, offset, form, *values), ndim=4)
    assert fault
    assert "header" in fault


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x1f\x8b\x08\x00", b"\0" * 400])
@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_what_is_no_image(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    assert "its header cannot be read" in (image_fault(tmp_path / name, ndim=3) or "")


def test_a_link_into_nowhere(tmp_path):
    """What git-annex leaves where the content has not been fetched."""
    (tmp_path / "x.nii.gz").symlink_to(tmp_path / "annex" / "objects" / "absent")
    assert "cannot be read" in (image_fault(tmp_path / "x.nii.gz", ndim=3) or "")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_copy_that_was_cut_off(bold, share):
    """Of a gzip file that was cut off the last four bytes are no size, but any number."""
    content = bold.read_bytes()
    bold.write_bytes(content[: int(len(content) * share)])
    assert "it is cut short" in (image_fault(bold, ndim=4) or "")


def test_a_whole_gzip_of_too_few_voxels(tmp_path):
    path = write_image(tmp_path / "x.nii.gz", (8, 8, 8, 20))
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-2]))
    full = 352 + 8 * 8 * 8 * 20 * 2
    assert f"it is cut short: {full - 2} bytes where its header says {full}" in (image_fault(path, ndim=4) or "")


def test_a_gzip_in_several_members_is_whole(tmp_path):
    """Parallel compressors write such files; the last four bytes tell the size of the last member alone."""
    path = write_image(tmp_path / "x.nii.gz", (8, 8, 8, 20))
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:5000]) + gzip.compress(content[5000:]))
    assert np.asarray(nib.load(path).dataobj).shape == (8, 8, 8, 20)
    assert image_fault(path, ndim=4) is None


def test_more_than_the_header_says_is_left_alone(bold):
    opener = gzip.open if bold.name.endswith(".gz") else open
    with opener(bold, "ab") as stream:
        stream.write(b"\0" * 100)
    assert image_fault(bold, ndim=4) is None


def test_header_extensions_are_counted(tmp_path):
    image = nib.load(write_image(tmp_path / "a.nii", (8, 8, 8, 20)))
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 1000))
    nib.save(image, tmp_path / "x.nii.gz")
    assert image_fault(tmp_path / "x.nii.gz", ndim=4) is None
