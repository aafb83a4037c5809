"""Recovery of known effective connectivity on NPI's rate-RNN benchmark, by data length.

    python benchmarks/npi_rnn.py DATA [--models ridge-var mlp npi-mlp] [--frames 200 400 1200 8000]

DATA is a folder of dynamics_seed-SS.npy (frames x nodes) and real_EC_seed-SS.txt (row = source), as released
with NPI (ncclab-sustech/NPI, Apache-2.0). Scores are Pearson r over off-diagonal entries, in signal units, as
the truth is; the truth is never used in fitting.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from bids_ai.connectome.functional import partial_correlation, pearson
from bids_ai.effective.perturbation import push
from bids_ai.effective.symmetry import compare_with_truth
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording


def least_squares(series: np.ndarray) -> np.ndarray:
    """OLS VAR(1) with intercept, all frames."""
    before = np.column_stack([series[:-1], np.ones(len(series) - 1)])
    coefficients: np.ndarray = np.linalg.lstsq(before, series[1:], rcond=None)[0][:-1]
    return coefficients


def surrogate_matrix(series: np.ndarray, name: str, model: str) -> tuple[np.ndarray, FittedSurrogate]:
    regions = tuple(f"node{i:02d}" for i in range(series.shape[1]))
    fit = fit_recordings([Recording(name, (series,), 1.0, regions)], model=model)[0]
    assert isinstance(fit, FittedSurrogate), fit
    return fit.signal_units(push(fit)), fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", nargs="+", default=["ridge-var", "npi-mlp"])
    parser.add_argument("--frames", nargs="+", type=int, default=[200, 400, 1200, 8000])
    arguments = parser.parse_args()
    seeds = [path.stem[-2:] for path in sorted(arguments.data.glob("dynamics_seed-*.npy"))]
    if not seeds:
        parser.error(f"no dynamics_seed-*.npy in {arguments.data}")
    print(f"mean over systems {', '.join(seeds)}\n")
    print("| frames | method | r | r transposed | antisymmetric r | held-out R2 | s per fit | kept, reliable |")
    print("|---|---|---|---|---|---|---|---|")
    for n_frames in arguments.frames:
        rows: dict[str, list[tuple[float, ...]]] = {}
        kept: dict[str, list[str]] = {}
        for seed in seeds:
            series = np.load(arguments.data / f"dynamics_seed-{seed}.npy")[:n_frames]
            truth = np.loadtxt(arguments.data / f"real_EC_seed-{seed}.txt")
            for label, method in (("FC", pearson), ("partial", partial_correlation), ("OLS", least_squares)):
                start = time.perf_counter()
                matrix = method(series)  # type: ignore[operator]
                add(rows, label, matrix, truth, float("nan"), time.perf_counter() - start)
            for model in arguments.models:
                start = time.perf_counter()
                matrix, fit = surrogate_matrix(series, f"seed-{seed}", model)
                took = time.perf_counter() - start
                add(rows, model, matrix, truth, fit.evaluation["heldout"]["r2"], took)
                verdict = f"{fit.family}, {'yes' if fit.gate.reliable else 'no'}"
                kept.setdefault(model, []).append(verdict)
        for label, values in rows.items():
            cells = " | ".join("" if np.isnan(v) else f"{v:.3f}" for v in np.mean(values, axis=0))
            print(f"| {n_frames} | {label} | {cells} | {'; '.join(sorted(set(kept.get(label, []))))} |", flush=True)


def add(
    rows: dict[str, list[tuple[float, ...]]],
    label: str,
    matrix: np.ndarray,
    truth: np.ndarray,
    r2: float,
    took: float,
) -> None:
    scores = compare_with_truth(matrix, truth)
    values = (scores["r"], scores["r_transposed"], scores["antisymmetric_r"], r2, took)
    rows.setdefault(label, []).append(values)


if __name__ == "__main__":
    main()
