"""Scores of CCEP predictions on simulated patients: time, the ceiling, and how often nothing passes for knowledge.

    python -m benchmarks.ccep_scoring speed [--patients 1 --sites 50]  # 1000 bootstraps, 1000 permutations
    python -m benchmarks.ccep_scoring ceiling [--repeats 20]            # the truth itself as a prediction
    python -m benchmarks.ccep_scoring claims [--repeats 200]            # gains where distance alone decides
    python -m benchmarks.ccep_scoring shuffles [--repeats 100]          # EC of exchanged regions adds nothing
    python -m benchmarks.ccep_scoring permutation [--repeats 600]       # p of a prediction by distance
    python -m benchmarks.ccep_scoring virtual [--patients 3]            # patients with signals: detect, predict, score
    python -m benchmarks.ccep_scoring virtual --bold 600                # the same, FC and EC of so many frames of BOLD

Nothing is downloaded. Patients are those of tests/ccep/worlds.py, arrays without signals, except for `virtual`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bids_ai.ccep import matrices
from bids_ai.ccep.epochs import iter_sites, plan_sites
from bids_ai.ccep.prediction.cross import predict_all
from bids_ai.ccep.prediction.registry import PREDICTORS
from bids_ai.ccep.prediction.resting_model import resting_model
from bids_ai.ccep.registry import measure
from bids_ai.ccep.responders import PseudoOnsetNull, pseudo_onsets, responders
from bids_ai.ccep.scoring.predicted import Predicted
from bids_ai.ccep.scoring.recorded import Layout, Recorded
from bids_ai.ccep.scoring.resampling import stratified_p
from bids_ai.ccep.scoring.table import REFERENCES, score_table
from bids_ai.ccep.trials import halves
from bids_ai.connectome.functional import pearson
from bids_ai.effective.perturbation import push
from bids_ai.simulate import rest
from bids_ai.simulate.connectome import group_connectome
from bids_ai.simulate.parcels import template_parcels
from bids_ai.simulate.plan import REPETITION_TIME_S, stream
from bids_ai.surrogate.fit import fit_recordings
from bids_ai.surrogate.fitted import FittedSurrogate
from bids_ai.surrogate.recording import Recording as BoldRecording
from tests.ccep.worlds import distance_world, network_world

SPLIT = "leave-lead-out"
#: A response is over by then, s.
RESPONSE_S = 1.0
LINE_HZ = 50.0
#: Waveforms are kept up to here, s.
WAVES_S = 0.31
UV = 1e6
#: Of the noise of measurement of BOLD, shares of the SD of the signal.
BOLD_NOISE = 0.3
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


def shuffles(repeats: int, sites: int, first_seed: int) -> None:
    """EC whose regions are exchanged: what it adds to distance, SC and FC must be nothing.

    With the stimulated regions exchanged, how much a recorded region receives in all is still right, which is
    knowledge; with the recorded ones exchanged as well nothing is.
    """
    models = ["distance", "distance+sc+fc", "distance+sc+fc+ec"]
    rows: dict[str, list[pd.Series]] = {"none": [], "stimulated": [], "stimulated and recorded": []}
    for k in range(repeats):
        recorded = network_world(first_seed + k, n_leads=8, n_sites=sites).recorded
        ec, rng = recorded.layout.matrices["ec"], np.random.default_rng(first_seed + k)
        source, target = rng.permutation(len(ec)), rng.permutation(len(ec))
        for (_, found), one in zip(rows.items(), (ec, ec[source], ec[source][:, target]), strict=True):
            layout = replace(recorded.layout, matrices=recorded.layout.matrices | {"ec": one})
            patients = [replace(recorded, layout=layout)]
            table = score_table(patients, predict_all(patients, models, [SPLIT]), n_permutations=0)
            found.append(table[(table.metric == "spearman") & (table.model == models[-1])].iloc[0])
    print("| regions exchanged | 0 within the interval | lower end above 0 | upper end below 0 | mean gain |")
    print("|---|---|---|---|---|")
    for name, found in rows.items():
        by = pd.DataFrame(found)
        above, below = by.gain_over_combination_lower > 0, by.gain_over_combination_upper < 0
        print(
            f"| {name} | {(~above & ~below).sum()} of {repeats} | {above.sum()} | {below.sum()} "
            f"| {by.gain_over_combination.mean():+.3f} |"
        )


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


def virtual(patients: int, first_seed: int, n_frames: int) -> None:
    """Patients with signals. Without BOLD, EC is the true response between regions: no fit can have a better one."""
    recorded = []
    for k in range(patients):
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            recorded.append(virtual_patient(Path(folder), first_seed + k, n_frames))
            print(
                f"{first_seed + k}: {time.process_time() - start:.0f} s of the processor", file=sys.stderr, flush=True
            )
    names = [name for name in PREDICTORS if name not in ("ec-multistep", "group-prior")]
    predictions = predict_all(recorded, names, ["leave-site-out", "leave-lead-out", "leave-patient-out"])
    table = score_table(recorded, predictions)
    measures = ["spearman", "partial_spearman", "specific_spearman", "auroc", "brier"]
    print(
        "| model | split | "
        + " | ".join(measures)
        + " | of ceiling | over "
        + " | over ".join(REFERENCES.values())
        + " | n sites |"
    )
    print("|---" * (len(measures) + 4 + len(REFERENCES)) + "|")
    groups = [(*names, rows.set_index("metric")) for names, rows in table.groupby(["model", "split"], sort=False)]
    for model, split, by in groups:
        rho = by.loc["spearman"]
        gains = [
            "n/a"
            if np.isnan(rho[name])
            else f"{rho[name]:+.2f} [{rho[f'{name}_lower']:+.2f}, {rho[f'{name}_upper']:+.2f}]"
            for name in (f"gain_over_{reference}" for reference in REFERENCES)
        ]
        values = ["n/a" if np.isnan(by.value[one]) else f"{by.value[one]:.2f}" for one in measures]
        share = "n/a" if np.isnan(rho.of_ceiling) else f"{rho.of_ceiling:.2f}"
        print(f"| {model} | {split} | " + " | ".join([*values, share, *gains]) + f" | {rho.n_sites:.0f} |")
    print()
    print(
        "| model | split | explained variance | of ceiling | waveform r | latency error: mean, median (ms) | n sites |"
    )
    print("|---" * 7 + "|")
    for model, split, by in groups:
        wave, latency = by.loc["waveform_explained_variance"], by.loc["latency_error_s"]
        if np.isnan(wave.value) and np.isnan(latency.value):
            continue
        explained = "n/a | n/a" if np.isnan(wave.value) else f"{interval(wave)} | {wave.of_ceiling:.2f}"
        r = by.value["waveform_correlation"]
        median = 1e3 * np.nanmedian(latency_errors(recorded, predictions[model][split].latency_s))
        print(
            f"| {model} | {split} | {explained} | {'n/a' if np.isnan(r) else f'{r:.2f}'} "
            f"| {1e3 * latency.value:.1f}, {median:.1f} | {latency.n_sites:.0f} |"
        )


def interval(row: pd.Series) -> str:
    return f"{row.value:.2f} [{row.lower:.2f}, {row.upper:.2f}]"


def latency_errors(recorded: list[Recorded], predicted: Sequence[np.ndarray] | None) -> np.ndarray:
    """Of every response beyond the exclusion radius, s."""
    if predicted is None:
        return np.full(1, np.nan)
    pairs = [one.beyond(matrices.EXCLUSION_MM) & (one.responder == 1) for one in recorded]
    return np.concatenate(
        [np.abs(one.latency_s - p)[used] for one, p, used in zip(recorded, predicted, pairs, strict=True)]
    )


def virtual_patient(root: Path, seed: int, n_frames: int) -> Recorded:
    """Write a virtual patient, detect its responses, and take its regions from the truth."""
    from benchmarks.ccep_detection import virtual as write

    raw, pulses, positions, names, bad, known = write(root, seed)
    hz, n_samples = float(raw.info["sfreq"]), int(raw.n_times)

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(raw.get_data(start=start, stop=stop))

    null = PseudoOnsetNull.from_recording(read, pseudo_onsets(pulses.samples, hz, n_samples), hz, seed=seed)
    sites = plan_sites(pulses, hz, n_samples)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("p", "z", "latency")}
    for _, trials, _ in iter_sites(read, sites, pulses, hz, bad_channels=bad):
        tested = null.test(trials)
        latency = measure(trials, ["peaks"])["n1_latency_ms"] / 1e3
        values = {"p": tested.p, "z": tested.z, "latency": latency}
        inside = (trials.times_s >= 0) & (trials.times_s <= WAVES_S)
        times_s = trials.times_s[inside]
        for name, part in zip(("whole", "odd", "even"), (trials, *halves(trials)), strict=True):
            values |= {name: measure(part, ["rms"])["rms_uv"], f"waves_{name}": UV * part.average[:, inside]}
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    values = {name: np.array(one) for name, one in found.items()}
    truth = root / "sourcedata/truth/sub-01/ieeg"
    shares = pd.read_csv(truth / "sub-01_desc-shares_matrix.tsv", sep="\t", index_col=0, na_values="n/a").loc[names]
    between = pd.read_csv(
        truth / "sub-01_task-spes_desc-regionregion_stat-ccepamplitude_relmat.tsv",
        sep="\t",
        index_col=0,
        na_values="n/a",
    ).to_numpy(float)
    parcels = template_parcels(24)
    group = group_connectome(parcels.centroids_mm, parcels.homotopic, stream(seed, "group"))
    weights = group.weights
    fc = np.corrcoef(np.load(truth / "sub-01_task-rest_desc-regions_timeseries.npz")["activity"].astype(float).T)
    structural = 0.5 * (weights + weights.T)
    if n_frames:
        fc, between = of_bold(known["weights"], structural, n_frames, seed)
    contacts = np.array([site.contacts for site in sites])
    of_contacts = np.nan_to_num(shares.to_numpy(float))
    leads = np.array([name.rstrip("0123456789") for name in names])
    channels = np.repeat(np.arange(len(names))[:, None], 2, axis=1)
    model = resting_model(
        free_of_stimulation(root, raw, pulses.samples, bad), hz, names, channels, len(names), line_hz=LINE_HZ
    )
    layout = Layout(
        str(seed),
        positions,
        leads,
        contacts,
        channels,
        site_shares=of_contacts[contacts].mean(axis=1),
        channel_shares=of_contacts,
        matrices={"sc": structural, "fc": fc, "ec": between, "sc_length": group.lengths_mm},
        impulses=model.impulses,
        impulse_times_s=model.impulse_times_s,
        channel_rest_sd=model.channel_sd,
    )
    responder, _ = responders(matrices.excluded(values["p"], layout.distances), values["z"])
    whole, odd, even = (values[f"waves_{name}"] for name in ("whole", "odd", "even"))
    return Recorded(
        layout, values["whole"], responder, values["odd"], values["even"], values["latency"], whole, odd, even, times_s
    )


def of_bold(weights: np.ndarray, structural: np.ndarray, n_frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """FC, and EC of the model that `auto` takes, of simulated resting BOLD of the same person with noise."""
    rng = stream(seed, "bold")
    run = rest.simulate_rest(rest.rest_system(weights), n_frames * REPETITION_TIME_S, [int(rng.integers(2**31))])[0]
    signal = run.at(run.percent, REPETITION_TIME_S * np.arange(n_frames))
    signal = signal + BOLD_NOISE * signal.std(axis=0) * rng.standard_normal(signal.shape)
    names = tuple(f"R{k}" for k in range(len(weights)))
    one = BoldRecording(str(seed), (signal,), REPETITION_TIME_S, names, structural=structural, modality="bold")
    fitted = fit_recordings([one], model="auto")[0]
    if not isinstance(fitted, FittedSurrogate):
        raise SystemExit(f"{seed}: {fitted}")
    print(f"{seed}: {fitted.family}, {fitted.gate.verdict}", file=sys.stderr, flush=True)
    return pearson(signal), push(fitted)


def free_of_stimulation(root: Path, raw: Any, samples: np.ndarray, bad: np.ndarray) -> list[np.ndarray]:
    """Rest, and what lies between the responses; microvolts, NaN elsewhere and in bad channels."""
    import mne

    rest = mne.io.read_raw_brainvision(root / "sub-01/ieeg/sub-01_task-rest_ieeg.vhdr", preload=True, verbose="error")
    runs = [UV * one.get_data().T for one in (rest, raw)]
    hz = float(rest.info["sfreq"])
    for sample in samples:
        runs[1][sample - round(0.02 * hz) : sample + round(RESPONSE_S * hz)] = np.nan
    for run in runs:
        run[:, bad] = np.nan
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "ceiling", "claims", "shuffles", "permutation", "virtual"])
    parser.add_argument("--patients", type=int)
    parser.add_argument("--sites", type=int, default=50)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="first seed of `virtual` and `shuffles`")
    parser.add_argument(
        "--bold", type=int, default=0, metavar="FRAMES", help="FC and EC of `virtual` from resting BOLD"
    )
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.patients or 1, given.sites)
    elif given.what == "ceiling":
        ceiling(given.repeats or 20)
    elif given.what == "virtual":
        virtual(given.patients or 3, given.seed, given.bold)
    elif given.what == "shuffles":
        shuffles(given.repeats or 100, given.sites, given.seed)
    elif given.what == "claims":
        claims(given.repeats or 200)
    else:
        permutation(given.repeats or 600)


if __name__ == "__main__":
    main()
