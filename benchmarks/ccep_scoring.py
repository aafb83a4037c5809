"""Scores of CCEP predictions on simulated patients: time, the ceiling, and how often nothing passes for knowledge.

    python -m benchmarks.ccep_scoring speed [--patients 1 --sites 50]  # 1000 bootstraps, 1000 permutations
    python -m benchmarks.ccep_scoring ceiling [--repeats 20]            # the truth itself as a prediction
    python -m benchmarks.ccep_scoring claims [--repeats 200]            # gains where distance alone decides
    python -m benchmarks.ccep_scoring permutation [--repeats 600]       # p of a prediction by distance

Nothing is downloaded. Virtual patients are those of the tests (tests/ccep/worlds.py): arrays, no signals.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from bids_ai.ccep.prediction.cross import predict_all
from bids_ai.ccep.prediction.registry import PREDICTORS
from bids_ai.ccep.scoring.predicted import Predicted
from bids_ai.ccep.scoring.resampling import stratified_p
from bids_ai.ccep.scoring.table import score_table
from tests.ccep.worlds import distance_world, network_world

SPLIT = "leave-lead-out"
#: Seeds that no test uses.
FIRST_SEED = 10_000


def speed(patients: int, sites: int) -> None:
    size = {"n_leads": 8, "n_contacts": 14, "n_sites": sites, "n_regions": 100}
    recorded = [network_world(FIRST_SEED + k, patient=str(k), **size).recorded for k in range(patients)]
    # Seconds of the processor as well: other work on the machine does not count in them.
    start = np.array([time.perf_counter(), time.process_time()])
    predictions = predict_all(recorded)
    middle = np.array([time.perf_counter(), time.process_time()])
    table = score_table(recorded, predictions)
    end = np.array([time.perf_counter(), time.process_time()])
    predict, score = middle - start, end - middle
    splits = sum(map(len, predictions.values()))
    n_sites, n_channels = recorded[0].layout.shape
    print("| patients | sites | channels | predictors | model x split | rows | predict s (CPU) | score s (CPU) |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {patients} | {n_sites} | {n_channels} | {len(PREDICTORS)} | {splits} | {len(table)} "
        f"| {predict[0]:.1f} ({predict[1]:.1f}) | {score[0]:.1f} ({score[1]:.1f}) |"
    )


def ceiling(repeats: int) -> None:
    print("| noise SD of the log amplitude | rho of the truth | ceiling | share of it (SE) |")
    print("|---|---|---|---|")
    for noise in (0.15, 0.3, 0.5, 0.8, 1.2):
        found = []
        for k in range(repeats):
            world = network_world(FIRST_SEED + k, noise=noise, n_leads=8, n_sites=24)
            truth = {"truth": {SPLIT: Predicted([world.truth])}}
            table = score_table(world.recorded, truth, n_permutations=0, n_bootstrap=2)
            found.append(
                table.loc[table.metric == "spearman", ["value", "ceiling", "of_ceiling"]].iloc[0].to_numpy(float)
            )
        value, most, share = np.mean(found, axis=0)
        error = np.std(found, axis=0)[2] / np.sqrt(repeats)
        print(f"| {noise} | {value:.3f} | {most:.3f} | {share:.3f} ({error:.3f}) |")


def claims(repeats: int) -> None:
    models = ["sc", "communicability", "diffusion", "fc", "ec", "distance+sc+fc", "distance+sc+fc+ec"]
    claimed, gains = dict.fromkeys(models, 0), {m: [] for m in models}
    covered = 0
    for k in range(repeats):
        recorded = distance_world(FIRST_SEED + k).recorded
        table = score_table(recorded, predict_all(recorded, ["distance", *models], [SPLIT]), n_permutations=0)
        rows = table[table.metric == "spearman"].set_index("model")
        for model in models:
            claimed[model] += rows.gain_over_distance_lower[model] > 0
            gains[model].append(rows.gain_over_distance[model])
        covered += rows.gain_over_combination_lower["distance+sc+fc+ec"] > 0
    print("| model | mean gain over distance | claims (lower end above 0) |")
    print("|---|---|---|")
    for model in models:
        print(f"| {model} | {np.mean(gains[model]):+.3f} | {claimed[model] / repeats:.3f} |")
    print(f"| distance+sc+fc+ec over distance+sc+fc | | {covered / repeats:.3f} |")


def permutation(repeats: int) -> None:
    print("| noise | share of p <= .05 |")
    print("|---|---|")
    for noise in (0.1, 0.3, 1.0):
        hits = []
        for k in range(repeats):
            rng = np.random.default_rng(FIRST_SEED + k)
            d = rng.uniform(13, 120, (8, 40))
            recorded, predicted = (np.exp(-d / 30) + noise * one for one in rng.standard_normal((2, *d.shape)))
            mask = np.ones_like(d, bool)
            hits += stratified_p(recorded, [predicted], d, mask, np.full(8, 1 / 8), n_permutations=99, seed=k)
        print(f"| {noise} | {np.mean(np.array(hits) <= 0.05):.3f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "ceiling", "claims", "permutation"])
    parser.add_argument("--patients", type=int, default=1)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.patients, given.sites)
    elif given.what == "ceiling":
        ceiling(given.repeats or 20)
    elif given.what == "claims":
        claims(given.repeats or 200)
    else:
        permutation(given.repeats or 600)


if __name__ == "__main__":
    main()
