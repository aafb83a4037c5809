"""Files that promise, or would unpack to, more than any machine holds: refused before memory is asked for."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.electrophysiology.formats import open_raw
from bids_ai.bids.index import Index
from bids_ai.bids.tables import read_timeseries
from bids_ai.cli.cells import load_array
from bids_ai.cli.images import image_fault
from bids_ai.errors import InputError
from bids_ai.parcellation.segmentation import read_segmentation
from bids_ai.parcellation.volumes import read_label_image
from tests.conftest import call_program, subject_files, write_image

#: All that the package imports takes some hundred MB; what the files here promise is from 6 GB to 2 EB.
MOST_MB = 900
# Not ru_maxrss, which a process inherits from the one that forked it: that of the tests may be large.
MEASURED = """
import re, sys
from pathlib import Path
from bids_ai.cli.main import main
code = main(sys.argv[1:])
print("PEAK", int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
raise SystemExit(code)
"""


def header(shape: tuple[int, ...], template: Path) -> bytes:
    """Header of a real image with another shape, of 16-bit integers (nifti1.h: dim at byte 40)."""
    content = bytearray(template.read_bytes()[:352])
    struct.pack_into("<8h", content, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    return bytes(content)


@pytest.fixture(scope="module")
def zeros_gz() -> bytes:
    """6 GB of zeros in 6 MB: members of 16 MB, one after the other, as parallel compressors write them."""
    return gzip.compress(bytes(2**24), 9) * 384


@pytest.fixture
def promise(tmp_path) -> Path:
    """A few bytes whose header promises 2 EB, with a trailer that agrees modulo 2**32."""
    plain = write_image(tmp_path / "plain.nii", (8, 8, 8, 20))
    head = header((32767, 32767, 32767, 32767), plain)
    # Enough noise that who reads the header does not come to the trailer, which is checked there.
    packed = bytearray(gzip.compress(head + np.random.default_rng(0).bytes(300_000), mtime=0))
    struct.pack_into("<I", packed, len(packed) - 4, (352 + 32767**4 * 2) % 2**32)
    path = tmp_path / "promise.nii.gz"
    path.write_bytes(bytes(packed))
    return path


@pytest.fixture
def bomb(tmp_path, zeros_gz) -> Path:
    """An image of 6 GB that is packed a thousandfold."""
    plain = write_image(tmp_path / "plain.nii", (8, 8, 8, 20))
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(header((1024, 1024, 256, 12), plain)) + zeros_gz)
    return path


def test_a_header_that_promises_exabytes(promise):
    assert f"cannot hold the {352 + 32767**4 * 2}" in (image_fault(promise, ndim=4) or "")
    for reader in (read_label_image, read_segmentation):
        with pytest.raises(InputError, match="cannot hold"):
            reader(promise)


def test_an_image_that_unpacks_to_gigabytes_is_not_unpacked(bomb):
    assert "times as many, which no scan does; nothing was unpacked" in (image_fault(bomb, ndim=4) or "")
    for reader in (read_label_image, read_segmentation):
        with pytest.raises(InputError, match="nothing was unpacked"):
            reader(bomb)


def test_extensions_that_would_be_read_before_the_voxels(tmp_path):
    path = write_image(tmp_path / "x.nii", (8, 8, 8))
    content = bytearray(path.read_bytes())
    struct.pack_into("<f", content, 108, 3e9)  # vox_offset
    (tmp_path / "x.nii.gz").write_bytes(gzip.compress(bytes(content)))
    assert "the voxels begin at byte 3e+09" in (image_fault(tmp_path / "x.nii.gz", ndim=3) or "")


def test_a_packed_table_of_gigabytes(tmp_path, zeros_gz):
    (tmp_path / "x.tsv.gz").write_bytes(zeros_gz[: len(zeros_gz) // 16])
    (tmp_path / "x.json").write_text(json.dumps({"Columns": ["a", "b"]}))
    with pytest.raises(InputError, match=r"unpacks to more than .* which no table of numbers does"):
        read_timeseries(tmp_path / "x.tsv.gz")


def test_an_array_whose_header_promises_terabytes(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    content = (tmp_path / "x.npy").read_bytes().replace(b"(2, 3), }" + b" " * 9, b"(2000000, 3000), }")
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as a numpy array"):
        load_array(tmp_path / "x.npy")


def edf(path: Path, *, records: int = 1, signals: int = 1, samples: int = 10) -> Path:
    """Header of an EDF file with these numbers, and hardly any data."""
    fixed = f"{'0':<8}{'':<80}{'':<80}01.01.0101.01.01{256 * (signals + 1):<8}{'':<44}{records:<8}{1:<8}{signals:<4}"
    signal = f"{'A1':<16}{'':<80}{'uV':<8}{-1:<8}{1:<8}{-32768:<8}{32767:<8}{'':<80}{samples:<8}{'':<32}"
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    at, parts = 0, []
    for width in widths:
        parts.append(signal[at : at + width] * min(signals, 100))
        at += width
    path.write_bytes((fixed + "".join(parts)).encode("ascii") + bytes(20))
    return path


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"samples": 99_999_999}, "is cut short"),
        ({"records": 99_999_999}, "is cut short"),
        ({"signals": 9999}, "header is corrupt"),
    ],
)
def test_edf_headers_of_any_size(tmp_path, numbers, words):
    with pytest.raises(InputError, match=words):
        open_raw(edf(tmp_path / "x.edf", **numbers))


def test_a_brainvision_header_of_a_billion_channels(tmp_path):
    (tmp_path / "x.eeg").write_bytes(bytes(100))
    (tmp_path / "x.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n")
    (tmp_path / "x.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=x.eeg\nMarkerFile=x.vmrk\n"
        "DataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=999999999\nSamplingInterval=2000\n"
        "[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\nCh1=A1,,0.1,µV\n"
    )
    with pytest.raises(InputError, match="says 999999999 channels and describes 1"):
        open_raw(tmp_path / "x.vhdr")


def test_a_dataset_of_bombs_is_left_out_by_name_within_little_memory(make_dataset, promise, bomb, tmp_path):
    """The whole of the checks before the first job, in a process whose memory is measured."""
    data = make_dataset(subject_files("01") | subject_files("02") | subject_files("03"))
    shutil.copy(promise, data / "sub-02/func/sub-02_task-rest_bold.nii.gz")
    shutil.copy(bomb, data / "sub-03/func/sub-03_task-rest_bold.nii.gz")
    work = tmp_path / "work"
    options = ("-w", work, "--skip-bids-validation", "--anat-only")
    answer = call_program(sys.executable, "-c", MEASURED, "index", data, tmp_path / "out", *options, timeout=120)
    assert answer.code == 0, answer.text
    [path] = (work / "runs").glob("*/index.json")
    index = Index.load(path)
    assert [entry.subject for entry in index.recordings] == ["sub-01"]
    reasons = {entry.subject: entry.reason for entry in index.skipped}
    assert "cannot hold the" in reasons["sub-02"]
    assert "nothing was unpacked" in reasons["sub-03"]
    assert int(answer.out.rpartition("PEAK ")[2]) < MOST_MB
