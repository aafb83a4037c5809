"""One file from one address: whole, resumed, or refused."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest

from bids_ai.errors import FetchError
from bids_ai.fetch.download import Downloads, fault_of, put_aside
from bids_ai.parcellation.published import SourceFile
from tests.fetch.place import Site

DATA = bytes(range(256)) * 40


@pytest.fixture
def file(site: Site) -> SourceFile:
    site.files["a.bin"] = DATA
    digest = hashlib.sha256(DATA).hexdigest()
    return SourceFile(("a.bin",), url=f"{site.url}/a.bin", size=len(DATA), sha256=digest)


def test_a_file_arrives_whole(file: SourceFile, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    Downloads().get(file, target, known=True)
    assert target.read_bytes() == DATA
    assert fault_of(target, file) is None
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_it_goes_on_where_it_broke_off(file: SourceFile, site: Site, tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    site.breaks_after["a.bin"] = 1000
    with pytest.raises(FetchError, match=f"broke off after 1000 of {len(DATA)} bytes"):
        Downloads().get(file, target, known=True)
    assert not target.exists()
    assert (tmp_path / ".a.bin.part").read_bytes() == DATA[:1000]
    Downloads().get(file, target, known=True)
    assert target.read_bytes() == DATA
    assert site.asked == [("a.bin", None), ("a.bin", "bytes=1000-")]


def test_a_server_that_starts_anew_is_followed(file: SourceFile, site: Site, tmp_path: Path) -> None:
    site.without_ranges = True
    (tmp_path / ".a.bin.part").write_bytes(b"old" * 100)
    Downloads().get(file, tmp_path / "a.bin", known=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA


def test_without_a_checksum_nothing_is_joined(file: SourceFile, site: Site, tmp_path: Path) -> None:
    """What is there may be of another version, and nothing could tell."""
    (tmp_path / ".a.bin.part").write_bytes(b"of an older version")
    Downloads().get(SourceFile(("a.bin",), url=file.url), tmp_path / "a.bin", known=False)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert site.asked == [("a.bin", None)]


def test_ended_before_the_renaming(file: SourceFile, site: Site, tmp_path: Path) -> None:
    (tmp_path / ".a.bin.part").write_bytes(DATA)
    Downloads().get(file, tmp_path / "a.bin", known=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    assert site.asked == []


def test_more_than_the_file_is_thrown_away(file: SourceFile, site: Site, tmp_path: Path) -> None:
    (tmp_path / ".a.bin.part").write_bytes(DATA + b"more")
    Downloads().get(file, tmp_path / "a.bin", known=True)
    assert (tmp_path / "a.bin").read_bytes() == DATA
    # Without a size, the server says that there is nothing from there on; the next call starts anew.
    (tmp_path / ".b.bin.part").write_bytes(DATA + b"more")
    nameless = SourceFile(("b.bin",), url=file.url, sha256=file.sha256)
    with pytest.raises(FetchError, match="answered 416"):
        Downloads().get(nameless, tmp_path / "b.bin", known=True)
    Downloads().get(nameless, tmp_path / "b.bin", known=True)
    assert (tmp_path / "b.bin").read_bytes() == DATA


def test_an_address_that_has_gone(site: Site, tmp_path: Path) -> None:
    downloads = Downloads()
    with pytest.raises(FetchError, match=r"/gone\.bin answered 404"):
        downloads.get(SourceFile(("gone.bin",), url=f"{site.url}/gone.bin"), tmp_path / "gone.bin", known=False)
    assert downloads.unreachable == {}
    assert list(tmp_path.iterdir()) == []


def test_a_host_that_cannot_be_reached_is_asked_once(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]  # bound, and nobody listens
        downloads = Downloads()
        file = SourceFile(("a",), url=f"http://127.0.0.1:{port}/a")
        with pytest.raises(FetchError, match="cannot be reached"):
            downloads.get(file, tmp_path / "a", known=False)
        assert list(downloads.unreachable) == [f"127.0.0.1:{port}"]
        free.listen()
        free.setblocking(False)
        with pytest.raises(FetchError, match="cannot be reached"):
            downloads.get(file, tmp_path / "a", known=False)
        with pytest.raises(BlockingIOError):
            free.accept()  # no connection was made


@pytest.mark.parametrize(
    "known", [{"sha256": hashlib.sha256(b"right").hexdigest()}, {"md5": hashlib.md5(b"right").hexdigest()}]
)
def test_checksums_are_compared(tmp_path: Path, known: dict[str, str]) -> None:
    path = tmp_path / "x"
    file = SourceFile(("x",), **known)
    path.write_bytes(b"right")
    assert fault_of(path, file) is None
    path.write_bytes(b"wrong")
    assert next(iter(known.values())) in str(fault_of(path, file))


def test_a_recorded_checksum_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"right")
    recorded = hashlib.sha256(b"right").hexdigest()
    assert fault_of(path, SourceFile(("x",)), recorded) is None
    assert fault_of(path, SourceFile(("x",))) is None
    path.write_bytes(b"wrong")
    assert "at the first fetch" in str(fault_of(path, SourceFile(("x",)), recorded))


def test_what_is_put_aside_is_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"wrong")
    assert put_aside(tmp_path / "x").read_bytes() == b"wrong"
    assert [path.name for path in tmp_path.iterdir()] == ["x.refused"]
