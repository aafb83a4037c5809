"""Is the effective connectivity of a session that of the person? Virtual people at rest, two sessions each.

    python -m benchmarks.retest [--people 8] [--frames 300 600 1200] [--models auto sc-ridge ridge-var]

Regions of the virtual cohort (24), each person with a connectome of its own, reduced Wong-Wang and double-gamma BOLD as
in the cohort, with measurement noise; images are left out. The noise of the brain differs between sessions, and so do
the seeds of the fits, which derive from the names: a shared initialisation would make any two fits alike.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bids_ai.connectome.functional import pearson
from bids_ai.effective.perturbation import push
from bids_ai.effective.repeatability import edge_icc, identifiability, similarity_matrix
from bids_ai.simulate import rest
from bids_ai.simulate.connectome import group_connectome, individual_connectome
from bids_ai.simulate.parcels import template_parcels
from bids_ai.simulate.plan import REPETITION_TIME_S, stream
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording

REGIONS, SESSIONS = 24, 2
#: Of the noise of measurement, shares of the SD of the signal.
NOISE = 0.3


def people(n: int, n_frames: int, seed: int) -> list[list[Recording]]:
    """Recordings of every session of every person; the structural connectivity is the person's, symmetric and noisy."""
    parcels = template_parcels(REGIONS)
    group = group_connectome(parcels.centroids_mm, parcels.homotopic, stream(seed, "group"))
    out = []
    for person in range(n):
        rng = stream(seed, f"person {person}")
        weights = individual_connectome(group, rng).weights
        system = rest.rest_system(weights)
        states = [int(one) for one in rng.integers(2**31, size=SESSIONS)]
        series = rest.simulate_rest(system, n_frames * REPETITION_TIME_S, states)
        times = REPETITION_TIME_S * np.arange(n_frames)
        structural = 0.5 * (weights + weights.T) * rng.lognormal(0, 0.3, weights.shape)
        structural = 0.5 * (structural + structural.T)
        sessions = []
        for number, one in enumerate(series):
            signal = one.at(one.percent, times)
            signal = signal + NOISE * signal.std(axis=0) * rng.standard_normal(signal.shape)
            names = tuple(f"R{k}" for k in range(REGIONS))
            sessions.append(
                Recording(
                    f"sub-{person:02d}_ses-{number}", (signal,), REPETITION_TIME_S, names, structural=structural,
                    modality="bold",
                )
            )  # fmt: skip
        out.append(sessions)
    return out


def row(name: str, stack: np.ndarray, seconds: float, families: str = "") -> str:
    """Identification over sessions, similarity within and between people, and the reliability of an edge."""
    found = identifiability(stack)
    n, k = stack.shape[:2]
    r = similarity_matrix(stack.reshape(n * k, *stack.shape[2:])).reshape(n, k, n, k)
    same = np.mean([r[person, 0, person, 1] for person in range(n)])
    other = np.mean([r[a, 0, b, 1] for a in range(n) for b in range(n) if a != b])
    reliable = float(np.nanmedian(edge_icc(stack).absolute))
    return (
        f"| {name}{families} | {found.success_rate:.2f} | {same:.2f} | {other:.2f} | {reliable:.2f} | {seconds:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--frames", type=int, nargs="+", default=[300, 600, 1200])
    parser.add_argument("--models", nargs="+", default=["auto", "sc-ridge", "ridge-var"])
    parser.add_argument("--seed", type=int, default=10_000)
    given = parser.parse_args()
    for n_frames in given.frames:
        sessions = people(given.people, n_frames, given.seed)
        flat = [one for person in sessions for one in person]
        shape = (given.people, SESSIONS, REGIONS, REGIONS)
        print(f"\n{given.people} people, {SESSIONS} sessions of {n_frames} frames\n")
        print("| matrix | identified | r, same person | r, others | ICC of an edge, median | CPU s |")
        print("|---|---|---|---|---|---|")
        print(row("FC", np.stack([pearson(one.runs[0]) for one in flat]).reshape(shape), 0), flush=True)
        bare = [
            Recording(one.name, one.runs, one.tr, one.regions, structural=None, modality=one.modality) for one in flat
        ]
        for model in given.models:
            for recordings, words in ((flat, ", with SC"), (bare, ", without SC")):
                if model == "sc-ridge" and recordings is bare:
                    continue
                start = time.process_time()
                fits = fit_recordings(recordings, model=model)
                failed = [fit for fit in fits if not isinstance(fit, FittedSurrogate)]
                if failed:
                    print(f"| EC {model}{words} | {failed[0]} |", flush=True)
                    continue
                stack = np.stack([push(fit) for fit in fits]).reshape(shape)
                families = sorted({fit.family for fit in fits} - {model})
                told = f" ({', '.join(families)})" if families else ""
                print(row(f"EC {model}{words}", stack, time.process_time() - start, told), flush=True)


if __name__ == "__main__":
    main()
