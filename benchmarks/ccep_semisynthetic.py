"""Semi-synthetic stimulation recordings: real sidecars, generated noise, real responses at known channels.

    python benchmarks/ccep_semisynthetic.py make SIDECARS TRIALS OUT [--sites 6 --hz 512 --seed 1]
    bids-ai ccep OUT/NAME DERIVATIVES
    python benchmarks/ccep_semisynthetic.py score OUT/NAME DERIVATIVES

SIDECARS holds BIDS datasets without voltages (channels, events, electrodes, coordsystem); TRIALS the ``*.mat`` of
crp_scripts: microvolts, time by trial. Of each run some stimulated pairs are kept, and the stretches around their
pulses put one behind the other, with all other rows of events that fall into them. The planted response is the mean
of real trials times what each trial has of it: its shape and its scatter are real, the noise around it is generated.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat
from scipy.signal import resample_poly

from bids_ai.bids.electrophysiology.brainvision import write_brainvision

#: Recordings of trials in which the authors see a response.
RESPONSES = ("Fig1_sampledata", "Fig2_sampledata", "Fig4_sampledata", "Fig5_sampledata_1")
#: Kept around a pulse, s: other pulses keep their distance, and pseudo-onsets have room.
KEPT_S = (-1.5, 4.5)
#: A planted response lasts until here, s, and is faded out over the last fifth of a second.
END_S, FADE_S = 1.0, 0.2
#: Noise, mains and the artefact of the current at stimulated and at other contacts, microvolts (one unit of the file).
NOISE_UV, LINE_UV, ARTEFACT_UV = 25.0, 4.0, (4000.0, 150.0)
#: Planted channels of a pair, at least so far from its contacts, mm.
PLANTED, APART_MM = 4, 25.0
TRUTH = "sourcedata/planted.tsv"


def response_shapes(folder: Path, hz: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean response from the pulse on, microvolts, (n_times,), and its weight in each trial, (n_trials,)."""
    out = {}
    for name in RESPONSES:
        held = loadmat(folder / f"{name}.mat")
        times, data = held["t"].ravel(), np.asarray(held["data"], float)
        data = data - np.median(data[(times >= -0.5) & (times <= -0.02)], axis=0)
        blanked = (times >= -0.002) & (times <= 0.009)
        first, last = np.flatnonzero(blanked)[[0, -1]]
        share = np.linspace(0, 1, last - first + 1)[:, None]
        data[first : last + 1] = data[first - 1] * (1 - share) + data[last + 1] * share
        after = data[(times >= 0) & (times < END_S)]
        shape = after.mean(axis=1)
        weights = after.T @ shape / (shape @ shape)
        shape = resample_poly(shape, hz, 2048)
        fade = round(FADE_S * hz)
        shape[-fade:] *= 0.5 + 0.5 * np.cos(np.linspace(0, np.pi, fade))
        out[name] = shape, weights
    return out


def coloured(rng: np.random.Generator, n_times: int, n_channels: int, hz: float) -> np.ndarray:
    """Noise of power 1/f^2 above 1 Hz, partly shared by all channels, microvolts, (n_times, n_channels)."""
    frequency = np.fft.rfftfreq(n_times, 1 / hz)
    size = np.where(frequency > 0.3, 1 / np.maximum(frequency, 1.0), 0)
    shape = (len(size), n_channels + 1)
    noise = np.fft.irfft(
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * size[:, None], n_times, axis=0
    )
    noise *= NOISE_UV / noise.std(axis=0)
    noise += rng.normal(0, 2.0, noise.shape)
    return 0.9 * noise[:, 1:] + 0.4 * noise[:, :1]


def kept_stretches(onsets_s: np.ndarray) -> list[tuple[float, float]]:
    """Stretches around pulses, joined where they touch."""
    out: list[tuple[float, float]] = []
    for onset in np.sort(onsets_s):
        start, stop = max(0.0, onset + KEPT_S[0]), onset + KEPT_S[1]
        if out and start <= out[-1][1]:
            out[-1] = out[-1][0], max(stop, out[-1][1])
        else:
            out.append((start, stop))
    return out


def spliced(events: pd.DataFrame, stretches: list[tuple[float, float]], hz: float) -> pd.DataFrame:
    """Rows that fall into the stretches, at their new times."""
    rows, offset = [], 0.0
    onsets, durations = (pd.to_numeric(events[name], errors="coerce") for name in ("onset", "duration"))
    for start, stop in stretches:
        there = events[(onsets < stop) & (onsets + durations.fillna(0) >= start)].copy()
        first, last = (np.clip(edge[there.index], start, stop) for edge in (onsets, onsets + durations.fillna(0)))
        there["onset"], there["duration"] = (first - start + offset).round(6), (last - first).round(6)
        for name, edge in (("sample_start", first), ("sample_end", last), ("offset", last)):
            if name in there:
                moved = edge - start + offset
                there[name] = moved.round(6) if name == "offset" else (moved * hz).round().astype(int)
        rows.append(there)
        offset += stop - start
    return pd.concat(rows).sort_values("onset", kind="stable")


def contacts_of(site: str, names: list[str]) -> tuple[str, str] | None:
    """The two channels of a site, whatever the case, by the only hyphen that parts it into two."""
    lower = {name.lower(): name for name in names}
    for place in (k for k, letter in enumerate(site) if letter == "-"):
        first, second = site[:place].lower(), site[place + 1 :].lower()
        if first in lower and second in lower:
            return lower[first], lower[second]
    return None


def make_run(
    channels_file: Path, target: Path, shapes: dict[str, tuple[np.ndarray, np.ndarray]], args: argparse.Namespace
) -> list[list[object]]:
    """Write the signal and the events of one run; what was planted, as rows."""
    stem = channels_file.name.removesuffix("_channels.tsv")
    rng = np.random.default_rng([args.seed, *stem.encode()])
    read = {"sep": "\t", "dtype": str, "keep_default_na": False}
    channels = pd.read_csv(channels_file, **read)
    events = pd.read_csv(channels_file.with_name(f"{stem}_events.tsv"), **read)
    names = channels["name"].tolist()
    places = positions(channels_file, names)
    pulses = events[events["trial_type"] == "electrical_stimulation"]
    unordered = pulses["electrical_stimulation_site"].map(lambda site: tuple(sorted(contacts_of(site, names) or ())))
    sites = [pair for pair in dict.fromkeys(unordered) if pair]
    chosen = [sites[k] for k in np.unique(np.linspace(0, len(sites) - 1, min(args.sites, len(sites))).astype(int))]
    kept = pulses[unordered.isin(chosen)]
    stretches = kept_stretches(pd.to_numeric(kept["onset"]).to_numpy())
    table = spliced(events, stretches, args.hz)
    n_times = round(sum(stop - start for start, stop in stretches) * args.hz)
    data = coloured(rng, n_times, len(names), args.hz)
    line_hz = 50.0 if "UMCU" in stem else 60.0
    times = np.arange(n_times) / args.hz
    data += LINE_UV * np.sin(2 * np.pi * line_hz * times[:, None] + rng.uniform(0, 6.28, len(names)))
    planted: list[list[object]] = []
    good = (channels["status"] == "good") & channels["type"].str.upper().isin(["ECOG", "SEEG", "DBS"])
    targets: dict[tuple[str, ...], list[tuple[int, str]]] = {}
    for _, row in table[table["trial_type"] == "electrical_stimulation"].iterrows():
        pair = contacts_of(row["electrical_stimulation_site"], names)
        if pair is None:
            continue
        key, onset = tuple(sorted(pair)), round(float(row["onset"]) * args.hz)
        ends = [names.index(name) for name in pair]
        sign = 1 if pair == key else -1  # the artefact turns over with polarity
        width = max(1, round(0.004 * args.hz))
        size = np.full(len(names), ARTEFACT_UV[1])
        size[ends] = ARTEFACT_UV[0]
        data[onset : onset + width] += sign * size * np.linspace(1, 0.2, width)[:, None]
        if key not in targets and key in chosen:
            far = np.linalg.norm(places - places[ends][:, None], axis=-1).min(axis=0) > APART_MM
            free = np.flatnonzero(good & far)
            which = rng.choice(free, min(PLANTED, len(free)), replace=False)
            targets[key] = [(int(k), list(shapes)[n % len(shapes)]) for n, k in enumerate(which)]
            planted += [[stem, *key, names[k], shape] for k, shape in targets[key]]
        for channel, name in targets.get(key, []):
            shape, weights = shapes[name]
            room = min(len(shape), n_times - onset)
            data[onset : onset + room, channel] += shape[:room] * rng.choice(weights)
    table.to_csv(target / f"{stem}_events.tsv", sep="\t", index=False, na_rep="n/a")
    rounded = np.clip(np.rint(data / 0.5), -32000, 32000).astype(np.int16)
    options = {"names": names, "sampling_hz": float(args.hz), "reference": "n/a", "resolution_uv": 0.5}
    write_brainvision(target / f"{stem}_ieeg", [rounded], **options)
    sidecar = target / f"{stem}_ieeg.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"SamplingFrequency": args.hz}, indent=2))
    channels.assign(sampling_frequency=str(args.hz)).to_csv(target / f"{stem}_channels.tsv", sep="\t", index=False)
    rows = len(table[table["trial_type"] == "electrical_stimulation"])
    print(f"{stem}: {len(names)} channels, {times[-1]:.0f} s, {len(chosen)} of {len(sites)} pairs, {rows} pulses")
    return planted


def positions(channels_file: Path, names: list[str]) -> np.ndarray:
    """Of channels, mm; NaN where not known."""
    table = pd.read_csv(next(channels_file.parent.glob("*_electrodes.tsv")), sep="\t", na_values=["n/a", "NaN"])
    held = {str(row["name"]).lower(): [row["x"], row["y"], row["z"]] for _, row in table.iterrows()}
    return np.array([held.get(name.lower(), [np.nan] * 3) for name in names], float)


def make(args: argparse.Namespace) -> None:
    """Write one dataset for each that has sidecars."""
    shapes = response_shapes(args.trials, args.hz)
    for description in sorted(args.sidecars.glob("*/dataset_description.json")):
        source, target = description.parent, args.out / description.parent.name
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("derivatives"))
        planted = []
        for channels_file in sorted(source.rglob("*_channels.tsv")):
            planted += make_run(channels_file, target / channels_file.parent.relative_to(source), shapes, args)
        (target / TRUTH).parent.mkdir(exist_ok=True)
        columns = ["recording", "contact_1", "contact_2", "channel", "response"]
        pd.DataFrame(planted, columns=columns).to_csv(target / TRUTH, sep="\t", index=False)


def score(args: argparse.Namespace) -> None:
    """Count planted responses that were found, and responses where none was planted."""
    truth = pd.read_csv(args.data / TRUTH, sep="\t")
    print("recording\tsites\tpulses used\tplanted\ttested\tfound\tothers tested\tothers responding")
    for path in sorted(args.out.rglob("*_desc-ccep_features.tsv")):
        stem = path.name.removesuffix("_desc-ccep_features.tsv")
        table = pd.read_csv(path, sep="\t", na_values="n/a", keep_default_na=False)
        made = pd.read_csv(path.with_name(f"{stem}_desc-preproc_channels.tsv"), sep="\t", keep_default_na=False)
        members = {row["name"]: {row["contact_1"], row["contact_2"]} for _, row in made.iterrows()}
        own = truth[truth["recording"] == stem]
        real = {(frozenset(row[["contact_1", "contact_2"]]), row["channel"]) for _, row in own.iterrows()}
        tested = table[np.isfinite(table["responder"])]
        hits: dict[tuple[frozenset[str], str], bool] = {}
        others = []
        for _, row in tested.iterrows():
            pair = frozenset(row[["contact_1", "contact_2"]])
            there = [(pair, contact) for contact in members[row["channel"]] if (pair, contact) in real]
            for key in there:
                # A contact may be in two differences; one of them is enough.
                hits[key] = hits.get(key, False) or row["responder"] == 1
            if not there:
                others.append(row["responder"] == 1)
        used = pd.read_csv(path.with_name(f"{stem}_stimsites.tsv"), sep="\t")["pulses_used"].sum()
        cells = [
            stem,
            table["site"].nunique(),
            used,
            len(real),
            len(hits),
            sum(hits.values()),
            len(others),
            sum(others),
        ]
        print("\t".join(map(str, cells)))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    made = commands.add_parser("make")
    for name in ("sidecars", "trials", "out"):
        made.add_argument(name, type=Path)
    made.add_argument("--sites", type=int, default=6)
    made.add_argument("--hz", type=int, default=512)
    made.add_argument("--seed", type=int, default=1)
    made.set_defaults(run=make)
    scored = commands.add_parser("score")
    for name in ("data", "out"):
        scored.add_argument(name, type=Path)
    scored.set_defaults(run=score)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
