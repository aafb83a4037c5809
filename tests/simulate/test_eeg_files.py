import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
import pytest
from scipy.signal import welch

from bids_ai.errors import InputError
from bids_ai.simulate import eeg_recording, parcels
from bids_ai.simulate.connectome import group_connectome
from bids_ai.simulate.eeg_files import write_eeg
from bids_ai.simulate.eeg_recording import EegSize
from bids_ai.simulate.folder import write_json, write_text
from bids_ai.simulate.patient import Patient
from bids_ai.simulate.plan import Run, Subject

STEM = "sub-07_ses-1_task-rest"
RAW = Path("sub-07/ses-1/eeg")
TRUTH = Path("sourcedata/truth") / RAW


@pytest.fixture(scope="module")
def patient(small_head, subject_warp, small_parcels) -> Patient:
    subject = Subject("07", "F", 33, (Run(session="1"),))
    connectome = group_connectome(small_parcels.centroids_mm, small_parcels.homotopic, np.random.default_rng(1))
    labels = parcels.in_phantom(small_parcels, small_head)
    names = [str(name) for name in small_parcels.nodes["name"]]
    return Patient(subject, small_head, subject_warp, small_parcels, labels, names, connectome)


@pytest.fixture(scope="module")
def written(patient, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("eeg")
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw"})
    write_text(root / "README.md", "An EEG of a generated head, to be validated and read again.")
    write_eeg(root, patient, 1, size="tiny", session="1")
    return root


@pytest.fixture(scope="module")
def raw(written) -> mne.io.BaseRaw:
    path = mne_bids.BIDSPath(subject="07", session="1", task="rest", datatype="eeg", root=written)
    return mne_bids.read_raw_bids(path, verbose="error").load_data(verbose="error")


@pytest.fixture(scope="module")
def cap_on_head(patient) -> eeg_recording.EegHead:
    return eeg_recording.eeg_head(patient, 1, eeg_recording.eeg_size("tiny"))


@pytest.fixture(scope="module")
def minute(patient, cap_on_head) -> tuple[eeg_recording.EegHead, eeg_recording.EegRecording]:
    """Long enough for an ICA."""
    size = EegSize(60.0, 125.0, 15.0, 162, 10.0)
    return cap_on_head, eeg_recording.record_eeg(patient, cap_on_head, 1, size)


def test_validator_finds_no_error(written):
    found = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    found = found or shutil.which("bids-validator-deno")
    if not found:
        pytest.skip("bids-validator-deno is not installed (extra: validate)")
    call = subprocess.run(
        [found, str(written), "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(call.stdout)["issues"]["issues"]
    assert [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"] == []


def test_mne_bids_reads_it_with_montage_and_events(written, raw):
    assert raw.info["sfreq"] == 100.0
    assert len(raw.ch_names) == 64
    assert len(raw.times) == 2000
    assert set(raw.get_channel_types()) == {"eeg"}
    assert raw.info["line_freq"] == 50.0
    # Finding it is the reader's task.
    assert raw.info["bads"] == []
    assert [str(name) for name in raw.annotations.description] == ["eyes_closed", "eyes_open"]
    np.testing.assert_allclose(raw.annotations.onset, [0.0, 10.0])
    truth = json.loads((written / TRUTH / "sub-07_ses-1_space-T1w_electrodes.json").read_text())
    table = pd.read_csv(written / TRUTH / "sub-07_ses-1_space-T1w_electrodes.tsv", sep="\t", index_col="name")
    places = np.stack([channel["loc"][:3] * 1000.0 for channel in raw.info["chs"]])
    affine = np.array(truth["FromCapTrakToT1w"])
    np.testing.assert_allclose(places @ affine[:3, :3].T + affine[:3, 3], table.loc[raw.ch_names], atol=0.01)


def test_recording_is_network_and_background_and_artefacts(written, raw, patient):
    """What the truth says of the parts is in the file: network by its leadfields, artefacts by their topographies."""
    series = np.load(written / TRUTH / f"{STEM}_desc-regions_timeseries.npz")
    everywhere, posterior = (
        pd.read_csv(written / TRUTH / f"sub-07_ses-1_{name}.tsv", sep="\t", index_col=0)
        for name in ("leadfield", "desc-posterior_leadfield")
    )
    assert list(everywhere.index) == patient.names
    assert list(everywhere.columns) == raw.ch_names
    network = series["emitted_everywhere"] @ everywhere.to_numpy() + series["emitted_posterior"] @ posterior.to_numpy()
    brain = mne.io.read_raw_brainvision(
        written / TRUTH / f"{STEM}_desc-brain_eeg.vhdr", preload=True, verbose="error"
    ).get_data()
    others = np.load(written / TRUTH / f"{STEM}_desc-artefacts_timeseries.npz")
    parts = [others[f"{kind}_courses"] @ others[f"{kind}_topographies"] for kind in ("blink", "eye_movement", "muscle")]
    artefacts = eeg_recording.amplified(np.sum(parts, axis=0), 100.0)
    bad = json.loads((written / TRUTH / f"{STEM}_eeg.json").read_text())["BadChannels"]
    good = [number for number, name in enumerate(raw.ch_names) if name not in bad]
    # Between 8 and 12 Hz closed eyes show the network; the rest of the brain's part is background.
    occipital = raw.ch_names.index("O1")
    alpha = mne.filter.filter_data(
        np.stack([network[:1000, occipital].astype(float), 1e6 * brain[occipital, :1000]]),
        100.0,
        8,
        12,
        verbose="error",
    )
    assert np.corrcoef(alpha)[0, 1] > 0.8
    # What is left without brain and artefacts is the electrodes' own: slow drift and noise of a microvolt.
    left = 1e6 * (raw.get_data() - brain)[good].T - artefacts[:, good]
    fast = mne.filter.filter_data(left.T.astype(float), 100.0, 2.0, None, verbose="error")
    assert np.median(fast.std(axis=1)) < 2.0


def test_events_of_artefacts_stand_where_they_are(written, raw):
    table = pd.read_csv(written / TRUTH / f"{STEM}_desc-artefacts_events.tsv", sep="\t")
    assert {"blink", "lid_opening"} <= set(table["trial_type"])
    front = 1e6 * raw.get_data("Fp1")[0]
    for blink in table[table["trial_type"] == "blink"].itertuples():
        span = slice(int(100 * blink.onset), int(100 * (blink.onset + blink.duration)))
        assert np.ptp(front[span]) > 0.4 * blink.height


def test_bad_channel_is_marked_only_on_request_and_the_same_seed_gives_the_same_bytes(
    written, patient, cap_on_head, tmp_path
):
    write_eeg(tmp_path, patient, 1, size="tiny", session="1", mark_bad=True, head=cap_on_head)
    channels = RAW / f"{STEM}_channels.tsv"
    marked, plain = (pd.read_csv(root / channels, sep="\t", index_col="name") for root in (tmp_path, written))
    truth = json.loads((written / TRUTH / f"{STEM}_eeg.json").read_text())
    assert list(marked.index[marked["status"] == "bad"]) == truth["BadChannels"]
    assert (plain["status"] == "good").all()
    assert truth["BadChannelKind"] in eeg_recording.BAD_KINDS
    files = [path.relative_to(tmp_path) for path in sorted(tmp_path.rglob("*")) if path.is_file()]
    assert len(files) > 15
    for path in files:
        if path != channels:
            first, second = (hashlib.sha256((root / path).read_bytes()).digest() for root in (tmp_path, written))
            assert first == second, path


def test_unknown_size_is_refused(patient, tmp_path):
    with pytest.raises(InputError, match="tiny, small, full"):
        write_eeg(tmp_path, patient, 1, size="huge")


def test_alpha_is_occipital_and_blocked_by_open_eyes(minute):
    head, recording = minute
    clock = recording.clock
    brain = recording.brain_uv - recording.brain_uv.mean(axis=1, keepdims=True)
    power = {}
    for closed in (True, False):
        pieces = [
            brain[int(clock.sampling_hz * (block.onset_s + 2)) : int(clock.sampling_hz * (block.onset_s + 15))]
            for block in clock.stretches(closed=closed)
        ]
        frequency, spectra = zip(
            *[welch(piece, clock.sampling_hz, nperseg=250, axis=0) for piece in pieces], strict=True
        )
        power[closed] = np.mean(spectra, axis=0)
    frequency = frequency[0]
    band = (frequency >= 8) & (frequency <= 13)
    rms = {closed: np.sqrt(spectrum[band].sum(axis=0) * frequency[1]) for closed, spectrum in power.items()}
    at = {name: number for number, name in enumerate(head.cap.names)}
    occipital = [at[name] for name in ("O1", "O2", "PO7", "PO8", "PO3", "PO4")]
    front = [at[name] for name in ("F3", "Fz", "F4", "FC1", "FC2")]
    # Tens of microvolts peak to peak.
    assert 6.0 < rms[True][occipital].mean() < 40.0
    assert rms[True][occipital].mean() > 2.0 * rms[True][front].mean()
    assert rms[True][occipital].mean() > 2.0 * rms[False][occipital].mean()
    # It stands out of the spectrum beside it.
    beside = ((frequency > 4) & (frequency < 6)) | ((frequency > 16) & (frequency < 20))
    spectrum = power[True][:, occipital].mean(axis=1)
    assert spectrum[band].max() > 5.0 * spectrum[beside].mean()


def test_independent_components_find_the_blinks(minute):
    head, recording = minute
    good = [number for number in range(64) if number != recording.bad_channel]
    info = mne.create_info([head.cap.names[number] for number in good], 125.0, "eeg", verbose="error")
    eeg = mne.io.RawArray(1e-6 * recording.signal_uv[:, good].T, info, verbose="error")
    eeg.filter(1.0, 40.0, verbose="error")
    ica = mne.preprocessing.ICA(15, method="fastica", random_state=1, max_iter=500, verbose="error")
    ica.fit(eeg, verbose="error")
    blink = next(artefact for artefact in recording.artefacts if artefact.kind == "blink")
    course = mne.filter.filter_data(blink.courses[:, 0], 125.0, 1.0, 40.0, verbose="error")
    alike = [abs(np.corrcoef(source, course)[0, 1]) for source in ica.get_sources(eeg).get_data()]
    best = int(np.argmax(alike))
    assert alike[best] > 0.8
    topography = blink.topographies[0][:64] - blink.topographies[0][64:].mean()
    assert abs(np.corrcoef(ica.get_components()[:, best], topography[good])[0, 1]) > 0.95
    found, _ = ica.find_bads_eog(eeg, ch_name="Fp1", verbose="error")
    assert best in found


def test_silent_regions_emit_nothing(patient):
    lesion = patient.labels == 3
    hurt = Patient(
        patient.subject, patient.phantom, patient.warp, patient.parcels, patient.labels, patient.names,
        patient.connectome, lesion=lesion,
    )  # fmt: skip
    size = EegSize(4.0, 100.0, 2.0, 162, 12.0)
    activity = eeg_recording.network_activity(hurt, 1, size, np.random.default_rng(0))
    assert not activity[:, 2].any()
    assert (activity.std(axis=0)[np.arange(8) != 2] > 0).all()
