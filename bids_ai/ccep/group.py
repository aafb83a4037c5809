"""Matrices of a group of patients: pooled with a patient effect, and which cells can be relied upon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bids_ai.ccep.matrices import CONFIDENCE, PairMatrices, agresti_coull
from bids_ai.ccep.trials import Array, BoolArray, IntArray
from bids_ai.errors import InputError

#: A cell is reliable with so many responses, or so many tests without one, ...
LEAST_OF_A_KIND = 10.0
#: ... a half-width of the interval up to this, ...
MOST_HALF_WIDTH = 0.2
#: ... and so many patients (F-TRACT's analysis).
LEAST_PATIENTS = 3
#: A mean measure is reliable with so many responses.
LEAST_RESPONSES = 20.0
#: A patient counts in a cell from half a pair on.
_LEAST_PAIR = 0.5


@dataclass(frozen=True)
class GroupMatrices:
    """Matrices of a group; arrays have shape (n_stimulated, n_recorded).

    Attributes
    ----------
    n_patients : array of int
        Patients with half a tested pair or more in the cell.
    tested, responses : array
        Sums over patients.
    probability, lower, upper : array
        Of a beta-binomial with one correlation within patients: pairs of one patient tell less than as many patients.
        NaN where nothing was tested.
    correlation : float
        Within patients, 0 (as good as independent) to 1; NaN for one patient.
    reliable : array of bool
        Of `probability`.
    features : dict of str to array
        Means over responses of all patients.
    feature_reliable : dict of str to array of bool
    """

    n_patients: IntArray
    tested: Array
    responses: Array
    probability: Array
    lower: Array
    upper: Array
    correlation: float
    reliable: BoolArray
    features: dict[str, Array]
    feature_reliable: dict[str, BoolArray]


def group_matrices(patients: Sequence[PairMatrices], *, confidence: float = CONFIDENCE) -> GroupMatrices:
    """Pool patients.

    Parameters
    ----------
    patients : sequence of PairMatrices
        Over the same nodes and with the same features.
    confidence : float

    Returns
    -------
    GroupMatrices

    Raises
    ------
    InputError
        For no patient, or other nodes or features.
    """
    if not patients:
        raise InputError("Matrices of one patient or more are wanted, got none.")
    shapes = {one.tested.shape for one in patients}
    names = {tuple(one.features) for one in patients}
    if len(shapes) > 1 or len(names) > 1:
        raise InputError(f"The same nodes and features in all patients are wanted, got {shapes} and {names}.")
    tested = np.stack([one.tested for one in patients])
    responses = np.stack([one.responses for one in patients])
    correlation = within_patient_correlation(responses, tested)
    # Tests of one patient that are alike count for fewer.
    worth = tested / (1.0 + np.maximum(tested - 1.0, 0.0) * np.nan_to_num(correlation))
    share = np.divide(responses, tested, out=np.zeros_like(tested), where=tested > 0)
    total = worth.sum(axis=0)
    probability = np.divide((worth * share).sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
    lower, upper = agresti_coull(np.nan_to_num(probability) * total, total, confidence)
    n_patients = (tested >= _LEAST_PAIR).sum(axis=0)
    all_tested, all_responses = tested.sum(axis=0), responses.sum(axis=0)
    enough = (all_responses >= LEAST_OF_A_KIND) | (all_tested - all_responses >= LEAST_OF_A_KIND)
    with np.errstate(invalid="ignore"):
        narrow = 0.5 * (upper - lower) <= MOST_HALF_WIDTH
    features, feature_reliable = {}, {}
    for name in patients[0].features:
        counts = np.stack([one.feature_counts[name] for one in patients])
        sums = counts * np.nan_to_num(np.stack([one.features[name] for one in patients]))
        count = counts.sum(axis=0)
        features[name] = np.divide(sums.sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 1e-12)
        feature_reliable[name] = (count >= LEAST_RESPONSES) & (n_patients >= LEAST_PATIENTS)
    return GroupMatrices(
        n_patients,
        all_tested,
        all_responses,
        probability,
        lower,
        upper,
        correlation,
        enough & narrow & (n_patients >= LEAST_PATIENTS),
        features,
        feature_reliable,
    )


def within_patient_correlation(responses: Array, tested: Array) -> float:
    """Correlation of two tests of one cell in one patient, by analysis of variance over all cells, 0 to 1.

    Parameters
    ----------
    responses, tested : array, shape (n_patients, n_stimulated, n_recorded)

    Returns
    -------
    float
        NaN where no cell has two patients, or no patient has several tests of a cell.

    References
    ----------
    Ridout, Demetrio & Firth 1999, doi:10.1111/j.0006-341X.1999.00137.x (the estimator by analysis of variance).
    """
    there = tested >= 1.0
    n_patients = there.sum(axis=0)
    used = n_patients > 1
    if not used.any():
        return float("nan")
    tests, hits = np.where(there, tested, 0.0)[:, used], np.where(there, responses, 0.0)[:, used]
    total = tests.sum(axis=0)
    share = np.divide(hits, tests, out=np.zeros_like(tests), where=tests > 0)
    mean = hits.sum(axis=0) / total
    df_between, df_within = (n_patients[used] - 1.0).sum(), (total - n_patients[used]).sum()
    if df_within < 1.0:
        return float("nan")
    between = (tests * (share - mean) ** 2).sum() / df_between
    within = (tests * share * (1.0 - share)).sum() / df_within
    size = (total - (tests**2).sum(axis=0) / total).sum() / df_between
    spread = between + (size - 1.0) * within
    return float(np.clip((between - within) / spread, 0.0, 1.0)) if spread > 0 else 0.0
