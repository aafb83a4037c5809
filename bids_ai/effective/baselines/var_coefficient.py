"""Newest-lag coefficient of a least-squares VAR: the rival that NPI loses to on its own benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bids_ai.effective.baselines.base import Baseline
from bids_ai.effective.baselines.least_squares import fit_var
from bids_ai.surrogate.prepare import PreparedRecording
from bids_ai.surrogate.usable import FloatArray


def _coefficient(prepared: PreparedRecording, options: Mapping[str, Any]) -> FloatArray:
    """Unpenalised coefficients of the newest lag, which are the response to a push one frame later."""
    n_runs = len(prepared.recording.runs)
    fit = fit_var(prepared.series, options["order"], n_runs, prepared.name)
    newest: FloatArray = fit.coefficients[-1]
    return newest


BASELINE = Baseline(
    name="var-coefficient",
    label="varcoefficient",
    compute=_coefficient,
    directed=True,
    units="SD of the target per SD of the source, one frame later",
    citation="Lutkepohl 2005, New Introduction to Multiple Time Series Analysis, doi:10.1007/978-3-540-27752-1",
    defaults={"order": 1},
)
