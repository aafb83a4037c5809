import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import mne_bids
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bids_ai.errors import InputError
from bids_ai.simulate.folder import write_json, write_table, write_text
from bids_ai.simulate.ieeg_files import write_ieeg
from bids_ai.simulate.ieeg_quirks import QUIRKS, apply_quirks
from bids_ai.simulate.ieeg_truth import first_wave

STEM = "sub-01/ses-1/ieeg/sub-01_ses-1"
TRUTH = Path("sourcedata/truth")


def new_dataset(root: Path) -> Path:
    write_json(root / "dataset_description.json", {"Name": "x", "BIDSVersion": "1.11.0", "DatasetType": "raw"})
    write_table(root / "participants.tsv", ["participant_id"], [["sub-01"]])
    write_text(root / "README.md", "SEEG of a generated patient, to be validated and read again.")
    return root


def table(path: Path, **options) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", na_values="n/a", **options)


def text_table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


@pytest.fixture(scope="module")
def written(seeg_patient, tmp_path_factory):
    root = new_dataset(tmp_path_factory.mktemp("ieeg"))
    image = nib.Nifti1Image(seeg_patient.phantom.t1w, seeg_patient.phantom.affine)
    (root / "sub-01/anat").mkdir(parents=True)
    nib.save(image, root / "sub-01/anat/sub-01_T1w.nii.gz")
    return root, write_ieeg(root, seeg_patient, 1, size="tiny", session="1")


@pytest.fixture(scope="module")
def mayo(seeg_patient, tmp_path_factory):
    root = new_dataset(tmp_path_factory.mktemp("mayo"))
    write_ieeg(root, seeg_patient, 1, size="tiny", session="1", convention="ds004696")
    return root


@pytest.fixture(scope="module")
def spes(written):
    return read(written[0], "spes")


def read(root: Path, task: str) -> mne.io.BaseRaw:
    where = {"subject": "01", "session": "1", "task": task, "datatype": "ieeg", "suffix": "ieeg"}
    return mne_bids.read_raw_bids(mne_bids.BIDSPath(root=root, extension=".vhdr", **where), verbose="error")


def errors(root: Path) -> list:
    found = shutil.which("bids-validator-deno", path=str(Path(sys.executable).parent))
    found = found or shutil.which("bids-validator-deno")
    if not found:
        pytest.skip("bids-validator-deno is not installed (extra: validate)")
    call = subprocess.run(
        [found, str(root), "--format", "json"], capture_output=True, text=True, timeout=120, check=False
    )
    issues = json.loads(call.stdout)["issues"]["issues"]
    return [(i["code"], i.get("location")) for i in issues if i["severity"] == "error"]


def test_validator_finds_no_error(written):
    assert errors(written[0]) == []


def test_validator_finds_no_error_in_the_other_convention(mayo):
    assert errors(mayo) == []


@pytest.mark.parametrize("task", ["rest", "spes"])
def test_mne_bids_reads_it_back(written, task):
    root, implanted = written
    raw = read(root, task)
    contacts, montage = implanted.contacts, implanted.montage
    assert raw.ch_names == [contacts.names[contact] for contact in montage.channels]
    assert set(raw.get_channel_types()) == {"seeg"}
    assert raw.info["bads"] == [contacts.names[contact] for contact in montage.bad]
    assert raw.info["line_freq"] == 50
    sidecar = json.loads((root / f"{STEM}_task-{task}_ieeg.json").read_text())
    assert raw.times[-1] == pytest.approx(sidecar["RecordingDuration"] - 1 / raw.info["sfreq"], abs=1e-4)
    places = raw.get_montage().get_positions()
    assert places["coord_frame"] == "ras"
    for contact in montage.channels:
        np.testing.assert_allclose(
            places["ch_pos"][contacts.names[contact]] * 1000, contacts.positions_mm[contact], atol=1e-3
        )


def test_the_reference_is_an_electrode_without_a_channel(written):
    root, implanted = written
    electrodes = table(root / f"{STEM}_electrodes.tsv")
    channels = table(root / f"{STEM}_task-spes_channels.tsv")
    reference = implanted.contacts.names[implanted.montage.reference]
    assert set(electrodes["name"]) - set(channels["name"]) == {reference}
    assert set(channels["reference"]) == {reference}
    assert json.loads((root / f"{STEM}_coordsystem.json").read_text())["iEEGCoordinateSystem"] == "ScanRAS"


def test_rest_has_the_amplitude_of_seeg(written):
    raw = read(written[0], "rest")
    size = raw.get_data(picks="seeg").std(axis=1) * 1e6
    good = [name not in raw.info["bads"] for name in raw.ch_names]
    assert 10 < np.median(size[good]) < 150


def test_events_say_which_contacts_and_when(written, spes):
    events = table(written[0] / f"{STEM}_task-spes_events.tsv")
    assert len(events) == 40
    assert (events["trial_type"] == "electrical_stimulation").all()
    assert set(events["electrical_stimulation_current"]) == {0.004}
    np.testing.assert_allclose(events["onset"] * spes.info["sfreq"], events["sample_start"], atol=1e-3)
    sites = events["electrical_stimulation_site"]
    assert all(name in spes.ch_names for site in sites for name in site.split("-"))
    counts = sites.value_counts()
    assert (counts == 5).all()
    assert all("-".join(site.split("-")[::-1]) in counts for site in counts.index)
    assert len(spes.annotations) == 40


def test_every_pulse_has_its_artefact_at_its_sample(written, spes):
    """The artefact of pulses of either polarity cancels, that of one polarity does not."""
    events = table(written[0] / f"{STEM}_task-spes_events.tsv")
    data = spes.get_data() * 1e6
    for number, event in events.iterrows():
        pair = event["electrical_stimulation_site"].split("-")
        other = [k for k, name in enumerate(spes.ch_names) if name not in pair and name not in spes.info["bads"]]
        around = data[:, event["sample_start"] - 40 : event["sample_start"] + 20]
        steps = np.abs(np.diff(around[other], axis=1)).max(axis=0)
        # The causal low-pass lets the first change appear at the next sample.
        assert 39 <= steps.argmax() <= 43, number
        first = spes.ch_names.index(pair[0])
        assert np.abs(data[first, event["sample_start"] + 1 : event["sample_start"] + 20]).max() > 2000


def test_mean_response_is_the_true_one(written, spes):
    """Mean over both polarities, behind the artefact, against the noise-free response in the truth."""
    root, _ = written
    events = table(root / f"{STEM}_task-spes_events.tsv")
    truth = np.load(root / TRUTH / f"{STEM}_task-spes_desc-responses_timeseries.npz")
    assert list(truth["channels"]) == spes.ch_names
    data = spes.get_data() * 1e6
    window = np.arange(8, 50)
    correlations = []
    for row, site in enumerate(truth["sites"]):
        pair = str(site).split("-")
        pulses = events[events["electrical_stimulation_site"].isin([site, "-".join(pair[::-1])])]
        epochs = np.stack([data[:, start - 50 : start + 100] for start in pulses["sample_start"]])
        mean = (epochs - epochs[:, :, :45].mean(axis=2, keepdims=True)).mean(axis=0)
        expected = truth["site_channel_uv"][row].T
        for channel, name in enumerate(spes.ch_names):
            strong = np.abs(expected[channel, window - 1]).max() > 60
            if strong and name not in pair and name not in spes.info["bads"]:
                seen = mean[channel, 50 + window]
                correlations.append(np.corrcoef(seen, expected[channel, window - 1])[0, 1])
    assert len(correlations) >= 4
    assert np.median(correlations) > 0.9


def test_truth_of_the_contacts(written, seeg_patient):
    root, implanted = written
    contacts = table(root / TRUTH / f"{STEM}_desc-contacts_electrodes.tsv")
    assert list(contacts["name"]) == implanted.contacts.names
    np.testing.assert_allclose(contacts[["x", "y", "z"]], implanted.contacts.positions_mm, rtol=1e-4, atol=1e-4)
    assert set(contacts["region"].dropna()) <= set(seeg_patient.names)
    assert list(contacts["role"]).count("reference") == 1
    gains = table(root / TRUTH / f"{STEM}_desc-gains_matrix.tsv", index_col=0)
    np.testing.assert_allclose(gains, implanted.gains, rtol=1e-4, atol=1e-6)


def test_true_ccep_matrix_follows_the_connectome(written, seeg_patient):
    root, _ = written
    base = root / TRUTH / f"{STEM}_task-spes_desc-regionregion"
    amplitude = table(Path(f"{base}_stat-ccepamplitude_relmat.tsv"), index_col=0)
    latency = table(Path(f"{base}_stat-cceplatency_relmat.tsv"), index_col=0).to_numpy()
    assert list(amplitude.index) == list(amplitude.columns) == seeg_patient.names
    size, weights = amplitude.to_numpy(), seeg_patient.connectome.weights
    assert np.isnan(np.diag(size)).all()
    connected = weights > 0
    assert np.corrcoef(np.log(size[connected]), np.log(weights[connected]))[0, 1] > 0.9
    delays = seeg_patient.connectome.delays_s
    strong = weights > 0.1
    assert np.corrcoef(latency[strong], delays[strong])[0, 1] > 0.8
    assert (latency[strong] > delays[strong]).all()


def test_first_wave_of_a_known_response():
    times = (np.arange(300) + 1) / 512.0
    wave = -50.0 * np.exp(-0.5 * ((times - 0.03) / 0.004) ** 2) + 40.0 * np.exp(-0.5 * ((times - 0.07) / 0.01) ** 2)
    amplitude, latency = first_wave(np.stack([wave, 0.001 * wave], axis=1)[None], times)
    assert latency[0, 0] == pytest.approx(0.03, abs=0.002)
    assert np.isnan(latency[0, 1])
    inside = (times >= 0.009) & (times <= 0.09)
    assert amplitude[0, 0] == pytest.approx(np.sqrt(np.mean(wave[inside] ** 2)))


def test_same_seed_same_bytes(written, mayo):
    """The two conventions write the same signals, tables and truth, but for the events."""
    root, _ = written
    again = [path for path in sorted((mayo / "sub-01").rglob("*")) if path.is_file()]
    again += [path for path in sorted((mayo / TRUTH).rglob("*")) if path.is_file()]
    assert len(again) > 30
    for path in again:
        twin = root / path.relative_to(mayo)
        if not any(word in path.name for word in ("_events", "coordsystem")):  # the second names the T1w
            assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(twin.read_bytes()).digest(), path.name


def test_conventions_differ_in_current_and_status(written, mayo):
    utrecht, other = (text_table(root / f"{STEM}_task-spes_events.tsv") for root in (written[0], mayo))
    assert set(other["electrical_stimulation_current"]) == {"4.0 mA"}
    assert set(other["status"]) == {"good"}
    assert "status" not in utrecht
    for column in ("onset", "sample_start", "electrical_stimulation_site", "electrical_stimulation_type"):
        assert list(utrecht[column]) == list(other[column])


def test_unknown_size_and_convention_are_refused(seeg_patient, tmp_path):
    with pytest.raises(InputError, match="tiny, small, full"):
        write_ieeg(tmp_path, seeg_patient, 1, size="huge")
    with pytest.raises(InputError, match="ds004080, ds004696"):
        write_ieeg(tmp_path, seeg_patient, 1, size="tiny", convention="ds000000")
    assert not list(tmp_path.iterdir())


# Quirks


@pytest.fixture
def copy(written, tmp_path):
    """Sidecars and headers of the dataset; signals are left out, no quirk touches them."""
    root = tmp_path / "copy"
    shutil.copytree(written[0], root, ignore=shutil.ignore_patterns("*.eeg", "*.npz", "*.nii.gz"))
    return root


def planted(root: Path, name: str) -> dict:
    return apply_quirks(root, [name])["sub-01_ses-1_task-spes"][name]


def tables_of(root: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    names = ("task-spes_events", "task-spes_channels", "electrodes")
    events, channels, electrodes = (text_table(root / f"{STEM}_{name}.tsv") for name in names)
    return events, channels, electrodes


@pytest.mark.parametrize("name", list(QUIRKS))
def test_every_quirk_changes_the_sidecars_and_is_recorded(copy, name):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    said = planted(copy, name)
    changed = [path for path, old in before.items() if path.read_bytes() != old]
    assert changed
    assert said
    record = json.loads((copy / TRUTH / "quirks.json").read_text())
    assert record["sub-01_ses-1_task-spes"][name] == json.loads(json.dumps(said))


def test_hyphens_are_in_every_table_and_in_the_header(copy):
    new = planted(copy, "hyphens")
    events, channels, electrodes = tables_of(copy)
    assert set(new.values()) <= set(electrodes["name"])
    assert any(name in set(channels["name"]) for name in new.values())
    header = (copy / f"{STEM}_task-spes_ieeg.vhdr").read_text(encoding="utf-8")
    listed = [line.split("=")[1].split(",")[0] for line in header.splitlines() if line.startswith("Ch")]
    assert listed == list(channels["name"])
    hyphened = [site for site in events["electrical_stimulation_site"] if site.count("-") == 3]
    assert hyphened
    # The only split whose halves are both channels.
    for site in hyphened:
        parts = site.split("-")
        known = set(channels["name"])
        splits = [("-".join(parts[:k]), "-".join(parts[k:])) for k in range(1, 4)]
        assert sum(first in known and second in known for first, second in splits) == 1


def test_case_differs_between_channels_and_electrodes(copy):
    new = planted(copy, "case")
    events, channels, electrodes = tables_of(copy)
    exact, folded = set(channels["name"]) - set(electrodes["name"]), {name.lower() for name in electrodes["name"]}
    assert exact == set(new.values()) & set(channels["name"])
    assert {name.lower() for name in exact} <= folded
    mixed = [site for site in events["electrical_stimulation_site"] if site.split("-")[0] in new]
    assert mixed
    assert all(site.split("-")[1] in new.values() for site in mixed)


def test_period_rows_are_no_pulses(copy):
    planted(copy, "periods")
    events, _, _ = tables_of(copy)
    assert list(events["trial_type"]).count("electrical_stimulation") == 40
    period = events[events["trial_type"] == "stimulation"].iloc[0]
    pulses = events[events["trial_type"] == "electrical_stimulation"]["onset"].astype(float)
    end = float(period["onset"]) + float(period["duration"])
    assert float(period["onset"]) < pulses.min() < pulses.max() < end
    assert events["onset"].astype(float).is_monotonic_increasing


def test_artefacts_cover_the_pulses_that_are_named(copy):
    said = planted(copy, "artefacts")
    events, _, _ = tables_of(copy)
    marks = events[events["trial_type"].isin(["artefact", "seizure"])]
    spans = [
        (float(onset), float(onset) + float(length)) for onset, length in zip(marks.onset, marks.duration, strict=True)
    ]
    for onset, site, involved in said["pulses"]:
        assert any(start < onset < end for start, end in spans)
        assert involved == "all" or involved not in site.split("-")


def test_near_and_out_of_order(copy):
    onset = planted(copy, "near-pulses")["onset"]
    events, _, _ = tables_of(copy)
    onsets = events["onset"].astype(float).to_numpy()
    row = int(np.abs(onsets - onset).argmin())
    assert onsets[row] - onsets[row - 1] == pytest.approx(0.65, abs=1e-4)
    assert int(events["sample_start"][row]) == pytest.approx(onsets[row] * 512, abs=1)
    planted(copy, "out-of-order")
    events, _, _ = tables_of(copy)
    assert not events["onset"].astype(float).is_monotonic_increasing


def test_cross_lead_and_distant_pairs_are_channels(copy):
    new = planted(copy, "cross-lead")
    events, channels, electrodes = tables_of(copy)
    lead = dict(zip(electrodes["name"], electrodes["group"], strict=True))
    pairs = [name.split("-") for name in new.values()]
    assert sum(lead[first] != lead[second] for first, second in pairs) == 2
    assert {name for pair in pairs for name in pair} <= set(channels["name"])
    assert set(new.values()) & set(events["electrical_stimulation_site"])
    assert not set(new) & set(events["electrical_stimulation_site"])


def test_currents_status_and_counts(copy):
    said = planted(copy, "several-currents")
    events, _, _ = tables_of(copy)
    pair = said["site"].split("-")
    rows = events["electrical_stimulation_site"].isin([said["site"], "-".join(pair[::-1])])
    assert sorted(events.loc[rows, "electrical_stimulation_current"].unique()) == ["0.002", "0.004"]
    planted(copy, "status")
    assert sorted(tables_of(copy)[0]["status"].unique()) == ["bad", "good", "wrongpair"]
    kept = planted(copy, "few-pulses")
    counts = tables_of(copy)[0]["electrical_stimulation_site"].value_counts()
    assert [counts[site] for site in kept] == [1, 3]


def test_filters_flags_and_places(copy):
    for name in ("swapped-filters", "stimulated-bad", "no-coordinates", "silicon", "channel-types"):
        said = planted(copy, name)
        events, channels, electrodes = tables_of(copy)
        if name == "swapped-filters":
            assert (channels["low_cutoff"].astype(float) > channels["high_cutoff"].astype(float)).all()
        elif name == "stimulated-bad":
            assert channels.set_index("name").loc[said["contact"], "status"] == "bad"
            assert any(said["contact"] in site.split("-") for site in events["electrical_stimulation_site"])
        elif name == "no-coordinates":
            assert (electrodes.set_index("name").loc[said["contacts"], "x"] == "n/a").all()
        elif name == "silicon":
            assert list(electrodes["silicon"]).count("yes") == 2
        else:
            assert {"MISC", "OTHER", "EEG"} < set(channels["type"])


def test_sample_start_is_off_as_said(copy):
    before = tables_of(copy)[0]["sample_start"].astype(int)
    shifts = planted(copy, "sample-start")["shifts"]
    after = tables_of(copy)[0]["sample_start"].astype(int)
    assert list(after - before) == shifts
    assert min(shifts) <= -7


def test_all_quirks_at_once_and_unknown_ones(copy, tmp_path):
    said = apply_quirks(copy, QUIRKS)
    assert list(said["sub-01_ses-1_task-spes"]) == list(QUIRKS)
    with pytest.raises(InputError, match=r"Unknown quirk hyphen: .*hyphens"):
        apply_quirks(copy, ["hyphen"])
    with pytest.raises(InputError, match="write_ieeg"):
        apply_quirks(tmp_path / "empty", ["hyphens"])
