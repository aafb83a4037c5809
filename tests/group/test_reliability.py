"""Reliability out of a file is that of the arrays in memory."""

import numpy as np
import pytest

from bids_ai.effective.repeatability import edge_icc, identifiability, matrix_icc
from bids_ai.group import edges as edges_module
from bids_ai.group.edges import EdgeList, EdgeStore
from bids_ai.group.reliability import balanced, retest, split_half_rows


def brains(n_subjects, n_sessions, noise, n=6):
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((n, n)), rng.standard_normal((n_subjects, 1, n, n))
    stack = common + own + noise * rng.standard_normal((n_subjects, n_sessions, n, n))
    stack[..., np.eye(n, dtype=bool)] = np.nan
    return stack.astype(np.float32).astype(float)


def stored(tmp_path, stack):
    edges = EdgeList(stack.shape[-1], directed=True)
    store = EdgeStore(tmp_path / "edges", len(edges))
    rows = [[store.append(edges.vector(matrix)) for matrix in subject] for subject in stack]
    return edges, store, np.array(rows)


@pytest.mark.parametrize("block", [37, 10**6])
def test_blocks_give_what_arrays_in_memory_give(tmp_path, monkeypatch, block):
    monkeypatch.setattr(edges_module, "BLOCK_VALUES", block)
    stack = brains(7, 3, 1.0)
    edges, store, rows = stored(tmp_path, stack)
    found = retest(store, rows, n_permutations=99)
    expected = edge_icc(stack)
    np.testing.assert_allclose(edges.matrix(found.edges.absolute), expected.absolute, atol=1e-6)
    np.testing.assert_allclose(edges.matrix(found.edges.consistency), expected.consistency, atol=1e-6)
    np.testing.assert_allclose(edges.matrix(found.edges.p), expected.p, atol=1e-6)
    assert float(found.whole.absolute) == pytest.approx(float(matrix_icc(stack).absolute), abs=1e-6)
    whole = identifiability(stack, n_permutations=99)
    assert found.identification == pytest.approx(whole, abs=1e-6)


def test_subjects_with_a_missing_region_lose_its_edges_only(tmp_path):
    stack = brains(6, 2, 0.5)
    stack[2, :, 0, :] = stack[2, :, :, 0] = np.nan
    edges, store, rows = stored(tmp_path, stack)
    found = retest(store, rows)
    np.testing.assert_allclose(edges.matrix(found.edges.absolute), edge_icc(stack).absolute, atol=1e-6)
    assert float(found.whole.absolute) == pytest.approx(float(matrix_icc(stack).absolute), abs=1e-6)
    assert found.identification.success_rate == 1


def test_nothing_but_missing_values_is_no_number(tmp_path):
    _, store, rows = stored(tmp_path, np.full((3, 2, 4, 4), np.nan))
    found = retest(store, rows)
    assert np.isnan(found.edges.absolute).all()
    assert np.isnan(found.whole.absolute)
    assert np.isnan(found.identification.success_rate)


def test_halves(tmp_path):
    stack = brains(4, 2, 0.5)
    _, store, rows = stored(tmp_path, stack)
    found = split_half_rows(store, rows)
    off = ~np.eye(6, dtype=bool)
    r = [np.corrcoef(first[off], second[off])[0, 1] for first, second in stack]
    np.testing.assert_allclose(found[:, 0], r, atol=1e-6)
    np.testing.assert_allclose(found[:, 1], [2 * x / (1 + x) for x in r], atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "subjects", "repetitions"),
    [
        ({"a": ["1", "2"], "b": ["1", "2"], "c": ["1"]}, ["a", "b"], ["1", "2"]),
        ({"a": ["1", "2", "3"], "b": ["1", "2", "3"], "c": ["3", "2"]}, ["a", "b", "c"], ["2", "3"]),
        ({"a": ["1", "2", "3"], "b": ["1", "2", "3"]}, ["a", "b"], ["1", "2", "3"]),
        ({"a": ["1"], "b": ["2"]}, [], []),
        ({"a": ["1"], "b": ["1"]}, [], []),
        ({}, [], []),
    ],
)
def test_repetitions_that_most_subjects_share(labels, subjects, repetitions):
    assert balanced(labels) == (subjects, repetitions)
