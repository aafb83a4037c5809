"""Hook of MkDocs: files outside docs/ become pages, and nothing comes from the net.

Links are written for the forge, relative to the file they stand in; here they are turned to the places of the site.
"""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

#: Files outside docs/ to the place of their page.
PAGES = {
    "config/README.md": "settings.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
#: Files outside docs/ for which another page stands.
STAND_INS = {"README.md": "index.md"}

#: A link to a file; not to an address with a scheme, nor within the page.
_LINK = re.compile(r"\]\((?![a-z]+:)([^)\s#]+)(#[^)\s]*)?\)")
#: Attributes from which a browser loads by itself; a link that is clicked may lead anywhere.
_LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    for source, place in PAGES.items():
        files.append(File.generated(config, place, abs_src_path=str(_root(config) / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where files of the repository stand in the site."""
    here = Path(str(page.file.abs_src_path)).parent
    folder = PurePosixPath(page.file.src_uri).parent

    def place(link: re.Match[str]) -> str:
        target = _place(Path(os.path.normpath(here / link[1])), config)
        return f"]({os.path.relpath(target, folder)}{link[2] or ''})" if target else link[0]

    return _LINK.sub(place, markdown)


def on_post_build(*, config: MkDocsConfig) -> None:
    """Refuse a site whose pages load anything from the net."""
    faults = []
    for path in sorted(Path(config.site_dir).rglob("*.html")):
        loads = _Loads()
        loads.feed(path.read_text(encoding="utf-8"))
        faults += [f"{path.name} loads {address}" for address in loads.remote]
    if faults:
        raise PluginError("The site has to work without network:\n  " + "\n  ".join(faults))


class _Loads(HTMLParser):
    """Addresses on other machines that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.remote: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(_LOADED.get(tag, ""))
        if address and re.match(r"(https?:)?//", address):
            self.remote.append(address)


def _place(path: Path, config: MkDocsConfig) -> str | None:
    """Where a file of the repository stands in the site; None for what does not."""
    docs = Path(config.docs_dir)
    if path.is_relative_to(docs):
        return path.relative_to(docs).as_posix()
    if path.is_relative_to(_root(config)):
        source = path.relative_to(_root(config)).as_posix()
        return PAGES.get(source) or STAND_INS.get(source)
    return None


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
