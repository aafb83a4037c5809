"""Names of contacts as they are spelled in different tables, and pairs of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import NamedTuple

from bids_ai.errors import InputError

_DASHES = "-‐‑–—−"
_OTHER_SEPARATORS = "/_:,;+ "
_QUOTES = str.maketrans("’‘`´", "''''")
# What amplifiers put around the name of a contact: "EEG Fp1", "POL A1", "SEEG A1-Ref".
_PREFIX = re.compile(r"^(?:eeg|seeg|ecog|ieeg|pol)[ _]+")
_SUFFIX = re.compile(r"[-_ ](?:ref|avg|av|g2|le|ar)$")


def _exact(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _case(name: str) -> str:
    return _exact(name).casefold()


def _signs(name: str) -> str:
    return re.sub(r"\s+", "", _case(name).translate(_QUOTES)).lstrip(_DASHES)


def _zeros(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", _signs(name))


def _wrapping(name: str) -> str:
    return _zeros(_SUFFIX.sub("", _PREFIX.sub("", _case(name))))


#: From the strictest to the most lenient.
LEVELS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("exact", _exact),
    ("case", _case),
    ("signs", _signs),
    ("leading zeros", _zeros),
    ("prefix", _wrapping),
)


class Match(NamedTuple):
    """A name that was found.

    Attributes
    ----------
    name : str
        As it stands in the list.
    level : int
        Position in `LEVELS`: how much had to be overlooked.
    """

    name: str
    level: int

    @property
    def how(self) -> str:
        """Name of the level."""
        return LEVELS[self.level][0]


class NameList:
    """Names to be found in spite of their spelling.

    A name is looked for as it is, then without regard to case, then to signs (``-RV1``, curly quotes, spaces), then to
    leading zeros (``A01``), then to what amplifiers put around it (``EEG Fp1-Ref``). At every step the name must be
    unique: an ambiguous one is not found.

    Parameters
    ----------
    names : iterable of str
        Unique as they are.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(names)
        self._tables: list[dict[str, list[str]]] = []
        for _, key in LEVELS:
            table: dict[str, list[str]] = {}
            for name in self.names:
                table.setdefault(key(name), []).append(name)
            self._tables.append(table)

    def find(self, name: str, *, most: int = len(LEVELS) - 1) -> Match | None:
        """Find a name; None if it is not there or not unique.

        Parameters
        ----------
        name : str
        most : int
            Last level that is tried.
        """
        for level, (_, key) in enumerate(LEVELS[: most + 1]):
            found = self._tables[level].get(key(name), [])
            if found:
                return Match(found[0], level) if len(found) == 1 else None
        return None


class Pair(NamedTuple):
    """Two contacts of a stimulated site, in the order in which they are named.

    Attributes
    ----------
    first, second : str
        Names of channels; by convention the first gets the leading positive phase.
    level : int
        Of `LEVELS`, the more lenient of the two.
    """

    first: str
    second: str
    level: int


def split_site(site: str, names: NameList) -> Pair:
    """Tell the two contacts of a site, such as ``RB-M1-RB-M2``.

    Names hold hyphens themselves, so the string is split at every hyphen in turn, and the split counts whose halves are
    both names of channels. Splitting at the first hyphen gives wrong contacts in published data (ds004457).

    Parameters
    ----------
    site : str
        ``electrical_stimulation_site``.
    names : NameList
        Names of the channels.

    Returns
    -------
    Pair

    Raises
    ------
    InputError
        If there is no such split, or more than one.
    """
    for separators in (_DASHES, _OTHER_SEPARATORS):
        pairs = set(_splits(site.strip(), separators, names))
        if pairs:
            least = min(pair.level for pair in pairs)
            best = [pair for pair in pairs if pair.level == least]
            if len(best) == 1:
                return best[0]
            found = " or ".join(sorted(f"{pair.first} and {pair.second}" for pair in best))
            raise InputError(f"The site {site!r} can be read as {found}; rename the channels so that one is left.")
    raise InputError(
        f"The site {site!r} names no two channels: wanted 'A1-A2' with both names in channels.tsv "
        f"({len(names.names)} channels, such as {', '.join(names.names[:3])}). Correct the site or the channel names."
    )


def _splits(site: str, separators: str, names: NameList) -> Iterable[Pair]:
    for position, sign in enumerate(site):
        if sign in separators:
            first, second = names.find(site[:position]), names.find(site[position + 1 :])
            if first and second and first.name != second.name:
                yield Pair(first.name, second.name, max(first.level, second.level))
