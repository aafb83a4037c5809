"""Edges on disk and their moments: what goes in comes out, in blocks and in one piece."""

import numpy as np
import pytest

from bids_ai.errors import InputError
from bids_ai.group import edges as edges_module
from bids_ai.group.edges import EdgeList, EdgeStore
from bids_ai.group.moments import RunningMoments


@pytest.mark.parametrize("directed", [True, False])
def test_a_matrix_comes_back_from_its_edges(directed):
    matrix = np.random.default_rng(0).standard_normal((5, 5))
    matrix = matrix if directed else matrix + matrix.T
    np.fill_diagonal(matrix, np.nan)
    edges = EdgeList(5, directed=directed)
    assert len(edges) == (20 if directed else 10)
    np.testing.assert_array_equal(edges.matrix(edges.vector(matrix)), matrix)


def test_edges_within_networks():
    edges = EdgeList(4, directed=True)
    within = edges.within(["A", "B", "A", ""])
    assert list(within) == ["A", "B"]
    assert {(int(s), int(t)) for s, t in zip(edges.sources[within["A"]], edges.targets[within["A"]], strict=True)} == {
        (0, 2),
        (2, 0),
    }
    assert not within["B"].any()


def test_blocks_are_the_whole(tmp_path, monkeypatch):
    values = np.random.default_rng(1).standard_normal((7, 33)).astype(np.float32)
    store = EdgeStore(tmp_path / "edges", 33)
    assert [store.append(row) for row in values] == list(range(7))
    monkeypatch.setattr(edges_module, "BLOCK_VALUES", 15)  # three rows: five edges a block
    rows = [6, 0, 3]
    blocks = list(store.blocks(rows))
    assert [block.shape for _, block in blocks] == [(3, 5)] * 6 + [(3, 3)]
    np.testing.assert_array_equal(np.hstack([block for _, block in blocks]), values[rows])


def test_an_empty_store_has_no_block(tmp_path):
    assert list(EdgeStore(tmp_path / "edges", 3).blocks()) == []


def test_rows_of_another_length_are_refused(tmp_path):
    with pytest.raises(InputError, match="Expected 3 edges"):
        EdgeStore(tmp_path / "edges", 3).append(np.zeros(4))
    with pytest.raises(InputError, match="3 regions"):
        EdgeList(3, directed=True).vector(np.zeros((4, 4)))


def test_moments_of_a_stream_are_those_of_the_stack():
    stack = 1e6 + np.random.default_rng(2).standard_normal((40, 3, 3))  # a large offset: sums of squares would fail
    stack[::3, 0, 1] = np.nan
    stack[:, 2, 2] = np.nan
    stack[1:, 1, 1] = np.nan
    moments = RunningMoments((3, 3))
    for matrix in stack:
        moments.add(matrix)
    np.testing.assert_array_equal(moments.count, np.isfinite(stack).sum(axis=0))
    defined = moments.count > 1
    np.testing.assert_allclose(moments.mean[defined], np.nanmean(stack[:, defined], axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.sd[defined], np.nanstd(stack[:, defined], axis=0, ddof=1), rtol=1e-9)
    assert np.isnan(moments.mean[2, 2])
    assert moments.mean[1, 1] == stack[0, 1, 1]
    assert np.isnan(moments.sd[1, 1])


def test_moments_refuse_another_shape():
    with pytest.raises(InputError, match="shape"):
        RunningMoments((2, 2)).add(np.zeros((3, 3)))
