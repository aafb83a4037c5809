"""Time of one fit and of batches, one thread, each beside its reference in the same run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from benchmarks.ec.clock import fastest
from benchmarks.ec.compare import Log
from benchmarks.ec.methods import Method
from benchmarks.ec.results import Result, Results
from benchmarks.surrogate_speed import npi_sequential, simulated
from bids_ai.effective.baselines.registry import get_baseline
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.prepare import prepare
from bids_ai.surrogate.recording import Recording

PART = "timing"
ENSEMBLE = 5
SHORT_S = 5.0
"""Work below this is repeated: on a machine that others use, the least time of several is the one that says most."""

REPEATS = 3
FULL_SIZE = (1200, 100)
QUICK_SIZE = (200, 10)
SEED = 0
LONG = (8000, 20)
"""Frames and regions of the rate networks released with NPI."""


def run_timing(results: Results, methods: Mapping[str, Method], log: Log, *, quick: bool) -> None:
    """Time every method at 100 regions x 1200 frames, NPI as it trains, and batches; what is missing only."""
    frames, regions = QUICK_SIZE if quick else FULL_SIZE
    recording = with_structural(simulated("one", frames, regions, SEED))
    for method in methods.values():

        def single(method: Method = method) -> Result:
            log(f"time of {method.name}")
            return time_method(recording, method, quick)

        results.get(PART, f"single_{regions}x{frames}", method.name, single)
    sizes = ((frames, regions),) if quick else ((frames, regions), LONG)
    for n_frames, n_regions in sizes:

        def reference(n_frames: int = n_frames, n_regions: int = n_regions) -> Result:
            log(f"time of NPI against an ensemble, {n_regions} x {n_frames}")
            return time_against_npi(simulated("one", n_frames, n_regions, SEED), quick)

        results.get(PART, "npi", f"{n_regions}x{n_frames}", reference)
    counts = ((4, (5, 8)),) if quick else ((50, (20, 50)), (6, (200,)))
    for count, sizes_of in counts:

        def batch(count: int = count, sizes_of: Sequence[int] = sizes_of) -> Result:
            log(f"time of a batch of {count}")
            return time_batch(count, sizes_of, quick)

        results.get(PART, "batch", f"{count}_recordings_{'-'.join(map(str, sizes_of))}", batch)


def with_structural(recording: Recording) -> Recording:
    """Give a recording a structural connectivity, so that every method can be timed."""
    n = len(recording.regions)
    weights = np.random.default_rng(SEED).lognormal(size=(n, n))
    return replace(recording, structural=weights)


def time_method(recording: Recording, method: Method, quick: bool) -> Result:
    """Fit with evaluation and gate, or a baseline."""

    def call() -> object:
        if method.kind == "baseline":
            return get_baseline(method.name).estimate(recording)
        (fit,) = fit_recordings([recording], model=method.name, ensemble=ENSEMBLE)
        assert isinstance(fit, FittedSurrogate), fit
        return fit

    process_s, wall_s = _repeated(call, quick)
    frames, regions = recording.runs[0].shape
    size = {"frames": frames, "regions": regions}
    return {"method": method.name, "kind": method.kind, **size, **_times(process_s, wall_s), **_machine()}


def time_against_npi(recording: Recording, quick: bool) -> Result:
    """Ensemble of perceptrons against one network of NPI in a sequential loop (batches of 50, 80 epochs)."""
    frames, regions = recording.runs[0].shape
    row: Result = {"method": "mlp", "frames": frames, "regions": regions, "ensemble": ENSEMBLE}
    process_s, wall_s = _repeated(lambda: fit_recordings([recording], model="mlp", ensemble=ENSEMBLE), quick)
    row |= _times(process_s, wall_s)
    prepared = prepare(recording, order_max=3, n_folds=5)
    process_s, wall_s = _repeated(lambda: npi_sequential(prepared), quick)
    return row | {f"reference_{key}": value for key, value in _times(process_s, wall_s).items()} | _machine()


def time_batch(count: int, regions: Sequence[int], quick: bool) -> Result:
    """Perceptrons of many recordings in one call against one call each."""
    frames = 120 if quick else 300
    spread = np.linspace(regions[0], regions[-1], count).round().astype(int)
    recordings = [simulated(f"{i}", frames, int(n), i) for i, n in enumerate(spread)]
    row: Result = {"method": "mlp", "count": count, "frames": frames, "regions_least": regions[0]}
    row["regions_most"] = regions[-1]
    process_s, wall_s = _repeated(lambda: fit_recordings(recordings, model="mlp"), quick)
    row |= _times(process_s, wall_s)
    process_s, wall_s = _repeated(lambda: [fit_recordings([one], model="mlp") for one in recordings], quick)
    return row | {f"reference_{key}": value for key, value in _times(process_s, wall_s).items()} | _machine()


def _repeated(call: Callable[[], object], quick: bool) -> tuple[float, float]:
    """Least of three where the first is short; the first call of a process also loads libraries."""
    process_s, wall_s = fastest(call, 1)
    if quick or process_s > SHORT_S:
        return process_s, wall_s
    again = fastest(call, REPEATS - 1)
    return min(process_s, again[0]), min(wall_s, again[1])


def _times(process_s: float, wall_s: float) -> Result:
    return {"process_s": process_s, "wall_s": wall_s}


def _machine() -> Result:
    return {"load": os.getloadavg()[0], "threads": torch.get_num_threads()}
