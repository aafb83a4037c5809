"""Intervals and false discovery rate of `edge_inference` on linear systems, whose true response is exact."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from benchmarks.ec.cases import system_of
from benchmarks.ec.compare import Log
from benchmarks.ec.results import Result, Results
from benchmarks.ec.settings import Setting
from bids_ai.effective.inference import edge_inference
from bids_ai.simulate.systems.system import System, simulate_batch
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.usable import FloatArray

PART = "calibration"
SYSTEMS = ("linear-var", "linear-ou")
FRAMES = (400, 1200)
HORIZONS = (1, 5)
LEVEL = 0.95
FDR = 0.05
FIRST_SEED = 1000
"""Seeds of their own, so that the coverage is not over the recordings that methods are compared on."""

BATCH = 50


def run_calibration(
    results: Results, n_seeds: int, log: Log, *, systems: Sequence[str] = SYSTEMS, frames: Sequence[int] = FRAMES
) -> None:
    """Run what is missing."""
    seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
    for name in systems:
        group = f"{name}_frames-{max(frames)}"
        missing = [
            seed for seed in seeds if not all(results.path(PART, group, _name(seed, t)).is_file() for t in frames)
        ]
        if missing:
            log(f"calibration on {name}: {len(missing)} seeds")
        for first in range(0, len(missing), BATCH):
            chunk = missing[first : first + BATCH]
            made = [system_of(Setting(name, max(frames)), seed) for seed in chunk]
            for system, seed, series in zip(made, chunk, simulate_batch(made, max(frames), chunk), strict=True):
                for n in frames:

                    def make(
                        system: System = system, seed: int = seed, series: FloatArray = series, n: int = n
                    ) -> Result:
                        return calibration_one(system, seed, series[:n])

                    results.get(PART, group, _name(seed, n), make)


def _name(seed: int, frames: int) -> str:
    return f"seed-{seed:04d}_frames-{frames}"


def calibration_one(system: System, seed: int, series: FloatArray) -> Result:
    """Coverage on one recording: shares of the edges, and counts of discoveries.

    Returns
    -------
    dict
        Per horizon: `coverage_h` over all edges and `coverage_edges_h` over those of the network; at a horizon of
        one step `n_found` (edges with q below 5 %), `n_false` (those among them whose true response is exactly 0) and
        `power`, the share of the network that is found.
    """
    regions = tuple(f"r{i:02d}" for i in range(system.n_regions))
    name = f"{system.name} frames {len(series)} seed {seed}"
    (fit,) = fit_recordings([Recording(name, (series,), system.interval_s, regions)], model="ridge-var")
    assert isinstance(fit, FittedSurrogate), fit
    off = ~np.eye(system.n_regions, dtype=bool)
    present = (system.connectivity != 0) & off
    row: Result = {"system": system.name, "frames": len(series), "seed": seed, "method": "edge-inference"}
    for horizon in HORIZONS:
        edges = edge_inference(fit, horizon_steps=horizon, level=LEVEL)
        truth = true_response(system, horizon)
        inside = (fit.signal_units(edges.lower) <= truth) & (truth <= fit.signal_units(edges.upper))
        row[f"coverage_{horizon}"] = float(inside[off].mean())
        row[f"coverage_edges_{horizon}"] = float(inside[present].mean())
        if horizon == 1:
            found = (edges.q < FDR) & off
            row["n_found"], row["n_false"] = int(found.sum()), int((found & (truth == 0)).sum())
            row["power"] = float(found[present].mean())
    return row


def true_response(system: System, horizon: int) -> FloatArray:
    """Mean response over some steps; exact with one state, since the system is linear."""
    push = dataclasses.replace(system.push, window_s=(0.0, horizon * system.interval_s))
    return dataclasses.replace(system, push=push).true_effective_connectivity(n_states=1)
