"""Test-retest reliability of a group whose matrices lie in a file: edge by edge, of the whole, and of who is who."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bids_ai.effective.repeatability import (
    ICC,
    Identifiability,
    icc_of_mean_squares,
    identifiability_of_similarities,
    mean_squares,
)
from bids_ai.group.edges import EdgeStore, IntArray
from bids_ai.group.similarity import row_similarity
from bids_ai.surrogate.usable import FloatArray


class Retest(NamedTuple):
    """Reliability over subjects and their repetitions.

    Parameters
    ----------
    edges : ICC
        Arrays (n_edges,).
    whole : ICC
        Of the whole matrix (mean squares summed over the complete edges; Shou et al. 2013).
    identification : Identifiability
    """

    edges: ICC
    whole: ICC
    identification: Identifiability


def balanced(labels: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """Choose subjects and repetitions such that each subject has each repetition.

    An ICC and an identification want complete tables. The two repetitions that most subjects have in common are taken,
    and further ones as long as no subject is lost by it.

    Parameters
    ----------
    labels : mapping of str to sequence of str
        Repetitions of each subject, such as its sessions.

    Returns
    -------
    subjects, repetitions : lists of str
        Empty where no subject has two.
    """
    known = {subject: set(found) for subject, found in labels.items()}
    every = sorted({label for found in known.values() for label in found})

    def sharing(wanted: Sequence[str]) -> list[str]:
        return [subject for subject, found in known.items() if found.issuperset(wanted)]

    pairs = [(first, second) for i, first in enumerate(every) for second in every[i + 1 :]]
    if not pairs:
        return [], []
    best = max(pairs, key=lambda pair: len(sharing(pair)))
    chosen = [*best]
    subjects = sharing(chosen)
    if not subjects:
        return [], []
    for label in every:
        if label not in chosen and len(sharing([*chosen, label])) == len(subjects):
            chosen.append(label)
    return subjects, sorted(chosen)


def retest(store: EdgeStore, rows: IntArray, *, n_permutations: int = 999, seed: int = 1) -> Retest:
    """ICC of every edge and of the whole, and identification of subjects.

    Parameters
    ----------
    store : EdgeStore
    rows : (n_subjects, n_repetitions) array of int
        At least 2 of each.
    n_permutations, seed : int
        Of the relabellings of the identification.
    """
    rows = np.asarray(rows, dtype=np.int64)
    n_subjects, n_repetitions = rows.shape
    edges = [np.full(store.n_edges, np.nan) for _ in range(3)]
    total = np.zeros(3)
    for where, values in store.blocks(rows.ravel()):
        scores = values.reshape(n_subjects, n_repetitions, -1)
        between, repetitions, error, n = mean_squares(scores)
        found = icc_of_mean_squares(between, repetitions, error, n, n_repetitions)
        for whole, block in zip(edges, found, strict=True):
            whole[where] = block
        complete = n == n_subjects
        total += [squares[complete].sum() for squares in (between, repetitions, error)]
    none = np.asarray(np.nan)
    between, repetitions, error = (np.asarray(part) for part in total)
    pooled = icc_of_mean_squares(between, repetitions, error, np.asarray(float(n_subjects)), n_repetitions)
    similarity = row_similarity(store, rows.ravel())
    return Retest(
        ICC(*edges),
        # Edges are not independent: no p of the whole.
        ICC(pooled.absolute, pooled.consistency, none) if total.any() else ICC(none, none, none),
        identifiability_of_similarities(
            similarity.reshape(n_subjects, n_repetitions, n_subjects, n_repetitions),
            n_permutations=n_permutations,
            seed=seed,
        ),
    )


def split_half_rows(store: EdgeStore, halves: IntArray) -> FloatArray:
    """Similarity of the two halves of each subject, and that of the whole expected from it.

    Parameters
    ----------
    store : EdgeStore
    halves : (n_subjects, 2) array of int
        Rows of the halves.

    Returns
    -------
    (n_subjects, 2) array
        r, and 2 r / (1 + r) (Spearman 1910; Brown 1910).
    """
    n = len(halves)
    similarity = row_similarity(store, np.asarray(halves, dtype=np.int64).ravel()) if n else np.empty((0, 0))
    r = np.array([similarity[2 * i, 2 * i + 1] for i in range(n)])
    return np.column_stack([r, 2 * r / (1 + r)])
