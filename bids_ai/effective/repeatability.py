"""Reliability of connectivity across fits: halves of a scan, initialisations, runs, sessions, and other subjects.

Stacks of matrices are (n_subjects, n_sessions, n_regions, n_regions), row = source. Diagonals and missing regions are
NaN, and an edge that is NaN in any matrix of a comparison does not count in it.

A similarity within subjects says nothing without the one between them: every brain is like every other, and every
estimate is like every other of the same shrinkage. And estimates that share their initialisation agree whatever the
data are; `bids_ai.surrogate.seeds` gives every recording its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import f as f_distribution

from bids_ai.errors import InputError
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import BoolArray, FloatArray

MIN_EDGES = 3


def half_recordings(recording: Recording) -> tuple[Recording, Recording]:
    """Cut a recording in its first and second half, each to be fitted like any other.

    With an even number of runs, whole runs are divided; otherwise the middle one is cut. The halves have names of
    their own, and with them other seeds.

    Raises
    ------
    InputError
        For fewer than 4 frames.
    """
    from dataclasses import replace

    if recording.n_frames < 4:
        raise InputError(f"{recording.name}: {recording.n_frames} frames cannot be halved.")
    n_runs = len(recording.runs)
    first, second = list(recording.runs[: n_runs // 2]), list(recording.runs[(n_runs + 1) // 2 :])
    if n_runs % 2:
        middle = recording.runs[n_runs // 2]
        cut = len(middle) // 2
        first.append(middle[:cut])
        second.insert(0, middle[cut:])
    return (
        replace(recording, name=f"{recording.name} half 1", runs=tuple(first)),
        replace(recording, name=f"{recording.name} half 2", runs=tuple(second)),
    )


def similarity(first: FloatArray, second: FloatArray) -> float:
    """Pearson correlation of the off-diagonal edges of two matrices; NaN for fewer than 3 shared edges."""
    return float(similarity_matrix(np.stack([first, second]))[0, 1])


def similarity_matrix(matrices: FloatArray) -> FloatArray:
    """Correlations between all pairs of matrices, over the edges that all of them have.

    Parameters
    ----------
    matrices : (n_matrices, n_regions, n_regions) array

    Returns
    -------
    (n_matrices, n_matrices) array
        NaN for fewer than 3 shared edges, and for a matrix without variation.
    """
    edges = _shared_edges(matrices)
    if edges.shape[1] < MIN_EDGES:
        return np.full((len(matrices),) * 2, np.nan)
    centred = edges - edges.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    flat = norms[:, 0] <= 1e-12 * np.abs(edges).max(initial=0)
    centred = centred / np.where(norms > 0, norms, 1)
    out: FloatArray = np.clip(centred @ centred.T, -1, 1)
    out[flat] = out[:, flat] = np.nan
    return out


def split_half(halves: FloatArray) -> FloatArray:
    """Similarity of the two halves of each subject, and that of the whole scan expected from it.

    Parameters
    ----------
    halves : (n_subjects, 2, n_regions, n_regions) array

    Returns
    -------
    (n_subjects, 2) array
        Correlation r of the halves, and 2 r / (1 + r), the reliability of twice the data (Spearman 1910; Brown 1910).
    """
    stack = _stack(halves)
    if stack.shape[1] != 2:
        raise InputError(f"Expected two halves per subject, got {stack.shape[1]} matrices per subject.")
    r = np.array([similarity(*pair) for pair in stack])
    return np.column_stack([r, 2 * r / (1 + r)])


def initialisation_stability(members: FloatArray) -> float:
    """Mean similarity over all pairs of ensemble members of one recording, (n_members, n_regions, n_regions).

    NaN for one member: a closed form has no initialisation.
    """
    if len(members) < 2:
        return float("nan")
    return float(similarity_matrix(members)[np.triu_indices(len(members), k=1)].mean())


class ICC(NamedTuple):
    """Intraclass correlations: 1 is perfect, 0 no subject is told from another; estimates may be negative.

    Parameters
    ----------
    absolute : array or float
        ICC(2,1): sessions are random, and a shift between them counts as error.
    consistency : array or float
        ICC(3,1): sessions are fixed, and a shift between them is forgiven.
    p : array or float
        Of the F test that subjects do not differ; the same for both.
    """

    absolute: FloatArray
    consistency: FloatArray
    p: FloatArray


def icc(scores: FloatArray) -> ICC:
    """ICC(2,1) and ICC(3,1) of tables of scores, one per trailing index.

    Parameters
    ----------
    scores : (n_subjects, n_sessions, ...) array
        A subject with a NaN in any session is left out of that table.

    Returns
    -------
    ICC
        Arrays of the trailing shape; NaN for fewer than 2 complete subjects, or without variation.

    Raises
    ------
    InputError
        For fewer than 2 subjects or sessions.

    References
    ----------
    Shrout & Fleiss 1979, doi:10.1037/0033-2909.86.2.420.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim < 2 or min(scores.shape[:2]) < 2:
        raise InputError(f"An ICC needs at least 2 subjects and 2 sessions, got an array of shape {scores.shape}.")
    return icc_of_mean_squares(*mean_squares(scores), scores.shape[1])


def edge_icc(stack: FloatArray) -> ICC:
    """ICC of every edge over subjects and sessions, arrays of shape (n_regions, n_regions), NaN on the diagonal."""
    return icc(_without_diagonal(_stack(stack)))


def matrix_icc(stack: FloatArray) -> ICC:
    """ICC of the whole matrix: the mean squares are summed over the edges before the ratio is taken.

    An edge counts as much as it varies, as in the image intraclass correlation (I2C2, Shou et al. 2013,
    doi:10.3758/s13415-013-0196-0). `p` is NaN, since edges are not independent.
    """
    scores = _without_diagonal(_stack(stack))
    n_subjects, n_sessions = scores.shape[:2]
    if min(n_subjects, n_sessions) < 2:
        raise InputError(f"An ICC needs at least 2 subjects and 2 sessions, got {n_subjects} and {n_sessions}.")
    complete = scores[:, :, np.isfinite(scores).all(axis=(0, 1))]
    between, sessions, error, _ = mean_squares(complete)
    pooled = icc_of_mean_squares(between.sum(), sessions.sum(), error.sum(), np.asarray(n_subjects), n_sessions)
    return ICC(pooled.absolute, pooled.consistency, np.asarray(np.nan))


def mean_squares(scores: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Mean squares between subjects, between sessions and of the error, and the number of complete subjects.

    Parameters
    ----------
    scores : (n_subjects, n_sessions, ...) array
        A subject with a NaN in any session is left out of that table.

    Returns
    -------
    between, sessions, error, n : arrays of the trailing shape
        NaN for fewer than 2 complete subjects.
    """
    n_sessions = scores.shape[1]
    complete = np.asarray(np.isfinite(scores).all(axis=1, keepdims=True))
    n = complete[:, 0].sum(axis=0).astype(np.float64)
    enough = np.where(n >= 2, n, np.nan)
    values = np.where(complete, scores, 0.0)
    grand = values.sum(axis=(0, 1)) / (enough * n_sessions)
    subject_means = values.mean(axis=1, keepdims=True)
    session_means = values.sum(axis=0, keepdims=True) / enough
    kept = np.broadcast_to(complete, scores.shape)
    between = n_sessions * np.where(complete, (subject_means - grand) ** 2, 0.0).sum(axis=(0, 1)) / (enough - 1)
    sessions = enough * ((session_means[0] - grand) ** 2).sum(axis=0) / (n_sessions - 1)
    residual = values - subject_means - session_means + grand
    error = np.where(kept, residual**2, 0.0).sum(axis=(0, 1)) / ((enough - 1) * (n_sessions - 1))
    return between, sessions, error, enough


def icc_of_mean_squares(between: FloatArray, sessions: FloatArray, error: FloatArray, n: FloatArray, k: int) -> ICC:
    """ICC(2,1) and ICC(3,1) of mean squares over `n` subjects and `k` sessions (`mean_squares`)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        absolute = (between - error) / (between + (k - 1) * error + k * (sessions - error) / n)
        consistency = (between - error) / (between + (k - 1) * error)
        p = f_distribution.sf(between / error, n - 1, (n - 1) * (k - 1))
    return ICC(np.asarray(absolute), np.asarray(consistency), np.asarray(p))


class Identifiability(NamedTuple):
    """How well a subject is told from the others by its matrix.

    Parameters
    ----------
    within, between : float
        Mean similarity of two sessions of one subject, and of two sessions of two subjects (-1 to 1).
    idiff : float
        100 (within - between), percent; 0 is no more alike to oneself than to others.
    effect_size : float
        (within - between) / pooled SD of the two sets of similarities.
    success_rate : float
        Share of sessions whose most similar matrix among those of every other session is of the same subject;
        1 / n_subjects by chance.
    p : float
        Share of relabellings of the subjects, within each session, with an idiff as large (the observed one included).
    """

    within: float
    between: float
    idiff: float
    effect_size: float
    success_rate: float
    p: float


def identifiability(stack: FloatArray, *, n_permutations: int = 999, seed: int = 1) -> Identifiability:
    """Compare sessions of one subject with sessions of different subjects: the null of another brain.

    Parameters
    ----------
    stack : (n_subjects, n_sessions, n_regions, n_regions) array
        At least 2 subjects and 2 sessions. Only pairs of different sessions are compared, for one subject and for
        two, so that what a session does to everybody does not count.
    n_permutations : int
    seed : int
        Of the relabellings.

    Returns
    -------
    Identifiability
        NaN where fewer than 3 edges are shared by all.

    References
    ----------
    Amico & Goni 2018, doi:10.1038/s41598-018-25089-1 (idiff); Finn et al. 2015, doi:10.1038/nn.4135 (success rate).
    """
    stack = _stack(stack)
    n_subjects, n_sessions = stack.shape[:2]
    if min(n_subjects, n_sessions) < 2:
        raise InputError(f"Identification needs at least 2 subjects and 2 sessions, got {n_subjects} and {n_sessions}.")
    flat = stack.reshape(n_subjects * n_sessions, *stack.shape[2:])
    similarities = similarity_matrix(flat).reshape(n_subjects, n_sessions, n_subjects, n_sessions)
    return identifiability_of_similarities(similarities, n_permutations=n_permutations, seed=seed)


def identifiability_of_similarities(
    similarities: FloatArray, *, n_permutations: int = 999, seed: int = 1
) -> Identifiability:
    """Identify subjects by similarities that are known already, (n_subjects, n_sessions, n_subjects, n_sessions).

    As `identifiability`; NaN throughout where a similarity of two different sessions is.
    """
    n_subjects, n_sessions = similarities.shape[:2]
    # Entry (s, t, a, b): session s of subject a with session t of subject b.
    blocks = similarities.transpose(1, 3, 0, 2)
    pairs = [(s, t) for s in range(n_sessions) for t in range(n_sessions) if s != t]
    tables = np.stack([blocks[s, t] for s, t in pairs])
    if not np.isfinite(tables).all():
        return Identifiability(*([float("nan")] * 6))
    own = np.eye(n_subjects, dtype=bool)
    within, between = tables[:, own], tables[:, ~own]
    difference = float(within.mean() - between.mean())
    spread = np.sqrt((within.var() + between.var()) / 2)
    return Identifiability(
        within=float(within.mean()),
        between=float(between.mean()),
        idiff=100 * difference,
        effect_size=difference / float(spread) if spread > 0 else float("nan"),
        success_rate=float((tables.argmax(axis=2) == np.arange(n_subjects)).mean()),
        p=_permutation_p(blocks, difference, n_permutations, seed),
    )


def _permutation_p(blocks: FloatArray, observed: float, n_permutations: int, seed: int) -> float:
    n_sessions, n_subjects = blocks.shape[0], blocks.shape[2]
    rng = np.random.default_rng(seed)
    upper = [(s, t) for s in range(n_sessions) for t in range(s + 1, n_sessions)]
    total = np.mean([blocks[s, t].mean() for s, t in upper])
    as_large = 1
    for _ in range(n_permutations):
        labels = [rng.permutation(n_subjects) for _ in range(n_sessions)]
        within = np.mean([blocks[s, t, labels[s], labels[t]].mean() for s, t in upper])
        between = (total * n_subjects - within) / (n_subjects - 1)
        # Relabellings that are the identity have to count as ties, whatever the rounding.
        as_large += within - between >= observed - 1e-12
    return float(as_large / (n_permutations + 1))


def _stack(stack: FloatArray) -> FloatArray:
    stack = np.asarray(stack, dtype=np.float64)
    if stack.ndim != 4 or stack.shape[2] != stack.shape[3]:
        raise InputError(
            f"Expected matrices (n_subjects, n_sessions, n_regions, n_regions), got an array of shape {stack.shape}."
        )
    return stack


def _without_diagonal(stack: FloatArray) -> FloatArray:
    return np.where(np.eye(stack.shape[-1], dtype=bool), np.nan, stack)


def _shared_edges(matrices: FloatArray) -> FloatArray:
    """Off-diagonal edges that are finite in all matrices, shape (n_matrices, n_edges)."""
    shared: BoolArray = np.isfinite(matrices).all(axis=0) & ~np.eye(matrices.shape[-1], dtype=bool)
    edges: FloatArray = matrices[:, shared]
    return edges
