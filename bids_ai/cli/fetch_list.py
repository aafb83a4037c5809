"""The table of ``bids-ai fetch --list``."""

from __future__ import annotations

from pathlib import Path

from bids_ai.fetch.manifest import is_finished
from bids_ai.parcellation.published import Edition, Registry, Template, Work, published

_HEADER = ("name", "regions", "space", "licence", "how", "here")


def table(folder: Path) -> str:
    """Write what can be fetched, and what of it is in a folder, as text.

    Parameters
    ----------
    folder : pathlib.Path
        Folder of fetched atlases.
    """
    registry = published()
    rows = [_HEADER, *(_atlas_row(work, registry, folder) for work in registry.works)]
    rows += [_template_row(template, folder) for template in registry.templates]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {work.name}: {work.note}" for work in registry.works if work.note]
    return "\n".join(
        [
            *lines,
            "",
            f"folder: {folder}",
            "licence *: has to be accepted. space ?: not stated by those who publish it; give --space.",
            *notes,
        ]
    )


def _atlas_row(work: Work, registry: Registry, folder: Path) -> tuple[str, ...]:
    editions = registry.of(work)
    here = sum(is_finished(edition, folder) for edition in editions)
    scales = "" if len(editions) == 1 else f":{'|'.join(edition.scale for edition in editions)}"
    return (
        work.name + (scales if len(scales) <= 20 else f":{editions[0].scale} ..."),
        _regions(editions),
        work.space or "?",
        work.licence.name + ("*" if work.licence.accept else ""),
        f"download ({_first_word(work.origin)})" if editions[0].downloadable else "by hand",
        _here(here, len(editions)),
    )


def _template_row(template: Template, folder: Path) -> tuple[str, ...]:
    work = template.work
    here = _here(int(is_finished(template, folder)), 1)
    return (work.name, "template", work.name, work.licence.name, f"download ({_first_word(work.origin)})", here)


def _regions(editions: list[Edition]) -> str:
    counts = sorted({edition.regions for edition in editions})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def _here(count: int, of: int) -> str:
    return "-" if not count else ("yes" if count == of else f"{count} of {of}")


def _first_word(origin: str) -> str:
    return origin.partition(" (")[0].partition(",")[0]
