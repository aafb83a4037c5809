"""Which recordings a subject has, told from tables and names alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bids_ai.bids.dataset import Selection, scan
from bids_ai.bids.electrophysiology.brainvision import write_brainvision
from bids_ai.bids.electrophysiology.formats import header_length, header_rate
from bids_ai.bids.index import Recording
from tests.conftest import write_tree

STEM = "sub-01/ieeg/sub-01_task-ccep_run-1"


def dataset(root: Path, every_s: float, *, suffix: str = ".vhdr", duration_s: float | None = 100.0) -> Path:
    """Ten pulses, one every so many seconds; contacts in MNI space."""
    rows = [f"{n * every_s + 1}\t0.001\telectrical_stimulation\tA1-A2" for n in range(10)]
    meta = {"SamplingFrequency": 2048, "PowerLineFrequency": 50}
    return write_tree(
        root,
        {
            "dataset_description.json": {"Name": "x", "BIDSVersion": "1.10.0"},
            f"{STEM}_ieeg{suffix}/x.tdat" if suffix == ".mefd" else f"{STEM}_ieeg{suffix}": "x",
            f"{STEM}_ieeg.json": meta if duration_s is None else meta | {"RecordingDuration": duration_s},
            f"{STEM}_channels.tsv": "name\ttype\tunits\nA1\tSEEG\tuV\nA2\tSEEG\tuV\n",
            f"{STEM}_events.tsv": "\n".join(["onset\tduration\ttrial_type\telectrical_stimulation_site", *rows]),
            "sub-01/ieeg/sub-01_electrodes.tsv": "name\tx\ty\tz\nA1\t20\t30\t40\nA2\t24\t30\t40\n",
            "sub-01/ieeg/sub-01_coordsystem.json": {
                "iEEGCoordinateSystem": "MNI152NLin2009cAsym",
                "iEEGCoordinateUnits": "mm",
            },
        },
    )


def only(root: Path) -> Recording:
    [recording] = scan(root, ["01"], Selection()).recordings
    return recording


def test_a_recording_with_pulses_and_time_between_them(tmp_path: Path) -> None:
    entry = only(dataset(tmp_path, 5.0))
    assert (entry.modality, entry.stimulated, entry.located, entry.resting) == ("ieeg", True, True, True)
    assert entry.item == entry.series == STEM
    assert entry.tr == pytest.approx(0.004)


def test_pulses_without_a_pause_leave_no_rest(tmp_path: Path) -> None:
    # 98 s of the recording come after the pulses; without its length nothing is known of them.
    assert only(dataset(tmp_path / "long", 1.0, duration_s=108.0)).resting
    assert not only(dataset(tmp_path / "short", 1.0, duration_s=15.0)).resting
    assert not only(dataset(tmp_path / "unknown", 1.0, duration_s=None)).resting


@pytest.mark.parametrize("interval", ["1e999", "0", "-500", "1e-400"])
def test_a_rate_that_cannot_be_is_no_rate_of_the_file(tmp_path: Path, interval: str) -> None:
    root = dataset(tmp_path, 5.0)
    (root / f"{STEM}_ieeg.vhdr").write_text(f"[Common Infos]\nSamplingInterval={interval}\n")
    assert header_rate(root / f"{STEM}_ieeg.vhdr") is None
    assert only(root).tr == pytest.approx(0.004)  # by the sidecar; the file is refused when it is opened


def test_a_recording_that_is_a_folder_is_found(tmp_path: Path) -> None:
    entry = only(dataset(tmp_path, 5.0, suffix=".mefd"))
    assert entry.source.endswith("sub-01_task-ccep_run-1_ieeg.mefd")
    assert (entry.task, entry.run) == ("ccep", "1")


def eeg(root: Path, seconds: float, **meta: float) -> Path:
    """Two channels of EEG at 100 Hz."""
    stem = "sub-01/eeg/sub-01_task-rest"
    names = ["Cz", "Pz"]
    files = {
        "dataset_description.json": {"Name": "x", "BIDSVersion": "1.10.0"},
        f"{stem}_eeg.json": {"SamplingFrequency": 100, "PowerLineFrequency": 50} | meta,
        f"{stem}_channels.tsv": "name\ttype\tunits\nCz\tEEG\tuV\nPz\tEEG\tuV\n",
    }
    write_tree(root, files)
    data = np.ones((round(100 * seconds), 2), np.int16)
    options = {"names": names, "sampling_hz": 100.0, "reference": "n/a", "resolution_uv": 0.1}
    write_brainvision(root / f"{stem}_eeg", [data], **options)
    return root


def test_an_eeg_that_is_too_short_is_preprocessed_and_told_without_being_a_fault(tmp_path: Path) -> None:
    # The sidecar gives another length; the file counts.
    found = scan(eeg(tmp_path / "short", 2.0, RecordingDuration=300.0), ["01"], Selection())
    [entry], [told] = found.recordings, found.skipped
    assert (entry.modality, entry.resting) == ("eeg", False)
    assert told.what == "sub-01_task-rest_eeg.vhdr, region series"
    assert told.reason.startswith("it lasts 2 s; 10 s or more are wanted")
    assert not told.fault
    found = scan(eeg(tmp_path / "long", 20.0), ["01"], Selection())
    assert found.recordings[0].resting
    assert found.skipped == []


def test_the_length_of_a_file_is_read_from_its_header(tmp_path: Path) -> None:
    assert header_length(eeg(tmp_path, 3.0) / "sub-01/eeg/sub-01_task-rest_eeg.vhdr") == pytest.approx(3.0)
    edf = tmp_path / "a.edf"
    edf.write_bytes(b"0".ljust(236) + b"30".ljust(8) + b"0.5".ljust(8) + b"1".ljust(4))
    assert header_length(edf) == pytest.approx(15.0)
    edf.write_bytes(b"0".ljust(236) + b"-1".ljust(8) + b"0.5".ljust(8) + b"1".ljust(4))
    assert header_length(edf) is None  # not closed by its recorder
    (tmp_path / "b.vhdr").write_text("x")
    assert header_length(tmp_path / "b.vhdr") is None
