"""What participants.tsv says of the subjects, as text."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pandas as pd

from bids_ai.bids.files import refuse_pipe
from bids_ai.bids.tables import MISSING, refuse_width
from bids_ai.errors import InputError

ID = "participant_id"


def read_participants(path: Path) -> pd.DataFrame:
    """Read participants.tsv.

    Parameters
    ----------
    path : Path

    Returns
    -------
    pandas.DataFrame
        Text throughout, NaN where missing (``n/a`` or empty); indexed by ``sub-LABEL``.

    Raises
    ------
    InputError
        If it is not there, has no column ``participant_id``, or names a subject twice.
    """
    try:
        refuse_pipe(path)
        refuse_width(path)
        table = pd.read_csv(
            path, sep="\t", dtype=str, keep_default_na=False, na_values=[MISSING, ""], encoding="utf-8-sig"
        )
    except FileNotFoundError:
        raise InputError(f"{path} does not exist, and a contrast takes its column from there.") from None
    except InputError:
        raise
    except (ValueError, OverflowError, csv.Error, OSError) as error:  # what pandas raises of its own is a ValueError
        raise InputError(f"{path} cannot be read as a tab-separated table in UTF-8: {error}") from None
    table.columns = [str(name).strip() for name in table.columns]
    if ID not in table:
        raise InputError(f"{path} has no column {ID}; it has {', '.join(table.columns)}.")
    table = table.apply(lambda column: column.str.strip())
    labels = ["sub-" + str(label).removeprefix("sub-") for label in table[ID]]
    twice = sorted(label for label, count in Counter(labels).items() if count > 1)
    if twice:
        raise InputError(f"{path} has several rows for {', '.join(twice[:5])}.")
    table.index = pd.Index(labels, name=ID)
    return table.drop(columns=ID)
