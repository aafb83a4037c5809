"""What `ec_tables` works on: a table of signals, the settings of a run, and what came of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bids_ai.stages.sidecars import versions

if TYPE_CHECKING:
    import pandas as pd

    from bids_ai.surrogate.recording import Recording

DEFAULT_HORIZON_S = {"bold": None, "eeg": 0.1, "ieeg": 0.1}
"""Seconds over which the response is read; None is one sampling interval."""


@dataclass(frozen=True)
class Job:
    """One table of signals.

    Parameters
    ----------
    recording : Recording
    sources : tuple of Path
        Files it comes from; named with their SHA-256 in the sidecar.
    nodes : pandas.DataFrame
        Node table in the order of the regions.
    notes, warnings : tuple of str
        How it was read, and what speaks against it; for the sidecar and the page.
    model : str, optional
        Fitted in place of that of the settings.
    """

    recording: Recording
    sources: tuple[Path, ...]
    nodes: pd.DataFrame
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    model: str = ""


@dataclass(frozen=True)
class Settings:
    """How all tables of a run are worked on; None for `horizon_s` or `order_max` is the default of the modality."""

    out_dir: Path
    model: str = "auto"
    horizon_s: float | None = None
    seed: int = 1
    device: str = "auto"
    ensemble: int = 5
    order_max: int | None = None
    baselines: tuple[str, ...] = ()
    command: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of a table: ``fitted`` with the verdict of the gate and its reasons, or ``failed`` with the reason."""

    name: str
    folder: Path
    status: str
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    matrix: np.ndarray | None = None
    regions: tuple[str, ...] = ()


def default_horizon_s(modality: str, tr: float) -> float:
    """Seconds over which the response is read by default."""
    return DEFAULT_HORIZON_S[modality] or tr


def order_max_of(job: Job, settings: Settings) -> int:
    """Largest number of lags that was tried."""
    from bids_ai.surrogate.recording import DEFAULT_ORDER_MAX

    return settings.order_max or DEFAULT_ORDER_MAX[job.recording.modality]


def horizon_steps_of(recording: Recording, horizon_s: float | None) -> int:
    """Steps over which the response is read; None is the default of the modality."""
    from bids_ai.effective.perturbation import horizon_steps

    return horizon_steps(horizon_s or default_horizon_s(recording.modality, recording.tr), recording.tr)


def horizon_notes(recording: Recording, horizon_s: float | None) -> list[str]:
    """Say so where the sampling does not allow the horizon that was asked for, or the default one."""
    wanted = horizon_s or default_horizon_s(recording.modality, recording.tr)
    got = horizon_steps_of(recording, horizon_s) * recording.tr
    if abs(got - wanted) <= 0.01 * wanted:
        return []
    return [
        f"The horizon is {got:g} s instead of {wanted:g} s: whole steps of the sampling interval of "
        f"{recording.tr:g} s, and one at least."
    ]


def origin_of(job: Job, settings: Settings) -> dict[str, Any]:
    """Entries of a sidecar that say where a result comes from."""
    return {
        "Sources": [{"File": path.name, "SHA256": _sha256(path)} for path in job.sources],
        "RandomSeed": settings.seed,
        "PackageVersions": versions("torch", "numpy"),
        "Command": settings.command,
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
