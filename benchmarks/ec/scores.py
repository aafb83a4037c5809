"""Agreement of a matrix with the truth, over off-diagonal entries."""

from __future__ import annotations

import numpy as np

from bids_ai.effective.symmetry import compare_with_truth, self_symmetry
from bids_ai.surrogate.usable import FloatArray

SCORES = ("r", "spearman", "antisymmetric_r", "auroc", "self_symmetry")


def score(matrix: FloatArray, truth: FloatArray, edges: FloatArray | None, *, signed: bool = True) -> dict[str, float]:
    """Scores of a method.

    Parameters
    ----------
    matrix, truth : (n_regions, n_regions) arrays
        Row = source.
    edges : (n_regions, n_regions) array or None
        The network, zero where there is no edge.
    signed : bool, default=True
        Whether the method knows signs; one that does not is compared with the absolute truth.

    Returns
    -------
    dict
        `r`, `spearman`, `r_transposed`, `antisymmetric_r`, `direction_accuracy`, `auroc` (of the edges of the network
        by the absolute value; NaN for a full network), `self_symmetry`.
    """
    scores = dict(compare_with_truth(matrix, truth if signed else np.abs(truth)))
    scores["auroc"] = float("nan") if edges is None else edge_auroc(matrix, edges)
    scores["self_symmetry"] = self_symmetry(matrix)
    return scores


def edge_auroc(matrix: FloatArray, edges: FloatArray) -> float:
    """Probability that an edge has a larger absolute value than an absent one, ties counted half.

    NaN where all edges are present or all absent.
    """
    from scipy.stats import rankdata

    valid = np.isfinite(matrix) & ~np.eye(len(matrix), dtype=bool)
    present = edges[valid] != 0
    n_present, n_absent = int(present.sum()), int((~present).sum())
    if not n_present or not n_absent:
        return float("nan")
    ranks = rankdata(np.abs(matrix[valid]))
    return float((ranks[present].sum() - n_present * (n_present + 1) / 2) / (n_present * n_absent))
