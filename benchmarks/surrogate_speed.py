"""Time and memory of surrogates and effective connectivity, with references measured in the same run.

    OMP_NUM_THREADS=1 python benchmarks/surrogate_speed.py [--quick] [--only ridge perceptron batches auto memory]

Ridge VAR is compared with a plain loop over orders, folds and penalties (one Cholesky each, numpy), batches with the
same recordings one by one and with one network at a time, the perceptron with a sequential loop as NPI trains it. Times
are of the processor (of this process), so that other work on the machine plays a smaller part.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import torch

from bids_ai.effective.perturbation import push
from bids_ai.surrogate.base import FitSettings
from bids_ai.surrogate.families.npi_mlp import DEFAULTS, NPIMLP, TRAIN_SHARE
from bids_ai.surrogate.families.ridge_var import fit_ridge
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.prepare import PreparedRecording, prepare
from bids_ai.surrogate.recording import Recording
from bids_ai.surrogate.registry import get_family
from bids_ai.surrogate.ridge_path import PENALTIES
from bids_ai.surrogate.selection import candidates

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
    """Least processor time of several calls, after one that warms up if there are several."""
    if repeats > 1:
        call()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
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


def saturating(name: str, n_times: int, n_regions: int, seed: int) -> Recording:
    """Rate network with strong coupling, sampled every time constant: networks train until they have learned it."""
    rng = np.random.default_rng(seed)
    weights = rng.standard_normal((n_regions, n_regions)) * 5 / np.sqrt(n_regions)
    state, frames = rng.standard_normal(n_regions), []
    for _ in range((n_times + 50) * 10):
        state = state + 0.1 * (np.tanh(state) @ weights - state) + 0.13 * rng.standard_normal(n_regions)
        frames.append(state)
    return Recording(name, (np.array(frames[500::10]),), TR_S, tuple(f"r{i}" for i in range(n_regions)))


def perceptron(quick: bool) -> None:
    for n_times, n_regions in ((400, 30),) if quick else ((1200, 100), (8000, 20)):
        for kind, make in (("linear", simulated), ("saturating", saturating)):
            rec = make("one", n_times, n_regions, 0)
            single = seconds(lambda rec=rec: npi_sequential(prepare(rec, 3, 5)), repeats=1)  # type: ignore[misc]
            ours = seconds(lambda rec=rec: fit_recordings([rec], model="mlp"), repeats=1)  # type: ignore[misc]
            label = f"{kind}, {n_regions} regions x {n_times}"
            row(f"mlp, ensemble of 5, {label}", ours, single, "one NPI network, sequential")
        preset = seconds(lambda rec=rec: fit_recordings([rec], model="npi-mlp"), repeats=1)  # type: ignore[misc]
        row(f"npi-mlp, ensemble of 5, {label}", preset, 5 * single, "5 x one, sequential")


def batches(quick: bool) -> None:
    """Recordings of the perceptron together, one by one, and one network at a time."""
    for count, least, most in ((6, 20, 20),) if quick else ((50, 20, 20), (50, 20, 50), (6, 200, 200)):
        sizes = np.random.default_rng(0).integers(least, most + 1, count).tolist()
        recs = [simulated(f"{i}", 400, n, i) for i, n in enumerate(sizes)]
        batch = seconds(lambda recs=recs: fit_recordings(recs, model="mlp"), repeats=1)  # type: ignore[misc]

        def apart(recs: list[Recording] = recs) -> None:
            for rec in recs:
                fit_recordings([rec], model="mlp")

        label = f"mlp, {count} recordings, {least}-{most} regions x 400"
        row(label, batch, seconds(apart, repeats=1), "one by one, the networks of each stacked")
        with mock.patch("bids_ai.surrogate.training._stack_size", return_value=1):
            row(label, batch, seconds(apart, repeats=1), "one by one, one network at a time")


def auto(quick: bool) -> None:
    """Families that `auto` tries, each on its own."""
    n_times, n_regions = (400, 30) if quick else (1200, 100)
    prepared = prepare(simulated("one", n_times, n_regions, 0), 3, 5)
    settings = FitSettings(5, 1, torch.device("cpu"))
    linear = fit_ridge([prepared], settings)
    total = 0.0
    for name in candidates(prepared):
        family = get_family(name)
        own = FitSettings(5, 1, settings.device, dict(family.defaults))
        spent = seconds(lambda family=family, own=own: family.fit([prepared], linear, own), repeats=1)  # type: ignore[misc]
        total += spent
        row(f"auto: {name}, {n_regions} regions x {n_times}", spent)
    row(f"auto: all families, {n_regions} regions x {n_times}", total)


def memory(quick: bool) -> None:
    """Peak memory of one recording, each model in a process of its own."""
    n_times, n_regions = (400, 100) if quick else (4800, 400)
    for model in ("ridge-var", "mlp", "auto"):
        command = [sys.executable, __file__, "--one", model, str(n_times), str(n_regions)]
        subprocess.run(command, check=True)


def one_fit(model: str, n_times: int, n_regions: int) -> None:
    rec = simulated("one", n_times, n_regions, 0)
    spent = seconds(lambda: fit_recordings([rec], model=model), repeats=1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # kB on Linux
    row(f"{model}, {n_regions} regions x {n_times}, peak {peak:.2f} GiB", spent)


PARTS = {"ridge": ridge, "perceptron": perceptron, "batches": batches, "auto": auto, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller problems, a minute or two")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="some of the parts")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one_fit(arguments.one[0], int(arguments.one[1]), int(arguments.one[2]))
        return
    print(f"torch {torch.__version__}, {torch.get_num_threads()} thread(s), processor time\n", flush=True)
    for name in arguments.only:
        PARTS[name](arguments.quick)


if __name__ == "__main__":
    main()
