"""Fixtures that tests of the command line share with other rooms."""

from tests.fetch.conftest import folder, registry, site

__all__ = ["folder", "registry", "site"]
