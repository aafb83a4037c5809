"""Mean and standard deviation of a stream of matrices, one at a time."""

from __future__ import annotations

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import FloatArray


class RunningMoments:
    """Count, mean and SD per entry, of arrays that come one after the other.

    By Welford's update (1962, doi:10.1080/00401706.1962.10490022). A NaN does not count, so that entries may have
    different counts.

    Parameters
    ----------
    shape : tuple of int
        Of every array.

    Attributes
    ----------
    count : array of float
        How many values an entry has had.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.count: FloatArray = np.zeros(shape)
        self._mean: FloatArray = np.zeros(shape)
        self._squares: FloatArray = np.zeros(shape)

    def add(self, values: FloatArray) -> None:
        """Take one array in.

        Raises
        ------
        InputError
            If it has another shape.
        """
        values = np.asarray(values, dtype=np.float64)
        if values.shape != self.count.shape:
            raise InputError(f"Expected an array of shape {self.count.shape}, got {values.shape}.")
        known = np.isfinite(values)
        self.count += known
        step = np.where(known, values - self._mean, 0.0)
        self._mean += step / np.maximum(self.count, 1)
        self._squares += step * np.where(known, values - self._mean, 0.0)

    @property
    def mean(self) -> FloatArray:
        """Mean of each entry; NaN without a value."""
        return np.where(self.count > 0, self._mean, np.nan)

    @property
    def sd(self) -> FloatArray:
        """Standard deviation with n - 1; NaN for fewer than two values."""
        return np.where(self.count > 1, np.sqrt(self._squares / np.maximum(self.count - 1, 1)), np.nan)
