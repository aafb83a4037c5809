"""Matrices as rows of edges in a file, read back in blocks of edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import BoolArray, FloatArray

BLOCK_VALUES = 4_000_000
"""Values (rows x edges) of a block: 32 MB in double precision, of which a computation holds a few copies."""

IntArray = NDArray[np.int64]


class EdgeList:
    """The edges of a matrix in a fixed order: all pairs of a directed one, the upper triangle of a symmetric one.

    Parameters
    ----------
    n_regions : int
    directed : bool

    Attributes
    ----------
    sources, targets : (n_edges,) arrays of int
        Row and column of each edge.
    """

    def __init__(self, n_regions: int, *, directed: bool) -> None:
        self.n_regions, self.directed = n_regions, directed
        wanted = ~np.eye(n_regions, dtype=bool) if directed else np.triu(np.ones((n_regions,) * 2, dtype=bool), 1)
        self.sources, self.targets = (places.astype(np.int64) for places in np.nonzero(wanted))

    def __len__(self) -> int:
        return len(self.sources)

    def vector(self, matrix: FloatArray) -> FloatArray:
        """Edges of a matrix, shape (n_edges,)."""
        if matrix.shape != (self.n_regions, self.n_regions):
            raise InputError(f"Expected a matrix of {self.n_regions} regions, got shape {matrix.shape}.")
        return np.asarray(matrix[self.sources, self.targets], dtype=np.float64)

    def matrix(self, vector: FloatArray) -> FloatArray:
        """Matrix of edges, shape (n_regions, n_regions); NaN on the diagonal."""
        found = np.full((self.n_regions, self.n_regions), np.nan)
        found[self.sources, self.targets] = vector
        if not self.directed:
            found[self.targets, self.sources] = vector
        return found

    def within(self, groups: Sequence[str]) -> dict[str, BoolArray]:
        """Edges within each group of regions, such as a network.

        Parameters
        ----------
        groups : sequence of str, (n_regions,)
            Empty where a region has none.

        Returns
        -------
        dict of str to (n_edges,) array of bool
            In the order of the first region of each group.
        """
        labels = np.asarray(groups, dtype=object)
        same = labels[self.sources] == labels[self.targets]
        return {name: same & (labels[self.sources] == name) for name in dict.fromkeys(groups) if name}


class EdgeStore:
    """Rows of edges in a file, single precision; only blocks of edges of all rows come into memory.

    Parameters
    ----------
    path : Path
        File to make; an older one is overwritten.
    n_edges : int
    """

    def __init__(self, path: Path, n_edges: int) -> None:
        self.path, self.n_edges, self._n_rows = Path(path), n_edges, 0
        self.path.write_bytes(b"")

    def __len__(self) -> int:
        return self._n_rows

    def append(self, edges: FloatArray) -> int:
        """Add a row, and return its number."""
        if np.shape(edges) != (self.n_edges,):
            raise InputError(f"Expected {self.n_edges} edges, got an array of shape {np.shape(edges)}.")
        with self.path.open("ab") as file:
            file.write(np.asarray(edges, dtype="<f4").tobytes())
        self._n_rows += 1
        return self._n_rows - 1

    def blocks(self, rows: Sequence[int] | IntArray | None = None) -> Iterator[tuple[slice, FloatArray]]:
        """Give the edges in blocks.

        Parameters
        ----------
        rows : sequence of int, optional
            In this order; by default all.

        Yields
        ------
        where : slice
            Of the edges.
        values : (n_rows, n_edges_of_block) array
        """
        wanted = np.arange(self._n_rows) if rows is None else np.asarray(rows, dtype=np.int64)
        if not len(wanted) or not self.n_edges:
            return
        stored = np.memmap(self.path, dtype="<f4", mode="r", shape=(self._n_rows, self.n_edges))
        width = max(1, BLOCK_VALUES // len(wanted))
        for start in range(0, self.n_edges, width):
            where = slice(start, min(start + width, self.n_edges))
            yield where, np.asarray(stored[wanted, where], dtype=np.float64)
