"""What every baseline is: a named function from a recording to a matrix over all its regions.

Row = source, column = target; the diagonal and excluded regions are NaN. Series are standardised within run, and no
lag crosses a run boundary or a censored frame (`bids_ai.surrogate.lags`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bids_ai.errors import InputError
from bids_ai.surrogate.lags import IntArray, lag_targets
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import FloatArray, usable_frames

Compute = Callable[[PreparedRecording, Mapping[str, Any]], FloatArray]
"""Prepared recording and options to a matrix over the kept regions."""


@dataclass(frozen=True)
class Baseline:
    """A baseline of effective connectivity: one file, one line in the registry.

    Parameters
    ----------
    name : str
    label : str
        BIDS `stat-` label; letters and digits.
    compute : callable
        Works on the kept regions only; `estimate` is what is called.
    directed : bool
        Whether it reads direction from the signals. The others are symmetric wherever the structural connectivity
        is (or none is used).
    units : str
    citation : str
    needs_structural : bool
        Cannot be computed without structural connectivity.
    uses_structural : bool
        Takes structural connectivity into account where the recording has one.
    defaults : mapping
        Options and their defaults.
    """

    name: str
    label: str
    compute: Compute
    directed: bool
    units: str
    citation: str
    needs_structural: bool = False
    uses_structural: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def estimate(self, recording: Recording | PreparedRecording, **options: Any) -> FloatArray:
        """Compute the baseline.

        Parameters
        ----------
        recording : Recording or PreparedRecording
        **options
            Over the defaults of the baseline.

        Returns
        -------
        (n_regions, n_regions) array
            Row = source; NaN on the diagonal and for regions that cannot be used.

        Raises
        ------
        InputError
            Unknown options; structural connectivity needed and absent; too few frames for the method.
        """
        settings = self._settings(options)
        prepared = as_prepared(recording)
        if self.needs_structural and prepared.recording.structural is None:
            raise InputError(
                f"{prepared.name}: {self.name} needs a structural connectivity, and the recording has none. "
                "Give one of the same atlas (Recording.structural), or choose another baseline."
            )
        return over_all_regions(self.compute(prepared, settings), prepared)

    def _settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        for option in options:
            if option not in self.defaults:
                near = difflib.get_close_matches(option, self.defaults, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                known = ", ".join(self.defaults) or "none"
                raise InputError(f"Baseline {self.name} has no option {option!r} (known: {known}).{hint}")
        return {**self.defaults, **options}


def as_prepared(recording: Recording | PreparedRecording) -> PreparedRecording:
    """Prepare a recording unless it is already; a baseline needs no folds, hence the fewest there can be."""
    return recording if isinstance(recording, PreparedRecording) else prepare(recording, order_max=1, n_folds=3)


def over_all_regions(matrix: FloatArray, prepared: PreparedRecording) -> FloatArray:
    """From the kept regions to all of them, NaN elsewhere and on the diagonal."""
    full = np.full((len(prepared.kept),) * 2, np.nan)
    rows = np.flatnonzero(prepared.kept)
    full[rows[:, None], rows[None, :]] = matrix
    np.fill_diagonal(full, np.nan)
    return full


def usable_series(prepared: PreparedRecording) -> FloatArray:
    """Usable frames of all runs, SD units, shape (n_usable, n_kept)."""
    frames: FloatArray = prepared.series[usable_frames(prepared.series)]
    return frames


def targets_of_order(series: FloatArray, order: int, name: str) -> IntArray:
    """Frames of the joined series with `order` usable frames before them.

    Computed anew, because the targets of a prepared recording are those of its largest order.

    Raises
    ------
    InputError
        For an order below one, or without any such frame.
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise InputError(f"{name}: the number of lags must be an integer of at least 1, got {order!r}.")
    targets = lag_targets(usable_frames(series), order)
    if not len(targets):
        raise InputError(f"{name}: no frame has {order} usable frames before it. Use fewer lags, or censor less.")
    return targets


def kept_structural(prepared: PreparedRecording) -> FloatArray | None:
    """Structural connectivity between the kept regions, or None."""
    structural = prepared.recording.structural
    return None if structural is None else structural[np.ix_(prepared.kept, prepared.kept)]
