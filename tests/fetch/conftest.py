"""The server with generated atlases, in the place of the internet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bids_ai.parcellation import published
from tests.fetch.place import Site, fill, serving, write_registry


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty server on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as running:
        yield running


@pytest.fixture
def registry(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> published.Registry:
    """The registry of the generated atlases, in the place of that of the package."""
    path = write_registry(tmp_path / "registry.yaml", fill(site))
    monkeypatch.setattr(published, "REGISTRY_FILE", path)
    return published.read_registry(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of fetched atlases, which is not there yet."""
    return tmp_path / "fetched"
