"""A web server on this machine with generated atlases, and a registry that names them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import yaml

AFFINE = np.array([[4.0, 0, 0, -18], [0, 4, 0, -20], [0, 0, 4, -12], [0, 0, 0, 1]])
TABLE = "index\tname\n1\tL_a\n2\tL_b\n3\tR_a\n4\tR_b\n"
XML = "<atlas><data>" + "".join(
    f"<label><index>{k}</index><name>{name}</name></label>" for k, name in enumerate(("A_L", "B_L", "A_R", "B_R"), 1)
)
XML += "</data></atlas>"


@dataclass
class Site:
    """What the server gives, and how it fails."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and ``Range`` of each request."""
    breaks_after: dict[str, int] = field(default_factory=dict)
    """Bytes after which an answer breaks off, once."""
    without_ranges: bool = False
    gate: threading.Event = field(default_factory=threading.Event)
    """Cleared, an answer waits after its first half."""
    waiting: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def paths(self) -> list[str]:
        """Files asked for."""
        return [path for path, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        path, asked = self.path.lstrip("/"), self.headers.get("Range")
        self.site.asked.append((path, asked))
        if path not in self.site.files:
            self.send_error(404)
            return
        body, start = self.site.files[path], 0
        if asked and not self.site.without_ranges:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self._send(body[start:], self.site.breaks_after.pop(path, None))

    def _send(self, body: bytes, limit: int | None) -> None:
        if limit is not None:
            self.wfile.write(body[:limit])
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if not self.site.gate.is_set():
            self.site.waiting.set()
            self.site.gate.wait(60)
        self.wfile.write(body[half:])

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving() -> Iterator[Site]:
    """Run a server on a free port of this machine."""
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def volume(n_regions: int = 4, *, scramble: int = 0) -> nib.Nifti1Image:
    """Make labels in blocks, the first half left and the second right; noise makes the file larger."""
    labels = np.zeros((10, 10, 8), np.int16)
    for label in range(1, n_regions + 1):
        i = 1 if label <= n_regions / 2 else 7
        j = 2 * ((label - 1) % max(1, n_regions // 2))
        labels[i : i + 2, j : j + 2, 2:4] = label
    if scramble:
        labels[1, 9, 2] = 1
    image = nib.Nifti1Image(labels, AFFINE)
    image.set_sform(AFFINE, code="mni")
    return image


def nifti(n_regions: int = 4, *, scramble: int = 0, packed: bool = True) -> bytes:
    """Give a label volume as the bytes of its file."""
    raw = volume(n_regions, scramble=scramble).to_bytes()
    return gzip.compress(raw, mtime=0) if packed else raw


def archive(members: dict[str, bytes]) -> bytes:
    """Pack files as ``.tar.gz``."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def entry(editions: dict[str, Any], *, accept: bool = False, **fields: Any) -> dict[str, Any]:
    """Write one entry of a registry."""
    licence = {"name": "Test licence", "text": "Do as you like.", "url": "https://example.org/terms"}
    return {
        "title": "An atlas",
        "citation": "Somebody 2020, Journal",
        "doi": "10.1000/atlas",
        "licence": licence | {"commercial": "no" if accept else "yes", "accept": accept},
        "space": "MNI152NLin6Asym",
        "origin": "the test",
        "page": "https://example.org/atlas",
        "editions": editions,
    } | fields


def edition(*files: dict[str, Any], regions: int = 4, **fields: Any) -> dict[str, Any]:
    """Write one scale of an entry."""
    return {"regions": regions, "files": list(files)} | fields


def checked(site: Site, path: str) -> dict[str, Any]:
    """Name a file of the site with its size and sha256."""
    data = site.files[path]
    return {"url": f"{site.url}/{path}", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def unchecked(site: Site, path: str) -> dict[str, Any]:
    """Name a file of the site without its checksum."""
    return {"url": f"{site.url}/{path}"}


def fill(site: Site) -> dict[str, Any]:
    """Put generated atlases on the site and give the registry that names them."""
    site.files |= {"four.nii.gz": nifti(), "four.tsv": TABLE.encode(), "two.nii.gz": nifti(2)}
    site.files |= {"two.tsv": b"index\tname\n1\tL_a\n2\tR_a\n"}
    site.files |= {"packed.tar.gz": archive({"./IN/packed.nii": nifti(packed=False), "./IN/packed.xml": XML.encode()})}
    site.files |= {f"tpl_{role}.nii.gz": nifti(1, scramble=k) for k, role in enumerate(("t1w", "mask"))}
    tar = f"{site.url}/packed.tar.gz"
    atlases = {
        "Blocks2020": entry(
            {
                "4": edition(
                    checked(site, "four.nii.gz"),
                    checked(site, "four.tsv"),
                    aliases=["four"],
                    entities={"seg": "Blocks", "scale": "4"},
                ),
                "2": edition(unchecked(site, "two.nii.gz"), unchecked(site, "two.tsv"), regions=2),
            },
            aliases=["Blocks"],
        ),
        "Strict2021": entry({"": edition(checked(site, "four.nii.gz"), checked(site, "four.tsv"))}, accept=True),
        "Nowhere": entry(
            {"": edition({"url": tar, "member": "IN/packed.nii"}, {"url": tar, "member": "IN/packed.xml"})},
            space=None,
            space_note="They do not say.",
        ),
        "Handmade": entry({"": edition({"names": ["hand_2mm.nii.gz", "hand_1mm.nii.gz"]}, unnamed="Hand")}),
    }
    template = entry({})
    del template["editions"], template["space"]
    template |= {
        "roles": {"t1w": "tpl_t1w.nii.gz", "mask": "tpl_mask.nii.gz"},
        "files": [checked(site, "tpl_t1w.nii.gz"), checked(site, "tpl_mask.nii.gz")],
    }
    return {"atlases": atlases, "templates": {"MNI152NLin6Asym": template}}


def write_registry(path: Path, content: dict[str, Any]) -> Path:
    """Write a registry."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path
