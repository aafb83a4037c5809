"""What may be fetched: atlases whose space is known and whose licence is accepted."""

from __future__ import annotations

import sys
from pathlib import Path

from bids_ai.errors import InputError, UsageError
from bids_ai.fetch.manifest import Item
from bids_ai.parcellation.published import Edition, Licence


def say(line: str) -> None:
    """Tell the user, beside what is printed for programs."""
    print(line, file=sys.stderr, flush=True)


def check_space(space: str | None) -> None:
    """Check that ``--space`` names a variant of MNI152.

    Raises
    ------
    UsageError
        If it does not.
    """
    from bids_ai.parcellation.mni import canonical_space

    try:
        if space:
            canonical_space(space, where="--space")
    except InputError as error:
        raise UsageError(str(error)) from error


def with_space(pending: list[Item], space: str | None, everything: bool) -> list[Item]:
    """Keep what has a space, its own or the one given.

    Raises
    ------
    UsageError
        If an atlas that was named needs one, or one is given that none needs.
    """
    from bids_ai.parcellation.mni import MNI152_SPACES

    unknown = [item for item in pending if isinstance(item, Edition) and item.work.space is None]
    if space and pending and not unknown:
        stated = ", ".join(f"{item.spec} ({item.work.space or item.spec})" for item in pending)
        raise UsageError(f"--space {space}: the space of each is known: {stated}. Leave --space out.")
    if space or not unknown:
        return pending
    words = "\n".join(f"  {item.spec}: {item.work.space_note}" for item in unknown)
    advice = f"State it with --space, one of {', '.join(MNI152_SPACES)}; the choice is written beside the atlas."
    if not everything:
        raise UsageError(f"The space of these is not stated by those who publish them:\n{words}\n{advice}")
    say(f"left out, since their space is not stated:\n{words}\n  {advice}")
    return [item for item in pending if item not in unknown]


def can_be_had(item: Item, folder: Path) -> bool:
    """Every file has an address or was brought."""
    from bids_ai.fetch.sources import sources_of

    place = sources_of(item, folder)
    return all(file.url or any((place / name).is_file() for name in file.names) for file in item.files)


def with_licence(ready: list[Item], accepted: bool) -> tuple[list[Item], list[str]]:
    """Show every licence, and keep what may be fetched.

    Returns
    -------
    ready : list
    declined : list of str
        Names whose licence was not accepted at the terminal.

    Raises
    ------
    UsageError
        If one has to be accepted and nobody can be asked.
    """
    works = {item.work.name: item.work for item in ready}
    asked = [work for work in works.values() if work.licence.accept and not accepted]
    for work in works.values():
        if work not in asked:
            say(_licence_text(work.name, work.licence))
    if asked and not sys.stdin.isatty():
        texts = "\n".join(_licence_text(work.name, work.licence) for work in asked)
        raise UsageError(
            f"These licences have to be accepted:\n{texts}\n"
            "Read them at their addresses; then give the same command with --accept-licence, or name other atlases."
        )
    refused = {work.name for work in asked if not _accepts(work.name, work.licence)}
    return (
        [item for item in ready if item.work.name not in refused],
        [item.spec for item in ready if item.work.name in refused],
    )


def _accepts(name: str, licence: Licence) -> bool:
    say(_licence_text(name, licence))
    try:
        return input(f"Accept the licence of {name}? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:
        return False


def _licence_text(name: str, licence: Licence) -> str:
    commercial = {"yes": "commercial use allowed", "no": "no commercial use", "unclear": "commercial use: see there"}
    return f"{name}: licence {licence.name}. {licence.text} ({commercial[licence.commercial]}) {licence.url}"
