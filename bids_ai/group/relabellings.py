"""Orders of subjects for a permutation test: all that differ where they are few, draws otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from bids_ai.group.edges import IntArray
from bids_ai.surrogate.usable import FloatArray


class Relabellings(NamedTuple):
    """Orders in which subjects are taken.

    Attributes
    ----------
    orders : (n_orders, n_subjects) array of int
        Position of the subject that comes into each place.
    exhaustive : bool
        Whether it is all that differ, the order as it stands among them, each once; otherwise they are drawn, and the
        one as it stands is not counted among them.
    """

    orders: IntArray
    exhaustive: bool

    def share(self, as_extreme: FloatArray) -> FloatArray:
        """Turn the number of orders with a statistic as extreme as that of the data into p (Phipson & Smyth 2010)."""
        if self.exhaustive:
            # The data are among them, whatever rounding says.
            return np.asarray(np.maximum(as_extreme, 1) / len(self.orders))
        return np.asarray((1 + as_extreme) / (len(self.orders) + 1))


def relabellings(design: FloatArray, *, interchangeable: bool, n_permutations: int, seed: int) -> Relabellings:
    """Orders of the rows of a design.

    Two orders differ if they put different rows of the design somewhere: subjects of one group and with the same
    covariates are interchangeable. Where no more than `n_permutations` differ, all are given (Winkler et al. 2014,
    doi:10.1016/j.neuroimage.2014.01.060).

    Parameters
    ----------
    design : (n_subjects, n_columns) array
    interchangeable : bool
        Whether subjects with equal rows are. They are not where some data lack one of them and not the other.
    n_permutations : int
    seed : int
        Of the draws.
    """
    n = len(design)
    members = _alike(design) if interchangeable else [[subject] for subject in range(n)]
    if count_different(members) <= n_permutations:
        return Relabellings(np.array(list(_different(members, n)), dtype=np.int32), exhaustive=True)
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(np.arange(n, dtype=np.int32), (n_permutations, 1)), axis=1)
    return Relabellings(drawn, exhaustive=False)


def count_different(members: list[list[int]]) -> int:
    """Count the orders of subjects that differ, where those of one list are interchangeable."""
    sizes = [len(alike) for alike in members]
    return math.factorial(sum(sizes)) // math.prod(math.factorial(size) for size in sizes)


def _alike(design: FloatArray) -> list[list[int]]:
    """Subjects with the same row, one list a row."""
    found: dict[bytes, list[int]] = {}
    for subject, row in enumerate(np.asarray(design, dtype=float) + 0.0):  # -0.0 is 0.0
        found.setdefault(row.tobytes(), []).append(subject)
    return list(found.values())


def _different(members: list[list[int]], n: int) -> Iterator[list[int]]:
    order = [0] * n

    def fill(free: tuple[int, ...], left: list[list[int]]) -> Iterator[list[int]]:
        if not left:
            yield list(order)
            return
        for places in combinations(free, len(left[0])):
            for place, subject in zip(places, left[0], strict=True):
                order[place] = subject
            yield from fill(tuple(place for place in free if place not in places), left[1:])

    return fill(tuple(range(n)), members)
