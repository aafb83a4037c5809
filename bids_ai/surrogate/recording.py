"""The unit of fitting: the runs of one recording."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.usable import FloatArray

MODALITIES = ("bold", "eeg", "ieeg")
DEFAULT_ORDER_MAX = {"bold": 3, "eeg": 8, "ieeg": 8}
"""Largest number of lags that is tried where none is asked for. Rhythms sampled at some hundred Hz need more lags than
BOLD, whose frames are seconds apart; 8 of them predict simulated EEG better than 6 in every recording."""


@dataclass(frozen=True)
class Recording:
    """Region series of one recording, in one or more runs that are fitted together.

    Parameters
    ----------
    name : str
        Unique name; seeds derive from it.
    runs : tuple of (n_times, n_regions) arrays
        Any unit. NaN rows are censored frames, NaN columns regions without data. No lag crosses a run
        boundary or a censored frame.
    tr : float
        Sampling interval, seconds.
    regions : tuple of str
        Region names, in the order of the columns.
    structural : (n_regions, n_regions) array, optional
        Structural connectivity, row = source, any unit; a prior of where coupling is likely. The diagonal is not used.
    modality : {"bold", "eeg", "ieeg"}
        What the signals are: decides whether haemodynamics are part of a model.

    Raises
    ------
    InputError
        Infinite values, wrong shapes, names that do not fit, one frame, TR <= 0; a structural connectivity with
        missing or negative values or without any connection.
    """

    name: str
    runs: tuple[FloatArray, ...]
    tr: float
    regions: tuple[str, ...]
    structural: FloatArray | None = None
    modality: str = "bold"

    def __post_init__(self) -> None:
        """Check what can be known without fitting."""
        object.__setattr__(self, "runs", tuple(np.asarray(run, dtype=np.float64) for run in self.runs))
        object.__setattr__(self, "regions", tuple(str(region) for region in self.regions))
        self._check_sampling()
        self._check_regions()
        if not self.runs:
            raise InputError(f"{self.name}: a recording needs at least one run, got none.")
        for number, run in enumerate(self.runs, start=1):
            self._check_run(run, f"{self.name}, run {number}")
        if self.modality not in MODALITIES:
            raise InputError(f"{self.name}: modality must be one of {', '.join(MODALITIES)}, got {self.modality!r}.")
        if self.structural is not None:
            object.__setattr__(self, "structural", self._checked_structural(self.structural))

    def _check_sampling(self) -> None:
        if not (np.isfinite(self.tr) and self.tr > 0):
            raise InputError(
                f"{self.name}: the sampling interval (TR) must be a positive number of seconds, got {self.tr!r}. "
                "Set RepetitionTime in the sidecar, or pass --tr."
            )

    def _check_regions(self) -> None:
        if len(self.regions) < 2:
            raise InputError(f"{self.name}: connectivity needs at least 2 regions, got {len(self.regions)}.")
        if len(set(self.regions)) != len(self.regions):
            twice = sorted({region for region in self.regions if self.regions.count(region) > 1})
            raise InputError(f"{self.name}: region names must be unique; repeated: {', '.join(twice[:5])}.")

    def _check_run(self, run: FloatArray, where: str) -> None:
        if run.ndim != 2:
            raise InputError(f"{where}: expected an array (n_times, n_regions), got shape {run.shape}.")
        if run.shape[1] != len(self.regions):
            hint = " It looks transposed: time comes first." if run.shape[0] == len(self.regions) else ""
            raise InputError(f"{where}: {run.shape[1]} columns do not fit {len(self.regions)} region names.{hint}")
        if run.shape[0] < 2:
            raise InputError(
                f"{where}: {run.shape[0]} frame(s) hold no dynamics; a 4D series with many frames is needed."
            )
        infinite = np.flatnonzero(np.isinf(run).any(axis=0))
        if infinite.size:
            named = [self.regions[column] for column in infinite]
            raise InputError(
                f"{where}: infinite values in {', '.join(named[:5])}. Mark missing values as NaN (n/a in a table)."
            )

    def _checked_structural(self, structural: FloatArray) -> FloatArray:
        matrix = np.array(structural, dtype=np.float64)
        n = len(self.regions)
        if matrix.shape != (n, n):
            raise InputError(
                f"{self.name}: the structural connectivity has shape {matrix.shape}, the signals have {n} regions; "
                "both must come from the same atlas, in the same order."
            )
        np.fill_diagonal(matrix, 0)
        if not np.isfinite(matrix).all():
            raise InputError(f"{self.name}: the structural connectivity has missing or infinite values; write 0.")
        if matrix.min() < 0:
            raise InputError(
                f"{self.name}: the structural connectivity has negative values (least {matrix.min():g}); it must "
                "hold weights such as streamline counts, not correlations."
            )
        if matrix.max() == 0:
            raise InputError(f"{self.name}: the structural connectivity has no connection.")
        return matrix

    @property
    def n_frames(self) -> int:
        """Frames over all runs, censored ones included."""
        return sum(len(run) for run in self.runs)
