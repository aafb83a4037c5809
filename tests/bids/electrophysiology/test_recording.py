import json
import struct
import time
from pathlib import Path

import mne
import numpy as np
import pytest

from bids_ai.bids.electrophysiology import formats
from bids_ai.bids.electrophysiology.recording import open_recording, read_recording
from bids_ai.errors import InputError
from tests.virtual_seeg import STEM

RATE = 256.0
NAMES = ["Fp1", "Fp2", "Cz", "ECG"]


def codes(recording) -> dict[str, int]:
    return {finding.code: finding.count for finding in recording.findings}


@pytest.fixture
def signal() -> mne.io.RawArray:
    data = 2e-5 * np.random.default_rng(0).standard_normal((4, 1024))
    return mne.io.RawArray(data, mne.create_info(NAMES, RATE, "eeg", verbose="error"), verbose="error")


def table(names=NAMES, kinds=("EEG", "EEG", "EEG", "ECG"), rate: float = RATE, bad: str = "Fp2") -> str:
    rows = [f"{n}\t{k}\tµV\t{rate}\t{'bad' if n == bad else 'good'}" for n, k in zip(names, kinds, strict=True)]
    return "\n".join(["name\ttype\tunits\tsampling_frequency\tstatus", *rows]) + "\n"


@pytest.fixture
def dataset(tmp_path, signal):
    """Write a recording of EEG in a format, with its tables."""

    def write(extension: str = ".edf", channels: str | None = None, meta: dict | None = None) -> Path:
        folder = tmp_path / "sub-01/eeg"
        folder.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dataset_description.json").write_text("{}")
        path = folder / f"sub-01_task-rest_eeg{extension}"
        WRITERS[extension](path, signal)
        (folder / "sub-01_task-rest_channels.tsv").write_text(channels or table(), encoding="utf-8")
        content = {"SamplingFrequency": RATE, "PowerLineFrequency": 50} | (meta or {})
        (folder / "sub-01_task-rest_eeg.json").write_text(json.dumps(content))
        return path

    return write


def write_edf(path: Path, raw: mne.io.RawArray) -> None:
    """With a fifth signal for annotations."""
    mne.export.export_raw(path, raw, fmt="edf", verbose="error")


def write_brainvision(path: Path, raw: mne.io.RawArray) -> None:
    from pybv import write_brainvision as write

    write(data=raw.get_data(), sfreq=RATE, ch_names=raw.ch_names, fname_base=path.stem, folder_out=path.parent)


def write_bdf(path: Path, raw: mne.io.RawArray) -> None:
    """BDF by hand: 24-bit integers, one record a second."""
    data = raw.get_data() * 1e6
    n, per_record = len(data), int(RATE)
    n_records = data.shape[1] // per_record

    def field(value: object, width: int) -> bytes:
        return str(value).ljust(width).encode()

    header = b"\xffBIOSEMI" + field("", 80) + field("", 80) + field("01.01.01", 8) + field("00.00.00", 8)
    header += field(256 * (n + 1), 8) + field("24BIT", 44) + field(n_records, 8) + field(1, 8) + field(n, 4)
    for values, width in (
        *((raw.ch_names, 16), ([""] * n, 80), (["uV"] * n, 8), (["-8000"] * n, 8), (["8000"] * n, 8)),
        *((["-8388608"] * n, 8), (["8388607"] * n, 8), ([""] * n, 80), ([per_record] * n, 8), ([""] * n, 32)),
    ):
        header += b"".join(field(value, width) for value in values)
    digital = np.round(data / 8000 * 8388607.5 - 0.5).astype(np.int64)
    body = b"".join(
        struct.pack("<i", int(value))[:3]
        for record in range(n_records)
        for row in digital[:, record * per_record : (record + 1) * per_record]
        for value in row
    )
    path.write_bytes(header + body)


def write_eeglab(path: Path, raw: mne.io.RawArray) -> None:
    from scipy.io import savemat

    locations = np.array([(name,) for name in raw.ch_names], dtype=[("labels", "O")])
    fields = {
        **{"data": raw.get_data() * 1e6, "srate": RATE, "nbchan": 4, "pnts": raw.n_times, "trials": 1},
        **{
            "xmin": 0.0,
            "chanlocs": locations,
            "event": np.zeros(0),
            "epoch": np.zeros(0),
            "chaninfo": {"nosedir": "+X"},
        },
    }
    savemat(path, {"EEG": fields}, appendmat=False)


WRITERS = {".edf": write_edf, ".vhdr": write_brainvision, ".bdf": write_bdf, ".set": write_eeglab}


@pytest.mark.parametrize("extension", list(WRITERS))
def test_formats_are_read_with_what_the_tables_say(dataset, signal, extension):
    recording = open_recording(dataset(extension))
    raw = recording.raw
    assert raw.ch_names == NAMES
    assert raw.get_channel_types() == ["eeg", "eeg", "eeg", "ecg"]
    assert raw.info["bads"] == ["Fp2"]
    assert raw.info["line_freq"] == recording.line_hz == 50
    assert recording.usable() == ["Fp1", "Cz"]
    assert set(codes(recording)) == {"no-electrodes"}
    # EDF keeps 16 bits of the range of each channel.
    np.testing.assert_allclose(raw.get_data(), signal.get_data(), atol=1e-8)
    if extension != ".set":  # MNE reads a .set that holds its own data at once
        assert not raw.preload


def test_read_recording_is_the_raw(dataset):
    raw = read_recording(dataset())
    assert isinstance(raw, mne.io.BaseRaw)
    assert not raw.preload


def test_seeg_has_its_positions_in_the_right_frame(seeg):
    recording = open_recording(seeg / f"{STEM}_task-rest_ieeg.vhdr")
    assert set(recording.raw.get_channel_types()) == {"seeg"}
    places = recording.raw.get_montage().get_positions()
    assert places["coord_frame"] == "ras"
    name = recording.raw.ch_names[0]
    np.testing.assert_allclose(1e3 * places["ch_pos"][name], recording.electrodes.positions_of([name])[0], atol=1e-6)
    assert recording.raw.info["bads"] == recording.channels.bads != []


def test_positions_in_an_unknown_frame_are_not_given_to_mne(dataset):
    path = dataset()
    places = "name\tx\ty\tz\nFp1\t30\t60\t20\nFp2\t-30\t60\t20\nCz\t0\t0\t90\n"
    path.with_name("sub-01_electrodes.tsv").write_text(places)
    system = path.with_name("sub-01_coordsystem.json")
    content = {"EEGCoordinateUnits": "mm", "EEGCoordinateSystem": "Other"}
    system.write_text(json.dumps(content))
    recording = open_recording(path)
    assert recording.raw.get_montage() is None
    assert "unknown-frame" in codes(recording)
    system.write_text(json.dumps(content | {"EEGCoordinateSystem": "CapTrak"}))
    places = open_recording(path).raw.get_montage().get_positions()
    assert places["coord_frame"] == "head"
    np.testing.assert_allclose(places["ch_pos"]["Cz"], [0, 0, 0.09], atol=1e-6)


def test_a_frame_of_the_head_is_turned_by_its_landmarks(dataset):
    """CTF: x to the nose, y to the left, so that the vertex stays and the right ear lies at -y."""
    path = dataset()
    places = "name\tx\ty\tz\nFp1\t80\t30\t20\nFp2\t80\t-30\t20\nCz\t0\t0\t90\n"
    path.with_name("sub-01_electrodes.tsv").write_text(places)
    content = {"EEGCoordinateUnits": "mm", "EEGCoordinateSystem": "CTF"}
    system = path.with_name("sub-01_coordsystem.json")
    system.write_text(json.dumps(content))
    recording = open_recording(path)
    assert recording.raw.get_montage() is None
    assert "no-landmarks" in codes(recording)
    landmarks = {"NAS": [0.1, 0, 0], "LPA": [0, 0.075, 0], "RPA": [0, -0.075, 0]}
    content |= {"AnatomicalLandmarkCoordinates": landmarks, "AnatomicalLandmarkCoordinateUnits": "m"}
    system.write_text(json.dumps(content | {"AnatomicalLandmarkCoordinateSystem": "CTF"}))
    places = open_recording(path).raw.get_montage().get_positions()
    assert places["coord_frame"] == "head"
    np.testing.assert_allclose(places["ch_pos"]["Fp2"], [0.03, 0.08, 0.02], atol=1e-6)


# ---- file and tables disagree


def test_channels_of_file_and_table_are_compared(dataset):
    text = table(["Fp1", "EEG Cz", "Pz", "O1"], ["EEG"] * 4)
    recording = open_recording(dataset(channels=text))
    assert recording.raw.ch_names == ["Fp1", "EEG Cz"]
    assert [row.name for row in recording.channels.channels] == ["Fp1", "EEG Cz"]
    found = {finding.code: finding for finding in recording.findings}
    assert found["only-in-file"].items == ("Fp2", "ECG")
    assert found["only-in-table"].items == ("Pz", "O1")
    assert found["channel-spelling"].count == 1
    assert "2 are in both" in found["only-in-file"].message


def test_a_table_of_another_recording_is_refused(dataset):
    with pytest.raises(InputError, match=r"None of the 4 channels .*\(Fp1, Fp2, Cz, ECG\) is among the 2 of"):
        open_recording(dataset(channels=table(["LA1", "LA2"], ["SEEG"] * 2)))


def test_the_rate_of_the_file_counts(dataset):
    meta = {"SamplingFrequency": 512, "RecordingDuration": 60, "PowerLineFrequency": 0}
    recording = open_recording(dataset(channels=table(rate=1000.0), meta=meta))
    assert recording.raw.info["sfreq"] == RATE
    assert recording.line_hz is None
    assert codes(recording) == {
        **{"sampling-rate-table": 4, "sampling-rate-json": 1, "duration": 1, "no-line-frequency": 1, "no-electrodes": 3}
    }


def test_a_wrong_unit_is_told(dataset, signal):
    signal._data *= 1e6
    assert codes(open_recording(dataset(".set")))["signal-unit"] == 2


def test_without_channels_it_is_refused(dataset):
    path = dataset()
    path.with_name("sub-01_task-rest_channels.tsv").unlink()
    with pytest.raises(InputError, match=r"has no channels.tsv beside or above it"):
        open_recording(path)


# ---- files that cannot be read


def test_edf_that_is_cut_short(dataset):
    path = dataset()
    content = path.read_bytes()
    path.write_bytes(content[: 256 * 6 + (len(content) - 256 * 6) // 2])
    with pytest.raises(InputError, match=r"cut short: its header says 4 records of 2054 bytes, 2.0 are there \(50 %\)"):
        open_recording(path)


@pytest.mark.parametrize("content", [b"x" * 4096, b"0       " + b" " * 4000])
def test_edf_that_is_none(dataset, content):
    path = dataset()
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no EDF file or its header is corrupt"):
        open_recording(path)


def test_edf_with_a_wrong_header_length(dataset):
    path = dataset()
    content = bytearray(path.read_bytes())
    content[184:192] = b"512     "
    path.write_bytes(bytes(content))
    with pytest.raises(
        InputError, match=r"header is corrupt \(5 signals, 512 bytes of header where 1536 were wanted\)"
    ):
        open_recording(path)


def test_edf_longer_than_it_says_and_not_closed(dataset):
    path = dataset()
    content = path.read_bytes()
    path.write_bytes(content + b"\0" * 4096)
    assert "edf-longer" in codes(open_recording(path))
    path.write_bytes(content[:236] + b"-1      " + content[244:])
    recording = open_recording(path)
    assert "edf-not-closed" in codes(recording)
    assert recording.raw.n_times == 1024


def test_edf_with_several_rates(dataset, tmp_path):
    from edfio import Edf, EdfSignal

    path = dataset()
    rng = np.random.default_rng(0)
    rates = {"Fp1": 256, "Fp2": 256, "Cz": 256, "ECG": 64}
    signals = [
        EdfSignal(20 * rng.standard_normal(4 * rate), rate, label=name, physical_dimension="uV")
        for name, rate in rates.items()
    ]
    Edf(signals).write(path)
    found = {finding.code: finding for finding in open_recording(path).findings}
    assert found["mixed-rates"].items == ("ECG",)
    assert "1 of 4 channels" in found["mixed-rates"].message


def test_data_that_were_not_downloaded(dataset):
    path = dataset()
    path.write_bytes(b"/annex/objects/MD5E-s1--0.edf\n")
    with pytest.raises(InputError, match=r"is a pointer of git .* Fetch the data first"):
        open_recording(path)
    path.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(InputError, match="is a link to a file that is not here"):
        open_recording(path)
    path.unlink()
    with pytest.raises(InputError, match="does not exist"):
        open_recording(path)
    path.touch()
    with pytest.raises(InputError, match=r"is empty \(0 bytes\)"):
        open_recording(path)


def test_brainvision_without_its_data_or_with_a_part_of_it(dataset):
    path = dataset(".vhdr")
    data = path.with_suffix(".eeg")
    data.write_bytes(data.read_bytes()[:-3])
    assert "brainvision-partial" in codes(open_recording(path))
    data.unlink()
    with pytest.raises(InputError, match=r"names sub-01_task-rest_eeg.eeg as its DataFile, which is not beside it"):
        open_recording(path)


def test_a_corrupt_set_is_told(dataset):
    path = dataset(".set")
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"it is corrupt, or no \.set file"):
        open_recording(path)


def test_another_format_is_refused(dataset):
    path = dataset()
    with pytest.raises(
        InputError, match=r"wanted a recording as one of .edf, .bdf, .vhdr, .set, .mefd, .nwb, got '.txt'"
    ):
        open_recording(path.rename(path.with_suffix(".txt")))


@pytest.mark.parametrize(("extension", "package"), [(".nwb", "pynwb"), (".mefd", "pymef")])
def test_packages_that_are_missing_are_named(tmp_path, monkeypatch, extension, package):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / f"a{extension}"
    path.write_bytes(b"x" * 2000)
    with pytest.raises(InputError, match=f"pip install .*{package}"):
        formats.open_raw(path)


def test_nwb_is_read_piece_by_piece(tmp_path):
    pynwb = pytest.importorskip("pynwb", reason="pynwb is not installed: NWB cannot be tried")
    from datetime import UTC, datetime

    file = pynwb.NWBFile("x", "id", datetime.now(UTC))
    group = file.create_electrode_group("g", "x", "brain", file.create_device("d"))
    file.add_electrode_column("label", "name")
    for name in ("A1", "A2", "A3"):
        file.add_electrode(location="brain", group=group, label=name)
    region = file.create_electrode_table_region([0, 1, 2], "all")
    data = np.random.default_rng(0).integers(-1000, 1000, (70000, 3)).astype(np.int16)
    series = pynwb.ecephys.ElectricalSeries(name="s", data=data, electrodes=region, rate=512.0, conversion=1e-7)
    file.add_acquisition(series)
    folder = tmp_path / "sub-01/ieeg"
    folder.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text("{}")
    (folder / "sub-01_task-rest_channels.tsv").write_text(table(["A3", "A2", "A1"], ["SEEG"] * 3, 512.0, "A2"))
    path = folder / "sub-01_task-rest_ieeg.nwb"
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    raw = read_recording(path)
    assert not raw.preload
    assert raw.ch_names == ["A1", "A2", "A3"]
    assert raw.info["bads"] == ["A2"]
    np.testing.assert_allclose(raw.get_data(["A3", "A1"], 60000, 70000), 1e-7 * data[60000:, [2, 0]].T)


def test_mef3_is_read(tmp_path):
    pytest.importorskip("pymef", reason="pymef is not installed: MEF3 cannot be tried")
    mef_tools = pytest.importorskip("mef_tools.io", reason="mef-tools is not installed: no MEF3 can be written")
    folder = tmp_path / "sub-01/ieeg"
    folder.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text("{}")
    (folder / "sub-01_task-rest_channels.tsv").write_text(
        table(["A1", "RB-M2", "X"], ["SEEG", "ECOG", "ECG"], 512.0, "A1")
    )
    microvolts = 30 * np.random.default_rng(0).standard_normal((3, 5120))
    path = folder / "sub-01_task-rest_ieeg.mefd"
    writer = mef_tools.MefWriter(str(path), overwrite=True)
    writer.data_units = "uV"
    for name, row in zip(("A1", "RB-M2", "X"), microvolts, strict=True):
        writer.write_data(row, name, 1577836800000000, 512.0, precision=2)
    recording = open_recording(path)
    assert dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True)) == {
        **{"A1": "seeg", "RB-M2": "ecog", "X": "ecg"}
    }
    assert (recording.raw.info["bads"], recording.usable()) == (["A1"], ["RB-M2"])
    # Two decimals are kept.
    np.testing.assert_allclose(1e6 * recording.raw.get_data(["X"])[0], microvolts[2], atol=0.02)


# ---- real data


@pytest.mark.real
def test_real_brainvision(test_data):
    path = test_data / "bids-eeg-tiny/sub-01/ses-eeg/eeg/sub-01_ses-eeg_task-rest_eeg.vhdr"
    if not path.is_file():
        pytest.skip("needs real data: bids-eeg-tiny is not in the folder that BIDS_AI_TEST_DATA names")
    recording = open_recording(path)
    assert (len(recording.raw.ch_names), recording.raw.info["sfreq"], recording.line_hz) == (69, 5000.0, 60.0)
    assert recording.electrodes.frame.label == "CapTrak"
    assert recording.raw.get_montage().get_positions()["coord_frame"] == "head"
    assert set(codes(recording)) == {"duration"}  # its sidecar says 1 s of 2


@pytest.mark.real
def test_real_edf(test_data):
    path = test_data / "bids-eeg-edf/sub-S1/ses-01/eeg/sub-S1_ses-01_task-Experiment_run-01_eeg.edf"
    if not path.is_file():
        pytest.skip("needs real data: bids-eeg-edf is not in the folder that BIDS_AI_TEST_DATA names")
    recording = open_recording(path)
    assert recording.raw.ch_names == ["Fp1", "F7", "F3", "C3"]
    counts = codes(recording)
    assert (counts["only-in-file"], counts["only-in-table"], counts["channel-spelling"]) == (12, 11, 4)
    assert {"sampling-rate-json", "duration", "no-line-frequency", "no-electrodes"} <= set(counts)


def test_a_file_that_ends_the_reader_of_matlab_files_does_not_end_us(tmp_path):
    """One changed bit, found by fuzzing; without the look from another process this one would be gone."""
    from benchmarks.fuzz.files import electric

    [(name, content)] = electric(".set").items()
    broken = bytearray(content)
    broken[broken.rindex(bytes.fromhex("0000000000000010000200413800000e")) + 8] = 8
    (tmp_path / name).write_bytes(bytes(broken))
    with pytest.raises(InputError, match="it is corrupt"):
        formats.open_raw(tmp_path / name)


@pytest.mark.parametrize("n_channels", [1, 10_000])
def test_any_number_of_channels_opens_in_seconds(tmp_path, n_channels):
    from bids_ai.bids.electrophysiology.brainvision import write_brainvision

    names = [f"A{number}" for number in range(n_channels)]
    stem = tmp_path / "ieeg" / "sub-01_task-rest_ieeg"
    samples = np.random.default_rng(0).integers(-100, 100, (12, n_channels)).astype(np.int16)
    write_brainvision(stem, [samples], names=names, sampling_hz=250.0, reference="n/a", resolution_uv=1.0)
    (tmp_path / "dataset_description.json").write_text("{}")
    rows = "".join(f"{name}\tSEEG\tµV\tgood\n" for name in names)
    stem.with_name("sub-01_task-rest_channels.tsv").write_text(f"name\ttype\tunits\tstatus\n{rows}", encoding="utf-8")
    stem.with_name("sub-01_task-rest_ieeg.json").write_text('{"SamplingFrequency": 250}')
    start = time.process_time()
    found = open_recording(stem.with_suffix(".vhdr"))
    assert len(found.usable()) == n_channels
    assert time.process_time() - start < 20  # a few seconds; each channel compared with each other takes minutes


def test_a_header_that_names_no_possible_file_is_told(dataset):
    path = dataset(".vhdr")
    path.write_text(path.read_text().replace("DataFile=", "DataFile=" + "a" * 5000))
    with pytest.raises(InputError, match="as its DataFile, which is not beside it"):
        formats.open_raw(path)
