"""``bids-ai fetch``: published atlases and templates into a folder, for use here or on a machine without network."""

from __future__ import annotations

import argparse
import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from bids_ai.cli.fetch_terms import can_be_had, check_space, say, with_licence, with_space
from bids_ai.errors import BidsAiError, FetchError, InputError, UsageError
from bids_ai.fetch.manifest import Item, faults, is_finished
from bids_ai.parcellation.fetched import VARIABLE, default_folder, place_of, read_manifest
from bids_ai.parcellation.published import Template, published

_EPILOG = f"""names:
  Schaefer2018:100      one scale of an atlas; an atlas without a scale means all of its scales
  templates             the templates (MNI152NLin2009cAsym)
  all                   everything that has a public address; what has to be brought by hand is named

The folder can be copied to a machine without network. There: --atlas-dir DIR, or {VARIABLE}=DIR.

examples:
  bids-ai fetch --list
  bids-ai fetch Schaefer2018:100 Tian2020 templates --dir atlases
  bids-ai fetch AAL3 --space MNI152NLin6Asym --accept-licence
  bids-ai fetch --check --dir atlases
  bids-ai run DATA OUT participant --atlases Schaefer2018:100 --atlas-dir atlases

exit codes: 0 all there; 1 some could not be had (each with what to bring by hand); 2 refused before the first.
docs/fetch.md has a table of licences and origins."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bids-ai fetch``."""
    parser.epilog = _EPILOG
    parser.add_argument("names", metavar="NAME", nargs="*", help="atlases, templates, or all (see below)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help=f"folder to fill ({VARIABLE}, or ~/.local/share/bids_ai)"
    )
    parser.add_argument("--accept-licence", action="store_true", help="accept the licences that are shown")
    parser.add_argument(
        "--space", metavar="SPACE", help="MNI152 variant of atlases whose authors do not state it (--list says which)"
    )
    parser.add_argument("--list", action="store_true", help="print what there is and what is here, and stop")
    parser.add_argument("--check", action="store_true", help="compare what was fetched with its checksums, and stop")


def execute(args: argparse.Namespace) -> int:
    """Fetch what was asked for; see the exit codes above."""
    folder = (args.dir or default_folder()).expanduser().absolute()
    if args.list:
        from bids_ai.cli.fetch_list import table

        print(table(folder))
        return 0
    if args.check:
        return _check(folder)
    if os.environ.get("BIDS_AI_IMAGE") and not (args.dir or os.environ.get(VARIABLE)):
        raise UsageError(
            f"What is fetched into {folder} is lost with this container; mount a folder and give it with --dir."
        )
    chosen = _choose(args.names)
    check_space(args.space)
    pending = [item for item in chosen if not is_finished(item, folder, args.space)]
    for item in chosen:
        if item not in pending:
            say(f"{item.spec}: there already")
    everything = any(name.lower() == "all" for name in args.names)
    by_hand = [item for item in pending if not can_be_had(item, folder)]
    possible = with_space([item for item in pending if item not in by_hand], args.space, everything)
    ready, declined = with_licence(possible, args.accept_licence)
    failed = _fetch(ready, folder, args.space)
    _say_by_hand(by_hand, folder)
    missing = failed + declined + ([] if everything else [item.spec for item in by_hand])
    here = sum(is_finished(item, folder) for item in chosen)
    say(f"{here} of {len(chosen)} are in {folder}.")
    if missing:
        say(f"Not fetched: {', '.join(missing)}.")
    return 1 if missing else 0


def _choose(names: list[str]) -> list[Item]:
    """Find what is asked for.

    Raises
    ------
    UsageError
        For no name at all, or one that is unknown.
    """
    if not names:
        raise UsageError("Say what to fetch: names of atlases, templates, or all; bids-ai fetch --list prints them.")
    chosen: dict[str, Item] = {}
    for name in names:
        for item in _named(name):
            chosen[item.spec] = item
    return [item for item in _everything() if item.spec in chosen]


def _everything() -> list[Item]:
    return [*published().editions, *published().templates]


def _named(name: str) -> Iterable[Item]:
    from bids_ai.parcellation.registry import is_registered

    registry = published()
    if name.lower() == "all":
        return _everything()
    if name.lower() == "templates":
        return registry.templates
    template = registry.template(name)
    if template:
        return [template]
    try:
        found = registry.resolve(name)
    except InputError as error:
        raise UsageError(str(error)) from error
    if found:
        return found
    if is_registered(name):
        raise UsageError(f"{name} is made by bids-ai itself; there is nothing to fetch. Use it: --atlases {name}.")
    known = {alias.lower(): work.name for work in registry.works for alias in (work.name, *work.aliases)}
    near = difflib.get_close_matches(name.partition(":")[0].lower(), known, n=1, cutoff=0.5)
    hint = f"Did you mean {known[near[0]]}?" if near else f"Known: {', '.join(work.name for work in registry.works)}."
    raise UsageError(f"There is no atlas or template {name!r} to fetch. {hint}")


def _fetch(ready: list[Item], folder: Path, space: str | None) -> list[str]:
    """Fetch one after the other; returns the names of those that failed."""
    from bids_ai.fetch.download import Downloads
    from bids_ai.fetch.install import install_edition, install_template

    downloads = Downloads()
    failed = []
    for item in ready:
        accepted = item.work.licence.accept
        try:
            if isinstance(item, Template):
                new = install_template(item, folder, downloads, accepted=accepted, say=say)
            else:
                new = install_edition(item, folder, downloads, space=space, accepted=accepted, say=say)
        except UsageError:
            raise
        except BidsAiError as error:
            failed.append(item.spec)
            say(f"{item.spec}: FAILED  {error}")
        else:
            say(f"{item.spec}: {'fetched' if new else 'there already'}")
            print(place_of(item, folder))
    return failed


def _say_by_hand(by_hand: list[Item], folder: Path) -> None:
    from bids_ai.fetch.sources import instructions

    for item in by_hand:
        say(f"{item.spec} may not be downloaded by a program.\n{instructions(item, folder)}")


def _check(folder: Path) -> int:
    content = read_manifest(folder)
    known = [item for item in _everything() if _listed(item, content)]
    if not known:
        raise FetchError(f"Nothing was fetched into {folder}. Give the folder with --dir.")
    wrong = {item.spec: found for item in known if (found := faults(item, folder))}
    for item in known:
        print(f"{item.spec}: {'; '.join(wrong[item.spec]) if item.spec in wrong else 'as it was fetched'}")
    if wrong:
        say(f"Fetch again: bids-ai fetch {' '.join(wrong)} --dir {folder}")
    return 1 if wrong else 0


def _listed(item: Item, content: dict[str, dict[str, object]]) -> bool:
    return any(item.key in entries for entries in content.values() if isinstance(entries, dict))
