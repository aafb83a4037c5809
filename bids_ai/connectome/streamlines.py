"""Streamlines as two arrays, so that a million of them take no Python objects and no loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bids_ai.errors import InputError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Streamlines:
    """Polylines in world millimetres.

    Attributes
    ----------
    points : (n_points, 3) float32 array
        One streamline after the other.
    offsets : (n_streamlines + 1,) int64 array
        Streamline k is ``points[offsets[k]:offsets[k + 1]]``, two points or more.
    """

    points: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises
        ------
        InputError
        """
        sizes = np.diff(self.offsets)
        if self.points.ndim != 2 or self.points.shape[1] != 3 or self.offsets[-1] != len(self.points):
            raise InputError(f"Points {self.points.shape} and {len(self.offsets)} offsets are no streamlines.")
        if len(sizes) and sizes.min() < 2:
            raise InputError(f"Streamline {int(sizes.argmin())} (from 0) has {int(sizes.min())} points; it needs two.")

    @classmethod
    def from_list(cls, lines: Sequence[npt.NDArray[Any]]) -> Streamlines:
        """From a list of (n, 3) arrays, or anything that iterates over them, such as nibabel's `ArraySequence`."""
        arrays = [np.asarray(line, dtype=np.float32).reshape(-1, 3) for line in lines]
        offsets = np.concatenate([[0], np.cumsum([len(line) for line in arrays], dtype=np.int64)]).astype(np.int64)
        points = np.concatenate(arrays) if arrays else np.zeros((0, 3), np.float32)
        return cls(points, offsets)

    @classmethod
    def concatenate(cls, parts: Sequence[Streamlines]) -> Streamlines:
        """Several sets as one."""
        if not parts:
            return cls.from_list([])
        starts = np.cumsum([0] + [len(part.points) for part in parts])
        offsets = [part.offsets[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
        return cls(np.concatenate([part.points for part in parts]), np.concatenate([*offsets, starts[-1:]]))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[npt.NDArray[np.float32]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.points[start:stop]

    @property
    def first(self) -> npt.NDArray[np.float32]:
        """First points, (n_streamlines, 3)."""
        return self.points[self.offsets[:-1]]

    @property
    def last(self) -> npt.NDArray[np.float32]:
        """Last points, (n_streamlines, 3)."""
        return self.points[self.offsets[1:] - 1]

    @property
    def lengths_mm(self) -> FloatArray:
        """Lengths along the curve, (n_streamlines,)."""
        _, lengths, owner = self.segments()
        return np.asarray(np.bincount(owner, lengths, len(self)), dtype=np.float64)

    def segments(self) -> tuple[npt.NDArray[np.float32], FloatArray, npt.NDArray[np.int64]]:
        """Steps between successive points: vectors (n, 3), lengths (n,) in mm, and the streamline of each (n,)."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        steps = np.diff(self.points, axis=0)
        inside = owner[1:] == owner[:-1]
        steps = steps[inside]
        return steps, np.sqrt(np.einsum("ni,ni->n", steps, steps, dtype=float)), owner[1:][inside]

    def midpoints(self) -> npt.NDArray[np.float32]:
        """Middle of each step, in the order of `segments`."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        inside = owner[1:] == owner[:-1]
        return np.asarray((self.points[1:][inside] + self.points[:-1][inside]) / 2)

    def select(self, chosen: npt.NDArray[Any]) -> Streamlines:
        """Those of a boolean mask or of indices."""
        index = np.arange(len(self))[chosen]
        sizes = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        where = np.repeat(self.offsets[index] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Streamlines(self.points[where], offsets)

    def chunks(self, size: int) -> Iterator[Streamlines]:
        """Sets of at most `size` streamlines that share the memory of this one."""
        for start in range(0, len(self), size):
            offsets = self.offsets[start : start + size + 1]
            yield Streamlines(self.points[offsets[0] : offsets[-1]], offsets - offsets[0])


def to_voxels(points: npt.NDArray[Any], affine: npt.NDArray[Any]) -> FloatArray:
    """World points (n, 3) as continuous voxel coordinates; an integer is the centre of a voxel."""
    inverse = np.linalg.inv(np.asarray(affine, dtype=float))
    return np.asarray(points @ inverse[:3, :3].T + inverse[:3, 3], dtype=np.float64)
