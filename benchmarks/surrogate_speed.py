"""Time of surrogates and effective connectivity, each as a ratio to a reference timed in the same run.

    OMP_NUM_THREADS=1 python benchmarks/surrogate_speed.py [--quick]

Ridge VAR is compared with a plain loop over orders, folds and penalties (one Cholesky each, numpy), batches
with the same recordings one by one, the perceptron with a sequential loop as NPI trains it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from bids_ai.effective.perturbation import push
from bids_ai.surrogate.base import FitSettings
from bids_ai.surrogate.families.npi_mlp import DEFAULTS, NPIMLP, TRAIN_SHARE
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.ridge_path import PENALTIES

TR_S = 0.72


def simulated(name: str, n_times: int, n_regions: int, seed: int) -> Recording:
    """Linear system with sparse coupling."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n_regions, n_regions)) * (rng.random((n_regions, n_regions)) < 0.1) * 0.2
    np.fill_diagonal(weights, 0.6)
    weights *= 0.9 / np.abs(np.linalg.eigvals(weights)).max()
    series = np.zeros((n_times, n_regions))
    for t in range(1, n_times):
        series[t] = series[t - 1] @ weights + rng.standard_normal(n_regions)
    return Recording(name, (series,), TR_S, tuple(f"r{i}" for i in range(n_regions)))


def seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Best of several calls, after one that warms up."""
    call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def selection_by_loop(prepared: PreparedRecording) -> None:
    """Same selection, one factorisation per order, fold and penalty."""
    following = prepared.next_frames()
    for order in range(1, prepared.order_max + 1):
        design = prepared.histories(order).reshape(prepared.n_samples, -1)
        for fold in prepared.folds:
            train = fold.train(prepared.n_samples)
            gram, cross = design[train].T @ design[train], design[train].T @ following[train]
            for penalty in PENALTIES.tolist():
                factor = np.linalg.cholesky(gram + penalty * np.eye(len(gram)))
                weights = np.linalg.solve(factor.T, np.linalg.solve(factor, cross))
                ((following[fold.test] - design[fold.test] @ weights) ** 2).sum()


def npi_sequential(prepared: PreparedRecording) -> None:
    """One network in a plain torch loop: batches of 50, 80 epochs, losses of both sets after every epoch."""
    history = torch.as_tensor(prepared.histories(3), dtype=torch.float32)
    following = torch.as_tensor(prepared.next_frames(), dtype=torch.float32)
    n_train = int(TRAIN_SHARE * len(history))
    network = NPIMLP(prepared.n_regions)
    optimiser = torch.optim.Adam(
        network.parameters(), lr=DEFAULTS["learning_rate"], weight_decay=DEFAULTS["weight_decay"]
    )
    batch = int(DEFAULTS["batch_size"])
    for _ in range(int(DEFAULTS["epochs"])):
        for positions in torch.randperm(n_train).split(batch):
            loss = torch.nn.functional.mse_loss(network(history[positions]), following[positions])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            for part in torch.arange(len(history)).split(batch):
                torch.nn.functional.mse_loss(network(history[part]), following[part])


def row(label: str, ours: float, reference: float | None = None, against: str = "") -> None:
    ratio = "" if reference is None else f"{reference / ours:8.1f} x   {reference:8.3f} s  {against}"
    print(f"{label:<58}{ours:8.3f} s {ratio}", flush=True)


def ridge(quick: bool) -> None:
    rec = simulated("one", 1200, 100, 0)
    prepared = prepare(rec, 3, 5)
    settings = FitSettings(1, 1, torch.device("cpu"))
    selection = seconds(lambda: fit_ridge([prepared], settings))
    reference = seconds(lambda: selection_by_loop(prepared), repeats=1)
    row("ridge VAR, order and penalty, 100 regions x 1200", selection, reference, "loop over 735 solutions")

    def everything() -> None:
        push(fit_recordings([rec])[0])  # type: ignore[arg-type]

    row("  with evaluation, gate and EC", seconds(everything))
    for n_regions, count in ((20, 50), (100, 8)) if quick else ((20, 50), (50, 50), (100, 20), (200, 6)):
        recs = [simulated(f"{i}", 400, n_regions, i) for i in range(count)]
        batch = seconds(lambda recs=recs: fit_recordings(recs), repeats=2)  # type: ignore[misc]
        single = seconds(lambda recs=recs: [fit_recordings([r]) for r in recs], repeats=2)  # type: ignore[misc]
        row(f"ridge VAR, {count} recordings, {n_regions} regions x 400", batch, single, "one by one")


def perceptron(quick: bool) -> None:
    n_times, n_regions = (400, 30) if quick else (1200, 100)
    rec = simulated("one", n_times, n_regions, 0)
    single = seconds(lambda: npi_sequential(prepare(rec, 3, 5)), repeats=1)
    ours = seconds(lambda: fit_recordings([rec], model="mlp", ensemble=5), repeats=1)
    row(f"mlp, ensemble of 5, {n_regions} regions x {n_times}", ours, single, "one NPI network, sequential")
    preset = seconds(lambda: fit_recordings([rec], model="npi-mlp", ensemble=5), repeats=1)
    row(f"npi-mlp, ensemble of 5, {n_regions} regions x {n_times}", preset, 5 * single, "5 x one, sequential")
    count = 6 if quick else 20
    recs = [simulated(f"{i}", 300, 20, i) for i in range(count)]
    batch = seconds(lambda: fit_recordings(recs, model="mlp"), repeats=1)
    apart = seconds(lambda: [fit_recordings([r], model="mlp") for r in recs], repeats=1)
    row(f"mlp, {count} recordings, 20 regions x 300", batch, apart, "one by one")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller problems, about a minute")
    arguments = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s)\n")
    ridge(arguments.quick)
    perceptron(arguments.quick)


if __name__ == "__main__":
    main()
