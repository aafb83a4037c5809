"""Detection of responses to stimulation: false positives, power, near field, real trials, a virtual patient, speed.

    python benchmarks/ccep_detection.py noise [--slopes 1 2 3]   # false positives and power in 1/f noise
    python benchmarks/ccep_detection.py near-field               # artefact of the current without any response
    python benchmarks/ccep_detection.py crp                      # CRP against its definition on synthetic trials
    python benchmarks/ccep_detection.py real FOLDER              # trials with stated responses (*.mat of crp_scripts)
    python benchmarks/ccep_detection.py patient [--seeds 101 102 103]
    python benchmarks/ccep_detection.py speed [--contacts 100 --sites 50 --pulses 10 --hz 2048]

Nothing is downloaded. No seed here is one that the method was tried with.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bids_ai.ccep import matrices, reliability
from bids_ai.ccep.epochs import Pulses, iter_sites, plan_sites, prepared
from bids_ai.ccep.features.crp import parameterise
from bids_ai.ccep.registry import DETECTORS, get_detector, get_family, measure
from bids_ai.ccep.responders import PseudoOnsetNull, Tested, pseudo_onsets, responders
from bids_ai.ccep.trials import Trials, halves

#: Spread of the noise, N1 and slow wave, microvolts; the N1 as an N1 is: at 30 ms, 19 ms wide at half its height.
NOISE_UV, N1_UV, SLOW_UV = 60.0, 100.0, 60.0
#: Noise has no power below, Hz: the high-pass of amplifiers.
LOWEST_HZ = 0.5
#: Seconds from pulse to pulse.
INTERVAL_S = 5.0
#: True responses have this RMS and more, microvolts (as docs/virtual_electrophysiology.md).
TRUE_UV = 20.0


def coloured(rng: np.random.Generator, n_channels: int, n_samples: int, slope: float, hz: float) -> np.ndarray:
    """Gaussian noise with power 1/f^slope, volts, shape (n_channels, n_samples)."""
    frequency = np.fft.rfftfreq(n_samples, 1.0 / hz)
    size = np.zeros_like(frequency)
    size[frequency >= LOWEST_HZ] = frequency[frequency >= LOWEST_HZ] ** (-slope / 2.0)
    spectrum = (rng.standard_normal((n_channels, len(size))) + 1j * rng.standard_normal((n_channels, len(size)))) * size
    noise = np.fft.irfft(spectrum, n_samples)
    return np.asarray(1e-6 * NOISE_UV * noise / noise.std(axis=1, keepdims=True))


def train(n_sites: int, n_pulses: int, n_channels: int, hz: float, *, alternate: bool = False) -> tuple[Pulses, int]:
    """Pulses of sites that are no channels, one every five seconds, and the length of the recording."""
    number = n_sites * n_pulses
    samples = np.rint((np.arange(number) + 1) * INTERVAL_S * hz).astype(int)
    anodes = n_channels + 2 * np.repeat(np.arange(n_sites), n_pulses)
    cathodes = anodes + 1
    if alternate:
        turned = np.tile(np.arange(n_pulses) >= n_pulses // 2, n_sites)
        anodes, cathodes = np.where(turned, cathodes, anodes), np.where(turned, anodes, cathodes)
    return Pulses(samples, anodes, cathodes), int(samples[-1] + INTERVAL_S * hz)


def added(trials: Trials, wave: np.ndarray) -> Trials:
    """The same trials with a wave in microvolts on top."""
    return Trials((trials.data + 1e-6 * wave).astype(np.float32), trials.times_s, trials.polarity)


def bump(times_s: np.ndarray, peak_uv: float, at_s: float, sd_s: float) -> np.ndarray:
    return np.asarray(peak_uv * np.exp(-0.5 * ((times_s - at_s) / sd_s) ** 2))


def noise(slopes: list[int], n_channels: int = 100, n_sites: int = 12, hz: float = 512.0) -> None:
    """False positives at .05 and power at p < .05 and |z| of 3, over slopes and numbers of pulses."""
    names = ["pseudo-onset", *DETECTORS]
    print(f"{n_sites * n_channels} tests in every cell, {NOISE_UV:g} uV noise from {LOWEST_HZ} Hz, {hz:g} Hz")
    row("slope, pulses", *names, "at .01", "power N1", "power slow", *[f"N1 {name}" for name in DETECTORS])
    for slope in slopes:
        for n_pulses in (5, 10, 20):
            rng = np.random.default_rng([100, slope, n_pulses])
            pulses, length = train(n_sites, n_pulses, n_channels, hz)
            null, found = of_noise(coloured(rng, n_channels, length, slope, hz), pulses, hz)
            p, hits, n1, slow, n1_preset = [], [], [], [], []
            for _, trials, _ in found:
                with_n1 = added(trials, bump(trials.times_s, -N1_UV, 0.03, 0.008))
                with_slow = added(trials, bump(trials.times_s, -SLOW_UV, 0.18, 0.05))
                p.append(null.test(trials).p)
                hits.append([get_detector(name).detect(trials).responder for name in DETECTORS])
                n1_preset.append([get_detector(name).detect(with_n1).responder for name in DETECTORS])
                n1.append(passed(null.test(with_n1)))
                slow.append(passed(null.test(with_slow)))
            presets = np.mean(hits, axis=(0, 2))
            powers = np.mean(n1), np.mean(slow), *np.mean(n1_preset, axis=(0, 2))
            row(f"{slope}, {n_pulses}", (np.array(p) < 0.05).mean(), *presets, (np.array(p) < 0.01).mean(), *powers)
    states(n_channels, n_sites, hz)
    short_rest(n_channels, hz)


def states(n_channels: int, n_sites: int, hz: float) -> None:
    """False positives where the noise is twice as high in every other half minute, as with states of a patient."""
    row("noise of two states, slope 2, pulses", "pseudo-onset")
    for n_pulses in (5, 10, 20):
        rng = np.random.default_rng([101, n_pulses])
        pulses, length = train(n_sites, n_pulses, n_channels, hz)
        high = (np.arange(length) / (30.0 * hz)).astype(int) % 2
        null, found = of_noise(coloured(rng, n_channels, length, 2, hz) * (1 + high), pulses, hz)
        p = np.array([null.test(trials).p for _, trials, _ in found])
        row(str(n_pulses), (p < 0.05).mean())


def short_rest(n_channels: int, hz: float) -> None:
    """False positives with five pulses where the recording, and with it the stimulation-free time, is short."""
    row("slope, sites of 5 pulses", "recording s", "pseudo-onsets", "pseudo-onset")
    for slope in (1, 2, 3):
        for n_sites in (4, 8, 16):
            rng = np.random.default_rng([105, slope, n_sites])
            pulses, length = train(n_sites, 5, n_channels * 12 // n_sites, hz)
            null, found = of_noise(coloured(rng, n_channels * 12 // n_sites, length, slope, hz), pulses, hz)
            p = np.array([null.test(trials).p for _, trials, _ in found])
            row(
                f"{slope}, {n_sites}",
                round(length / hz),
                len(pseudo_onsets(pulses.samples, hz, length)),
                (p < 0.05).mean(),
            )


def of_noise(data: np.ndarray, pulses: Pulses, hz: float) -> tuple[PseudoOnsetNull, Iterator[Any]]:
    def read(start: int, stop: int) -> np.ndarray:
        return data[:, start:stop]

    onsets = pseudo_onsets(pulses.samples, hz, data.shape[1])
    null = PseudoOnsetNull.from_recording(read, onsets, hz, seed=100)
    return null, iter_sites(read, plan_sites(pulses, hz, data.shape[1]), pulses, hz)


def passed(tested: Tested) -> np.ndarray:
    return np.asarray((tested.p < 0.05) & (np.abs(tested.z) >= 3.0))


def near_field(hz: float = 2048.0) -> None:
    """Eight leads of eight contacts in noise, stimulated, and no response at all."""
    from bids_ai.simulate.spes import artefacts

    row("near field only", "polarity", "cells up to 13 mm", "responders there", "cells beyond", "responders beyond")
    lead, depth = np.divmod(np.arange(64), 8)
    positions = np.column_stack([12.0 * (lead % 4), 12.0 * (lead // 4), 3.5 * depth])
    rng = np.random.default_rng(102)
    pairs = np.array([[k, k + 1] for k in range(0, 64, 3) if k % 8 < 7])
    site = np.repeat(np.arange(len(pairs)), 10)
    for alternate in (True, False):
        stimulated = pairs[site].copy()
        if alternate:
            stimulated[np.arange(len(site)) % 10 >= 5] = stimulated[np.arange(len(site)) % 10 >= 5, ::-1]
        onsets_s = (np.arange(len(site)) + 1) * INTERVAL_S
        data = coloured(rng, 64, round((onsets_s[-1] + INTERVAL_S) * hz), 1.5, hz)
        plan = SimpleNamespace(onsets_s=onsets_s, pairs=stimulated, current_a=0.004)
        for first, out in artefacts(SimpleNamespace(positions_mm=positions), plan, hz, rng):  # type: ignore[arg-type]
            data[:, first : first + len(out)] += 1e-6 * out.T
        pulses = Pulses(np.rint(onsets_s * hz).astype(int), stimulated[:, 0], stimulated[:, 1])
        null, found = of_noise(data, pulses, hz)
        tested = [null.test(trials) for _, trials, _ in found]
        distance = matrices.site_distances(positions, pairs)
        p, z = (np.array([getattr(one, name) for one in tested]) for name in ("p", "z"))
        answers = []
        for keep in (distance <= matrices.EXCLUSION_MM, distance > matrices.EXCLUSION_MM):
            responder, _ = responders(np.where(keep, p, np.nan), z)
            answers += [np.isfinite(responder).sum(), np.nansum(responder)]
        row("4 mA", "both" if alternate else "one", *map(int, answers))


def crp() -> None:
    """Vectorised CRP against its definition, written out with loops, and a box of known size."""
    rng = np.random.default_rng(103)
    hz, times = 1024.0, np.arange(-1024, 1025) / 1024
    worst = dict.fromkeys(("profile", "tau ms", "alpha uV", "EV"), 0.0)
    for _ in range(20):
        n_pulses = int(rng.integers(3, 15))
        shape = bump(times, rng.uniform(20, 200), rng.uniform(0.02, 0.2), rng.uniform(0.005, 0.1))
        data = 1e-6 * (shape * rng.uniform(0.5, 1.5, (n_pulses, 1)) + 20 * rng.standard_normal((n_pulses, len(times))))
        trials = Trials(data[:, None], times, np.ones(n_pulses, int))
        ours = parameterise(trials)
        profile, tau, alpha, explained = crp_by_definition(1e6 * data[:, (times >= 0.015) & (times <= 1.0)], hz)
        worst["profile"] = max(worst["profile"], float(np.abs(ours.profile[0] - profile).max()))
        worst["tau ms"] = max(worst["tau ms"], abs(1e3 * (ours.tau_s[0] - ours.times_s[tau - 1])))
        worst["alpha uV"] = max(worst["alpha uV"], float(np.abs(ours.alpha[:, 0] - alpha).max()))
        worst["EV"] = max(worst["EV"], float(np.abs(ours.explained[:, 0] - explained).max()))
    row("CRP against its definition, 20 cases", *worst)
    row("largest difference", *[f"{value:.1e}" for value in worst.values()])
    box = 1e-6 * (100.0 * ((times >= 0.02) & (times <= 0.12)) + rng.standard_normal((10, len(times))))
    found = parameterise(Trials(box[:, None], times, np.ones(10, int)), start_s=0.02)
    row("box of 100 uV up to 120 ms", "tau ms", "weight uV")
    row("found", 1e3 * found.tau_s[0], found.alpha_rms.mean())


def crp_by_definition(voltage: np.ndarray, hz: float) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """Profile, samples of the duration, weights and explained variance of trials (n_pulses, n_times), microvolts."""
    n_pulses, n_times = voltage.shape
    profile = np.zeros(n_times)
    for stop in range(1, n_times + 1):
        part = voltage[:, :stop]
        values = [
            part[k] / np.linalg.norm(part[k]) @ part[other] / np.sqrt(hz)
            for k in range(n_pulses)
            for other in range(n_pulses)
            if k != other
        ]
        profile[stop - 1] = np.mean(values)
    tau = int(profile.argmax()) + 1
    part = voltage[:, :tau]
    shape = np.linalg.svd(part, full_matrices=False)[2][0]
    alpha = part @ shape
    alpha = alpha * np.sign(alpha.sum())
    residual = part - np.outer(alpha, shape * np.sign((part @ shape).sum()))
    return profile, tau, alpha, 1.0 - (residual**2).sum(axis=1) / (part**2).sum(axis=1)


def real(folder: Path) -> None:
    """Recorded trials whose response, or its absence, is stated by those who published them."""
    from scipy.io import loadmat

    from bids_ai.ccep.scan import make_scan

    row("trials", "stated", "pulses", "p", "z", "tau ms", "weight uV", "EV", *DETECTORS)
    silent = ("Fig5_sampledata_5", "Fig6_b_insignificant_example")
    hz = 2048.0
    scan = make_scan(hz)
    for path in sorted(folder.glob("*.mat")):
        content = loadmat(path)
        data, times = 1e-6 * content["data"].T.astype(float), content["t"].ravel().astype(float)
        onset, reach = int(np.abs(times).argmin()), round(hz)
        around = np.arange(-reach, reach + 1)
        epochs = np.stack([prepared(one[None, onset + around], around / hz, (-0.002, 0.009)) for one in data])
        trials = Trials(epochs, around / hz, np.ones(len(data), int))
        # Three seconds before a pulse, and the last of the three behind it.
        starts = np.r_[
            np.arange(-scan.first, onset - scan.last - 20, 205),
            np.arange(onset + 4096 - scan.first, len(times) - scan.last, 205),
        ]
        pool = np.stack([scan.apply(one[None], int(start)) for one in data for start in starts])
        tested = PseudoOnsetNull(pool, scan, seed=100).test(trials)
        found = get_family("crp").measure(trials)
        presets = [int(get_detector(name).detect(trials).responder[0]) for name in DETECTORS]
        row(
            path.stem,
            "none" if path.stem in silent else "response",
            len(data),
            f"{tested.p[0]:.1e}",
            f"{tested.z[0]:.1f}",
            *[f"{found[name][0]:.2f}" for name in ("crp_tau_ms", "crp_alpha_uv", "crp_ev")],
            *presets,
        )


def patient(seeds: list[int]) -> None:
    """Virtual patients: are true responses found, and when is the N1."""
    columns = [
        "true of cells",
        "AUROC",
        "AUROC true, false",
        "AUROC of distance",
        "found",
        "false",
        "N1 error ms",
        "ceiling",
        "true r",
    ]
    row("patient", *columns, *DETECTORS)
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            row(f"seed {seed}", *one_patient(Path(folder), seed))


def one_patient(root: Path, seed: int) -> list[Any]:
    from sklearn.metrics import roc_auc_score

    raw, pulses, positions, names, bad, truth = virtual(root, seed)
    hz, n_samples = float(raw.info["sfreq"]), int(raw.n_times)

    def read(start: int, stop: int) -> np.ndarray:
        return np.asarray(raw.get_data(start=start, stop=stop))

    null = PseudoOnsetNull.from_recording(read, pseudo_onsets(pulses.samples, hz, n_samples), hz, seed=seed)
    sites = plan_sites(pulses, hz, n_samples)
    found, detected, odd, even = [], [], [], []
    for _, trials, _ in iter_sites(read, sites, pulses, hz, bad_channels=bad):
        tested = null.test(trials)
        found.append({"p": tested.p, "z": tested.z, "statistic": tested.statistic} | measure(trials, ["peaks", "rms"]))
        detected.append([get_detector(name).detect(trials).responder for name in DETECTORS])
        for values, half in zip((odd, even), halves(trials), strict=True):
            values.append(measure(half, ["rms"])["rms_uv"])
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    contacts = np.array([site.contacts for site in sites])
    distance = matrices.site_distances(positions, contacts)
    order = [truth["sites"].index(frozenset(names[k] for k in pair)) for pair in contacts]
    waves = truth["waves"][order]
    late = (truth["times"] >= 0.011) & (truth["times"] <= 0.3)
    rms = np.sqrt((waves[:, late] ** 2).mean(axis=1))
    p = matrices.excluded(values["p"], distance)
    responder, _ = responders(p, values["z"])
    known = np.isfinite(responder)
    true = rms >= TRUE_UV
    clear = known & (true | (rms < 1.0))
    latency = 1e3 * truth["latency"][order]
    timed = known & true & (responder == 1) & (latency > 11.0)
    error = np.nanmedian(np.abs(values["n1_latency_ms"] - latency)[timed])
    ceiling = reliability.noise_ceiling(*[np.where(known, np.array(one), np.nan) for one in (odd, even)]).mean
    presets = np.array(detected).transpose(1, 0, 2)
    return [
        f"{(true & known).sum()} of {known.sum()}",
        roc_auc_score(true[known], values["statistic"][known]),
        roc_auc_score(true[clear], values["statistic"][clear]),
        roc_auc_score(true[known], -distance[known]),
        f"{responder[known & true].mean():.3f}",
        f"{responder[known & (rms < 1.0)].mean():.3f} of {(known & (rms < 1.0)).sum()}",
        error,
        ceiling,
        np.corrcoef(values["rms_late_uv"][known], rms[known])[0, 1],
        *[f"{one[known & true].mean():.2f} / {one[known & (rms < 1.0)].mean():.2f}" for one in presets],
    ]


def virtual(root: Path, seed: int) -> tuple[Any, Pulses, np.ndarray, list[str], np.ndarray, dict[str, Any]]:
    """Write a patient; read the stimulation with MNE and the truth."""
    import mne
    import pandas as pd

    from bids_ai.simulate.connectome import group_connectome
    from bids_ai.simulate.head import load_template_brain
    from bids_ai.simulate.ieeg_files import write_ieeg
    from bids_ai.simulate.parcels import template_parcels
    from bids_ai.simulate.patient import make_patient
    from bids_ai.simulate.plan import SUBJECTS, stream

    parcels = template_parcels(24)
    group = group_connectome(parcels.centroids_mm, parcels.homotopic, stream(seed, "group"))
    one = make_patient(SUBJECTS[0], load_template_brain(1.5), parcels, group, seed, t1w_mm=1.5)
    write_ieeg(root, one, seed, size="small")
    folder, label = root / "sub-01/ieeg", "sub-01"
    raw = mne.io.read_raw_brainvision(folder / f"{label}_task-spes_ieeg.vhdr", preload=True, verbose="error")
    events, channels, electrodes = (
        pd.read_csv(folder / f"{label}_{name}.tsv", sep="\t", na_values="n/a")
        for name in ("task-spes_events", "task-spes_channels", "electrodes")
    )
    names = list(raw.ch_names)
    positions = electrodes.set_index("name").loc[names, ["x", "y", "z"]].to_numpy(float)
    ends = events["electrical_stimulation_site"].str.split("-", expand=True)
    anodes, cathodes = (ends[k].map(names.index).to_numpy() for k in (0, 1))
    pulses = Pulses(events["sample_start"].to_numpy(int), anodes, cathodes)
    base = root / "sourcedata/truth/sub-01/ieeg"
    stored = np.load(base / f"{label}_task-spes_desc-responses_timeseries.npz")
    latency = pd.read_csv(
        base / f"{label}_task-spes_desc-sitechannel_stat-cceplatency_relmat.tsv",
        sep="\t",
        index_col=0,
        na_values="n/a",
    )
    truth = {
        "sites": [frozenset(str(site).split("-")) for site in stored["sites"]],
        "waves": stored["site_channel_uv"],
        "times": stored["times_s"],
        "latency": latency[names].to_numpy(float),
        "weights": one.connectome.weights,
    }
    return raw, pulses, positions, names, np.flatnonzero(channels["status"] == "bad"), truth


def speed(n_contacts: int, n_sites: int, n_pulses: int, hz: float) -> None:
    """All measures, the test, halves and matrices of a recording that is never in memory."""
    rng = np.random.default_rng(104)
    pulses, length = train(n_sites, n_pulses, n_contacts, hz, alternate=True)
    minute = coloured(rng, n_contacts, round(60 * hz), 1.5, hz).astype(np.float32)

    def read(start: int, stop: int) -> np.ndarray:
        return minute.take(np.arange(start, stop), axis=1, mode="wrap")

    before, began, cpu = peak_gb(), time.perf_counter(), time.process_time()
    null = PseudoOnsetNull.from_recording(read, pseudo_onsets(pulses.samples, hz, length), hz, seed=104)
    null.draws(n_pulses)
    drawn = time.perf_counter() - began
    found = []
    for _, trials, _ in iter_sites(read, plan_sites(pulses, hz, length), pulses, hz):
        tested = null.test(trials)
        ceiling = [measure(half, ["rms"])["rms_uv"] for half in halves(trials)]
        found.append(measure(trials) | {"p": tested.p, "z": tested.z, "odd": ceiling[0], "even": ceiling[1]})
    values = {name: np.array([one[name] for one in found]) for name in found[0]}
    positions = rng.uniform(0, 80, (n_contacts, 3))
    contacts = np.column_stack([np.arange(n_sites), np.arange(n_sites) + 1]) % n_contacts
    measures = {name: values[name] for name in ("rms_uv", "n1_latency_ms", "crp_tau_ms")}
    shares = matrices.contact_shares(contacts, n_contacts), np.eye(n_contacts)
    matrices.sensitivity(values["p"], values["z"], measures, matrices.site_distances(positions, contacts), *shares)
    reliability.noise_ceiling(values["odd"], values["even"])
    took = time.perf_counter() - began
    row("speed", "null s", "all s", "CPU s", "peak GB", "of which before")
    row(
        f"{n_contacts} contacts, {n_sites} sites, {n_pulses} pulses, {hz:g} Hz",
        f"{drawn:.0f}",
        f"{took:.0f}",
        f"{time.process_time() - cpu:.0f}",
        f"{peak_gb():.2f}",
        f"{before:.2f}",
    )


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def row(*cells: object) -> None:
    texts = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print(f"| {' | '.join(texts)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="what", required=True)
    plain: dict[str, Callable[[], None]] = {"near-field": near_field, "crp": crp}
    for name in plain:
        kinds.add_parser(name)
    kinds.add_parser("noise").add_argument("--slopes", type=int, nargs="*", default=[1, 2, 3])
    kinds.add_parser("real").add_argument("folder", type=Path)
    kinds.add_parser("patient").add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    fast = kinds.add_parser("speed")
    for name, value in (("contacts", 100), ("sites", 50), ("pulses", 10)):
        fast.add_argument(f"--{name}", type=int, default=value)
    fast.add_argument("--hz", type=float, default=2048.0)
    args = parser.parse_args()
    if args.what == "noise":
        noise(args.slopes)
    elif args.what == "real":
        real(args.folder)
    elif args.what == "patient":
        patient(args.seeds)
    elif args.what == "speed":
        speed(args.contacts, args.sites, args.pulses, args.hz)
    else:
        plain[args.what]()


if __name__ == "__main__":
    main()
