"""Seeds that differ between recordings and initialisations and never depend on the order of a batch."""

from __future__ import annotations

import hashlib

import numpy as np


def stable_hash(name: str) -> int:
    """Hash of a recording's name that is the same on every machine and in every process (64 bits)."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8")).digest()[:8], "little")


def member_seed(seed: int, name: str, *path: int) -> int:
    """Seed of one member (initialisation, fold, ...) of the fit of one recording.

    Parameters
    ----------
    seed : int
        The one seed of the configuration, >= 0.
    name : str
        Name of the recording.
    *path : int
        What the seed is for, such as (initialisation,).

    Returns
    -------
    int
        Below 2**63, as torch and numpy take it.
    """
    state = np.random.SeedSequence([seed, stable_hash(name), *path]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
