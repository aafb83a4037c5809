"""Which recordings a subject has, told from tables and names alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bids_ai.bids.dataset import Selection, scan
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


def test_a_recording_that_is_a_folder_is_found(tmp_path: Path) -> None:
    entry = only(dataset(tmp_path, 5.0, suffix=".mefd"))
    assert entry.source.endswith("sub-01_task-ccep_run-1_ieeg.mefd")
    assert (entry.task, entry.run) == ("ccep", "1")
