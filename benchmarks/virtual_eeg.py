"""The virtual EEG against its truth: alpha and the eyes, blinks by ICA, regions by source estimates.

    OMP_NUM_THREADS=1 python benchmarks/virtual_eeg.py [--size small] [--regions 24] [--seed 1] [--subject 1]

Nothing is written and nothing is downloaded. `--subject 2` has an oblique T1w.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from typing import Any

import mne
import numpy as np
from scipy.signal import welch

from bids_ai.simulate import eeg_forward, parcels
from bids_ai.simulate.connectome import group_connectome
from bids_ai.simulate.eeg_head import head_shells
from bids_ai.simulate.eeg_recording import EegHead, EegRecording, EegSize, eeg_head, eeg_size, record_eeg
from bids_ai.simulate.eeg_topographies import referenced
from bids_ai.simulate.head import load_template_brain
from bids_ai.simulate.patient import Patient, make_patient
from bids_ai.simulate.plan import SUBJECTS, stream

#: Regions whose dipoles come this near to each other touch, mm.
TOUCHING_MM = 12.0


def patient(subject: int, regions: int, seed: int) -> Patient:
    atlas = parcels.template_parcels(regions)
    group = group_connectome(atlas.centroids_mm, atlas.homotopic, stream(seed, "group"))
    return make_patient(SUBJECTS[subject - 1], load_template_brain(1.5), atlas, group, seed, t1w_mm=1.5)


def alpha(head: EegHead, recording: EegRecording, good: list[int]) -> dict[str, Any]:
    """Root mean square from 8 to 13 Hz, average reference, microvolts; two seconds after each turn are left out."""
    rate = recording.clock.sampling_hz
    series = recording.signal_uv - recording.signal_uv[:, good].mean(axis=1, keepdims=True)
    found: dict[str, Any] = {}
    for closed, name in ((True, "eyes_closed"), (False, "eyes_open")):
        spectra = []
        for block in recording.clock.stretches(closed=closed):
            piece = series[round((block.onset_s + 2.0) * rate) : round((block.onset_s + block.duration_s) * rate)]
            frequency, power = welch(piece, rate, nperseg=round(2.0 * rate), axis=0)
            spectra.append(power)
        band = (frequency >= 8.0) & (frequency <= 13.0)
        power = np.mean(spectra, axis=0)[band]
        rms = np.sqrt(power.sum(axis=0) * frequency[1])
        found[name] = {
            channel: round(float(rms[head.cap.names.index(channel)]), 1)
            for channel in ("O1", "Oz", "O2", "PO7", "PO8", "Pz", "Cz", "Fz", "T7")
        }
        found[name]["peak_hz"] = float(frequency[band][power[:, head.cap.names.index("O1")].argmax()])
    return found


def blinks(head: EegHead, recording: EegRecording, good: list[int], method: str) -> dict[str, Any]:
    """The independent component most like the planted blinks, and what is left when it is taken out."""
    rate = recording.clock.sampling_hz
    blink = next(artefact for artefact in recording.artefacts if artefact.kind == "blink")
    course = mne.filter.filter_data(blink.courses[:, 0], rate, 1.0, 40.0)
    planted = referenced(blink.topographies[0], len(head.cap.names))[good]
    info = mne.create_info([head.cap.names[channel] for channel in good], rate, "eeg")
    eeg, brain = (
        mne.io.RawArray(1e-6 * series[:, good].T, info.copy()).filter(1.0, 40.0)
        for series in (recording.signal_uv, recording.brain_uv)
    )
    fit = {"extended": True} if method == "infomax" else None
    ica = mne.preprocessing.ICA(25, method=method, fit_params=fit, random_state=1, max_iter=500).fit(eeg)
    alike = [abs(np.corrcoef(source, course)[0, 1]) for source in ica.get_sources(eeg).get_data()]
    best = int(np.argmax(alike))
    named, _ = ica.find_bads_eog(eeg, ch_name="Fp1")
    cleaned = ica.apply(eeg.copy(), exclude=[best])

    def blink_power(raw: mne.io.BaseRaw) -> float:
        over = (raw.get_data() - brain.get_data()) @ course / (course @ course)
        return float(over @ over)

    def alpha_power(raw: mne.io.BaseRaw) -> float:
        return float((mne.filter.filter_data(raw.get_data(), rate, 8.0, 13.0) ** 2).sum())

    return {
        "course_r": round(float(alike[best]), 3),
        "map_r": round(float(abs(np.corrcoef(ica.get_components()[:, best], planted)[0, 1])), 3),
        "named_by_find_bads_eog": [int(one) for one in named] == [best],
        "blink_power_left": round(blink_power(cleaned) / blink_power(eeg), 4),
        "alpha_kept": round(alpha_power(cleaned) / alpha_power(eeg), 4),
    }


def sources(person: Patient, head: EegHead, size: EegSize) -> dict[str, Any]:
    """Share of single active regions whose estimated power is greatest in themselves, or in one that touches them."""
    sheet, n_channels = head.field.sheet, len(head.cap.names)
    forward = eeg_forward.forward_solution(sheet, head.cap, head_shells(person.phantom, size.n_vertices))
    forward = mne.pick_channels_forward(forward, list(head.cap.names))
    info = eeg_forward.measurement_info(head.cap)
    info = mne.EvokedArray(np.zeros((n_channels, 1)), info).set_eeg_reference(projection=True).info
    inverse = mne.minimum_norm.make_inverse_operator(info, forward, mne.make_ad_hoc_cov(info), loose=1.0, depth=0.8)
    maps = head.field.regions[:, :n_channels]
    maps = maps - maps.mean(axis=1, keepdims=True)
    evoked = mne.EvokedArray(20e-6 * (maps / np.abs(maps).max(axis=1, keepdims=True)).T, info)
    evoked.set_eeg_reference(projection=True)
    normals = sheet.vector_mm2 / np.maximum(np.linalg.norm(sheet.vector_mm2, axis=1, keepdims=True), 1e-9)
    within = [sheet.positions_mm[sheet.region == region] for region in range(person.n_regions)]
    found: dict[str, Any] = {}
    for method in ("sLORETA", "MNE", "dSPM"):
        estimate = mne.minimum_norm.apply_inverse(evoked, inverse, method=method, pick_ori="vector").data
        power = np.einsum("dkt,dk->dt", estimate, normals) ** 2
        score = np.stack([power[sheet.region == region].mean(axis=0) for region in range(person.n_regions)])
        best = score.argmax(axis=0)
        apart = [
            np.linalg.norm(within[region][:, None] - within[other], axis=-1).min() for region, other in enumerate(best)
        ]
        found[method] = {
            "right": round(float((best == np.arange(person.n_regions)).mean()), 2),
            "right_or_touching": round(float((np.array(apart) < TOUCHING_MM).mean()), 2),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="small")
    parser.add_argument("--regions", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--subject", type=int, default=1, choices=(1, 2))
    arguments = parser.parse_args()
    mne.set_log_level("error")
    size = eeg_size(arguments.size)
    person = patient(arguments.subject, arguments.regions, arguments.seed)
    start = time.process_time()
    head = eeg_head(person, arguments.seed, size)
    recording = record_eeg(person, head, arguments.seed, size, session=person.subject.t1w_session)
    seconds = time.process_time() - start
    good = [channel for channel in range(len(head.cap.names)) if channel != recording.bad_channel]
    result = {
        "cpu_seconds": round(seconds, 1),
        "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "bad_channel": [head.cap.names[recording.bad_channel], recording.bad_kind],
        "n_blinks": sum(one.name == "blink" for one in recording.artefacts[0].occurrences),
        "alpha_uv": alpha(head, recording, good),
        "blinks": {method: blinks(head, recording, good, method) for method in ("fastica", "infomax")},
        "single_region": sources(person, head, size),
    }
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
