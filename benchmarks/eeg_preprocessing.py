"""EEG preprocessing and source connectivity against the truth of virtual recordings.

    OMP_NUM_THREADS=1 python benchmarks/eeg_preprocessing.py [--seeds 1 2 3] [--size small] [--regions 24]
    OMP_NUM_THREADS=1 python benchmarks/eeg_preprocessing.py --ceiling 1200
    OMP_NUM_THREADS=1 python benchmarks/eeg_preprocessing.py --cost

Nothing is downloaded, nothing is written. A line of JSON a seed: blinks and alpha after preprocessing, bad channels
(the one of the recording and two that are planted here), regions that are told apart, functional connectivity of
estimated and of true region series, also where the network is larger beside the background. `--ceiling` tells how far
two minutes of the true series show the connectivity of as many seconds; `--cost` takes 64 channels, five minutes,
500 Hz.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from bids_ai.connectome.spectral import envelope_correlation, spectral_connectivity
from bids_ai.errors import InputError
from bids_ai.preprocess import eeg_head_model, eeg_sources
from bids_ai.preprocess.eeg import EegOutputs, EegSettings, preprocess_eeg
from bids_ai.preprocess.eeg_head_model import HeadModel
from bids_ai.simulate import parcels
from bids_ai.simulate.connectome import group_connectome
from bids_ai.simulate.eeg_forward import measurement_info
from bids_ai.simulate.eeg_recording import EegHead, EegRecording, amplified, eeg_head, eeg_size, record_eeg
from bids_ai.simulate.eeg_topographies import referenced
from bids_ai.simulate.head import load_template_brain
from bids_ai.simulate.neural import regional_columns, rest_activity
from bids_ai.simulate.patient import Patient, make_patient
from bids_ai.simulate.plan import SUBJECTS, stream

Array = NDArray[np.floating]

#: Connectivity that is compared: measure and bands.
BANDS = ("theta", "alpha", "beta")
PLANTED_NOISE_UV = 40.0
#: The network's part of the scalp potential is multiplied by these, without artefacts.
SHARES = (1.0, 3.0)


def patient(seed: int, regions: int) -> Patient:
    """Odd seeds: a straight T1w; even ones: an oblique."""
    atlas = parcels.template_parcels(regions)
    group = group_connectome(atlas.centroids_mm, atlas.homotopic, stream(seed, "group"))
    return make_patient(SUBJECTS[(seed + 1) % 2], load_template_brain(1.5), atlas, group, seed, t1w_mm=1.5)


def as_raw(series_uv: Array, head: EegHead, rate: float) -> Any:
    return mne.io.RawArray(1e-6 * series_uv.T, measurement_info(head.cap, rate))


def spoiled(head: EegHead, recording: EegRecording, seed: int) -> tuple[Array, dict[str, str]]:
    """The recording with two more bad channels: one with white noise, one whose signal is that of another time."""
    rng = stream(seed, "planted")
    series = recording.signal_uv.copy()
    noisy, detached = rng.choice(np.delete(np.arange(series.shape[1]), recording.bad_channel), 2, replace=False)
    series[:, noisy] += PLANTED_NOISE_UV * rng.standard_normal(len(series))
    series[:, detached] = np.roll(series[:, detached], len(series) // 3)
    names = head.cap.names
    kinds = {names[recording.bad_channel]: recording.bad_kind, names[noisy]: "noisy", names[detached]: "detached"}
    return series, kinds


def cleaning(head: EegHead, recording: EegRecording, outputs: EegOutputs, bad: dict[str, str]) -> dict[str, Any]:
    """What is left of the planted blinks, and of the brain's alpha, over the channels that are good in truth."""
    rate = recording.clock.sampling_hz
    good = [name for name in head.cap.names if name not in bad]

    def clean(series_uv: Array) -> Array:
        """The same band and reference without the rest."""
        raw = as_raw(series_uv, head, rate).pick(good)
        settings = EegSettings()
        raw.filter(settings.high_pass_hz, settings.low_pass_hz).set_eeg_reference("average")
        return raw.get_data().T

    brain, before = clean(recording.brain_uv), clean(recording.signal_uv)
    after = outputs.raw.get_data(picks=good).T
    after = after - after.mean(axis=1, keepdims=True)
    blink = next(artefact for artefact in recording.artefacts if artefact.kind == "blink").courses[:, 0]
    course = mne.filter.filter_data(blink, rate, 0.5, 45.0)

    def blink_power(series: Array) -> float:
        over = course @ (series - brain) / (course @ course)
        return float(over @ over)

    alpha = [mne.filter.filter_data(series.T, rate, 8.0, 13.0).T for series in (brain, after)]
    gain = float((alpha[0] * alpha[1]).sum() / (alpha[0] ** 2).sum())
    found = set(outputs.quality["bad_channels"]["found"])
    return {
        "blink_power_removed": round(1.0 - blink_power(after) / blink_power(before), 4),
        "alpha_power_kept": round(gain**2, 4),
        "alpha_power_relative": round(float((alpha[1] ** 2).sum() / (alpha[0] ** 2).sum()), 4),
        "bad_planted": bad,
        "bad_missed": sorted(set(bad) - found),
        "bad_false": sorted(found - set(bad)),
        "components_removed": outputs.quality["ica"]["n_removed"],
        "bad_seconds": round(float(outputs.quality["duration_s"] - outputs.quality["good_seconds"]), 1),
    }


def emitted(person: Patient, head: EegHead, recording: EegRecording) -> Array:
    """What regions emit on average over their cortex, shape (n_times, n_regions)."""
    sheet, n = head.field.sheet, person.n_regions
    area = np.linalg.norm(sheet.vector_mm2, axis=1)
    share = np.bincount(sheet.region, area * head.posterior, n) / np.bincount(sheet.region, area, n)
    return recording.emission.everywhere + share * recording.emission.posterior


def connectivity(series: Array, rate: float) -> dict[str, Array]:
    """Every measure in every band; a matrix of NaN where it cannot be had."""
    found: dict[str, Array] = {}
    for band in BANDS:
        for measure in ("imcoh", "wpli2_debiased", "coherence"):
            found[f"{measure} {band}"] = spectral_connectivity(series, rate, band, measure)
        try:
            found[f"aec {band}"] = envelope_correlation(series, rate, band)
        except InputError:
            found[f"aec {band}"] = envelope_correlation(series, rate, band, orthogonalise="pairwise")
    return found


def alike(one: dict[str, Array], other: dict[str, Array], rows: Array) -> dict[str, float]:
    """Pearson correlation of two connectivities over pairs of some regions."""
    upper = np.triu_indices(len(rows), 1)
    result = {}
    for name in one:
        pairs = np.stack([table[name][np.ix_(rows, rows)][upper] for table in (one, other)])
        pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
        result[name] = round(float(np.corrcoef(pairs)[0, 1]), 2) if pairs.shape[1] > 3 else float("nan")
    return result


def template_model(person: Patient, raw: Any, conductor: str) -> HeadModel:
    """The template's head under the cap of the recording."""
    anatomy = eeg_head_model.template_anatomy()
    places, fit = eeg_head_model.electrodes_on_template(raw.info)
    labels = eeg_head_model.labels_on(anatomy, person.parcels.labels, person.parcels.affine)
    return eeg_head_model.head_model(
        tuple(raw.ch_names), places, anatomy, labels, person.n_regions, conductor=conductor, fit=fit
    )


def sources(model: HeadModel, series: Array, true: Array, rate: float, options: dict[str, Any]) -> dict[str, Any]:
    """Connectivity of estimated regions against that of the true series, over regions that are told apart, and all.

    `best` is what the linear map from these channels that is fitted to the true series themselves would reach.
    """
    found = eeg_sources.region_sources(model, series, rate, keep_unresolved=True, **options)
    good = np.isfinite(found.series).all(axis=1)
    rows = np.arange(model.n_regions)
    resolved = np.array([row for row in rows if row not in found.resolution.reasons])
    centred = series[good] - series[good].mean(axis=1, keepdims=True)
    best = np.full(true.shape, np.nan)
    best[good] = centred @ np.linalg.lstsq(centred, true[good], rcond=1e-8)[0]
    real = connectivity(np.where(good[:, None], true, np.nan), rate)
    estimated = connectivity(found.series, rate)

    def course(estimate: Array) -> float:
        return round(
            float(np.median([abs(np.corrcoef(estimate[good, row], true[good, row])[0, 1]) for row in resolved])), 2
        )

    return {
        "n_resolved": len(resolved),
        "course_r": course(found.series),
        "course_r_best": course(best),
        "fc_r_resolved": alike(estimated, real, resolved),
        "fc_r_all": alike(estimated, real, rows),
        "fc_r_best": alike(connectivity(best, rate), real, rows),
    }


def network_part(head: EegHead, recording: EegRecording) -> Array:
    """What the network adds to the brain's part of the recording, microvolts; the rest of it is background."""
    series = recording.emission.potential_uv(head.field, head.posterior)
    return amplified(referenced(series, len(head.cap.names)), recording.clock.sampling_hz)


def ceiling(seed: int, regions: int, seconds: float) -> dict[str, Any]:
    """How far the true series of two minutes show the connectivity of a long record, and of the next two minutes."""
    person, rate = patient(seed, regions), 250.0
    columns = regional_columns(
        regions, stream(seed, f"sub-{person.subject.label}", "columns"), centroids_mm=person.parcels.centroids_mm
    )
    series = rest_activity(person.connectome, seconds, rate, stream(seed, "ceiling"), columns=columns)
    part = round(120.0 * rate)
    long, first, second = (connectivity(piece, rate) for piece in (series, series[:part], series[part : 2 * part]))
    rows = np.arange(regions)
    return {"with_long": alike(first, long, rows), "with_next": alike(first, second, rows)}


def one_seed(seed: int, regions: int, size_name: str, conductor: str, options: dict[str, Any]) -> dict[str, Any]:
    size = eeg_size(size_name)
    person = patient(seed, regions)
    head = eeg_head(person, seed, size)
    recording = record_eeg(person, head, seed, size, session=person.subject.t1w_session)
    return scores(person, head, recording, seed, conductor, options)


def scores(
    person: Patient, head: EegHead, recording: EegRecording, seed: int, conductor: str, options: dict[str, Any]
) -> dict[str, Any]:
    rate = recording.clock.sampling_hz
    series, bad = spoiled(head, recording, seed)
    start = time.process_time()
    outputs = preprocess_eeg(as_raw(series, head, rate), EegSettings(seed=seed))
    seconds = time.process_time() - start
    model = template_model(person, outputs.raw, conductor)
    clean = outputs.raw.get_data().T
    clean[~outputs.good] = np.nan
    true = emitted(person, head, recording)
    result: dict[str, Any] = {"seed": seed, "cpu_s": round(seconds, 1), **cleaning(head, recording, outputs, bad)}
    result["sources"] = sources(model, clean, true, rate, options)
    # The brain's part with the network larger beside the same background.
    network = network_part(head, recording)
    for share in SHARES:
        brain = as_raw(recording.brain_uv + (share - 1.0) * network, head, rate).filter(0.5, 45.0).get_data().T
        result[f"sources_network_x{share:g}"] = sources(model, brain, true, rate, options)
    return result


def cost() -> dict[str, Any]:
    """Time and memory of 64 channels of five minutes at 500 Hz."""
    person, size = patient(1, 24), eeg_size("full")
    head = eeg_head(person, 1, size)
    recording = record_eeg(person, head, 1, size)
    raw = as_raw(recording.signal_uv, head, size.sampling_hz)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    outputs = preprocess_eeg(raw)
    preprocessing = time.process_time() - start
    atlas = person.parcels
    eeg_sources.eeg_sources(outputs.raw, atlas.labels, atlas.affine, person.n_regions)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "preprocess_cpu_s": round(preprocessing, 1),
        "sources_cpu_s": round(time.process_time() - start - preprocessing, 1),
        "recording_mb": round(raw.get_data().nbytes / 2**20),
        "peak_before_gb": round(before / 2**20, 2),
        "peak_gb": round(peak / 2**20, 2),
        "n_components": outputs.quality["ica"]["n_components"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--size", default="small")
    parser.add_argument("--regions", type=int, default=24)
    parser.add_argument("--method", default="eLORETA")
    parser.add_argument("--summary", default="mean_flip")
    parser.add_argument("--conductor", default="bem")
    parser.add_argument("--snr", type=float, default=eeg_sources.SNR)
    parser.add_argument("--ceiling", type=float, default=None, metavar="SECONDS")
    parser.add_argument("--cost", action="store_true")
    arguments = parser.parse_args()
    mne.set_log_level("error")
    options = {"method": arguments.method, "summary": arguments.summary, "snr": arguments.snr}
    if arguments.cost:
        print(json.dumps(cost()))
        return
    for seed in arguments.seeds:
        if arguments.ceiling is not None:
            result = {"seed": seed, **ceiling(seed, arguments.regions, arguments.ceiling)}
        else:
            result = one_seed(seed, arguments.regions, arguments.size, arguments.conductor, options)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
